//! Wakes that reach nobody.

use uffd_harness::sys;

use crate::family::range::end_of_memory;
use crate::family::{Call, Stage, about, foreign};
use crate::prelude::*;

/// A wake of addresses where nobody waits, registered or not, mapped or not, succeeds and wakes nobody elsewhere.
#[apply(one_of_each_class)]
fn a_wake_where_nobody_waits_succeeds(memory: Memory) -> Outcome {
    begin!(statements: ["WAKE-004"], axes: [memory, Mode::MISSING])?;
    let stage = Stage::new(Call::Wake, memory)?;
    let base = sys::page_size() as u64;
    let unregistered = Memory::Anon.map(1)?;
    let populated = given::source(base as usize, Pattern::new(1))?;
    let unmapped = Memory::Anon.map(1)?;
    let hole = unmapped.range();
    unmapped.unmap()?;
    let (first, last) = (stage.scene.page(0), stage.scene.page(2));
    let end = end_of_memory()?;
    for (where_, range) in [
        ("the page before", first.range()),
        ("the page behind", last.range()),
        ("the last base page before", Range::new(first.range().end() - base, base)),
        ("the first base page behind", Range::new(last.start as u64, base)),
        ("unregistered memory", unregistered.range()),
        ("unregistered pages that are there", populated.range()),
        ("nothing at all", hole),
        ("the last page of the address space", Range::new(end - base, base)),
        ("all behind the page", Range::new(last.start as u64, end - last.start as u64)),
    ] {
        stage.make(range).succeeds().map_err(about(where_))?;
    }
    stage.is_unchanged()?;
    stage.works()
}

/// A wake of a range that has been unregistered or unmapped under the waiter still wakes.
#[rstest]
#[test_attr(registered(conformance))]
fn a_wake_of_what_is_not_mapped_any_more_still_wakes() -> Outcome {
    begin!(statements: ["WAKE-004"], axes: [Memory::Anon, Mode::MISSING])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    let page = scene.page(0);
    let waiter = Actor::access(Access::Read, page.at(0))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.fault_at(0, page.start)?;
    lay::hole(page)?;
    waiter.is_still_in(sleep)?;
    scene.uffd.wake(page.range()).succeeds()?;
    waiter.dies_of(libc::SIGSEGV)?;
    scene.uffd.has_nothing_to_read()
}

/// A wake by one userfaultfd never wakes the waiters of another, even if its range holds both.
#[apply(one_of_each_class)]
fn a_wake_reaches_only_its_own_waiters(memory: Memory) -> Outcome {
    begin!(statements: ["WAKE-008"], axes: [memory, Mode::MISSING])?;
    foreign::wakes_only_its_own(memory)
}
