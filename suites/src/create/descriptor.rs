//! What the descriptor is beside a source of messages: limits, and calls that it does not know.

use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use uffd_harness::gate;
use uffd_harness::kernel::device;

use super::Way;
use crate::prelude::*;

/// Without a free descriptor below `RLIMIT_NOFILE` creation fails with `EMFILE`, and succeeds as soon as there is one.
#[rstest]
#[test_attr(registered(conformance))]
fn no_free_descriptor_is_emfile(#[values(Way::Syscall, Way::Device)] way: Way) -> Outcome {
    begin!(statements: ["CREATE-012"], axes: [way])?;
    let device = (way == Way::Device).then(device::open).transpose().map_err(broken)?;
    let create = || match &device {
        Some(device) => Uffd::create_by_device(device.as_fd(), libc::O_CLOEXEC),
        None => Uffd::create(libc::O_CLOEXEC),
    };
    let free = create().map_err(broken)?.fd().as_raw_fd();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(broken)?;
    setrlimit(Resource::RLIMIT_NOFILE, free as u64, hard).map_err(broken)?;
    for _ in 0..3 {
        ensure_eq!(create().err(), Some(Errno::EMFILE), "creation without a free descriptor");
    }
    setrlimit(Resource::RLIMIT_NOFILE, free as u64 + 1, hard).map_err(broken)?;
    let uffd = create().map_err(|errno| broken(format!("creation with one free descriptor failed with {errno:?}")))?;
    ensure_eq!(uffd.fd().as_raw_fd(), free, "the descriptor");
    ensure_eq!(create().err(), Some(Errno::EMFILE), "creation after the last descriptor is taken");
    uffd.close().map_err(broken)?;
    create().map(drop).map_err(|errno| broken(format!("creation after a close failed with {errno:?}")))
}

/// lseek(2) leaves the offset at 0, pread(2) and write(2) are refused, and a queued message stays.
#[rstest]
#[test_attr(registered(conformance))]
fn it_has_no_offset_and_takes_no_data() -> Outcome {
    begin!(statements: ["CREATE-021"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    let fd = scene.uffd.fd();
    let waiter = Actor::access(Access::Read, scene.page(0).at(0))?;
    let sleep = waiter.falls_asleep()?;
    for offset in [0, 1, 0x1000] {
        match gate::lseek(fd, offset) {
            Ok(0) => {}
            // No operation of the file sought anything before it got one of its own.
            Err(Errno::ESPIPE) => variant("espipe"),
            other => return Err(broken(format!("lseek to {offset:#x} gave {other:?}"))),
        }
    }
    for offset in [0, 32] {
        ensure_eq!(gate::pread(fd, &mut [0; 32], offset), Err(Errno::ESPIPE), "pread at {offset}");
    }
    ensure_eq!(gate::write(fd, &[0; 32]), Err(Errno::EBADF), "write");
    ensure_eq!(gate::write(fd, &[]), Err(Errno::EBADF), "write of nothing");
    waiter.is_still_in(sleep)?;
    scene.uffd.fault_at(0, scene.page(0).at(0))?;
    scene.uffd.has_nothing_to_read()
}

/// `_IOC` of asm-generic/ioctl.h: direction, size, type and number.
const fn request(direction: u64, size: u64, kind: u64, number: u64) -> u64 {
    direction << 30 | size << 16 | kind << 8 | number
}

/// Requests that no userfaultfd knows: a foreign type or number, and known numbers with a wrong size or direction.
pub fn unknown_requests() -> impl Iterator<Item = u64> {
    // Numbers near the known ones are left to later kernels.
    let numbers = [0x3e, 0x40, 0x80, 0xff];
    let foreign = numbers.into_iter().flat_map(|number| [0, 1, 2, 3].map(|way| request(way, 24, UFFDIO, number)));
    let mistyped = [0, 0xa9, 0xab].into_iter().flat_map(|kind| [0, 3, 0x3f].map(|n| request(3, 32, kind, n)));
    let misshaped = [
        UFFDIO_API,
        UFFDIO_REGISTER,
        UFFDIO_UNREGISTER,
        UFFDIO_WAKE,
        UFFDIO_COPY,
        UFFDIO_ZEROPAGE,
        UFFDIO_MOVE,
        UFFDIO_WRITEPROTECT,
        UFFDIO_CONTINUE,
        UFFDIO_POISON,
        UFFDIO_RWPROTECT,
        UFFDIO_SET_MODE,
    ]
    .into_iter()
    .flat_map(|known| [known ^ 1 << 30, known ^ 1 << 31, known + (8 << 16), known - (8 << 16), known & 0xffff]);
    foreign.chain(mistyped).chain(misshaped)
}

/// An unknown ioctl is refused with `EINVAL`, before the handshake and after it, and touches nothing.
#[rstest]
#[test_attr(registered(conformance))]
fn unknown_ioctls_are_refused_with_einval() -> Outcome {
    begin!(statements: ["CREATE-022"])?;
    let uffd = given::raw_uffd()?;
    let argument = Memory::Anon.map(1)?;
    let content = Pattern::new(0);
    argument.page(0).fill(content);
    for initialised in [false, true] {
        for request in unknown_requests() {
            let reply = uffd.ioctl("an unknown ioctl", request, argument.start());
            ensure_eq!(reply.result, Err(Errno::EINVAL), "ioctl {request:#x}, initialised: {initialised}");
        }
        if !initialised {
            uffd.api(UFFD_API, 0).is_granted()?;
        }
    }
    ensure_eq!(argument.page(0).differs(content), None, "the argument of the refused ioctls");
    Ok(())
}
