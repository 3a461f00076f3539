//! The gate of a perverse kernel: every call that a perversion may touch, and all others as they are.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use super::call::{Call, poke};
use super::{Creation, Polling, Reading, active, honest, state};
use crate::uapi::USERFAULTFD_IOC_NEW;

pub use super::effect::{
    add_seals, clear_at_exit, dump_core, fork, lock, map_over, open_node, page_out, peek_word, poke_word, populate,
    read_at_exit, read_attribute, read_into, read_memory, signal_process, signal_thread, unmap, write_memory,
    write_setting,
};
pub use super::honest::*;

/// As [`honest::create`].
pub fn create(flags: i32) -> Result<OwnedFd, Errno> {
    made(&Creation { flags, device: None })
}

/// As [`honest::create_by_device`].
pub fn create_by_device(device: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd, Errno> {
    made(&Creation { flags, device: Some(device) })
}

fn made(creation: &Creation<'_>) -> Result<OwnedFd, Errno> {
    let hook = active().and_then(|perversion| perversion.create.as_ref());
    let fd = hook.map_or_else(|| creation.pass(), |hook| hook(creation))?;
    state::created(fd.as_fd(), creation.flags);
    Ok(fd)
}

/// As [`honest::ioctl`].
pub fn ioctl(fd: BorrowedFd<'_>, request: u64, argument: Address) -> Result<i32, Errno> {
    let Some(perversion) = active() else { return honest::ioctl(fd, request, argument) };
    if let Some(before) = &perversion.before_ioctl {
        before(fd);
    }
    let Some(call) = Call::new(fd, request, argument) else {
        let instead = perversion.instead.as_ref().and_then(|hook| hook(request));
        let answer = instead.unwrap_or_else(|| honest::ioctl(fd, request, argument));
        let hook = perversion.unread.as_ref().filter(|_| request != USERFAULTFD_IOC_NEW);
        return hook.map_or(answer, |hook| hook(fd, request, answer));
    };
    let hook = perversion.ioctls.iter().find(|(requests, _)| requests.contains(&request));
    let answer = hook.map_or_else(|| call.pass(), |(_, hook)| hook(&call));
    state::note(fd, request, &call.argument, &call.after(), answer);
    answer
}

/// As [`honest::read`].
pub fn read(fd: BorrowedFd<'_>, buffer: Address, length: usize) -> Result<usize, Errno> {
    let Some(hook) = active().and_then(|perversion| perversion.read.as_ref()) else {
        return honest::read(fd, buffer, length);
    };
    let bytes = hook(&Reading { fd, length })?;
    let written = poke(buffer, &bytes);
    if written < bytes.len() {
        // As the kernel has it: whole messages count, and none at all is EFAULT.
        let whole = written - written % crate::message::SIZE;
        let kept = active().and_then(|perversion| perversion.unwritable.as_ref());
        return kept
            .map_or_else(|| if whole == 0 { Err(Errno::EFAULT) } else { Ok(whole) }, |kept| kept(fd, &bytes, whole));
    }
    Ok(bytes.len())
}

/// As [`honest::preadv2`].
pub fn preadv2(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> Result<usize, Errno> {
    match active().and_then(|perversion| perversion.preadv2.as_ref()) {
        Some(hook) => hook(fd, buffer, flags),
        None => honest::preadv2(fd, buffer, flags),
    }
}

/// As [`honest::pread`].
pub fn pread(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: i64) -> Result<usize, Errno> {
    other("pread", honest::pread(fd, buffer, offset).map(|count| count as i64)).map(|count| count as usize)
}

/// As [`honest::write`].
pub fn write(fd: BorrowedFd<'_>, buffer: &[u8]) -> Result<usize, Errno> {
    other("write", honest::write(fd, buffer).map(|count| count as i64)).map(|count| count as usize)
}

/// As [`honest::lseek`].
pub fn lseek(fd: BorrowedFd<'_>, offset: i64) -> Result<i64, Errno> {
    other("lseek", honest::lseek(fd, offset))
}

/// As [`honest::status_flags`].
pub fn status_flags(fd: BorrowedFd<'_>) -> Result<i32, Errno> {
    other("F_GETFL", honest::status_flags(fd).map(i64::from)).map(|flags| flags as i32)
}

/// As [`honest::descriptor_flags`].
pub fn descriptor_flags(fd: BorrowedFd<'_>) -> Result<i32, Errno> {
    other("F_GETFD", honest::descriptor_flags(fd).map(i64::from)).map(|flags| flags as i32)
}

fn other(call: &str, answer: Result<i64, Errno>) -> Result<i64, Errno> {
    match active().and_then(|perversion| perversion.other.as_ref()) {
        Some((name, hook)) if *name == call => hook(answer),
        _ => answer,
    }
}

/// As [`honest::set_status_flags`].
pub fn set_status_flags(fd: BorrowedFd<'_>, flags: i32) -> Result<(), Errno> {
    match active().and_then(|perversion| perversion.set_flags.as_ref()) {
        Some(hook) => hook(fd, flags),
        None => honest::set_status_flags(fd, flags),
    }
}

/// As [`honest::poll`].
pub fn poll(fd: BorrowedFd<'_>, events: i16, timeout: i32) -> Result<i16, Errno> {
    match active().and_then(|perversion| perversion.poll.as_ref()) {
        Some(hook) => hook(&Polling { fd, events, timeout }),
        None => honest::poll(fd, events, timeout),
    }
}

/// As [`honest::fdinfo`].
pub fn fdinfo(fd: BorrowedFd<'_>) -> std::io::Result<String> {
    let text = honest::fdinfo(fd)?;
    Ok(match active().and_then(|perversion| perversion.fdinfo.as_ref()) {
        Some(hook) => hook(text),
        None => text,
    })
}

/// As [`honest::select`].
pub fn select(fd: BorrowedFd<'_>) -> Result<(bool, bool, bool), Errno> {
    let sets = honest::select(fd)?;
    Ok(active().and_then(|perversion| perversion.select).map_or(sets, |hook| hook(sets)))
}

/// As [`honest::Watcher`].
#[derive(Debug)]
pub struct Watcher(honest::Watcher);

impl Watcher {
    /// As [`honest::Watcher::new`].
    pub fn new(fd: BorrowedFd<'_>, events: EpollFlags) -> Result<Self, Errno> {
        let change = active().and_then(|perversion| perversion.epoll_add);
        honest::Watcher::new(fd, change.map_or(events, |change| change(events))).map(Self)
    }

    /// As [`honest::Watcher::wait`].
    pub fn wait(&self, timeout: u16) -> Result<Option<EpollFlags>, Errno> {
        let reported = self.0.wait(timeout)?;
        Ok(active().and_then(|perversion| perversion.epoll_wait).map_or(reported, |change| change(reported)))
    }
}

/// As [`honest::duplicate`].
pub fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let copy = honest::duplicate(fd)?;
    state::duplicated(fd, copy.as_fd());
    Ok(copy)
}

/// As [`honest::close`].
pub fn close(fd: OwnedFd) -> Result<(), Errno> {
    if let Some(hook) = active().and_then(|perversion| perversion.close.as_ref()) {
        hook(fd.as_fd());
    }
    state::closed(fd.as_raw_fd());
    honest::close(fd)
}

/// As [`honest::close_under_use`].
pub fn close_under_use(fd: BorrowedFd<'static>) -> Result<(), Errno> {
    if let Some(hook) = active().and_then(|perversion| perversion.close.as_ref()) {
        hook(fd);
    }
    state::closed(fd.as_raw_fd());
    honest::close_under_use(fd)
}
