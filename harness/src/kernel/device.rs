//! `/dev/userfaultfd`, and nodes of the same device that nobody else can see: userfaultfd.rst, "Creating a userfaultfd".

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::sys::stat::{Mode, SFlag, mknodat};
use rustix::fs::OFlags;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::Named as _;
use crate::{Errno, Error, Result};

/// The node that every user is meant to use.
pub const NODE: &str = "/dev/userfaultfd";

/// Opens the node as it stands.
pub fn open() -> Result<OwnedFd, Errno> {
    open_at(rustix::fs::CWD, NODE)
}

fn open_at(folder: impl std::os::fd::AsFd, name: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(folder, name, OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty())
        .map_err(|error| Errno::from_raw(error.raw_os_error()))
}

/// A node of the device, owned by root, with rights of its own; on a tmpfs that is mounted nowhere and goes with it.
#[derive(Debug)]
pub struct PrivateNode {
    folder: OwnedFd,
}

impl PrivateNode {
    /// Makes the node with these permission bits.
    pub fn new(permissions: u32) -> Result<Self> {
        let device = std::fs::metadata(NODE).map_err(|error| Error::file(NODE, error))?.rdev();
        let refused =
            |error: Error| Error::Machine(format!("a device node on a tmpfs of its own ({error}): run as root"));
        let folder = tmpfs().map_err(refused)?;
        let kind = SFlag::S_IFCHR;
        mknodat(&folder, "node", kind, Mode::from_bits_truncate(permissions), device)
            .named("mknod")
            .map_err(refused)?;
        // The file creation mask has no say in the node's rights.
        let mode = rustix::fs::Mode::from_bits_truncate(permissions);
        rustix::fs::chmodat(&folder, "node", mode, rustix::fs::AtFlags::empty()).named("chmod").map_err(refused)?;
        Ok(Self { folder })
    }

    /// Opens the node.
    pub fn open(&self) -> Result<OwnedFd, Errno> {
        open_at(&self.folder, "node")
    }
}

/// The root of a fresh tmpfs that everyone may search.
fn tmpfs() -> Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).named("fsopen")?;
    fsconfig_create(context.as_fd()).named("fsconfig")?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).named("fsmount")
}
