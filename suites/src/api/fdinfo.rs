//! What `/proc/PID/fdinfo/FD` tells of a userfaultfd; no document says so.

use uffd_harness::fdinfo::FdInfo;
use uffd_harness::kernel;

use super::{INITIALIZED, offered};
use crate::prelude::*;

/// The ioctls that go with a range, as far as this kernel has them.
fn range_ioctls() -> u64 {
    let if_offered = |features, number: u64| if offered(features) == 0 { 0 } else { 1 << number };
    1 << _UFFDIO_WAKE
        | 1 << _UFFDIO_COPY
        | 1 << _UFFDIO_ZEROPAGE
        | if_offered(UFFD_FEATURE_PAGEFAULT_FLAG_WP, _UFFDIO_WRITEPROTECT)
        | if_offered(UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_MINOR_SHMEM, _UFFDIO_CONTINUE)
        | if_offered(UFFD_FEATURE_POISON, _UFFDIO_POISON)
        | if_offered(UFFD_FEATURE_MOVE, _UFFDIO_MOVE)
        // It came with UFFDIO_SET_MODE, and like that one it is told of where RWP was left out.
        | (kernel::current().ioctls >> _UFFDIO_SET_MODE & 1) << _UFFDIO_RWPROTECT
}

/// It tells of waiters, version, enabled features (with the kernel's own mark after the handshake), and every ioctl.
#[rstest]
#[test_attr(registered(conformance))]
fn it_tells_version_features_and_ioctls() -> Outcome {
    begin!(statements: ["API-022"])?;
    let uffd = given::raw_uffd()?;
    let ioctls = kernel::current().ioctls | range_ioctls();
    let expected = FdInfo { pending: 0, total: 0, api: UFFD_API, features: 0, ioctls };
    ensure_eq!(FdInfo::of(&uffd)?, expected, "fdinfo before the handshake");
    for features in [0, UFFD_FEATURE_THREAD_ID] {
        let uffd = given::uffd(features)?;
        ensure_eq!(FdInfo::of(&uffd)?, FdInfo { features: INITIALIZED | features, ..expected }, "fdinfo after it");
    }
    Ok(())
}

/// `pending` counts the waiters whose message is unread, `total` all of them, until they are woken.
#[rstest]
#[test_attr(registered(conformance))]
fn it_counts_waiters_read_and_unread() -> Outcome {
    begin!(statements: ["API-023"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 4)?;
    let counts = || FdInfo::of(&scene.uffd).map(|info| (info.pending, info.total));
    let mut waiters = Vec::new();
    // Two waiters on page 0, one on each of pages 1 and 2.
    for (index, page) in [0, 0, 1, 2].into_iter().enumerate() {
        let waiter = Actor::access(Access::Read, scene.page(page).at(0))?;
        waiter.falls_asleep()?;
        waiters.push(waiter);
        ensure_eq!(counts()?, (index as u64 + 1, index as u64 + 1), "pending and total as waiters come");
    }
    for read in 1..=3 {
        scene.uffd.fault()?;
        ensure_eq!(counts()?, (4 - read, 4), "pending and total as messages are read");
    }
    // Resolved with its messages read, and resolved unread.
    scene.resolve(Resolver::Zeropage, 0, 1, true)?.does(scene.region.page_size() as u64)?;
    ensure_eq!(counts()?, (1, 2), "pending and total after two waiters were woken");
    scene.resolve(Resolver::Zeropage, 2, 1, true)?.does(scene.region.page_size() as u64)?;
    ensure_eq!(counts()?, (0, 1), "pending and total after an unread one was woken");
    scene.resolve(Resolver::Zeropage, 1, 1, true)?.does(scene.region.page_size() as u64)?;
    ensure_eq!(counts()?, (0, 0), "pending and total in the end");
    for waiter in waiters {
        waiter.is_woken()?;
    }
    Ok(())
}

/// The features follow `UFFDIO_SET_MODE`.
#[rstest]
#[test_attr(registered(conformance))]
fn it_follows_set_mode() -> Outcome {
    begin!(
        statements: ["API-024"],
        axes: [Mode::RWP],
        needs: [Need::Feature(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC)]
    )?;
    let uffd = given::uffd(UFFD_FEATURE_RWP | UFFD_FEATURE_THREAD_ID)?;
    let synchronous = INITIALIZED | UFFD_FEATURE_RWP | UFFD_FEATURE_THREAD_ID;
    ensure_eq!(FdInfo::of(&uffd)?.features, synchronous, "the features at first");
    for _ in 0..2 {
        uffd.set_mode(UFFD_FEATURE_RWP_ASYNC, 0).succeeds()?;
        ensure_eq!(FdInfo::of(&uffd)?.features, synchronous | UFFD_FEATURE_RWP_ASYNC, "the features when enabled");
        uffd.set_mode(0, UFFD_FEATURE_RWP_ASYNC).succeeds()?;
        ensure_eq!(FdInfo::of(&uffd)?.features, synchronous, "the features when disabled");
    }
    // A refused toggle shows nowhere.
    uffd.set_mode(UFFD_FEATURE_WP_ASYNC, 0).is_refused(Errno::EINVAL)?;
    ensure_eq!(FdInfo::of(&uffd)?.features, synchronous, "the features after a refusal");
    Ok(())
}
