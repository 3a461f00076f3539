//! What this kernel offers of userfaultfd and what this machine adds: probed once, before the first case.

pub mod cgroup;
pub mod device;
pub mod feature;
pub mod leftover;
pub mod lock;
pub mod machine;
mod note;
pub mod pool;
pub mod sysctl;

use std::os::fd::AsFd;
use std::sync::OnceLock;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::uapi;
use crate::uffd::Uffd;
use machine::Machine;

/// How userfaultfds are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Creation {
    /// `userfaultfd(0)`: faults of the kernel's own accesses are delivered too.
    Syscall,
    /// `USERFAULTFD_IOC_NEW` on `/dev/userfaultfd`, as capable as [`Self::Syscall`].
    Device,
    /// `userfaultfd(UFFD_USER_MODE_ONLY)`: only faults from user mode.
    UserModeOnly,
}

/// The ways to a userfaultfd, each with the errno that refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// `userfaultfd(0)`: nothing, or the errno's name.
    pub syscall: Option<String>,
    /// `userfaultfd(UFFD_USER_MODE_ONLY)`: nothing, or the errno's name.
    pub user_mode_only: Option<String>,
    /// `/dev/userfaultfd`: nothing, or the errno's name.
    pub device: Option<String>,
}

/// The running kernel's userfaultfd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `uname -m`.
    pub architecture: String,
    /// How the suite makes its userfaultfds; nothing if no way is open.
    pub creation: Option<Creation>,
    /// Every way, with what refuses it.
    pub ways: Ways,
    /// `features` of a handshake that asks for none.
    pub features: u64,
    /// `ioctls` of that handshake.
    pub ioctls: u64,
    /// The errno's name if the handshake itself failed.
    pub handshake: Option<String>,
    /// What the machine adds.
    pub machine: Machine,
}

static CURRENT: OnceLock<Kernel> = OnceLock::new();

/// The kernel as probed at the first call in this process; forked cases inherit it.
pub fn current() -> &'static Kernel {
    CURRENT.get_or_init(Kernel::probe)
}

/// The flags of every userfaultfd that the suite makes for itself.
pub const CREATION_FLAGS: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK;

fn name(errno: Errno) -> String {
    format!("{errno:?}")
}

fn by_device(flags: i32) -> Result<Uffd, Errno> {
    Uffd::create_by_device(device::open()?.as_fd(), flags)
}

impl Creation {
    /// A userfaultfd made this way, with these `O_*` flags.
    pub fn create(self, flags: i32) -> Result<Uffd, Errno> {
        match self {
            Self::Syscall => Uffd::create(flags),
            Self::Device => by_device(flags),
            Self::UserModeOnly => Uffd::create(flags | uapi::UFFD_USER_MODE_ONLY),
        }
    }
}

impl Kernel {
    /// Asks the running kernel; each question takes a descriptor of its own.
    pub fn probe() -> Self {
        let refusal = |creation: Creation| creation.create(CREATION_FLAGS).err();
        let (syscall, device, user) =
            (refusal(Creation::Syscall), refusal(Creation::Device), refusal(Creation::UserModeOnly));
        let creation = [(Creation::Syscall, syscall), (Creation::Device, device), (Creation::UserModeOnly, user)]
            .into_iter()
            .find_map(|(creation, refusal)| refusal.is_none().then_some(creation));
        let handshake =
            creation.and_then(|creation| creation.create(CREATION_FLAGS).ok()).map(|uffd| uffd.api(uapi::UFFD_API, 0));
        let uname = nix::sys::utsname::uname().ok();
        let text = |get: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
            uname.as_ref().map(|uname| get(uname).to_string_lossy().into_owned()).unwrap_or_default()
        };
        Self {
            release: text(nix::sys::utsname::UtsName::release),
            version: text(nix::sys::utsname::UtsName::version),
            architecture: text(nix::sys::utsname::UtsName::machine),
            creation,
            ways: Ways { syscall: syscall.map(name), user_mode_only: user.map(name), device: device.map(name) },
            features: handshake.map_or(0, |reply| if reply.result.is_ok() { reply.features } else { 0 }),
            ioctls: handshake.map_or(0, |reply| if reply.result.is_ok() { reply.ioctls } else { 0 }),
            handshake: handshake.and_then(|reply| reply.result.err()).map(name),
            machine: Machine::probe(),
        }
    }

    /// Whether faults of the kernel's own accesses are delivered.
    pub fn kernel_faults(&self) -> bool {
        matches!(self.creation, Some(Creation::Syscall | Creation::Device))
    }

    /// Whether the kernel offers every one of these feature bits.
    pub fn has(&self, features: u64) -> bool {
        self.features & features == features
    }

    /// A fresh userfaultfd (`O_CLOEXEC | O_NONBLOCK`), before its handshake.
    pub fn create(&self) -> Result<Uffd, Errno> {
        self.creation.ok_or(Errno::EPERM)?.create(CREATION_FLAGS)
    }

    /// One line for a person if there is no userfaultfd at all, with what to do.
    ///
    /// Any other refusal is the kernel's defect, and cases are there to say so.
    pub fn absence(&self) -> Option<String> {
        if self.creation.is_some() {
            return None;
        }
        let errno = self.ways.syscall.as_deref().unwrap_or_default();
        let why = match errno {
            "ENOSYS" => "this kernel has no userfaultfd (CONFIG_USERFAULTFD), or a seccomp filter hides it",
            "EPERM" => {
                "userfaultfd is refused (a seccomp filter, or a kernel before 5.11 with vm.unprivileged_userfaultfd=0): \
                 run as root, or outside the container"
            }
            _ => return None,
        };
        Some(format!("{why}: userfaultfd(2) answered {errno}"))
    }
}

/// The default hugepage size in bytes; 2 MiB where the kernel names none.
pub fn default_hugepage_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| machine::meminfo("Hugepagesize").map_or(2 << 20, |kib| (kib * 1024) as usize))
}

/// The size of a transparent huge page in bytes; 2 MiB where the kernel names none.
pub fn thp_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        machine::read_number("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").map_or(2 << 20, |size| size as usize)
    })
}
