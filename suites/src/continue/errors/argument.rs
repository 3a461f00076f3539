//! Arguments that the kernel cannot read or write.

use crate::argument::Flaw;
use crate::family::argument;
use crate::family::{Call, hugepages};
use crate::prelude::*;

/// An argument that cannot be read is refused with `EFAULT`.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unreadable_argument_is_refused(#[values(Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["COPY-026"], axes: [memory, Mode::MINOR])?;
    argument::unreadable_is_refused(Call::Continue, memory)
}

/// When `mapped` cannot be written the page is there all the same, and nobody is woken.
#[apply(one_of_each_class)]
fn an_unwritable_result_field_fails_a_call_that_is_done(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-027"],
        axes: [memory, Mode::MINOR, Flaw::ReadOnly],
        needs: [hugepages(memory, 3)]
    )?;
    argument::unwritable_field_fails_a_fill_that_is_done(Call::Continue, memory, Flaw::ReadOnly)
}

/// It is the same where memory ends just before `mapped`.
#[rstest]
#[test_attr(registered(conformance))]
fn a_result_field_that_is_not_there_fails_a_call_that_is_done() -> Outcome {
    begin!(statements: ["COPY-027"], axes: [Memory::ShmemMemfd, Mode::MINOR, Flaw::LastUnmapped])?;
    argument::unwritable_field_fails_a_fill_that_is_done(Call::Continue, Memory::ShmemMemfd, Flaw::LastUnmapped)
}

/// A call that is refused does not write `mapped`, and so does not mind if it cannot.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unwritable_result_field_does_not_matter_to_a_refusal(
    #[values(Flaw::ReadOnly, Flaw::LastUnmapped)] argument: Flaw,
) -> Outcome {
    begin!(statements: ["CONT-006"], axes: [Memory::ShmemMemfd, Mode::MINOR, argument])?;
    argument::unwritable_field_does_not_matter_to_a_refusal(Call::Continue, Memory::ShmemMemfd, argument)
}
