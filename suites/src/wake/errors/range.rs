//! Ranges and arguments that `UFFDIO_WAKE` does not take.

use crate::family::{self, Call, argument, range};
use crate::prelude::*;

/// Before the handshake it gives `EINVAL`.
#[rstest]
#[test_attr(registered(conformance))]
fn nobody_is_woken_before_the_handshake() -> Outcome {
    begin!(statements: ["API-020"])?;
    family::handshake::nothing_works_before_it(Call::Wake, Memory::Anon)
}

/// A range that is unaligned, empty, wraps around or lies beyond the address space is refused.
#[apply(one_of_each_class)]
fn a_flawed_range_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["WAKE-005"], axes: [memory, Mode::MISSING])?;
    range::flaws_are_refused(Call::Wake, memory)
}

/// An argument that cannot be read is refused with `EFAULT`.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unreadable_argument_is_refused(#[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["WAKE-005"], axes: [memory, Mode::MISSING])?;
    argument::unreadable_is_refused(Call::Wake, memory)
}

/// An argument that cannot be written will do: nothing is written to it.
#[rstest]
#[test_attr(registered(conformance))]
fn a_read_only_argument_will_do() -> Outcome {
    begin!(statements: ["WAKE-005"], axes: [Memory::Anon, Mode::MISSING])?;
    argument::read_only_is_enough(Call::Wake, Memory::Anon)
}
