//! Who is woken by `UFFDIO_COPY` and who is not.

use crate::prelude::*;
use crate::waiters::{self, Addresses};

/// Copying a page wakes every thread that waits for it.
#[apply(every_memory)]
fn every_waiter_of_the_page_is_woken(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-004"], axes: [memory, Mode::MISSING])?;
    waiters::every_waiter_of_the_page_is_woken(memory, Resolver::Copy)
}

/// With DONTWAKE every thread that waits for the page sleeps on until `UFFDIO_WAKE`.
#[apply(every_memory)]
fn dontwake_leaves_every_waiter_asleep(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-005"], axes: [memory, Mode::MISSING])?;
    waiters::dontwake_leaves_every_waiter_asleep(memory, Resolver::Copy)
}

/// Copying a page wakes nobody who waits for the page before or behind it.
#[apply(every_memory)]
fn waiters_of_other_pages_sleep_on(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-004"], axes: [memory, Mode::MISSING])?;
    waiters::waiters_of_other_pages_sleep_on(memory, Resolver::Copy)
}

/// Copying several pages wakes the waiters of the first to the last byte, and nobody next to them.
#[apply(one_of_each_class)]
fn several_pages_wake_just_their_waiters(
    memory: Memory,
    #[values(Addresses::OfPages, Addresses::Exact)] addresses: Addresses,
) -> Outcome {
    begin!(statements: ["COPY-004"], axes: [memory, Mode::MISSING, addresses])?;
    waiters::several_pages_wake_just_their_waiters(memory, Resolver::Copy, addresses)
}

/// A copy that stops at a page that is there wakes the waiters of the pages before it, and nobody else.
#[apply(one_of_each_class)]
fn partial_progress_wakes_what_was_done(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-004", "COPY-007"], axes: [memory, Mode::MISSING])?;
    waiters::partial_progress_wakes_what_was_done(memory, Resolver::Copy)
}

/// A fault whose message is unread is resolved too, and the message is gone.
#[apply(one_of_each_class)]
fn unread_fault_is_resolved_with_its_message(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-004"], axes: [memory, Mode::MISSING])?;
    waiters::unread_fault_is_resolved_with_its_message(memory, Resolver::Copy)
}

/// With DONTWAKE an unread message stays to be read.
#[apply(one_of_each_class)]
fn dontwake_leaves_the_message_to_be_read(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-005"], axes: [memory, Mode::MISSING])?;
    waiters::dontwake_leaves_the_message_to_be_read(memory, Resolver::Copy)
}
