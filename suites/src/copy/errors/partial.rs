//! Copies that stop at one page of their range.

use crate::family::Call;
use crate::family::partial::{self, Obstacle};
use crate::prelude::*;

/// A page that is there stops the copy: `copy` says how far it came, and only what was filled is woken.
#[apply(every_memory)]
fn a_present_page_stops_it(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-006", "COPY-007", "COPY-008"], axes: [memory, Mode::MISSING])?;
    partial::stops_at_each_page(Call::Copy, memory, Obstacle::Present)
}

/// A source that is readable for the first pages only stops the copy behind them.
#[apply(one_of_each_class)]
fn an_unreadable_source_page_stops_it(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-007", "COPY-012", "COPY-013"], axes: [memory, Mode::MISSING])?;
    partial::stops_at_each_page(Call::Copy, memory, Obstacle::UnreadableSource)
}

/// With DONTWAKE a copy that stops half way wakes nobody.
#[apply(one_of_each_class)]
fn dontwake_holds_for_what_was_copied(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-005", "COPY-007"], axes: [memory, Mode::MISSING])?;
    partial::stops_without_waking(Call::Copy, memory, Obstacle::Present)
}
