//! Ranges that no memory can have: unaligned, empty, wrapping, beyond the address space, with nothing in them.

use super::refusal;
use crate::prelude::*;

/// What is wrong with a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// The start is no multiple of the page size.
    Start,
    /// The length is no multiple of the page size.
    Len,
    /// The length is zero.
    Empty,
    /// Start and length together wrap around.
    Wrap,
    /// It begins or ends beyond the address space of a process.
    Beyond,
}

impl Axis for Defect {
    fn axis(&self) -> &'static str {
        "defect"
    }
    fn value(&self) -> String {
        match self {
            Self::Start => "start",
            Self::Len => "len",
            Self::Empty => "empty",
            Self::Wrap => "wrap",
            Self::Beyond => "beyond",
        }
        .to_owned()
    }
}

impl Defect {
    /// Ranges with this defect, made from a valid one.
    pub(crate) fn ranges(self, valid: Range) -> Vec<Range> {
        let page = Memory::Anon.page_size() as u64;
        let (start, len) = (valid.start, valid.len);
        let pairs = match self {
            Self::Start => vec![(start + 1, len), (start + 8, len - page), (start + page / 2, len), (start - 1, page)],
            Self::Len => vec![(start, len + 1), (start, len - 1), (start, 1), (start, page / 2), (start, page + 8)],
            Self::Empty => vec![(start, 0), (start + page, 0)],
            // To zero, just past zero, once around to the valid end, and as far as it goes.
            Self::Wrap => vec![
                (start, start.wrapping_neg()),
                (start, start.wrapping_neg() + page),
                (start + page, page.wrapping_neg()),
                (start, page.wrapping_neg()),
            ],
            Self::Beyond => vec![
                (1 << 63, page),
                ((2 * page).wrapping_neg(), page),
                (page.wrapping_neg(), page),
                (start, 1 << 63),
                (start, (1 << 63) - start),
            ],
        };
        pairs.into_iter().map(|(start, len)| Range::new(start, len)).collect()
    }
}

/// A range that is unaligned, empty, wraps or reaches beyond the address space is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn invalid_ranges_are_refused(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
    #[values(Defect::Start, Defect::Len, Defect::Empty, Defect::Wrap, Defect::Beyond)] defect: Defect,
) -> Outcome {
    begin!(statements: ["REG-014", "REG-015", "REG-047"], axes: [memory, defect])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    for range in defect.ranges(region.range()) {
        uffd.register(range, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    }
    refusal::left_no_trace(&uffd, &region)
}

/// The last page of the address space can be registered; a range that goes one page further is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn the_address_space_ends_at_its_last_page() -> Outcome {
    begin!(statements: ["REG-015", "REG-047"])?;
    let uffd = given::uffd(0)?;
    let last = Range::new(lay::last_page()? as u64, Memory::Anon.page_size() as u64);
    for range in [
        Range::new(last.start, 2 * last.len),
        Range::new(last.end(), last.len),
        Range::new(last.start - last.len, 3 * last.len),
    ] {
        uffd.register(range, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    }
    let page = Page { start: last.start as usize, size: last.len as usize };
    tracking::served(&uffd, page, Access::Read)?;
    lay::anon(page, libc::PROT_READ | libc::PROT_WRITE)?;
    uffd.register(last, UFFDIO_REGISTER_MODE_MISSING).does(super::ioctls::expected(false, Mode::MISSING))?;
    tracking::delivered(&uffd, page, Mode::MISSING)?;
    Ok(())
}

/// A range without any mapping is refused, and its neighbours stay as they are.
#[apply(one_of_each_class)]
fn a_range_without_a_mapping_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["REG-016", "REG-047"], axes: [memory])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(3)?);
    let middle = region.page(1);
    lay::hole(middle)?;
    uffd.register(middle.range(), UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    tracking::nothing(&region)?;
    tracking::served(&uffd, region.page(0), Access::Read)?;
    lay::anon(middle, libc::PROT_READ | libc::PROT_WRITE)?;
    tracking::nothing(&region)?;
    uffd.register(middle.range(), UFFDIO_REGISTER_MODE_MISSING).does(super::ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&region, &[(middle.range(), Mode::MISSING)])
}

/// Below the first and above the last mapping of the process there is nothing to register either.
#[rstest]
#[test_attr(registered(conformance))]
fn outside_all_mappings_there_is_nothing_to_register() -> Outcome {
    begin!(statements: ["REG-016", "REG-047"])?;
    let uffd = given::uffd(0)?;
    let page = Memory::Anon.page_size();
    let last = lay::last_page()?;
    lay::hole(Page { start: last, size: page })?;
    for start in [0, page, last] {
        uffd.register(Range::new(start as u64, page as u64), UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    }
    Ok(())
}

/// A hugetlb range must begin and end at whole pages of it, or nothing is registered.
#[rstest]
#[test_attr(registered(conformance))]
fn parts_of_hugetlb_pages_are_refused(
    #[values(
        Memory::Hugetlb,
        Memory::HugetlbMemfd,
        Memory::HugetlbFile,
        Memory::HugetlbPrivate,
        Memory::HugetlbMemfdPrivate,
        Memory::HugetlbFilePrivate
    )]
    memory: Memory,
) -> Outcome {
    begin!(statements: ["REG-033", "REG-047"], axes: [memory])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    let (base, huge) = (Memory::Anon.page_size() as u64, memory.page_size() as u64);
    let Range { start, len } = region.range();
    let parts = [
        Range::new(start + base, len - base),
        Range::new(start + huge / 2, huge),
        Range::new(start, base),
        Range::new(start, huge + base),
        Range::new(start, len - base),
        Range::new(start + huge - base, base),
    ];
    for range in parts {
        uffd.register(range, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
    }
    refusal::left_no_trace(&uffd, &region)
}

/// A range that begins in other memory and ends inside a hugetlb page registers neither.
#[rstest]
#[test_attr(registered(conformance))]
fn an_end_inside_a_hugetlb_page_is_refused(
    #[values(Memory::HugetlbMemfd, Memory::HugetlbPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["REG-019", "REG-033", "REG-047"], axes: [memory])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    lay::anon(region.page(0), libc::PROT_READ | libc::PROT_WRITE)?;
    let base = Memory::Anon.page_size() as u64;
    let Range { start, len } = region.range();
    for range in [Range::new(start, len - base), Range::new(start + base, len / 2)] {
        uffd.register(range, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
        tracking::nothing(&region)?;
    }
    // Only a range that begins in hugetlb memory must begin at a whole page of it.
    let whole = Range::new(start + base, len - base);
    uffd.register(whole, UFFDIO_REGISTER_MODE_MISSING).does(super::ioctls::expected(true, Mode::MISSING))?;
    tracking::just(&region, &[(whole, Mode::MISSING)])
}
