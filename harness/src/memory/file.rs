//! A regular file, neither shmem nor hugetlbfs: what most of userfaultfd refuses.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::shmem::detached_file;
use crate::error::Named as _;
use crate::{Error, Result};

/// Folders that every user may write to.
const FOLDERS: [&str; 3] = ["/var/tmp", "/tmp", "."];

/// `f_type` of file systems whose page cache is their own: ext2 to ext4, XFS, btrfs, f2fs, ramfs.
const REGULAR: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x8584_58f6];

/// An unnamed regular file of `len` zero bytes: on a ramfs mounted nowhere, or on a disk where that is not allowed.
pub fn regular_file(len: usize) -> Result<OwnedFd> {
    let file = detached_file("ramfs", &[]).or_else(|error| {
        on_disk().ok_or_else(|| {
            let folders = FOLDERS.join(", ");
            Error::Machine(format!(
                "no regular file can be made in {folders}, nor a ramfs mounted ({error}): run in a folder on a disk"
            ))
        })
    })?;
    rustix::fs::ftruncate(&file, len as u64).named("ftruncate of a regular file")?;
    Ok(file)
}

fn on_disk() -> Option<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    FOLDERS
        .into_iter()
        .filter(|folder| rustix::fs::statfs(*folder).is_ok_and(|fs| REGULAR.contains(&fs.f_type)))
        .find_map(|folder| rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).ok())
}
