//! A process that the case forks: a monitor, a target, an unprivileged caller.

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use super::task;
use crate::error::Named as _;
use crate::{Result, gate, sys};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnding {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

/// A forked process; killed and reaped when dropped, so that none is left behind.
#[derive(Debug)]
pub struct Process {
    pid: Option<Pid>,
}

impl Process {
    /// Forks a process that does `work` and exits with the status it gives.
    pub fn start(work: impl FnOnce() -> i32) -> Result<Self> {
        let parent = nix::unistd::getpid();
        match gate::fork().named("fork")? {
            ForkResult::Parent { child } => Ok(Self { pid: Some(child) }),
            ForkResult::Child => {
                let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                // A parent in another pid namespace is shown as 0.
                if ![parent, Pid::from_raw(0)].contains(&nix::unistd::getppid()) {
                    sys::exit_now(125);
                }
                sys::exit_now(work());
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.map_or(0, Pid::as_raw)
    }

    /// Waits for it and says how it ended.
    pub fn wait(&mut self) -> Result<ProcessEnding> {
        let Some(pid) = self.pid.take() else { return Ok(ProcessEnding::Exited(0)) };
        loop {
            match waitpid(pid, None) {
                Ok(WaitStatus::Exited(_, status)) => return Ok(ProcessEnding::Exited(status)),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(ProcessEnding::Killed(signal as i32)),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(crate::Error::call("waitpid", errno)),
            }
        }
    }

    /// Waits until its main thread sleeps in a userfault (yes) or the process has ended (no).
    pub fn waits_for_userfault(&self) -> bool {
        loop {
            if !task::is_alive(self.pid(), self.pid()) {
                return false;
            }
            if task::waits_for_userfault(self.pid(), self.pid()) {
                return true;
            }
            std::thread::yield_now();
        }
    }

    /// Waits until its main thread has been stopped, by a signal or a tracer (yes), or the process has ended (no).
    pub fn stops(&self) -> bool {
        loop {
            match task::state(self.pid(), self.pid()) {
                Some('T' | 't') => return true,
                None | Some('Z' | 'X') => return false,
                Some(_) => std::thread::yield_now(),
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.pid.map_or(Ok(()), |pid| gate::signal_process(pid.as_raw(), signal as i32).named("kill"))
    }

    /// Kills it and waits for it to be gone.
    pub fn kill(&mut self) -> Result<ProcessEnding> {
        self.signal(Signal::SIGKILL)?;
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.pid.is_some() {
            let _ = self.kill();
        }
    }
}
