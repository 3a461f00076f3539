//! Hugepage pools: what is there, and a keeper that lends pages to a run and takes them back whatever becomes of it.
//!
//! `Documentation/admin-guide/mm/hugetlbpage.rst`.

use std::io::{Read as _, Seek as _, Write as _};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask};
use nix::unistd::{ForkResult, Pid};
use serde::{Deserialize, Serialize};

use super::machine::read_number;
use crate::error::Named as _;
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
        let read = |name: &str| read_number(&format!("{FOLDER}/hugepages-{size_kib}kB/{name}"));
        Some(Self {
            size_kib,
            total: read("nr_hugepages")?,
            free: read("free_hugepages")?,
            reserved: read("resv_hugepages")?,
        })
    }

    /// Pages that nobody uses or has reserved.
    pub fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved)
    }
}

/// Changes `nr_hugepages` by `pages`, alone among runs; gives the change that the kernel made.
fn change(size_kib: u64, pages: i64) -> Result<i64> {
    let path = format!("{FOLDER}/hugepages-{size_kib}kB/nr_hugepages");
    let mut file =
        std::fs::OpenOptions::new().read(true).write(true).open(&path).map_err(|error| Error::file(&path, error))?;
    // A lock on the pool's own file keeps two runs from undoing each other's change.
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).named("flock(nr_hugepages)")?;
    let mut number = || -> std::io::Result<i64> {
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        text.trim().parse().map_err(std::io::Error::other)
    };
    let before = number().map_err(|error| Error::file(&path, error))?;
    let wanted = (before + pages).max(0);
    let file = std::fs::OpenOptions::new().write(true).open(&path);
    file.and_then(|mut file| file.write_all(wanted.to_string().as_bytes()))
        .map_err(|error| Error::file(&path, error))?;
    let after = number().map_err(|error| Error::file(&path, error))?;
    Ok(after - before)
}

/// Puts a page into the pool for one that the hardware has lost: such a page stays in the pool, and is of no use there.
pub fn replace_lost_page(size: usize) -> Result<()> {
    change(size as u64 / 1024, 1).map(drop)
}

/// A process that has enlarged a pool and makes it smaller again when the run ends, however it ends.
#[derive(Debug)]
pub struct Keeper {
    process: Pid,
}

impl Keeper {
    /// Makes the pool of pages of `size` bytes larger by `pages`, as far as the machine lets us.
    ///
    /// Added to whatever is there, because another run may be counting on that. Nothing if the pool may not be changed. To be
    /// called while the process has one thread.
    pub fn lend(size: usize, pages: u64) -> Option<Self> {
        let size_kib = size as u64 / 1024;
        let path = format!("{FOLDER}/hugepages-{size_kib}kB/nr_hugepages");
        if pages == 0 || rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_err() {
            return None;
        }
        let parent = nix::unistd::getpid();
        let (ready, report) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).ok()?;
        let keeper = match crate::sys::fork().ok()? {
            ForkResult::Parent { child } => Self { process: child },
            ForkResult::Child => {
                drop(ready);
                keep(size_kib, pages as i64, report, parent);
            }
        };
        drop(report);
        // The end of the pipe says that the pool is as large as it gets.
        let _ = std::fs::File::from(ready).read(&mut [0]);
        Some(keeper)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = kill(self.process, Signal::SIGUSR1);
        let _ = nix::sys::wait::waitpid(self.process, None);
    }
}

/// The keeper's whole life: enlarge, say so, wait for the run's end or death, take back.
fn keep(size_kib: u64, pages: i64, report: std::os::fd::OwnedFd, parent: Pid) -> ! {
    // A session of its own and no signal but the one it waits for: a Ctrl-C is for the run, not for its keeper.
    let _ = nix::unistd::setsid();
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGUSR1);
    let _ = nix::sys::prctl::set_name(c"uffd-hugepages");
    crate::sys::close_all_but(&report);
    let lent = if nix::unistd::getppid() == parent { change(size_kib, pages).unwrap_or(0) } else { 0 };
    drop(report);
    let mut end = SigSet::empty();
    end.add(Signal::SIGUSR1);
    while lent != 0 && nix::unistd::getppid() == parent && end.wait().is_err() {}
    let _ = change(size_kib, -lent);
    crate::sys::exit_now(0)
}
