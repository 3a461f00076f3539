//! Memory control groups: `Documentation/admin-guide/cgroup-v1/memory.rst`, `Documentation/admin-guide/cgroup-v2.rst`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::lock;
use crate::keeper::Keeper;
use crate::{Error, Result};

/// How long a killed process may take to leave its group.
const DYING: Duration = Duration::from_secs(10);

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
    _keeper: Keeper,
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
        let (root, version) = mounted()
            .ok_or_else(|| lack("no hierarchy with it is mounted: mount -t cgroup2 none /sys/fs/cgroup".to_owned()))?;
        let folder = root.join(format!("{NAME}{}", std::process::id()));
        let keeper = Keeper::start(|| make(&root, &folder, version), unmake)
            .map_err(|error| lack(format!("{error}: run as root, with control groups that may be written")))?;
        let group = Self { folder, version, _keeper: keeper };
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
                .map_err(|error| Error::Machine(format!("needs CAP_SYS_RESOURCE ({error}): run as root")))?;
        }
        self.set("cgroup.procs", &pid.to_string())
    }
}

/// What is to be unmade.
struct Made {
    folder: PathBuf,
    /// The file by which the controller was switched on for it.
    control: Option<PathBuf>,
    /// Keeps others from switching the controller on or off meanwhile.
    _lock: Option<File>,
}

fn make(root: &Path, folder: &Path, version: Version) -> Result<Made> {
    let (control, lock) = if version == Version::V2 { switch_on(root)? } else { (None, None) };
    let made = Made { folder: folder.to_owned(), control, _lock: lock };
    if let Err(error) = fs::create_dir(folder) {
        unmake(made);
        return Err(Error::file(folder.display().to_string(), error));
    }
    Ok(made)
}

/// Sees to it that groups have the controller; the file by which it was switched on, and the lock on it.
fn switch_on(root: &Path) -> Result<(Option<PathBuf>, Option<File>)> {
    let control = root.join("cgroup.subtree_control");
    let file = File::open(&control).map_err(|error| Error::file(control.display().to_string(), error))?;
    let lock = |how| lock::wait(&file, how, "flock(cgroup.subtree_control)");
    let is_on = || fs::read_to_string(&control).is_ok_and(|text| text.split_whitespace().any(|name| name == "memory"));
    lock(FlockOperation::LockShared)?;
    if is_on() {
        return Ok((None, Some(file)));
    }
    lock(FlockOperation::LockExclusive)?;
    write(&control, "+memory")?;
    Ok((Some(control), Some(file)))
}

fn unmake(made: Made) {
    remove(&made.folder);
    if let Some(control) = made.control {
        let _ = write(&control, "-memory");
    }
}

/// Removes a group whose processes have been killed.
fn remove(folder: &Path) {
    let given_up = Instant::now() + DYING;
    loop {
        match fs::remove_dir(folder) {
            // A process that has been waited for may still be on its way out of the group.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < given_up => {
                std::thread::yield_now();
            }
            _ => return,
        }
    }
}

/// Removes the groups of cases that were killed together with their keepers; how many.
pub(super) fn clean() -> usize {
    let Some((root, _)) = mounted() else { return 0 };
    let entries = fs::read_dir(&root).into_iter().flatten().flatten();
    let is_ours = |name: &str| name.strip_prefix(NAME).is_some_and(|pid| !Path::new("/proc").join(pid).exists());
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_ours))
        .filter(|entry| fs::remove_dir(entry.path()).is_ok())
        .count()
}
