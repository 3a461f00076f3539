//! A target process that is gone, and one whose address space is changing.

use crate::family::Call;
use crate::family::gone::{self, Gone};
use crate::family::pending::{self, Pending};
use crate::prelude::*;

/// When the target process is gone it gives `ESRCH` and leaves `zeropage` alone.
#[apply(one_of_each_class_but_hugetlb)]
fn a_target_that_is_gone_gives_esrch(memory: Memory, #[values(Gone::Exited, Gone::Execed)] target: Gone) -> Outcome {
    begin!(statements: ["ZERO-013"], axes: [memory, Mode::MISSING, target])?;
    gone::gives_esrch(Call::Zeropage, memory, target)
}

/// While an event waits to be read it gives `EAGAIN`, and so does `zeropage`.
#[apply(one_of_each_class_but_hugetlb)]
fn an_unread_event_holds_it_up(
    memory: Memory,
    #[values(Pending::Remove, Pending::Unmap, Pending::Remap, Pending::Fork)] event: Pending,
) -> Outcome {
    begin!(statements: ["ZERO-012"], axes: [memory, Mode::MISSING, event])?;
    pending::holds_up(Call::Zeropage, memory, event)
}
