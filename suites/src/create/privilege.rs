//! Who may create one: userfaultfd(2), ERRORS; userfaultfd.rst, "Creating a userfaultfd".

use nix::sched::{CloneFlags, unshare};
use uffd_harness::kernel::sysctl;
use uffd_harness::{sys, uapi};

use super::{FLAGS, known_flags};
use crate::prelude::*;

const CAPABILITY: &str = "CAP_SYS_PTRACE";

/// The capability set that an ordinary user's system call is judged by.
fn only_sys_ptrace() -> Outcome {
    sys::limit_capabilities(|capability| capability.to_string() == CAPABILITY).map_err(broken)
}

fn all_but_sys_ptrace() -> Outcome {
    sys::limit_capabilities(|capability| capability.to_string() != CAPABILITY).map_err(broken)
}

#[track_caller]
fn is_created(flags: i32) -> Result<Uffd, Stop> {
    Uffd::create(flags).map_err(|errno| broken(format!("userfaultfd({flags:#x}) failed with {errno:?}")))
}

/// userfaultfd(2) with each combination of the other known flags fails with `errno`.
#[track_caller]
fn is_refused(flags: i32, errno: Errno) -> Outcome {
    for others in [0, libc::O_CLOEXEC, libc::O_NONBLOCK, libc::O_CLOEXEC | libc::O_NONBLOCK] {
        let flags = flags | others;
        ensure_eq!(Uffd::create(flags).err(), Some(errno), "userfaultfd({flags:#x})");
    }
    Ok(())
}

/// With the sysctl at 0 an ordinary user gets `EPERM`.
#[rstest]
#[test_attr(registered(conformance))]
fn an_ordinary_user_is_refused() -> Outcome {
    begin!(statements: ["CREATE-006"], needs: [Need::Capability("CAP_SETUID")])?;
    let _held = sysctl::hold_unprivileged(0)?;
    is_created(0)?;
    sys::become_nobody().map_err(broken)?;
    is_refused(0, Errno::EPERM)
}

/// With the sysctl at 0 an ordinary user gets one that asks for user-mode faults only, and it works.
#[rstest]
#[test_attr(registered(conformance))]
fn an_ordinary_user_may_have_user_mode_faults() -> Outcome {
    begin!(statements: ["CREATE-007"], needs: [Need::UserModeOnly, Need::Capability("CAP_SETUID")])?;
    let _held = sysctl::hold_unprivileged(0)?;
    sys::become_nobody().map_err(broken)?;
    let uffd = is_created(UFFD_USER_MODE_ONLY | libc::O_NONBLOCK)?;
    given::handshake(&uffd, 0)?;
    let region = Memory::Anon.map(1)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let access = Actor::access(Access::Read, region.start())?;
    access.falls_asleep()?;
    uffd.fault_at(0, region.start())?;
    uffd.zeropage(region.range(), 0).does(region.len() as u64)?;
    ensure_eq!(access.is_woken()?, 0, "the byte read");
    Ok(())
}

/// With the sysctl at 1 an ordinary user gets one with and without `UFFD_USER_MODE_ONLY`, and sees kernel faults.
#[rstest]
#[test_attr(registered(conformance))]
fn the_sysctl_lets_an_ordinary_user_have_every_fault() -> Outcome {
    begin!(statements: ["CREATE-007", "CREATE-008", "CREATE-011", "API-013"], needs: [Need::Capability("CAP_SETUID")])?;
    let _held = sysctl::hold_unprivileged(1)?;
    given::in_a_child(|| {
        sys::become_nobody().map_err(broken)?;
        is_created(UFFD_USER_MODE_ONLY & known_flags())?;
        is_refused(4, Errno::EINVAL)?;
        let uffd = is_created(libc::O_NONBLOCK)?;
        // It is not enough for the events of fork(2).
        uffd.api(UFFD_API, UFFD_FEATURE_EVENT_FORK).is_refused_with_zeros(Errno::EPERM)?;
        given::handshake(&uffd, 0)?;
        let region = Memory::Anon.map(1)?;
        given::register(&uffd, region.range(), Mode::MISSING)?;
        let (at, file) = (region.start(), sys::memfd(libc::MFD_CLOEXEC).map_err(broken)?);
        let call = Actor::start(move || sys::write_from(std::os::fd::AsFd::as_fd(&file), at, 8))?;
        call.falls_asleep_in(libc::SYS_write)?;
        uffd.fault_at(0, at)?;
        uffd.zeropage(region.range(), 0).does(region.len() as u64)?;
        ensure_eq!(call.is_woken()?, Ok(8), "write(2) from a page filled meanwhile");
        Ok(())
    })
}

/// `CAP_SYS_PTRACE` is what allows flags 0 with the sysctl at 0, and all other capabilities together do not.
#[rstest]
#[test_attr(registered(conformance))]
fn cap_sys_ptrace_is_what_counts() -> Outcome {
    begin!(statements: ["CREATE-006", "CREATE-009"], needs: [Need::Capability(CAPABILITY), Need::Capability("CAP_SETUID")])?;
    let _held = sysctl::hold_unprivileged(0)?;
    given::in_a_child(|| {
        only_sys_ptrace()?;
        is_created(0)?.api(UFFD_API, UFFD_FEATURE_EVENT_FORK).is_granted()
    })?;
    all_but_sys_ptrace()?;
    is_refused(0, Errno::EPERM)
}

/// Every capability in a user namespace of one's own does not allow flags 0 with the sysctl at 0.
#[rstest]
#[test_attr(registered(conformance))]
fn a_capability_in_a_child_user_namespace_does_not_count() -> Outcome {
    begin!(statements: ["CREATE-009", "API-013"], needs: [Need::Capability(CAPABILITY)])?;
    let _held = sysctl::hold_unprivileged(0)?;
    is_created(0)?;
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| {
        uffd_harness::Error::Machine(format!(
            "no user namespace can be made: unshare failed with {errno}, see sysctl user.max_user_namespaces"
        ))
    })?;
    let here = uffd_harness::kernel::machine::Machine::probe();
    ensure!(here.has_capability(CAPABILITY), "a new user namespace comes without {CAPABILITY}");
    is_refused(0, Errno::EPERM)?;
    if known_flags() & UFFD_USER_MODE_ONLY != 0 {
        let uffd = is_created(UFFD_USER_MODE_ONLY)?;
        uffd.api(UFFD_API, UFFD_FEATURE_EVENT_FORK).is_refused_with_zeros(Errno::EPERM)?;
        uffd.api(UFFD_API, 0).is_granted()?;
    }
    Ok(())
}

/// The right to kernel faults is checked before the flags: an unknown flag is `EPERM` without it and `EINVAL` with it.
#[rstest]
#[test_attr(registered(conformance))]
fn rights_come_before_flags() -> Outcome {
    begin!(statements: ["CREATE-010"], needs: [Need::UserModeOnly, Need::Capability("CAP_SETUID")])?;
    let _held = sysctl::hold_unprivileged(0)?;
    sys::become_nobody().map_err(broken)?;
    for bit in (0..32).map(|number| 1_i32 << number).filter(|bit| bit & FLAGS == 0) {
        is_refused(bit, Errno::EPERM)?;
        is_refused(bit | uapi::UFFD_USER_MODE_ONLY, Errno::EINVAL)?;
    }
    Ok(())
}
