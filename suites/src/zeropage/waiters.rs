//! Who is woken by `UFFDIO_ZEROPAGE` and who is not.

use crate::prelude::*;
use crate::waiters::{self, Addresses};

/// Zero-filling a page wakes every thread that waits for it.
#[apply(every_small_memory)]
fn every_waiter_of_the_page_is_woken(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-010"], axes: [memory, Mode::MISSING])?;
    waiters::every_waiter_of_the_page_is_woken(memory, Resolver::Zeropage)
}

/// With DONTWAKE every thread that waits for the page sleeps on until `UFFDIO_WAKE`.
#[apply(every_small_memory)]
fn dontwake_leaves_every_waiter_asleep(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-010"], axes: [memory, Mode::MISSING])?;
    waiters::dontwake_leaves_every_waiter_asleep(memory, Resolver::Zeropage)
}

/// Zero-filling a page wakes nobody who waits for the page before or behind it.
#[apply(small_of_each_class)]
fn waiters_of_other_pages_sleep_on(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-010"], axes: [memory, Mode::MISSING])?;
    waiters::waiters_of_other_pages_sleep_on(memory, Resolver::Zeropage)
}

/// Zero-filling several pages wakes the waiters of the first to the last byte, and nobody next to them.
#[apply(small_of_each_class)]
fn several_pages_wake_just_their_waiters(
    memory: Memory,
    #[values(Addresses::OfPages, Addresses::Exact)] addresses: Addresses,
) -> Outcome {
    begin!(statements: ["ZERO-010"], axes: [memory, Mode::MISSING, addresses])?;
    waiters::several_pages_wake_just_their_waiters(memory, Resolver::Zeropage, addresses)
}

/// Zero-filling that stops at a page that is there wakes the waiters of the pages before it, and nobody else.
#[apply(small_of_each_class)]
fn partial_progress_wakes_what_was_done(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-007", "ZERO-010"], axes: [memory, Mode::MISSING])?;
    waiters::partial_progress_wakes_what_was_done(memory, Resolver::Zeropage)
}

/// A fault whose message is unread is resolved too, and the message is gone.
#[apply(small_of_each_class)]
fn unread_fault_is_resolved_with_its_message(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-010"], axes: [memory, Mode::MISSING])?;
    waiters::unread_fault_is_resolved_with_its_message(memory, Resolver::Zeropage)
}

/// With DONTWAKE an unread message stays to be read.
#[apply(small_of_each_class)]
fn dontwake_leaves_the_message_to_be_read(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-010"], axes: [memory, Mode::MISSING])?;
    waiters::dontwake_leaves_the_message_to_be_read(memory, Resolver::Zeropage)
}
