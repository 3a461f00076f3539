//! The buffer of read(2): too short, odd, unwritable: userfaultfd(2), "Reading from the userfaultfd structure".

use uffd_harness::fdinfo::FdInfo;
use uffd_harness::sys;

use super::waiter;
use crate::prelude::*;

/// A buffer shorter than a message is `EINVAL`, with messages queued and without, and takes none of them.
#[rstest]
#[test_attr(registered(conformance))]
fn a_short_buffer_is_refused() -> Outcome {
    begin!(statements: ["POLL-009", "POLL-010"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    let (buffer, content) = (Memory::Anon.map(1)?, Pattern::new(0));
    buffer.page(0).fill(content);
    let at = buffer.start();
    let is_refused = || {
        for nonblocking in [true, false] {
            scene.uffd.set_nonblocking(nonblocking).map_err(broken)?;
            let uffd = scene.uffd.duplicate().map_err(broken)?;
            let reads = Actor::start(move || [0, 1, 8, 16, 31].map(|length| uffd.read_raw(at, length)))?;
            let refused = Ending::Returned([Err(Errno::EINVAL); 5]);
            ensure_eq!(reads.join()?, refused, "short reads, nonblocking: {nonblocking}");
        }
        // Nothing is written, so nowhere will do.
        ensure_eq!(scene.uffd.read_raw(0, 0), Err(Errno::EINVAL), "a read of 0 bytes to nowhere");
        ensure_eq!(scene.uffd.read_raw(0, 31), Err(Errno::EINVAL), "a read of 31 bytes to nowhere");
        ensure_eq!(buffer.page(0).differs(content), None, "the buffer of the refused reads");
        scene.uffd.set_nonblocking(true).map_err(broken)
    };
    is_refused()?;
    scene.uffd.has_nothing_to_read()?;
    let (sleeper, sleep) = waiter(&scene, Mode::MISSING, 0)?;
    is_refused()?;
    scene.uffd.polls(libc::POLLIN)?;
    sleeper.is_still_in(sleep)?;
    scene.uffd.fault_at(0, scene.page(0).at(0))?;
    scene.uffd.has_nothing_to_read()
}

/// With nothing queued a nonblocking read is `EAGAIN` and leaves its buffer alone, whatever its length.
#[rstest]
#[test_attr(registered(conformance))]
fn an_empty_queue_is_eagain() -> Outcome {
    begin!(statements: ["POLL-011"])?;
    let uffd = given::uffd(0)?;
    let (buffer, content) = (Memory::Anon.map(1)?, Pattern::new(0));
    buffer.page(0).fill(content);
    for length in [32, 33, 64, 70, 4096] {
        ensure_eq!(uffd.read_raw(buffer.start(), length), Err(Errno::EAGAIN), "a read of {length} bytes");
    }
    // Nothing is written, so nowhere will do.
    ensure_eq!(uffd.read_raw(0, 32), Err(Errno::EAGAIN), "a read to nowhere");
    ensure_eq!(buffer.page(0).differs(content), None, "the buffer");
    Ok(())
}

/// A read gives as many whole messages as fit, in the order in which they came, and leaves the rest of the buffer alone.
#[rstest]
#[test_attr(registered(conformance))]
fn a_read_gives_whole_messages(#[values(32, 63, 64, 70, 127, 128, 500)] length: usize) -> Outcome {
    begin!(statements: ["POLL-013"], axes: [Length(length)])?;
    let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 4, UFFD_FEATURE_THREAD_ID)?;
    let (buffer, content) = (Memory::Anon.map(1)?, Pattern::new(0));
    let mut expected = Vec::new();
    let mut sleepers = Vec::new();
    for index in 0..4 {
        let (sleeper, sleep) = waiter(&scene, Mode::MISSING, index)?;
        let (address, ptid) = (scene.page(index).start as u64, sleeper.thread() as u32);
        expected.push(Event::Pagefault { flags: 0, address, ptid });
        sleepers.push((sleeper, sleep));
    }
    let mut found = Vec::new();
    while found.len() < 4 {
        buffer.page(0).fill(content);
        let count = scene.uffd.read_raw(buffer.start(), length);
        let fitting = (length / 32).min(4 - found.len()) * 32;
        ensure_eq!(count, Ok(fitting), "a read of {length} bytes after {} messages of 4", found.len());
        let bytes: Vec<u8> = (0..256).map(|index| sys::load_byte(buffer.start() + index)).collect();
        let (messages, rest) = bytes.split_at(fitting);
        ensure!(*rest == content.bytes(256)[fitting..], "the buffer behind {fitting} bytes of messages has changed");
        found.extend(messages.chunks_exact(32).filter_map(|raw| raw.try_into().ok()).map(Message::new));
    }
    for (message, expected) in found.iter().zip(expected) {
        ensure_eq!(message.event(), expected, "a message");
        ensure!(message.unused_is_zero(), "unused bytes of a message are not zero: {:x?}", message.raw);
    }
    scene.uffd.has_nothing_to_read()?;
    for (sleeper, sleep) in sleepers {
        sleeper.is_still_in(sleep)?;
    }
    Ok(())
}

/// The length of a read.
#[derive(Debug, Clone, Copy)]
struct Length(usize);

impl uffd_harness::case::Axis for Length {
    fn axis(&self) -> &'static str {
        "length"
    }
    fn value(&self) -> String {
        self.0.to_string()
    }
}

/// A read into a buffer that cannot be written is `EFAULT` and takes the message: its thread sleeps on, and only a wake helps.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unwritable_buffer_loses_the_message() -> Outcome {
    begin!(statements: ["POLL-015"])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 1)?;
    let buffer = Memory::Anon.map(2)?;
    let (second, size) = (buffer.page(1).start, buffer.page_size());
    buffer.page(1).fill(Pattern::new(0));
    sys::protect(second, size, libc::PROT_READ).map_err(broken)?;
    let (sleeper, mut sleep) = waiter(&scene, Mode::MISSING, 0)?;
    // Nowhere, an inaccessible page, a read-only page, and a message of which only the beginning can be written.
    for at in [0, buffer.end(), second, second - 8, second - 24] {
        scene.uffd.polls(libc::POLLIN)?;
        ensure_eq!(scene.uffd.read_raw(at, 32), Err(Errno::EFAULT), "a read to {at:#x}");
        scene.uffd.polls(0)?;
        scene.uffd.has_nothing_to_read()?;
        sleeper.is_still_in(sleep)?;
        let info = FdInfo::of(&scene.uffd)?;
        ensure_eq!((info.pending, info.total), (0, 1), "the waiters unread and in all");
        scene.uffd.wake(scene.page(0).range()).succeeds()?;
        sleep = sleeper.faults_again(sleep)?;
    }
    ensure_eq!(buffer.page(1).differs(Pattern::new(0)), None, "the read-only page");
    scene.uffd.fault_at(0, scene.page(0).at(0))?;
    scene.uffd.has_nothing_to_read()
}

/// A read that can write some of its messages gives these; the first that it cannot write is lost, and later ones stay.
#[rstest]
#[test_attr(registered(conformance))]
fn a_message_that_does_not_fit_the_memory_is_lost(#[values(1, 2)] writable: usize) -> Outcome {
    begin!(statements: ["POLL-016"], axes: [Length(writable * 32)])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 4)?;
    let buffer = Memory::Anon.map(2)?;
    let (second, size) = (buffer.page(1).start, buffer.page_size());
    sys::protect(second, size, libc::PROT_READ).map_err(broken)?;
    let mut sleepers = Vec::new();
    for index in 0..4 {
        sleepers.push(waiter(&scene, Mode::MISSING, index)?);
    }
    let at = second - writable * 32;
    ensure_eq!(scene.uffd.read_raw(at, 4 * 32), Ok(writable * 32), "a read into a buffer with an unwritable end");
    for index in 0..writable {
        let address = sys::load(at + index * 32 + 16);
        ensure_eq!(address, scene.page(index).start as u64, "the address in message {index}");
    }
    for index in writable + 1..4 {
        scene.uffd.fault_at(0, scene.page(index).at(0))?;
    }
    scene.uffd.has_nothing_to_read()?;
    for (sleeper, sleep) in &sleepers {
        sleeper.is_still_in(*sleep)?;
    }
    // The thread whose message was lost comes back when it is woken.
    scene.uffd.wake(scene.page(writable).range()).succeeds()?;
    sleepers[writable].0.faults_again(sleepers[writable].1)?;
    scene.uffd.fault_at(0, scene.page(writable).at(0))?;
    scene.uffd.has_nothing_to_read()
}
