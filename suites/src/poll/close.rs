//! close(2) of the last descriptor: waiters, registrations, protection.

use uffd_harness::memory::vma;
use uffd_harness::sys;

use super::{content, faulting, waiter};
use crate::calls::Call;
use crate::prelude::*;

/// Threads that wait for a missing page, their messages read or not, get the kernel's own: a zero page.
#[apply(one_of_each_class)]
fn missing_waiters_get_the_kernels_own_page(memory: Memory) -> Outcome {
    begin!(statements: ["POLL-021"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 3)?;
    let (reader, _) = waiter(&scene, Mode::MISSING, 0)?;
    let (same_page, _) = waiter(&scene, Mode::MISSING, 0)?;
    scene.uffd.fault()?;
    let writer = Actor::access(Access::Write, scene.page(1).at(8))?;
    writer.falls_asleep()?;
    scene.uffd.close().map_err(broken)?;
    ensure_eq!((reader.is_woken()?, same_page.is_woken()?), (0, 0), "the bytes read");
    writer.is_woken()?;
    ensure_eq!(scene.region.page(0).differs(Pattern::ZERO), None, "the page that was read");
    ensure_eq!(sys::load_byte(scene.region.page(1).at(8)), WRITTEN, "the byte written");
    sys::store_byte(scene.region.page(1).at(8), 0);
    ensure_eq!(scene.region.page(1).differs(Pattern::ZERO), None, "the rest of the page that was written");
    // Nobody waits on a page that nobody touched: the next access does not either.
    ensure_eq!(Actor::access(Access::Read, scene.region.page(2).at(0))?.does_not_wait()?, 0, "the byte read later");
    Ok(())
}

/// Threads that wait to write to a protected page, their messages read or not, write.
#[apply(one_of_each_class)]
fn wp_waiters_write(memory: Memory) -> Outcome {
    begin!(statements: ["POLL-022"], axes: [memory, Mode::WP])?;
    let scene = faulting(memory, Mode::WP, 2)?;
    let (first, _) = waiter(&scene, Mode::WP, 0)?;
    scene.uffd.fault()?;
    let (second, _) = waiter(&scene, Mode::WP, 1)?;
    scene.uffd.close().map_err(broken)?;
    for (index, waiter) in [first, second].into_iter().enumerate() {
        waiter.is_woken()?;
        let page = scene.region.page(index);
        ensure_eq!(sys::load_byte(page.at(0)), WRITTEN, "the byte written to page {index}");
        sys::store_byte(page.at(0), content(Mode::WP, index).word(0) as u8);
        ensure_eq!(page.differs(content(Mode::WP, index)), None, "the rest of page {index}");
        ensure!(!page.state()?.uffd_wp(), "page {index} is still marked as protected");
    }
    Ok(())
}

/// Threads that wait for a minor fault, their messages read or not, get the page that the cache holds.
#[apply(one_of_each_class)]
fn minor_waiters_get_the_cached_page(memory: Memory) -> Outcome {
    begin!(statements: ["POLL-023"], axes: [memory, Mode::MINOR])?;
    let scene = faulting(memory, Mode::MINOR, 2)?;
    let (first, _) = waiter(&scene, Mode::MINOR, 0)?;
    scene.uffd.fault()?;
    let (second, _) = waiter(&scene, Mode::MINOR, 1)?;
    scene.uffd.close().map_err(broken)?;
    for (index, waiter) in [first, second].into_iter().enumerate() {
        ensure_eq!(waiter.is_woken()?, content(Mode::MINOR, index).word(0) as u8, "the byte read");
        ensure_eq!(scene.region.page(index).differs(content(Mode::MINOR, index)), None, "page {index}");
    }
    Ok(())
}

/// Pages that were read-write-protected are as they were before: threads that wait go on, others do not wait at all.
#[apply(one_of_each_class)]
fn rwp_protected_pages_are_restored(memory: Memory) -> Outcome {
    begin!(statements: ["POLL-024"], axes: [memory, Mode::RWP])?;
    let scene = faulting(memory, Mode::RWP, 3)?;
    let (first, _) = waiter(&scene, Mode::RWP, 0)?;
    scene.uffd.fault()?;
    let (second, _) = waiter(&scene, Mode::RWP, 1)?;
    scene.uffd.close().map_err(broken)?;
    for (index, waiter) in [first, second].into_iter().enumerate() {
        ensure_eq!(waiter.is_woken()?, content(Mode::RWP, index).word(0) as u8, "the byte read");
    }
    for index in 0..3 {
        let page = scene.region.page(index);
        ensure!(!page.state()?.uffd_wp(), "page {index} is still marked as protected");
        let access = Actor::start(move || sys::load(page.at(0)))?;
        ensure_eq!(access.does_not_wait()?, content(Mode::RWP, index).word(0), "the first word of page {index}");
        Actor::access(Access::Write, page.at(0))?.does_not_wait()?;
        sys::store(page.at(0), content(Mode::RWP, index).word(0));
        ensure_eq!(page.differs(content(Mode::RWP, index)), None, "page {index}");
    }
    Ok(())
}

/// Every range of the userfaultfd is unregistered, those of another one are not, and no access waits any more.
#[apply(one_of_each_class)]
fn every_range_is_unregistered(
    memory: Memory,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["POLL-023"], axes: [memory, mode])?;
    let (scene, bystander) = (faulting(memory, mode, 1)?, faulting(memory, mode, 1)?);
    let plain = Memory::Anon.map(1)?;
    given::register(&scene.uffd, plain.range(), Mode::MISSING)?;
    let flags = |range| -> Result<Vec<&str>, Stop> { Ok(vma::within(range)?[0].uffd_flags()) };
    let registered = flags(bystander.region.range())?;
    ensure_eq!((registered.len(), flags(scene.region.range())?), (1, registered.clone()), "the flags before");
    scene.uffd.close().map_err(broken)?;
    ensure_eq!(flags(scene.region.range())?, [""; 0], "the flags of the first range");
    ensure_eq!(flags(plain.range())?, [""; 0], "the flags of the second range");
    ensure_eq!(flags(bystander.region.range())?, registered, "the flags of another userfaultfd's range");
    for access in [Access::Read, Access::Write] {
        Actor::access(access, scene.region.start())?.does_not_wait()?;
        Actor::access(access, plain.start())?.does_not_wait()?;
    }
    waiter(&bystander, mode, 0)?;
    bystander.uffd.fault_at(super::flags(mode), bystander.page(0).at(0))?;
    // The range is free for the next.
    let next = given::uffd(if mode == Mode::RWP { UFFD_FEATURE_RWP } else { 0 })?;
    given::register(&next, scene.region.range(), mode)?;
    Ok(())
}

/// A call that waits for its event to be read goes on, and does what it is for.
#[rstest]
#[test_attr(registered(conformance))]
fn a_call_that_waits_for_its_event_goes_on(#[values(Call::Mremap, Call::Madvise, Call::Munmap)] call: Call) -> Outcome {
    begin!(statements: ["POLL-025"], axes: [Memory::Anon, call])?;
    let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, call.feature())?;
    let (page, filled) = (scene.page(1), Scene::filled(Resolver::Copy, 1));
    scene.resolve(Resolver::Copy, 0, 2, true)?.does(scene.region.len() as u64)?;
    let caller = call.start(&scene.region)?;
    caller.causes_a_message(&scene.uffd)?;
    ensure!(!caller.has_ended(), "the call did not wait for its event to be read");
    scene.uffd.close().map_err(broken)?;
    ensure_eq!(caller.join()?, Ending::Returned(Ok(())), "the call");
    match call {
        Call::Madvise => ensure_eq!(page.differs(Pattern::ZERO), None, "the page after MADV_DONTNEED"),
        _ => ensure_eq!(vma::count(page.range())?, 0, "the mappings at the page's old place"),
    }
    if call == Call::Mremap {
        ensure_eq!(filled.differs(scene.region.end(), page.size), None, "the page at its new place");
    }
    ensure_eq!(scene.region.page(0).differs(Scene::filled(Resolver::Copy, 0)), None, "the page beside it");
    Ok(())
}
