//! `UFFDIO_CONTINUE` in private mappings: the file's page until the first write, then a copy of it.

use crate::prelude::*;
use crate::waiters::Waiter;

/// The page is the file's until it is written; then the target has its own, and the file keeps what it had.
#[rstest]
#[test_attr(registered(conformance))]
fn a_write_copies_the_page(
    #[values(Memory::ShmemPrivate, Memory::HugetlbMemfdPrivate, Memory::HugetlbFilePrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["CONT-012"], axes: [memory, Mode::MINOR])?;
    let scene = Scene::new(memory, Mode::MINOR, 1)?;
    let (page, alias, content) = (scene.page(0), scene.shared()?, Scene::cached(0));
    scene.resolve(Resolver::Continue, 0, 1, true)?.does(page.size as u64)?;
    page.holds(content)?;
    Access::Write.make(alias.page(0).at(0));
    ensure_eq!(Actor::access(Access::Read, page.at(0))?.does_not_wait()?, WRITTEN, "a byte stored to the file");
    alias.page(0).fill(content);
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(content, &[8])?;
    alias.page(0).holds(content)?;
    alias.file_reads(0, content)?;
    Access::Write.make(alias.page(0).at(16));
    page.holds_but_written(content, &[8])?;
    scene.uffd.has_nothing_to_read()
}

/// A minor fault can be resolved by `UFFDIO_COPY` too: the target gets a page of its own, and the file keeps its page.
#[rstest]
#[test_attr(registered(conformance))]
fn a_minor_fault_is_resolved_by_copy(
    #[values(Memory::ShmemPrivate, Memory::HugetlbMemfdPrivate, Memory::HugetlbFilePrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["CONT-013"], axes: [memory, Mode::MINOR])?;
    let scene = Scene::new(memory, Mode::MINOR, 1)?;
    let (page, alias, content) = (scene.page(0), scene.shared()?, Scene::filled(Resolver::Copy, 0));
    let reader = Waiter::at(&scene, Access::Read, page.at(0))?;
    let writer = Waiter::at(&scene, Access::Write, page.at(8))?;
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(page.size as u64)?;
    reader.is_woken_to(content)?;
    writer.is_woken_to(content)?;
    page.holds_but_written(content, &[8])?;
    alias.page(0).holds(Scene::cached(0))?;
    alias.file_reads(0, Scene::cached(0))?;
    scene.uffd.has_nothing_to_read()
}
