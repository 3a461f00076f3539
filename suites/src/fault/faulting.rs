//! Scenes in which the next access to a page faults, whatever the mode, and what ends that fault.

use std::ops::Deref;

use rstest_reuse::template;
use uffd_harness::actor::Target;
use uffd_harness::actor::target::Cue;
use uffd_harness::sys;

use crate::expect::{Fault, broken};
use crate::prelude::*;

/// A memory type of each class with each mode that it can fault in.
#[template]
#[rstest]
#[case(Memory::Anon, Mode::MISSING)]
#[case(Memory::AnonThp, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MISSING)]
#[case(Memory::ShmemPrivate, Mode::MISSING)]
#[case(Memory::HugetlbMemfd, Mode::MISSING)]
#[case(Memory::HugetlbMemfdPrivate, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MINOR)]
#[case(Memory::ShmemPrivate, Mode::MINOR)]
#[case(Memory::HugetlbMemfd, Mode::MINOR)]
#[case(Memory::HugetlbMemfdPrivate, Mode::MINOR)]
#[case(Memory::Anon, Mode::WP)]
#[case(Memory::AnonThp, Mode::WP)]
#[case(Memory::ShmemMemfd, Mode::WP)]
#[case(Memory::ShmemPrivate, Mode::WP)]
#[case(Memory::HugetlbMemfd, Mode::WP)]
#[case(Memory::HugetlbMemfdPrivate, Mode::WP)]
#[case(Memory::Anon, Mode::RWP)]
#[case(Memory::AnonThp, Mode::RWP)]
#[case(Memory::ShmemMemfd, Mode::RWP)]
#[case(Memory::ShmemPrivate, Mode::RWP)]
#[case(Memory::HugetlbMemfd, Mode::RWP)]
#[case(Memory::HugetlbMemfdPrivate, Mode::RWP)]
#[test_attr(registered(conformance))]
pub fn every_fault(#[case] memory: Memory, #[case] mode: Mode) {}

/// Missing faults of each class, and each other kind of fault on two classes.
#[template]
#[rstest]
#[case(Memory::Anon, Mode::MISSING)]
#[case(Memory::AnonThp, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MISSING)]
#[case(Memory::ShmemPrivate, Mode::MISSING)]
#[case(Memory::HugetlbMemfd, Mode::MISSING)]
#[case(Memory::HugetlbMemfdPrivate, Mode::MISSING)]
#[case(Memory::ShmemMemfd, Mode::MINOR)]
#[case(Memory::HugetlbMemfd, Mode::MINOR)]
#[case(Memory::Anon, Mode::WP)]
#[case(Memory::HugetlbMemfdPrivate, Mode::WP)]
#[case(Memory::Anon, Mode::RWP)]
#[case(Memory::HugetlbMemfd, Mode::RWP)]
#[test_attr(registered(conformance))]
pub fn some_faults(#[case] memory: Memory, #[case] mode: Mode) {}

/// A region registered for one mode, every page of which faults at its next access (in WP mode: at its next write).
pub struct Faulting {
    scene: Scene,
    mode: Mode,
}

impl Deref for Faulting {
    type Target = Scene;
    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Faulting {
    /// `pages` such pages at a userfaultfd that asked for no more than the mode needs.
    #[track_caller]
    pub fn new(memory: Memory, mode: Mode, pages: usize) -> Result<Self, Stop> {
        Self::with_features(memory, mode, pages, 0)
    }

    /// The same at a userfaultfd with these features.
    #[track_caller]
    pub fn with_features(memory: Memory, mode: Mode, pages: usize, features: u64) -> Result<Self, Stop> {
        Self::at(given::raw_uffd()?, memory, mode, pages, features)
    }

    /// The same at this userfaultfd, which is before its handshake.
    #[track_caller]
    pub fn at(uffd: Uffd, memory: Memory, mode: Mode, pages: usize, features: u64) -> Result<Self, Stop> {
        let needed = Need::of_mode(Some(memory), mode).into_iter().fold(features, |all, need| match need {
            Need::Feature(bits) => all | bits,
            _ => all,
        });
        given::handshake(&uffd, needed)?;
        let region = memory.map(pages)?;
        let alias = if mode.has(Mode::MINOR) { Some(region.alias()?) } else { None };
        for index in 0..pages {
            if let Some(alias) = &alias {
                alias.page(index).fill(Scene::cached(index));
            } else if mode != Mode::MISSING {
                region.page(index).fill(Self::protected(index));
            }
        }
        given::register(&uffd, region.range(), mode)?;
        let faulting = Self { scene: Scene { uffd, region, alias, mode, features: needed }, mode };
        faulting.protect(faulting.region.range())?;
        Ok(faulting)
    }

    /// The same in a process of its own, which then does `work`; the userfaultfd is ours.
    pub fn in_target(
        memory: Memory,
        mode: Mode,
        pages: usize,
        features: u64,
        work: impl FnOnce(&Region, &mut Cue) -> i32,
    ) -> Result<Target, Stop> {
        Scene::in_target(|| Ok(Self::with_features(memory, mode, pages, features)?.scene), work)
    }

    /// The scene alone.
    pub fn into_scene(self) -> Scene {
        self.scene
    }

    /// What page `index` of a protected region holds.
    const fn protected(index: usize) -> Pattern {
        Pattern::new(0x3000 + index as u64)
    }

    /// Protects a range, in the modes that protect.
    #[track_caller]
    pub fn protect(&self, range: Range) -> Outcome {
        match self.mode {
            Mode::WP => self.uffd.writeprotect(range, UFFDIO_WRITEPROTECT_MODE_WP).succeeds(),
            Mode::RWP => self.uffd.rwprotect(range, UFFDIO_RWPROTECT_MODE_RWP).succeeds(),
            _ => Ok(()),
        }
    }

    /// An access that faults: a write in WP mode, else a read.
    pub fn access(&self) -> Access {
        if self.mode == Mode::WP { Access::Write } else { Access::Read }
    }

    /// The flags of that access's message.
    pub fn flags(&self) -> u64 {
        flags(self.mode, self.access())
    }

    /// What page `index` holds when its fault has been resolved.
    pub fn holds(&self, index: usize) -> Pattern {
        match self.mode {
            Mode::MISSING => Scene::filled(Resolver::Copy, index),
            Mode::MINOR => Scene::cached(index),
            _ => Self::protected(index),
        }
    }

    /// Ends the fault of page `index` by the ioctl that is meant for it, which wakes.
    #[track_caller]
    pub fn end_fault(&self, index: usize) -> Outcome {
        let page = self.page(index);
        match self.mode {
            Mode::MISSING => self.resolve(Resolver::Copy, index, 1, true)?.does(page.size as u64),
            Mode::MINOR => self.resolve(Resolver::Continue, index, 1, true)?.does(page.size as u64),
            Mode::WP => self.uffd.writeprotect(page.range(), 0).succeeds(),
            _ => self.uffd.rwprotect(page.range(), 0).succeeds(),
        }
    }

    /// A thread that sleeps in its access to this byte of page `index`.
    #[track_caller]
    pub fn waiter(&self, index: usize, offset: usize) -> Result<(Actor<u8>, Sleep), Stop> {
        let waiter = Actor::access(self.access(), self.page(index).at(offset))?;
        let sleep = waiter.falls_asleep()?;
        Ok((waiter, sleep))
    }

    /// These waiters, each for a byte of a page, are awake, and their accesses did what they should and nothing else.
    #[track_caller]
    pub fn went_through(&self, waiters: &[(&Actor<u8>, usize, usize)]) -> Outcome {
        let mut values = Vec::new();
        for (waiter, index, offset) in waiters {
            values.push((waiter.is_woken()?, *index, *offset));
        }
        for (value, index, offset) in &values {
            byte_is_as_accessed(self.page(*index), self.holds(*index), self.access(), *offset, *value)?;
        }
        let mut pages: Vec<usize> = values.iter().map(|(_, index, _)| *index).collect();
        pages.sort_unstable();
        pages.dedup();
        pages.into_iter().try_for_each(|index| holds(self.page(index), self.holds(index)))
    }

    /// The next message is of this scene's fault at page `index`, for a userfaultfd without special features.
    #[track_caller]
    pub fn is_told_of(&self, index: usize) -> Result<Fault, Stop> {
        told(&self.uffd, self.flags(), self.page(index).start, 0)
    }

    /// Nothing of page `index` has come into being: it is as unmapped, or as protected, as before its fault.
    #[track_caller]
    pub fn is_untouched(&self, index: usize) -> Outcome {
        let page = self.page(index);
        match self.mode {
            Mode::MISSING | Mode::MINOR => is_unmapped(page),
            Mode::WP => holds(page, self.holds(index)),
            _ => Ok(()),
        }
    }
}

/// The flags of the message of this access when it faults in this mode.
pub fn flags(mode: Mode, access: Access) -> u64 {
    let kind = match mode {
        Mode::WP => UFFD_PAGEFAULT_FLAG_WP,
        Mode::MINOR => UFFD_PAGEFAULT_FLAG_MINOR,
        Mode::RWP => UFFD_PAGEFAULT_FLAG_RWP,
        _ => 0,
    };
    if access == Access::Write { kind | UFFD_PAGEFAULT_FLAG_WRITE } else { kind }
}

/// The next message is a page fault with just these flags, this address and this thread, and zero everywhere else.
#[track_caller]
pub fn told(uffd: &Uffd, flags: u64, address: usize, ptid: u32) -> Result<Fault, Stop> {
    let fault = uffd.fault_at(flags, address)?;
    ensure_eq!(fault.message.raw[0], 0x12, "the event");
    ensure_eq!(fault.ptid, ptid, "feat.ptid");
    ensure!(fault.message.unused_is_zero(), "reserved bytes are not zero: {:x?}", fault.message.raw);
    Ok(fault)
}

/// The whole page holds this pattern.
#[track_caller]
pub fn holds(page: Page, pattern: Pattern) -> Outcome {
    page.differs(pattern).map_or(Ok(()), |what| Err(broken(format!("the page at {:#x}: {what}", page.start))))
}

/// An access gave `value` on a page of this pattern: a read found the byte, a write changed it and nothing else.
///
/// The page is left as it was before the access.
#[track_caller]
pub fn access_did(page: Page, pattern: Pattern, access: Access, offset: usize, value: u8) -> Outcome {
    byte_is_as_accessed(page, pattern, access, offset, value)?;
    holds(page, pattern)
}

#[track_caller]
fn byte_is_as_accessed(page: Page, pattern: Pattern, access: Access, offset: usize, value: u8) -> Outcome {
    let found = pattern.byte(offset);
    if access == Access::Write {
        ensure_eq!(sys::load_byte(page.at(offset)), WRITTEN, "the byte that was written");
        sys::store_byte(page.at(offset), found);
    } else {
        ensure_eq!(value, found, "the byte that was read");
    }
    Ok(())
}

/// Nothing is mapped at the page.
#[track_caller]
pub fn is_unmapped(page: Page) -> Outcome {
    ensure!(!page.state()?.present(), "the page at {:#x} is mapped; nothing should be there", page.start);
    Ok(())
}
