//! A call that stops at one page of its range: what it did before that page, and what it left alone from there on.

use uffd_harness::{Error, sys};

use super::{Call, Request, about, all_absent, first_byte, holds};
use crate::prelude::*;

/// What stops the call at a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The page is there already.
    Present,
    /// The source of the page cannot be read.
    UnreadableSource,
    /// The page cache has no such page.
    Hole,
}

impl Obstacle {
    const fn errno(self) -> Errno {
        match self {
            Self::Present => Errno::EEXIST,
            Self::UnreadableSource | Self::Hole => Errno::EFAULT,
        }
    }
}

/// What a page that was there before the call holds.
const EARLIER: Pattern = Pattern::new(0x3000);

/// A registered range with an obstacle at one page, and a thread that waits for each page that can be waited for.
struct Track {
    call: Call,
    obstacle: Obstacle,
    at: usize,
    pages: usize,
    uffd: Uffd,
    region: Region,
    alias: Option<Region>,
    source: Region,
    waiters: Vec<(usize, Actor<u8>, Sleep)>,
}

impl Track {
    fn new(call: Call, memory: Memory, obstacle: Obstacle, pages: usize, at: usize) -> Result<Self, Stop> {
        let uffd = given::uffd(call.features())?;
        let region = memory.map(pages)?;
        let size = region.page_size();
        let mode = call.register_mode();
        let alias = if mode.has(Mode::MINOR) { Some(region.alias()?) } else { None };
        let source = given::room(size * pages)?;
        for index in (0..pages).filter(|index| *index != at || obstacle != Obstacle::Hole) {
            match &alias {
                Some(alias) => alias.page(index).fill(Scene::cached(index)),
                None if call == Call::Copy => call.content(index).fill(source.start() + index * size, size),
                None => {}
            }
        }
        given::register(&uffd, region.range(), mode)?;
        let mut track = Self { call, obstacle, at, pages, uffd, region, alias, source, waiters: Vec::new() };
        track.put_obstacle()?;
        for index in (0..pages).filter(|index| *index != at || obstacle == Obstacle::UnreadableSource) {
            let waiter = Actor::access(Access::Read, track.page(index).at(0))?;
            let sleep = waiter.falls_asleep()?;
            let flags = if mode.has(Mode::MINOR) { UFFD_PAGEFAULT_FLAG_MINOR } else { 0 };
            track.uffd.fault_at(flags, track.page(index).start)?;
            track.waiters.push((index, waiter, sleep));
        }
        Ok(track)
    }

    fn page(&self, index: usize) -> Page {
        self.region.page(index)
    }

    fn size(&self) -> u64 {
        self.region.page_size() as u64
    }

    /// The call from page `first` to the end.
    fn request(&self, first: usize) -> Request {
        let src = self.source.start() + first * self.region.page_size();
        self.call.on(self.region.pages(first, self.pages - first), src as u64, 0)
    }

    /// What the page at the obstacle holds as long as it stands in the way.
    fn earlier(&self) -> Pattern {
        if self.call == Call::Continue { self.call.content(self.at) } else { EARLIER }
    }

    fn put_obstacle(&self) -> Outcome {
        let page = self.page(self.at);
        match self.obstacle {
            Obstacle::Present if self.call == Call::Continue => {
                self.uffd.continue_range(page.range(), 0).does(self.size())
            }
            Obstacle::Present => {
                let earlier = given::source(page.size, EARLIER)?;
                self.uffd.copy(page.range(), earlier.start() as u64, 0).does(self.size())
            }
            Obstacle::UnreadableSource => self.protect_source(libc::PROT_NONE),
            Obstacle::Hole => Ok(()),
        }
    }

    /// One base page, the last of the page, decides over all of it.
    fn protect_source(&self, protection: i32) -> Outcome {
        let base = sys::page_size();
        let at = self.source.start() + (self.at + 1) * self.region.page_size() - base;
        sys::protect(at, base, protection).map_err(|errno| Error::call("mprotect", errno).into())
    }

    fn take_obstacle_away(&self) -> Outcome {
        match (self.obstacle, &self.alias) {
            (Obstacle::UnreadableSource, _) => self.protect_source(libc::PROT_READ | libc::PROT_WRITE),
            (Obstacle::Hole, Some(alias)) => {
                alias.page(self.at).fill(Scene::cached(self.at));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The pages before the obstacle are filled, the rest is as it was; `woken` says whose waiters need not be asleep.
    #[track_caller]
    fn has_stopped(&self, woken: bool) -> Outcome {
        for index in 0..self.at {
            holds(self.page(index), self.call.content(index))?;
        }
        all_absent((self.at + 1..self.pages).map(|index| self.page(index)))?;
        if self.obstacle == Obstacle::Present {
            holds(self.page(self.at), self.earlier())?;
        } else {
            all_absent([self.page(self.at)])?;
        }
        for (index, waiter, sleep) in self.waiters.iter().filter(|(index, ..)| *index >= self.at || !woken) {
            waiter.is_still_in(*sleep).map_err(about(format_args!("the waiter of page {index}")))?;
        }
        self.uffd.has_nothing_to_read()
    }

    /// The waiters of these pages are woken and read what was filled in.
    #[track_caller]
    fn waiters_are_woken(&self, pages: std::ops::Range<usize>) -> Outcome {
        for (index, waiter, _) in self.waiters.iter().filter(|(index, ..)| pages.contains(index)) {
            let byte = first_byte(self.call.content(*index));
            ensure_eq!(waiter.is_woken()?, byte, "the byte that the waiter of page {index} read");
        }
        Ok(())
    }

    /// Gives the pages back.
    fn end(self) -> Outcome {
        self.region.unmap()?;
        self.alias.map_or(Ok(()), Region::unmap)?;
        Ok(())
    }

    /// The call on the whole range: errno and result field.
    #[track_caller]
    fn stops(&self, mode: u64) -> Outcome {
        let reply = self.request(0).with_mode(mode).make(&self.uffd);
        match self.at {
            0 => reply.fails(self.obstacle.errno()),
            done => reply.stops_after(done as u64 * self.size()),
        }
    }

    /// With the obstacle out of the way, or behind a page that is there, the call does the rest.
    #[track_caller]
    fn goes_on(&self) -> Outcome {
        self.take_obstacle_away()?;
        let first = if self.obstacle == Obstacle::Present { self.at + 1 } else { self.at };
        if first < self.pages {
            self.request(first).make(&self.uffd).does((self.pages - first) as u64 * self.size())?;
        }
        for index in first..self.pages {
            holds(self.page(index), self.call.content(index))?;
        }
        self.waiters_are_woken(first..self.pages)?;
        if self.obstacle == Obstacle::Present {
            holds(self.page(self.at), self.earlier())?;
        }
        self.uffd.has_nothing_to_read()
    }
}

/// How many pages the range has: enough for a first, a middle and a last one, where they are cheap.
fn pages(memory: Memory) -> usize {
    if memory.is_hugetlb() { 2 } else { 3 }
}

/// With the obstacle at each page of the range in turn: the call fills the pages before it, wakes their waiters, leaves the
/// rest alone, and says how far it came; started again there it says what stopped it; without the obstacle it does the rest.
pub fn stops_at_each_page(call: Call, memory: Memory, obstacle: Obstacle) -> Outcome {
    let pages = pages(memory);
    for at in 0..pages {
        let at_page = || about(format!("stopped at page {at} of {pages}"));
        let track = Track::new(call, memory, obstacle, pages, at)?;
        track.stops(0).map_err(at_page())?;
        track.waiters_are_woken(0..at).map_err(at_page())?;
        track.has_stopped(true).map_err(at_page())?;
        track.request(at).make(&track.uffd).fails(obstacle.errno()).map_err(at_page())?;
        track.has_stopped(true).map_err(at_page())?;
        track.goes_on().map_err(at_page())?;
        track.end()?;
    }
    Ok(())
}

/// With DONTWAKE the waiters of the pages that were filled sleep on too, until a wake.
pub fn stops_without_waking(call: Call, memory: Memory, obstacle: Obstacle) -> Outcome {
    let pages = pages(memory);
    let track = Track::new(call, memory, obstacle, pages, pages - 1)?;
    track.stops(call.dontwake())?;
    track.has_stopped(false)?;
    track.uffd.wake(track.region.pages(0, track.at)).succeeds()?;
    track.waiters_are_woken(0..track.at)?;
    track.has_stopped(true)?;
    track.goes_on()
}
