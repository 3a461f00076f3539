//! Arguments that the kernel cannot read or write.

use crate::argument::Flaw;
use crate::family::Call;
use crate::family::argument;
use crate::prelude::*;

/// An argument that cannot be read is refused with `EFAULT`.
#[apply(one_of_each_class)]
fn an_unreadable_argument_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-026"], axes: [memory, Mode::MISSING])?;
    argument::unreadable_is_refused(Call::Copy, memory)
}

/// When `copy` cannot be written the page is there all the same, and nobody is woken.
#[apply(one_of_each_class)]
fn an_unwritable_result_field_fails_a_copy_that_is_done(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-027"],
        axes: [memory, Mode::MISSING, Flaw::ReadOnly]
    )?;
    argument::unwritable_field_fails_a_fill_that_is_done(Call::Copy, memory, Flaw::ReadOnly)
}

/// It is the same where memory ends just before `copy`.
#[rstest]
#[test_attr(registered(conformance))]
fn a_result_field_that_is_not_there_fails_a_copy_that_is_done() -> Outcome {
    begin!(statements: ["COPY-027"], axes: [Memory::Anon, Mode::MISSING, Flaw::LastUnmapped])?;
    argument::unwritable_field_fails_a_fill_that_is_done(Call::Copy, Memory::Anon, Flaw::LastUnmapped)
}

/// A call that is refused does not write `copy`, and so does not mind if it cannot.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unwritable_result_field_does_not_matter_to_a_refusal(
    #[values(Flaw::ReadOnly, Flaw::LastUnmapped)] argument: Flaw,
) -> Outcome {
    begin!(statements: ["COPY-009", "COPY-015"], axes: [Memory::Anon, argument])?;
    argument::unwritable_field_does_not_matter_to_a_refusal(Call::Copy, Memory::Anon, argument)
}
