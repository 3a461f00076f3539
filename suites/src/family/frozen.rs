//! A source that stops a copy half way: one base page of it waits for a userfault of its own.
//!
//! The copy stands still inside the kernel, without any lock, for as long as the case wants.

use uffd_harness::gate::Address;
use uffd_harness::sys;

use super::Request;
use crate::prelude::*;

/// A source with one base page missing.
pub struct Frozen {
    /// The content of the whole source.
    full: Region,
    source: Region,
    /// Where in both the content begins.
    offset: usize,
    /// The userfaultfd under which the source lies.
    guard: Uffd,
    hole: Page,
}

impl Frozen {
    /// A source of `size` bytes of this content; the base page that holds byte `hole` is missing.
    pub fn new(size: usize, content: Pattern, hole: usize) -> Result<Self, Stop> {
        Self::around(given::source(size, content)?, 0, hole)
    }

    /// A source of `count` pages of `size` bytes, of these contents, that lacks the middle of page `stop`.
    ///
    /// It is not aligned: the pages straddle those of its own memory, and one may lie half in a hole.
    pub fn straddling(
        size: usize,
        count: usize,
        stop: usize,
        content: impl Fn(usize) -> Pattern,
    ) -> Result<Self, Stop> {
        let offset = sys::page_size() / 2 + 1;
        let full = given::source(offset + count * size, Pattern::ZERO)?;
        for index in 0..count {
            content(index).fill(full.start() + offset + index * size, size);
        }
        Self::around(full, offset, offset + stop * size + size / 2)
    }

    fn around(full: Region, offset: usize, hole: usize) -> Result<Self, Stop> {
        let source = Memory::Anon.map(full.page_count())?;
        let guard = given::uffd(0)?;
        given::register(&guard, source.range(), Mode::MISSING)?;
        let hole = hole / sys::page_size();
        let frozen = Self { hole: source.page(hole), full, source, offset, guard };
        frozen.fill(0, hole)?;
        frozen.fill(hole + 1, frozen.full.page_count())?;
        Ok(frozen)
    }

    /// Fills base pages of the source, from one to before another.
    #[track_caller]
    fn fill(&self, from: usize, to: usize) -> Outcome {
        if from == to {
            return Ok(());
        }
        let pages = self.source.pages(from, to - from);
        self.guard.copy(pages, self.full.page(from).start as u64, 0).does(pages.len)
    }

    /// Its address.
    pub fn start(&self) -> Address {
        self.source.start() + self.offset
    }

    /// Makes the call from this source in a thread; returns when it stands still.
    #[track_caller]
    pub fn stop(&self, request: Request, uffd: &Uffd) -> Result<Stopped, Stop> {
        let request = request.from(self.start() as u64);
        let uffd = given::duplicate(uffd)?;
        let copier = Actor::start(move || request.make(&uffd))?;
        let sleep = copier.falls_asleep()?;
        self.guard.fault_at(0, self.hole.start)?;
        Ok(Stopped { copier, sleep })
    }

    /// Puts the missing page in its place; the copy goes on.
    #[track_caller]
    pub fn thaw(&self) -> Outcome {
        let hole = (self.hole.start - self.source.start()) / self.hole.size;
        self.fill(hole, hole + 1)
    }

    /// Takes the source away; the copy goes on without it.
    #[track_caller]
    pub fn vanish(self) -> Outcome {
        self.source.unmap()?;
        self.guard.wake(self.hole.range()).succeeds()
    }
}

/// A call that stands still within the kernel.
pub struct Stopped {
    copier: Actor<Reply>,
    sleep: Sleep,
}

impl Stopped {
    /// It has not moved since it fell asleep.
    #[track_caller]
    pub fn stands(&self) -> Outcome {
        self.copier.is_still_in(self.sleep)
    }

    /// The reply of the call, which was let go on.
    #[track_caller]
    pub fn reply(&self) -> Result<Reply, Stop> {
        self.copier.is_woken()
    }
}
