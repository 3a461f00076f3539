//! Several threads that fill the pages of one range at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::prelude::*;

/// How many pages of this memory are worth a race.
const fn raced(memory: Memory) -> usize {
    if memory.is_hugetlb() { 2 } else { 47 }
}

/// What thread `thread` copies to page `index`.
const fn copied(thread: usize, index: usize) -> Pattern {
    Pattern::new((0x3000 + thread * 0x1000 + index) as u64)
}

/// Of two threads that copy to the same pages, each page takes one; the other thread is told `EEXIST`.
#[apply(one_of_each_class)]
fn of_two_copies_to_one_page_one_succeeds(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-046"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, raced(memory))?;
    let size = scene.region.page_size();
    let ready = Arc::new(AtomicUsize::new(0));
    let mut threads = Vec::new();
    for thread in 0..2 {
        let source = given::source(raced(memory) * size, Pattern::ZERO)?;
        for index in 0..raced(memory) {
            copied(thread, index).fill(source.start() + index * size, size);
        }
        let (uffd, ready, pages) = (given::duplicate(&scene.uffd)?, Arc::clone(&ready), scene.region.range());
        threads.push(Actor::start(move || {
            ready.fetch_add(1, Ordering::SeqCst);
            while ready.load(Ordering::SeqCst) < 2 {
                std::hint::spin_loop();
            }
            (0..raced(memory) * size)
                .step_by(size)
                .map(|at| uffd.copy(Range::new(pages.start + at as u64, size as u64), (source.start() + at) as u64, 0))
                .collect::<Vec<Reply>>()
        })?);
    }
    let replies = threads[0].is_woken()?.into_iter().zip(threads[1].is_woken()?);
    for (index, (one, other)) in replies.enumerate() {
        let (thread, first, second) = if one.result.is_ok() { (0, one, other) } else { (1, other, one) };
        first.does(size as u64)?;
        second.fails(Errno::EEXIST)?;
        scene.page(index).holds(copied(thread, index))?;
    }
    scene.uffd.has_nothing_to_read()
}

/// Two threads resolve the faults of three others; every fault is resolved and every thread comes through.
#[apply(one_of_each_class)]
fn no_wake_up_is_lost(memory: Memory) -> Outcome {
    begin!(statements: ["LIFE-016"], axes: [memory, Mode::MISSING])?;
    let pages = raced(memory);
    let scene = Scene::new(memory, Mode::MISSING, pages)?;
    let (start, size) = (scene.region.start(), scene.region.page_size());
    let source = given::source(pages * size, Pattern::ZERO)?;
    for index in 0..pages {
        copied(0, index).fill(source.start() + index * size, size);
    }
    let done = Arc::new(AtomicBool::new(false));
    let mut handlers = Vec::new();
    for _ in 0..2 {
        let (uffd, done, from) = (given::duplicate(&scene.uffd)?, Arc::clone(&done), source.start());
        handlers.push(Actor::start(move || {
            while !done.load(Ordering::SeqCst) {
                // Ends early when a message comes; the length bounds only how often `done` is looked at.
                let Ok(message) = uffd.read_message() else {
                    let _ = uffd.poll(1);
                    continue;
                };
                let Event::Pagefault { address, .. } = message.event() else { continue };
                let page = Range::new(address, size as u64);
                let reply = uffd.copy(page, (from + address as usize - start) as u64, 0);
                if reply.result == Err(Errno::EEXIST) {
                    // The other handler has filled it; this thread may have come too late for its wake-up.
                    let _ = uffd.wake(page);
                }
            }
        })?);
    }
    let mut readers = Vec::new();
    for reader in 0..3 {
        readers.push(Actor::start(move || {
            // All begin with the same page; then they meet here and there.
            (0..pages)
                .map(|step| (step * (2 * reader + 1)) % pages)
                .all(|index| Access::Read.make(start + index * size) == copied(0, index).byte(0))
        })?);
    }
    for reader in readers {
        ensure_eq!(reader.join()?, Ending::Returned(true), "whether a thread found in every page what belongs there");
    }
    done.store(true, Ordering::SeqCst);
    for handler in handlers {
        handler.join()?;
    }
    for index in 0..pages {
        scene.page(index).holds(copied(0, index))?;
    }
    scene.uffd.has_nothing_to_read()
}
