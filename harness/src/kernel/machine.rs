//! What the machine and the caller's rights add to the kernel: memory, hugepages, capabilities, settings.

use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

use super::pool::Pool;

use crate::text;

/// The machine as the suite finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// CPUs that this process may use.
    pub cpus: usize,
    /// `MemTotal` in KiB.
    pub memory_kib: u64,
    /// The size of a base page in bytes.
    pub page_size: usize,
    /// The effective user.
    pub uid: u32,
    /// Effective capabilities by name.
    pub capabilities: Vec<String>,
    /// Whether this is the initial user namespace: only there do capabilities count for what belongs to the machine.
    #[serde(default = "yes")]
    pub initial_namespace: bool,
    /// `vm.unprivileged_userfaultfd`, if the kernel has it.
    pub unprivileged_userfaultfd: Option<u64>,
    /// Whether `/proc` shows this process its own tasks.
    pub procfs: bool,
    /// The word in brackets of `transparent_hugepage/enabled`, if the kernel has it.
    pub thp: Option<String>,
    /// The hugepage pools.
    pub pools: Vec<Pool>,
    /// `/proc/sys/kernel/tainted`.
    pub tainted: Option<u64>,
}

/// The number in a file that holds one.
pub(crate) fn read_number(path: impl AsRef<std::path::Path>) -> Option<u64> {
    text::read(path).ok()?.trim().parse().ok()
}

/// A field of `/proc/meminfo` in its own unit (KiB where it has one).
pub(crate) fn meminfo(field: &str) -> Option<u64> {
    let text = text::read("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Whether `/proc` is this kernel's, and that of this pid namespace.
fn shows_own_tasks() -> bool {
    let is_proc = rustix::fs::statfs("/proc").is_ok_and(|fs| fs.f_type == libc::PROC_SUPER_MAGIC);
    let own =
        std::fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == std::process::id().to_string().as_str());
    is_proc && own
}

/// Records of earlier versions do not say.
const fn yes() -> bool {
    true
}

/// Whether every user id stands for itself: user_namespaces(7).
fn is_initial_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.is_empty() || map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// How many processes the kernel has killed because memory ran out, of the machine or of a control group.
pub(crate) fn oom_kills() -> Option<u64> {
    let text = text::read("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

fn chosen(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// `f_type` of a ramfs: statfs(2).
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// The inode of the initial pid namespace: `PROC_PID_INIT_INO` of the kernel.
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Whether the root is an initramfs of a machine, and not the file tree of a container.
///
/// The first process of a pid namespace is process 1 as well, and must not take the host's machine for its own.
pub fn is_initramfs() -> bool {
    let in_memory = [RAMFS_MAGIC, libc::TMPFS_MAGIC];
    let root = rustix::fs::statfs("/").is_ok_and(|fs| in_memory.contains(&fs.f_type));
    // Before /proc is mounted there is no namespace to ask for.
    root && std::fs::metadata("/proc/self/ns/pid").map_or(true, |file| file.ino() == INITIAL_PID_NAMESPACE)
}

/// Whether the machine is there for this program alone and ends with it: a guest whose first process this program is.
pub fn is_disposable() -> bool {
    let program =
        |process: &str| std::fs::metadata(format!("/proc/{process}/exe")).map(|file| (file.dev(), file.ino()));
    is_initramfs() && matches!((program("1"), program("self")), (Ok(first), Ok(own)) if first == own)
}

impl Machine {
    /// Asks the machine.
    pub fn probe() -> Self {
        let mut capabilities: Vec<String> = caps::read(None, caps::CapSet::Effective)
            .map(|set| set.iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        capabilities.sort();
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_kib: meminfo("MemTotal").unwrap_or(0),
            page_size: crate::sys::page_size(),
            uid: nix::unistd::geteuid().as_raw(),
            capabilities,
            initial_namespace: is_initial_namespace(),
            unprivileged_userfaultfd: read_number("/proc/sys/vm/unprivileged_userfaultfd"),
            procfs: shows_own_tasks(),
            thp: chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
            pools: Pool::all(),
            tainted: read_number("/proc/sys/kernel/tainted"),
        }
    }

    /// Whether the capability is effective, by name such as `CAP_SYS_PTRACE`.
    pub fn has_capability(&self, name: &str) -> bool {
        self.capabilities.iter().any(|own| own == name)
    }

    /// The pool of pages of `size` bytes.
    pub fn pool(&self, size: usize) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.size_kib as usize * 1024 == size)
    }
}
