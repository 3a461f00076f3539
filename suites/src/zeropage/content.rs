//! What `UFFDIO_ZEROPAGE` leaves in memory and in the file behind it.

use uffd_harness::memory::page_state::PageState;
use uffd_harness::{Error, sys};

use crate::filled;
use crate::prelude::*;

/// Several pages are zero-filled in one call.
#[apply(every_small_memory)]
fn several_pages_are_zero(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-001"], axes: [memory, Mode::MISSING])?;
    filled::just_those_pages(memory, Resolver::Zeropage, 7, 5)
}

/// The pages may lie under two page tables.
#[apply(small_of_each_class)]
fn pages_under_two_page_tables_are_zero(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-001"], axes: [memory, Mode::MISSING])?;
    filled::across_page_tables(memory, Resolver::Zeropage)
}

/// A page that the target has dropped is zero: nothing of what it held comes back.
#[apply(small_of_each_class)]
fn a_dropped_page_is_zero(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-001"], axes: [memory, Mode::MISSING])?;
    filled::a_dropped_page_is_filled_anew(memory, Resolver::Zeropage)
}

/// The pages of another process are zero-filled.
#[apply(small_of_each_class)]
fn pages_of_another_process_are_zero(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-001", "ZERO-010"], axes: [memory, Mode::MISSING])?;
    filled::pages_of_another_process(memory, Resolver::Zeropage)
}

/// Every page can be written afterwards, and a write to one does not show in another.
#[apply(small_of_each_class)]
fn each_page_is_written_by_itself(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-001", "ZERO-002"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    scene.resolve(Resolver::Zeropage, 0, 2, true)?.does(scene.region.pages(0, 2).len)?;
    Actor::access(Access::Write, scene.page(0).at(8))?.does_not_wait()?;
    scene.page(0).holds_but_written(Pattern::ZERO, &[8])?;
    scene.page(1).holds(Pattern::ZERO)?;
    Actor::access(Access::Write, scene.page(1).at(16))?.does_not_wait()?;
    scene.page(0).holds_but_written(Pattern::ZERO, &[8])?;
    scene.page(1).holds_but_written(Pattern::ZERO, &[16])?;
    scene.uffd.has_nothing_to_read()
}

/// A page zero-filled in a read-only mapping stays unwritable.
#[apply(small_of_each_class)]
fn read_only_mapping_stays_read_only(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-001"], axes: [memory, Mode::MISSING])?;
    filled::read_only_mapping_stays_read_only(memory, Resolver::Zeropage)
}

/// In private memory it is the kernel's one page of zeros, which takes no memory; the first write puts another in its place.
#[rstest]
#[test_attr(registered(conformance))]
fn private_memory_gets_the_page_of_zeros(
    #[values(Memory::Anon, Memory::AnonThp, Memory::ShmemPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["ZERO-002"], axes: [memory, Mode::MISSING], needs: [Need::Capability("CAP_SYS_ADMIN")])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let (page, other) = (scene.page(0), scene.page(1));
    scene.resolve(Resolver::Zeropage, 0, 2, true)?.does(scene.region.pages(0, 2).len)?;
    let frames = [page.state()?.frame(), other.state()?.frame()];
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    let written = page.state()?.frame();
    ensure_eq!(other.state()?.frame(), frames[1], "the frame of the page that was not written");
    // Some machines have several such pages, chosen by address: the ordinary one is asked for at the same places.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    sys::map(page.start, 2 * page.size, libc::PROT_READ | libc::PROT_WRITE, flags, None, 0)
        .map_err(|errno| Error::call("mmap", errno))?;
    for (page, frame) in [page, other].into_iter().zip(frames) {
        sys::load(page.start);
        ensure_eq!(frame, PageState::of(page.start)?.frame(), "the frame of the zero-filled page");
    }
    ensure!(written != frames[0], "a write left the page of zeros in place");
    Ok(())
}

/// In a shared mapping the page is a page of the file: it takes a block, and other mappings see it, both ways.
#[rstest]
#[test_attr(registered(conformance))]
fn shared_page_enters_the_file(
    #[values(Memory::ShmemAnon, Memory::ShmemMemfd, Memory::ShmemTmpfs, Memory::ShmemDevZero)] memory: Memory,
) -> Outcome {
    begin!(statements: ["ZERO-001", "ZERO-003"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 3)?;
    let (page, alias) = (scene.page(1), scene.shared()?);
    alias.file_has_just(&[], 3)?;
    scene.resolve(Resolver::Zeropage, 1, 1, true)?.does(page.size as u64)?;
    alias.file_has_just(&[1], 3)?;
    alias.file_reads(1, Pattern::ZERO)?;
    ensure!(page.state()?.file(), "pagemap does not say that the page is the file's");
    ensure_eq!(alias.page(1).differs(Pattern::ZERO), None, "the page through another mapping");
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    alias.page(1).holds_but_written(Pattern::ZERO, &[8])?;
    Access::Write.make(alias.page(1).at(16));
    page.holds_but_written(Pattern::ZERO, &[8, 16])?;
    scene.uffd.has_nothing_to_read()
}

/// In a mapping that does not begin with its file, the page enters the file at that offset.
#[rstest]
#[test_attr(registered(conformance))]
fn the_offset_in_the_file_counts(#[values(Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-003"], axes: [memory, Mode::MISSING])?;
    filled::behind_the_start_of_the_file(memory, Resolver::Zeropage)
}

/// In a private mapping a hole of the file stays a hole, even when the page is written.
#[rstest]
#[test_attr(registered(conformance))]
fn private_page_leaves_the_file_a_hole(#[values(Memory::ShmemPrivate)] memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-004"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 2)?;
    let page = scene.page(0);
    scene.resolve(Resolver::Zeropage, 0, 1, true)?.does(page.size as u64)?;
    scene.shared()?.file_has_just(&[], 2)?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    scene.shared()?.file_has_just(&[], 2)?;
    page.holds_but_written(Pattern::ZERO, &[8])
}

/// In a private mapping of a page that the file has, the target sees zeros and the file keeps what it had.
#[rstest]
#[test_attr(registered(conformance))]
fn private_page_hides_the_files(#[values(Memory::ShmemPrivate)] memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-001", "ZERO-004"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 1)?;
    let (page, alias) = (scene.page(0), scene.shared()?);
    alias.page(0).fill(Scene::cached(0));
    scene.resolve(Resolver::Zeropage, 0, 1, true)?.does(page.size as u64)?;
    page.holds(Pattern::ZERO)?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(Pattern::ZERO, &[8])?;
    alias.page(0).holds(Scene::cached(0))?;
    alias.file_reads(0, Scene::cached(0))
}
