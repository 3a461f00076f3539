//! Unregistrations that are refused: the range stays tracked, and who waits in it sleeps on.

use std::os::fd::AsFd as _;

use uffd_harness::memory::regular_file;

use crate::argument::{Argument, Flaw, flawed};
use crate::gone::{self, Gone};
use crate::prelude::*;
use crate::register::range::Defect;

/// A region of three pages that is registered for MISSING, with a thread that waits in the first.
struct Kept {
    uffd: Uffd,
    region: Region,
    waiter: Actor<u8>,
    sleep: Sleep,
}

impl Kept {
    #[track_caller]
    fn new(memory: Memory) -> Result<Self, Stop> {
        let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
        given::register(&uffd, region.range(), Mode::MISSING)?;
        let (waiter, sleep) = tracking::delivered(&uffd, region.page(0), Mode::MISSING)?;
        Ok(Self { uffd, region, waiter, sleep })
    }

    #[track_caller]
    fn is_unchanged(&self) -> Outcome {
        tracking::just(&self.region, &[(self.region.range(), Mode::MISSING)])?;
        tracking::is_one_mapping(&self.region)?;
        self.waiter.is_still_in(self.sleep)
    }

    /// New faults are delivered as before, and a valid call then does its work.
    #[track_caller]
    fn works(&self) -> Outcome {
        self.is_unchanged()?;
        tracking::delivered(&self.uffd, self.region.page(2), Mode::MISSING)?;
        self.uffd.unregister(self.region.range()).succeeds()?;
        tracking::nothing(&self.region)?;
        ensure_eq!(self.waiter.is_woken()?, 0, "the byte that the kernel served");
        Ok(())
    }
}

/// A range that is unaligned, empty, wraps or reaches beyond the address space is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn invalid_ranges_are_refused(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
    #[values(Defect::Start, Defect::Len, Defect::Empty, Defect::Wrap, Defect::Beyond)] defect: Defect,
) -> Outcome {
    begin!(statements: ["UNREG-006"], axes: [memory, defect])?;
    let kept = Kept::new(memory)?;
    for range in defect.ranges(kept.region.range()) {
        kept.uffd.unregister(range).is_refused(Errno::EINVAL)?;
    }
    kept.works()
}

/// A hugetlb range must begin at a whole page of it, or nothing is unregistered.
#[rstest]
#[test_attr(registered(conformance))]
fn a_start_inside_a_hugetlb_page_is_refused(
    #[values(Memory::HugetlbMemfd, Memory::HugetlbPrivate, Memory::HugetlbMemfdPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["UNREG-007"], axes: [memory])?;
    let kept = Kept::new(memory)?;
    let (base, huge) = (Memory::Anon.page_size() as u64, memory.page_size() as u64);
    let Range { start, len } = kept.region.range();
    for range in [
        Range::new(start + base, len - base),
        Range::new(start + huge / 2, huge),
        Range::new(start + huge - base, base),
    ] {
        kept.uffd.unregister(range).is_refused(Errno::EINVAL)?;
    }
    kept.works()
}

/// A range that ends inside a hugetlb page is refused too and stays registered, though the call may wake who waits there.
#[rstest]
#[test_attr(registered(conformance))]
fn an_end_inside_a_hugetlb_page_is_refused(
    #[values(Memory::HugetlbMemfd, Memory::HugetlbPrivate, Memory::HugetlbMemfdPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["UNREG-007"], axes: [memory])?;
    let Kept { uffd, region, waiter, sleep } = Kept::new(memory)?;
    let base = Memory::Anon.page_size() as u64;
    let Range { start, len } = region.range();
    for range in [Range::new(start, base), Range::new(start, len - base)] {
        uffd.unregister(range).is_refused(Errno::EINVAL)?;
        tracking::just(&region, &[(region.range(), Mode::MISSING)])?;
    }
    if waiter.falls_asleep()? == sleep {
        variant("waiters sleep on");
        uffd.has_nothing_to_read()?;
    } else {
        variant("waiters fault again");
        uffd.fault_at(0, region.start())?;
    }
    uffd.unregister(region.range()).succeeds()?;
    waiter.is_woken()?;
    Ok(())
}

/// A range without any mapping is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn a_range_without_a_mapping_is_refused(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
) -> Outcome {
    begin!(statements: ["UNREG-005"], axes: [memory])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let middle = region.page(1);
    lay::hole(middle)?;
    let sides = [(region.pages(0, 1), Mode::MISSING), (region.pages(2, 1), Mode::MISSING)];
    uffd.unregister(middle.range()).is_refused(Errno::EINVAL)?;
    tracking::just(&region, &sides)?;
    tracking::delivered(&uffd, region.page(0), Mode::MISSING)?;
    tracking::delivered(&uffd, region.page(2), Mode::MISSING)?;
    lay::anon(middle, libc::PROT_READ | libc::PROT_WRITE)?;
    uffd.unregister(middle.range()).succeeds()?;
    tracking::just(&region, &sides)
}

/// Below the first and above the last mapping of the process there is nothing to unregister.
#[rstest]
#[test_attr(registered(conformance))]
fn outside_all_mappings_there_is_nothing_to_unregister() -> Outcome {
    begin!(statements: ["UNREG-005"], axes: [Memory::Anon])?;
    let uffd = given::uffd(0)?;
    let page = Memory::Anon.page_size();
    let last = lay::last_page()?;
    lay::hole(Page { start: last, size: page })?;
    for start in [0, page, last] {
        uffd.unregister(Range::new(start as u64, page as u64)).is_refused(Errno::EINVAL)?;
    }
    Ok(())
}

/// One mapping that could not be registered, such as a regular file, refuses the whole range.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unfit_mapping_refuses_the_range(#[values(At::First, At::Middle, At::Last)] at: At) -> Outcome {
    begin!(statements: ["UNREG-004"], axes: [at])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(3)?);
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let index = at.index(3);
    let unfit = region.page(index);
    let file = regular_file(unfit.size)?;
    lay::file(unfit.range(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE, file.as_fd())?;
    let [one, other] = [(index + 1) % 3, (index + 2) % 3].map(|rest| region.page(rest));
    let (waiter, sleep) = tracking::delivered(&uffd, one, Mode::MISSING)?;
    for range in [region.range(), unfit.range()] {
        uffd.unregister(range).is_refused(Errno::EINVAL)?;
    }
    waiter.is_still_in(sleep)?;
    tracking::delivered(&uffd, other, Mode::MISSING)?;
    lay::anon(unfit, libc::PROT_READ | libc::PROT_WRITE)?;
    uffd.unregister(region.range()).succeeds()?;
    tracking::nothing(&region)
}

/// A range of another userfaultfd is refused and stays registered; so is a range of which it owns a part.
#[apply(one_of_each_class)]
fn a_range_of_another_userfaultfd_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-008"], axes: [memory, Mode::MISSING])?;
    let kept = Kept::new(memory)?;
    let other = given::uffd(0)?;
    for (first, count) in [(0, 3), (0, 1), (1, 1), (2, 1)] {
        other.unregister(kept.region.pages(first, count)).is_refused(Errno::EINVAL)?;
    }
    kept.is_unchanged()?;
    other.has_nothing_to_read()?;
    kept.works()
}

/// What lies beside a range of another userfaultfd stays registered too when both are named in one call.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_unregistered_beside_a_range_of_another() -> Outcome {
    begin!(statements: ["UNREG-008"], axes: [Memory::Anon, Mode::MISSING])?;
    let (owner, other, region) = (given::uffd(0)?, given::uffd(0)?, Memory::Anon.map(3)?);
    given::register(&owner, region.pages(0, 1), Mode::MISSING)?;
    given::register(&other, region.pages(2, 1), Mode::MISSING)?;
    let sides = [(region.pages(0, 1), Mode::MISSING), (region.pages(2, 1), Mode::MISSING)];
    let waiters = [
        tracking::delivered(&owner, region.page(0), Mode::MISSING)?,
        tracking::delivered(&other, region.page(2), Mode::MISSING)?,
    ];
    for uffd in [&owner, &other] {
        uffd.unregister(region.range()).is_refused(Errno::EINVAL)?;
        tracking::just(&region, &sides)?;
        for (waiter, sleep) in &waiters {
            waiter.is_still_in(*sleep)?;
        }
    }
    owner.unregister(region.pages(0, 2)).succeeds()?;
    tracking::just(&region, &sides[1..])
}

/// An argument that cannot be read is refused with `EFAULT`.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unreadable_argument_is_refused(
    #[values(Flaw::Nowhere, Flaw::Inaccessible, Flaw::LastUnmapped)] flaw: Flaw,
) -> Outcome {
    begin!(statements: ["UNREG-017"], axes: [flaw])?;
    let kept = Kept::new(Memory::Anon)?;
    let Range { start, len } = kept.region.range();
    for address in flawed(flaw, &[start, len])? {
        let reply = kept.uffd.ioctl("UFFDIO_UNREGISTER", UFFDIO_UNREGISTER, address);
        ensure_eq!(reply.result, Err(Errno::EFAULT), "UFFDIO_UNREGISTER with its argument at {address:#x}");
    }
    kept.works()
}

/// The argument is only read: it may lie in read-only memory, and comes back as it was.
#[rstest]
#[test_attr(registered(conformance))]
fn the_argument_is_not_written() -> Outcome {
    begin!(statements: ["UNREG-001"], axes: [Memory::Anon, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(1)?);
    let words = [region.range().start, region.range().len];
    given::register(&uffd, region.range(), Mode::MISSING)?;
    for address in flawed(Flaw::ReadOnly, &words)? {
        let reply = uffd.ioctl("UFFDIO_UNREGISTER", UFFDIO_UNREGISTER, address);
        ensure_eq!(reply.result, Ok(0), "UFFDIO_UNREGISTER with a read-only argument");
    }
    tracking::nothing(&region)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let argument = Argument::new(&words)?;
    let reply = uffd.ioctl("UFFDIO_UNREGISTER", UFFDIO_UNREGISTER, argument.address());
    ensure_eq!(reply.result, Ok(0), "UFFDIO_UNREGISTER");
    ensure_eq!(argument.words(), words, "the argument after the call");
    tracking::nothing(&region)
}

/// Once the memory of the userfaultfd's process is gone, the call is refused with `ENOMEM`.
#[rstest]
#[test_attr(registered(conformance))]
fn a_target_that_is_gone_is_refused(#[values(Gone::Exited, Gone::Execed)] how: Gone) -> Outcome {
    begin!(statements: ["UNREG-015"], axes: [how])?;
    let target = gone::target(how, Memory::Anon, Some(Mode::MISSING))?;
    target.uffd.unregister(target.range).is_refused(Errno::ENOMEM)?;
    target.uffd.has_nothing_to_read()
}
