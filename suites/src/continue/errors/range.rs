//! Ranges that `UFFDIO_CONTINUE` does not take.

use uffd_harness::kernel;

use crate::family::partial::{self, Obstacle};
use crate::family::{self, Call, foreign, hugepages, layout, modes, range};
use crate::prelude::*;

/// Before the handshake it gives `EINVAL`.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_continued_before_the_handshake() -> Outcome {
    begin!(statements: ["API-020"], axes: [Memory::ShmemMemfd, Mode::MINOR])?;
    family::handshake::nothing_works_before_it(Call::Continue, Memory::ShmemMemfd)
}

/// A range that is unaligned, empty, wraps around or lies beyond the address space is refused.
#[apply(one_of_each_class)]
fn a_flawed_range_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-006"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    range::flaws_are_refused(Call::Continue, memory)
}

/// On hugetlb a range that is not made of whole hugepages is refused, and the result field says so.
#[rstest]
#[test_attr(registered(conformance))]
fn parts_of_a_hugepage_are_refused(
    #[values(Memory::Hugetlb, Memory::HugetlbFile, Memory::HugetlbMemfdPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["CONT-015"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    range::parts_of_hugepages_are_refused(Call::Continue, memory)
}

/// Each mode bit that is not defined is refused.
#[apply(one_of_each_class)]
fn an_unknown_mode_bit_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-006"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    modes::unknown_bits_are_refused(Call::Continue, memory)
}

/// `UFFDIO_CONTINUE_MODE_WP` is refused where the range is not registered for write protection.
///
/// Before Linux 6.4, which `UFFD_FEATURE_WP_UNPOPULATED` tells, it is a bit like any other that is not defined.
#[apply(one_of_each_class)]
fn mode_wp_needs_a_range_registered_for_it(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-007"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    if kernel::current().has(UFFD_FEATURE_WP_UNPOPULATED) {
        return modes::wp_needs_wp(Call::Continue, memory, UFFDIO_CONTINUE_MODE_WP);
    }
    variant("bit-not-defined");
    modes::bit_is_refused(Call::Continue, memory, UFFDIO_CONTINUE_MODE_WP)
}

/// A page that is mapped already stops it: `mapped` says how far it came, and only what was mapped is woken.
#[apply(one_of_each_class)]
fn a_mapped_page_stops_it(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-003", "CONT-005"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 2)])?;
    partial::stops_at_each_page(Call::Continue, memory, Obstacle::Present)
}

/// A hole of the page cache stops it: `mapped` says how far it came, and only what was mapped is woken.
#[apply(every_memory)]
fn a_hole_of_the_page_cache_stops_it(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-004", "CONT-005"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 2)])?;
    partial::stops_at_each_page(Call::Continue, memory, Obstacle::Hole)
}

/// With DONTWAKE a call that stops half way wakes nobody.
#[apply(one_of_each_class)]
fn dontwake_holds_for_what_was_mapped(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-005", "CONT-014"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 2)])?;
    partial::stops_without_waking(Call::Continue, memory, Obstacle::Hole)
}

/// A range that is not registered or not mapped is not found.
#[apply(one_of_each_class)]
fn an_unregistered_range_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-009"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    layout::unregistered_is_not_found(Call::Continue, memory)
}

/// A range over two mappings is not found, though both are registered.
#[apply(one_of_each_class)]
fn a_range_over_two_mappings_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-009"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    layout::two_mappings_are_not_one_range(Call::Continue, memory)
}

/// A range that begins before the registered pages or ends behind them is not found.
#[apply(one_of_each_class)]
fn a_range_larger_than_the_registration_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-009"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    layout::more_than_the_registration_is_not_found(Call::Continue, memory)
}

/// A range that runs past the end of its mapping is not found.
#[apply(one_of_each_class)]
fn a_range_past_the_end_of_its_mapping_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-009"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 2)])?;
    layout::past_the_end_is_not_found(Call::Continue, memory)
}

/// Another userfaultfd of the process may map the page, and wakes nobody who waits at this one.
#[apply(one_of_each_class)]
fn a_foreign_userfaultfd_maps_without_waking(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-023"], axes: [memory, Mode::MINOR], needs: [hugepages(memory, 3)])?;
    foreign::fills_without_waking(Call::Continue, memory)
}
