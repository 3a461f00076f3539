//! A target process that is gone, and one whose address space is changing.

use crate::calls;
use crate::family::Call;
use crate::family::gone;
use crate::family::pending;
use crate::gone::Gone;
use crate::prelude::*;

/// When the target process is gone, or has become another program, a wake still succeeds.
#[rstest]
#[test_attr(registered(conformance))]
fn a_wake_succeeds_when_the_target_is_gone(
    #[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory,
    #[values(Gone::Exited, Gone::Execed)] target: Gone,
) -> Outcome {
    begin!(statements: ["WAKE-006"], axes: [memory, Mode::MISSING, target])?;
    gone::still_succeeds(Call::Wake, memory, target)
}

/// A wake does not wait for an event to be read.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unread_event_does_not_hold_it_up(
    #[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory,
    #[values(calls::Call::Madvise, calls::Call::Munmap, calls::Call::Mremap, calls::Call::Fork)] event: calls::Call,
) -> Outcome {
    begin!(statements: ["WAKE-007"], axes: [memory, Mode::MISSING, event])?;
    pending::does_not_hold_up_a_wake(memory, event)
}
