//! What `UFFDIO_COPY` leaves in memory.

use uffd_harness::case::Axis;
use uffd_harness::memory::vma;
use uffd_harness::need::{Lack, Who};
use uffd_harness::{Error, sys};

use crate::filled;
use crate::prelude::*;

const COPIED: Pattern = Pattern::new(0x100);
const OTHER: Pattern = Pattern::new(0x200);

/// Several pages are copied in one call, each to its place.
#[apply(every_memory)]
fn several_pages_are_filled_in_order(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-001", "COPY-002"], axes: [memory, Mode::MISSING])?;
    let (pages, count) = if memory.is_hugetlb() { (4, 2) } else { (7, 5) };
    filled::just_those_pages(memory, Resolver::Copy, pages, count)
}

/// The pages may lie under two page tables.
#[apply(small_of_each_class)]
fn pages_under_two_page_tables_are_filled(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-001"], axes: [memory, Mode::MISSING])?;
    filled::across_page_tables(memory, Resolver::Copy)
}

/// A page that the target has dropped can be filled anew.
#[rstest]
#[test_attr(registered(conformance))]
fn a_dropped_page_is_filled_anew(
    #[values(Memory::Anon, Memory::AnonThp, Memory::ShmemMemfd, Memory::ShmemPrivate, Memory::HugetlbMemfd)]
    memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-001", "COPY-002"], axes: [memory, Mode::MISSING])?;
    filled::a_dropped_page_is_filled_anew(memory, Resolver::Copy)
}

/// Where in a page the source begins.
#[derive(Debug, Clone, Copy)]
struct Offset(usize);

impl Axis for Offset {
    fn axis(&self) -> &'static str {
        "offset"
    }
    fn value(&self) -> String {
        self.0.to_string()
    }
}

/// The source may begin at any byte; what is copied begins there.
#[apply(one_of_each_class)]
fn the_source_may_begin_at_any_byte(memory: Memory, #[values(Offset(1), Offset(4095))] offset: Offset) -> Outcome {
    begin!(statements: ["COPY-001", "COPY-010", "COPY-036"], axes: [memory, Mode::MISSING, offset])?;
    let count = if memory.is_hugetlb() { 1 } else { 3 };
    let scene = Scene::new(memory, Mode::MISSING, count + 1)?;
    let size = scene.region.page_size();
    let source = given::source(offset.0 + count * size, OTHER)?;
    for index in 0..count {
        Pattern::new(index as u64).fill(source.start() + offset.0 + index * size, size);
    }
    let bytes = (count * size) as u64;
    scene.uffd.copy(scene.region.pages(0, count), (source.start() + offset.0) as u64, 0).does(bytes)?;
    for index in 0..count {
        scene.page(index).holds(Pattern::new(index as u64))?;
    }
    scene.page(count).is_not_mapped()
}

/// The page is the target's own: neither side sees what is written to the other afterwards.
#[apply(one_of_each_class)]
fn the_page_is_the_targets_own(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-002"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 1)?;
    let page = scene.page(0);
    let source = given::source(page.size, COPIED)?;
    scene.uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    OTHER.fill(source.start(), page.size);
    page.holds(COPIED)?;
    Actor::access(Access::Write, page.at(0))?.does_not_wait()?;
    page.holds_but_written(COPIED, &[0])?;
    ensure_eq!(OTHER.differs(source.start(), page.size), None, "the source");
    scene.uffd.has_nothing_to_read()
}

/// Source pages that are not mapped yet are faulted in: from the page cache, or as zeros.
#[apply(one_of_each_class)]
fn a_source_that_is_not_mapped_is_faulted_in(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-014"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let size = scene.region.page_size();
    let cached = Memory::ShmemMemfd.map(size / Memory::ShmemMemfd.page_size())?;
    COPIED.fill(cached.alias()?.start(), size);
    scene.uffd.copy(scene.page(0).range(), cached.start() as u64, 0).does(size as u64)?;
    scene.page(0).holds(COPIED)?;
    let untouched = Memory::Anon.map(size / Memory::Anon.page_size())?;
    scene.uffd.copy(scene.page(1).range(), untouched.start() as u64, 0).does(size as u64)?;
    scene.page(1).holds(Pattern::ZERO)
}

/// Of the source only the right to read is needed, and a page of the target itself will do.
#[apply(one_of_each_class)]
fn the_source_only_has_to_be_readable(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-001"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let size = scene.region.page_size();
    let source = given::source(size, COPIED)?;
    sys::protect(source.start(), source.len(), libc::PROT_READ).map_err(|errno| Error::call("mprotect", errno))?;
    scene.uffd.copy(scene.page(0).range(), source.start() as u64, 0).does(size as u64)?;
    scene.page(0).holds(COPIED)?;
    scene.uffd.copy(scene.page(1).range(), scene.page(0).start as u64, 0).does(size as u64)?;
    scene.page(1).holds(COPIED)
}

/// The pages of another process are filled from the caller's memory.
#[apply(one_of_each_class)]
fn pages_of_another_process_are_filled(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-001", "COPY-002", "COPY-005"], axes: [memory, Mode::MISSING])?;
    filled::pages_of_another_process(memory, Resolver::Copy)
}

/// A range that is registered for other faults than missing ones is filled as well.
#[apply(one_of_each_class)]
fn any_registered_mode_will_do(memory: Memory, #[values(Mode::WP, Mode::MINOR)] mode: Mode) -> Outcome {
    begin!(statements: ["COPY-019"], axes: [memory, mode])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    given::register(&uffd, region.range(), mode)?;
    let page = region.page(0);
    let source = given::source(page.size, COPIED)?;
    uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    page.holds(COPIED)?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(COPIED, &[8])?;
    region.page(1).is_not_mapped()?;
    uffd.has_nothing_to_read()
}

/// A page copied into a read-only mapping stays unwritable.
#[apply(one_of_each_class)]
fn read_only_mapping_stays_read_only(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-043"], axes: [memory, Mode::MISSING])?;
    filled::read_only_mapping_stays_read_only(memory, Resolver::Copy)
}

/// The page is dirty although the target has not written to it: it must not be lost.
#[apply(small_of_each_class)]
fn the_page_is_dirty(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-044"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 3)?;
    let dirty = || -> Result<u64, Stop> { Ok(vma::within(scene.region.range())?.iter().map(|vma| vma.dirty).sum()) };
    ensure_eq!(dirty()?, 0, "the dirty bytes of the mapping before");
    scene.resolve(Resolver::Copy, 0, 2, true)?.does(scene.region.pages(0, 2).len)?;
    ensure_eq!(dirty()?, scene.region.pages(0, 2).len, "the dirty bytes of the mapping");
    Ok(())
}

/// The page is soft-dirty: a checkpoint that follows soft-dirty bits must not miss it.
#[apply(small_of_each_class)]
fn the_page_is_soft_dirty(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-044"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let probe = given::source(Memory::Anon.page_size(), OTHER)?;
    std::fs::write("/proc/self/clear_refs", "4").map_err(|error| Error::file("/proc/self/clear_refs", error))?;
    probe.page(0).fill(COPIED);
    if !probe.page(0).state()?.soft_dirty() {
        // No feature bit and no file tells of CONFIG_MEM_SOFT_DIRTY.
        return Err(Stop::Skip(Lack { who: Who::Kernel, reason: "the kernel does not track soft-dirty pages".into() }));
    }
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(scene.region.page_size() as u64)?;
    ensure!(scene.page(0).state()?.soft_dirty(), "the page is not soft-dirty");
    ensure!(!scene.page(1).state()?.soft_dirty(), "the page that was not filled is soft-dirty");
    Ok(())
}
