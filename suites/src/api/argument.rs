//! The argument of `UFFDIO_API` where it cannot be read or written: UFFDIO_API(2const), ERRORS.

use uffd_harness::fdinfo::FdInfo;
use uffd_harness::uffd::SENTINEL;
use uffd_harness::{kernel, sys};

use crate::prelude::*;

/// Writes a `struct uffdio_api` to mapped memory.
fn put(at: usize, version: u64, features: u64) {
    for (index, word) in [version, features, SENTINEL as u64].into_iter().enumerate() {
        sys::store(at + 8 * index, word);
    }
}

fn words(at: usize) -> [u64; 3] {
    [0, 8, 16].map(|offset| sys::load(at + offset))
}

#[track_caller]
fn faults(uffd: &Uffd, at: usize) -> Outcome {
    let reply = uffd.ioctl("UFFDIO_API", UFFDIO_API, at);
    ensure_eq!(reply.result, Err(Errno::EFAULT), "UFFDIO_API with its argument at {at:#x}");
    uffd.polls(libc::POLLERR)?;
    ensure_eq!(FdInfo::of(uffd)?.features, 0, "the features in fdinfo");
    Ok(())
}

/// An argument that cannot be read is `EFAULT`, wherever its unreadable part begins, and the handshake is still to be done.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unreadable_argument_is_efault() -> Outcome {
    begin!(statements: ["API-008", "API-012"])?;
    let uffd = given::raw_uffd()?;
    let region = Memory::Anon.map(1)?;
    let kernel_half = usize::MAX - 0xfff;
    for at in [0, 8, region.end(), region.start() - 24, kernel_half, usize::MAX - 7] {
        faults(&uffd, at)?;
    }
    // The first words lie in the page, the others in the inaccessible neighbour.
    for inside in [8, 16] {
        let at = region.end() - inside;
        sys::store(at, UFFD_API);
        faults(&uffd, at)?;
        ensure_eq!(sys::load(at), UFFD_API, "the readable part of the argument");
    }
    uffd.api(UFFD_API, 0).is_granted()
}

/// An argument that cannot be written is `EFAULT`, and the handshake is not done; it is when the argument is writable.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unwritable_argument_is_efault() -> Outcome {
    begin!(statements: ["API-008", "API-012"])?;
    let uffd = given::raw_uffd()?;
    let region = Memory::Anon.map(2)?;
    let (second, size) = (region.page(1).start, region.page_size());
    let write = libc::PROT_READ | libc::PROT_WRITE;
    // Unwritable as a whole, in its last two words, and in its last one.
    for at in [second, second - 8, second - 16] {
        for (version, features) in [(UFFD_API, 0), (UFFD_API, UFFD_FEATURE_THREAD_ID), (0, 0), (UFFD_API, 1 << 63)] {
            put(at, version, features);
            sys::protect(second, size, libc::PROT_READ).map_err(broken)?;
            faults(&uffd, at)?;
            sys::protect(second, size, write).map_err(broken)?;
            ensure_eq!(sys::load(at + 16), SENTINEL as u64, "the unwritable last word of the argument");
        }
    }
    put(second, UFFD_API, 0);
    ensure_eq!(uffd.ioctl("UFFDIO_API", UFFDIO_API, second).result, Ok(0), "UFFDIO_API with a writable argument");
    let here = kernel::current();
    ensure_eq!(words(second), [UFFD_API, here.features, here.ioctls], "the argument after the handshake");
    uffd.polls(0)
}

/// The argument may lie anywhere that is readable and writable: unaligned, and across two pages.
#[rstest]
#[test_attr(registered(conformance))]
fn the_argument_may_lie_anywhere() -> Outcome {
    begin!(statements: ["API-001", "API-012"])?;
    let region = Memory::Anon.map(2)?;
    let (second, here) = (region.page(1).start, kernel::current());
    let expected = [UFFD_API, here.features, here.ioctls].map(u64::to_ne_bytes).concat();
    for at in [second + 3, second - 8, second - 16, second - 5] {
        let uffd = given::raw_uffd()?;
        let argument = [UFFD_API, 0, SENTINEL as u64].map(u64::to_ne_bytes).concat();
        for (index, byte) in argument.iter().enumerate() {
            sys::store_byte(at + index, *byte);
        }
        sys::store_byte(at - 1, 0xa5);
        sys::store_byte(at + 24, 0xa5);
        ensure_eq!(uffd.ioctl("UFFDIO_API", UFFDIO_API, at).result, Ok(0), "UFFDIO_API with its argument at {at:#x}");
        let found: Vec<u8> = (0..24).map(|index| sys::load_byte(at + index)).collect();
        ensure_eq!(found, expected, "the argument at {at:#x} after the handshake");
        ensure_eq!([sys::load_byte(at - 1), sys::load_byte(at + 24)], [0xa5; 2], "the bytes beside the argument");
    }
    Ok(())
}
