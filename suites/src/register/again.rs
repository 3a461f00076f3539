//! Registering again what the same userfaultfd has registered already.

use super::ioctls;
use crate::prelude::*;

/// The mode of the second registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Then {
    first: Mode,
    second: Mode,
}

impl Then {
    const fn of(first: Mode, second: Mode) -> Self {
        Self { first, second }
    }

    /// What the second registration needs of the kernel.
    fn need(self, memory: Memory) -> Need {
        Need::of_mode(Some(memory), self.second).pop().unwrap_or(Need::Feature(0))
    }

    /// The single mode that the second registration leaves out.
    fn dropped(self) -> Mode {
        let single = [Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP];
        single.into_iter().find(|mode| self.first.has(*mode) && !self.second.has(*mode)).unwrap_or(self.first)
    }

    /// WP or RWP, whichever the first registration has.
    fn protection(self) -> Mode {
        if self.first.has(Mode::WP) { Mode::WP } else { Mode::RWP }
    }
}

impl Axis for Then {
    fn axis(&self) -> &'static str {
        "then"
    }
    fn value(&self) -> String {
        format!("then-{}", self.second)
    }
    fn possible(&self, memory: Option<Memory>, _mode: Option<Mode>) -> bool {
        memory.is_none_or(|memory| memory.can_fault(self.second))
    }
}

/// A scene whose pages are ready for faults of `fault`, the first of them registered with the first mode.
#[track_caller]
fn once(memory: Memory, then: Then, fault: Mode) -> Result<Scene, Stop> {
    let scene = Scene { uffd: tracking::uffd(then.first.and(then.second))?, ..tracking::before(memory, fault, 2)? };
    given::register(&scene.uffd, scene.region.pages(0, 1), then.first)?;
    Ok(scene)
}

/// Registering once more for the same mode changes nothing: not the modes, not the protection, not who waits.
#[apply(one_of_each_class)]
fn the_same_mode_changes_nothing(
    memory: Memory,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["REG-036"], axes: [memory, mode])?;
    let Scene { uffd, region, .. } = &once(memory, Then::of(mode, mode), mode)?;
    let page = region.page(0);
    let (waiter, sleep) = tracking::delivered(uffd, page, mode)?;
    let before = page.state()?;
    uffd.register(page.range(), mode.bits()).does(ioctls::expected(memory.is_hugetlb(), mode))?;
    tracking::just(region, &[(page.range(), mode)])?;
    ensure_eq!(page.state()?, before, "the page's state");
    waiter.is_still_in(sleep)?;
    uffd.has_nothing_to_read()?;
    let (second, _) = tracking::delivered_once_more(uffd, page, mode)?;
    uffd.wake(page.range()).succeeds()?;
    waiter.faults_again(sleep)?;
    second.falls_asleep()?;
    Ok(())
}

/// A range of which a part is registered already is completed: who waits in that part sleeps on, and all of it is tracked.
#[apply(one_of_each_class)]
fn a_partly_registered_range_is_completed(memory: Memory) -> Outcome {
    begin!(statements: ["REG-036"], axes: [memory, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
    let [first, middle, last] = [0, 1, 2].map(|index| region.page(index));
    given::register(&uffd, middle.range(), Mode::MISSING)?;
    let (waiter, sleep) = tracking::delivered(&uffd, middle, Mode::MISSING)?;
    let whole = region.pages(0, 3);
    uffd.register(whole, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(memory.is_hugetlb(), Mode::MISSING))?;
    tracking::just(&region, &[(whole, Mode::MISSING)])?;
    waiter.is_still_in(sleep)?;
    for page in [first, last] {
        tracking::delivered(&uffd, page, Mode::MISSING)?;
    }
    waiter.is_still_in(sleep)
}

/// Fewer of the modes that a range has: the call succeeds, its mask is that of the request, and the range keeps them all.
#[apply(one_of_each_class)]
fn a_subset_keeps_the_larger_set(
    memory: Memory,
    #[values(
        Then::of(Mode::MISSING_WP, Mode::WP),
        Then::of(Mode::MISSING_MINOR, Mode::MISSING),
        Then::of(Mode::MISSING_MINOR, Mode::MINOR),
        Then::of(Mode::MISSING_RWP, Mode::RWP)
    )]
    then: Then,
) -> Outcome {
    begin!(statements: ["REG-037"], axes: [memory, then.first, then], needs: [then.need(memory)])?;
    let Scene { uffd, region, .. } = &once(memory, then, then.dropped())?;
    let page = region.page(0);
    uffd.register(page.range(), then.second.bits()).does(ioctls::expected(memory.is_hugetlb(), then.second))?;
    tracking::just(region, &[(page.range(), then.first)])?;
    tracking::delivered(uffd, page, then.dropped())?;
    Ok(())
}

/// Modes that a range does not all have replace those it has: the old faults go unreported, the new ones are delivered.
#[apply(one_of_each_class)]
fn other_modes_replace_the_old_ones(
    memory: Memory,
    #[values(
        Then::of(Mode::MISSING, Mode::MINOR),
        Then::of(Mode::MISSING, Mode::WP),
        Then::of(Mode::MINOR, Mode::MISSING),
        Then::of(Mode::MISSING, Mode::RWP)
    )]
    then: Then,
) -> Outcome {
    begin!(statements: ["REG-038"], axes: [memory, then.first, then], needs: [then.need(memory)])?;
    let region = memory.map(2)?;
    let alias = if memory.has_alias() { Some(region.alias()?) } else { None };
    let both = then.first.and(then.second);
    let scene = &Scene { uffd: tracking::uffd(both)?, region, alias, mode: both, features: tracking::features(both) };
    tracking::prepare(scene, 0, then.first);
    tracking::prepare(scene, 1, then.second);
    let Scene { uffd, region, .. } = scene;
    given::register(uffd, region.range(), then.first)?;
    uffd.register(region.range(), then.second.bits()).does(ioctls::expected(memory.is_hugetlb(), then.second))?;
    tracking::just(region, &[(region.range(), then.second)])?;
    tracking::served(uffd, region.page(0), Access::Read)?;
    tracking::delivered(uffd, region.page(1), then.second)?;
    Ok(())
}

/// Dropping WP or RWP by a further registration is refused with `EBUSY`; modes, protection and content stay.
#[apply(one_of_each_class)]
fn dropping_a_protection_is_refused(
    memory: Memory,
    #[values(
        Then::of(Mode::WP, Mode::MISSING),
        Then::of(Mode::MISSING_WP, Mode::MISSING),
        Then::of(Mode::MISSING_RWP, Mode::MISSING),
        Then::of(Mode::RWP, Mode::WP)
    )]
    then: Then,
) -> Outcome {
    begin!(
        statements: ["REG-039", "REG-047"],
        axes: [memory, then.first, then],
        needs: [then.need(memory), Need::Feature(UFFD_FEATURE_RWP)]
    )?;
    let Scene { uffd, region, .. } = &once(memory, then, then.protection())?;
    let page = region.page(0);
    tracking::protect(uffd, page, then.protection())?;
    let before = page.state()?;
    // The second range reaches further than what has the protection.
    for range in [page.range(), region.range()] {
        uffd.register(range, then.second.bits()).is_refused(Errno::EBUSY)?;
        tracking::just(region, &[(page.range(), then.first)])?;
    }
    ensure_eq!(page.state()?, before, "the page's state");
    tracking::delivered_once_more(uffd, page, then.protection())?;
    uffd.unregister(page.range()).succeeds()?;
    uffd.register(page.range(), then.second.bits()).does(ioctls::expected(memory.is_hugetlb(), then.second))
}

/// What becomes of a range that is registered anew without its WP: refused, or as any other mode would be.
#[apply(one_of_each_class)]
fn dropping_wp_is_refused_or_done(
    memory: Memory,
    #[values(Then::of(Mode::WP, Mode::MISSING), Then::of(Mode::MISSING_WP, Mode::MISSING))] then: Then,
) -> Outcome {
    begin!(statements: ["REG-037", "REG-038"], axes: [memory, then.first, then], needs: [then.need(memory)])?;
    let Scene { uffd, region, .. } = &once(memory, then, Mode::MISSING)?;
    let range = region.pages(0, 1);
    let reply = uffd.register(range, then.second.bits());
    let (seen, mode) = match reply.result {
        Err(Errno::EBUSY) => ("refused", then.first),
        _ if then.first.has(then.second) => ("kept", then.first),
        _ => ("replaced", then.second),
    };
    variant(seen);
    if seen == "refused" {
        reply.is_refused(Errno::EBUSY)?;
    } else {
        reply.does(ioctls::expected(memory.is_hugetlb(), then.second))?;
    }
    tracking::just(region, &[(range, mode)])
}

/// A further mode beside WP or RWP is accepted, and protected pages stay protected.
#[apply(one_of_each_class)]
fn a_further_mode_keeps_the_protection(
    memory: Memory,
    #[values(
        Then::of(Mode::WP, Mode::MISSING_WP),
        Then::of(Mode::WP, Mode::WP_MINOR),
        Then::of(Mode::RWP, Mode::MISSING_RWP),
        Then::of(Mode::RWP, Mode::MINOR_RWP)
    )]
    then: Then,
) -> Outcome {
    begin!(statements: ["REG-040"], axes: [memory, then.first, then], needs: [then.need(memory)])?;
    let Scene { uffd, region, .. } = &once(memory, then, then.first)?;
    let page = region.page(0);
    tracking::protect(uffd, page, then.first)?;
    let before = page.state()?;
    uffd.register(page.range(), then.second.bits()).does(ioctls::expected(memory.is_hugetlb(), then.second))?;
    tracking::just(region, &[(page.range(), then.second)])?;
    ensure_eq!(page.state()?, before, "the page's state");
    tracking::delivered_once_more(uffd, page, then.first)?;
    Ok(())
}
