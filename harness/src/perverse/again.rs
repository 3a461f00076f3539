//! REGISTER of a range that is registered already, as a whole or in part.

use nix::errno::Errno;

use super::call::Call;
use super::registration::{WP, is_sane, register};
use super::{Perversion, state};
use crate::uapi::{UFFDIO_REGISTER_MODE_RWP, UFFDIO_RWPROTECT, UFFDIO_UNREGISTER, UFFDIO_WRITEPROTECT};

pub(super) fn list() -> Vec<Perversion> {
    again()
}

fn again() -> Vec<Perversion> {
    let old = |call: &Call<'_>| state::own_at(call.fd, call.argument.start()).map_or(0, |range| range.mode);
    vec![
        register("register-same-again-refused", &["REG-036"], "the same registration again is EBUSY", move |call| {
            if old(call) == call.argument.mode() { Err(Errno::EBUSY) } else { call.pass() }
        }),
        register(
            "register-partly-registered-refused",
            &["REG-036"],
            "a range of which a part is registered already is EBUSY",
            move |call| {
                let parts = state::of(call.fd, |descriptor| {
                    let touches = |range: &&state::Registered| {
                        range.start < call.argument.end() && range.end > call.argument.start()
                    };
                    descriptor.ranges.iter().filter(touches).map(|range| range.end - range.start).sum::<u64>()
                });
                if parts != 0 && parts < call.argument.len() && is_sane(call) { Err(Errno::EBUSY) } else { call.pass() }
            },
        ),
        register(
            "register-partly-registered-passed-over",
            &["REG-036"],
            "what is registered already keeps the rest from being so",
            move |call| match state::of(call.fd, |descriptor| {
                descriptor
                    .ranges
                    .iter()
                    .find(|range| range.start > call.argument.start() && range.start < call.argument.end())
                    .copied()
            }) {
                Some(range) if is_sane(call) => call.with(call.argument.with_len(range.end - call.argument.start())),
                _ => call.pass(),
            },
        ),
        register(
            "register-same-again-wakes",
            &["REG-036"],
            "the same registration again wakes those who wait",
            move |call| {
                let same = old(call) == call.argument.mode();
                let answer = call.pass();
                if same && answer.is_ok() {
                    call.wake(call.argument.start(), call.argument.len());
                }
                answer
            },
        ),
        register(
            "register-same-again-drops-marks",
            &["REG-036", "REG-040"],
            "registering again drops protection",
            move |call| {
                if old(call) & WP != 0 {
                    let _ = call.also(UFFDIO_WRITEPROTECT, &[call.argument.start(), call.argument.len(), 2]);
                }
                if old(call) & UFFDIO_REGISTER_MODE_RWP != 0 {
                    let _ = call.also(UFFDIO_RWPROTECT, &[call.argument.start(), call.argument.len(), 2]);
                }
                call.pass()
            },
        ),
        register("register-subset-replaces", &["REG-037"], "fewer modes replace those a range has", move |call| {
            let old = old(call);
            if old & call.argument.mode() == call.argument.mode() && old != call.argument.mode() && is_sane(call) {
                let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start(), call.argument.len()]);
            }
            call.pass()
        }),
        register("register-subset-refused", &["REG-037"], "fewer modes are refused", move |call| {
            let old = old(call);
            let fewer = old & call.argument.mode() == call.argument.mode() && old != call.argument.mode();
            if fewer && call.argument.mode() != 0 { Err(Errno::EBUSY) } else { call.pass() }
        }),
        register("register-again-adds", &["REG-038"], "other modes are added to those a range has", move |call| {
            let (old, mode) = (old(call), call.argument.mode());
            if old == 0 || mode == 0 || mode & !0xf != 0 { call.pass() } else { call.with(call.argument.adding(old)) }
        }),
        register("register-again-keeps-the-old", &["REG-038"], "other modes succeed and change nothing", move |call| {
            let (old, mode) = (old(call), call.argument.mode());
            if old == 0 || mode == 0 || mode & !0xf != 0 {
                call.pass()
            } else {
                call.with(call.argument.with_mode(old))
            }
        }),
        register("register-beside-wp-refused", &["REG-040"], "a further mode beside WP is EBUSY", move |call| {
            let old = old(call);
            if old & WP != 0 && call.argument.mode() & !old != 0 { Err(Errno::EBUSY) } else { call.pass() }
        }),
    ]
}
