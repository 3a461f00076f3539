//! Calls of which a userfaultfd can tell: userfaultfd(2), "Reading from the userfaultfd structure".

use uffd_harness::case::Axis;
use uffd_harness::{gate, sys};

use crate::prelude::*;

/// A call of which userfaultfd can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `fork`: `UFFD_FEATURE_EVENT_FORK`
    Fork,
    /// `mremap` to another place: `UFFD_FEATURE_EVENT_REMAP`
    Mremap,
    /// `madvise(MADV_DONTNEED)`: `UFFD_FEATURE_EVENT_REMOVE`
    Madvise,
    /// `munmap`: `UFFD_FEATURE_EVENT_UNMAP`
    Munmap,
}

impl Call {
    /// The features that ask for events.
    pub const FEATURES: [u64; 4] =
        [UFFD_FEATURE_EVENT_FORK, UFFD_FEATURE_EVENT_REMAP, UFFD_FEATURE_EVENT_REMOVE, UFFD_FEATURE_EVENT_UNMAP];

    /// The feature that asks for its event.
    pub const fn feature(self) -> u64 {
        Self::FEATURES[self as usize]
    }

    /// The number of the system call.
    pub const fn number(self) -> i64 {
        match self {
            Self::Fork => libc::SYS_clone,
            Self::Mremap => libc::SYS_mremap,
            Self::Madvise => libc::SYS_madvise,
            Self::Munmap => libc::SYS_munmap,
        }
    }

    /// A thread that makes the call on the second page (and moves it behind the region); it gives what the call gave.
    pub fn start(self, region: &Region) -> uffd_harness::Result<Actor<Result<(), Errno>>> {
        let (start, size, behind) = (region.page(1).start, region.page_size(), region.end());
        Actor::start(move || match self {
            Self::Fork => sys::fork_and_exit(),
            Self::Mremap => {
                let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
                sys::remap(start, size, size, flags, behind).map(drop)
            }
            Self::Madvise => sys::advise(start, size, libc::MADV_DONTNEED),
            Self::Munmap => gate::unmap(start, size),
        })
    }

    /// Whether the message tells of just this call.
    pub fn event(self, region: &Region, message: Message) -> bool {
        let (start, end) = (region.page(1).start as u64, region.page(2).start as u64);
        match (self, message.event()) {
            (Self::Fork, Event::Fork { .. }) => true,
            (Self::Mremap, Event::Remap { from, to, len }) => {
                (from, to, len) == (start, region.end() as u64, end - start)
            }
            (Self::Madvise, Event::Remove { start: s, end: e }) | (Self::Munmap, Event::Unmap { start: s, end: e }) => {
                (s, e) == (start, end)
            }
            _ => false,
        }
    }
}

impl Axis for Call {
    fn axis(&self) -> &'static str {
        "call"
    }
    fn value(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
    fn needs(&self) -> Vec<Need> {
        let fork = (*self == Self::Fork).then_some(Need::Capability("CAP_SYS_PTRACE"));
        fork.into_iter().chain([Need::Feature(self.feature())]).collect()
    }
}
