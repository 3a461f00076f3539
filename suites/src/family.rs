//! Error families: what every ioctl on a range refuses in the same way, written once; an ioctl takes part in them by data.
//!
//! A family sets a [`Stage`] for the ioctl, makes the call that must fail, and looks at everything that must not have
//! changed: errno and result field of the reply, the pages and their neighbours, the waiter, the messages. Then it takes the
//! cause away and makes the call that must succeed.

pub mod argument;
pub mod call;
pub mod foreign;
pub mod frozen;
pub mod gone;
pub mod handshake;
pub mod layout;
pub mod limits;
pub mod modes;
pub mod partial;
pub mod pending;
pub mod range;
pub mod stage;

pub use call::{Call, Request};
pub use stage::Stage;

use uffd_harness::case::{Outcome, Stop};
use uffd_harness::memory::{Class, Memory, Page, Pattern};
use uffd_harness::need::Need;
use uffd_harness::uapi::UFFD_FEATURE_WP_UNPOPULATED;
use uffd_harness::{Errno, Error, sys};

use crate::expect::broken;

/// Says of a broken promise what it was about.
pub fn about(what: impl std::fmt::Display) -> impl FnOnce(Stop) -> Stop {
    move |stop| match stop {
        Stop::Fail(reason) => Stop::Fail(format!("{what}: {reason}")),
        other => other,
    }
}

/// None of these pages is mapped.
#[track_caller]
pub fn all_absent(pages: impl IntoIterator<Item = Page>) -> Outcome {
    for page in pages {
        if page.state()?.present() {
            return Err(broken(format!("the page at {:#x} is mapped, and must not be", page.start)));
        }
    }
    Ok(())
}

/// The page is mapped and the whole of it holds this.
#[track_caller]
pub fn holds(page: Page, content: Pattern) -> Outcome {
    if !page.state()?.present() {
        return Err(broken(format!("the page at {:#x} is not mapped", page.start)));
    }
    match page.differs(content) {
        None => Ok(()),
        Some(difference) => Err(broken(format!("the page at {:#x}: {difference}", page.start))),
    }
}

/// The hugepages of a region of `pages` hugepages and of a second mapping of the same file; none on other memory.
///
/// A private mapping has a reservation of its own.
pub const fn hugepages(memory: Memory, pages: usize) -> Need {
    Need::Hugepages(if memory.is_hugetlb() { pages * if memory.is_shared() { 1 } else { 2 } } else { 0 })
}

/// The byte that a load from the first address of such a page gives.
pub const fn first_byte(content: Pattern) -> u8 {
    content.word(0).to_ne_bytes()[0]
}

/// The feature without which write-protection leaves no marker where this memory has no page.
pub const fn marker_feature(memory: Memory) -> u64 {
    if memory.is_anon() { UFFD_FEATURE_WP_UNPOPULATED } else { 0 }
}

/// Takes a page away, from the page cache too if the mapping is shared; no if the kernel cannot (private hugetlb before 5.18).
pub fn discard(page: Page, memory: Memory) -> Result<bool, Stop> {
    let advice = if memory.is_shared() { libc::MADV_REMOVE } else { libc::MADV_DONTNEED };
    match sys::advise(page.start, page.size, advice) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL) if memory.class() == Class::HugetlbPrivate => Ok(false),
        Err(errno) => Err(Error::call(format!("madvise({advice})"), errno).into()),
    }
}

/// `madvise` of one page, which must work.
#[track_caller]
pub fn advise(page: Page, advice: i32) -> Outcome {
    sys::advise(page.start, page.size, advice)
        .map_err(|errno: Errno| Error::call(format!("madvise({advice})"), errno).into())
}
