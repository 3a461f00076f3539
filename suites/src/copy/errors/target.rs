//! A target process that is gone, and one whose address space is changing.

use crate::family::Call;
use crate::family::gone::{self, Gone};
use crate::family::pending::{self, Pending};
use crate::prelude::*;

/// When the target process is gone the copy gives `ESRCH` and leaves `copy` alone.
#[apply(one_of_each_class)]
fn a_target_that_is_gone_gives_esrch(memory: Memory, #[values(Gone::Exited, Gone::Execed)] target: Gone) -> Outcome {
    begin!(statements: ["COPY-025"], axes: [memory, Mode::MISSING, target])?;
    gone::gives_esrch(Call::Copy, memory, target)
}

/// While an event waits to be read the copy gives `EAGAIN`, and so does `copy`.
#[apply(one_of_each_class)]
fn an_unread_event_holds_it_up(
    memory: Memory,
    #[values(Pending::Remove, Pending::Unmap, Pending::Remap, Pending::Fork)] event: Pending,
) -> Outcome {
    begin!(statements: ["COPY-024"], axes: [memory, Mode::MISSING, event])?;
    pending::holds_up(Call::Copy, memory, event)
}
