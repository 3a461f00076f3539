//! Arguments that the kernel cannot read or write.

use crate::argument::Flaw;
use crate::family::Call;
use crate::family::argument;
use crate::prelude::*;

/// An argument that cannot be read is refused with `EFAULT`.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unreadable_argument_is_refused(#[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["COPY-026"], axes: [memory, Mode::MISSING])?;
    argument::unreadable_is_refused(Call::Zeropage, memory)
}

/// When `zeropage` cannot be written the page is there all the same, and nobody is woken.
#[apply(small_of_each_class)]
fn an_unwritable_result_field_fails_a_fill_that_is_done(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-027"],
        axes: [memory, Mode::MISSING, Flaw::ReadOnly]
    )?;
    argument::unwritable_field_fails_a_fill_that_is_done(Call::Zeropage, memory, Flaw::ReadOnly)
}

/// It is the same where memory ends just before `zeropage`.
#[rstest]
#[test_attr(registered(conformance))]
fn a_result_field_that_is_not_there_fails_a_fill_that_is_done() -> Outcome {
    begin!(statements: ["COPY-027"], axes: [Memory::Anon, Mode::MISSING, Flaw::LastUnmapped])?;
    argument::unwritable_field_fails_a_fill_that_is_done(Call::Zeropage, Memory::Anon, Flaw::LastUnmapped)
}

/// A call that is refused does not write `zeropage`, and so does not mind if it cannot.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unwritable_result_field_does_not_matter_to_a_refusal(
    #[values(Flaw::ReadOnly, Flaw::LastUnmapped)] argument: Flaw,
) -> Outcome {
    begin!(statements: ["ZERO-008", "ZERO-009"], axes: [Memory::Anon, argument])?;
    argument::unwritable_field_does_not_matter_to_a_refusal(Call::Zeropage, Memory::Anon, argument)
}
