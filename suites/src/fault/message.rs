//! What a page-fault message says: address, thread, size.

use super::faulting::{Faulting, every_fault, some_faults, told};
use crate::prelude::*;

/// Bytes of a page: near its begin, deep inside, and the last one.
fn offsets(page: Page) -> [usize; 3] {
    [1, page.size / 2 + 0x125, page.size - 1]
}

/// The address is that of the page, wherever in the page the access was; for hugetlb that of the huge page.
#[apply(every_fault)]
fn address_is_rounded_down_to_the_page(memory: Memory, mode: Mode) -> Outcome {
    begin!(statements: ["FAULT-003", "FAULT-004", "FAULT-008"], axes: [memory, mode])?;
    let scene = Faulting::new(memory, mode, 2)?;
    let page = scene.page(1);
    let mut waiters = Vec::new();
    for offset in offsets(page) {
        waiters.push(scene.waiter(1, offset)?.0);
        scene.is_told_of(1)?;
    }
    scene.uffd.has_nothing_to_read()?;
    scene.end_fault(1)?;
    let [near, deep, last] = offsets(page);
    scene.went_through(&[(&waiters[0], 1, near), (&waiters[1], 1, deep), (&waiters[2], 1, last)])?;
    scene.uffd.has_nothing_to_read()
}

/// With EXACT_ADDRESS the address is the accessed byte's, and the page's resolution wakes the thread all the same.
#[apply(every_fault)]
fn exact_address_is_the_byte(memory: Memory, mode: Mode) -> Outcome {
    begin!(
        statements: ["FAULT-005", "FAULT-006", "FAULT-008"],
        axes: [memory, mode],
        needs: [Need::Feature(UFFD_FEATURE_EXACT_ADDRESS)]
    )?;
    let scene = Faulting::with_features(memory, mode, 2, UFFD_FEATURE_EXACT_ADDRESS)?;
    let page = scene.page(1);
    let mut waiters = Vec::new();
    for offset in offsets(page) {
        waiters.push(scene.waiter(1, offset)?.0);
        told(&scene.uffd, scene.flags(), page.at(offset), 0)?;
    }
    scene.end_fault(1)?;
    let [near, deep, last] = offsets(page);
    scene.went_through(&[(&waiters[0], 1, near), (&waiters[1], 1, deep), (&waiters[2], 1, last)])?;
    scene.uffd.has_nothing_to_read()
}

/// With EXACT_ADDRESS a wake of the page reaches a waiter for its last byte, and a wake of its neighbours does not.
#[apply(some_faults)]
fn exact_address_is_woken_by_its_page_alone(memory: Memory, mode: Mode) -> Outcome {
    begin!(
        statements: ["FAULT-006"],
        axes: [memory, mode],
        needs: [Need::Feature(UFFD_FEATURE_EXACT_ADDRESS)]
    )?;
    let scene = Faulting::with_features(memory, mode, 3, UFFD_FEATURE_EXACT_ADDRESS)?;
    let page = scene.page(1);
    let last = page.size - 1;
    let (waiter, sleep) = scene.waiter(1, last)?;
    for neighbour in [0, 2] {
        scene.uffd.wake(scene.page(neighbour).range()).succeeds()?;
        waiter.is_still_in(sleep)?;
    }
    scene.uffd.wake(page.range()).succeeds()?;
    waiter.faults_again(sleep)?;
    told(&scene.uffd, scene.flags(), page.at(last), 0)?;
    scene.end_fault(1)?;
    scene.went_through(&[(&waiter, 1, last)])
}

/// With THREAD_ID the message names the thread that faulted.
#[apply(one_of_each_class)]
fn thread_id_is_the_faulting_thread(memory: Memory) -> Outcome {
    begin!(statements: ["FAULT-007"], axes: [memory, Mode::MISSING], needs: [Need::Feature(UFFD_FEATURE_THREAD_ID)])?;
    let scene = Faulting::with_features(memory, Mode::MISSING, 2, UFFD_FEATURE_THREAD_ID)?;
    for index in [1, 0] {
        let (waiter, _) = scene.waiter(index, 0)?;
        ensure!(waiter.thread() != std::process::id() as i32, "the waiter is the process's first thread");
        told(&scene.uffd, scene.flags(), scene.page(index).start, waiter.thread() as u32)?;
        scene.uffd.has_nothing_to_read()?;
        scene.end_fault(index)?;
        scene.went_through(&[(&waiter, index, 0)])?;
    }
    Ok(())
}

/// The thread id is the one in the thread's own pid namespace: the first process of a new one is 1.
#[rstest]
#[test_attr(registered(conformance))]
fn thread_id_is_of_the_threads_own_pid_namespace() -> Outcome {
    begin!(
        statements: ["FAULT-007"],
        axes: [Memory::Anon, Mode::MISSING],
        needs: [Need::Feature(UFFD_FEATURE_THREAD_ID), Need::Capability("CAP_SYS_ADMIN")]
    )?;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID)
        .map_err(|errno| Stop::Error(format!("unshare(CLONE_NEWPID): {errno}")))?;
    let access = |region: &Region| i32::from(Access::Read.make(region.page(0).at(0)));
    let mut target =
        Faulting::in_target(Memory::Anon, Mode::MISSING, 1, UFFD_FEATURE_THREAD_ID, |region, _| access(region))?;
    ensure!(target.process.waits_for_userfault(), "the access went through; it should wait for the fault");
    ensure!(target.process.pid() != 1, "the target is not in a pid namespace of its own");
    told(&target.uffd, 0, target.page(0).start, 1)?;
    target.process.kill()?;
    Ok(())
}

/// A message has 32 bytes: a larger buffer gets as many whole messages as there are and fit.
#[rstest]
#[test_attr(registered(conformance))]
fn messages_are_32_bytes() -> Outcome {
    begin!(statements: ["FAULT-009"], axes: [Memory::Anon, Mode::MISSING])?;
    let scene = Faulting::new(Memory::Anon, Mode::MISSING, 3)?;
    let (_first, _) = scene.waiter(0, 0)?;
    ensure_eq!(scene.uffd.read(31), Err(Errno::EINVAL), "a read of 31 bytes");
    ensure_eq!(scene.uffd.read(4096).map(|bytes| bytes.len()), Ok(32), "a large read of one message");
    let (_second, _) = scene.waiter(1, 0)?;
    let (_third, _) = scene.waiter(2, 0)?;
    ensure_eq!(scene.uffd.read(63).map(|bytes| bytes.len()), Ok(32), "a read of 63 bytes of two messages");
    ensure_eq!(scene.uffd.read(32).map(|bytes| bytes.len()), Ok(32), "a read of 32 bytes");
    ensure_eq!(size_of::<uffd_msg>(), 32, "struct uffd_msg of the UAPI header");
    scene.uffd.has_nothing_to_read()
}
