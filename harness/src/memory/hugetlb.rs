//! hugetlb memory: `MAP_HUGETLB`, a hugetlb memfd, and a file on a hugetlbfs, shared and private.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};

use super::region::{Backing, Place};
use super::shmem;
use crate::error::Named as _;
use crate::{Errno, Error, Result, sys};

/// The size as `MAP_HUGE_*` and `MFD_HUGE_*` encode it: log2, shifted.
const fn size_flag(page_size: usize) -> u32 {
    page_size.trailing_zeros() << libc::MAP_HUGE_SHIFT
}

/// A pool that another user emptied meanwhile is the machine's lack, not the kernel's fault.
pub(super) fn pool(error: Error) -> Error {
    match error {
        Error::Call { call, errno: Errno::ENOMEM } => Error::Machine(format!(
            "{call}: somebody else has taken hugepages meanwhile: run alone, or enlarge the pool"
        )),
        other => other,
    }
}

pub(super) fn map_anon(place: Place, sharing: i32) -> Result<Backing> {
    let flags = sharing | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | size_flag(place.page_size) as i32;
    place.map_fixed(flags, None).map_err(pool)?;
    Ok(Backing::HugetlbAnon)
}

pub(super) fn map_memfd(place: Place, sharing: i32) -> Result<Backing> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_HUGETLB | size_flag(place.page_size);
    let file = sys::memfd(flags).named("memfd_create(MFD_HUGETLB)")?;
    rustix::fs::ftruncate(&file, place.len as u64).named("ftruncate of a hugetlb memfd")?;
    place.map_fixed(sharing, Some(file.as_fd())).map_err(pool)?;
    Ok(Backing::File(file))
}

pub(super) fn map_file(place: Place, sharing: i32) -> Result<Backing> {
    let file = mounted_file(place.page_size).map_or_else(
        || {
            let size = format!("{}K", place.page_size / 1024);
            shmem::detached_file("hugetlbfs", &[("pagesize", size.as_str())]).map_err(|error| {
                Error::Machine(format!(
                    "no hugetlbfs to write to, and none can be mounted ({error}): run as root, or have one mounted"
                ))
            })
        },
        Ok,
    )?;
    rustix::fs::ftruncate(&file, place.len as u64).named("ftruncate of a hugetlbfs file")?;
    place.map_fixed(sharing, Some(file.as_fd())).map_err(pool)?;
    Ok(Backing::File(file))
}

/// An unnamed file on a hugetlbfs of this page size that somebody mounted, if we may write there.
fn mounted_file(page_size: usize) -> Option<std::os::fd::OwnedFd> {
    let mounts = procfs::process::Process::myself().and_then(|process| process.mountinfo()).ok()?;
    mounts
        .into_iter()
        .filter(|mount| mount.fs_type == "hugetlbfs")
        .filter(|mount| rustix::fs::statfs(&mount.mount_point).is_ok_and(|fs| fs.f_bsize as usize == page_size))
        .find_map(|mount| {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            rustix::fs::open(&mount.mount_point, flags, Mode::RUSR | Mode::WUSR).ok()
        })
}
