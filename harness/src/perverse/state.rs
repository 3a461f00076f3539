//! What a perversion must remember of each userfaultfd: what was registered, which features were asked for, which messages
//! it holds back.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::call::{Answer, Argument, PAGE};
use crate::kernel;
use crate::uapi::{_UFFDIO_ZEROPAGE, UFFDIO_API, UFFDIO_POISON, UFFDIO_REGISTER, UFFDIO_UNREGISTER};

/// One message as read() gives it.
pub(super) type Raw = [u8; crate::message::SIZE];

/// A range that was registered.
#[derive(Clone, Copy)]
pub(super) struct Registered {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) mode: u64,
    ioctls: u64,
}

/// What is known of one descriptor.
#[derive(Clone, Default)]
pub(super) struct Descriptor {
    /// The process that made it; 0 if it came from elsewhere.
    pub(super) creator: i32,
    /// The flags that it was made with.
    pub(super) flags: i32,
    /// The features of its handshake, once that was done.
    pub(super) features: Option<u64>,
    pub(super) ranges: Vec<Registered>,
    /// Ranges that were poisoned.
    pub(super) poisoned: Vec<(u64, u64)>,
    /// Which descriptors are of the same userfaultfd: one number for all of them.
    origin: u64,
    /// Messages that were given already.
    pub(super) seen: Vec<Raw>,
    /// Messages that were read from the kernel and not given to the caller yet.
    pub(super) held: VecDeque<Raw>,
    /// The message that was given last.
    pub(super) last: Option<Raw>,
    /// Whatever else a perversion counts.
    pub(super) count: u64,
}

static DESCRIPTORS: Mutex<BTreeMap<RawFd, Descriptor>> = Mutex::new(BTreeMap::new());

fn lock() -> MutexGuard<'static, BTreeMap<RawFd, Descriptor>> {
    DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at or changes what is known of a descriptor.
pub(super) fn of<T>(fd: BorrowedFd<'_>, look: impl FnOnce(&mut Descriptor) -> T) -> T {
    look(lock().entry(fd.as_raw_fd()).or_default())
}

/// A descriptor has come to be.
pub(super) fn created(fd: BorrowedFd<'_>, flags: i32) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let (creator, origin) = (std::process::id() as i32, NEXT.fetch_add(1, Ordering::Relaxed));
    lock().insert(fd.as_raw_fd(), Descriptor { creator, flags, origin, ..Descriptor::default() });
}

/// A second descriptor of the same userfaultfd has come to be.
pub(super) fn duplicated(fd: BorrowedFd<'_>, copy: BorrowedFd<'_>) {
    let known = of(fd, |descriptor| descriptor.clone());
    lock().insert(copy.as_raw_fd(), known);
}

/// A descriptor is gone.
pub(super) fn closed(fd: RawFd) {
    lock().remove(&fd);
}

/// Every descriptor but this one.
pub(super) fn others(fd: BorrowedFd<'_>) -> Vec<BorrowedFd<'static>> {
    let numbers: Vec<RawFd> = lock().keys().copied().filter(|other| *other != fd.as_raw_fd()).collect();
    numbers.into_iter().map(borrowed).collect()
}

#[allow(unsafe_code)]
fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: at worst the number is another file's by now, which answers an ioctl with ENOTTY.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// The registered ranges that `start..start + length` touches, each with its descriptor.
pub(super) fn touched_by(start: usize, length: usize) -> Vec<(BorrowedFd<'static>, Registered)> {
    let (start, end) = (start as u64, (start + length) as u64);
    let known = lock();
    let all = known.iter().flat_map(|(fd, descriptor)| descriptor.ranges.iter().map(|range| (borrowed(*fd), *range)));
    all.filter(|(_, range)| range.start < end && range.end > start).collect()
}

/// Whether this userfaultfd's handshake asked for one of these features.
pub(super) fn has_feature(fd: BorrowedFd<'_>, bits: u64) -> bool {
    of(fd, |descriptor| descriptor.features.is_some_and(|features| features & bits != 0))
}

/// Holds messages back for every other descriptor of the same userfaultfd.
pub(super) fn hold_for_duplicates(fd: BorrowedFd<'_>, messages: &[Raw]) {
    let origin = of(fd, |descriptor| descriptor.origin);
    for (number, descriptor) in lock().iter_mut() {
        if descriptor.origin == origin && *number != fd.as_raw_fd() {
            descriptor.held.extend(messages);
        }
    }
}

/// Whether any userfaultfd has poisoned the page there.
pub(super) fn is_poisoned(address: u64) -> bool {
    lock().values().flat_map(|descriptor| &descriptor.poisoned).any(|(start, end)| (*start..*end).contains(&address))
}

/// What is registered there, with any userfaultfd.
pub(super) fn registered_at(address: u64) -> Option<Registered> {
    let known = lock();
    known.values().flat_map(|descriptor| &descriptor.ranges).find(|range| holds(range, address)).copied()
}

/// What is registered there with this userfaultfd.
pub(super) fn own_at(fd: BorrowedFd<'_>, address: u64) -> Option<Registered> {
    of(fd, |descriptor| descriptor.ranges.iter().find(|range| holds(range, address)).copied())
}

fn holds(range: &Registered, address: u64) -> bool {
    (range.start..range.end).contains(&address)
}

/// The size of the pages there: only hugetlb has no `UFFDIO_ZEROPAGE`.
pub(super) fn page_size_at(address: u64) -> u64 {
    let hugetlb = registered_at(address).is_some_and(|range| range.ioctls >> _UFFDIO_ZEROPAGE & 1 == 0);
    if hugetlb { kernel::default_hugepage_size() as u64 } else { PAGE }
}

/// Takes note of an ioctl that has been answered.
pub(super) fn note(fd: BorrowedFd<'_>, request: u64, before: &Argument, after: &Argument, answer: Answer) {
    if answer.is_err() {
        return;
    }
    let (start, end) = (before.start(), before.end());
    of(fd, |descriptor| match request {
        UFFDIO_API => descriptor.features = Some(before.mode()),
        UFFDIO_REGISTER => {
            cut(&mut descriptor.ranges, start, end);
            descriptor.ranges.push(Registered { start, end, mode: before.mode(), ioctls: after.field() });
        }
        UFFDIO_POISON => descriptor.poisoned.push((start, end)),
        UFFDIO_UNREGISTER => cut(&mut descriptor.ranges, start, end),
        _ => {}
    });
}

/// Takes `start..end` out of the ranges.
fn cut(ranges: &mut Vec<Registered>, start: u64, end: u64) {
    let whole = std::mem::take(ranges);
    for range in whole {
        let (before, behind) = (range.end.min(start), range.start.max(end));
        if range.start < before {
            ranges.push(Registered { end: before, ..range });
        }
        if behind < range.end {
            ranges.push(Registered { start: behind, ..range });
        }
    }
}
