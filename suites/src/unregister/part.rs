//! Part of a range: unregistered, unmapped, mapped over; the rest stays tracked.

use crate::prelude::*;

/// A first, a middle and the last page are unregistered; who waits between them sleeps on, and new faults are delivered.
#[apply(one_of_each_class)]
fn the_rest_stays_tracked(
    memory: Memory,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["UNREG-002"], axes: [memory, mode])?;
    let Scene { uffd, region, .. } = &tracking::before(memory, mode, 4)?;
    given::register(uffd, region.pages(0, 4), mode)?;
    let (waiter, sleep) = tracking::delivered(uffd, region.page(1), mode)?;
    let one = |index| (region.pages(index, 1), mode);
    for (index, rest) in [(0, vec![(region.pages(1, 3), mode)]), (2, vec![one(1), one(3)])] {
        uffd.unregister(region.page(index).range()).succeeds()?;
        tracking::just(region, &rest)?;
        tracking::served(uffd, region.page(index), tracking::access(mode))?;
    }
    let (last, _) = tracking::delivered(uffd, region.page(3), mode)?;
    uffd.unregister(region.page(3).range()).succeeds()?;
    tracking::just(region, &[one(1)])?;
    if mode == Mode::MISSING {
        last.is_woken()?;
    }
    waiter.is_still_in(sleep)
}

/// A range with a hole in it is unregistered on both sides of the hole.
#[rstest]
#[test_attr(registered(conformance))]
fn a_hole_is_no_obstacle(
    #[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory,
    #[values(At::First, At::Middle, At::Last)] at: At,
) -> Outcome {
    begin!(statements: ["UNREG-005"], axes: [memory, Mode::MISSING, at])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let hole = at.index(3);
    lay::hole(region.page(hole))?;
    tracking::just(&region, &tracking::beside(&region, hole))?;
    uffd.unregister(region.range()).succeeds()?;
    tracking::nothing(&region)?;
    for page in (0..3).filter(|index| *index != hole) {
        tracking::served(&uffd, region.page(page), Access::Read)?;
    }
    Ok(())
}

/// How a page loses its mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Munmap,
    MapFixed,
}

impl Axis for Loss {
    fn axis(&self) -> &'static str {
        "loss"
    }
    fn value(&self) -> String {
        if *self == Self::Munmap { "munmap" } else { "map-fixed" }.to_owned()
    }
}

/// Pages that are unmapped or mapped over are no longer tracked, what is mapped there later neither; the others are.
#[apply(one_of_each_class)]
fn unmapping_drops_just_that_part(memory: Memory, #[values(Loss::Munmap, Loss::MapFixed)] loss: Loss) -> Outcome {
    begin!(statements: ["UNREG-016"], axes: [memory, Mode::MISSING, loss])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(4)?);
    given::register(&uffd, region.pages(0, 4), Mode::MISSING)?;
    let (waiter, sleep) = tracking::delivered(&uffd, region.page(1), Mode::MISSING)?;
    let one = |index| (region.pages(index, 1), Mode::MISSING);
    for (index, rest) in [(0, vec![(region.pages(1, 3), Mode::MISSING)]), (2, vec![one(1), one(3)])] {
        let page = region.page(index);
        if loss == Loss::Munmap {
            lay::hole(page)?;
            tracking::just(&region, &rest)?;
        }
        lay::anon(page, libc::PROT_READ | libc::PROT_WRITE)?;
        tracking::just(&region, &rest)?;
        tracking::served(&uffd, page, Access::Read)?;
    }
    waiter.is_still_in(sleep)?;
    tracking::delivered(&uffd, region.page(3), Mode::MISSING)?;
    Ok(())
}
