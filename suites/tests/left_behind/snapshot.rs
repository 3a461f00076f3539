//! What of the machine the suite could change, written down.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::shown::{Shown, wrong};

/// How long what is about to end may take to be gone.
const SETTLING: Duration = Duration::from_secs(20);

/// Each thing and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

/// The name of the record, which is meant to be left.
pub const RECORD: &str = "record.jsonl";

/// Files that hold one setting each, and folders of such files.
const SETTINGS: [&str; 6] = [
    "/proc/sys/vm",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/io_uring_disabled",
    "/proc/sys/kernel/shm_rmid_forced",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/kernel/mm/transparent_hugepage/khugepaged",
];

/// Files beside them that count what the kernel does by itself, and pages that anybody may take; one acts when it is read.
const COUNTERS: [&str; 5] = ["stat_refresh", "full_scans", "pages_collapsed", "free_hugepages", "resv_hugepages"];

/// Tables that only change if somebody changes the machine.
const TABLES: [&str; 3] = ["/proc/self/mountinfo", "/proc/swaps", "/proc/sysvipc/shm"];

/// Folders in which nobody else makes files under such names as ours.
const FOLDERS: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/dev"];

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![folder.to_owned()] };
    let is_setting = |path: &PathBuf| path.is_file() && !COUNTERS.iter().any(|counter| path.ends_with(counter));
    entries.flatten().map(|entry| entry.path()).filter(is_setting).collect()
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.contains("uffd") || name.contains("userfaultfd")
}

fn folders_of(root: &str) -> Vec<PathBuf> {
    fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

impl Snapshot {
    /// The machine as it is, and the processes of the program `exe`.
    pub fn take(exe: &Path) -> Self {
        let mut all = BTreeMap::new();
        let mut note = |name: &Path, value: String| drop(all.insert(name.display().to_string(), value));
        let settings = SETTINGS.iter().flat_map(|path| files(Path::new(path)));
        let pools = folders_of("/sys/kernel/mm/hugepages").into_iter().flat_map(|pool| files(&pool));
        for path in settings.chain(pools).chain(TABLES.map(PathBuf::from)) {
            if let Ok(text) = fs::read_to_string(&path) {
                note(&path, text);
            }
        }
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        // Where the command runs, everything is ours.
        let here = entries(exe.parent().unwrap_or(exe)).filter(|path| path != exe && !path.ends_with(RECORD));
        let elsewhere = FOLDERS.iter().flat_map(|folder| entries(Path::new(folder))).filter(|path| is_ours(path));
        for path in here.chain(elsewhere) {
            if let Ok(file) = fs::symlink_metadata(&path) {
                note(&path, format!("{:o} {}:{} {:x}", file.mode(), file.uid(), file.gid(), file.rdev()));
            }
        }
        for hierarchy in [vec![PathBuf::from("/sys/fs/cgroup")], folders_of("/sys/fs/cgroup")].concat() {
            let groups = folders_of(&hierarchy.display().to_string()).into_iter().filter(|path| is_ours(path));
            groups.for_each(|group| note(&group, "a control group".to_owned()));
            let control = hierarchy.join("cgroup.subtree_control");
            if let Ok(text) = fs::read_to_string(&control) {
                note(&control, text);
            }
        }
        for (process, state) in processes(exe) {
            note(&Path::new("/proc").join(process.to_string()), state);
        }
        Self(all)
    }

    /// Waits until the machine is again as it was; an error says what is not.
    pub fn is_restored(&self, exe: &Path) -> Shown {
        let given_up = Instant::now() + SETTLING;
        loop {
            let now = Self::take(exe);
            if now == *self {
                return Ok(());
            }
            if Instant::now() > given_up {
                return wrong(self.differences(&now));
            }
            std::thread::yield_now();
        }
    }

    fn differences(&self, now: &Self) -> String {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let changed = names.into_iter().filter(|name| self.0.get(*name) != now.0.get(*name));
        let told = changed.map(|name| format!("{name}: {:?}, before {:?}", now.0.get(name), self.0.get(name)));
        told.collect::<Vec<_>>().join("\n")
    }
}

/// The processes that run the program `exe`, with their names; with them go their memfds and unnamed files.
pub fn processes(exe: &Path) -> Vec<(i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    processes
        .filter(|process| fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|program| program == exe))
        .filter_map(|process| Some((process, fs::read_to_string(format!("/proc/{process}/comm")).ok()?)))
        .collect()
}
