//! Nothing is left behind, however a run ends: the machine is as before, and the record holds whole lines.

mod shown;
#[path = "left_behind/snapshot.rs"]
mod snapshot;

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::BuildHasher as _;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use shown::{Shown, wrong};
use snapshot::{RECORD, Snapshot, processes};
use tempfile::TempDir;
// Cases register themselves only if the crate that holds them is linked.
use uffd_conformance as _;

/// Cases that change something of the machine: pools, control groups, the sysctl, detached mounts, SysV segments, users.
const DANGEROUS: [&str; 9] = [
    "a_full_",
    "create::the_sysctl",
    "create::an_ordinary_user",
    "create::access_to_the_node",
    "several_pages_are_filled_in_order",
    "create::it_takes_0_and_1_only",
    "core_dump",
    "shmem-sysv",
    "hugetlb-file",
];

/// A case that needs nothing but userfaultfd, and takes no time.
const QUICK: &str = "create::unknown_flags_are_refused::syscall";

/// How many moments are tried for a kill.
const MOMENTS: usize = 50;

/// Names the seed of an earlier run, to have its moments again.
const SEED: &str = "UFFD_TEST_SEED";

fn main() -> ExitCode {
    let root = shown::not_root;
    let group = || root().or_else(|| memory_hierarchy().err());
    shown::main(vec![
        ("after_a_run_that_ends", None, normal),
        ("after_a_signal_that_ends_the_run", None, signals),
        ("after_a_kill_at_any_moment", None, kills),
        ("what_a_kill_of_everything_leaves_is_cleaned_at_the_next_start_and_said", root(), everything),
        ("after_cases_were_killed_for_lack_of_memory", group(), out_of_memory),
        ("after_the_disk_under_the_record_was_full", root(), full_disk),
    ])
}

/// The command under a name of its own, so that its processes are told from those of others, and a record.
struct Stage {
    folder: TempDir,
    exe: PathBuf,
    before: Snapshot,
}

impl Stage {
    fn new() -> Self {
        let built = Path::new(env!("CARGO_BIN_EXE_uffd-conformance"));
        let folder = TempDir::new_in(built.parent().expect("a folder")).expect("a folder");
        let exe = folder.path().join("uffd-conformance");
        fs::hard_link(built, &exe).expect("a second name of the command");
        let before = Snapshot::take(&exe);
        Self { folder, exe, before }
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join(RECORD)
    }

    /// `run --record` of the dangerous cases, in a process group of its own as a shell would have it.
    fn run(&self) -> Command {
        let mut command = Command::new(&self.exe);
        command.args(["run", "--jobs", "2", "--format", "json", "--record"]).arg(self.record()).args(DANGEROUS);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).current_dir(&self.folder);
        command
    }

    /// The machine is as before, and the record, if there is one already, holds whole lines.
    fn nothing_is_left(&self) -> Result<Vec<Value>, libtest_mimic::Failed> {
        self.before.is_restored(&self.exe)?;
        whole_lines(&fs::read_to_string(self.record()).unwrap_or_default())
    }
}

fn whole_lines(record: &str) -> Result<Vec<Value>, libtest_mimic::Failed> {
    if !record.is_empty() && !record.ends_with('\n') {
        return wrong(format!("the last line is cut off: {:?}", record.lines().last()));
    }
    Ok(record.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn ended(output: &Output, status: i32) -> Shown {
    if output.status.code() == Some(status) { Ok(()) } else { wrong(format!("{output:?}")) }
}

fn normal() -> Shown {
    let stage = Stage::new();
    ended(&stage.run().output()?, 0)?;
    let entries = stage.nothing_is_left()?;
    let verdicts = entries.iter().filter(|entry| entry["type"] == "case").count();
    if entries[0]["cases"] == verdicts { Ok(()) } else { wrong(format!("{verdicts} of {}", entries[0]["cases"])) }
}

/// Starts the run and waits until its first case begins.
fn begun(stage: &Stage) -> Result<Child, libtest_mimic::Failed> {
    let mut child = stage.run().stdout(Stdio::piped()).spawn()?;
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    while !line.contains("\"start\"") {
        line.clear();
        if out.read_line(&mut line)? == 0 {
            return wrong("the run ended before its first case");
        }
    }
    // Nobody reads on: the run goes on in silence.
    Ok(child)
}

fn signals() -> Shown {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let stage = Stage::new();
        let child = begun(&stage)?;
        // As a terminal sends it: to the whole foreground group.
        killpg(Pid::from_raw(child.id() as i32), signal)?;
        ended(&child.wait_with_output()?, 3)?;
        // What was to be put back is back when the command ends, not some time after.
        let left = processes(&stage.exe);
        if !left.is_empty() {
            return wrong(format!("{signal}: {left:?} outlive the run"));
        }
        let entries = stage.nothing_is_left()?;
        let end = entries.last().filter(|entry| entry["type"] == "end" && entry["interrupted"] == true);
        if end.is_none() {
            return wrong(format!("{signal}: {:?}", entries.last()));
        }
    }
    Ok(())
}

/// SplitMix64: moments that a seed repeats.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        println!("{SEED}={seed}");
        Self(seed)
    }

    /// A moment of a run that takes `whole`.
    fn next(&mut self, whole: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_nanos((mixed ^ (mixed >> 31)) % (whole.as_nanos() as u64))
    }
}

fn kills() -> Shown {
    let stage = Stage::new();
    let begun = Instant::now();
    ended(&stage.run().output()?, 0)?;
    let whole = begun.elapsed();
    let mut moments = Moments::new();
    for number in 1..=MOMENTS {
        let moment = moments.next(whole);
        let mut child = stage.run().stderr(Stdio::null()).spawn()?;
        std::thread::sleep(moment);
        child.kill()?;
        child.wait()?;
        if let Err(failed) = stage.nothing_is_left() {
            return wrong(format!(
                "kill {number}, {moment:?} after the start: {}",
                failed.message().unwrap_or_default()
            ));
        }
    }
    Ok(())
}

/// The processes that put things back, whose parent is the run.
fn keepers(stage: &Stage) -> Vec<i32> {
    processes(&stage.exe).into_iter().filter(|(_, name)| name == "uffd-keeper\n").map(|(process, _)| process).collect()
}

fn everything() -> Shown {
    let stage = Stage::new();
    let mut child = begun(&stage)?;
    // A keeper that is stopped and killed after its run never puts anything back.
    let keepers = keepers(&stage);
    if keepers.is_empty() {
        return wrong("nobody keeps the hugepages that were lent");
    }
    keepers.iter().try_for_each(|keeper| kill(Pid::from_raw(*keeper), Signal::SIGSTOP))?;
    child.kill()?;
    child.wait()?;
    keepers.iter().try_for_each(|keeper| kill(Pid::from_raw(*keeper), Signal::SIGKILL))?;
    leave_a_segment()?;
    let group = memory_hierarchy().ok().map(|root| root.join(format!("uffd-conformance-{}", child.id())));
    group.as_ref().map_or(Ok(()), fs::create_dir)?;
    while !processes(&stage.exe).is_empty() {
        std::thread::yield_now();
    }
    if Snapshot::take(&stage.exe) == stage.before {
        return wrong("nothing was left");
    }
    let next = Command::new(&stage.exe).args(["run", QUICK, "--format", "json"]).output()?;
    ended(&next, 0)?;
    let said = String::from_utf8(next.stderr)?;
    let mut words = vec!["cleaned up after a run that was killed", "hugepages of", "1 System V segment"];
    words.extend(group.map(|_| "1 memory control group"));
    if let Some(word) = words.iter().find(|word| !said.contains(**word)) {
        return wrong(format!("{word} is not said: {said}"));
    }
    stage.nothing_is_left()?;
    ended(&Command::new(&stage.exe).args(["run", QUICK]).output()?, 0)
}

/// A segment as a case leaves it that is killed between two calls: made by a process that is no more, attached nowhere.
fn leave_a_segment() -> Shown {
    let leave = || {
        let key = 0x7566_0000 | (std::process::id() & 0xffff);
        // SAFETY: no memory is passed.
        let id = unsafe { libc::shmget(key as i32, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
        if id < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    let mut command = Command::new("true");
    // SAFETY: the closure makes two system calls and allocates nothing.
    let made = unsafe { command.pre_exec(leave) }.status()?;
    if made.success() { Ok(()) } else { wrong(made.to_string()) }
}

/// Where memory control groups can be made.
fn memory_hierarchy() -> Result<PathBuf, String> {
    let roots = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(PathBuf::from);
    let has_memory = |root: &PathBuf| {
        root.join("memory.limit_in_bytes").exists()
            || fs::read_to_string(root.join("cgroup.subtree_control")).is_ok_and(|on| on.contains("memory"))
    };
    roots.into_iter().find(has_memory).ok_or_else(|| "no hierarchy of memory control groups is mounted".to_owned())
}

/// A group with too little memory for cases with hugepage contents, and enough for the run.
const TOO_LITTLE: &str = "12M";

fn out_of_memory() -> Shown {
    let group = memory_hierarchy()?.join("starved-by-a-test");
    fs::create_dir(&group)?;
    let limit = if group.join("memory.max").exists() { "memory.max" } else { "memory.limit_in_bytes" };
    let ran = (|| {
        fs::write(group.join(limit), TOO_LITTLE)?;
        let stage = Stage::new();
        let mut command = Command::new("sh");
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", group.display());
        command.args(["-c", &enter]).arg(&stage.exe).args(["run", "--format", "json", "copy::"]);
        let output = command.arg("--record").arg(stage.record()).stdout(Stdio::null()).output()?;
        // The run itself may have been the one to go; what it wrote holds in either case.
        let entries = stage.nothing_is_left()?;
        if let Some(fail) = entries.iter().find(|entry| entry["verdict"] == "fail") {
            return wrong(format!("the kernel is blamed: {fail}"));
        }
        let killed =
            entries.iter().any(|entry| entry["reason"].as_str().is_some_and(|why| why.contains("memory ran out")));
        if killed || output.status.code().is_none() { Ok(()) } else { wrong(format!("nobody was killed: {output:?}")) }
    })();
    fs::remove_dir(&group)?;
    ran
}

fn full_disk() -> Shown {
    let stage = Stage::new();
    let folder = uffd_harness::memory::detached_file("tmpfs", &[("size", "8192")])?;
    // A file on a file system of two pages, which nobody else can reach.
    let path = format!("/proc/{}/fd/{}", std::process::id(), folder.as_raw_fd());
    let output = Command::new(&stage.exe).args(["run", "create", "--record", &path]).output()?;
    ended(&output, 3)?;
    let said = String::from_utf8(output.stderr)?;
    if said.lines().count() != 1 || !said.contains("No space left") {
        return wrong(said);
    }
    let written = fs::read_to_string(&path)?;
    let entries = whole_lines(&written)?;
    if entries.len() < 2 || entries.iter().any(|entry| entry["type"] == "end") {
        return wrong(written);
    }
    drop(File::from(folder));
    stage.nothing_is_left().map(drop)
}
