//! Who is woken by `UFFDIO_CONTINUE` and who is not.

use crate::prelude::*;
use crate::waiters::{self, Addresses};

/// Mapping a page of the file wakes every thread that waits for it.
#[apply(every_memory)]
fn every_waiter_of_the_page_is_woken(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-014"], axes: [memory, Mode::MINOR])?;
    waiters::every_waiter_of_the_page_is_woken(memory, Resolver::Continue)
}

/// With DONTWAKE every thread that waits for the page sleeps on until `UFFDIO_WAKE`.
#[apply(every_memory)]
fn dontwake_leaves_every_waiter_asleep(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-014"], axes: [memory, Mode::MINOR])?;
    waiters::dontwake_leaves_every_waiter_asleep(memory, Resolver::Continue)
}

/// Mapping a page of the file wakes nobody who waits for the page before or behind it.
#[apply(one_of_each_class)]
fn waiters_of_other_pages_sleep_on(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-014"],
        axes: [memory, Mode::MINOR],
        needs: [given::hugepages(memory, Mode::MINOR, 3)],
    )?;
    waiters::waiters_of_other_pages_sleep_on(memory, Resolver::Continue)
}

/// Mapping several pages wakes the waiters of the first to the last byte, and nobody next to them.
#[apply(one_of_each_class)]
fn several_pages_wake_just_their_waiters(
    memory: Memory,
    #[values(Addresses::OfPages, Addresses::Exact)] addresses: Addresses,
) -> Outcome {
    begin!(
        statements: ["CONT-014"],
        axes: [memory, Mode::MINOR, addresses],
        needs: [given::hugepages(memory, Mode::MINOR, 4)],
    )?;
    waiters::several_pages_wake_just_their_waiters(memory, Resolver::Continue, addresses)
}

/// A call that stops at a page that is mapped wakes the waiters of the pages before it, and nobody else.
#[apply(one_of_each_class)]
fn partial_progress_wakes_what_was_done(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-005", "CONT-014"],
        axes: [memory, Mode::MINOR],
        needs: [given::hugepages(memory, Mode::MINOR, 3)],
    )?;
    waiters::partial_progress_wakes_what_was_done(memory, Resolver::Continue)
}

/// A fault whose message is unread is resolved too, and the message is gone.
#[apply(one_of_each_class)]
fn unread_fault_is_resolved_with_its_message(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-014"], axes: [memory, Mode::MINOR])?;
    waiters::unread_fault_is_resolved_with_its_message(memory, Resolver::Continue)
}

/// With DONTWAKE an unread message stays to be read.
#[apply(one_of_each_class)]
fn dontwake_leaves_the_message_to_be_read(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-014"], axes: [memory, Mode::MINOR])?;
    waiters::dontwake_leaves_the_message_to_be_read(memory, Resolver::Continue)
}
