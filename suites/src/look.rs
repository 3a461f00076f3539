//! What cases expect of a page and of the file behind it, seen without touching what may be missing.
//!
//! Whoever reads a page that is not there waits for ever, so pagemap is asked first.

use std::sync::OnceLock;

use rustix::fs::SeekFrom;
use uffd_harness::actor::WRITTEN;
use uffd_harness::case::{Outcome, Stop};
use uffd_harness::memory::page_state::PageState;
use uffd_harness::memory::{Memory, Page, Pattern, Region};
use uffd_harness::mode::Mode;
use uffd_harness::uapi::UFFDIO_WRITEPROTECT_MODE_WP;
use uffd_harness::{Errno, Error, sys};

use crate::expect::broken;
use crate::{ensure, ensure_eq, given};

/// What is expected of a page.
pub trait Look {
    /// Nothing is there: not mapped, not swapped out, no marker.
    fn is_not_mapped(&self) -> Outcome;
    /// It is mapped and the whole of it is this.
    fn holds(&self, content: Pattern) -> Outcome;
    /// It is mapped, [`WRITTEN`] stands at these offsets, and all the rest of it is this.
    fn holds_but_written(&self, content: Pattern, offsets: &[usize]) -> Outcome;
    /// pagemap shows it write-protected, as far as this kernel's pagemap shows that at all.
    fn is_protected(&self) -> Outcome;
    /// pagemap does not show it write-protected.
    fn is_not_protected(&self) -> Outcome;
}

/// The first and the last entry of a page: a hugepage has one for each base page.
fn entries(page: Page) -> Result<[PageState; 2], Stop> {
    Ok([page.state()?, PageState::of(page.at(page.size - 1))?])
}

impl Look for Page {
    #[track_caller]
    fn is_not_mapped(&self) -> Outcome {
        for state in entries(*self)? {
            let nothing = !state.present() && !state.swapped() && !state.uffd_wp();
            ensure!(nothing, "nothing may be mapped at {:#x}, pagemap says {:#018x}", self.start, state.raw);
        }
        Ok(())
    }

    #[track_caller]
    fn holds(&self, content: Pattern) -> Outcome {
        for state in entries(*self)? {
            ensure!(state.present(), "no page is mapped at {:#x}, pagemap says {:#018x}", self.start, state.raw);
        }
        match self.differs(content) {
            None => Ok(()),
            Some(found) => Err(broken(format!("the page at {:#x}, {found}", self.start))),
        }
    }

    #[track_caller]
    fn holds_but_written(&self, content: Pattern, offsets: &[usize]) -> Outcome {
        for state in entries(*self)? {
            ensure!(state.present(), "no page is mapped at {:#x}, pagemap says {:#018x}", self.start, state.raw);
        }
        for offset in offsets {
            ensure_eq!(sys::load_byte(self.at(*offset)), WRITTEN, "the byte written at {offset:#x} of the page");
            // What stood there before goes back, so that the page can be compared as a whole.
            sys::store_byte(self.at(*offset), content.byte(*offset));
        }
        let outcome = self.holds(content);
        for offset in offsets {
            sys::store_byte(self.at(*offset), WRITTEN);
        }
        outcome
    }

    #[track_caller]
    fn is_protected(&self) -> Outcome {
        for state in entries(*self)? {
            let shown = state.uffd_wp() || !pagemap_shows_protection();
            ensure!(shown, "the page at {:#x} must be write-protected, pagemap says {:#018x}", self.start, state.raw);
        }
        Ok(())
    }

    #[track_caller]
    fn is_not_protected(&self) -> Outcome {
        for state in entries(*self)? {
            let free = !state.uffd_wp();
            ensure!(free, "the page at {:#x} may not be write-protected, pagemap says {:#018x}", self.start, state.raw);
        }
        Ok(())
    }
}

/// Whether pagemap has bit 57, tried with `UFFDIO_WRITEPROTECT`: no feature bit tells of it (since 5.14).
fn pagemap_shows_protection() -> bool {
    static SHOWN: OnceLock<bool> = OnceLock::new();
    let try_it = || -> Result<bool, Stop> {
        let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(1)?);
        let page = region.page(0);
        page.fill(Pattern::new(0));
        given::register(&uffd, page.range(), Mode::WP)?;
        let reply = uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP);
        Ok(reply.result.is_err() || page.state()?.uffd_wp())
    };
    // In doubt it is expected: then the case fails and somebody looks.
    *SHOWN.get_or_init(|| try_it().unwrap_or(true))
}

/// What is expected of the file behind a mapping; asked of a shared mapping of it.
pub trait Behind {
    /// Whether the file has a page there. Of hugetlb only a page that begins with something else than zeros is seen.
    fn file_has(&self, index: usize) -> Result<bool, Stop>;
    /// The file has just these pages, of `count`: by page, by the blocks it takes, and by `SEEK_DATA`.
    fn file_has_just(&self, pages: &[usize], count: usize) -> Outcome;
    /// `pread` of the file gives this for the whole page; without a descriptor the mapping is read instead.
    fn file_reads(&self, index: usize, content: Pattern) -> Outcome;
}

impl Behind for Region {
    #[track_caller]
    fn file_has(&self, index: usize) -> Result<bool, Stop> {
        if !self.memory().is_hugetlb() {
            return sys::resident(self.page(index).start).map_err(|errno| Error::call("mincore", errno).into());
        }
        // mincore of hugetlb tells of this mapping alone.
        let mut word = [0; 8];
        self.read(index, &mut word)?;
        Ok(word != [0; 8])
    }

    #[track_caller]
    fn file_has_just(&self, pages: &[usize], count: usize) -> Outcome {
        for index in 0..count {
            let has = self.file_has(index)?;
            ensure_eq!(has, pages.contains(&index), "whether the file has page {index}");
        }
        let Some(file) = self.file() else { return Ok(()) };
        let stat = rustix::fs::fstat(file).map_err(|errno| call("fstat", errno))?;
        ensure_eq!(stat.st_blocks as usize * 512, pages.len() * self.page_size(), "the bytes that the file takes");
        ensure_eq!(stat.st_size as usize, self.len(), "the size of the file");
        if self.memory().is_hugetlb() {
            return Ok(()); // hugetlbfs has no SEEK_DATA.
        }
        let first = pages.iter().min().map(|index| (index * self.page_size()) as u64);
        match (rustix::fs::seek(file, SeekFrom::Data(0)), first) {
            (Ok(found), Some(first)) => ensure_eq!(found, first, "where SEEK_DATA finds the first page"),
            (Err(rustix::io::Errno::NXIO), None) => {}
            (found, first) => return Err(broken(format!("SEEK_DATA gives {found:?}, the first page is {first:?}"))),
        }
        Ok(())
    }

    #[track_caller]
    fn file_reads(&self, index: usize, content: Pattern) -> Outcome {
        if self.file().is_none() {
            return self.page(index).differs(content).map_or(Ok(()), |found| Err(broken(found)));
        }
        let mut bytes = vec![0xa5; self.page_size()];
        self.read(index, &mut bytes)?;
        let differs = content.differs(bytes.as_ptr() as usize, bytes.len());
        differs.map_or(Ok(()), |found| Err(broken(format!("read() of the file, page {index}: {found}"))))
    }
}

/// `pread` of the file behind `self`, from the start of a page, as much as fits.
trait Read {
    fn read(&self, index: usize, buffer: &mut [u8]) -> Outcome;
}

impl Read for Region {
    #[track_caller]
    fn read(&self, index: usize, buffer: &mut [u8]) -> Outcome {
        let file = self.file().ok_or_else(|| Stop::Error("no descriptor of the file".to_owned()))?;
        let start = index * self.page_size();
        let mut done = 0;
        while done < buffer.len() {
            let count = rustix::io::pread(file, &mut buffer[done..], (start + done) as u64)
                .map_err(|errno| call("pread", errno))?;
            ensure!(count > 0, "read() of the file ends at {:#x}", start + done);
            done += count;
        }
        Ok(())
    }
}

fn call(name: &str, errno: rustix::io::Errno) -> Stop {
    Error::call(name, Errno::from_raw(errno.raw_os_error())).into()
}
