//! Pages that an ioctl has filled: what holds of them whichever ioctl it was.

use uffd_harness::Error;
use uffd_harness::actor::{Access, Actor, ProcessEnding, task};
use uffd_harness::case::Outcome;
use uffd_harness::memory::page_state::PageState;
use uffd_harness::memory::{Memory, Pattern, Region};
use uffd_harness::sys;
use uffd_harness::uapi::UFFD_PAGEFAULT_FLAG_MINOR;

use crate::axes::Resolver;
use crate::expect::{Expect as _, Messages as _, Watch as _};
use crate::given::{self, Scene};
use crate::look::{Behind as _, Look as _};
use crate::waiters::Waiter;
use crate::{ensure, ensure_eq};

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

/// Fills a page of a mapping that does not begin with its file: the page is the file's at that offset.
pub fn behind_the_start_of_the_file(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::with_alias(memory, resolver.fault_mode(), 3)?;
    let page = scene.page(2);
    // What is left begins with the second page of the file.
    sys::unmap(scene.page(0).start, page.size).map_err(|errno| Error::call("munmap", errno))?;
    scene.resolve(resolver, 2, 1, true)?.does(page.size as u64)?;
    page.holds(Scene::filled(resolver, 2))?;
    scene.page(1).is_not_mapped()?;
    if memory.is_shared() {
        let pages: &[usize] = if resolver == Resolver::Continue { &[0, 1, 2] } else { &[2] };
        scene.shared()?.file_has_just(pages, 3)?;
        scene.shared()?.file_reads(2, Scene::filled(resolver, 2))?;
    }
    scene.uffd.has_nothing_to_read()
}

/// A process fills the pages of another one, whose thread finds in them what the caller has put there.
pub fn pages_of_another_process(memory: Memory, resolver: Resolver) -> Outcome {
    let read_all = |region: &Region| (0..2).all(|at| region.page(at).differs(Scene::filled(resolver, at)).is_none());
    let set_up = || Scene::new(memory, resolver.fault_mode(), 2);
    let mut target = Scene::in_target(set_up, |region, _| i32::from(!read_all(region)))?;
    let (process, uffd) = (target.process.pid(), &target.uffd);
    let flags = if resolver == Resolver::Continue { UFFD_PAGEFAULT_FLAG_MINOR } else { 0 };
    for index in 0..2 {
        let page = target.page(index);
        ensure!(target.process.waits_for_userfault(), "the other process does not wait for page {index}");
        uffd.fault_at(flags, page.start)?;
        let sleep = task::sleeps(process, process)?;
        given::resolve(uffd, resolver, page, 1, index, false)?.does(page.size as u64)?;
        ensure!(PageState::of_process(process, page.start)?.present(), "page {index} of the other process is missing");
        ensure_eq!(task::sleeps(process, process)?, sleep, "how often the other process has gone to sleep");
        ensure!(task::waits_for_userfault(process, process), "DONTWAKE woke the other process");
        uffd.wake(page.range()).succeeds()?;
    }
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the other process, which looked at every word");
    target.uffd.has_nothing_to_read()
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
