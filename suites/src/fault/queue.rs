//! The queue of page-fault messages: one a waiter, in order, gone when resolved, never twice.

use uffd_harness::fdinfo::FdInfo;
use uffd_harness::message::SIZE;

use super::faulting::{Faulting, some_faults, told};
use crate::prelude::*;

/// `count` numbers below `count`, each once, neither rising nor falling.
fn shuffled(count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| (index * 3 + 1) % count)
}

/// Three threads on one page give three messages, each its own; one resolution wakes all three.
#[apply(some_faults)]
fn each_waiter_has_its_message_and_one_resolution_wakes_all(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-026"], axes: [memory, mode], needs: [Need::Feature(UFFD_FEATURE_THREAD_ID)])?;
    let scene = Faulting::with_features(memory, mode, 1, UFFD_FEATURE_THREAD_ID)?;
    let mut waiters = Vec::new();
    for offset in [8, 0, 24] {
        waiters.push((scene.waiter(0, offset)?, offset));
    }
    for ((waiter, _), _) in &waiters {
        told(&scene.uffd, scene.flags(), scene.page(0).start, waiter.thread() as u32)?;
    }
    scene.uffd.has_nothing_to_read()?;
    for ((waiter, sleep), _) in &waiters {
        waiter.is_still_in(*sleep)?;
    }
    scene.end_fault(0)?;
    let woken: Vec<_> = waiters.iter().map(|((waiter, _), offset)| (waiter, 0, *offset)).collect();
    scene.went_through(&woken)?;
    scene.uffd.has_nothing_to_read()
}

/// The resolution of one page wakes all that wait for it, told or not, and none that waits for its neighbours.
#[apply(some_faults)]
fn resolution_wakes_only_the_waiters_of_its_page(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-026", "FAULT-027"], axes: [memory, mode])?;
    let scene = Faulting::new(memory, mode, 3)?;
    let mut waiters = Vec::new();
    for (index, offset) in [(0, 0), (1, 0), (2, 0), (1, 8)] {
        waiters.push((scene.waiter(index, offset)?, index, offset));
    }
    scene.is_told_of(0)?;
    scene.is_told_of(1)?;
    for resolved in [1, 2, 0] {
        scene.end_fault(resolved)?;
        let (awake, asleep): (Vec<_>, Vec<_>) = waiters.into_iter().partition(|(_, index, _)| *index == resolved);
        let woken: Vec<_> = awake.iter().map(|((waiter, _), index, offset)| (waiter, *index, *offset)).collect();
        scene.went_through(&woken)?;
        for ((waiter, sleep), index, _) in &asleep {
            waiter.is_still_in(*sleep)?;
            scene.is_untouched(*index)?;
        }
        waiters = asleep;
        if resolved == 1 {
            // The other waiter of this page had an unread message, too.
            scene.is_told_of(2)?;
        }
        scene.uffd.has_nothing_to_read()?;
    }
    Ok(())
}

/// A fault that is resolved before its message was read has none any more; the fault of another page keeps its own.
#[apply(some_faults)]
fn resolved_before_read_disappears(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-027"], axes: [memory, mode])?;
    let scene = Faulting::new(memory, mode, 2)?;
    let (first, _) = scene.waiter(0, 0)?;
    let (second, sleep) = scene.waiter(1, 0)?;
    let (third, _) = scene.waiter(0, 8)?;
    scene.uffd.polls(libc::POLLIN)?;
    scene.end_fault(0)?;
    scene.went_through(&[(&first, 0, 0), (&third, 0, 8)])?;
    second.is_still_in(sleep)?;
    scene.is_told_of(1)?;
    scene.uffd.has_nothing_to_read()?;
    scene.end_fault(1)?;
    scene.went_through(&[(&second, 1, 0)])?;
    scene.uffd.polls(0)?;
    scene.uffd.has_nothing_to_read()
}

/// Messages are read in the order in which the faults came, one by one and many at once.
#[apply(some_faults)]
fn messages_come_in_the_order_of_the_faults(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-028"], axes: [memory, mode])?;
    let count = if memory.is_hugetlb() { 2 } else { 8 };
    let scene = Faulting::new(memory, mode, count)?;
    let mut waiters = Vec::new();
    let order: Vec<usize> = shuffled(count).chain(shuffled(count)).collect();
    for index in &order {
        waiters.push(scene.waiter(*index, 0)?);
    }
    let (one_by_one, at_once) = order.split_at(count);
    for index in one_by_one {
        scene.is_told_of(*index)?;
    }
    let bytes = scene.uffd.read(SIZE * count).map_err(|errno| Stop::Fail(format!("read: {errno}")))?;
    ensure_eq!(bytes.len(), SIZE * count, "the bytes of one read of {count} messages");
    for (bytes, index) in bytes.chunks_exact(SIZE).zip(at_once) {
        let message = Message::new(std::array::from_fn(|i| bytes[i]));
        let address = scene.page(*index).start as u64;
        ensure_eq!(message.event(), Event::Pagefault { flags: scene.flags(), address, ptid: 0 }, "the next message");
    }
    scene.uffd.has_nothing_to_read()?;
    for (waiter, sleep) in &waiters {
        waiter.is_still_in(*sleep)?;
    }
    Ok(())
}

/// A fault that is repeated is the last to be told, behind those that came before.
#[rstest]
#[test_attr(registered(conformance))]
fn a_repeated_fault_is_told_last() -> Outcome {
    begin!(statements: ["FAULT-028", "FAULT-030"], axes: [Memory::Anon, Mode::MISSING])?;
    let scene = Faulting::new(Memory::Anon, Mode::MISSING, 3)?;
    let (first, sleep) = scene.waiter(0, 0)?;
    let (_second, _) = scene.waiter(1, 0)?;
    let (_third, _) = scene.waiter(2, 0)?;
    scene.uffd.wake(scene.page(0).range()).succeeds()?;
    first.faults_again(sleep)?;
    for index in [1, 2, 0] {
        scene.is_told_of(index)?;
    }
    scene.uffd.has_nothing_to_read()
}

/// A message that has been read does not come again: not while its thread sleeps, not with a later fault.
#[apply(some_faults)]
fn a_read_message_does_not_come_again(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-029"], axes: [memory, mode])?;
    let scene = Faulting::new(memory, mode, 2)?;
    let (first, sleep) = scene.waiter(0, 0)?;
    let waiting = |uffd| FdInfo::of(uffd).map(|info| (info.pending, info.total));
    ensure_eq!(waiting(&scene.uffd)?, (1, 1), "pending and total before the read");
    scene.is_told_of(0)?;
    ensure_eq!(waiting(&scene.uffd)?, (0, 1), "pending and total after the read");
    scene.uffd.polls(0)?;
    scene.uffd.has_nothing_to_read()?;
    let (second, _) = scene.waiter(1, 0)?;
    scene.is_told_of(1)?;
    scene.uffd.has_nothing_to_read()?;
    first.is_still_in(sleep)?;
    scene.end_fault(1)?;
    scene.went_through(&[(&second, 1, 0)])?;
    scene.uffd.has_nothing_to_read()?;
    scene.end_fault(0)?;
    scene.went_through(&[(&first, 0, 0)])?;
    ensure_eq!(waiting(&scene.uffd)?, (0, 0), "pending and total at the end");
    scene.uffd.has_nothing_to_read()
}

/// A waiter that is woken while nothing has resolved its fault faults again and gives the same message once more.
#[apply(some_faults)]
fn wake_without_resolution_repeats_the_message(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-030"], axes: [memory, mode], needs: [Need::Feature(UFFD_FEATURE_THREAD_ID)])?;
    let scene = Faulting::with_features(memory, mode, 2, UFFD_FEATURE_THREAD_ID)?;
    let page = scene.page(0);
    let (waiter, sleep) = scene.waiter(0, 0x123)?;
    let message = told(&scene.uffd, scene.flags(), page.start, waiter.thread() as u32)?.message;
    scene.uffd.wake(page.range()).succeeds()?;
    let sleep = waiter.faults_again(sleep)?;
    scene.is_untouched(0)?;
    // Woken before its message was read, it has one message all the same.
    scene.uffd.wake(page.range()).succeeds()?;
    waiter.faults_again(sleep)?;
    ensure_eq!(scene.uffd.message()?, message, "the message of the repeated fault");
    scene.uffd.has_nothing_to_read()?;
    scene.end_fault(0)?;
    scene.went_through(&[(&waiter, 0, 0x123)])?;
    scene.uffd.has_nothing_to_read()
}
