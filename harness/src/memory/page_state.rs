//! What `/proc/self/pagemap` says of a page: `Documentation/admin-guide/mm/pagemap.rst`.

use std::os::unix::fs::FileExt as _;

use crate::gate::Address;
use crate::{Error, Result, sys};

/// One entry of pagemap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageState {
    /// The entry's 64 bits.
    pub raw: u64,
}

impl PageState {
    /// The entry of the base page at `address` in this process.
    pub fn of(address: Address) -> Result<Self> {
        Self::in_file("/proc/self/pagemap", address)
    }

    /// The entry of the base page at `address` in process `pid`.
    pub fn of_process(pid: i32, address: Address) -> Result<Self> {
        Self::in_file(&format!("/proc/{pid}/pagemap"), address)
    }

    fn in_file(path: &str, address: Address) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(|error| Error::file(path, error))?;
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
