//! One userfaultfd descriptor: one method per ioctl, each giving what the kernel returned and what it wrote.
//!
//! # References
//! userfaultfd(2), ioctl_userfaultfd(2), the `UFFDIO_*(2const)` pages, and
//! `Documentation/admin-guide/mm/userfaultfd.rst`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::gate::{self, Address};
use crate::message::{self, Message};
use crate::uapi;

/// What stands in a result field before the call; no kernel writes this number of its own.
pub const SENTINEL: i64 = 0x5e47_1e4e_0ddb_a115;

/// A range of addresses as an ioctl takes it: any numbers, valid or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Range {
    /// `len` bytes from `start`.
    pub const fn new(start: u64, len: u64) -> Self {
        Self { start, len }
    }

    /// The first address behind the range.
    pub const fn end(self) -> u64 {
        self.start.wrapping_add(self.len)
    }

    fn raw(self) -> uapi::uffdio_range {
        uapi::uffdio_range { start: self.start, len: self.len }
    }
}

/// The result field of an ioctl after the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// This ioctl has none.
    None,
    /// The kernel left what stood in it.
    Untouched,
    /// The kernel wrote this: bytes done, a negative errno, or a bitmask.
    Written(i64),
}

/// What an ioctl answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The ioctl's name, such as `UFFDIO_COPY`.
    pub call: &'static str,
    /// The return value, or errno.
    pub result: Result<i32, Errno>,
    /// The field the kernel writes.
    pub field: Field,
}

impl std::fmt::Display for Reply {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.result {
            Ok(value) => write!(out, "{} returned {value}", self.call)?,
            Err(errno) => write!(out, "{} failed with {errno:?}", self.call)?,
        }
        match self.field {
            Field::None => Ok(()),
            Field::Untouched => write!(out, ", its result field untouched"),
            Field::Written(value) => write!(out, ", its result field {value:#x} ({value})"),
        }
    }
}

/// What `UFFDIO_API` answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiReply {
    /// The return value, or errno.
    pub result: Result<i32, Errno>,
    /// `api` after the call.
    pub api: u64,
    /// `features` after the call.
    pub features: u64,
    /// `ioctls` after the call; [`SENTINEL`] stood in it before.
    pub ioctls: u64,
}

/// One userfaultfd.
#[derive(Debug)]
pub struct Uffd {
    fd: Option<OwnedFd>,
}

fn address<T>(value: &mut T) -> Address {
    std::ptr::from_mut(value) as Address
}

fn field(value: i64) -> Field {
    if value == SENTINEL { Field::Untouched } else { Field::Written(value) }
}

impl Uffd {
    /// A descriptor by the system call: userfaultfd(2).
    pub fn create(flags: i32) -> Result<Self, Errno> {
        gate::create(flags).map(Self::from)
    }

    /// A descriptor by `USERFAULTFD_IOC_NEW` on an open `/dev/userfaultfd`.
    pub fn create_by_device(device: BorrowedFd<'_>, flags: i32) -> Result<Self, Errno> {
        gate::create_by_device(device, flags).map(Self::from)
    }

    /// The descriptor, for calls that are not ioctls.
    ///
    /// # Panics
    /// Never: the descriptor is only absent while it is being closed.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("open until closed").as_fd()
    }

    /// A second descriptor of the same userfaultfd.
    pub fn duplicate(&self) -> Result<Self, Errno> {
        gate::duplicate(self.fd()).map(Self::from)
    }

    /// Gives up the descriptor.
    pub fn close(mut self) -> Result<(), Errno> {
        self.fd.take().map_or(Ok(()), gate::close)
    }

    /// Gives up the descriptor while another thread may be in a call on it; the value must have been leaked for that.
    pub fn close_under_use(&'static self) -> Result<(), Errno> {
        gate::close_under_use(self.fd())
    }

    /// Any request with any argument, valid or not.
    pub fn ioctl(&self, call: &'static str, request: u64, argument: Address) -> Reply {
        Reply { call, result: gate::ioctl(self.fd(), request, argument), field: Field::None }
    }

    fn call<T>(&self, call: &'static str, request: u64, argument: &mut T, written: impl Fn(&T) -> Field) -> Reply {
        let result = gate::ioctl(self.fd(), request, address(argument));
        Reply { call, result, field: written(argument) }
    }

    /// `UFFDIO_API`: UFFDIO_API(2const).
    pub fn api(&self, api: u64, features: u64) -> ApiReply {
        let mut argument = uapi::uffdio_api { api, features, ioctls: SENTINEL as u64 };
        let result = gate::ioctl(self.fd(), uapi::UFFDIO_API, address(&mut argument));
        ApiReply { result, api: argument.api, features: argument.features, ioctls: argument.ioctls }
    }

    /// `UFFDIO_REGISTER`: UFFDIO_REGISTER(2const). The field is `ioctls`.
    pub fn register(&self, range: Range, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_register { range: range.raw(), mode, ioctls: SENTINEL as u64 };
        self.call("UFFDIO_REGISTER", uapi::UFFDIO_REGISTER, &mut argument, |a| field(a.ioctls as i64))
    }

    /// `UFFDIO_UNREGISTER`: UFFDIO_UNREGISTER(2const).
    pub fn unregister(&self, range: Range) -> Reply {
        self.call("UFFDIO_UNREGISTER", uapi::UFFDIO_UNREGISTER, &mut range.raw(), |_| Field::None)
    }

    /// `UFFDIO_WAKE`: UFFDIO_WAKE(2const).
    pub fn wake(&self, range: Range) -> Reply {
        self.call("UFFDIO_WAKE", uapi::UFFDIO_WAKE, &mut range.raw(), |_| Field::None)
    }

    /// `UFFDIO_COPY` of `range.len` bytes from `src` to `range.start`: UFFDIO_COPY(2const). The field is `copy`.
    pub fn copy(&self, range: Range, src: u64, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_copy { dst: range.start, src, len: range.len, mode, copy: SENTINEL };
        self.call("UFFDIO_COPY", uapi::UFFDIO_COPY, &mut argument, |a| field(a.copy))
    }

    /// `UFFDIO_ZEROPAGE`: UFFDIO_ZEROPAGE(2const). The field is `zeropage`.
    pub fn zeropage(&self, range: Range, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_zeropage { range: range.raw(), mode, zeropage: SENTINEL };
        self.call("UFFDIO_ZEROPAGE", uapi::UFFDIO_ZEROPAGE, &mut argument, |a| field(a.zeropage))
    }

    /// `UFFDIO_MOVE` of `range.len` bytes from `src` to `range.start`: UFFDIO_MOVE(2const). The field is `move`.
    pub fn move_pages(&self, range: Range, src: u64, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_move { dst: range.start, src, len: range.len, mode, move_: SENTINEL };
        self.call("UFFDIO_MOVE", uapi::UFFDIO_MOVE, &mut argument, |a| field(a.move_))
    }

    /// `UFFDIO_CONTINUE`: UFFDIO_CONTINUE(2const). The field is `mapped`.
    pub fn continue_range(&self, range: Range, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_continue { range: range.raw(), mode, mapped: SENTINEL };
        self.call("UFFDIO_CONTINUE", uapi::UFFDIO_CONTINUE, &mut argument, |a| field(a.mapped))
    }

    /// `UFFDIO_POISON`: UFFDIO_POISON(2const). The field is `updated`.
    pub fn poison(&self, range: Range, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_poison { range: range.raw(), mode, updated: SENTINEL };
        self.call("UFFDIO_POISON", uapi::UFFDIO_POISON, &mut argument, |a| field(a.updated))
    }

    /// `UFFDIO_WRITEPROTECT`: UFFDIO_WRITEPROTECT(2const).
    pub fn writeprotect(&self, range: Range, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_writeprotect { range: range.raw(), mode };
        self.call("UFFDIO_WRITEPROTECT", uapi::UFFDIO_WRITEPROTECT, &mut argument, |_| Field::None)
    }

    /// `UFFDIO_RWPROTECT`: UFFDIO_RWPROTECT(2const).
    pub fn rwprotect(&self, range: Range, mode: u64) -> Reply {
        let mut argument = uapi::uffdio_rwprotect { range: range.raw(), mode };
        self.call("UFFDIO_RWPROTECT", uapi::UFFDIO_RWPROTECT, &mut argument, |_| Field::None)
    }

    /// `UFFDIO_SET_MODE`: UFFDIO_SET_MODE(2const).
    pub fn set_mode(&self, enable: u64, disable: u64) -> Reply {
        let mut argument = uapi::uffdio_set_mode { enable, disable };
        self.call("UFFDIO_SET_MODE", uapi::UFFDIO_SET_MODE, &mut argument, |_| Field::None)
    }

    /// `read` into an address that may be invalid: the number of bytes.
    pub fn read_raw(&self, buffer: Address, length: usize) -> Result<usize, Errno> {
        gate::read(self.fd(), buffer, length)
    }

    /// `read` with a buffer of `length` bytes (at most 16 messages): what came, byte for byte.
    pub fn read(&self, length: usize) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0xa5_u8; length];
        let count = gate::read(self.fd(), buffer.as_mut_ptr() as Address, length)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    /// `read` with room for one message.
    pub fn read_message(&self) -> Result<Message, Errno> {
        let bytes = self.read(message::SIZE)?;
        // A short read is the kernel's doing; it must not pass for a message.
        <[u8; message::SIZE]>::try_from(bytes).map(Message::new).map_err(|_| Errno::EBADMSG)
    }

    /// `poll` for `POLLIN`, `timeout` in milliseconds: `revents`.
    pub fn poll(&self, timeout: i32) -> Result<i16, Errno> {
        gate::poll(self.fd(), libc::POLLIN, timeout)
    }

    /// Sets or clears `O_NONBLOCK`.
    pub fn set_nonblocking(&self, on: bool) -> Result<(), Errno> {
        let flags = gate::status_flags(self.fd())?;
        let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
        gate::set_status_flags(self.fd(), flags)
    }
}

impl From<OwnedFd> for Uffd {
    fn from(fd: OwnedFd) -> Self {
        Self { fd: Some(fd) }
    }
}

impl Drop for Uffd {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            // A failing close has no one to tell; the descriptor is gone in any case.
            let _ = gate::close(fd);
        }
    }
}
