//! Modes that are refused: none, unknown ones, and those that do not go together or not with the memory.

use uffd_harness::kernel;

use super::refusal;
use crate::prelude::*;

/// A registration for no mode is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn no_mode_is_refused(#[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-012", "REG-047"], axes: [memory])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    refusal::of(&uffd, &region, region.range(), 0, Errno::EINVAL)?;
    refusal::left_no_trace(&uffd, &region)
}

/// The register modes that this kernel knows.
fn known() -> u64 {
    let here = kernel::current();
    let minor = here.features & (UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_MINOR_SHMEM) != 0;
    [(Mode::MISSING, true), (Mode::WP, true), (Mode::MINOR, minor), (Mode::RWP, here.has(UFFD_FEATURE_RWP))]
        .into_iter()
        .filter(|(_, offered)| *offered)
        .fold(0, |known, (mode, _)| known | mode.bits())
}

/// Each mode bit that the kernel does not know is refused, alone and beside a known one.
#[rstest]
#[test_attr(registered(conformance))]
fn unknown_modes_are_refused(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
) -> Outcome {
    begin!(statements: ["REG-013", "REG-047"], axes: [memory])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    for bit in (0..64).map(|bit| 1_u64 << bit).filter(|bit| bit & known() == 0) {
        for beside in [0, UFFDIO_REGISTER_MODE_MISSING] {
            uffd.register(region.range(), bit | beside).is_refused(Errno::EINVAL)?;
        }
    }
    refusal::left_no_trace(&uffd, &region)
}

/// Anonymous memory has no page cache: MINOR is refused there, alone and beside each other mode.
#[rstest]
#[test_attr(registered(conformance))]
fn minor_on_anonymous_memory_is_refused(#[values(Memory::Anon, Memory::AnonThp)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-008", "REG-047"], axes: [memory])?;
    let uffd = given::uffd(kernel::current().features & UFFD_FEATURE_RWP)?;
    let region = memory.map(2)?;
    for beside in [Mode::MINOR, Mode::MISSING, Mode::WP, Mode::MISSING_WP, Mode::RWP] {
        refusal::of(&uffd, &region, region.range(), Mode::MINOR.and(beside).bits(), Errno::EINVAL)?;
    }
    refusal::left_no_trace(&uffd, &region)
}

/// WP and RWP exclude each other, alone and beside MISSING.
#[apply(one_of_each_class)]
fn wp_with_rwp_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["REG-010", "REG-047"], axes: [memory], needs: [Need::Feature(UFFD_FEATURE_RWP)])?;
    let (uffd, region) = (tracking::uffd(Mode::RWP)?, memory.map(2)?);
    for beside in [Mode::WP, Mode::MISSING] {
        refusal::of(&uffd, &region, region.range(), Mode::WP.and(Mode::RWP).and(beside).bits(), Errno::EINVAL)?;
    }
    refusal::left_no_trace(&uffd, &region)
}
