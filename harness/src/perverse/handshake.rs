//! The handshake: what is checked, what a refusal leaves behind, what a feature does; and life before it.

use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;

use super::call::{Answer, Call};
use super::{Perversion, honest, new, state};
use crate::uapi::{
    UFFD_API, UFFD_FEATURE_EVENT_FORK, UFFD_FEATURE_THREAD_ID, UFFDIO_API, UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_MOVE,
    UFFDIO_POISON, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_RWP, UFFDIO_UNREGISTER,
    UFFDIO_WAKE, UFFDIO_WRITEPROTECT, UFFDIO_ZEROPAGE,
};

/// The bit by which the kernel marks a userfaultfd whose handshake is done.
const INITIALIZED: u64 = 1 << 31;

/// Every ioctl that the handshake must come before.
const LATER: &[u64] = &[
    UFFDIO_REGISTER,
    UFFDIO_UNREGISTER,
    UFFDIO_WAKE,
    UFFDIO_COPY,
    UFFDIO_ZEROPAGE,
    UFFDIO_CONTINUE,
    UFFDIO_WRITEPROTECT,
    UFFDIO_POISON,
    UFFDIO_MOVE,
];

/// The features and ioctls of the kernel beneath.
fn offered() -> (u64, u64) {
    static OFFERED: OnceLock<(u64, u64)> = OnceLock::new();
    *OFFERED.get_or_init(|| {
        let mut argument = [UFFD_API, 0, 0];
        let fd = honest::create(crate::uapi::UFFD_USER_MODE_ONLY | libc::O_CLOEXEC);
        let answer = fd.map(|fd| {
            let answer = honest::ioctl(std::os::fd::AsFd::as_fd(&fd), UFFDIO_API, argument.as_mut_ptr() as usize);
            let _ = honest::close(fd);
            answer
        });
        if answer.is_ok() { (argument[1], argument[2]) } else { (0, 0) }
    })
}

fn is_done(call: &Call<'_>) -> bool {
    state::of(call.fd, |descriptor| descriptor.features.is_some())
}

/// A descriptor of this process whose handshake is still to be done.
fn is_early(call: &Call<'_>) -> bool {
    state::of(call.fd, |descriptor| descriptor.creator != 0 && descriptor.features.is_none())
}

pub(super) fn is_sound(call: &Call<'_>) -> bool {
    call.argument.start() == UFFD_API && call.argument.mode() & !offered().0 == 0
}

/// Success, as far as the caller can see.
fn pretend(call: &Call<'_>) -> Answer {
    let (features, ioctls) = offered();
    call.tell(call.argument.with_start(UFFD_API).with_mode(features).with_field(ioctls));
    Ok(0)
}

/// The answer to a handshake, and if it is a refusal for this cause, the structure as the caller passed it.
fn unzeroed(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    cause: fn(&Call<'_>) -> bool,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_API], move |call| {
        let answer = call.pass();
        if matches!(answer, Err(Errno::EINVAL | Errno::EPERM)) && cause(call) {
            call.forget();
        }
        answer
    })
}

/// Another errno for a refusal for this cause.
fn errno(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    from: Errno,
    to: Errno,
    cause: fn(&Call<'_>) -> bool,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_API], move |call| {
        let cause = cause(call);
        call.pass().map_err(|errno| if errno == from && cause { to } else { errno })
    })
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = refusals();
    list.extend(second());
    list.extend(early());
    list
}

fn refusals() -> Vec<Perversion> {
    let forks = |call: &Call<'_>| call.argument.mode() & UFFD_FEATURE_EVENT_FORK != 0;
    let unknown = |call: &Call<'_>| call.argument.mode() & !offered().0 != 0;
    let other_version = |call: &Call<'_>| call.argument.start() != UFFD_API;
    vec![
        new("api-mismatch-accepted", &["API-005"], "any api is taken for 0xAA")
            .ioctl(&[UFFDIO_API], |call| call.with(call.argument.with_start(UFFD_API))),
        errno(
            "api-mismatch-is-enosys",
            &["API-005"],
            "another api is ENOSYS",
            Errno::EINVAL,
            Errno::ENOSYS,
            other_version,
        ),
        unzeroed("api-mismatch-not-zeroed", &["API-005"], "the structure stays after a refused api", other_version),
        new("api-mismatch-half-zeroed", &["API-005"], "ioctls stays after a refused api").ioctl(
            &[UFFDIO_API],
            |call| {
                let answer = call.pass();
                if answer.is_err() {
                    call.tell_field(call.argument.field());
                }
                answer
            },
        ),
        new("api-unknown-feature-ignored", &["API-006"], "unknown features are ignored")
            .ioctl(&[UFFDIO_API], |call| call.with(call.argument.with_mode(call.argument.mode() & offered().0))),
        new("api-nothing-asked-for-refused", &["API-001"], "a handshake that asks for nothing is refused").ioctl(
            &[UFFDIO_API],
            |call| {
                let nothing = call.argument.mode() == 0;
                call.with(if nothing { call.argument.adding(1 << 63) } else { call.argument })
            },
        ),
        new("api-returns-1", &["API-001"], "UFFDIO_API returns 1").ioctl(&[UFFDIO_API], |call| call.pass().map(|_| 1)),
        new("api-unaligned-structure-refused", &["API-001", "API-012"], "a structure that is not aligned is EFAULT")
            .ioctl(
                &[UFFDIO_API],
                |call| if call.address().is_multiple_of(8) { call.pass() } else { Err(Errno::EFAULT) },
            ),
        new("api-structure-across-pages-refused", &["API-001", "API-012"], "a structure across two pages is EFAULT")
            .ioctl(
                &[UFFDIO_API],
                |call| if call.address() % 4096 <= 4096 - 24 { call.pass() } else { Err(Errno::EFAULT) },
            ),
        new(
            "rwp-registered-unasked",
            &["API-002", "API-019"],
            "RWP can be registered although it was not asked for, or not offered",
        )
        .ioctl(&[UFFDIO_REGISTER], |call| match call.pass() {
            Err(Errno::EINVAL) if call.argument.mode() & UFFDIO_REGISTER_MODE_RWP != 0 => {
                call.with(call.argument.with_mode(UFFDIO_REGISTER_MODE_MISSING))
            }
            answer => answer,
        }),
        new("api-high-feature-ignored", &["API-006"], "only the low half of features is looked at")
            .ioctl(&[UFFDIO_API], |call| {
                call.with(call.argument.with_mode(call.argument.mode() & u64::from(u32::MAX)))
            }),
        unzeroed(
            "api-unknown-feature-not-zeroed",
            &["API-006"],
            "the structure stays after an unknown feature",
            unknown,
        ),
        new("api-internal-bit-accepted", &["API-007"], "the kernel's own bit 31 can be asked for")
            .ioctl(&[UFFDIO_API], |call| call.with(call.argument.without(INITIALIZED))),
        new("api-known-feature-refused", &["API-002"], "a feature that is offered is refused").ioctl(
            &[UFFDIO_API],
            |call| {
                let refused = call.argument.mode() & UFFD_FEATURE_THREAD_ID != 0;
                call.with(if refused { call.argument.adding(1 << 63) } else { call.argument })
            },
        ),
        new("api-two-features-refused", &["API-002"], "one feature at a time is all that is granted").ioctl(
            &[UFFDIO_API],
            |call| {
                let many = call.argument.mode().count_ones() > 1;
                call.with(if many { call.argument.adding(1 << 63) } else { call.argument })
            },
        ),
        new("api-refusal-is-final", &["API-008"], "after a refused handshake no other is taken").ioctl(
            &[UFFDIO_API],
            |call| {
                let spoiled = state::of(call.fd, |descriptor| descriptor.count != 0);
                let answer = call.with(if spoiled { call.argument.with_start(0) } else { call.argument });
                if answer == Err(Errno::EINVAL) {
                    state::of(call.fd, |descriptor| descriptor.count = 1);
                }
                answer
            },
        ),
        new(
            "api-refusal-initialises",
            &["API-008"],
            "an unknown feature is refused, and the handshake is done all the same",
        )
        .ioctl(&[UFFDIO_API], |call| {
            let answer = call.pass();
            if answer == Err(Errno::EINVAL) && !is_done(call) {
                let _ = call.also(UFFDIO_API, &[UFFD_API, 0, 0]);
            }
            answer
        }),
        new("api-efault-is-einval", &["API-012"], "a structure out of reach is EINVAL")
            .ioctl(&[UFFDIO_API], |call| {
                call.pass().map_err(|errno| if errno == Errno::EFAULT { Errno::EINVAL } else { errno })
            })
            .unread(|_, request, answer| match answer {
                Err(Errno::EFAULT) if request == UFFDIO_API => Err(Errno::EINVAL),
                other => other,
            }),
        new("api-unwritable-initialises", &["API-012"], "the handshake is done although its answer cannot be written")
            .ioctl(&[UFFDIO_API], |call| {
                let answer = call.pass();
                if answer == Err(Errno::EFAULT) && is_sound(call) {
                    let _ = call.also(UFFDIO_API, &[UFFD_API, call.argument.mode(), 0]);
                }
                answer
            }),
        new("api-fork-without-capability", &["API-013"], "EVENT_FORK needs no capability").ioctl(
            &[UFFDIO_API],
            |call| match call.pass() {
                Err(Errno::EPERM) => {
                    call.forget();
                    call.with(call.argument.without(UFFD_FEATURE_EVENT_FORK))
                }
                answer => answer,
            },
        ),
        new("api-fork-allowed-by-sysctl", &["API-013"], "EVENT_FORK needs no more than the userfaultfd itself").ioctl(
            &[UFFDIO_API],
            |call| match call.pass() {
                Err(Errno::EPERM) if honest::create(libc::O_CLOEXEC).is_ok_and(|fd| honest::close(fd).is_ok()) => {
                    call.forget();
                    call.with(call.argument.without(UFFD_FEATURE_EVENT_FORK))
                }
                answer => answer,
            },
        ),
        errno(
            "api-fork-refusal-is-einval",
            &["API-013", "API-014"],
            "EVENT_FORK without the capability is EINVAL",
            Errno::EPERM,
            Errno::EINVAL,
            forks,
        ),
        unzeroed("api-fork-refusal-not-zeroed", &["API-013"], "the structure stays after a refused EVENT_FORK", forks),
        errno(
            "api-fork-checked-last",
            &["API-014"],
            "an unknown feature is found before EVENT_FORK is",
            Errno::EPERM,
            Errno::EINVAL,
            unknown,
        ),
    ]
}

fn second() -> Vec<Perversion> {
    vec![
        new("api-twice-accepted", &["API-009"], "a second handshake succeeds").ioctl(&[UFFDIO_API], |call| {
            let done = is_done(call);
            call.pass().or_else(|errno| if done && is_sound(call) { pretend(call) } else { Err(errno) })
        }),
        new(
            "api-twice-accepted-after-none",
            &["API-009"],
            "a second handshake succeeds if the first asked for nothing",
        )
        .ioctl(&[UFFDIO_API], |call| {
            let nothing = state::of(call.fd, |descriptor| descriptor.features == Some(0));
            call.pass().or_else(|errno| if nothing && is_sound(call) { pretend(call) } else { Err(errno) })
        }),
        errno("api-twice-is-ebusy", &["API-009"], "a second handshake is EBUSY", Errno::EINVAL, Errno::EBUSY, is_done),
        unzeroed("api-twice-not-zeroed", &["API-009"], "the structure stays after a second handshake", is_done),
        new("api-twice-changes-features", &["API-010"], "a refused second handshake replaces the features").ioctl(
            &[UFFDIO_API],
            |call| {
                let done = is_done(call);
                let answer = call.pass();
                if done && is_sound(call) {
                    replace(call);
                }
                answer
            },
        ),
        new("api-race-has-no-loser", &["API-011"], "handshakes at the same time all succeed").ioctl(
            &[UFFDIO_API],
            |call| {
                let early = !is_done(call);
                call.pass().or_else(|errno| {
                    if early && is_sound(call) && errno == Errno::EINVAL { pretend(call) } else { Err(errno) }
                })
            },
        ),
    ]
}

/// Puts a new userfaultfd with the features of this call in place of the old one.
#[allow(unsafe_code)]
fn replace(call: &Call<'_>) {
    let flags = honest::status_flags(call.fd).unwrap_or(0) | libc::O_CLOEXEC;
    let Ok(fresh) = honest::create(flags) else { return };
    let mut argument = [UFFD_API, call.argument.mode(), 0];
    let fresh_fd = std::os::fd::AsFd::as_fd(&fresh);
    if honest::ioctl(fresh_fd, UFFDIO_API, argument.as_mut_ptr() as usize).is_ok() {
        // SAFETY: the number stays the caller's, now for another file.
        let mut place = unsafe { OwnedFd::from_raw_fd(call.fd.as_raw_fd()) };
        let _ = rustix::io::dup3(&fresh, &mut place, rustix::io::DupFlags::CLOEXEC);
        let _ = place.into_raw_fd();
    }
    let _ = honest::close(fresh);
}

fn early() -> Vec<Perversion> {
    vec![
        new("early-register-accepted", &["API-020"], "REGISTER needs no handshake").ioctl(&[UFFDIO_REGISTER], |call| {
            if is_early(call) {
                let _ = call.also(UFFDIO_API, &[UFFD_API, 0, 0]);
            }
            call.pass()
        }),
        new("early-wake-accepted", &["API-020"], "WAKE needs no handshake")
            .ioctl(&[UFFDIO_WAKE], |call| if is_early(call) { Ok(0) } else { call.pass() }),
        new("early-fill-accepted", &["API-020"], "COPY and ZEROPAGE need no handshake").ioctl(
            &[UFFDIO_COPY, UFFDIO_ZEROPAGE],
            |call| {
                if is_early(call) {
                    let words = call.argument.words;
                    let request = if call.argument.src() == 0 { UFFDIO_ZEROPAGE } else { UFFDIO_COPY };
                    for other in state::others(call.fd) {
                        let (answer, after) = super::call::also(other, request, &words, call.argument);
                        if answer.is_ok() {
                            call.tell_field(after.field());
                            return Ok(0);
                        }
                    }
                }
                call.pass()
            },
        ),
        new("early-ioctl-is-eperm", &["API-020"], "an ioctl before the handshake is EPERM")
            .ioctl(LATER, |call| if is_early(call) { Err(Errno::EPERM) } else { call.pass() }),
        new("early-read-is-eagain", &["API-021"], "read before the handshake has nothing to read").read(|reading| {
            let early = state::of(reading.fd, |descriptor| descriptor.creator != 0 && descriptor.features.is_none());
            if early { Err(Errno::EAGAIN) } else { reading.pass() }
        }),
        new("early-poll-is-quiet", &["API-021", "POLL-005"], "poll before the handshake says nothing").poll(
            |polling| {
                let early =
                    state::of(polling.fd, |descriptor| descriptor.creator != 0 && descriptor.features.is_none());
                if early { Ok(0) } else { polling.pass() }
            },
        ),
        new("early-poll-is-hangup", &["API-021", "POLL-005"], "poll before the handshake adds POLLHUP").poll(
            |polling| {
                let early =
                    state::of(polling.fd, |descriptor| descriptor.creator != 0 && descriptor.features.is_none());
                polling.pass().map(|events| if early { events | libc::POLLHUP } else { events })
            },
        ),
    ]
}
