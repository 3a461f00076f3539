//! Destinations that `UFFDIO_COPY` does not take.

use crate::family::{self, Call, foreign, layout, modes, range};
use crate::prelude::*;

/// Before the handshake it gives `EINVAL`.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_copied_before_the_handshake() -> Outcome {
    begin!(statements: ["API-020"])?;
    family::handshake::nothing_works_before_it(Call::Copy, Memory::Anon)
}

/// A range that is unaligned, empty, wraps around or lies beyond the address space is refused.
#[apply(one_of_each_class)]
fn a_flawed_range_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-009"], axes: [memory, Mode::MISSING])?;
    range::flaws_are_refused(Call::Copy, memory)
}

/// The last page below the end of the address space is an ordinary range.
#[rstest]
#[test_attr(registered(conformance))]
fn the_last_page_of_the_address_space_is_no_flaw() -> Outcome {
    begin!(statements: ["COPY-009", "COPY-020"], axes: [Memory::Anon])?;
    range::the_last_page_is_a_range(Call::Copy)
}

/// On hugetlb a range that is not made of whole hugepages is refused, and the result field says so.
#[rstest]
#[test_attr(registered(conformance))]
fn parts_of_a_hugepage_are_refused(
    #[values(Memory::Hugetlb, Memory::HugetlbFile, Memory::HugetlbPrivate, Memory::HugetlbMemfdPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-035"], axes: [memory, Mode::MISSING])?;
    range::parts_of_hugepages_are_refused(Call::Copy, memory)
}

/// Each mode bit that is not defined is refused.
#[apply(one_of_each_class)]
fn an_unknown_mode_bit_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-015"], axes: [memory, Mode::MISSING])?;
    modes::unknown_bits_are_refused(Call::Copy, memory)
}

/// `UFFDIO_COPY_MODE_WP` is refused where the range is not registered for write protection.
#[apply(one_of_each_class)]
fn mode_wp_needs_a_range_registered_for_it(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-016"],
        axes: [memory, Mode::MISSING],
        needs: [Need::Feature(UFFD_FEATURE_PAGEFAULT_FLAG_WP)]
    )?;
    modes::wp_needs_wp(Call::Copy, memory, UFFDIO_COPY_MODE_WP)
}

/// A range that is registered for other faults than missing ones is filled all the same.
#[apply(one_of_each_class)]
fn any_register_mode_will_do(memory: Memory, #[values(Mode::WP, Mode::MINOR)] mode: Mode) -> Outcome {
    begin!(statements: ["COPY-019"], axes: [memory, mode])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    given::register(&uffd, region.range(), mode)?;
    let source = given::source(region.page_size(), Pattern::new(1))?;
    uffd.copy(region.page(0).range(), source.start() as u64, 0).does(region.page_size() as u64)?;
    family::holds(region.page(0), Pattern::new(1))?;
    family::all_absent([region.page(1)])?;
    uffd.has_nothing_to_read()
}

/// A range that is not registered or not mapped is not found.
#[apply(one_of_each_class)]
fn an_unregistered_range_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-020"], axes: [memory, Mode::MISSING])?;
    layout::unregistered_is_not_found(Call::Copy, memory)
}

/// A range over two mappings is not found, though both are registered.
#[apply(one_of_each_class)]
fn a_range_over_two_mappings_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-021"], axes: [memory, Mode::MISSING])?;
    layout::two_mappings_are_not_one_range(Call::Copy, memory)
}

/// A range over pages that two userfaultfds have registered is not found.
#[apply(one_of_each_class)]
fn a_range_over_two_registrations_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-021"], axes: [memory, Mode::MISSING])?;
    layout::two_registrations_are_not_one_range(Call::Copy, memory)
}

/// A range that begins before the registered pages or ends behind them is not found.
#[apply(one_of_each_class)]
fn a_range_larger_than_the_registration_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-020", "COPY-021"], axes: [memory, Mode::MISSING])?;
    layout::more_than_the_registration_is_not_found(Call::Copy, memory)
}

/// A range that runs past the end of its mapping is not found.
#[apply(one_of_each_class)]
fn a_range_past_the_end_of_its_mapping_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-022"], axes: [memory, Mode::MISSING])?;
    layout::past_the_end_is_not_found(Call::Copy, memory)
}

/// Another userfaultfd of the process may fill the page, and wakes nobody who waits at this one.
#[apply(one_of_each_class)]
fn a_foreign_userfaultfd_fills_without_waking(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-023"], axes: [memory, Mode::MISSING])?;
    foreign::fills_without_waking(Call::Copy, memory)
}
