//! Handshakes that are refused with `EINVAL`, and what they leave behind.

use uffd_harness::fdinfo::FdInfo;
use uffd_harness::kernel;
use uffd_harness::memory::vma;

use super::{INITIALIZED, all_quiet_but, offered};
use crate::prelude::*;

/// The handshake is still to be done: nothing but it is answered.
#[track_caller]
fn is_uninitialised(uffd: &Uffd) -> Outcome {
    uffd.polls(libc::POLLERR)?;
    ensure_eq!(uffd.read_message().err(), Some(Errno::EINVAL), "read before the handshake");
    let region = Memory::Anon.map(1)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    ensure_eq!(vma::within(region.range())?[0].uffd_flags(), [""; 0], "the mapping's flags");
    ensure_eq!(FdInfo::of(uffd)?.features, 0, "the features in fdinfo");
    Ok(())
}

/// The handshake is done with these features: they work, and no others.
#[track_caller]
fn works_with_thread_id(uffd: &Uffd, thread_id: bool) -> Outcome {
    let region = Memory::Anon.map(1)?;
    given::register(uffd, region.range(), Mode::MISSING)?;
    let waiter = Actor::access(Access::Read, region.start() + 0x123)?;
    waiter.falls_asleep()?;
    let fault = uffd.fault_at(0, region.start())?;
    ensure_eq!(fault.ptid, if thread_id { waiter.thread() as u32 } else { 0 }, "ptid");
    uffd.zeropage(region.range(), 0).does(region.len() as u64)?;
    waiter.is_woken()?;
    Ok(())
}

/// Any other version than 0xAA is refused, whatever the features, and the right one is taken afterwards.
#[rstest]
#[test_attr(registered(conformance))]
fn other_versions_are_refused() -> Outcome {
    begin!(statements: ["API-005", "API-008"])?;
    let versions = [0, 1, 0xa9, 0xab, 0xaa00, 0x1aa, 0xaa | 1 << 32, 0xaa | 1 << 63, u64::MAX];
    let uffd = given::raw_uffd()?;
    for version in versions {
        for features in [0, offered(UFFD_FEATURE_THREAD_ID), 1 << 63, u64::MAX] {
            uffd.api(version, features).is_refused_with_zeros(Errno::EINVAL)?;
        }
    }
    is_uninitialised(&uffd)?;
    uffd.api(UFFD_API, UFFD_FEATURE_THREAD_ID).is_granted()?;
    works_with_thread_id(&uffd, true)
}

/// Unknown features are refused, beside known ones too, and none of these is enabled by it.
#[rstest]
#[test_attr(registered(conformance))]
fn unknown_features_are_refused() -> Outcome {
    begin!(statements: ["API-006", "API-007", "API-008"])?;
    let uffd = given::raw_uffd()?;
    for unknown in (0..64).map(|number| 1 << number).filter(|bit| kernel::current().features & bit == 0) {
        for beside in [0, UFFD_FEATURE_THREAD_ID] {
            uffd.api(UFFD_API, unknown | beside).is_refused_with_zeros(Errno::EINVAL)?;
        }
    }
    uffd.api(UFFD_API, INITIALIZED | all_quiet_but(0)).is_refused_with_zeros(Errno::EINVAL)?;
    is_uninitialised(&uffd)?;
    uffd.api(UFFD_API, 0).is_granted()?;
    works_with_thread_id(&uffd, false)
}

/// `RWP_ASYNC` without `RWP` is refused; with it it is granted.
#[rstest]
#[test_attr(registered(conformance))]
fn rwp_async_without_rwp_is_refused() -> Outcome {
    begin!(statements: ["API-016"], needs: [Need::Feature(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC)])?;
    let uffd = given::raw_uffd()?;
    for beside in [0, UFFD_FEATURE_THREAD_ID, offered(UFFD_FEATURE_WP_ASYNC), all_quiet_but(UFFD_FEATURE_RWP)] {
        uffd.api(UFFD_API, UFFD_FEATURE_RWP_ASYNC | beside).is_refused_with_zeros(Errno::EINVAL)?;
    }
    is_uninitialised(&uffd)?;
    uffd.api(UFFD_API, UFFD_FEATURE_RWP_ASYNC | UFFD_FEATURE_RWP).is_granted()
}

/// A second handshake is refused, the same one too, and changes nothing of the first.
#[rstest]
#[test_attr(registered(conformance))]
fn a_second_handshake_is_refused() -> Outcome {
    begin!(statements: ["API-009", "API-010"])?;
    for first in [0, UFFD_FEATURE_THREAD_ID] {
        let uffd = given::uffd(first)?;
        let before = FdInfo::of(&uffd)?;
        let others = offered(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_EXACT_ADDRESS);
        for features in [0, UFFD_FEATURE_THREAD_ID, others, all_quiet_but(0), 1 << 63, !UFFD_FEATURE_EVENT_FORK] {
            for version in [UFFD_API, 0] {
                uffd.api(version, features).is_refused_with_zeros(Errno::EINVAL)?;
            }
        }
        ensure_eq!(FdInfo::of(&uffd)?, before, "fdinfo after refused handshakes");
        uffd.polls(0)?;
        works_with_thread_id(&uffd, first == UFFD_FEATURE_THREAD_ID)?;
        // Registered ranges and waiters are none of a refused handshake's business either.
        let region = Memory::Anon.map(1)?;
        given::register(&uffd, region.range(), Mode::MISSING)?;
        let waiter = Actor::access(Access::Write, region.start())?;
        let sleep = waiter.falls_asleep()?;
        uffd.api(UFFD_API, 0).is_refused_with_zeros(Errno::EINVAL)?;
        waiter.is_still_in(sleep)?;
        uffd.fault_at(UFFD_PAGEFAULT_FLAG_WRITE, region.start())?;
    }
    Ok(())
}
