//! Who is woken: by the fills with and without DONTWAKE, and by WAKE.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::call::{Answer, Call, FILL_WP, PAGE};
use super::{Perversion, honest, new, state};
use crate::uapi::{UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_WAKE, UFFDIO_ZEROPAGE};

/// The three fills: their name, their request, and what is broken if the wrong threads are woken after success, DONTWAKE,
/// partial progress, and failure.
struct Fill {
    names: [&'static str; 11],
    request: &'static [u64],
    wakes: &'static [&'static str],
    dontwake: &'static [&'static str],
    partial: &'static [&'static str],
    failure: &'static [&'static str],
}

const FILLS: [Fill; 3] = [
    Fill {
        names: [
            "copy-dontwake-ignored",
            "copy-wakes-nobody",
            "copy-wakes-first-page-only",
            "copy-wakes-all-but-the-last-page",
            "copy-wakes-one-page-more",
            "copy-wakes-one-page-before",
            "copy-wakes-everyone",
            "copy-partial-wakes-nobody",
            "copy-partial-wakes-the-whole-range",
            "copy-failure-wakes",
            "copy-dontwake-always-with-several-pages",
        ],
        request: &[UFFDIO_COPY],
        wakes: &["COPY-004"],
        dontwake: &["COPY-005"],
        partial: &["COPY-007"],
        failure: &["COPY-004", "COPY-006", "COPY-012"],
    },
    Fill {
        names: [
            "zeropage-dontwake-ignored",
            "zeropage-wakes-nobody",
            "zeropage-wakes-first-page-only",
            "zeropage-wakes-all-but-the-last-page",
            "zeropage-wakes-one-page-more",
            "zeropage-wakes-one-page-before",
            "zeropage-wakes-everyone",
            "zeropage-partial-wakes-nobody",
            "zeropage-partial-wakes-the-whole-range",
            "zeropage-failure-wakes",
            "zeropage-dontwake-always-with-several-pages",
        ],
        request: &[UFFDIO_ZEROPAGE],
        wakes: &["ZERO-010"],
        dontwake: &["ZERO-010"],
        partial: &["ZERO-007", "ZERO-010"],
        failure: &["ZERO-006", "ZERO-010"],
    },
    Fill {
        names: [
            "continue-dontwake-ignored",
            "continue-wakes-nobody",
            "continue-wakes-first-page-only",
            "continue-wakes-all-but-the-last-page",
            "continue-wakes-one-page-more",
            "continue-wakes-one-page-before",
            "continue-wakes-everyone",
            "continue-partial-wakes-nobody",
            "continue-partial-wakes-the-whole-range",
            "continue-failure-wakes",
            "continue-dontwake-always-with-several-pages",
        ],
        request: &[UFFDIO_CONTINUE],
        wakes: &["CONT-014"],
        dontwake: &["CONT-014"],
        partial: &["CONT-005", "CONT-014"],
        failure: &["CONT-003", "CONT-004", "CONT-014"],
    },
];

/// The fill, and then a wake-up of what `extent` makes of the bytes done; nothing of it with DONTWAKE.
fn waking(call: &Call<'_>, extent: impl Fn(u64, u64, u64) -> (u64, u64)) -> Answer {
    if !call.argument.wants_wake() {
        return call.pass();
    }
    let answer = call.quietly();
    let done = call.after().done();
    if done > 0 {
        let (start, len) = extent(call.argument.start(), done, call.page_size());
        if len > 0 {
            call.wake(start, len);
        }
    }
    answer
}

/// Does `more` where the fill stopped in the middle and may wake.
fn partial(call: &Call<'_>, more: impl Fn(&Call<'_>, u64)) -> Answer {
    if !call.argument.wants_wake() {
        return call.pass();
    }
    let answer = call.quietly();
    let done = call.after().done();
    match answer {
        Ok(_) => call.wake(call.argument.start(), call.argument.len()),
        Err(Errno::EAGAIN) if done > 0 => more(call, done),
        Err(_) => {}
    }
    answer
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list: Vec<Perversion> = FILLS.iter().flat_map(by_fills).collect();
    list.extend(by_wake());
    list.extend(by_others());
    list
}

fn by_fills(fill: &'static Fill) -> Vec<Perversion> {
    let names = fill.names;
    let on = |name, breaks, what| new(name, breaks, what);
    vec![
        on(names[0], fill.dontwake, "DONTWAKE is ignored")
            .ioctl(fill.request, |call| call.with(call.argument.without(super::call::DONTWAKE))),
        on(names[1], fill.wakes, "nobody is woken").ioctl(fill.request, |call| call.quietly()),
        on(names[2], fill.wakes, "only who waits for the first page is woken")
            .ioctl(fill.request, |call| waking(call, |start, done, page| (start, done.min(page)))),
        on(names[3], fill.wakes, "who waits for the last page is not woken, unless it is the only one")
            .ioctl(fill.request, |call| {
                waking(call, |start, done, page| (start, if done > page { done - page } else { done }))
            }),
        on(names[4], fill.wakes, "who waits for the page behind is woken too")
            .ioctl(fill.request, |call| waking(call, |start, done, page| (start, done + page))),
        on(names[5], fill.wakes, "who waits for the page before is woken too")
            .ioctl(fill.request, |call| waking(call, |start, done, page| (start - page, done + page))),
        on(names[6], fill.wakes, "everyone is woken").ioctl(fill.request, |call| {
            let answer = call.pass();
            if answer.is_ok() && call.argument.wants_wake() {
                call.wake_all();
            }
            answer
        }),
        on(names[7], fill.partial, "a fill that stops in the middle wakes nobody")
            .ioctl(fill.request, |call| partial(call, |_, _| {})),
        on(names[8], fill.partial, "a fill that stops in the middle wakes the whole range")
            .ioctl(fill.request, |call| partial(call, |call, _| call.wake(call.argument.start(), call.argument.len()))),
        on(names[9], fill.failure, "a fill that fails at once wakes its range").ioctl(fill.request, |call| {
            let answer = call.pass();
            if answer.is_err() && call.argument.is_aligned() && call.after().done() == 0 {
                call.wake(call.argument.start(), call.argument.len());
            }
            answer
        }),
        on(names[10], fill.wakes, "a fill of several pages wakes nobody").ioctl(fill.request, |call| {
            if call.argument.len() > call.page_size() { call.quietly() } else { call.pass() }
        }),
    ]
}

/// WAKE of another range.
fn wake(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_WAKE], hook)
}

/// Whether a message waits to be read.
fn is_unread(call: &Call<'_>) -> bool {
    honest::poll(call.fd, libc::POLLIN, 0).is_ok_and(|events| events & libc::POLLIN != 0)
}

fn by_wake() -> Vec<Perversion> {
    vec![
        wake("wake-does-nothing", &["WAKE-001"], "WAKE succeeds and wakes nobody", |call| {
            if call.argument.is_aligned() { Ok(0) } else { call.pass() }
        }),
        wake("wake-first-page-only", &["WAKE-001"], "only who waits for the first page is woken", |call| {
            let page = call.page_size();
            if call.argument.len() > page { call.with(call.argument.with_len(page)) } else { call.pass() }
        }),
        wake(
            "wake-all-but-the-last-page",
            &["WAKE-001"],
            "who waits for the last page is not woken, unless it is the only one",
            |call| {
                let (len, page) = (call.argument.len(), call.page_size());
                if len > page && len < 1 << 40 { call.with(call.argument.with_len(len - page)) } else { call.pass() }
            },
        ),
        wake(
            "wake-all-but-the-first-page",
            &["WAKE-001"],
            "who waits for the first page is not woken, unless it is the only one",
            |call| {
                let (len, page, start) = (call.argument.len(), call.page_size(), call.argument.start());
                if len > page && len < 1 << 40 {
                    call.with(call.argument.with_start(start + page).with_len(len - page))
                } else {
                    call.pass()
                }
            },
        ),
        wake("wake-one-page-more", &["WAKE-002"], "who waits for the page behind is woken too", |call| {
            let answer = call.pass();
            if answer.is_ok() {
                call.wake(call.argument.end(), call.page_size());
            }
            answer
        }),
        wake("wake-one-page-before", &["WAKE-002"], "who waits for the page before is woken too", |call| {
            let (answer, page) = (call.pass(), call.page_size());
            if answer.is_ok() && call.argument.start() > page {
                call.wake(call.argument.start() - page, page);
            }
            answer
        }),
        wake("wake-everyone", &["WAKE-002"], "everyone is woken", |call| {
            let answer = call.pass();
            if answer.is_ok() {
                call.wake_all();
            }
            answer
        }),
        wake("wake-read-faults-only", &["WAKE-003"], "faults that nobody has read are not woken", |call| {
            if call.argument.is_aligned() && is_unread(call) { Ok(0) } else { call.pass() }
        }),
        wake("wake-unread-faults-only", &["WAKE-001", "WAKE-003"], "faults that were read are not woken", |call| {
            if call.argument.is_aligned() && !is_unread(call) { Ok(0) } else { call.pass() }
        }),
        wake("wake-unregistered-refused", &["WAKE-004"], "an unregistered range is ENOENT", |call| {
            let known = state::own_at(call.fd, call.argument.start()).is_some();
            call.pass().and_then(|value| if known { Ok(value) } else { Err(Errno::ENOENT) })
        }),
        wake(
            "wake-unregistered-ignored",
            &["UNREG-010", "WAKE-004"],
            "WAKE of an unregistered range succeeds and wakes nobody",
            |call| {
                let known = state::own_at(call.fd, call.argument.start()).is_some();
                if known || !call.argument.is_aligned() { call.pass() } else { Ok(0) }
            },
        ),
        wake("wake-unmapped-refused", &["WAKE-004"], "an unmapped range is ENOENT", |call| {
            let mapped = !super::vmas::within(call.argument.start(), call.argument.end()).is_empty();
            call.pass().and_then(|value| if mapped { Ok(value) } else { Err(Errno::ENOENT) })
        }),
        wake("wake-of-nobody-is-eagain", &["WAKE-004"], "WAKE fails if it wakes nobody", |call| {
            let waiters = || {
                honest::fdinfo(call.fd).ok()?.lines().find_map(|line| line.strip_prefix("total:\t").map(str::to_owned))
            };
            let before = waiters();
            call.pass().and_then(|value| if waiters() == before { Err(Errno::EAGAIN) } else { Ok(value) })
        }),
        wake("wake-returns-1", &["WAKE-001"], "WAKE returns 1", |call| call.pass().map(|_| 1)),
        wake("wake-unaligned-accepted", &["WAKE-005"], "an unaligned range is rounded", |call| {
            if call.argument.len() == 0 || call.argument.is_aligned() {
                call.pass()
            } else {
                call.with(call.argument.rounded(PAGE))
            }
        }),
        wake("wake-unaligned-wakes", &["WAKE-005"], "an unaligned range is refused, and woken", |call| {
            let answer = call.pass();
            if answer == Err(Errno::EINVAL) && call.argument.len() < 1 << 40 {
                let rounded = call.argument.rounded(PAGE);
                call.wake(rounded.start(), rounded.len());
            }
            answer
        }),
        wake("wake-length-0-accepted", &["WAKE-005"], "length 0 succeeds", |call| {
            let nothing = call.argument.len() == 0 && call.argument.start().is_multiple_of(PAGE);
            if nothing { Ok(0) } else { call.pass() }
        }),
        wake("wake-length-0-wakes-everyone", &["WAKE-005"], "length 0 is refused, and wakes everyone", |call| {
            if call.argument.len() == 0 {
                call.wake_all();
            }
            call.pass()
        }),
        wake("wake-bad-range-accepted", &["WAKE-005"], "a range that wraps or is out of reach succeeds", |call| {
            call.pass().or_else(|errno| if call.argument.is_aligned() { Ok(0) } else { Err(errno) })
        }),
        new("wake-efault-is-einval", &["WAKE-005"], "a structure out of reach is EINVAL").unread(
            |_, request, answer| {
                answer.map_err(
                    |errno| if request == UFFDIO_WAKE && errno == Errno::EFAULT { Errno::EINVAL } else { errno },
                )
            },
        ),
        wake("wake-writes-its-argument", &["WAKE-005"], "WAKE is EFAULT if its structure cannot be written", |call| {
            let answer = call.pass();
            if answer.is_ok() && !call.is_writable() { Err(Errno::EFAULT) } else { answer }
        }),
        wake("wake-target-gone-is-esrch", &["WAKE-006", "LIFE-001"], "WAKE for an exited process is ESRCH", |call| {
            let gone = call.has_lost_its_target();
            call.pass().and_then(|value| if gone { Err(Errno::ESRCH) } else { Ok(value) })
        }),
        wake("wake-waits-for-events", &["WAKE-007"], "WAKE is EAGAIN while an event is pending", |call| {
            if call.has_pending_event() { Err(Errno::EAGAIN) } else { call.pass() }
        }),
        wake("wake-wakes-anothers", &["WAKE-008"], "WAKE wakes those of another userfaultfd too", |call| {
            let answer = call.pass();
            if answer.is_ok() {
                for other in state::others(call.fd) {
                    let words = [call.argument.start(), call.argument.len()];
                    let _ = super::call::also(other, UFFDIO_WAKE, &words, call.argument);
                }
            }
            answer
        }),
    ]
}

/// A call of this process may have woken somebody.
static WOKEN: AtomicBool = AtomicBool::new(false);

fn by_others() -> Vec<Perversion> {
    vec![
        new("wake-up-once-only", &["LIFE-016"], "of the wake-ups by several handlers only the first reaches anybody")
            .ioctl(&[UFFDIO_COPY, UFFDIO_WAKE], |call| {
                // Noted before the call: whom it wakes may be quicker than this thread.
                if !WOKEN.swap(true, Ordering::Relaxed) {
                    call.pass()
                } else if call.request() == UFFDIO_WAKE {
                    Ok(0)
                } else {
                    call.quietly()
                }
            }),
        new(
            "fill-through-another-wakes",
            &["COPY-023"],
            "a fill through another userfaultfd wakes the owner's waiters",
        )
        .ioctl(&[UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_CONTINUE], |call| {
            let answer = call.pass();
            if answer.is_ok() {
                for other in state::others(call.fd) {
                    let words = [call.argument.start(), call.argument.len()];
                    let _ = super::call::also(other, UFFDIO_WAKE, &words, call.argument);
                }
            }
            answer
        }),
        new("fill-through-another-refused", &["COPY-023"], "a fill through another userfaultfd is refused").ioctl(
            &[UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_CONTINUE],
            |call| {
                let start = call.argument.start();
                let foreign = state::own_at(call.fd, start).is_none() && state::registered_at(start).is_some();
                if foreign { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        new("fill-unwritable-wakes", &["COPY-027"], "a fill wakes although its answer cannot be written").ioctl(
            &[UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_CONTINUE],
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EFAULT) && call.after().field() == call.argument.field() {
                    call.wake(call.argument.start(), call.argument.len());
                }
                answer
            },
        ),
        new("copy-with-wp-wakes-nobody", &["COPY-004", "COPY-017"], "COPY with MODE_WP wakes nobody").ioctl(
            &[UFFDIO_COPY],
            |call| {
                if call.argument.mode() & FILL_WP == 0 { call.pass() } else { call.quietly() }
            },
        ),
        new("continue-with-wp-wakes-nobody", &["CONT-008", "CONT-014"], "CONTINUE with MODE_WP wakes nobody").ioctl(
            &[UFFDIO_CONTINUE],
            |call| {
                if call.argument.mode() & FILL_WP == 0 { call.pass() } else { call.quietly() }
            },
        ),
    ]
}
