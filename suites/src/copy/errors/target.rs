//! A target process that is gone, and one whose address space is changing.

use crate::calls;
use crate::family::Call;
use crate::family::gone;
use crate::family::pending;
use crate::gone::Gone;
use crate::prelude::*;

/// When the target process is gone the copy gives `ESRCH` and leaves `copy` alone.
#[apply(one_of_each_class)]
fn a_target_that_is_gone_gives_esrch(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-025"], axes: [memory, Mode::MISSING])?;
    gone::gives_esrch(Call::Copy, memory, Gone::Exited)
}

/// A target process that has become another program is as good as gone.
#[rstest]
#[test_attr(registered(conformance))]
fn a_target_that_executed_a_program_gives_esrch() -> Outcome {
    begin!(statements: ["COPY-025"], axes: [Memory::Anon, Mode::MISSING])?;
    gone::gives_esrch(Call::Copy, Memory::Anon, Gone::Execed)
}

/// While an event waits to be read the copy gives `EAGAIN`, and so does `copy`.
#[apply(one_of_each_class)]
fn an_unread_event_holds_it_up(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-024"],
        axes: [memory, Mode::MISSING, calls::Call::Munmap]
    )?;
    pending::holds_up(Call::Copy, memory, calls::Call::Munmap)
}

/// It does not matter which event waits.
#[rstest]
#[test_attr(registered(conformance))]
fn any_unread_event_holds_it_up(
    #[values(calls::Call::Madvise, calls::Call::Mremap, calls::Call::Fork)] event: calls::Call,
) -> Outcome {
    begin!(statements: ["COPY-024"], axes: [Memory::Anon, Mode::MISSING, event])?;
    pending::holds_up(Call::Copy, Memory::Anon, event)
}
