//! A target process that is gone, and one whose address space is changing.

use crate::family::gone::{self, Gone};
use crate::family::pending::{self, Pending};
use crate::family::{Call, hugepages};
use crate::prelude::*;

/// When the target process is gone it gives `ESRCH` and leaves `mapped` alone.
#[apply(one_of_each_class)]
fn a_target_that_is_gone_gives_esrch(memory: Memory, #[values(Gone::Exited, Gone::Execed)] target: Gone) -> Outcome {
    begin!(statements: ["CONT-020"], axes: [memory, Mode::MINOR, target])?;
    gone::gives_esrch(Call::Continue, memory, target)
}

/// While an event waits to be read it gives `EAGAIN`, and so does `mapped`.
#[apply(one_of_each_class)]
fn an_unread_event_holds_it_up(
    memory: Memory,
    #[values(Pending::Remove, Pending::Unmap, Pending::Remap, Pending::Fork)] event: Pending,
) -> Outcome {
    begin!(statements: ["CONT-019"], axes: [memory, Mode::MINOR, event], needs: [hugepages(memory, 3)])?;
    pending::holds_up(Call::Continue, memory, event)
}
