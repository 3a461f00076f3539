//! `vm.unprivileged_userfaultfd`, held at a value while a case looks: `Documentation/admin-guide/sysctl/vm.rst`.

use std::fs::File;

use rustix::fs::FlockOperation;

use super::lock;
use super::machine::read_number;
use crate::keeper::Keeper;
use crate::{Error, Result};

/// The file of the setting.
pub const UNPRIVILEGED: &str = "/proc/sys/vm/unprivileged_userfaultfd";

/// What an error calls its lock.
const NAME: &str = "flock(unprivileged_userfaultfd)";

/// The setting has the value that was asked for until this is dropped.
///
/// The setting belongs to the whole machine. Whoever finds the value right shares a lock on its file; whoever must change
/// it has the lock alone, through a keeper that puts the old value back however the case ends.
#[derive(Debug)]
pub struct Held {
    _shared: Option<File>,
    _keeper: Option<Keeper>,
}

/// Holds `vm.unprivileged_userfaultfd` at `value`. To be called while the process has one thread.
pub fn hold_unprivileged(value: u64) -> Result<Held> {
    if read_number(UNPRIVILEGED).is_none() {
        return Err(Error::Machine(
            "there is no sysctl vm.unprivileged_userfaultfd: mount -t proc proc /proc".to_owned(),
        ));
    }
    let file = File::open(UNPRIVILEGED).map_err(|error| Error::file(UNPRIVILEGED, error))?;
    lock::wait(&file, FlockOperation::LockShared, NAME)?;
    if read_number(UNPRIVILEGED) == Some(value) {
        return Ok(Held { _shared: Some(file), _keeper: None });
    }
    drop(file);
    let put_back = |(before, _lock): (u64, File)| drop(std::fs::write(UNPRIVILEGED, before.to_string()));
    let keeper = Keeper::start(|| set(value), put_back).map_err(|error| {
        let what = "sysctl vm.unprivileged_userfaultfd cannot be set";
        Error::Machine(format!("{what} to {value} ({error}): run as root, where /proc/sys may be written"))
    })?;
    Ok(Held { _shared: None, _keeper: Some(keeper) })
}

/// Sets it with the lock on its file; the value before and the lock.
fn set(value: u64) -> Result<(u64, File)> {
    let failed = |error| Error::file(UNPRIVILEGED, error);
    let file = File::open(UNPRIVILEGED).map_err(failed)?;
    lock::wait(&file, FlockOperation::LockExclusive, NAME)?;
    let before = std::fs::read_to_string(UNPRIVILEGED).map_err(failed)?;
    let before = before.trim().parse().map_err(std::io::Error::other).map_err(failed)?;
    std::fs::write(UNPRIVILEGED, value.to_string()).map_err(failed)?;
    Ok((before, file))
}
