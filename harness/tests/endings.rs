//! Every ending of a case is told apart and harmless to the cases beside it.
//!
//! A case is a fork of the process that runs it, so these tests run on the one thread of their process.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use uffd_harness::actor::{Access, Actor, Process, TaskState};
use uffd_harness::case::{Case, Outcome, Stop, Verdict, variant};
use uffd_harness::kernel;
use uffd_harness::kernel::Kernel;
use uffd_harness::kernel::sysctl::{UNPRIVILEGED, hold_unprivileged};
use uffd_harness::memory::Memory;
use uffd_harness::mode::Mode;
use uffd_harness::need::{Lack, Need, Who};
use uffd_harness::record::{CaseResult, Entry};
use uffd_harness::runner::Session;
use uffd_harness::uapi::UFFD_API;
use uffd_harness::watch::Watch;

type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let tests: [(&str, Test); 17] = [
        ("a_case_that_returns_passes", passes),
        ("a_variant_is_recorded", variants),
        ("a_broken_promise_fails", fails),
        ("a_missing_need_skips_with_its_reason", skips),
        ("an_error_of_the_harness_is_an_error", errors),
        ("a_panic_is_an_error_with_its_message", panics),
        ("a_sigbus_fails_with_its_address", sigbus),
        ("a_sigsegv_fails_with_its_address", sigsegv),
        ("an_abort_is_an_error", aborts),
        ("an_early_exit_is_an_error", exits),
        ("a_hang_fails_with_what_the_thread_waits_for", hangs),
        ("a_process_left_behind_is_an_error_and_killed", lingers),
        ("a_failure_that_leaves_a_process_behind_is_a_failure", fails_and_lingers),
        ("a_daemon_left_behind_is_killed", daemonizes),
        ("the_cases_beside_a_bad_one_are_not_harmed", neighbours),
        ("a_case_that_needs_more_hugepages_than_there_can_be_is_skipped_and_the_others_run", never_fits),
        ("a_warning_or_a_taint_of_the_kernel_fails_the_case_that_ran", the_kernel_is_watched),
    ];
    let mut trials: Vec<Trial> = tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    trials.push(Trial::ignorable_test("what_a_case_changed_is_put_back_when_it_is_killed", || {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Completion::ignored_with("only root can change a sysctl"));
        }
        puts_back().map(|()| Completion::Completed)
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run_all(cases: &[Case], limit: Duration) -> Result<Vec<CaseResult>, Failed> {
    let mut results = Vec::new();
    Session::begin(cases, 2)?.run(cases, limit, &|_, _, _| None, &mut |entry| {
        if let Entry::Case(case) = entry {
            results.push((**case).clone());
        }
        Ok(())
    })?;
    Ok(results)
}

fn run(case: fn() -> Outcome) -> Result<CaseResult, Failed> {
    let results = run_all(&[Case::named("harness::case", case)], Duration::from_secs(2))?;
    results.into_iter().next().ok_or_else(|| "no verdict".into())
}

/// The verdict and words that the reason holds.
fn expect(case: fn() -> Outcome, verdict: Verdict, words: &[&str]) -> Result<CaseResult, Failed> {
    let result = run(case)?;
    let reason = result.reason.clone().unwrap_or_default();
    if result.verdict != verdict || words.iter().any(|word| !reason.contains(word)) {
        return Err(format!("{:?}: {reason}; expected {verdict:?} with {words:?}", result.verdict).into());
    }
    Ok(result)
}

fn passes() -> Result<(), Failed> {
    expect(|| Ok(()), Verdict::Pass, &[]).map(drop)
}

fn variants() -> Result<(), Failed> {
    let case = || {
        variant("one");
        variant("two");
        Ok(())
    };
    let result = expect(case, Verdict::Pass, &[])?;
    if result.variant.as_deref() == Some("one, two") { Ok(()) } else { Err(format!("{:?}", result.variant).into()) }
}

fn fails() -> Result<(), Failed> {
    expect(|| Err(Stop::Fail("it does not".to_owned())), Verdict::Fail, &["it does not"]).map(drop)
}

fn skips() -> Result<(), Failed> {
    let case = || Err(Stop::Skip(Lack { who: Who::Kernel, reason: "no such thing".to_owned() }));
    let result = expect(case, Verdict::Skip, &["no such thing"])?;
    if result.lacks == Some(Who::Kernel) { Ok(()) } else { Err("who lacks it is not told".into()) }
}

fn errors() -> Result<(), Failed> {
    expect(|| Err(Stop::Error("out of luck".to_owned())), Verdict::Error, &["out of luck"]).map(drop)
}

fn panics() -> Result<(), Failed> {
    expect(|| panic!("words of the panic"), Verdict::Error, &["panicked", "words of the panic"]).map(drop)
}

fn sigbus() -> Result<(), Failed> {
    let case = || {
        let region = Memory::ShmemMemfd.map(1)?;
        rustix::fs::ftruncate(region.file().ok_or(Stop::Error("no file".to_owned()))?.as_fd(), 0)
            .map_err(|error| Stop::Error(error.to_string()))?;
        Access::Read.make(region.start() + 0x123);
        Ok(())
    };
    expect(case, Verdict::Fail, &["SIGBUS", "123"]).map(drop)
}

fn sigsegv() -> Result<(), Failed> {
    let case = || {
        let region = Memory::Anon.map(1)?;
        // The neighbour behind every region is inaccessible.
        Access::Write.make(region.end() + 0x45);
        Ok(())
    };
    expect(case, Verdict::Fail, &["SIGSEGV", "045"]).map(drop)
}

fn aborts() -> Result<(), Failed> {
    expect(|| std::process::abort(), Verdict::Error, &["SIGABRT"]).map(drop)
}

fn exits() -> Result<(), Failed> {
    expect(|| std::process::exit(5), Verdict::Error, &["status 5"]).map(drop)
}

/// Waits for ever for a page that nobody fills.
fn wait_for_a_page() -> Outcome {
    let uffd = kernel::current().create().map_err(|errno| Stop::Error(errno.to_string()))?;
    uffd.api(UFFD_API, 0).result.map_err(|errno| Stop::Error(errno.to_string()))?;
    let region = Memory::Anon.map(1)?;
    uffd.register(region.range(), Mode::MISSING.bits()).result.map_err(|errno| Stop::Error(errno.to_string()))?;
    Actor::access(Access::Read, region.start())?.join()?;
    Ok(())
}

fn hangs() -> Result<(), Failed> {
    // The wait channel of 5.10 is often empty; the state and the thread are told by every kernel.
    expect(wait_for_a_page, Verdict::Fail, &["hang", "state S"]).map(drop)
}

/// Forks a process that outlives the case, and gives its id.
fn leave_a_process(daemon: bool) -> Outcome {
    let process = Process::start(|| {
        let _ = nix::sys::prctl::set_pdeathsig(None);
        if daemon {
            let _ = nix::unistd::setsid();
        }
        loop {
            nix::unistd::pause();
        }
    })?;
    // Asleep in its last call: it has done all it was to do.
    while !TaskState::of(process.pid(), process.pid()).syscall.starts_with(&libc::SYS_pause.to_string()) {
        std::thread::yield_now();
    }
    variant(process.pid().to_string());
    std::mem::forget(process);
    Ok(())
}

fn is_gone(result: &CaseResult) -> Result<(), Failed> {
    let pid: i32 = result.variant.as_deref().unwrap_or_default().parse()?;
    if uffd_harness::actor::task::is_alive(pid, pid) { Err(format!("process {pid} still runs").into()) } else { Ok(()) }
}

fn lingers() -> Result<(), Failed> {
    let result = expect(|| leave_a_process(false), Verdict::Error, &["left 1 process"])?;
    is_gone(&result)
}

/// What the kernel did wrong is told also when it kept the case from ending its processes.
fn fails_and_lingers() -> Result<(), Failed> {
    let case = || {
        leave_a_process(true)?;
        Err(Stop::Fail("on purpose".to_owned()))
    };
    let result = expect(case, Verdict::Fail, &["on purpose; the case left 1 process"])?;
    is_gone(&result)
}

fn daemonizes() -> Result<(), Failed> {
    let result = expect(|| leave_a_process(true), Verdict::Error, &["left 1 process"])?;
    is_gone(&result)
}

fn neighbours() -> Result<(), Failed> {
    let cases = [
        Case::named("harness::aborts", || std::process::abort()),
        Case::named("harness::good_1", || Ok(())),
        Case::named("harness::hangs", wait_for_a_page),
        Case::named("harness::good_2", || Ok(())),
        Case::named("harness::panics", || panic!("on purpose")),
        Case::named("harness::good_3", || Ok(())),
    ];
    let results = run_all(&cases, Duration::from_secs(1))?;
    let good = results.iter().filter(|result| result.case.contains("good") && result.verdict == Verdict::Pass).count();
    if results.len() == 6 && good == 3 { Ok(()) } else { Err(format!("{results:?}").into()) }
}

/// Holds the sysctl at the other value until it is killed.
fn change_and_hang() -> Outcome {
    let _held = hold_unprivileged(1 - setting()?)?;
    wait_for_a_page()
}

fn setting() -> Result<u64, Stop> {
    let text = std::fs::read_to_string(UNPRIVILEGED).map_err(|error| Stop::Error(error.to_string()))?;
    text.trim().parse().map_err(|_| Stop::Error(text))
}

/// Who puts it back is no process left behind: the verdict is the hang.
fn puts_back() -> Result<(), Failed> {
    let before = setting().map_err(|stop| format!("{stop:?}"))?;
    expect(change_and_hang, Verdict::Fail, &["hang"])?;
    let after = setting().map_err(|stop| format!("{stop:?}"))?;
    if before == after { Ok(()) } else { Err(format!("{UNPRIVILEGED} is {after}, before {before}").into()) }
}

/// More hugepages than any machine has.
const NEVER: usize = 1 << 40;

fn never_fits() -> Result<(), Failed> {
    let mut cases =
        ["harness::1_hungry", "harness::2_good", "harness::3_hungry"].map(|name| Case::named(name, || Ok(())));
    for hungry in [0, 2] {
        cases[hungry].declaration.needs.push(Need::Hugepages(NEVER));
    }
    let verdicts: Vec<Verdict> = run_all(&cases, Duration::from_secs(2))?.iter().map(|result| result.verdict).collect();
    let skips = verdicts.iter().filter(|verdict| **verdict == Verdict::Skip).count();
    if verdicts.len() == 3 && skips == 2 { Ok(()) } else { Err(format!("{verdicts:?}").into()) }
}

/// Where a case writes that plays the kernel: what is read as the log, a record at a time, and the taint flags.
static KERNEL: OnceLock<(OwnedFd, PathBuf)> = OnceLock::new();

fn logs(record: &str) -> Outcome {
    let (log, _) = KERNEL.get().ok_or(Stop::Error("no log".to_owned()))?;
    rustix::io::write(log, record.as_bytes()).map_err(|error| Stop::Error(error.to_string()))?;
    Ok(())
}

fn taints(flags: &str) -> Outcome {
    let (_, path) = KERNEL.get().ok_or(Stop::Error("no flags".to_owned()))?;
    std::fs::write(path, flags).map_err(|error| Stop::Error(error.to_string()))
}

/// What is known to be so on this kernel; a warning beside it is not.
const DEVIATION: &str = "the field is not written";

fn the_kernel_is_watched() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let flags = folder.path().join("tainted");
    std::fs::write(&flags, "0\n")?;
    let socket_flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (writer, reader) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, socket_flags)?;
    KERNEL.set((writer, flags.clone())).map_err(|_| "this test runs once")?;
    let cases = [
        Case::named("harness::1_quiet", || Ok(())),
        Case::named("harness::2_warned_of", || {
            logs("4,1041,97000123,-;------------[ cut here ]------------\n")?;
            logs("4,1042,97000124,-;WARNING: CPU: 1 PID: 214 at mm/userfaultfd.c:1512 move_pages+0x1a4\n")
        }),
        Case::named("harness::3_a_process_wrote", || logs("12,1043,97000125,-;WARNING: CPU: 1 PID: 214 at forged\n")),
        Case::named("harness::4_tainted", || taints("512\n")),
        Case::named("harness::5_still_tainted", || Ok(())),
        Case::named("harness::6_deviates", || Err(Stop::Fail(DEVIATION.to_owned()))),
        Case::named("harness::7_deviates_and_is_warned_of", || {
            logs("4,1044,97000126,-;WARNING: CPU: 1 PID: 214 at mm/userfaultfd.c:1 move_pages+0x1a4\n")?;
            Err(Stop::Fail(DEVIATION.to_owned()))
        }),
    ];
    let mut results = Vec::new();
    let mut session = Session::begin(&cases, 1)?.watching(Watch::of(Some(File::from(reader)), flags));
    let judge = |_: &Case, why: &str, _: &Kernel| (why == DEVIATION).then(|| DEVIATION.to_owned());
    session.run(&cases, Duration::from_secs(2), &judge, &mut |entry| {
        if let Entry::Case(case) = entry {
            results.push((**case).clone());
        }
        Ok(())
    })?;
    let verdicts: Vec<Verdict> = results.iter().map(|result| result.verdict).collect();
    let (pass, fail) = (Verdict::Pass, Verdict::Fail);
    if verdicts != [pass, fail, pass, fail, pass, Verdict::Known, fail] {
        return Err(format!("{results:?}").into());
    }
    let lines = &results[1].log;
    if lines.len() != 2
        || !lines[1].contains("mm/userfaultfd.c:1512")
        || !results[1].reason.iter().any(|why| why.contains(&lines[1]))
    {
        return Err(format!("{:?}", results[1]).into());
    }
    if !results[3].log.iter().any(|line| line.contains("tainted: 512, before 0")) {
        return Err(format!("{:?}", results[3]).into());
    }
    Ok(())
}
