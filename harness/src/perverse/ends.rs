//! Signals, exits and forks of who waits: what ends a wait, what is left of it, and what a child inherits.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::effect::Effect;
use super::{Perversion, honest, new};
use crate::actor::task;
use crate::memory::vma;
use crate::sys;
use crate::uapi::UFFDIO_COPY;
use crate::uffd::Range;

/// Whether the first thread of the process waits for a userfault.
fn waits(process: i32) -> bool {
    task::waits_for_userfault(process, process)
}

/// The ranges of this process that are registered, as the kernel has it.
fn registered() -> Vec<Range> {
    let all = vma::within(Range::new(0, i64::MAX as u64)).unwrap_or_default();
    all.iter()
        .filter(|vma| !vma.uffd_flags().is_empty())
        .map(|vma| Range::new(vma.start, vma.end - vma.start))
        .collect()
}

/// Puts empty memory, or a file that ends before it, in the place of the range.
fn replace(range: Range, by_empty_file: bool) -> Result<(), Errno> {
    let (start, length, rights) = (range.start as usize, range.len as usize, libc::PROT_READ | libc::PROT_WRITE);
    let file = if by_empty_file { sys::memfd(libc::MFD_CLOEXEC).ok() } else { None };
    let flags = libc::MAP_PRIVATE | if by_empty_file { 0 } else { libc::MAP_ANONYMOUS };
    let file = file.as_ref().map(std::os::fd::AsFd::as_fd);
    honest::map_over(start, length, rights, flags, file)
}

/// A signal has ended a process that waited.
static ENDED: AtomicBool = AtomicBool::new(false);

/// A signal has come to a thread of this process.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

pub(super) fn list() -> Vec<Perversion> {
    let mut list = signals();
    list.extend(copies());
    list.extend(exits());
    list.extend(forks());
    list
}

/// A perversion that begins when a signal goes to a process that waits.
fn after_a_fatal_signal(name: &'static str, what: &'static str) -> Perversion {
    new(name, &["FAULT-032"], what).effect(|effect, pass| {
        if let Effect::SignalProcess { process, .. } = effect
            && waits(process)
        {
            ENDED.store(true, Ordering::Relaxed);
        }
        pass()
    })
}

fn signals() -> Vec<Perversion> {
    vec![
        after_a_fatal_signal("killed-waiter-stays-in-its-queue", "a killed thread is counted as a waiter for ever")
            .fdinfo(|text| {
                let ended = ENDED.load(Ordering::Relaxed);
                if ended { text.replace("total:\t0\n", "total:\t1\n") } else { text }
            }),
        after_a_fatal_signal("killed-waiter-leaves-pollin", "poll tells of the message of a killed thread").poll(
            |polling| {
                let left = if ENDED.load(Ordering::Relaxed) { libc::POLLIN } else { 0 };
                polling.pass().map(|events| events | left)
            },
        ),
        new("sigterm-does-not-end-a-waiter", &["FAULT-032"], "of all signals only SIGKILL ends a waiter").effect(
            |effect, pass| match effect {
                Effect::SignalProcess { process, signal } if signal != libc::SIGKILL && waits(process) => Ok(0),
                _ => pass(),
            },
        ),
        new("signal-interrupts-a-waiting-call", &["FAULT-037"], "a call that waits for a page is EINTR after a signal")
            .effect(|effect, pass| {
                let answer = pass();
                if matches!(effect, Effect::SignalThread) {
                    SIGNALLED.store(true, Ordering::Relaxed);
                }
                let interrupted = matches!(effect, Effect::ReadInto) && SIGNALLED.load(Ordering::Relaxed);
                if interrupted { Err(Errno::EINTR) } else { answer }
            }),
        new("signal-to-a-waiting-call-lost", &["FAULT-037"], "a signal to a thread that waits in a call is lost")
            .effect(|effect, pass| if matches!(effect, Effect::SignalThread) { Ok(0) } else { pass() }),
    ]
}

fn copies() -> Vec<Perversion> {
    vec![
        new("copy-killed-tells-nothing", &["COPY-047"], "the field copy of a killed thread's COPY is not written")
            .ioctl(&[UFFDIO_COPY], |call| {
                let (answer, after) = call.also(UFFDIO_COPY, &call.argument.words);
                call.tell_field(after.field());
                answer
            }),
        new("copy-goes-to-what-took-the-place", &["COPY-049"], "COPY begins anew where its destination was replaced")
            .ioctl(&[UFFDIO_COPY], |call| match call.pass() {
                Err(Errno::EAGAIN) if call.after().done() == 0 && !call.has_pending_event() => call.pass(),
                answer => answer,
            }),
        new("copy-killed-wakes-nobody", &["COPY-047"], "the COPY of a killed thread wakes nobody").ioctl(
            &[UFFDIO_COPY],
            |call| {
                let answer = call.quietly();
                let done = call.after().done();
                if done > 0 && call.argument.wants_wake() {
                    call.wake(call.argument.start(), done);
                }
                answer
            },
        ),
    ]
}

fn exits() -> Vec<Perversion> {
    vec![
        new("exiting-thread-waits", &["FAULT-051"], "an exiting thread waits for its last page").effect(
            |effect, pass| {
                if let Effect::AtExit { word } = effect {
                    sys::load_byte(word);
                }
                pass()
            },
        ),
        new("core-dump-waits", &["FAULT-051"], "a core dump waits for missing pages").effect(|effect, pass| {
            if matches!(effect, Effect::DumpCore) {
                for range in registered() {
                    sys::load_byte(range.start as usize);
                }
            }
            pass()
        }),
    ]
}

fn forks() -> Vec<Perversion> {
    vec![
        new("child-does-not-inherit-sigbus", &["FAULT-050"], "a child is not registered, with EVENT_FORK or without")
            .effect(|effect, pass| {
                let answer = pass();
                if matches!(effect, Effect::Fork) && answer == Ok(0) {
                    registered().into_iter().try_for_each(|range| replace(range, false))?;
                }
                answer
            }),
        new("child-gets-sigbus-without-event", &["FAULT-050"], "a child gets SIGBUS without EVENT_FORK too").effect(
            |effect, pass| {
                let before = if matches!(effect, Effect::Fork) { registered() } else { Vec::new() };
                let answer = pass();
                if answer == Ok(0) {
                    before.into_iter().try_for_each(|range| replace(range, true))?;
                }
                answer
            },
        ),
    ]
}
