//! One mapping of a memory type, its pages, and a second mapping of the same memory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::page_state::PageState;
use super::{Memory, Pattern, anon, hugetlb, shmem};
use crate::error::Named as _;
use crate::gate::Address;
use crate::uffd::Range;
use crate::{Error, Result, kernel, sys};

/// Where a backing maps itself: a place that the harness reserved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub start: Address,
    pub len: usize,
    pub page_size: usize,
}

impl Place {
    /// `mmap` over the place, readable and writable.
    pub(super) fn map_fixed(self, flags: i32, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        sys::map(self.start, self.len, protection, flags | libc::MAP_FIXED, fd, 0).named("mmap")?;
        Ok(())
    }
}

/// What lies behind a mapping.
#[derive(Debug)]
pub(super) enum Backing {
    /// Nothing that another mapping could reach.
    None,
    /// Shared memory without a descriptor.
    SharedAnon,
    /// hugetlb memory without a descriptor.
    HugetlbAnon,
    /// A file.
    File(OwnedFd),
}

/// A mapping between two inaccessible neighbours. It stays until the case's process ends, or [`Region::unmap`].
#[derive(Debug)]
pub struct Region {
    memory: Memory,
    start: Address,
    len: usize,
    backing: Backing,
}

/// One page of a region: the unit that faults and resolves as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The first address.
    pub start: Address,
    /// The size in bytes.
    pub size: usize,
}

/// Where the next region may begin; 0 before the first.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Reserves `len` bytes at a multiple of `align`, with `align` inaccessible bytes on both sides.
///
/// Far from where the kernel puts what has no address of its own: a hole that a case leaves is filled by no thread's stack.
fn reserve(len: usize, align: usize) -> Result<Address> {
    let here = 0_u8;
    // The stack is near the end of the address space, and a program and its heap lie in the upper half.
    let quarter = std::ptr::from_ref(&here) as usize / 4;
    let wish = NEXT.load(Ordering::Relaxed).max(quarter).next_multiple_of(align);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let at = sys::map(wish, len + 3 * align, libc::PROT_NONE, flags, None, 0).named("mmap(PROT_NONE)")?;
    if at == wish {
        NEXT.store(at + len + 3 * align, Ordering::Relaxed);
    }
    Ok((at + align).next_multiple_of(align))
}

impl Region {
    pub(super) fn map(memory: Memory, pages: usize) -> Result<Self> {
        let page_size = memory.page_size();
        // Transparent huge pages need a whole aligned one to be possible at all.
        let unit = if memory == Memory::AnonThp { kernel::thp_size() } else { page_size };
        let len = (pages * page_size).next_multiple_of(unit);
        let place = Place { start: reserve(len, unit)?, len, page_size };
        let (shared, private) = (libc::MAP_SHARED, libc::MAP_PRIVATE);
        let backing = match memory {
            Memory::Anon => anon::map(place),
            Memory::AnonThp => anon::map_thp(place),
            Memory::ShmemAnon => shmem::map_anon(place),
            Memory::ShmemMemfd => shmem::map_memfd(place, shared),
            Memory::ShmemTmpfs => shmem::map_tmpfs(place),
            Memory::ShmemSysv => shmem::map_sysv(place),
            Memory::ShmemDevZero => shmem::map_dev_zero(place),
            Memory::ShmemPrivate => shmem::map_memfd(place, private),
            Memory::Hugetlb => hugetlb::map_anon(place, shared),
            Memory::HugetlbMemfd | Memory::Hugetlb1g => hugetlb::map_memfd(place, shared),
            Memory::HugetlbFile => hugetlb::map_file(place, shared),
            Memory::HugetlbPrivate => hugetlb::map_anon(place, private),
            Memory::HugetlbMemfdPrivate | Memory::Hugetlb1gPrivate => hugetlb::map_memfd(place, private),
            Memory::HugetlbFilePrivate => hugetlb::map_file(place, private),
        }?;
        Ok(Self { memory, start: place.start, len, backing })
    }

    /// The memory type.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The first address.
    pub fn start(&self) -> Address {
        self.start
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a region has pages.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first address behind the region.
    pub fn end(&self) -> Address {
        self.start + self.len
    }

    /// The size in bytes of one page.
    pub fn page_size(&self) -> usize {
        self.memory.page_size()
    }

    /// The number of pages; transparent huge pages round it up to a whole one.
    pub fn page_count(&self) -> usize {
        self.len / self.page_size()
    }

    /// The whole region as an ioctl takes it.
    pub fn range(&self) -> Range {
        Range::new(self.start as u64, self.len as u64)
    }

    /// `count` pages from page `first`; they may reach beyond the region.
    pub fn pages(&self, first: usize, count: usize) -> Range {
        Range::new((self.start + first * self.page_size()) as u64, (count * self.page_size()) as u64)
    }

    /// Page `index`.
    pub fn page(&self, index: usize) -> Page {
        Page { start: self.start + index * self.page_size(), size: self.page_size() }
    }

    /// The file behind the mapping, if the memory type has one.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.backing {
            Backing::File(file) => Some(file.as_fd()),
            _ => None,
        }
    }

    /// A shared mapping of what lies behind this one: the same file, for private mappings too.
    ///
    /// To be made before the region is registered.
    pub fn alias(&self) -> Result<Self> {
        let page_size = self.page_size();
        // A file that is large enough for a huge page may be collapsed into one, but only where it is mapped aligned.
        let align = if self.len >= kernel::thp_size() { kernel::thp_size().max(page_size) } else { page_size };
        let place = Place { start: reserve(self.len, align)?, len: self.len, page_size };
        let backing = match &self.backing {
            Backing::None => return Err(Error::Other(format!("{} memory has no second mapping", self.memory))),
            Backing::SharedAnon => {
                // An old length of 0 duplicates a shared mapping (mremap(2), DESCRIPTION).
                let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
                sys::remap(self.start, 0, self.len, flags, place.start).named("mremap with old length 0")?;
                Backing::SharedAnon
            }
            Backing::HugetlbAnon => {
                let name = format!("/proc/self/map_files/{:x}-{:x}", self.start, self.end());
                let file = std::fs::OpenOptions::new().read(true).write(true).open(&name).map_err(|error| {
                    Error::Machine(format!(
                        "a second mapping of MAP_HUGETLB memory needs /proc/self/map_files ({error}): run as root"
                    ))
                })?;
                place.map_fixed(libc::MAP_SHARED, Some(file.as_fd())).map_err(hugetlb::pool)?;
                Backing::File(file.into())
            }
            Backing::File(file) => {
                let copy = file.try_clone().map_err(|error| Error::file("a duplicate descriptor", error))?;
                let mapped = place.map_fixed(libc::MAP_SHARED, Some(file.as_fd()));
                if self.memory.is_hugetlb() { mapped.map_err(hugetlb::pool) } else { mapped }?;
                Backing::File(copy)
            }
        };
        Ok(Self { memory: self.memory, start: place.start, len: self.len, backing })
    }

    /// `munmap` of the whole region.
    pub fn unmap(self) -> Result<()> {
        sys::unmap(self.start, self.len).named("munmap")
    }
}

impl Page {
    /// The page as an ioctl takes it.
    pub fn range(self) -> Range {
        Range::new(self.start as u64, self.size as u64)
    }

    /// The address `offset` bytes into the page.
    pub fn at(self, offset: usize) -> Address {
        self.start + offset
    }

    /// Fills the page through its own mapping.
    pub fn fill(self, pattern: Pattern) {
        pattern.fill(self.start, self.size);
    }

    /// Nothing if the whole page holds this pattern, else what is there instead. Reads the page.
    pub fn differs(self, pattern: Pattern) -> Option<String> {
        pattern.differs(self.start, self.size)
    }

    /// What pagemap says of the page's first entry.
    pub fn state(self) -> Result<PageState> {
        PageState::of(self.start)
    }
}
