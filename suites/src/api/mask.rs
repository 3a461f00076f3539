//! What the handshake says is there: features and ioctls.

use uffd_harness::fdinfo::FdInfo;
use uffd_harness::kernel::{self, feature};
use uffd_harness::need::{Lack, Who};

use super::{INITIALIZED, offered};
use crate::create::Way;
use crate::prelude::*;

/// A handshake without any wish succeeds and fills in what the kernel offers.
#[rstest]
#[test_attr(registered(conformance))]
fn features_0_are_granted(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["API-001", "API-002"], axes: [way])?;
    let region = Memory::Anon.map(1)?;
    for flags in [0, libc::O_NONBLOCK, libc::O_CLOEXEC] {
        let uffd = way.uffd(flags)?;
        uffd.api(UFFD_API, 0).is_granted()?;
        // Initialised: calls are let through to their own checks.
        uffd.wake(region.range()).succeeds()?;
    }
    Ok(())
}

/// A bit is granted if and only if it is among the features returned, and these are always all that there are.
#[rstest]
#[test_attr(registered(conformance))]
fn a_bit_is_granted_iff_it_is_offered() -> Outcome {
    begin!(
        statements: ["API-002", "API-006", "API-007", "API-008", "API-016"],
        needs: [Need::Capability("CAP_SYS_PTRACE")]
    )?;
    for bit in (0..64).map(|number| 1_u64 << number) {
        let uffd = given::raw_uffd()?;
        if bit == UFFD_FEATURE_RWP_ASYNC {
            uffd.api(UFFD_API, bit).is_refused_with_zeros(Errno::EINVAL)?;
        }
        let wish = if bit == UFFD_FEATURE_RWP_ASYNC { bit | UFFD_FEATURE_RWP } else { bit };
        if offered(wish) == wish {
            uffd.api(UFFD_API, wish).is_granted()?;
        } else {
            uffd.api(UFFD_API, wish).is_refused_with_zeros(Errno::EINVAL)?;
            uffd.api(UFFD_API, 0).is_granted()?;
        }
    }
    Ok(())
}

/// All offered features are granted at once, and all but any one; with any other bit beside them none is.
#[rstest]
#[test_attr(registered(conformance))]
fn features_are_granted_together() -> Outcome {
    begin!(statements: ["API-002", "API-006", "API-008"], needs: [Need::Capability("CAP_SYS_PTRACE")])?;
    let all = kernel::current().features;
    given::raw_uffd()?.api(UFFD_API, all).is_granted()?;
    for bit in (0..64).map(|number| 1_u64 << number) {
        let uffd = given::raw_uffd()?;
        let without = if bit == UFFD_FEATURE_RWP { bit | UFFD_FEATURE_RWP_ASYNC } else { bit };
        if all & bit == 0 {
            uffd.api(UFFD_API, all | bit).is_refused_with_zeros(Errno::EINVAL)?;
        }
        uffd.api(UFFD_API, all & !without).is_granted()?;
    }
    Ok(())
}

/// The features that were asked for are enabled, and no others: one by one, and all of them.
#[rstest]
#[test_attr(registered(conformance))]
fn only_what_was_asked_for_is_enabled() -> Outcome {
    begin!(statements: ["API-002", "API-022"], needs: [Need::Capability("CAP_SYS_PTRACE")])?;
    let all = kernel::current().features;
    let single = feature::FEATURES.into_iter().map(|(bit, _)| bit).filter(|bit| all & bit != 0);
    for wish in single.chain([0, all]) {
        let wish = if wish == UFFD_FEATURE_RWP_ASYNC { wish | UFFD_FEATURE_RWP } else { wish };
        let implied = if wish & UFFD_FEATURE_WP_ASYNC == 0 { 0 } else { UFFD_FEATURE_WP_UNPOPULATED };
        let uffd = given::uffd(wish)?;
        let enabled = FdInfo::of(&uffd)?.features & !INITIALIZED;
        ensure_eq!(feature::names(enabled), feature::names(wish | implied), "enabled after asking for {wish:#x}");
    }
    Ok(())
}

/// In the order of the releases that brought them; what stands in one line came together.
const HISTORY: [u64; 12] = [
    UFFD_FEATURE_EVENT_FORK
        | UFFD_FEATURE_EVENT_REMAP
        | UFFD_FEATURE_EVENT_REMOVE
        | UFFD_FEATURE_EVENT_UNMAP
        | UFFD_FEATURE_MISSING_HUGETLBFS
        | UFFD_FEATURE_MISSING_SHMEM,
    UFFD_FEATURE_SIGBUS | UFFD_FEATURE_THREAD_ID,
    UFFD_FEATURE_PAGEFAULT_FLAG_WP,
    UFFD_FEATURE_MINOR_HUGETLBFS,
    UFFD_FEATURE_MINOR_SHMEM,
    UFFD_FEATURE_EXACT_ADDRESS,
    UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    UFFD_FEATURE_WP_UNPOPULATED,
    UFFD_FEATURE_POISON,
    UFFD_FEATURE_WP_ASYNC,
    UFFD_FEATURE_MOVE,
    UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC,
];

/// What a kernel's configuration can leave out, all of it or nothing: markers in page tables, and RWP.
const OPTIONAL: [u64; 2] = [
    UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC,
    UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC,
];

/// The features are those of some release: with each one every earlier one, except for what can be configured away.
#[rstest]
#[test_attr(registered(conformance))]
fn the_features_are_those_of_a_release() -> Outcome {
    begin!(statements: ["API-003"])?;
    let features = kernel::current().features;
    if !cfg!(target_arch = "x86_64") {
        let reason = "other architectures than x86-64 lack features of their own choice".to_owned();
        return Err(Stop::Skip(Lack { who: Who::Kernel, reason }));
    }
    variant(format!("{features:#x}"));
    ensure_eq!(features & INITIALIZED, 0, "the kernel's own mark among the features");
    let known: u64 = HISTORY.iter().sum();
    ensure!(
        features & !known == 0,
        "no release is known to offer {:?}: a bit too many, or a kernel newer than this suite",
        feature::names(features & !known)
    );
    let newest = HISTORY.iter().rposition(|step| features & step != 0);
    let release: u64 = newest.map_or(0, |newest| HISTORY[..=newest].iter().sum());
    let missing = release & !features;
    for group in OPTIONAL {
        let left_out = missing & group;
        ensure!(
            left_out == 0 || left_out == release & group,
            "{:?} is missing without the rest of its group",
            feature::names(left_out)
        );
    }
    let unexplained = missing & !OPTIONAL.iter().sum::<u64>();
    ensure!(unexplained == 0, "{:?} is missing, although later features are there", feature::names(unexplained));
    Ok(())
}

/// The ioctls are those that need no range: `UFFDIO_SET_MODE` only where the kernel takes it, and always where there is RWP.
#[rstest]
#[test_attr(registered(conformance))]
fn the_ioctls_are_those_without_a_range() -> Outcome {
    begin!(statements: ["API-004"])?;
    let uffd = given::raw_uffd()?;
    let ioctls = uffd.api(UFFD_API, 0).ioctls;
    let (set_mode, always) =
        (1 << _UFFDIO_SET_MODE, 1_u64 << _UFFDIO_API | 1 << _UFFDIO_REGISTER | 1 << _UFFDIO_UNREGISTER);
    ensure_eq!(format!("{:#x}", ioctls & !set_mode), format!("{always:#x}"), "ioctls beside UFFDIO_SET_MODE");
    let answer = uffd.set_mode(0, 0);
    match (ioctls & set_mode != 0, offered(UFFD_FEATURE_RWP) != 0) {
        (true, true) => answer.succeeds(),
        (false, false) => answer.is_refused(Errno::EINVAL),
        (false, true) => Err(broken("RWP is offered without UFFDIO_SET_MODE")),
        // RWP can be left out of a kernel that knows the ioctl.
        (true, false) => {
            variant("set-mode-without-rwp");
            Ok(())
        }
    }
}
