//! What a case needs, and why it is skipped where that is missing.

use serde::{Deserialize, Serialize};

use crate::kernel::{Kernel, feature};
use crate::memory::Memory;
use crate::mode::Mode;
use crate::uapi;

/// Who lacks what a case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The kernel has no such thing: other machines with it will not do better.
    Kernel,
    /// This machine or these rights do not allow it; the reason says what to change.
    Machine,
}

/// A missing need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// Who lacks it.
    pub who: Who,
    /// What is missing, and for the machine what to do.
    pub reason: String,
}

/// Something without which a case cannot be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// All of these `UFFD_FEATURE_*` bits.
    Feature(u64),
    /// A userfaultfd that sees faults of the kernel's own accesses.
    KernelFaults,
    /// `userfaultfd(0)` by the system call.
    Syscall,
    /// `UFFD_USER_MODE_ONLY` (since 5.11).
    UserModeOnly,
    /// `/dev/userfaultfd`, and access to it.
    Device,
    /// A capability in the initial user namespace, by name.
    Capability(&'static str),
    /// The memory type.
    Memory(Memory),
    /// This many hugepages of the memory type's size, instead of [`HUGEPAGES`].
    Hugepages(usize),
    /// This many KiB of free swap.
    Swap(u64),
    /// `madvise(MADV_POPULATE_READ)` and `MADV_POPULATE_WRITE` (since 5.14).
    Populate,
    /// io_uring, and leave to use it.
    IoUring,
    /// A place for a file with `O_DIRECT`.
    DirectFile,
}

/// The hugepages that a case on hugetlb memory gets unless it names a number.
pub const HUGEPAGES: usize = 4;

#[allow(clippy::unnecessary_wraps)] // Every caller answers with an Option.
fn kernel(reason: impl Into<String>) -> Option<Lack> {
    Some(Lack { who: Who::Kernel, reason: reason.into() })
}

#[allow(clippy::unnecessary_wraps)] // Every caller answers with an Option.
fn machine(reason: impl Into<String>) -> Option<Lack> {
    Some(Lack { who: Who::Machine, reason: reason.into() })
}

impl Need {
    /// What the register modes of a range of this memory need.
    pub fn of_mode(memory: Option<Memory>, mode: Mode) -> Vec<Self> {
        let mut features = 0;
        let shmem = memory.is_some_and(Memory::is_shmem);
        let hugetlb = memory.is_some_and(Memory::is_hugetlb);
        if mode.has(Mode::MISSING) {
            features |= if shmem { uapi::UFFD_FEATURE_MISSING_SHMEM } else { 0 };
            features |= if hugetlb { uapi::UFFD_FEATURE_MISSING_HUGETLBFS } else { 0 };
        }
        if mode.has(Mode::WP) {
            features |= uapi::UFFD_FEATURE_PAGEFAULT_FLAG_WP;
            features |= if shmem || hugetlb { uapi::UFFD_FEATURE_WP_HUGETLBFS_SHMEM } else { 0 };
        }
        if mode.has(Mode::MINOR) {
            features |= if shmem { uapi::UFFD_FEATURE_MINOR_SHMEM } else { 0 };
            features |= if hugetlb { uapi::UFFD_FEATURE_MINOR_HUGETLBFS } else { 0 };
        }
        if mode.has(Mode::RWP) {
            features |= uapi::UFFD_FEATURE_RWP;
        }
        if features == 0 { Vec::new() } else { vec![Self::Feature(features)] }
    }

    /// What is missing of this need here, if anything.
    pub fn lack(self, here: &Kernel, hugepages: usize) -> Option<Lack> {
        match self {
            Self::Feature(features) => {
                let missing = features & !here.features;
                if missing == 0 {
                    return None;
                }
                kernel(format!(
                    "the kernel does not offer UFFD_FEATURE_{}",
                    feature::names(missing).join(", UFFD_FEATURE_")
                ))
            }
            Self::KernelFaults => {
                if here.kernel_faults() {
                    return None;
                }
                machine(
                    "without CAP_SYS_PTRACE only user-mode faults are delivered: run as root, allow access to \
                     /dev/userfaultfd, or sysctl vm.unprivileged_userfaultfd=1",
                )
            }
            Self::Syscall => here.ways.syscall.as_deref().and_then(|errno| {
                machine(format!(
                    "userfaultfd(0) is refused with {errno}: run as root, or sysctl vm.unprivileged_userfaultfd=1"
                ))
            }),
            Self::UserModeOnly => match here.ways.user_mode_only.as_deref() {
                None => None,
                Some("EINVAL") => kernel("the kernel does not know UFFD_USER_MODE_ONLY"),
                Some(errno) => machine(format!(
                    "userfaultfd(UFFD_USER_MODE_ONLY) is refused with {errno}: run as root, or outside of the container"
                )),
            },
            Self::Device => match here.ways.device.as_deref() {
                None => None,
                Some("ENOENT" | "ENXIO" | "ENODEV") => lacks_node(),
                Some(errno) => machine(format!(
                    "/dev/userfaultfd is refused with {errno}: run as root or give this user access to the node"
                )),
            },
            Self::Capability(name) => {
                if !here.machine.initial_namespace {
                    return machine(format!(
                        "needs {name} in the initial user namespace: run as root outside of this one"
                    ));
                }
                if here.machine.has_capability(name) {
                    return None;
                }
                machine(format!("needs {name}: run as root, with all capabilities"))
            }
            Self::Memory(memory) => lacks_memory(memory, here, hugepages),
            // The number belongs to the memory type, or else to the whole case: `Declaration::lack`.
            Self::Hugepages(_) => None,
            Self::Swap(kib) => lacks_swap(kib),
            // An advice is looked at before a length of 0 ends the call: madvise(2).
            Self::Populate => match crate::sys::advise(0, 0, libc::MADV_POPULATE_READ) {
                Ok(()) => None,
                Err(_) => kernel("the kernel has no MADV_POPULATE_READ"),
            },
            Self::DirectFile => crate::actor::direct_file().err().and_then(|error| machine(error.to_string())),
            Self::IoUring => match crate::sys::uring::Ring::new() {
                Ok(_) => None,
                Err(nix::errno::Errno::ENOSYS) => kernel("the kernel has no io_uring"),
                Err(errno) => {
                    machine(format!("io_uring is refused with {errno:?}: see sysctl kernel.io_uring_disabled"))
                }
            },
        }
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Feature(features) => write!(out, "UFFD_FEATURE_{}", feature::names(*features).join(" UFFD_FEATURE_")),
            Self::Syscall => out.write_str("userfaultfd(2) itself"),
            Self::KernelFaults => out.write_str("faults of the kernel's own accesses"),
            Self::UserModeOnly => out.write_str("UFFD_USER_MODE_ONLY"),
            Self::Device => out.write_str("/dev/userfaultfd"),
            Self::Capability(name) => out.write_str(name),
            Self::Memory(memory) => write!(out, "{memory} memory"),
            Self::Hugepages(count) => write!(out, "{count} hugepages"),
            Self::Swap(kib) => write!(out, "{kib} KiB of free swap"),
            Self::Populate => out.write_str("MADV_POPULATE_READ"),
            Self::IoUring => out.write_str("io_uring"),
            Self::DirectFile => out.write_str("a file system with O_DIRECT"),
        }
    }
}

fn lacks_swap(kib: u64) -> Option<Lack> {
    let free = crate::kernel::machine::meminfo("SwapFree").unwrap_or(0);
    if free >= kib {
        return None;
    }
    machine(format!("needs {kib} KiB of free swap, {free} KiB are there: swapon(8), or load zram and swap on it"))
}

/// `/dev/userfaultfd` is missing: the kernel has none, or it is not shown here.
fn lacks_node() -> Option<Lack> {
    let devices = std::fs::read_to_string("/proc/misc").unwrap_or_default();
    let number = devices.lines().find_map(|line| line.trim().strip_suffix(" userfaultfd"));
    match number {
        Some(minor) => machine(format!(
            "the kernel has a /dev/userfaultfd that is not shown here: mknod -m 600 /dev/userfaultfd c 10 {minor}"
        )),
        None => kernel("the kernel has no /dev/userfaultfd"),
    }
}

fn lacks_memory(memory: Memory, here: &Kernel, hugepages: usize) -> Option<Lack> {
    let is_thp = memory == Memory::AnonThp;
    if !is_thp && !memory.is_hugetlb() {
        return None;
    }
    if !std::path::Path::new("/sys/kernel/mm").exists() {
        return machine("/sys is not mounted, so hugepages cannot be told: mount -t sysfs sysfs /sys");
    }
    if !is_thp {
        return lacks_hugepages(memory.page_size(), here, hugepages);
    }
    match here.machine.thp.as_deref() {
        None => kernel("the kernel has no transparent huge pages"),
        Some("never") => {
            machine("transparent huge pages are off: write madvise to /sys/kernel/mm/transparent_hugepage/enabled")
        }
        Some(_) => None,
    }
}

/// Too few free hugepages of `size` bytes.
pub(crate) fn lacks_hugepages(size: usize, here: &Kernel, hugepages: usize) -> Option<Lack> {
    let kib = size / 1024;
    if here.machine.pools.is_empty() {
        return kernel("the kernel has no hugetlb pages");
    }
    let Some(pool) = here.machine.pool(size) else {
        return machine(format!("no hugepages of {kib} KiB: boot with hugepagesz={kib}K"));
    };
    let free = pool.available();
    if free >= hugepages as u64 {
        // What is copied into such pages stands in ordinary memory before.
        let (beside, wanted) =
            (here.machine.memory_kib.saturating_sub(pool.total * kib as u64), (hugepages * kib) as u64);
        return if beside >= wanted {
            None
        } else {
            machine(format!(
                "needs {} MiB of memory beside the hugepages of {kib} KiB to copy from, {} are there: \
                 boot with more memory",
                wanted >> 10,
                beside >> 10
            ))
        };
    }
    let setting = format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages");
    let wanted = (pool.total + hugepages as u64).saturating_sub(free);
    let what = if pool.others > 0 {
        format!("{} are lent to another run: let it end, or write {wanted} to {setting}", pool.others)
    } else if !crate::kernel::pool::may_change(size) {
        format!("run as root, or have root write {wanted} to {setting} (read-only here)")
    } else if size == crate::kernel::default_hugepage_size() {
        format!("no more were to be had, memory is too small or too fragmented: boot with hugepages={wanted}")
    } else {
        format!("boot with hugepagesz={kib}K hugepages={wanted}, or write {wanted} to {setting}")
    };
    machine(format!("needs {hugepages} free hugepages of {kib} KiB, {free} are there: {what}"))
}
