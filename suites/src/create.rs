//! Creation of the descriptor: userfaultfd(2), and `/dev/userfaultfd`.

mod context;
mod descriptor;

mod flags;
mod node;
mod privilege;
mod setting;

use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::fcntl::readlink;
use uffd_harness::case::Axis;
use uffd_harness::kernel::device;

use crate::prelude::*;

/// A way to a userfaultfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `userfaultfd(flags)`
    Syscall,
    /// `USERFAULTFD_IOC_NEW` on `/dev/userfaultfd`
    Device,
}

impl Axis for Way {
    fn axis(&self) -> &'static str {
        "way"
    }
    fn value(&self) -> String {
        match self {
            Self::Syscall => "syscall",
            Self::Device => "device",
        }
        .to_owned()
    }
    fn needs(&self) -> Vec<Need> {
        vec![match self {
            Self::Syscall => Need::Syscall,
            Self::Device => Need::Device,
        }]
    }
}

impl Way {
    /// A userfaultfd made this way with these flags.
    pub fn create(self, flags: i32) -> Result<Uffd, Errno> {
        match self {
            Self::Syscall => Uffd::create(flags),
            Self::Device => Uffd::create_by_device(device::open()?.as_fd(), flags),
        }
    }

    /// The same where it must succeed.
    #[track_caller]
    pub fn uffd(self, flags: i32) -> Result<Uffd, Stop> {
        self.create(flags).map_err(|errno| broken(format!("creation with flags {flags:#x} failed with {errno:?}")))
    }
}

/// The flags that userfaultfd(2) names.
pub const FLAGS: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY;

/// The flags of userfaultfd(2) that this kernel takes: `UFFD_USER_MODE_ONLY` came with 5.11.
pub fn known_flags() -> i32 {
    if uffd_harness::kernel::current().ways.user_mode_only.is_none() { FLAGS } else { FLAGS & !UFFD_USER_MODE_ONLY }
}

/// What `/proc/self/fd` says the descriptor is.
pub fn link(uffd: &Uffd) -> Option<String> {
    readlink(format!("/proc/self/fd/{}", uffd.fd().as_raw_fd()).as_str()).ok()?.into_string().ok()
}
