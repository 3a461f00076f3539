//! A target process that is gone, and one whose address space is changing.

use crate::calls;
use crate::family::gone;
use crate::family::pending;
use crate::family::{Call, hugepages};
use crate::gone::Gone;
use crate::prelude::*;

/// When the target process is gone it gives `ESRCH` and leaves `mapped` alone.
#[apply(one_of_each_class)]
fn a_target_that_is_gone_gives_esrch(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-020"], axes: [memory, Mode::MINOR])?;
    gone::gives_esrch(Call::Continue, memory, Gone::Exited)
}

/// A target process that has become another program is as good as gone.
#[rstest]
#[test_attr(registered(conformance))]
fn a_target_that_executed_a_program_gives_esrch() -> Outcome {
    begin!(statements: ["CONT-020"], axes: [Memory::ShmemMemfd, Mode::MINOR])?;
    gone::gives_esrch(Call::Continue, Memory::ShmemMemfd, Gone::Execed)
}

/// While an event waits to be read it gives `EAGAIN`, and so does `mapped`.
#[apply(one_of_each_class)]
fn an_unread_event_holds_it_up(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-019"],
        axes: [memory, Mode::MINOR, calls::Call::Munmap],
        needs: [hugepages(memory, 3)]
    )?;
    pending::holds_up(Call::Continue, memory, calls::Call::Munmap)
}

/// It does not matter which event waits.
#[rstest]
#[test_attr(registered(conformance))]
fn any_unread_event_holds_it_up(
    #[values(calls::Call::Madvise, calls::Call::Mremap, calls::Call::Fork)] event: calls::Call,
) -> Outcome {
    begin!(statements: ["CONT-019"], axes: [Memory::ShmemMemfd, Mode::MINOR, event])?;
    pending::holds_up(Call::Continue, Memory::ShmemMemfd, event)
}
