//! A source that stops a copy half way: one base page of it waits for a userfault of its own.
//!
//! The copy stands still inside the kernel, without any lock, for as long as the case wants.

use uffd_harness::sys;

use super::Request;
use crate::prelude::*;

/// A source with one base page missing.
pub struct Frozen {
    /// The content of the whole source.
    full: Region,
    source: Region,
    monitor: Uffd,
    hole: Page,
}

impl Frozen {
    /// A source of `size` bytes of this content; the base page that holds byte `hole` is missing.
    pub fn new(size: usize, content: Pattern, hole: usize) -> Result<Self, Stop> {
        let full = given::source(size, content)?;
        let source = Memory::Anon.map(size / sys::page_size())?;
        let monitor = given::uffd(0)?;
        given::register(&monitor, source.range(), Mode::MISSING)?;
        let base = sys::page_size();
        let hole = hole / base * base;
        let frozen = Self { hole: source.page(hole / base), full, source, monitor };
        frozen.fill(0, hole)?;
        frozen.fill(hole + base, size)?;
        Ok(frozen)
    }

    fn fill(&self, from: usize, to: usize) -> Outcome {
        if from == to {
            return Ok(());
        }
        let pages = self.source.pages(from / sys::page_size(), (to - from) / sys::page_size());
        self.monitor.copy(pages, (self.full.start() + from) as u64, 0).does((to - from) as u64)
    }

    /// Its address.
    pub fn start(&self) -> u64 {
        self.source.start() as u64
    }

    /// Makes the call from this source in a thread; returns when it stands still.
    #[track_caller]
    pub fn stop(&self, request: Request, uffd: &Uffd) -> Result<(Actor<Reply>, Sleep), Stop> {
        let request = request.from(self.start());
        let uffd = given::duplicate(uffd)?;
        let copier = Actor::start(move || request.make(&uffd))?;
        let sleep = copier.falls_asleep()?;
        self.monitor.fault_at(0, self.hole.start)?;
        Ok((copier, sleep))
    }

    /// Puts the missing page in its place; the copy goes on.
    #[track_caller]
    pub fn thaw(&self) -> Outcome {
        let at = self.hole.start - self.source.start();
        self.fill(at, at + self.hole.size)
    }
}
