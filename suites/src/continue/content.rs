//! What `UFFDIO_CONTINUE` maps: the pages that the file has, as they are now.

use uffd_harness::need::{Lack, Who};
use uffd_harness::{kernel, sys};

use crate::filled;
use crate::prelude::*;
use crate::waiters::Waiter;

const CHANGED: Pattern = Pattern::new(0x300);

/// How often a collapse is tried that the kernel is not ready for: a page may be in another CPU's hands for a moment.
const TRIES: usize = 1000;

/// Makes one huge page of the file's pages: `MADV_COLLAPSE`, since 6.1; it also wants a free huge page.
fn collapse(alias: &Region) -> Outcome {
    let mut collapsed = Err(Errno::EAGAIN);
    for _ in 0..TRIES {
        collapsed = sys::advise(alias.start(), alias.len(), libc::MADV_COLLAPSE);
        if collapsed != Err(Errno::EAGAIN) {
            break;
        }
        std::thread::yield_now();
    }
    let Err(errno) = collapsed else { return Ok(()) };
    let (who, advice) = if errno == Errno::EINVAL {
        (Who::Kernel, "")
    } else {
        (Who::Machine, ": it wants a free huge page of memory")
    };
    Err(Stop::Skip(Lack { who, reason: format!("MADV_COLLAPSE of shmem is refused with {errno:?}{advice}") }))
}

/// Several pages of the file are mapped in one call, each at its place.
#[apply(every_memory)]
fn several_pages_are_mapped_in_order(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-001"],
        axes: [memory, Mode::MINOR],
        needs: [given::hugepages(memory, Mode::MINOR, 4)],
    )?;
    let (pages, count) = if memory.is_hugetlb() { (4, 2) } else { (7, 5) };
    filled::just_those_pages(memory, Resolver::Continue, pages, count)
}

/// In a mapping that does not begin with its file, the file's page at that offset is mapped.
#[apply(one_of_each_class)]
fn the_offset_in_the_file_counts(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-001"],
        axes: [memory, Mode::MINOR],
        needs: [given::hugepages(memory, Mode::MINOR, 3)],
    )?;
    filled::behind_the_start_of_the_file(memory, Resolver::Continue)
}

/// The pages of another process are mapped.
#[apply(one_of_each_class)]
fn pages_of_another_process_are_mapped(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-001", "CONT-014"], axes: [memory, Mode::MINOR])?;
    filled::pages_of_another_process(memory, Resolver::Continue)
}

/// What is stored through another mapping while the thread waits is what it finds when it is woken.
#[apply(one_of_each_class)]
fn stores_before_it_are_seen_by_the_woken_thread(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-001", "CONT-002"], axes: [memory, Mode::MINOR])?;
    let scene = Scene::new(memory, Mode::MINOR, 1)?;
    let page = scene.page(0);
    let waiters =
        [Waiter::at(&scene, Access::Read, page.at(0))?, Waiter::at(&scene, Access::Read, page.at(page.size - 1))?];
    scene.shared()?.page(0).fill(CHANGED);
    scene.resolve(Resolver::Continue, 0, 1, true)?.does(page.size as u64)?;
    for waiter in &waiters {
        waiter.is_woken_to(CHANGED)?;
    }
    page.holds(CHANGED)
}

/// In a shared mapping both mappings see each other's stores, and `read` of the file sees them all.
#[apply(shared_files)]
fn shared_stores_go_both_ways(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-001"], axes: [memory, Mode::MINOR])?;
    let scene = Scene::new(memory, Mode::MINOR, 2)?;
    let (page, alias) = (scene.page(0), scene.shared()?);
    scene.resolve(Resolver::Continue, 0, 1, true)?.does(page.size as u64)?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    alias.page(0).holds_but_written(Scene::cached(0), &[8])?;
    Access::Write.make(alias.page(0).at(16));
    page.holds_but_written(Scene::cached(0), &[8, 16])?;
    page.fill(CHANGED);
    alias.file_reads(0, CHANGED)?;
    alias.file_reads(1, Scene::cached(1))?;
    alias.file_has_just(&[0, 1], 2)?;
    scene.uffd.has_nothing_to_read()
}

/// A range registered for missing faults alone is mapped as well, though the register ioctl does not name it.
#[rstest]
#[test_attr(registered(conformance))]
fn missing_mode_will_do(
    #[values(Memory::ShmemMemfd, Memory::ShmemPrivate, Memory::HugetlbMemfd, Memory::HugetlbMemfdPrivate)]
    memory: Memory,
) -> Outcome {
    begin!(
        statements: ["CONT-011"],
        axes: [memory, Mode::MISSING],
        needs: [given::continue_on(memory), given::hugepages(memory, Mode::MINOR, 2)],
    )?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 2)?;
    let page = scene.page(0);
    for index in 0..2 {
        scene.shared()?.page(index).fill(Scene::cached(index));
    }
    scene.resolve(Resolver::Continue, 0, 1, true)?.does(page.size as u64)?;
    page.holds(Scene::cached(0))?;
    scene.page(1).is_not_mapped()?;
    scene.uffd.has_nothing_to_read()
}

/// A page mapped in a read-only mapping stays unwritable.
#[apply(one_of_each_class)]
fn read_only_mapping_stays_read_only(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-001"], axes: [memory, Mode::MINOR])?;
    filled::read_only_mapping_stays_read_only(memory, Resolver::Continue)
}

/// When another mapping of the file collapses its pages into a huge one, each page still holds what it held.
#[rstest]
#[test_attr(registered(conformance))]
fn pages_of_a_collapsed_file(#[values(Memory::ShmemMemfd, Memory::ShmemPrivate)] memory: Memory) -> Outcome {
    begin!(statements: ["CONT-001", "CONT-021"], axes: [memory, Mode::MINOR])?;
    let pages = kernel::thp_size() / memory.page_size();
    let scene = Scene::new(memory, Mode::MINOR, pages)?;
    let alias = scene.shared()?;
    collapse(alias)?;
    let waiter = Waiter::at(&scene, Access::Read, scene.page(2).at(8))?;
    scene.resolve(Resolver::Continue, 1, pages - 2, true)?.does(scene.region.pages(1, pages - 2).len)?;
    waiter.is_woken_to(Scene::cached(2))?;
    for index in 1..pages - 1 {
        scene.page(index).holds(Scene::cached(index))?;
    }
    scene.page(0).is_not_mapped()?;
    scene.page(pages - 1).is_not_mapped()?;
    Actor::access(Access::Write, scene.page(3).at(8))?.does_not_wait()?;
    scene.page(3).holds_but_written(Scene::cached(3), &[8])?;
    if memory.is_shared() {
        alias.page(3).holds_but_written(Scene::cached(3), &[8])
    } else {
        alias.page(3).holds(Scene::cached(3))
    }
}
