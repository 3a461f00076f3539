//! Memory control groups: `Documentation/admin-guide/cgroup-v1/memory.rst`, `Documentation/admin-guide/cgroup-v2.rst`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Which of the two interfaces a hierarchy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A memory control group of the harness's own, with a limit; gone when dropped.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    version: Version,
}

/// The name's beginning; the id of the process that made it follows.
const NAME: &str = "uffd-conformance-";

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::file(path.display().to_string(), error))
}

/// Where a hierarchy with the memory controller is mounted.
fn mounted() -> Option<(PathBuf, Version)> {
    let mounts = procfs::process::Process::myself().and_then(|process| process.mountinfo()).ok()?;
    mounts.into_iter().find_map(|mount| {
        let version = match mount.fs_type.as_str() {
            "cgroup" if mount.super_options.contains_key("memory") => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let controllers = fs::read_to_string(mount.mount_point.join("cgroup.controllers")).unwrap_or_default();
        let here = version == Version::V1 || controllers.split_whitespace().any(|name| name == "memory");
        here.then_some((mount.mount_point, version))
    })
}

impl MemoryGroup {
    /// A group that may hold `limit` bytes and nothing in swap; the machine's lack where that is not allowed.
    pub fn new(limit: usize) -> Result<Self> {
        let lack = |reason: String| Error::Machine(format!("no memory control group can be made: {reason}"));
        let (root, version) = mounted().ok_or_else(|| lack("no hierarchy with it is mounted".to_owned()))?;
        sweep(&root);
        let folder = root.join(format!("{NAME}{}", std::process::id()));
        let make = || {
            if version == Version::V2 {
                write(&root.join("cgroup.subtree_control"), "+memory")?;
            }
            fs::create_dir(&folder).map_err(|error| Error::file(folder.display().to_string(), error))
        };
        make().map_err(|error| lack(error.to_string()))?;
        let group = Self { folder, version };
        group.limit(limit)?;
        if version == Version::V1 {
            // Who asks for more gets an error and nobody is killed.
            group.set("memory.oom_control", "1")?;
            group.set("memory.swappiness", "0")?;
        } else if group.folder.join("memory.swap.max").exists() {
            group.set("memory.swap.max", "0")?;
        }
        Ok(group)
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        write(&self.folder.join(file), value)
    }

    /// Sets how many bytes it may hold.
    pub fn limit(&self, bytes: usize) -> Result<()> {
        let file = if self.version == Version::V1 { "memory.limit_in_bytes" } else { "memory.max" };
        self.set(file, &bytes.to_string())
    }

    /// Moves a process into it; what the process has already is not counted.
    ///
    /// The process is not killed when there is no more to have.
    pub fn take(&self, pid: i32) -> Result<()> {
        if self.version == Version::V2 {
            write(Path::new(&format!("/proc/{pid}/oom_score_adj")), "-1000")
                .map_err(|error| Error::Machine(format!("needs CAP_SYS_RESOURCE: {error}")))?;
        }
        self.set("cgroup.procs", &pid.to_string())
    }
}

/// Removes the groups of cases that were killed: those whose process is no more.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(NAME).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that has been waited for may still be on its way out of the group.
        for _ in 0..1000 {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::yield_now(),
                _ => return,
            }
        }
    }
}
