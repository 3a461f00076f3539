//! Mappings laid over pages of a region, so that one range consists of several.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode as FileMode, OFlags};
use uffd_harness::case::{Outcome, Stop};
use uffd_harness::memory::{Page, Region};
use uffd_harness::uffd::Range;
use uffd_harness::{Errno, Error, gate, sys};

use crate::given;

fn map(range: Range, protection: i32, flags: i32, file: Option<BorrowedFd<'_>>) -> Outcome {
    gate::map_over(range.start as usize, range.len as usize, protection, flags, file)
        .map_err(|errno| Error::call("mmap", errno).into())
}

/// Lays private anonymous memory over the page.
pub fn anon(page: Page, protection: i32) -> Outcome {
    map(page.range(), protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, None)
}

/// Lays the file, from its beginning, over the range; `sharing` is `MAP_SHARED` or `MAP_PRIVATE`.
pub fn file(range: Range, protection: i32, sharing: i32, file: BorrowedFd<'_>) -> Outcome {
    map(range, protection, sharing, Some(file))
}

/// Lays droppable memory (`MAP_DROPPABLE`, since 6.11) over the range.
pub fn droppable(range: Range) -> Outcome {
    const MAP_DROPPABLE: i32 = 0x8;
    map(range, libc::PROT_READ | libc::PROT_WRITE, MAP_DROPPABLE | libc::MAP_ANONYMOUS, None)
        .map_err(|_| given::kernel_lacks("the kernel has no MAP_DROPPABLE"))
}

/// A shadow stack of one page, where processor and kernel have such (x86, since 6.6).
pub fn shadow_stack() -> Result<Range, Stop> {
    let size = sys::page_size();
    match sys::map_shadow_stack(size) {
        Ok(start) => Ok(Range::new(start as u64, size as u64)),
        Err(Errno::ENOSYS) => Err(given::kernel_lacks("the kernel has no map_shadow_stack")),
        Err(errno) => Err(Error::Machine(format!("this processor or kernel has no shadow stacks: {errno}")).into()),
    }
}

/// Lays memory that grows downwards over the range.
pub fn growing_down(range: Range) -> Outcome {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_GROWSDOWN;
    map(range, libc::PROT_READ | libc::PROT_WRITE, flags, None)
}

/// Changes what may be done with the range.
pub fn protection(range: Range, protection: i32) -> Outcome {
    sys::protect(range.start as usize, range.len as usize, protection)
        .map_err(|errno| Error::call("mprotect", errno).into())
}

/// Maps `size` bytes of the file twice, shared, at multiples of `size`.
pub fn aligned(content: BorrowedFd<'_>, size: usize) -> Result<[usize; 2], Stop> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let place = sys::map(0, 3 * size, libc::PROT_NONE, flags, None, 0).map_err(|errno| Error::call("mmap", errno))?;
    let first = place.next_multiple_of(size);
    for start in [first, first + size] {
        let range = Range::new(start as u64, size as u64);
        file(range, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE, content)?;
    }
    Ok([first, first + size])
}

/// Leaves nothing where the page was.
pub fn hole(page: Page) -> Outcome {
    gate::unmap(page.start, page.size).map_err(|errno| Error::call("munmap", errno).into())
}

/// The file behind a region of a memory type that has one.
pub fn file_of(region: &Region) -> Result<BorrowedFd<'_>, Stop> {
    region.file().ok_or_else(|| Stop::Error(format!("{} memory has no file", region.memory())))
}

/// The same file opened for reading only.
pub fn reopen_read_only(file: BorrowedFd<'_>) -> Result<OwnedFd, Stop> {
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::open(&name, OFlags::RDONLY | OFlags::CLOEXEC, FileMode::empty())
        .map_err(|error| Error::file(name, error.into()).into())
}

/// The last page that this process can have a mapping at; something is mapped there by now.
///
/// The address space ends at a power of two, or at one page less.
pub fn last_page() -> Result<usize, Stop> {
    let size = sys::page_size();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    for end in (30..63).rev().flat_map(|bits| [1_usize << bits, (1 << bits) - size]) {
        match sys::map(end - size, size, libc::PROT_READ | libc::PROT_WRITE, flags, None, 0) {
            Ok(_) => return Ok(end - size),
            Err(Errno::ENOMEM) => {}
            // Without address space randomization the stack may reach up to there.
            Err(errno) => return Err(Error::Machine(format!("the last page is not free: {errno}")).into()),
        }
    }
    Err(Error::Other("no end of the address space found".to_owned()).into())
}
