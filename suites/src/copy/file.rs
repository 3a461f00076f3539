//! What `UFFDIO_COPY` does to the file behind the mapping.

use crate::filled;
use crate::prelude::*;

/// Copied to a shared mapping, the page is a page of the file: other mappings and `read` see it, both ways.
#[apply(shared_files)]
fn shared_page_enters_the_file(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-028"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 3)?;
    let (page, alias, content) = (scene.page(1), scene.shared()?, Scene::filled(Resolver::Copy, 1));
    alias.file_has_just(&[], 3)?;
    scene.resolve(Resolver::Copy, 1, 1, true)?.does(page.size as u64)?;
    alias.file_has_just(&[1], 3)?;
    alias.file_reads(1, content)?;
    ensure!(page.state()?.file(), "pagemap does not say that the page is the file's");
    ensure_eq!(alias.page(1).differs(content), None, "the page through another mapping");
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    alias.page(1).holds_but_written(content, &[8])?;
    Access::Write.make(alias.page(1).at(16));
    page.holds_but_written(content, &[8, 16])?;
    scene.uffd.has_nothing_to_read()
}

/// In a mapping that does not begin with its file, the page enters the file at that offset.
#[rstest]
#[test_attr(registered(conformance))]
fn the_offset_in_the_file_counts(#[values(Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["COPY-028"], axes: [memory, Mode::MISSING])?;
    filled::behind_the_start_of_the_file(memory, Resolver::Copy)
}

/// Copied to a private mapping, the page is anonymous: a hole of the file stays a hole.
#[rstest]
#[test_attr(registered(conformance))]
fn private_page_leaves_the_file_a_hole(
    #[values(Memory::ShmemPrivate, Memory::HugetlbMemfdPrivate, Memory::HugetlbFilePrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-002", "COPY-030"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 2)?;
    let page = scene.page(0);
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(page.size as u64)?;
    page.holds(Scene::filled(Resolver::Copy, 0))?;
    ensure!(!page.state()?.file(), "pagemap says that the page is the file's");
    Actor::access(Access::Write, page.at(0))?.does_not_wait()?;
    scene.shared()?.file_has_just(&[], 2)?;
    scene.shared()?.file_reads(0, Pattern::ZERO)
}

/// Copied to a private mapping of a page that the file has, the target gets its own and the file keeps what it had.
#[rstest]
#[test_attr(registered(conformance))]
fn private_page_hides_the_files(
    #[values(Memory::ShmemPrivate, Memory::HugetlbMemfdPrivate, Memory::HugetlbFilePrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-002", "COPY-030"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 1)?;
    let (page, alias, content) = (scene.page(0), scene.shared()?, Scene::filled(Resolver::Copy, 0));
    alias.page(0).fill(Scene::cached(0));
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(page.size as u64)?;
    page.holds(content)?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    alias.page(0).holds(Scene::cached(0))?;
    alias.file_reads(0, Scene::cached(0))?;
    Access::Write.make(alias.page(0).at(0));
    page.holds_but_written(content, &[8])
}
