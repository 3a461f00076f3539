//! `UFFD_FEATURE_EVENT_FORK` needs `CAP_SYS_PTRACE`: UFFDIO_API(2const), ERRORS.

use uffd_harness::{kernel, sys};

use super::{all_quiet_but, offered};
use crate::create::Way;
use crate::prelude::*;

/// Who does the handshake needs the capability, whoever made the userfaultfd and however; no other feature needs it.
#[rstest]
#[test_attr(registered(conformance))]
fn an_ordinary_user_gets_every_feature_but_event_fork(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(
        statements: ["API-002", "API-008", "API-013"],
        axes: [way],
        needs: [Need::Capability("CAP_SYS_PTRACE"), Need::Capability("CAP_SETUID")]
    )?;
    let (uffd, later) = (way.uffd(libc::O_NONBLOCK)?, way.uffd(libc::O_NONBLOCK)?);
    way.uffd(0)?.api(UFFD_API, UFFD_FEATURE_EVENT_FORK).is_granted()?;
    sys::become_nobody().map_err(broken)?;
    for beside in [0, UFFD_FEATURE_THREAD_ID, all_quiet_but(0)] {
        uffd.api(UFFD_API, UFFD_FEATURE_EVENT_FORK | beside).is_refused_with_zeros(Errno::EPERM)?;
    }
    uffd.polls(libc::POLLERR)?;
    uffd.api(UFFD_API, 0).is_granted()?;
    later.api(UFFD_API, offered(!UFFD_FEATURE_EVENT_FORK)).is_granted()
}

/// Of all capabilities it is `CAP_SYS_PTRACE` alone that counts, also on a userfaultfd for user-mode faults only.
#[rstest]
#[test_attr(registered(conformance))]
fn event_fork_takes_cap_sys_ptrace_alone() -> Outcome {
    begin!(
        statements: ["API-013"],
        needs: [Need::Syscall, Need::UserModeOnly, Need::Capability("CAP_SYS_PTRACE")]
    )?;
    let made = || Uffd::create(UFFD_USER_MODE_ONLY | libc::O_NONBLOCK).map_err(broken);
    given::in_a_child(|| {
        sys::limit_capabilities(|capability| capability.to_string() == "CAP_SYS_PTRACE").map_err(broken)?;
        made()?.api(UFFD_API, UFFD_FEATURE_EVENT_FORK).is_granted()
    })?;
    let before = made()?;
    sys::limit_capabilities(|capability| capability.to_string() != "CAP_SYS_PTRACE").map_err(broken)?;
    for uffd in [before, made()?] {
        uffd.api(UFFD_API, UFFD_FEATURE_EVENT_FORK).is_refused_with_zeros(Errno::EPERM)?;
        uffd.api(UFFD_API, 0).is_granted()?;
    }
    Ok(())
}

/// The capability is asked for before the features are looked at: an unknown one beside `EVENT_FORK` is `EPERM`.
#[rstest]
#[test_attr(registered(conformance))]
fn rights_come_before_unknown_features() -> Outcome {
    begin!(
        statements: ["API-014"],
        needs: [Need::Feature(UFFD_FEATURE_EVENT_FORK), Need::Capability("CAP_SETUID")]
    )?;
    let uffd = given::raw_uffd()?;
    sys::become_nobody().map_err(broken)?;
    for unknown in (0..64).map(|number| 1 << number).filter(|bit| kernel::current().features & bit == 0) {
        let reply = uffd.api(UFFD_API, UFFD_FEATURE_EVENT_FORK | unknown);
        // Kernels of before WP_UNPOPULATED may look at the features first.
        if reply.result == Err(Errno::EINVAL) && offered(UFFD_FEATURE_WP_UNPOPULATED) == 0 {
            variant("einval");
            reply.is_refused_with_zeros(Errno::EINVAL)?;
        } else {
            reply.is_refused_with_zeros(Errno::EPERM)?;
        }
        uffd.api(UFFD_API, unknown).is_refused_with_zeros(Errno::EINVAL)?;
    }
    uffd.api(UFFD_API, 0).is_granted()
}
