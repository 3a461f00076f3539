//! Hostile surroundings: no panic, no wrong verdict, and every skip says what to do about it.

#[allow(dead_code, reason = "each test program uses its share of it")]
mod common;
#[path = "surroundings/disposable.rs"]
mod disposable;
mod shown;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use common::{Done, answered, command, in_user, run};
use nix::sys::resource::{Resource, setrlimit};
use serde_json::Value;
use shown::{Shown, wrong};
// Cases register themselves only if the crate that holds them is linked.
use uffd_conformance as _;

/// Cases that ask much of their surroundings: rights, hugepages, mounts, large mappings, events of fork(2), page frames.
const DEMANDING: [&str; 10] = [
    "api::",
    "create::",
    "wake::",
    "zeropage::private_memory",
    "register::shared_page_tables",
    "continue::a_page_lost_by_the_hardware",
    "copy::a_full_",
    "several_pages_are_filled_in_order",
    "any_unread_event",
    "a_child_inherits_sigbus",
];

/// What a reason says that tells what to do.
const ADVICE: [&str; 15] = [
    "run as root",
    "run in",
    "run alone",
    "outside of",
    "mount -t",
    "mounted",
    "mount one",
    "boot with",
    "mknod",
    "swapon",
    "ulimit",
    "sysctl",
    "write ",
    "let it end",
    "only in a guest",
];

fn main() -> ExitCode {
    let root = shown::not_root;
    let namespaces = || shown::lacks("unshare", &["--user", "--map-root-user", "true"]);
    shown::main(vec![
        ("an_ordinary_user", root(), ordinary_user),
        ("a_user_namespace", namespaces(), user_namespace),
        ("a_user_namespace_of_an_ordinary_user", root().or_else(namespaces), user_namespace_of_a_user),
        ("root_without_capabilities", root().or_else(no_setpriv), no_capabilities),
        ("no_proc", root(), no_proc),
        ("proc_of_another_pid_namespace", root(), other_proc),
        ("proc_with_hidepid", root().or_else(no_setpriv), hidepid),
        ("no_sys", root(), no_sys),
        ("no_dev_and_no_kernel_log", root(), no_dev),
        ("no_hugepages_and_a_pool_that_cannot_be_changed", root(), no_hugepages),
        ("hugepages_of_another_size", root(), other_hugepages),
        ("hugepages_that_are_lent_to_another_run", root().or_else(no_flock), lent_hugepages),
        ("no_file_locks", None, no_file_locks),
        ("settings_that_cannot_be_changed", root(), read_only_settings),
        ("one_cpu", None, one_cpu),
        ("a_little_memory", root().or_else(no_memory_group), little_memory),
        ("a_little_address_space", None, little_address_space),
        ("few_descriptors", None, few_descriptors),
        ("a_read_only_file_system", root(), read_only),
        ("a_kernel_log_that_may_not_be_read", root().or_else(no_setpriv).or_else(log_is_everyones), log_refused),
        ("output_that_nobody_reads_to_its_end", None, closed_output),
        ("nothing_looks_at_the_wall_clock", None, no_wall_clock),
        ("disposable::a_clock_that_jumps", disposable::not_here(), disposable::clock),
        ("disposable::a_taint_and_a_forged_line_of_the_kernel_log", disposable::not_here(), disposable::taint),
    ])
}

fn no_setpriv() -> Option<String> {
    shown::lacks("setpriv", &["--version"])
}

/// What `run` says in these surroundings of the demanding cases.
fn entries(command: &mut Command) -> Result<Vec<Value>, libtest_mimic::Failed> {
    let Done { status, stdout, stderr } = run(command.args(["run", "--format", "json"]).args(DEMANDING));
    sound(status, &stdout, &stderr)
}

/// The entries of a run in which nothing is wrong and nothing missing.
fn sound(status: i32, stdout: &str, stderr: &str) -> Result<Vec<Value>, libtest_mimic::Failed> {
    let entries: Vec<Value> = stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let bad = |entry: &&Value| ["fail", "error"].iter().any(|verdict| entry["verdict"] == *verdict);
    let bad: Vec<String> = entries.iter().filter(bad).map(Value::to_string).collect();
    if status != 0 || !bad.is_empty() || !stderr.is_empty() {
        return wrong(format!("status {status}: {stderr}{}", bad.join("\n")));
    }
    let verdicts = entries.iter().filter(|entry| entry["type"] == "case").count();
    if entries[0]["cases"] != verdicts || entries.last().is_none_or(|entry| entry["type"] != "end") {
        return wrong(format!("{verdicts} verdicts of {}", entries[0]["cases"]));
    }
    Ok(entries)
}

/// The reasons for which cases were skipped that the machine, and not its kernel, has no means for.
fn reasons(entries: &[Value]) -> BTreeSet<&str> {
    entries.iter().filter(|entry| entry["lacks"] == "machine").filter_map(|entry| entry["reason"].as_str()).collect()
}

/// The run is sound, each of its skips gives advice, and its reasons and facts hold these words.
fn is_sound(command: &mut Command, words: &[&str]) -> Shown {
    let entries = entries(command)?;
    let reasons = reasons(&entries);
    if let Some(mute) = reasons.iter().find(|reason| ADVICE.iter().all(|advice| !reason.contains(advice))) {
        return wrong(format!("this says nothing of what to do: {mute}"));
    }
    let blamed = entries.iter().filter(|entry| entry["lacks"] == "kernel").filter_map(|entry| entry["reason"].as_str());
    let here: BTreeSet<String> = uffd_harness::case::all()?
        .iter()
        .filter_map(|case| case.declaration.lack(uffd_harness::kernel::current()))
        .filter(|lack| lack.who == uffd_harness::need::Who::Kernel)
        .map(|lack| lack.reason)
        .collect();
    if let Some(wrongly) =
        blamed.into_iter().find(|reason| reason.starts_with("the kernel does not offer") && !here.contains(*reason))
    {
        return wrong(format!("the kernel is blamed: {wrongly}"));
    }
    let text = format!("{reasons:?} {}", entries[0]);
    match words.iter().find(|word| !text.contains(**word)) {
        Some(word) => wrong(format!("{word:?} is not said: {text}")),
        None => Ok(()),
    }
}

/// The command behind `program` with these arguments.
fn behind(program: &str, arguments: &[&str]) -> Command {
    let mut behind = Command::new(program);
    behind.args(arguments).arg(command().get_program());
    behind
}

/// The command after these steps of a shell in a mount namespace of its own.
fn after(steps: &str) -> Command {
    behind("unshare", &["--mount", "sh", "-ec", &format!("{steps}\nexec \"$0\" \"$@\"")])
}

fn ordinary_user() -> Shown {
    let (mut command, _scratch) = in_user().ok_or("only root can become another user")?;
    is_sound(&mut command, &["run as root"])
}

fn user_namespace() -> Shown {
    is_sound(&mut behind("unshare", &["--user", "--map-root-user"]), &["in the initial user namespace"])
}

fn user_namespace_of_a_user() -> Shown {
    let (command, _scratch) = in_user().ok_or("only root can become another user")?;
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user"]).arg(command.get_program()).uid(65534).gid(65534).current_dir("/");
    is_sound(&mut inside, &["in the initial user namespace"])
}

fn no_capabilities() -> Shown {
    is_sound(&mut behind("setpriv", &["--bounding-set", "-all", "--inh-caps", "-all"]), &["with all capabilities"])
}

fn no_proc() -> Shown {
    is_sound(&mut after("umount -l /proc"), &["mount -t proc proc /proc"])
}

/// The command is the first process of a pid namespace, as in a container: it does not take that for a guest of its own.
fn other_proc() -> Shown {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    is_sound(&mut behind("unshare", &["--pid", "--fork", "--mount"]), &["not that of this pid namespace"])?;
    is_sound(&mut behind("unshare", &["--pid", "--fork", "--mount", "--mount-proc"]), &["only in a guest"])?;
    if fs::read_to_string("/proc/self/mountinfo")? == mounts { Ok(()) } else { wrong("something was mounted") }
}

fn hidepid() -> Shown {
    is_sound(&mut after("mount -t proc -o hidepid=2 proc /proc"), &[])?;
    let (command, _scratch) = in_user().ok_or("only root can become another user")?;
    let steps = "mount -t proc -o hidepid=2 proc /proc
        exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" \"$@\"";
    let mut hidden = Command::new("unshare");
    is_sound(hidden.args(["--mount", "sh", "-ec", steps]).arg(command.get_program()), &["run as root"])
}

fn no_sys() -> Shown {
    is_sound(&mut after("umount -l /sys"), &["mount -t sysfs sysfs /sys"])
}

fn no_dev() -> Shown {
    let has_node = Path::new("/dev/userfaultfd").exists();
    let words = ["mknod /dev/zero c 1 5", "/dev/kmsg: No such file", "mknod -m 600 /dev/userfaultfd"];
    is_sound(&mut after("mount -t tmpfs none /dev"), if has_node { &words } else { &words[..2] })
}

fn no_flock() -> Option<String> {
    shown::lacks("flock", &["--version"])
}

fn default_size() -> String {
    format!("{}kB", uffd_harness::kernel::default_hugepage_size() / 1024)
}

/// A folder of pools that holds just this one, with these pages, and that nobody may write to.
fn only_pool(size: &str, pages: u64) -> String {
    format!(
        "mount -t tmpfs none /sys/kernel/mm/hugepages
        mkdir /sys/kernel/mm/hugepages/hugepages-{size}
        for file in nr free resv surplus; do echo 0 >/sys/kernel/mm/hugepages/hugepages-{size}/${{file}}_hugepages; done
        for file in nr free; do echo {pages} >/sys/kernel/mm/hugepages/hugepages-{size}/${{file}}_hugepages; done
        mount -o remount,ro none /sys/kernel/mm/hugepages"
    )
}

fn no_hugepages() -> Shown {
    let size = default_size();
    let setting = format!("have root write 4 to /sys/kernel/mm/hugepages/hugepages-{size}/nr_hugepages");
    is_sound(&mut after(&only_pool(&size, 0)), &["4 free hugepages", "0 are there", &setting])
}

fn other_hugepages() -> Shown {
    is_sound(&mut after(&only_pool("16777216kB", 0)), &["boot with hugepagesz=2048K"])
}

/// The pages of another run's note count for that run, although they are idle; what is beside them is for everyone.
fn lent_hugepages() -> Shown {
    let size = default_size();
    let steps = format!(
        "{}
        mount -t tmpfs none /run
        note=/run/uffd-conformance.lent.1
        echo '{{\"run\":1,\"size_kib\":{},\"before\":0,\"done\":true,\"pages\":13}}' >$note
        exec flock $note \"$0\" \"$@\"",
        only_pool(&size, 16),
        size.trim_end_matches("kB")
    );
    is_sound(&mut after(&steps), &["needs 4 free hugepages", "3 are there: 13 are lent to another run: let it end"])
}

/// Without locks nothing keeps cases apart that change the machine: they are not run side by side.
fn no_file_locks() -> Shown {
    let mut command = command();
    answered(&mut command, libc::SYS_flock, libc::ENOSYS);
    // Of cases that change nothing: other runs do count on locks.
    let Done { status, stdout, stderr } =
        run(command.args(["run", "--jobs", "2", "--format", "json", "wake::*::anon::*"]));
    if !stderr.contains("one case at a time") || !stderr.contains("CONFIG_FILE_LOCKING") {
        return wrong(format!("it does not say that it runs one case at a time: {stderr}"));
    }
    let entries = sound(status, &stdout, "")?;
    if entries[0]["jobs"] == 1 { Ok(()) } else { wrong(format!("{} cases at once", entries[0]["jobs"])) }
}

fn read_only_settings() -> Shown {
    let steps = "mount --bind /proc/sys /proc/sys
        mount -o remount,bind,ro /proc/sys";
    let set = fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd").is_ok_and(|value| value.trim() == "1");
    is_sound(&mut after(steps), &[if set { "set to 0 (" } else { "set to 1 (" }, "where /proc/sys may be written"])
}

fn one_cpu() -> Shown {
    let mut command = command();
    let limit = || {
        let mut only = nix::sched::CpuSet::new();
        let here = nix::sched::sched_getcpu()?;
        only.set(here)?;
        Ok(nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &only)?)
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(limit) };
    is_sound(&mut command, &["\"cpus\":1,"])
}

/// Where a group of 256 MiB can be made.
fn memory_group() -> Option<(PathBuf, &'static str)> {
    let v1 = (PathBuf::from("/sys/fs/cgroup/memory"), "memory.limit_in_bytes");
    if v1.0.join(v1.1).exists() {
        return Some(v1);
    }
    let v2 = PathBuf::from("/sys/fs/cgroup");
    let on = fs::read_to_string(v2.join("cgroup.subtree_control")).is_ok_and(|on| on.contains("memory"));
    on.then_some((v2, "memory.max"))
}

fn no_memory_group() -> Option<String> {
    if memory_group().is_some() { None } else { Some("no hierarchy of memory control groups is mounted".to_owned()) }
}

fn little_memory() -> Shown {
    let (root, limit) = memory_group().ok_or("no hierarchy")?;
    let group = root.join("little-by-a-test");
    fs::create_dir(&group)?;
    let ran = fs::write(group.join(limit), "256M").map_err(Into::into).and_then(|()| {
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", group.display());
        is_sound(&mut behind("sh", &["-c", &enter]), &[])
    });
    fs::remove_dir(&group)?;
    ran
}

/// The command with this limit.
fn limited(resource: Resource, limit: u64) -> Command {
    let mut command = command();
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(move || setrlimit(resource, limit, limit).map_err(io::Error::from)) };
    command
}

fn little_address_space() -> Shown {
    is_sound(&mut limited(Resource::RLIMIT_AS, 256 << 20), &["ulimit -v"])
}

fn few_descriptors() -> Shown {
    is_sound(&mut limited(Resource::RLIMIT_NOFILE, 64), &[])
}

fn read_only() -> Shown {
    is_sound(&mut after("mount -o remount,bind,ro /"), &[])?;
    // A record there is refused before the first case.
    let done = run(after("mount -o remount,bind,ro /").args(["run", "create", "--record", "/record.jsonl"]));
    if done.status == 2 && done.stderr.lines().count() == 1 && done.stderr.contains("Read-only") {
        return Ok(());
    }
    wrong(format!("{done:?}"))
}

fn log_is_everyones() -> Option<String> {
    let restricted = fs::read_to_string("/proc/sys/kernel/dmesg_restrict").is_ok_and(|value| value.trim() == "1");
    if restricted { None } else { Some("everyone may read the kernel log here: kernel.dmesg_restrict is 0".to_owned()) }
}

fn log_refused() -> Shown {
    is_sound(
        &mut behind("setpriv", &["--bounding-set", "-syslog"]),
        &["/dev/kmsg: Operation not permitted", "CAP_SYSLOG"],
    )
}

fn closed_output() -> Shown {
    let folder = tempfile::tempdir()?;
    for format in ["terminal", "ktap", "json", "junit"] {
        let record = folder.path().join(format);
        let steps = "set -o pipefail; \"$0\" \"$@\" | head -n 1";
        let mut piped = behind("bash", &["-c", steps]);
        let done = run(piped.args(["run", "create", "wake", "--format", format, "--record"]).arg(&record));
        let whole = fs::read_to_string(&record)?.ends_with('\n');
        let ended = fs::read_to_string(&record)?.lines().last().is_some_and(|line| line.contains("\"end\""));
        if done.status != 0 || !done.stderr.is_empty() || !whole || !ended {
            return wrong(format!("{format}: {done:?}"));
        }
    }
    Ok(())
}

/// Jumps of the wall clock change nothing, because nothing looks at it.
fn no_wall_clock() -> Shown {
    let mut folders = vec![PathBuf::from("../harness/src"), PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let clocks = ["SystemTime", "CLOCK_REALTIME", "UNIX_EPOCH", "gettimeofday", "CLOCK_TAI"];
            if let Some(clock) = clocks.iter().find(|clock| text.contains(**clock)) {
                return wrong(format!("{} uses {clock}", path.display()));
            }
        }
    }
    Ok(())
}
