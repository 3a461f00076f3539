//! The flags of userfaultfd(2), by system call and by `USERFAULTFD_IOC_NEW`.

use std::os::fd::AsRawFd as _;

use uffd_harness::actor::ProcessEnding;
use uffd_harness::{gate, kernel, sys};

use super::{FLAGS, Way, known_flags, link};
use crate::prelude::*;

/// Flags 0 give a new descriptor of a userfaultfd, opened for reading only, with no status flag set.
#[rstest]
#[test_attr(registered(conformance))]
fn flags_0_give_a_plain_userfaultfd(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-001", "CREATE-014"], axes: [way])?;
    let (first, second) = (way.uffd(0)?, way.uffd(0)?);
    ensure!(first.fd().as_raw_fd() != second.fd().as_raw_fd(), "two userfaultfds share one descriptor");
    for uffd in [&first, &second] {
        ensure_eq!(link(uffd).as_deref(), Some("anon_inode:[userfaultfd]"), "the link in /proc/self/fd");
        ensure_eq!(gate::status_flags(uffd.fd()), Ok(libc::O_RDONLY), "the status flags");
        ensure_eq!(gate::descriptor_flags(uffd.fd()), Ok(0), "the descriptor flags");
    }
    // Each is a userfaultfd of its own: the handshake of one is not that of the other.
    first.api(UFFD_API, 0).is_granted()?;
    let region = Memory::Anon.map(1)?;
    second.wake(region.range()).is_refused(Errno::EINVAL)?;
    second.api(UFFD_API, 0).is_granted()?;
    second.wake(region.range()).succeeds()
}

/// Of every combination of the known flags, each sets what it is for and nothing else.
#[rstest]
#[test_attr(registered(conformance))]
fn each_flag_sets_its_own(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-002", "CREATE-003", "CREATE-005", "CREATE-019"], axes: [way])?;
    let known = known_flags();
    for flags in [0, libc::O_CLOEXEC, libc::O_NONBLOCK, libc::O_CLOEXEC | libc::O_NONBLOCK] {
        for mode in [0, UFFD_USER_MODE_ONLY & known] {
            let uffd = way.uffd(flags | mode)?;
            let descriptor = if flags & libc::O_CLOEXEC == 0 { 0 } else { libc::FD_CLOEXEC };
            ensure_eq!(gate::descriptor_flags(uffd.fd()), Ok(descriptor), "the descriptor flags after {flags:#x}");
            let status = gate::status_flags(uffd.fd());
            ensure_eq!(status, Ok(flags & libc::O_NONBLOCK), "the status flags after {flags:#x}");
            uffd.api(UFFD_API, 0).is_granted()?;
        }
    }
    Ok(())
}

/// A userfaultfd with `O_CLOEXEC` is gone after execve(2), one without it is still there.
#[rstest]
#[test_attr(registered(conformance))]
fn cloexec_closes_at_exec(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-002", "CREATE-019"], axes: [way])?;
    let (closed, kept) = (way.uffd(libc::O_CLOEXEC)?, way.uffd(0)?);
    let program = given::Program::exec()?;
    let of = |uffd: &Uffd| std::fs::read_link(format!("/proc/{}/fd/{}", program.pid(), uffd.fd().as_raw_fd())).is_ok();
    ensure!(!of(&closed), "a userfaultfd with O_CLOEXEC outlives execve");
    ensure!(of(&kept), "a userfaultfd without O_CLOEXEC is closed by execve");
    ensure_eq!(program.end()?, ProcessEnding::Exited(0), "the program's end");
    Ok(())
}

/// `O_NONBLOCK` can be set and cleared later; read and poll follow what is set.
#[rstest]
#[test_attr(registered(conformance))]
fn read_and_poll_follow_o_nonblock(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-003", "CREATE-019", "POLL-003"], axes: [way])?;
    let uffd = way.uffd(0)?;
    given::handshake(&uffd, 0)?;
    for _ in 0..2 {
        uffd.polls(libc::POLLERR)?;
        let blocking = uffd.duplicate().map_err(broken)?;
        // Set while a read of it waits, the flag says nothing to that read.
        let reader = Actor::start(move || blocking.read_message())?;
        let sleep = reader.falls_asleep_in(libc::SYS_read)?;
        uffd.set_nonblocking(true).map_err(broken)?;
        ensure_eq!(gate::status_flags(uffd.fd()), Ok(libc::O_NONBLOCK), "the status flags");
        uffd.polls(0)?;
        uffd.has_nothing_to_read()?;
        reader.is_still_asleep_in(libc::SYS_read, sleep)?;
        uffd.set_nonblocking(false).map_err(broken)?;
        ensure_eq!(gate::status_flags(uffd.fd()), Ok(0), "the status flags");
    }
    Ok(())
}

/// Every other bit is refused with `EINVAL`, alone and beside the known ones, and no descriptor is made.
#[rstest]
#[test_attr(registered(conformance))]
fn unknown_flags_are_refused(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-004", "CREATE-015", "CREATE-019"], axes: [way])?;
    let next = way.uffd(0)?.fd().as_raw_fd();
    for bit in (0..32).map(|number| 1_i32 << number).filter(|bit| bit & FLAGS == 0) {
        for flags in [bit, bit | known_flags()] {
            ensure_eq!(way.create(flags).err(), Some(Errno::EINVAL), "creation with flags {flags:#x}");
        }
    }
    ensure_eq!(way.create(!known_flags()).err(), Some(Errno::EINVAL), "creation with every unknown flag");
    ensure_eq!(way.uffd(0)?.fd().as_raw_fd(), next, "the lowest free descriptor after the refusals");
    Ok(())
}

/// `UFFD_USER_MODE_ONLY` is accepted; a kernel from before it refuses the bit as unknown.
#[rstest]
#[test_attr(registered(conformance))]
fn user_mode_only_is_accepted(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-005", "CREATE-019"], axes: [way])?;
    match way.create(UFFD_USER_MODE_ONLY) {
        Ok(uffd) => uffd.api(UFFD_API, 0).is_granted(),
        // No feature bit tells of it; the next feature after it was the first of the minor faults.
        Err(Errno::EINVAL) if !kernel::current().has(UFFD_FEATURE_MINOR_HUGETLBFS) => {
            variant("einval");
            Ok(())
        }
        Err(errno) => Err(broken(format!("creation with UFFD_USER_MODE_ONLY failed with {errno:?}"))),
    }
}

/// With `UFFD_USER_MODE_ONLY` a fault of the kernel's own access is no message and fails the call; without it it is one.
#[rstest]
#[test_attr(registered(conformance))]
fn user_mode_only_hides_the_kernels_faults(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-005", "CREATE-014", "CREATE-019"], axes: [way], needs: [Need::UserModeOnly])?;
    for mode in [UFFD_USER_MODE_ONLY, 0] {
        let uffd = way.uffd(libc::O_NONBLOCK | mode)?;
        given::handshake(&uffd, 0)?;
        let region = Memory::Anon.map(2)?;
        given::register(&uffd, region.range(), Mode::MISSING)?;
        let at = region.page(0).at(0);
        let file = sys::memfd(libc::MFD_CLOEXEC).map_err(broken)?;
        let call = Actor::start(move || sys::write_from(std::os::fd::AsFd::as_fd(&file), at, 8))?;
        if mode == UFFD_USER_MODE_ONLY {
            ensure_eq!(call.does_not_wait()?, Err(Errno::EFAULT), "write(2) from a missing page");
            uffd.has_nothing_to_read()?;
        } else {
            call.falls_asleep()?;
            uffd.fault_at(0, at)?;
            uffd.zeropage(region.page(0).range(), 0).does(region.page_size() as u64)?;
            ensure_eq!(call.is_woken()?, Ok(8), "write(2) from a page filled meanwhile");
        }
        // User-mode faults come in both.
        let at = region.page(1).at(0);
        let access = Actor::access(Access::Write, at)?;
        access.falls_asleep()?;
        uffd.fault_at(UFFD_PAGEFAULT_FLAG_WRITE, at)?;
    }
    Ok(())
}
