//! Ranges that are not wholly inside one registered mapping.

use uffd_harness::Error;
use uffd_harness::memory::vma;

use super::{Call, Request, about, advise, all_absent, first_byte, holds};
use crate::prelude::*;

/// A region that is not registered yet, and the calls on it.
struct Ground {
    call: Call,
    uffd: Uffd,
    region: Region,
    /// As long as the region; a page of it is written to when it is to be copied.
    source: usize,
}

impl Ground {
    fn new(call: Call, memory: Memory, pages: usize) -> Result<Self, Stop> {
        let region = memory.map(pages)?;
        if call.register_mode().has(Mode::MINOR) {
            let alias = region.alias()?;
            (0..pages).for_each(|index| alias.page(index).fill(Scene::cached(index)));
        }
        let source = given::room(region.len())?.start();
        Ok(Self { call, uffd: given::uffd(call.features())?, region, source })
    }

    fn register(&self, uffd: &Uffd, first: usize, count: usize) -> Outcome {
        given::register(uffd, self.region.pages(first, count), self.call.register_mode()).map(drop)
    }

    /// The call on `count` pages from page `first`.
    fn request(&self, first: usize, count: usize) -> Request {
        let range = self.region.pages(first, count);
        self.call.on(range, (self.source + first * self.region.page_size()) as u64, 0)
    }

    /// `ENOENT`, which the result field says too, and none of the pages has come.
    #[track_caller]
    fn is_not_found(&self, first: usize, count: usize, absent: &[usize]) -> Outcome {
        self.request(first, count).make(&self.uffd).fails(Errno::ENOENT)?;
        all_absent(absent.iter().map(|index| self.region.page(*index)))
    }

    /// The page is filled and holds what it should.
    #[track_caller]
    fn is_filled(&self, index: usize) -> Outcome {
        if self.call == Call::Copy {
            let size = self.region.page_size();
            self.call.content(index).fill(self.source + index * size, size);
        }
        self.request(index, 1).make(&self.uffd).does(self.region.page_size() as u64)?;
        holds(self.region.page(index), self.call.content(index))
    }

    fn page(&self, index: usize) -> Page {
        self.region.page(index)
    }

    /// A thread that waits for the page; its message is read.
    fn wait_on(&self, index: usize) -> Result<(Actor<u8>, Sleep), Stop> {
        let waiter = Actor::access(Access::Read, self.page(index).at(0))?;
        let sleep = waiter.falls_asleep()?;
        let flags = if self.call == Call::Continue { UFFD_PAGEFAULT_FLAG_MINOR } else { 0 };
        self.uffd.fault_at(flags, self.page(index).start)?;
        Ok((waiter, sleep))
    }
}

/// The set-up did what it should: there is more than one mapping in the range.
fn is_split(range: Range) -> Outcome {
    if vma::count(range)? > 1 {
        return Ok(());
    }
    Err(Error::Other("the mapping was not split".to_owned()).into())
}

/// A range that is not registered, not any more, or not mapped at all gives `ENOENT`; once registered it is filled.
pub fn unregistered_is_not_found(call: Call, memory: Memory) -> Outcome {
    let ground = Ground::new(call, memory, 3)?;
    ground.is_not_found(0, 1, &[0, 1, 2]).map_err(about("never registered"))?;
    ground.register(&ground.uffd, 0, 3)?;
    ground.is_filled(0)?;
    ground.uffd.unregister(ground.region.range()).succeeds()?;
    ground.is_not_found(1, 1, &[1, 2]).map_err(about("not registered any more"))?;
    ground.register(&ground.uffd, 0, 3)?;
    lay::hole(ground.page(1))?;
    ground.is_not_found(1, 1, &[1, 2]).map_err(about("not mapped"))?;
    ground.is_filled(2)?;
    ground.uffd.has_nothing_to_read()
}

/// A range over two mappings gives `ENOENT` and fills nothing, though both are registered; each part alone is filled.
pub fn two_mappings_are_not_one_range(call: Call, memory: Memory) -> Outcome {
    let ground = Ground::new(call, memory, 3)?;
    ground.register(&ground.uffd, 0, 3)?;
    // Another flag makes another mapping of the middle page, and changes nothing else.
    advise(ground.page(1), libc::MADV_DONTFORK)?;
    is_split(ground.region.pages(0, 2))?;
    let (waiter, sleep) = ground.wait_on(1)?;
    for (first, count) in [(0, 2), (1, 2), (0, 3)] {
        ground.is_not_found(first, count, &[0, 1, 2])?;
    }
    waiter.is_still_in(sleep)?;
    (0..3).try_for_each(|index| ground.is_filled(index))?;
    ensure_eq!(waiter.is_woken()?, first_byte(call.content(1)), "the byte that the waiter read");
    ground.uffd.has_nothing_to_read()
}

/// The same of a range over pages that two userfaultfds have registered.
pub fn two_registrations_are_not_one_range(call: Call, memory: Memory) -> Outcome {
    let ground = Ground::new(call, memory, 2)?;
    let other = given::uffd(call.features())?;
    ground.register(&ground.uffd, 0, 1)?;
    ground.register(&other, 1, 1)?;
    let (waiter, sleep) = ground.wait_on(0)?;
    ground.is_not_found(0, 2, &[0, 1])?;
    waiter.is_still_in(sleep)?;
    ground.is_filled(0)?;
    all_absent([ground.page(1)])?;
    ensure_eq!(waiter.is_woken()?, first_byte(call.content(0)), "the byte that the waiter read");
    ground.uffd.has_nothing_to_read()
}

/// A range that begins before the registered page or ends behind it gives `ENOENT` and fills nothing.
pub fn more_than_the_registration_is_not_found(call: Call, memory: Memory) -> Outcome {
    let ground = Ground::new(call, memory, 3)?;
    ground.register(&ground.uffd, 1, 1)?;
    let (waiter, sleep) = ground.wait_on(1)?;
    for (first, count) in [(0, 2), (1, 2), (0, 3)] {
        ground.is_not_found(first, count, &[0, 1, 2])?;
    }
    waiter.is_still_in(sleep)?;
    ground.is_filled(1)?;
    all_absent([ground.page(0), ground.page(2)])?;
    ensure_eq!(waiter.is_woken()?, first_byte(call.content(1)), "the byte that the waiter read");
    ground.uffd.has_nothing_to_read()
}

/// A range that runs past the end of its mapping, into another one or into nothing, gives `ENOENT` and fills nothing.
pub fn past_the_end_is_not_found(call: Call, memory: Memory) -> Outcome {
    let ground = Ground::new(call, memory, 2)?;
    let len = ground.region.page_count();
    ground.register(&ground.uffd, 0, len)?;
    let (waiter, sleep) = ground.wait_on(1)?;
    // Behind the region lies an inaccessible mapping.
    ground.is_not_found(1, len, &[0, 1]).map_err(about("another mapping behind the end"))?;
    lay::hole(ground.page(len))?;
    ground.is_not_found(1, len, &[0, 1]).map_err(about("nothing behind the end"))?;
    waiter.is_still_in(sleep)?;
    ground.is_filled(1)?;
    all_absent([ground.page(0)])?;
    ensure_eq!(waiter.is_woken()?, first_byte(call.content(1)), "the byte that the waiter read");
    ground.uffd.has_nothing_to_read()
}
