//! What `read()` of a userfaultfd gives: `struct uffd_msg`, decoded (userfaultfd(2), "Reading from the userfaultfd
//! structure"). Offsets are those of the UAPI header; `tests/uapi.rs` holds them against it.

use crate::uapi;

/// The size of one message in bytes, on every ABI.
pub const SIZE: usize = 32;

/// One message as the kernel wrote it, bytes and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The 32 bytes.
    pub raw: [u8; SIZE],
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `UFFD_EVENT_PAGEFAULT`.
    Pagefault {
        /// `UFFD_PAGEFAULT_FLAG_*`.
        flags: u64,
        /// Where the fault was.
        address: u64,
        /// `feat.ptid`: the faulting thread with `UFFD_FEATURE_THREAD_ID`, else 0.
        ptid: u32,
    },
    /// `UFFD_EVENT_FORK` with the descriptor of the child's userfaultfd.
    Fork {
        /// The new descriptor, in the reader's table.
        ufd: u32,
    },
    /// `UFFD_EVENT_REMAP`.
    Remap {
        /// The old address.
        from: u64,
        /// The new address.
        to: u64,
        /// The length in bytes.
        len: u64,
    },
    /// `UFFD_EVENT_REMOVE`.
    Remove {
        /// First address.
        start: u64,
        /// First address behind the range.
        end: u64,
    },
    /// `UFFD_EVENT_UNMAP`.
    Unmap {
        /// First address.
        start: u64,
        /// First address behind the range.
        end: u64,
    },
    /// A number that no header names.
    Unknown(u8),
}

impl Message {
    /// The message in these bytes.
    pub fn new(raw: [u8; SIZE]) -> Self {
        Self { raw }
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_ne_bytes(std::array::from_fn(|i| self.raw[at + i]))
    }

    fn half(&self, at: usize) -> u32 {
        u32::from_ne_bytes(std::array::from_fn(|i| self.raw[at + i]))
    }

    /// The message decoded by its event number.
    pub fn event(&self) -> Event {
        match self.raw[0] {
            uapi::UFFD_EVENT_PAGEFAULT => {
                Event::Pagefault { flags: self.word(8), address: self.word(16), ptid: self.half(24) }
            }
            uapi::UFFD_EVENT_FORK => Event::Fork { ufd: self.half(8) },
            uapi::UFFD_EVENT_REMAP => Event::Remap { from: self.word(8), to: self.word(16), len: self.word(24) },
            uapi::UFFD_EVENT_REMOVE => Event::Remove { start: self.word(8), end: self.word(16) },
            uapi::UFFD_EVENT_UNMAP => Event::Unmap { start: self.word(8), end: self.word(16) },
            other => Event::Unknown(other),
        }
    }

    /// Whether every byte that the event does not use (reserved fields, tail) is zero.
    pub fn unused_is_zero(&self) -> bool {
        let used = match self.event() {
            Event::Pagefault { .. } => 28,
            Event::Fork { .. } => 12,
            Event::Remap { .. } => 32,
            Event::Remove { .. } | Event::Unmap { .. } => 24,
            Event::Unknown(_) => 8,
        };
        self.raw[1..8].iter().chain(&self.raw[used..]).all(|byte| *byte == 0)
    }
}
