//! One case, one process, one time limit; every ending told apart.
//!
//! The runner has one thread, so a case is a fork of it. The case writes its outcome into memory that both share; what it
//! printed goes to a file in memory. When it has ended, its whole process group is killed and reaped.

mod orphans;

use std::cell::UnsafeCell;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, pthread_sigmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use serde::{Deserialize, Serialize};

use crate::actor::{TaskState, install_fault_handler};
use crate::case::{self, Case, Stop, Verdict};
use crate::error::Named as _;
use crate::kernel::machine::oom_kills;
use crate::need::{Lack, Who};
use crate::sys::{self, SignalInfo};
use crate::{Error, Result};

pub(crate) use orphans::{children, sweep_orphans};
use orphans::{group, sweep};

/// How old the count of processes killed for lack of memory may be when a case starts: it costs much to ask for.
const ASKED_EACH: Duration = Duration::from_secs(1);

/// How much text a case may leave in its slot.
const SLOT_BYTES: usize = 16 << 10;

/// How long a killed process may take to be gone.
const DYING: Duration = Duration::from_secs(10);

/// What a case and its runner share.
struct Slot {
    len: AtomicU32,
    bytes: UnsafeCell<[u8; SLOT_BYTES]>,
}

#[allow(unsafe_code)]
// SAFETY: the case writes the bytes and then the length; the runner reads them after the case has ended.
unsafe impl Sync for Slot {}

impl Slot {
    fn new() -> Self {
        Self { len: AtomicU32::new(0), bytes: UnsafeCell::new([0; SLOT_BYTES]) }
    }

    #[allow(unsafe_code)]
    fn put(&self, bytes: &[u8]) {
        let len = bytes.len().min(SLOT_BYTES);
        // SAFETY: only one thread of the case reports, and the runner looks only after the case's end.
        unsafe { (&mut (*self.bytes.get()))[..len].copy_from_slice(&bytes[..len]) };
        self.len.store(len as u32, Ordering::Release);
    }

    #[allow(unsafe_code)]
    fn take(&self) -> Vec<u8> {
        let len = self.len.swap(0, Ordering::Acquire) as usize;
        // SAFETY: the case that wrote here has ended.
        unsafe { (&(*self.bytes.get()))[..len.min(SLOT_BYTES)].to_vec() }
    }
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The verdict; never [`Verdict::Known`], which the list of known deviations decides.
    pub verdict: Verdict,
    /// Why.
    pub reason: Option<String>,
    /// Who lacks what a skipped case needs.
    pub lacks: Option<Who>,
    /// The variant it noted.
    pub variant: Option<String>,
}

impl Finding {
    fn of(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: Some(reason.into()), lacks: None, variant: None }
    }

    /// The finding of a case that was not run because something is missing.
    pub fn skipped(lack: Lack) -> Self {
        Self { verdict: Verdict::Skip, reason: Some(lack.reason), lacks: Some(lack.who), variant: None }
    }
}

impl Finding {
    /// The finding of a case before which the kernel had killed so many processes for lack of memory.
    ///
    /// What fails while the kernel kills may have failed by that: it says nothing about userfaultfd.
    fn with_oom_kills(mut self, before: Option<u64>) -> Self {
        let is_bad = matches!(self.verdict, Verdict::Fail | Verdict::Error);
        if is_bad && oom_kills() != before {
            let reason = self.reason.take().unwrap_or_default();
            let what = "the kernel killed processes meanwhile because memory ran out: give the run more";
            return Self { reason: Some(format!("{reason}; {what}")), verdict: Verdict::Error, ..self };
        }
        self
    }

    /// The finding of a case that left this many processes behind: an error, unless the case failed.
    ///
    /// A failure cuts short what the case had under way; what it says of the kernel stands.
    pub(crate) fn with_left_behind(mut self, left: usize) -> Self {
        if left == 0 {
            return self;
        }
        let left = format!("the case left {left} {} behind", if left == 1 { "process" } else { "processes" });
        let reason = match (self.verdict, self.reason.take()) {
            (Verdict::Fail, Some(reason)) => return Self { reason: Some(format!("{reason}; {left}")), ..self },
            (_, Some(reason)) => format!("{left}; before that: {reason}"),
            (_, None) => left,
        };
        Self { verdict: Verdict::Error, reason: Some(reason), ..self }
    }
}

/// A place in which one case after another runs.
pub struct Cell {
    slot: &'static Slot,
    output: OwnedFd,
    running: Option<Running>,
    /// When the kernel was asked how many processes it has killed for lack of memory, and what it said.
    oom_kills: Option<(Instant, Option<u64>)>,
}

/// A case that runs.
struct Running {
    pid: Pid,
    started: Instant,
    deadline: Instant,
}

impl Cell {
    /// An empty cell.
    pub fn new() -> Result<Self> {
        let slot = sys::shared(Slot::new()).named("mmap of a case's slot")?;
        let output = sys::memfd(libc::MFD_CLOEXEC).named("memfd_create")?;
        Ok(Self { slot, output, running: None, oom_kills: None })
    }

    /// Whether nothing runs in it.
    pub fn is_free(&self) -> bool {
        self.running.is_none()
    }

    /// The process of the running case.
    pub fn pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.pid.as_raw())
    }

    /// When the running case must have ended.
    pub fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().map(|running| running.deadline)
    }

    /// Starts a case. To be called while the process has one thread.
    pub fn start(&mut self, case: &Case, limit: Duration) -> Result<()> {
        rustix::fs::ftruncate(&self.output, 0).named("ftruncate of a case's output")?;
        self.slot.take();
        let parent = nix::unistd::getpid();
        if self.oom_kills.is_none_or(|(asked, _)| asked.elapsed() > ASKED_EACH) {
            self.oom_kills = Some((Instant::now(), oom_kills()));
        }
        let started = Instant::now();
        match sys::fork().named("fork")? {
            ForkResult::Parent { child } => {
                // Both sides set the group, so that neither can be too early.
                let _ = nix::unistd::setpgid(child, child);
                self.running = Some(Running { pid: child, started, deadline: started + limit });
                Ok(())
            }
            ForkResult::Child => live(self.slot, &self.output, case, parent),
        }
    }

    /// The finding of the running case and how long it took, if it has ended or its time is over.
    pub fn finish(&mut self) -> Option<(Finding, Duration)> {
        let (_, before) = self.oom_kills?;
        self.look().map(|(finding, elapsed)| (finding.with_oom_kills(before), elapsed))
    }

    fn look(&mut self) -> Option<(Finding, Duration)> {
        let running = self.running.as_ref()?;
        let (pid, started) = (running.pid, running.started);
        let status = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() < running.deadline => return None,
            Ok(WaitStatus::StillAlive) => {
                let mut hang = hang(pid, started.elapsed());
                if !self.kill() {
                    hang.reason = hang.reason.map(|reason| format!("it cannot be killed; {reason}"));
                }
                return Some((hang, started.elapsed()));
            }
            Ok(status) => status,
            Err(errno) => {
                self.kill();
                return Some((Finding::of(Verdict::Error, format!("waitpid: {errno}")), started.elapsed()));
            }
        };
        let elapsed = started.elapsed();
        let left = sweep(pid);
        self.running = None;
        Some((self.judge(status).with_left_behind(left), elapsed))
    }

    /// Kills the running case with everything it started.
    ///
    /// Says whether it died of it; a process that the kernel cannot kill is left to itself, so that the run goes on.
    pub fn kill(&mut self) -> bool {
        let Some(running) = self.running.take() else { return true };
        let _ = killpg(running.pid, Signal::SIGKILL);
        let given_up = Instant::now() + DYING;
        while matches!(waitpid(running.pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            if Instant::now() > given_up {
                return false;
            }
            std::thread::yield_now();
        }
        sweep(running.pid);
        true
    }

    fn judge(&self, status: WaitStatus) -> Finding {
        let reported = self.slot.take();
        let output = self.printed();
        let with_output = |what: String| if output.is_empty() { what } else { format!("{what}; it printed: {output}") };
        match status {
            WaitStatus::Exited(_, 0) => serde_json::from_slice(&reported).unwrap_or_else(|_| {
                Finding::of(Verdict::Error, with_output("the case ended without a verdict".into()))
            }),
            WaitStatus::Exited(_, status) => {
                Finding::of(Verdict::Error, with_output(format!("the case exited with status {status}")))
            }
            WaitStatus::Signaled(_, signal @ (Signal::SIGBUS | Signal::SIGSEGV), _) => {
                // A case's own thread touches memory only where the kernel has promised that it may.
                let told = String::from_utf8_lossy(&reported).into_owned();
                Finding::of(Verdict::Fail, with_output(format!("the case's own access died of {signal} {told}")))
            }
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => {
                Finding::of(Verdict::Error, with_output("the case was killed by a SIGKILL that was not ours".into()))
            }
            WaitStatus::Signaled(_, signal, _) => {
                Finding::of(Verdict::Error, with_output(format!("the case was killed by {signal}")))
            }
            other => Finding::of(Verdict::Error, format!("the case ended as {other:?}")),
        }
    }

    /// The last of what the case printed, in one line.
    fn printed(&self) -> String {
        let mut text = vec![0; 4096];
        let end = rustix::fs::fstat(&self.output).map_or(0, |stat| stat.st_size as u64);
        let count = rustix::io::pread(&self.output, &mut text, end.saturating_sub(4096)).unwrap_or(0);
        String::from_utf8_lossy(&text[..count]).trim().replace('\n', " | ")
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The verdict of a case whose time is over, with what its threads were doing.
fn hang(pid: Pid, elapsed: Duration) -> Finding {
    let mut tasks: Vec<String> = Vec::new();
    for process in group(pid) {
        tasks.extend(TaskState::all_of(process).iter().map(|task| format!("process {process} {task}")));
    }
    Finding::of(Verdict::Fail, format!("hang: no end after {} s; {}", elapsed.as_secs(), tasks.join("; ")))
}

/// The whole life of a case's process.
fn live(slot: &'static Slot, output: &OwnedFd, case: &Case, parent: Pid) -> ! {
    let _ = OWN.set(slot);
    let finding = match settle(output, parent) {
        Ok(()) => run(slot, case),
        Err(error) => Finding::of(Verdict::Error, error.to_string()),
    };
    slot.put(&serde_json::to_vec(&finding).unwrap_or_default());
    sys::exit_now(0)
}

/// Makes the forked process the case's own.
fn settle(output: &OwnedFd, parent: Pid) -> Result<()> {
    let _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).named("prctl(PR_SET_PDEATHSIG)")?;
    if nix::unistd::getppid() != parent {
        sys::exit_now(0);
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).named("pthread_sigmask")?;
    if let Ok(null) = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()) {
        rustix::stdio::dup2_stdin(&null).named("dup2")?;
    }
    rustix::stdio::dup2_stdout(output.as_fd()).named("dup2")?;
    rustix::stdio::dup2_stderr(output.as_fd()).named("dup2")?;
    // When memory runs out, a case is to go and not the run.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // A case that is about core dumps may still allow them to itself.
    let allowed = getrlimit(Resource::RLIMIT_CORE).map_or(0, |(_, hard)| hard);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, allowed);
    install_fault_handler(tell_of_own_fault)
}

/// The slot of the case that this process is.
static OWN: OnceLock<&'static Slot> = OnceLock::new();

/// Leaves word of the fault that the case's own thread is about to die of; runs in the signal handler, so it allocates nothing.
fn tell_of_own_fault(info: SignalInfo) {
    let mut text = [0_u8; 96];
    let mut rest = &mut text[..];
    let _ = write!(rest, "at {:#x}, si_code {}", info.address, info.code);
    let left = rest.len();
    if let Some(slot) = OWN.get() {
        slot.put(&text[..text.len() - left]);
    }
}

fn run(slot: &'static Slot, case: &Case) -> Finding {
    std::panic::set_hook(Box::new(move |panic| {
        let finding = Finding::of(Verdict::Error, format!("the case panicked: {panic}").replace('\n', " "));
        slot.put(&serde_json::to_vec(&finding).unwrap_or_default());
    }));
    case::take_variant();
    let Ok(outcome) = std::panic::catch_unwind(AssertUnwindSafe(case.run)) else {
        // The hook has said where.
        sys::exit_now(0);
    };
    let mut finding = match outcome {
        Ok(()) => Finding { verdict: Verdict::Pass, reason: None, lacks: None, variant: None },
        Err(Stop::Fail(reason)) => Finding::of(Verdict::Fail, reason),
        Err(Stop::Skip(lack)) => Finding::skipped(lack),
        Err(Stop::Error(reason)) => Finding::of(Verdict::Error, reason),
        Err(Stop::Declared) => Finding::of(Verdict::Error, "the case only declared itself"),
    };
    finding.variant = case::take_variant();
    finding
}

/// What [`Cell::start`] gives when not even a process can be made.
impl From<Error> for Finding {
    fn from(error: Error) -> Self {
        Self::of(Verdict::Error, error.to_string())
    }
}
