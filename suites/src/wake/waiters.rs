//! Whom `UFFDIO_WAKE` wakes: every thread that waits in the range and no other, whether its page is there or not.

use crate::prelude::*;
use crate::waiters::{self, Addresses, Waiter};

/// The threads that wait for a page wake, those whose message was read and those whose was not.
#[apply(filled_by_each)]
fn read_and_unread_faults_are_woken(memory: Memory, resolver: Resolver) -> Outcome {
    begin!(statements: ["WAKE-001", "WAKE-003"], axes: [memory, resolver.fault_mode(), resolver])?;
    let scene = Scene::new(memory, resolver.fault_mode(), 1)?;
    let (page, content) = (scene.page(0), Scene::filled(resolver, 0));
    let read = Waiter::at(&scene, Access::Read, page.at(0))?;
    let last = Waiter::at(&scene, Access::Read, page.at(page.size - 1))?;
    let access = waiters::among_readers(memory, resolver);
    let unread = Waiter::unread(&scene, access, page.at(8))?;
    scene.resolve(resolver, 0, 1, false)?.does(page.size as u64)?;
    for waiter in [&read, &last, &unread] {
        waiter.sleeps_on()?;
    }
    scene.uffd.wake(page.range()).succeeds()?;
    for waiter in [&read, &last, &unread] {
        waiter.is_woken_to(content)?;
    }
    waiters::page_holds(page, content, access, 8)?;
    scene.uffd.has_nothing_to_read()
}

/// Of threads that wait for three pages, all filled, just those of the range are woken.
#[apply(one_of_each_class)]
fn waiters_outside_the_range_sleep_on(
    memory: Memory,
    #[values(Resolver::Copy, Resolver::Continue)] resolver: Resolver,
) -> Outcome {
    begin!(
        statements: ["WAKE-001", "WAKE-002"],
        axes: [memory, resolver.fault_mode(), resolver],
        needs: [given::hugepages(memory, resolver.fault_mode(), 3)],
    )?;
    let scene = Scene::new(memory, resolver.fault_mode(), 3)?;
    let last = scene.region.page_size() - 1;
    let before = Waiter::at(&scene, Access::Read, scene.page(0).at(last))?;
    let inside = Waiter::at(&scene, Access::Read, scene.page(1).at(0))?;
    let behind = Waiter::at(&scene, Access::Read, scene.page(2).at(0))?;
    scene.resolve(resolver, 0, 3, false)?.does(scene.region.pages(0, 3).len)?;
    for waiter in [&before, &inside, &behind] {
        waiter.sleeps_on()?;
    }
    scene.uffd.wake(scene.page(1).range()).succeeds()?;
    inside.is_woken_to(Scene::filled(resolver, 1))?;
    before.sleeps_on()?;
    behind.sleeps_on()?;
    scene.uffd.wake(scene.page(0).range()).succeeds()?;
    before.is_woken_to(Scene::filled(resolver, 0))?;
    behind.sleeps_on()?;
    scene.uffd.wake(scene.page(2).range()).succeeds()?;
    behind.is_woken_to(Scene::filled(resolver, 2))?;
    scene.uffd.has_nothing_to_read()
}

/// A thread woken although its page is not there waits again, with the same message; the range holds to the byte.
#[apply(one_of_each_class)]
fn who_finds_no_page_faults_again(
    memory: Memory,
    #[values(Addresses::OfPages, Addresses::Exact)] addresses: Addresses,
) -> Outcome {
    begin!(statements: ["WAKE-001", "WAKE-002"], axes: [memory, Mode::MISSING, addresses])?;
    let scene = Scene::with_features(memory, Mode::MISSING, 4, addresses.features() | UFFD_FEATURE_THREAD_ID)?;
    let last = scene.region.page_size() - 1;
    let before = Waiter::at(&scene, Access::Read, scene.page(0).at(last))?;
    let mut first = Waiter::at(&scene, Access::Read, scene.page(1).at(0))?;
    let mut second = Waiter::at(&scene, Access::Write, scene.page(2).at(last))?;
    let behind = Waiter::at(&scene, Access::Write, scene.page(3).at(0))?;
    scene.uffd.wake(scene.region.pages(1, 2)).succeeds()?;
    // Each is seen before the other's message is read: both messages are there then, in whatever order.
    first.faults_again()?;
    second.faults_again()?;
    Waiter::messages_are_next(&scene, &[&first, &second])?;
    before.sleeps_on()?;
    behind.sleeps_on()?;
    scene.uffd.has_nothing_to_read()
}

/// The same of a minor fault.
#[apply(one_of_each_class)]
fn who_finds_no_mapping_faults_again(memory: Memory) -> Outcome {
    begin!(
        statements: ["WAKE-001", "WAKE-002"],
        axes: [memory, Mode::MINOR],
        needs: [given::hugepages(memory, Mode::MINOR, 2)],
    )?;
    let scene = Scene::new(memory, Mode::MINOR, 2)?;
    let mut woken = Waiter::at(&scene, Access::Read, scene.page(0).at(0))?;
    let other = Waiter::at(&scene, Access::Read, scene.page(1).at(0))?;
    scene.uffd.wake(scene.page(0).range()).succeeds()?;
    woken.faults_again()?;
    woken.message_is_next(&scene)?;
    other.sleeps_on()?;
    scene.page(0).is_not_mapped()?;
    scene.uffd.has_nothing_to_read()
}

/// A thread woken before its message was read leaves one message, not two.
#[apply(one_of_each_class)]
fn an_unread_message_is_not_doubled(memory: Memory) -> Outcome {
    begin!(statements: ["WAKE-003"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 1)?;
    let mut waiter = Waiter::unread(&scene, Access::Write, scene.page(0).at(0))?;
    scene.uffd.wake(scene.page(0).range()).succeeds()?;
    waiter.faults_again()?;
    waiter.message_is_next(&scene)?;
    scene.uffd.has_nothing_to_read()?;
    scene.uffd.polls(0)
}
