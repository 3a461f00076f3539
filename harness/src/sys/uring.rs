//! One request by io_uring: io_uring_setup(2), io_uring_enter(2).

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

use super::map;
use super::user_memory::Stretch;
use crate::gate::Address;

/// `IORING_OP_SEND`
pub const SEND: u8 = 26;
/// `IORING_OP_RECV`
pub const RECV: u8 = 27;

const OFFSET_SUBMISSIONS: u64 = 0;
const OFFSET_COMPLETIONS: u64 = 0x0800_0000;
const OFFSET_ENTRIES: u64 = 0x1000_0000;
const ENTER_GETEVENTS: u32 = 1;

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`: where the parts of a ring lie in its mapping.
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    rest: [u32; 6],
}

/// `struct io_uring_params`
#[repr(C)]
#[derive(Default)]
struct Parameters {
    entries: [u32; 2],
    flags: u32,
    rest: [u32; 7],
    submissions: Offsets,
    completions: Offsets,
}

/// The head of `struct io_uring_sqe`; what follows stays zero.
#[repr(C)]
struct Request {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    message_flags: u32,
}

/// A ring with room for one request.
pub struct Ring {
    fd: OwnedFd,
    submissions: Address,
    completions: Address,
    entries: Address,
    parameters: Parameters,
}

impl Ring {
    /// A new ring; an error where the kernel has no io_uring or does not allow it.
    pub fn new() -> Result<Self, Errno> {
        let mut parameters = Parameters::default();
        // SAFETY: the structure is as large as the kernel's (120 bytes) and live.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut parameters) })?;
        // SAFETY: the kernel has just given this descriptor to us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let part = |offset| {
            map(0, super::page_size(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, Some(fd.as_fd()), offset)
        };
        let (submissions, completions) = (part(OFFSET_SUBMISSIONS)?, part(OFFSET_COMPLETIONS)?);
        let entries = part(OFFSET_ENTRIES)?;
        Ok(Self { fd, submissions, completions, entries, parameters })
    }

    fn word(at: Address, offset: u32) -> &'static AtomicU32 {
        // SAFETY: a word of a ring's mapping, which stays until the process ends.
        unsafe { &*((at + offset as usize) as *const AtomicU32) }
    }

    /// Makes one request and waits for it: what its completion says.
    pub fn request(&self, opcode: u8, on: BorrowedFd<'_>, (at, len): Stretch) -> Result<usize, Errno> {
        let fd = on.as_raw_fd();
        let request = Request {
            opcode,
            flags: 0,
            priority: 0,
            fd,
            offset: 0,
            address: at as u64,
            length: len as u32,
            message_flags: 0,
        };
        // SAFETY: the first of the ring's entries, which the kernel does not look at before the call below.
        unsafe { (self.entries as *mut Request).write(request) };
        // `array` is the seventh of the submission ring's offsets; its one slot names entry 0.
        Self::word(self.submissions, self.parameters.submissions.rest[2]).store(0, Ordering::Relaxed);
        Self::word(self.submissions, self.parameters.submissions.tail).fetch_add(1, Ordering::Release);
        let (none, size) = (std::ptr::null::<u8>(), 0_usize);
        // SAFETY: no memory but the ring's own is passed.
        let entered =
            unsafe { libc::syscall(libc::SYS_io_uring_enter, self.fd.as_raw_fd(), 1, 1, ENTER_GETEVENTS, none, size) };
        Errno::result(entered)?;
        let head = Self::word(self.completions, self.parameters.completions.head);
        let done = head.load(Ordering::Acquire);
        let slot = done & Self::word(self.completions, self.parameters.completions.ring_mask).load(Ordering::Relaxed);
        // `cqes` is the sixth of the completion ring's offsets; an entry is 16 bytes, `res` its ninth to twelfth.
        let entry = self.parameters.completions.rest[1] + slot * 16 + 8;
        let result = Self::word(self.completions, entry).load(Ordering::Relaxed) as i32;
        head.store(done.wrapping_add(1), Ordering::Release);
        if result < 0 { Err(Errno::from_raw(-result)) } else { Ok(result as usize) }
    }
}
