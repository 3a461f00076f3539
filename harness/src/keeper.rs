//! A process that puts back what a run or a case has changed on the machine, however either of them ends.

use std::ffi::CStr;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid};

use crate::error::Named as _;
use crate::{Error, Result, sys};

/// The name of every keeper's process.
const NAME: &CStr = c"uffd-keeper";

/// What a keeper says when all is set; anything else says why it is not.
const DONE: &str = "done";

/// What was set stays so until this is dropped, or the process that made it dies.
#[derive(Debug)]
pub(crate) struct Keeper {
    process: Pid,
    /// Its end is one of the two signs for the keeper; the other is the signal of its parent's death.
    held: Option<PipeWriter>,
}

impl Keeper {
    /// Has `set` done by a process of its own, and `put_back` when this is dropped or the caller dies.
    ///
    /// To be called while the process has one thread.
    pub(crate) fn start<T>(set: impl FnOnce() -> Result<T>, put_back: impl FnOnce(T)) -> Result<Self> {
        let parent = nix::unistd::getpid();
        let (end, held) = std::io::pipe().named("pipe")?;
        let (mut ready, report) = std::io::pipe().named("pipe")?;
        match sys::fork().named("fork")? {
            ForkResult::Parent { child } => {
                drop((end, report));
                let keeper = Self { process: child, held: Some(held) };
                let mut said = String::new();
                let _ = ready.read_to_string(&mut said);
                match said.as_str() {
                    DONE => Ok(keeper),
                    why => Err(Error::Other(why.to_owned())),
                }
            }
            ForkResult::Child => {
                drop((held, ready));
                live(parent, &end, report, set, put_back)
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.held.take());
        // A case that has become an ordinary user may not send this; the end of the pipe says the same.
        let _ = nix::sys::signal::kill(self.process, Signal::SIGUSR1);
        while nix::sys::wait::waitpid(self.process, None) == Err(Errno::EINTR) {}
    }
}

/// Whether this process is a keeper, which ends by itself.
pub(crate) fn is_keeper(process: i32) -> bool {
    std::fs::read(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim_ascii_end() == NAME.to_bytes())
}

/// Makes the forked process deaf to whatever ends the run or the case; gives the signal of the parent's death.
fn settle(parent: Pid, end: &PipeReader, report: &PipeWriter) -> Result<SignalFd> {
    // A session of its own: a Ctrl-C or the end of the case's process group is not for its keeper.
    let _ = nix::unistd::setsid();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).named("pthread_sigmask")?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGUSR1).named("prctl(PR_SET_PDEATHSIG)")?;
    let _ = nix::sys::prctl::set_name(NAME);
    // When memory runs out it is the last to go: nobody else knows what is to be put back.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    sys::close_all_but(&[end.as_fd(), report.as_fd()]);
    if nix::unistd::getppid() != parent {
        sys::exit_now(0);
    }
    let mut over = SigSet::empty();
    over.add(Signal::SIGUSR1);
    SignalFd::with_flags(&over, SfdFlags::SFD_CLOEXEC).named("signalfd")
}

/// The keeper's whole life.
fn live<T>(
    parent: Pid,
    end: &PipeReader,
    mut report: PipeWriter,
    set: impl FnOnce() -> Result<T>,
    put_back: impl FnOnce(T),
) -> ! {
    match settle(parent, end, &report).and_then(|over| Ok((over, set()?))) {
        Ok((over, state)) => {
            let _ = report.write_all(DONE.as_bytes());
            drop(report);
            let mut signs = [end.as_fd(), over.as_fd()].map(|sign| PollFd::new(sign, PollFlags::POLLIN));
            while poll(&mut signs, PollTimeout::NONE) == Err(Errno::EINTR) {}
            put_back(state);
        }
        Err(error) => drop(report.write_all(error.to_string().as_bytes())),
    }
    sys::exit_now(0)
}
