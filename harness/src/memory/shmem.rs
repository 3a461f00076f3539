//! shmem in its forms: shared anonymous, memfd, a tmpfs file, System V, `/dev/zero`, and a private mapping of a memfd.
//!
//! Nothing of this has a name in a file system, so nothing is left behind however a case ends.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::region::{Backing, Place};
use crate::error::Named as _;
use crate::{Error, Result, sys};

/// Places where most systems have a tmpfs that everyone may write to.
const TMPFS: [&str; 4] = ["/dev/shm", "/run", "/tmp", "/run/user/0"];

pub(super) fn map_anon(place: Place) -> Result<Backing> {
    place.map_fixed(libc::MAP_SHARED | libc::MAP_ANONYMOUS, None)?;
    Ok(Backing::SharedAnon)
}

pub(super) fn map_dev_zero(place: Place) -> Result<Backing> {
    let device =
        rustix::fs::open("/dev/zero", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::NOENT => Error::Machine("there is no /dev/zero: mknod /dev/zero c 1 5".to_owned()),
            error => Error::file("/dev/zero", error.into()),
        })?;
    place.map_fixed(libc::MAP_SHARED, Some(device.as_fd()))?;
    Ok(Backing::SharedAnon)
}

pub(super) fn map_sysv(place: Place) -> Result<Backing> {
    sys::sysv::attach_new(place.len, place.start).named("shmget and shmat")?;
    Ok(Backing::SharedAnon)
}

pub(super) fn map_memfd(place: Place, sharing: i32) -> Result<Backing> {
    let file = sys::memfd(libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING).named("memfd_create")?;
    rustix::fs::ftruncate(&file, place.len as u64).named("ftruncate of a memfd")?;
    place.map_fixed(sharing, Some(file.as_fd()))?;
    Ok(Backing::File(file))
}

pub(super) fn map_tmpfs(place: Place) -> Result<Backing> {
    let file = tmpfs_file()?;
    rustix::fs::ftruncate(&file, place.len as u64).named("ftruncate of a tmpfs file")?;
    place.map_fixed(libc::MAP_SHARED, Some(file.as_fd()))?;
    Ok(Backing::File(file))
}

/// An unnamed file on a tmpfs: on one that is there, or on one mounted nowhere.
pub(crate) fn tmpfs_file() -> Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    for folder in TMPFS {
        let is_tmpfs = rustix::fs::statfs(folder).is_ok_and(|fs| fs.f_type == libc::TMPFS_MAGIC);
        if is_tmpfs && let Ok(file) = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
            return Ok(file);
        }
    }
    detached_file("tmpfs", &[]).map_err(|error| {
        let tried = TMPFS.join(", ");
        Error::Machine(format!(
            "no tmpfs to write to (tried {tried}) and none can be mounted ({error}): mount one there"
        ))
    })
}

/// The root of a fresh tmpfs that is mounted nowhere and goes with its last user.
pub fn detached_tmpfs() -> Result<OwnedFd> {
    detached_root("tmpfs", &[])
        .map_err(|error| Error::Machine(format!("no tmpfs can be mounted ({error}): run as root")))
}

/// An unnamed file on a fresh file system that is mounted nowhere and goes with its last file.
pub fn detached_file(kind: &str, options: &[(&str, &str)]) -> Result<OwnedFd> {
    let root = detached_root(kind, options)?;
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    match rustix::fs::openat(&root, ".", flags | OFlags::TMPFILE, mode) {
        // Some file systems only learnt it lately; a file that nobody else can reach serves as well.
        Err(rustix::io::Errno::OPNOTSUPP) => rustix::fs::openat(&root, "file", flags | OFlags::CREATE, mode),
        opened => opened,
    }
    .named("open on a detached mount")
}

fn detached_root(kind: &str, options: &[(&str, &str)]) -> Result<OwnedFd> {
    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    };
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).named("fsopen")?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value).named("fsconfig")?;
    }
    fsconfig_create(context.as_fd()).named("fsconfig")?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).named("fsmount")
}
