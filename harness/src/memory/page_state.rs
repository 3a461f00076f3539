//! What `/proc/self/pagemap` says of a page: `Documentation/admin-guide/mm/pagemap.rst`.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::gate::Address;
use crate::{Error, Result, sys};

const OWN_FILE: &str = "/proc/self/pagemap";

fn open(path: &str) -> Result<File> {
    File::open(path).map_err(|error| Error::file(path, error))
}

/// One entry of pagemap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageState {
    /// The entry's 64 bits.
    pub raw: u64,
}

impl PageState {
    /// The entry of the base page at `address` in this process.
    pub fn of(address: Address) -> Result<Self> {
        thread_local! {
            /// The file of this process, open: the most asked of all.
            static OWN: RefCell<Option<(u32, File)>> = const { RefCell::new(None) };
        }
        OWN.with_borrow_mut(|own| {
            // A forked child has its parent's, which tells of the parent.
            let process = std::process::id();
            let (_, file) = match own.take() {
                Some((of, file)) if of == process => own.insert((of, file)),
                _ => own.insert((process, open(OWN_FILE)?)),
            };
            Self::in_file(OWN_FILE, file, address)
        })
    }

    /// The entry of the base page at `address` in process `pid`.
    pub fn of_process(pid: i32, address: Address) -> Result<Self> {
        let path = format!("/proc/{pid}/pagemap");
        Self::in_file(&path, &open(&path)?, address)
    }

    fn in_file(path: &str, file: &File, address: Address) -> Result<Self> {
        let mut entry = [0; 8];
        file.read_exact_at(&mut entry, (address / sys::page_size() * 8) as u64)
            .map_err(|error| Error::file(path, error))?;
        Ok(Self { raw: u64::from_ne_bytes(entry) })
    }

    fn bit(self, number: u32) -> bool {
        self.raw >> number & 1 == 1
    }

    /// Bit 63: the page is mapped here.
    pub fn present(self) -> bool {
        self.bit(63)
    }

    /// Bit 62: swapped out, or a marker that is kept like a swap entry.
    pub fn swapped(self) -> bool {
        self.bit(62)
    }

    /// Bit 61: a file page or shared anonymous memory.
    pub fn file(self) -> bool {
        self.bit(61)
    }

    /// Bit 57: write-protected (or read-write-protected) by userfaultfd; since 5.13.
    pub fn uffd_wp(self) -> bool {
        self.bit(57)
    }

    /// Bit 56: mapped exactly once.
    pub fn exclusive(self) -> bool {
        self.bit(56)
    }

    /// Bit 55: soft-dirty.
    pub fn soft_dirty(self) -> bool {
        self.bit(55)
    }

    /// Bits 0 to 54 of a present page: the page frame; 0 without `CAP_SYS_ADMIN`.
    pub fn frame(self) -> u64 {
        if self.present() { self.raw & ((1 << 55) - 1) } else { 0 }
    }
}
