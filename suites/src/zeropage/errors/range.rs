//! Ranges that `UFFDIO_ZEROPAGE` does not take.

use crate::family::partial::{self, Obstacle};
use crate::family::{self, Call, foreign, layout, modes, range};
use crate::prelude::*;

/// Before the handshake it gives `EINVAL`.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_filled_before_the_handshake() -> Outcome {
    begin!(statements: ["API-020"])?;
    family::handshake::nothing_works_before_it(Call::Zeropage, Memory::Anon)
}

/// A range that is unaligned, empty, wraps around or lies beyond the address space is refused.
#[apply(small_of_each_class)]
fn a_flawed_range_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-008"], axes: [memory, Mode::MISSING])?;
    range::flaws_are_refused(Call::Zeropage, memory)
}

/// The last page below the end of the address space is an ordinary range.
#[rstest]
#[test_attr(registered(conformance))]
fn the_last_page_of_the_address_space_is_no_flaw() -> Outcome {
    begin!(statements: ["ZERO-008", "ZERO-011"], axes: [Memory::Anon])?;
    range::the_last_page_is_a_range(Call::Zeropage)
}

/// Each mode bit that is not defined is refused.
#[apply(small_of_each_class)]
fn an_unknown_mode_bit_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-009"], axes: [memory, Mode::MISSING])?;
    modes::unknown_bits_are_refused(Call::Zeropage, memory)
}

/// hugetlb has no zero page: registering does not offer the ioctl, and it is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn hugetlb_has_none(
    #[values(Memory::Hugetlb, Memory::HugetlbFile, Memory::HugetlbPrivate, Memory::HugetlbMemfdPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["ZERO-005"], axes: [memory, Mode::MISSING])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let page = region.page(0);
    let offered = given::register(&uffd, region.range(), Mode::MISSING)?;
    ensure!(offered >> _UFFDIO_ZEROPAGE & 1 == 0, "UFFDIO_ZEROPAGE is offered: {offered:#x}");
    let waiter = Actor::access(Access::Read, page.at(0))?;
    let sleep = waiter.falls_asleep()?;
    uffd.fault_at(0, page.start)?;
    for mode in [0, UFFDIO_ZEROPAGE_MODE_DONTWAKE] {
        uffd.zeropage(page.range(), mode).fails(Errno::EINVAL)?;
        uffd.zeropage(region.range(), mode).fails(Errno::EINVAL)?;
    }
    family::all_absent([page, region.page(1)])?;
    waiter.is_still_in(sleep)?;
    uffd.has_nothing_to_read()
}

/// A present page stops it: `zeropage` says how far it came, and only what was filled is woken.
#[apply(every_small_memory)]
fn a_present_page_stops_it(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-006", "ZERO-007"], axes: [memory, Mode::MISSING])?;
    partial::stops_at_each_page(Call::Zeropage, memory, Obstacle::Present)
}

/// With DONTWAKE a call that stops half way wakes nobody.
#[apply(small_of_each_class)]
fn dontwake_holds_for_what_was_filled(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-007", "ZERO-010"], axes: [memory, Mode::MISSING])?;
    partial::stops_without_waking(Call::Zeropage, memory, Obstacle::Present)
}

/// A range that is not registered or not mapped is not found.
#[apply(small_of_each_class)]
fn an_unregistered_range_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-011"], axes: [memory, Mode::MISSING])?;
    layout::unregistered_is_not_found(Call::Zeropage, memory)
}

/// A range over two mappings is not found, though both are registered.
#[apply(small_of_each_class)]
fn a_range_over_two_mappings_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-011"], axes: [memory, Mode::MISSING])?;
    layout::two_mappings_are_not_one_range(Call::Zeropage, memory)
}

/// A range that begins before the registered pages or ends behind them is not found.
#[apply(small_of_each_class)]
fn a_range_larger_than_the_registration_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-011"], axes: [memory, Mode::MISSING])?;
    layout::more_than_the_registration_is_not_found(Call::Zeropage, memory)
}

/// A range that runs past the end of its mapping is not found.
#[apply(small_of_each_class)]
fn a_range_past_the_end_of_its_mapping_is_not_found(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-011"], axes: [memory, Mode::MISSING])?;
    layout::past_the_end_is_not_found(Call::Zeropage, memory)
}

/// Another userfaultfd of the process may fill the page, and wakes nobody who waits at this one.
#[apply(small_of_each_class)]
fn a_foreign_userfaultfd_fills_without_waking(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-023"], axes: [memory, Mode::MISSING])?;
    foreign::fills_without_waking(Call::Zeropage, memory)
}
