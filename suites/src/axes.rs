//! The axes that cases share: lists of memory types, and the ioctl that resolves a fault.

use rstest_reuse::template;
use uffd_harness::case::Axis;
use uffd_harness::memory::Memory;
use uffd_harness::mode::Mode;

/// An ioctl that fills a page and so resolves a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// `UFFDIO_COPY`, of a missing fault.
    Copy,
    /// `UFFDIO_ZEROPAGE`, of a missing fault; hugetlb has none.
    Zeropage,
    /// `UFFDIO_CONTINUE`, of a minor fault.
    Continue,
}

impl Resolver {
    /// The mode in which the faults are registered that it resolves.
    pub const fn fault_mode(self) -> Mode {
        match self {
            Self::Copy | Self::Zeropage => Mode::MISSING,
            Self::Continue => Mode::MINOR,
        }
    }
}

impl Axis for Resolver {
    fn axis(&self) -> &'static str {
        "resolver"
    }
    fn value(&self) -> String {
        match self {
            Self::Copy => "copy",
            Self::Zeropage => "zeropage",
            Self::Continue => "continue",
        }
        .to_owned()
    }
    fn possible(&self, memory: Option<Memory>, mode: Option<Mode>) -> bool {
        let fits_mode = mode.is_none_or(|mode| mode.has(self.fault_mode()));
        fits_mode && (*self != Self::Zeropage || memory.is_none_or(|memory| !memory.is_hugetlb()))
    }
}

/// Where in a range something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The first page.
    First,
    /// A page with others on both sides.
    Middle,
    /// The last page.
    Last,
}

impl At {
    /// The index of that page among `count`.
    pub const fn index(self, count: usize) -> usize {
        match self {
            Self::First => 0,
            Self::Middle => count / 2,
            Self::Last => count - 1,
        }
    }
}

impl Axis for At {
    fn axis(&self) -> &'static str {
        "at"
    }
    fn value(&self) -> String {
        match self {
            Self::First => "first",
            Self::Middle => "middle",
            Self::Last => "last",
        }
        .to_owned()
    }
}

/// A case on every memory type.
#[template]
#[rstest]
#[test_attr(macro_rules_attribute::apply(conformance))]
pub fn every_memory(
    #[values(
        Memory::Anon,
        Memory::AnonThp,
        Memory::ShmemAnon,
        Memory::ShmemMemfd,
        Memory::ShmemTmpfs,
        Memory::ShmemDevZero,
        Memory::ShmemPrivate,
        Memory::Hugetlb,
        Memory::HugetlbMemfd,
        Memory::HugetlbFile,
        Memory::HugetlbPrivate,
        Memory::HugetlbMemfdPrivate,
        Memory::HugetlbFilePrivate,
        Memory::Hugetlb1g,
        Memory::Hugetlb1gPrivate
    )]
    memory: Memory,
) {
}

/// A case on one memory type of each class.
#[template]
#[rstest]
#[test_attr(macro_rules_attribute::apply(conformance))]
pub fn one_of_each_class(
    #[values(
        Memory::Anon,
        Memory::AnonThp,
        Memory::ShmemMemfd,
        Memory::ShmemPrivate,
        Memory::HugetlbMemfd,
        Memory::HugetlbMemfdPrivate
    )]
    memory: Memory,
) {
}

/// A case on every memory type but hugetlb.
#[template]
#[rstest]
#[test_attr(macro_rules_attribute::apply(conformance))]
pub fn every_small_memory(
    #[values(
        Memory::Anon,
        Memory::AnonThp,
        Memory::ShmemAnon,
        Memory::ShmemMemfd,
        Memory::ShmemTmpfs,
        Memory::ShmemDevZero,
        Memory::ShmemPrivate
    )]
    memory: Memory,
) {
}

/// A case on one memory type of each class but hugetlb.
#[template]
#[rstest]
#[test_attr(macro_rules_attribute::apply(conformance))]
pub fn small_of_each_class(
    #[values(Memory::Anon, Memory::AnonThp, Memory::ShmemMemfd, Memory::ShmemPrivate)] memory: Memory,
) {
}

/// A case on every shared mapping: its pages belong to a file that other mappings see.
#[template]
#[rstest]
#[test_attr(macro_rules_attribute::apply(conformance))]
pub fn shared_files(
    #[values(
        Memory::ShmemAnon,
        Memory::ShmemMemfd,
        Memory::ShmemTmpfs,
        Memory::ShmemDevZero,
        Memory::Hugetlb,
        Memory::HugetlbMemfd,
        Memory::HugetlbFile
    )]
    memory: Memory,
) {
}

/// A case on every memory type and every ioctl that fills pages of it.
#[template]
#[rstest]
#[test_attr(macro_rules_attribute::apply(conformance))]
pub fn filled_by_each(
    #[values(
        Memory::Anon,
        Memory::AnonThp,
        Memory::ShmemAnon,
        Memory::ShmemMemfd,
        Memory::ShmemTmpfs,
        Memory::ShmemDevZero,
        Memory::ShmemPrivate,
        Memory::Hugetlb,
        Memory::HugetlbMemfd,
        Memory::HugetlbFile,
        Memory::HugetlbPrivate,
        Memory::HugetlbMemfdPrivate,
        Memory::HugetlbFilePrivate,
        Memory::Hugetlb1g,
        Memory::Hugetlb1gPrivate
    )]
    memory: Memory,
    #[values(Resolver::Copy, Resolver::Zeropage, Resolver::Continue)] resolver: Resolver,
) {
}
