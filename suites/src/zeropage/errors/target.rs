//! A target process that is gone, and one whose address space is changing.

use crate::calls;
use crate::family::Call;
use crate::family::gone;
use crate::family::pending;
use crate::gone::Gone;
use crate::prelude::*;

/// When the target process is gone it gives `ESRCH` and leaves `zeropage` alone.
#[apply(small_of_each_class)]
fn a_target_that_is_gone_gives_esrch(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-013"], axes: [memory, Mode::MISSING])?;
    gone::gives_esrch(Call::Zeropage, memory, Gone::Exited)
}

/// A target process that has become another program is as good as gone.
#[rstest]
#[test_attr(registered(conformance))]
fn a_target_that_executed_a_program_gives_esrch() -> Outcome {
    begin!(statements: ["ZERO-013"], axes: [Memory::Anon, Mode::MISSING])?;
    gone::gives_esrch(Call::Zeropage, Memory::Anon, Gone::Execed)
}

/// While an event waits to be read it gives `EAGAIN`, and so does `zeropage`.
#[apply(small_of_each_class)]
fn an_unread_event_holds_it_up(memory: Memory) -> Outcome {
    begin!(
        statements: ["ZERO-012"],
        axes: [memory, Mode::MISSING, calls::Call::Munmap]
    )?;
    pending::holds_up(Call::Zeropage, memory, calls::Call::Munmap)
}

/// It does not matter which event waits.
#[rstest]
#[test_attr(registered(conformance))]
fn any_unread_event_holds_it_up(
    #[values(calls::Call::Madvise, calls::Call::Mremap, calls::Call::Fork)] event: calls::Call,
) -> Outcome {
    begin!(statements: ["ZERO-012"], axes: [Memory::Anon, Mode::MISSING, event])?;
    pending::holds_up(Call::Zeropage, Memory::Anon, event)
}
