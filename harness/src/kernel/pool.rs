//! Hugepage pools: what is there, and pages lent to a run, which are taken back whatever becomes of it.
//!
//! `Documentation/admin-guide/mm/hugetlbpage.rst`.

use std::io::Write as _;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::lock;
use super::machine::read_number;
use super::note::{self, Lent, Note};
use crate::keeper::Keeper;
use crate::{Error, Result};

/// A pool of hugepages of one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The size of a page in KiB.
    pub size_kib: u64,
    /// `nr_hugepages`
    pub total: u64,
    /// `free_hugepages`
    pub free: u64,
    /// `resv_hugepages`
    pub reserved: u64,
    /// Pages that other runs have lent to themselves, idle or not.
    #[serde(default)]
    pub others: u64,
    /// Pages that were lent to this run.
    #[serde(default)]
    pub lent: u64,
}

const FOLDER: &str = "/sys/kernel/mm/hugepages";

impl Pool {
    /// Every pool of this machine, smallest pages first.
    pub fn all() -> Vec<Self> {
        let Ok(folder) = std::fs::read_dir(FOLDER) else { return Vec::new() };
        let mut pools: Vec<Self> = folder
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok())
            .filter_map(Self::of_size)
            .collect();
        pools.sort_by_key(|pool| pool.size_kib);
        pools
    }

    fn of_size(size_kib: u64) -> Option<Self> {
        let read = |name: &str| counter(size_kib, name);
        Some(Self {
            size_kib,
            total: read("nr_hugepages")?,
            free: read("free_hugepages")?,
            reserved: read("resv_hugepages")?,
            others: note::lent_to(size_kib, |run| run != std::process::id()),
            lent: note::lent_to(size_kib, |run| run == std::process::id()),
        })
    }

    /// Pages that nobody uses or has reserved, and that no other run counts on.
    pub fn available(&self) -> u64 {
        let unused = self.free.saturating_sub(self.reserved);
        // Of the others' pages some may be in use already; what was lent to us is ours in any case.
        unused.saturating_sub(self.others).max(self.lent.min(unused))
    }
}

fn file(size_kib: u64, name: &str) -> String {
    format!("{FOLDER}/hugepages-{size_kib}kB/{name}")
}

fn setting(size_kib: u64) -> String {
    file(size_kib, "nr_hugepages")
}

fn counter(size_kib: u64, name: &str) -> Option<u64> {
    read_number(file(size_kib, name))
}

/// Whether this process may change the pool of pages of `size` bytes.
pub fn may_change(size: usize) -> bool {
    rustix::fs::access(setting(size as u64 / 1024), rustix::fs::Access::WRITE_OK).is_ok()
}

/// The pages of a pool that are there for good: `nr_hugepages` without `surplus_hugepages`.
fn persistent(size_kib: u64) -> u64 {
    let read = || ["nr_hugepages", "surplus_hugepages"].map(|name| counter(size_kib, name).unwrap_or(0));
    let mut counters = read();
    // A surplus page that goes between the two readings would be taken for one that stays.
    for _ in 0..TORN_TRIES {
        let again = read();
        if again == counters {
            break;
        }
        counters = again;
    }
    counters[0].saturating_sub(counters[1])
}

/// How often the counters of a pool are read anew: others may be changing it all the time.
const TORN_TRIES: usize = 1000;

/// Changes the pages that stay in the pool by `pages`, alone among runs; gives the change that the kernel made.
///
/// `nr_hugepages` also counts surplus pages, which go by themselves when their users do: to write it back as it was would keep them.
fn change(size_kib: u64, pages: i64) -> Result<i64> {
    let path = setting(size_kib);
    let failed = |error| Error::file(&path, error);
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).map_err(failed)?;
    // A lock on the pool's own file keeps two runs from undoing each other's change.
    lock::wait(&file, FlockOperation::LockExclusive, "flock(nr_hugepages)")?;
    let mut set = |number: i64| file.write_all(number.max(0).to_string().as_bytes()).map_err(failed);
    let number = || persistent(size_kib) as i64;
    let before = number();
    set(before + pages)?;
    let after = number();
    for _ in 0..STRANDED_TRIES {
        let stranded = stranded(size_kib) as i64;
        if pages >= 0 || stranded == 0 {
            break;
        }
        // Made part of the pool they are pages like others, which a smaller pool gives back.
        set(after + stranded)?;
        set(after)?;
    }
    Ok(after - before)
}

/// How often stranded pages are given back anew: each time their users may end at the same bad moment.
const STRANDED_TRIES: usize = 100;

/// Surplus pages that nobody uses or has reserved, and that therefore never go.
///
/// The kernel makes a surplus page of each that is in use when its pool becomes smaller, so that it goes with its user. It
/// counts the users before it gives the free pages back, and does not look again: a page whose user ends in between is a free
/// page of the surplus (`set_max_huge_pages`, seen on 6.18).
fn stranded(size_kib: u64) -> u64 {
    let read = |name: &str| counter(size_kib, name).unwrap_or(0);
    read("surplus_hugepages").min(read("free_hugepages").saturating_sub(read("resv_hugepages")))
}

/// Puts a page into the pool for one that the hardware has lost: such a page stays in the pool, and is of no use there.
pub fn replace_lost_page(size: usize) -> Result<()> {
    change(size as u64 / 1024, 1).map(drop)
}

/// A pool that is larger until this is dropped, or the run dies.
#[derive(Debug)]
pub struct Loan {
    /// The size of a page in KiB.
    pub size_kib: u64,
    _keeper: Keeper,
}

impl Loan {
    /// Makes the pool of pages of `size` bytes larger by `pages`, as far as the machine lets us.
    ///
    /// Added to whatever is there, because another run may be counting on that. Nothing if the pool may not be changed. To be
    /// called while the process has one thread.
    pub fn new(size: usize, pages: u64) -> Option<Self> {
        let size_kib = size as u64 / 1024;
        if pages == 0 || !may_change(size) {
            return None;
        }
        let run = std::process::id();
        let lend = || {
            let mut note = Note::new();
            let before = persistent(size_kib);
            let mut tell = |pages: u64, done: bool| {
                if let Some(note) = &mut note {
                    note.write(&Lent { run, size_kib, before, pages, done });
                }
            };
            tell(pages, false);
            let lent = change(size_kib, pages as i64)?;
            tell(lent.max(0) as u64, true);
            Ok((lent, note))
        };
        // The note goes only when the pages are back.
        let take_back = move |(lent, note): (i64, Option<Note>)| {
            let _ = change(size_kib, -lent);
            drop(note);
        };
        let keeper = Keeper::start(lend, take_back).ok()?;
        Some(Self { size_kib, _keeper: keeper })
    }
}

/// Takes back what was lent by keepers that were killed; says what that was.
pub(super) fn take_back() -> Vec<String> {
    let back = |lent: Lent| {
        let now = persistent(lent.size_kib);
        // A keeper that died while it changed the pool may have added less, or nothing.
        let pages = if lent.done { lent.pages } else { lent.pages.min(now.saturating_sub(lent.before)) };
        let taken = -change(lent.size_kib, -(pages as i64)).ok()?;
        (taken > 0).then(|| format!("{taken} hugepages of {} KiB", lent.size_kib))
    };
    note::left_behind().into_iter().filter_map(back).collect()
}
