//! Locks on files, by which runs, and the cases of one run, keep out of each other's way: flock(2).
//!
//! A kernel without `CONFIG_FILE_LOCKING` answers `ENOSYS`. There all goes on without a lock: a run does one case at a time
//! ([`are_offered`]), and must be the only one.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Result;
use crate::error::Named as _;

/// Waits for a lock on this file, which errors call by `name`.
pub(super) fn wait(file: &File, how: FlockOperation, name: &'static str) -> Result<()> {
    match flock(file, how) {
        Err(Errno::NOSYS) => Ok(()),
        locked => locked.named(name),
    }
}

/// Whether this kernel has such locks.
pub fn are_offered() -> bool {
    let refused = |root: File| flock(&root, FlockOperation::NonBlockingLockShared) == Err(Errno::NOSYS);
    !File::open("/").is_ok_and(refused)
}
