//! The bitmask of ioctls that a registration returns: no bit missing, none too many.

use uffd_harness::kernel;

use crate::prelude::*;

/// The mask for a range, `basic` if hugetlb is part of it, on a kernel with these features.
///
/// The bits of UFFDIO_API, REGISTER, UNREGISTER and SET_MODE are about no range and never in it.
pub(super) fn expected(basic: bool, mode: Mode) -> u64 {
    let here = kernel::current();
    [
        (_UFFDIO_WAKE, true),
        (_UFFDIO_COPY, true),
        (_UFFDIO_ZEROPAGE, !basic),
        (_UFFDIO_MOVE, !basic && here.has(UFFD_FEATURE_MOVE)),
        (_UFFDIO_POISON, here.has(UFFD_FEATURE_POISON)),
        (_UFFDIO_WRITEPROTECT, mode.has(Mode::WP)),
        (_UFFDIO_CONTINUE, mode.has(Mode::MINOR)),
        (_UFFDIO_RWPROTECT, mode.has(Mode::RWP)),
    ]
    .into_iter()
    .filter(|(_, offered)| *offered)
    .fold(0, |mask, (bit, _)| mask | 1 << bit)
}

/// Every mode is accepted on every memory that can have it; the mask names just the ioctls for it, `VmFlags` just the modes.
#[apply(every_memory)]
fn each_mode_returns_its_ioctls(
    memory: Memory,
    #[values(
        Mode::MISSING,
        Mode::WP,
        Mode::MINOR,
        Mode::RWP,
        Mode::MISSING_WP,
        Mode::MISSING_MINOR,
        Mode::MISSING_RWP,
        Mode::WP_MINOR,
        Mode::MINOR_RWP,
        Mode::MISSING_WP_MINOR,
        Mode::MISSING_MINOR.and(Mode::RWP)
    )]
    mode: Mode,
) -> Outcome {
    begin!(
        statements: [
            "REG-001", "REG-002", "REG-003", "REG-004", "REG-005", "REG-006", "REG-007", "REG-009", "REG-035",
            "REG-041", "REG-042", "REG-043", "REG-045", "REG-046"
        ],
        axes: [memory, mode]
    )?;
    let uffd = tracking::uffd(mode)?;
    let region = memory.map(3)?;
    let middle = region.pages(1, 1);
    uffd.register(middle, mode.bits()).does(expected(memory.is_hugetlb(), mode))?;
    tracking::just(&region, &[(middle, mode)])
}

/// A private anonymous hugetlb mapping can be registered for MINOR as well, although no such fault can happen in it.
#[rstest]
#[test_attr(registered(conformance))]
fn minor_is_accepted_where_no_minor_fault_happens(#[values(Memory::HugetlbPrivate)] memory: Memory) -> Outcome {
    begin!(
        statements: ["REG-006", "REG-043", "REG-045"],
        axes: [memory],
        needs: [Need::Feature(UFFD_FEATURE_MINOR_HUGETLBFS)]
    )?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    for mode in [Mode::MINOR, Mode::MISSING_MINOR] {
        uffd.register(region.pages(0, 1), mode.bits()).does(expected(true, mode))?;
        tracking::just(&region, &[(region.pages(0, 1), mode)])?;
    }
    Ok(())
}

/// The order in which a hugetlb mapping and another lie in one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    HugetlbFirst,
    HugetlbLast,
}

impl Axis for Order {
    fn axis(&self) -> &'static str {
        "order"
    }
    fn value(&self) -> String {
        if *self == Self::HugetlbFirst { "hugetlb-first" } else { "hugetlb-last" }.to_owned()
    }
}

/// One hugetlb mapping in a range takes ZEROPAGE and MOVE from the mask for all of it.
#[rstest]
#[test_attr(registered(conformance))]
fn hugetlb_anywhere_gives_the_basic_ioctls(
    #[values(Memory::HugetlbMemfd, Memory::HugetlbPrivate)] memory: Memory,
    #[values(Order::HugetlbFirst, Order::HugetlbLast)] order: Order,
) -> Outcome {
    begin!(statements: ["REG-018", "REG-044"], axes: [memory, Mode::MISSING, order])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let other = region.page(usize::from(order == Order::HugetlbFirst));
    lay::anon(other, libc::PROT_READ | libc::PROT_WRITE)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING).does(expected(true, Mode::MISSING))?;
    tracking::just(&region, &[(region.range(), Mode::MISSING)])?;
    uffd.register(other.range(), UFFDIO_REGISTER_MODE_MISSING).does(expected(false, Mode::MISSING))
}
