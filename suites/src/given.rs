//! What cases start from: a userfaultfd after its handshake, a registered region, content to fill it with.
//!
//! A set-up step that the kernel refuses is a broken promise like any other: it fails the case.

use std::io::{PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use uffd_harness::actor::target::Cue;
use uffd_harness::actor::{Process, ProcessEnding, Target};
use uffd_harness::case::{Outcome, Stop};
use uffd_harness::memory::{Memory, Page, Pattern, Region};
use uffd_harness::mode::Mode;
use uffd_harness::need::{Lack, Need, Who};
use uffd_harness::sys;
use uffd_harness::uapi::{
    UFFD_API, UFFD_FEATURE_MINOR_HUGETLBFS, UFFD_FEATURE_MINOR_SHMEM, UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    UFFD_FEATURE_WP_UNPOPULATED, UFFDIO_CONTINUE_MODE_DONTWAKE, UFFDIO_COPY_MODE_DONTWAKE,
    UFFDIO_ZEROPAGE_MODE_DONTWAKE,
};
use uffd_harness::uffd::{Range, Reply, Uffd};
use uffd_harness::{Error, gate, kernel};

use crate::axes::Resolver;
use crate::expect::broken;

/// Ends the case: this kernel has no such thing, as only trying could tell.
pub fn kernel_lacks(reason: impl Into<String>) -> Stop {
    Stop::Skip(Lack { who: Who::Kernel, reason: reason.into() })
}

/// A new userfaultfd, nonblocking, before its handshake.
#[track_caller]
pub fn raw_uffd() -> Result<Uffd, Stop> {
    kernel::current().create().map_err(|errno| broken(format!("userfaultfd failed with {errno:?}")))
}

/// A new userfaultfd, nonblocking, after a handshake that asked for these features.
#[track_caller]
pub fn uffd(features: u64) -> Result<Uffd, Stop> {
    let uffd = raw_uffd()?;
    handshake(&uffd, features)?;
    Ok(uffd)
}

/// A second descriptor of the same userfaultfd, for another thread.
#[track_caller]
pub fn duplicate(uffd: &Uffd) -> Result<Uffd, Stop> {
    uffd.duplicate().map_err(|errno| broken(format!("a duplicate descriptor failed with {errno:?}")))
}

/// The handshake with these features.
#[track_caller]
pub fn handshake(uffd: &Uffd, features: u64) -> Result<(), Stop> {
    match uffd.api(UFFD_API, features).result {
        Ok(0) => Ok(()),
        other => Err(broken(format!("UFFDIO_API with features {features:#x} gave {other:?}"))),
    }
}

/// Runs `work` in a process forked from the case's; what it finds is what the case finds.
#[track_caller]
pub fn in_a_child(work: impl FnOnce() -> Outcome) -> Outcome {
    let (mut reader, mut writer) = std::io::pipe().map_err(|error| Stop::Error(format!("pipe: {error}")))?;
    let mut child = Process::start(|| {
        let (text, status) = match work() {
            Ok(()) => return 0,
            Err(Stop::Fail(reason)) => (reason, 1),
            Err(Stop::Skip(lack)) => (lack.reason, 2),
            Err(other) => (format!("{other:?}"), 3),
        };
        let _ = writer.write_all(text.as_bytes());
        status
    })?;
    drop(writer);
    let mut text = String::new();
    let _ = reader.read_to_string(&mut text);
    match child.wait()? {
        ProcessEnding::Exited(0) => Ok(()),
        ProcessEnding::Exited(1) => Err(Stop::Fail(text)),
        ProcessEnding::Exited(2) => Err(uffd_harness::Error::Machine(text).into()),
        ProcessEnding::Exited(_) => Err(Stop::Error(text)),
        ProcessEnding::Killed(signal) => Err(broken(format!("a forked process was killed by signal {signal}"))),
    }
}

/// A process forked from the case's that has become another program, which ends with its input.
#[derive(Debug)]
pub struct Program {
    process: Process,
    input: PipeWriter,
}

impl Program {
    /// Forks it; by the return it has passed execve(2).
    pub fn exec() -> Result<Self, Stop> {
        let pipe = || std::io::pipe().map_err(|error| Stop::Error(format!("pipe: {error}")));
        let ((theirs, input), (mut passed, open)) = (pipe()?, pipe()?);
        let process = Process::start(|| sys::exec_self_and_hold(theirs.as_fd()) as i32)?;
        drop(open);
        // The other end of this pipe is closed by execve.
        let _ = passed.read(&mut [0]);
        Ok(Self { process, input })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Lets it end, and says how it did.
    pub fn end(mut self) -> Result<ProcessEnding, Stop> {
        drop(self.input);
        Ok(self.process.wait()?)
    }
}

/// Registers a range; the ioctl's bitmask.
#[track_caller]
pub fn register(uffd: &Uffd, range: Range, mode: Mode) -> Result<u64, Stop> {
    let reply = uffd.register(range, mode.bits());
    match (reply.result, reply.field) {
        (Ok(0), uffd_harness::uffd::Field::Written(ioctls)) => Ok(ioctls as u64),
        _ => Err(broken(format!("registering for {mode}: {reply}"))),
    }
}

/// Private anonymous memory of at least this size to copy from.
///
/// A transparent huge page, where there may be one, saves the hundreds of faults that filling it would take.
pub fn room(size: usize) -> Result<Region, Stop> {
    let memory = if size >= kernel::thp_size() { Memory::AnonThp } else { Memory::Anon };
    Ok(memory.map(size.div_ceil(memory.page_size()))?)
}

/// Private anonymous pages that hold content to copy from.
pub fn source(size: usize, pattern: Pattern) -> Result<Region, Stop> {
    let source = room(size)?;
    pattern.fill(source.start(), size);
    Ok(source)
}

/// The hugepages that a scene of `pages` pages takes; none of any other memory.
///
/// A private mapping with pages in the page cache behind it needs both.
pub fn hugepages(memory: Memory, mode: Mode, pages: usize) -> Need {
    let both = mode.has(Mode::MINOR) && !memory.is_shared();
    Need::Hugepages(if memory.is_hugetlb() { pages * if both { 2 } else { 1 } } else { 0 })
}

/// What a handshake must ask for so that `UFFDIO_WRITEPROTECT` protects what is not mapped yet.
pub const fn marker_features(memory: Memory) -> u64 {
    if memory.is_anon() { UFFD_FEATURE_WP_UNPOPULATED } else { 0 }
}

/// Protection of what is not mapped yet.
pub const fn protected_holes_on(memory: Memory) -> Need {
    Need::Feature(if memory.is_anon() { UFFD_FEATURE_WP_UNPOPULATED } else { UFFD_FEATURE_WP_HUGETLBFS_SHMEM })
}

/// Minor faults on this memory: what `UFFDIO_CONTINUE` needs in whatever mode.
pub const fn continue_on(memory: Memory) -> Need {
    Need::Feature(if memory.is_hugetlb() { UFFD_FEATURE_MINOR_HUGETLBFS } else { UFFD_FEATURE_MINOR_SHMEM })
}

/// Fills `count` pages from `page` on, waking waiters or not; the first is page `index` of its region.
pub fn resolve(
    uffd: &Uffd,
    resolver: Resolver,
    page: Page,
    count: usize,
    index: usize,
    wake: bool,
) -> Result<Reply, Stop> {
    let range = Range::new(page.start as u64, (count * page.size) as u64);
    Ok(match resolver {
        Resolver::Copy => {
            let source = room(page.size * count)?;
            for step in 0..count {
                Scene::filled(resolver, index + step).fill(source.start() + step * page.size, page.size);
            }
            uffd.copy(range, source.start() as u64, if wake { 0 } else { UFFDIO_COPY_MODE_DONTWAKE })
        }
        Resolver::Zeropage => uffd.zeropage(range, if wake { 0 } else { UFFDIO_ZEROPAGE_MODE_DONTWAKE }),
        Resolver::Continue => uffd.continue_range(range, if wake { 0 } else { UFFDIO_CONTINUE_MODE_DONTWAKE }),
    })
}

/// A userfaultfd and a region registered with it, nothing of it mapped yet.
///
/// In a MINOR mode the page cache behind the region holds [`Scene::cached`] in every page.
#[derive(Debug)]
pub struct Scene {
    /// The userfaultfd, nonblocking.
    pub uffd: Uffd,
    /// The region.
    pub region: Region,
    /// A shared mapping of what lies behind the region, for modes with MINOR and where asked.
    pub alias: Option<Region>,
    /// The modes of its registration.
    pub mode: Mode,
    /// The features of its handshake.
    pub features: u64,
}

impl Scene {
    /// A region of `pages` pages registered with `mode` at a userfaultfd without features.
    #[track_caller]
    pub fn new(memory: Memory, mode: Mode, pages: usize) -> Result<Self, Stop> {
        Self::with_features(memory, mode, pages, 0)
    }

    /// The same at a userfaultfd with these features.
    #[track_caller]
    pub fn with_features(memory: Memory, mode: Mode, pages: usize, features: u64) -> Result<Self, Stop> {
        Self::set(memory, mode, pages, features, mode.has(Mode::MINOR))
    }

    /// The same as [`Self::new`], with [`Self::alias`] wherever the memory type has one.
    #[track_caller]
    pub fn with_alias(memory: Memory, mode: Mode, pages: usize) -> Result<Self, Stop> {
        Self::set(memory, mode, pages, 0, memory.has_alias())
    }

    #[track_caller]
    fn set(memory: Memory, mode: Mode, pages: usize, features: u64, alias: bool) -> Result<Self, Stop> {
        let uffd = uffd(features)?;
        let region = memory.map(pages)?;
        let alias = if alias { Some(region.alias()?) } else { None };
        if let Some(alias) = alias.as_ref().filter(|_| mode.has(Mode::MINOR)) {
            for index in 0..pages {
                alias.page(index).fill(Self::cached(index));
            }
        }
        register(&uffd, region.range(), mode)?;
        Ok(Self { uffd, region, alias, mode, features })
    }

    /// [`Self::alias`] of a scene that must have one.
    #[track_caller]
    pub fn shared(&self) -> Result<&Region, Stop> {
        self.alias.as_ref().ok_or_else(|| broken("the scene has no second mapping"))
    }

    /// What the page cache holds in page `index` of a MINOR scene.
    pub const fn cached(index: usize) -> Pattern {
        Pattern::new(0x1000 + index as u64)
    }

    /// What [`Self::resolve`] fills page `index` with.
    pub const fn filled(resolver: Resolver, index: usize) -> Pattern {
        match resolver {
            Resolver::Copy => Pattern::new(0x2000 + index as u64),
            Resolver::Zeropage => Pattern::ZERO,
            Resolver::Continue => Self::cached(index),
        }
    }

    /// Page `index` of the region.
    pub fn page(&self, index: usize) -> Page {
        self.region.page(index)
    }

    /// Fills `count` pages from page `first` by `resolver`, waking waiters or not.
    pub fn resolve(&self, resolver: Resolver, first: usize, count: usize, wake: bool) -> Result<Reply, Stop> {
        resolve(&self.uffd, resolver, self.page(first), count, first, wake)
    }

    /// A process that sets up such a scene in its own memory and then does `work`; the userfaultfd is ours.
    pub fn in_target(
        set_up: impl FnOnce() -> Result<Self, Stop>,
        work: impl FnOnce(&Region, &mut Cue) -> i32,
    ) -> Result<Target, Stop> {
        Target::start(|| set_up().map(|Self { uffd, region, .. }| (uffd, region)), work)
    }
}

/// Swap space enough for the pages of one case.
pub const SWAP: Need = Need::Swap(1024);

/// Has the kernel write a page out; skips the case if it does not.
pub fn swap_out(page: Page, is_out: impl Fn() -> Result<bool, Stop>) -> Outcome {
    for _ in 0..100 {
        empty_batches()?;
        let _ = gate::page_out(page.start, page.size);
        if is_out()? {
            return Ok(());
        }
        // It may be on its way and no longer be mapped: then no MADV_PAGEOUT would find it any more.
        sys::load(page.start);
    }
    let reason = "MADV_PAGEOUT did not write the page to swap: add swap".to_owned();
    Err(Stop::Skip(Lack { who: Who::Machine, reason }))
}

/// Puts every page onto its list, where reclaim finds it.
///
/// A page that was touched a moment ago waits in a batch of the CPU that touched it, which holds a reference to it;
/// `MADV_PAGEOUT` empties the batches of the CPU that it is called on, and of no other.
fn empty_batches() -> Result<(), Stop> {
    let (nothing, this) = (Memory::Anon.map(1)?, Pid::from_raw(0));
    let moved = |errno| Stop::from(Error::call("sched_setaffinity", errno));
    let allowed = sched_getaffinity(this).map_err(moved)?;
    for cpu in (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true)) {
        let mut one = CpuSet::new();
        one.set(cpu).and_then(|()| sched_setaffinity(this, &one)).map_err(moved)?;
        let _ = gate::page_out(nothing.start(), nothing.page_size());
    }
    sched_setaffinity(this, &allowed).map_err(moved)
}
