//! `vm.unprivileged_userfaultfd`, held at a value while a case looks: `Documentation/admin-guide/sysctl/vm.rst`.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::OwnedFd;

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::unistd::{ForkResult, Pid};
use rustix::fs::FlockOperation;

use super::machine::read_number;
use crate::error::Named as _;
use crate::{Error, Result, sys};

/// The file of the setting.
pub const UNPRIVILEGED: &str = "/proc/sys/vm/unprivileged_userfaultfd";

/// The setting has the value that was asked for until this is dropped.
///
/// The setting belongs to the whole machine. Whoever finds the value right shares a lock on its file; whoever must change
/// it has the lock alone, through a keeper that puts the old value back however the case ends.
#[derive(Debug)]
pub struct Held {
    _shared: Option<File>,
    keeper: Option<(Pid, PipeWriter)>,
}

/// Holds `vm.unprivileged_userfaultfd` at `value`. To be called while the process has one thread.
pub fn hold_unprivileged(value: u64) -> Result<Held> {
    if read_number(UNPRIVILEGED).is_none() {
        return Err(Error::Machine("the kernel has no sysctl vm.unprivileged_userfaultfd".to_owned()));
    }
    let file = File::open(UNPRIVILEGED).map_err(|error| Error::file(UNPRIVILEGED, error))?;
    rustix::fs::flock(&file, FlockOperation::LockShared).named("flock(unprivileged_userfaultfd)")?;
    if read_number(UNPRIVILEGED) == Some(value) {
        return Ok(Held { _shared: Some(file), keeper: None });
    }
    drop(file);
    // The keeper waits for the end of this pipe, which comes with the end of the case, whatever that is.
    let (end, held) = std::io::pipe().named("pipe")?;
    let (mut ready, report) = std::io::pipe().named("pipe")?;
    let keeper = match sys::fork().named("fork")? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop((held, ready));
            keep(value, end, report.into());
        }
    };
    drop((end, report));
    let held = Held { _shared: None, keeper: Some((keeper, held)) };
    let mut said = [0];
    match ready.read(&mut said) {
        Ok(1) => Ok(held),
        _ => Err(Error::Machine(format!("sysctl vm.unprivileged_userfaultfd cannot be set to {value}: run as root"))),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((keeper, held)) = self.keeper.take() {
            drop(held);
            let _ = nix::sys::wait::waitpid(keeper, None);
        }
    }
}

/// The keeper's whole life: set, say so, wait for the end of the case, put back.
fn keep(value: u64, end: PipeReader, report: OwnedFd) -> ! {
    // Outside the case's process group and deaf to signals, so that what ends the case does not end its keeper.
    let _ = nix::unistd::setsid();
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    let _ = nix::sys::prctl::set_name(c"uffd-sysctl");
    if let Ok(file) = File::open(UNPRIVILEGED)
        && rustix::fs::flock(&file, FlockOperation::LockExclusive).is_ok()
        && let Some(before) = read_number(UNPRIVILEGED)
        && std::fs::write(UNPRIVILEGED, value.to_string()).is_ok()
    {
        let mut report = File::from(report);
        let _ = report.write_all(&[1]);
        drop(report);
        let mut end = end;
        let _ = end.read(&mut [0]);
        let _ = std::fs::write(UNPRIVILEGED, before.to_string());
    }
    sys::exit_now(0)
}
