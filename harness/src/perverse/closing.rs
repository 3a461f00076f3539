//! close(2): who is released by it, and when.

use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _};

use super::call::wake_all;
use super::{Perversion, honest, new, state};
use crate::actor::task::{self, TaskState};
use crate::sys;
use crate::uapi::{UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_WP, UFFDIO_UNREGISTER};

/// A further descriptor that nobody closes.
pub(super) fn keep(fd: BorrowedFd<'_>) {
    if let Ok(copy) = honest::duplicate(fd) {
        let _ = copy.into_raw_fd();
    }
}

fn ranges(fd: BorrowedFd<'_>) -> Vec<state::Registered> {
    state::of(fd, |descriptor| descriptor.ranges.clone())
}

fn unregister_all(fd: BorrowedFd<'_>) {
    for range in ranges(fd) {
        let mut words = [range.start, range.end - range.start];
        let _ = honest::ioctl(fd, UFFDIO_UNREGISTER, words.as_mut_ptr() as usize);
    }
}

pub(super) fn list() -> Vec<Perversion> {
    vec![
        new(
            "close-releases-nothing",
            &["UNREG-010", "POLL-021", "POLL-022", "POLL-023", "POLL-027"],
            "the last close releases nothing",
        )
        .close(keep),
        new("close-wakes-nobody", &["POLL-021"], "the last close unregisters and wakes nobody").close(|fd| {
            for range in ranges(fd) {
                // A range without MISSING is unregistered without a wake-up.
                let mut words = [range.start, range.end - range.start, UFFDIO_REGISTER_MODE_WP, 0];
                let _ = honest::ioctl(fd, UFFDIO_REGISTER, words.as_mut_ptr() as usize);
            }
            unregister_all(fd);
            keep(fd);
        }),
        new("close-keeps-ranges", &["POLL-023"], "the last close wakes, and the ranges stay registered").close(|fd| {
            wake_all(fd);
            keep(fd);
        }),
        new("close-leaves-wp-waiters", &["POLL-022"], "the last close releases MISSING waiters only").close(|fd| {
            if ranges(fd).iter().any(|range| range.mode & UFFDIO_REGISTER_MODE_WP != 0) {
                keep(fd);
            }
        }),
        new(
            "close-releases-a-waiting-fork",
            &["POLL-026"],
            "a fork that waits for its event to be read is released by the close",
        )
        .close(|fd| {
            let mut bytes = [0; crate::message::SIZE];
            while honest::preadv2(fd, &mut bytes, libc::RWF_NOWAIT).is_ok_and(|count| count > 0) {}
        }),
        new("close-ends-a-read-under-way", &["POLL-028"], "a read that waits is EINTR when its descriptor is closed")
            .close(|_| interrupt_readers()),
        new("first-close-releases", &["POLL-027", "POLL-028"], "the first close of a duplicate releases")
            .close(unregister_all),
        new("first-close-wakes", &["POLL-027"], "the first close of a duplicate wakes").close(wake_all),
        new(
            "close-with-event-pending-releases-nobody",
            &["POLL-025"],
            "the last close leaves who waits for an event to be read",
        )
        .close(|fd| {
            if honest::poll(fd.as_fd(), libc::POLLIN, 0).is_ok_and(|events| events & libc::POLLIN != 0)
                || has_pending_event(fd)
            {
                keep(fd);
            }
        }),
    ]
}

/// Ends `read` in every other thread.
fn interrupt_readers() {
    let process = std::process::id() as i32;
    let _ = sys::catch_and_ignore(libc::SIGURG, false);
    for thread in TaskState::all_of(process) {
        if task::sleeps_in(process, thread.thread, libc::SYS_read) {
            let _ = honest::signal_thread(thread.thread, libc::SIGURG);
        }
    }
}

fn has_pending_event(fd: BorrowedFd<'_>) -> bool {
    let page = super::call::PAGE;
    let mut words = [16 * page, page, 1, 0];
    honest::ioctl(fd, crate::uapi::UFFDIO_ZEROPAGE, words.as_mut_ptr() as usize) == Err(nix::errno::Errno::EAGAIN)
}
