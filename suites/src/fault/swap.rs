//! Pages in swap: they are neither missing nor gone.

use uffd_harness::sys;

use super::faulting::{access_did, flags, told};
use crate::given::{SWAP, swap_out};
use crate::prelude::*;

const OFFSET: usize = 0x123;

/// A page in swap is not missing: the access brings it back with its content, and without a message.
#[rstest]
#[test_attr(registered(conformance))]
fn a_page_in_swap_is_not_missing(
    #[values(Memory::Anon, Memory::AnonThp)] memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["FAULT-011"], axes: [memory, Mode::MISSING, access], needs: [SWAP])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let page = scene.page(0);
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(page.size as u64)?;
    swap_out(page, || Ok(!page.state()?.present()))?;
    let value = Actor::access(access, page.at(OFFSET))?.does_not_wait()?;
    access_did(page, Scene::filled(Resolver::Copy, 0), access, OFFSET, value)?;
    scene.uffd.has_nothing_to_read()?;
    Actor::access(access, scene.page(1).at(OFFSET))?.falls_asleep()?;
    told(&scene.uffd, flags(Mode::MISSING, access), scene.page(1).start, 0)?;
    Ok(())
}

/// A page of the file that is in swap is no hole: with MINOR it is a minor fault, and CONTINUE brings it back.
#[rstest]
#[test_attr(registered(conformance))]
fn a_file_page_in_swap_is_minor(
    #[values(Memory::ShmemAnon, Memory::ShmemMemfd, Memory::ShmemTmpfs, Memory::ShmemPrivate)] memory: Memory,
    #[values(Mode::MINOR, Mode::MISSING_MINOR)] mode: Mode,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["FAULT-018"], axes: [memory, mode, access], needs: [SWAP])?;
    let scene = Scene::new(memory, mode, 1)?;
    let (page, Some(alias)) = (scene.page(0), &scene.alias) else {
        return Err(Stop::Error("no alias".to_owned()));
    };
    let cached = alias.page(0);
    swap_out(cached, || Ok(!sys::resident(cached.start).unwrap_or(true)))?;
    let waiter = Actor::access(access, page.at(OFFSET))?;
    waiter.falls_asleep()?;
    told(&scene.uffd, flags(Mode::MINOR, access), page.start, 0)?;
    scene.uffd.has_nothing_to_read()?;
    scene.resolve(Resolver::Continue, 0, 1, true)?.does(page.size as u64)?;
    access_did(page, Scene::cached(0), access, OFFSET, waiter.is_woken()?)?;
    scene.uffd.has_nothing_to_read()
}

/// With MISSING alone the access brings a file page back from swap without a message.
#[rstest]
#[test_attr(registered(conformance))]
fn a_file_page_in_swap_is_not_missing(
    #[values(Memory::ShmemAnon, Memory::ShmemMemfd, Memory::ShmemPrivate)] memory: Memory,
    #[values(Access::Read, Access::Write)] access: Access,
) -> Outcome {
    begin!(statements: ["FAULT-012", "FAULT-013", "FAULT-018"], axes: [memory, Mode::MISSING, access], needs: [SWAP])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(1)?;
    let alias = region.alias()?;
    alias.page(0).fill(Pattern::new(1));
    given::register(&uffd, region.range(), Mode::MISSING)?;
    swap_out(alias.page(0), || Ok(!sys::resident(alias.start()).unwrap_or(true)))?;
    let value = Actor::access(access, region.page(0).at(OFFSET))?.does_not_wait()?;
    access_did(region.page(0), Pattern::new(1), access, OFFSET, value)?;
    uffd.has_nothing_to_read()
}
