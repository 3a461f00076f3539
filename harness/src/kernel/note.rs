//! What keepers have lent, written down where the next run finds it: a keeper that is killed cannot take it back.
//!
//! A note is a file that its keeper holds locked and removes at the end. One that nobody holds was left behind.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

/// Where notes stand; it is gone after a boot, as what they tell of is.
const FOLDER: &str = "/run";

/// The beginning of their names; the id of the keeper follows.
const NAME: &str = "uffd-conformance.lent.";

/// What one keeper has lent to one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lent {
    /// The run's process.
    pub run: u32,
    /// The size of the pages in KiB.
    pub size_kib: u64,
    /// How many there were before.
    pub before: u64,
    /// How many were added, or are just about to be.
    pub pages: u64,
    /// Whether they have been added.
    pub done: bool,
}

/// A note, locked; its file goes when this is dropped.
#[derive(Debug)]
pub(super) struct Note {
    file: File,
    path: PathBuf,
}

impl Note {
    /// A new note of the calling process; nothing where none can be kept.
    pub(super) fn new() -> Option<Self> {
        let path = Path::new(FOLDER).join(format!("{NAME}{}", std::process::id()));
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).ok()?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive).ok()?;
            // Whoever cleans up may have removed it before it was locked.
            if file.metadata().ok()?.nlink() > 0 {
                return Some(Self { file, path });
            }
        }
    }

    /// Writes down what is lent, over what stood there.
    pub(super) fn write(&mut self, lent: &Lent) {
        let text = serde_json::to_vec(lent).unwrap_or_default();
        let _ = self.file.rewind().and_then(|()| self.file.set_len(0)).and_then(|()| self.file.write_all(&text));
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn paths() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME)).map(|entry| entry.path())
}

fn read(path: &Path) -> Option<Lent> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// How many pages of this size are lent to those runs whose process `counts`.
pub(super) fn lent_to(size_kib: u64, counts: impl Fn(u32) -> bool) -> u64 {
    let is_held = |path: &PathBuf| {
        File::open(path).is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    };
    paths()
        .filter(is_held)
        .filter_map(|path| read(&path))
        .filter(|lent| lent.size_kib == size_kib && counts(lent.run))
        .fold(0, |sum, lent| sum.saturating_add(lent.pages))
}

/// Takes away the notes whose keepers are dead; what they had lent.
pub(super) fn left_behind() -> Vec<Lent> {
    let take = |path: PathBuf| {
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        if file.metadata().ok()?.nlink() == 0 {
            return None;
        }
        let lent = read(&path);
        std::fs::remove_file(&path).ok()?;
        lent
    };
    paths().filter_map(take).collect()
}
