//! Threads and processes that touch memory while a case watches: blocked? still asleep? woken? killed?
//!
//! Nothing here waits for a length of time. A wait ends when the kernel's own state of the thread is settled.

mod kernel_access;
pub mod process;
pub mod target;
pub mod task;
mod thread;

pub(crate) use kernel_access::direct_file;
pub use kernel_access::{BEFORE, DELIVERED, KernelAccess, Made};
pub use process::{Process, ProcessEnding};
pub use target::Target;
pub use task::TaskState;
pub use thread::{Actor, Ending, Sight, Sleep, install_fault_handler};

use crate::gate::Address;
use crate::sys;

/// What an actor does to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A load of one byte.
    Read,
    /// A store of one byte.
    Write,
}

impl Access {
    /// The access's name in case names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// Makes the access at `address`: the byte read, or the byte that was written.
    pub fn make(self, address: Address) -> u8 {
        match self {
            Self::Read => sys::load_byte(address),
            Self::Write => {
                sys::store_byte(address, WRITTEN);
                WRITTEN
            }
        }
    }
}

/// The byte that [`Access::Write`] leaves.
pub const WRITTEN: u8 = 0xe7;

impl crate::case::Axis for Access {
    fn axis(&self) -> &'static str {
        "access"
    }
    fn value(&self) -> String {
        self.name().to_owned()
    }
}

impl Actor<u8> {
    /// A thread that makes one access at `address`.
    pub fn access(access: Access, address: Address) -> crate::Result<Self> {
        Self::start(move || access.make(address))
    }
}
