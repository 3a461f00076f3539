//! Pages that an ioctl has filled: what holds of them whichever ioctl it was.

use uffd_harness::Error;
use uffd_harness::actor::{Access, Actor};
use uffd_harness::case::Outcome;
use uffd_harness::memory::{Memory, Pattern};
use uffd_harness::sys;

use crate::axes::Resolver;
use crate::ensure_eq;
use crate::expect::{Expect as _, Messages as _, Watch as _};
use crate::given::Scene;
use crate::look::Look as _;
use crate::waiters::Waiter;

/// `SEGV_ACCERR` of sigaction(2): the mapping does not allow the access.
const SEGV_ACCERR: i32 = 2;

/// What a page held that has been dropped.
const DROPPED: Pattern = Pattern::new(0xdead);

/// Fills `count` pages from page 1 of `pages`: each has its own content, and the others are still missing.
pub fn just_those_pages(memory: Memory, resolver: Resolver, pages: usize, count: usize) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), pages)?;
    scene.resolve(resolver, 1, count, true)?.does(scene.region.pages(1, count).len)?;
    scene.page(0).is_not_mapped()?;
    for index in 1..=count {
        scene.page(index).holds(Scene::filled(resolver, index))?;
    }
    for index in count + 1..pages {
        scene.page(index).is_not_mapped()?;
    }
    scene.uffd.has_nothing_to_read()
}

/// Fills the last three pages of one page table and the first three of the next in one call.
pub fn across_page_tables(memory: Memory, resolver: Resolver) -> Outcome {
    let size = memory.page_size();
    let table = size * (size / size_of::<u64>());
    let scene = Scene::new(memory, resolver.fault_mode(), table / size + 8)?;
    let border = (scene.page(4).start.next_multiple_of(table) - scene.region.start()) / size;
    scene.resolve(resolver, border - 3, 6, true)?.does(scene.region.pages(0, 6).len)?;
    for index in border - 3..border + 3 {
        scene.page(index).holds(Scene::filled(resolver, index))?;
    }
    scene.page(border - 4).is_not_mapped()?;
    scene.page(border + 3).is_not_mapped()?;
    scene.uffd.has_nothing_to_read()
}

/// A page that is dropped is missing again and is filled anew, and nothing of what it held comes back.
pub fn a_dropped_page_is_filled_anew(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), 2)?;
    let page = scene.page(0);
    scene.resolve(resolver, 0, 2, true)?.does(scene.region.pages(0, 2).len)?;
    page.fill(DROPPED);
    // Of a shared file the page itself goes; a private mapping loses only its own.
    let advice = if memory.is_shared() { libc::MADV_REMOVE } else { libc::MADV_DONTNEED };
    sys::advise(page.start, page.size, advice).map_err(|errno| Error::call("madvise", errno))?;
    page.is_not_mapped()?;
    let waiter = Waiter::at(&scene, Access::Read, page.at(8))?;
    scene.resolve(resolver, 0, 1, true)?.does(page.size as u64)?;
    waiter.is_woken_to(Scene::filled(resolver, 0))?;
    page.holds(Scene::filled(resolver, 0))?;
    scene.page(1).holds(Scene::filled(resolver, 1))?;
    scene.uffd.has_nothing_to_read()
}

/// A page filled in a read-only mapping can be read; a write dies of SIGSEGV until the mapping allows it.
pub fn read_only_mapping_stays_read_only(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), 1)?;
    let (region, page, content) = (&scene.region, scene.page(0), Scene::filled(resolver, 0));
    let protect = |protection| sys::protect(region.start(), region.len(), protection);
    protect(libc::PROT_READ).map_err(|errno| Error::call("mprotect", errno))?;
    scene.resolve(resolver, 0, 1, true)?.does(page.size as u64)?;
    page.holds(content)?;
    let signal = Actor::access(Access::Write, page.at(8))?.dies_of(libc::SIGSEGV)?;
    ensure_eq!((signal.code, signal.address), (SEGV_ACCERR, page.at(8)), "si_code and si_addr of the SIGSEGV");
    page.holds(content)?;
    protect(libc::PROT_READ | libc::PROT_WRITE).map_err(|errno| Error::call("mprotect", errno))?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(content, &[8])?;
    scene.uffd.has_nothing_to_read()
}
