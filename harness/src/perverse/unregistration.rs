//! UNREGISTER: what is unregistered, who is woken, which ranges are taken, what a refusal changes.

use nix::errno::Errno;

use super::call::{Answer, Call, PAGE};
use super::registration::{WP, gaps, hugepages, is_sane, is_unaligned, nothing_mapped, page_by_page};
use super::{Perversion, new, state, vmas};
use crate::sys;
use crate::uapi::{UFFDIO_REGISTER, UFFDIO_UNREGISTER};

pub(super) fn list() -> Vec<Perversion> {
    let mut list = what_is_unregistered();
    list.extend(unregister_checks());
    list
}

fn unregister(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_UNREGISTER], hook)
}

fn what_is_unregistered() -> Vec<Perversion> {
    vec![
        unregister(
            "unregister-does-nothing",
            &["UNREG-001", "UNREG-002", "UNREG-009"],
            "UNREGISTER succeeds and does nothing",
            |call| {
                if is_sane(call) && state::own_at(call.fd, call.argument.start()).is_some() {
                    Ok(0)
                } else {
                    call.pass()
                }
            },
        ),
        unregister(
            "unregister-of-wp-does-nothing",
            &["UNREG-011"],
            "a range registered for WP stays so, with its protection",
            |call| {
                let wp = state::own_at(call.fd, call.argument.start()).is_some_and(|range| range.mode & WP != 0);
                if wp && is_sane(call) { Ok(0) } else { call.pass() }
            },
        ),
        unregister(
            "unregister-the-whole",
            &["UNREG-002"],
            "the whole registered range goes with a part of it",
            |call| match state::own_at(call.fd, call.argument.start()) {
                Some(range) if is_sane(call) => {
                    call.with(call.argument.with_start(range.start).with_len(range.end - range.start))
                }
                _ => call.pass(),
            },
        ),
        unregister("unregister-one-page-more", &["UNREG-002"], "the page behind goes too", |call| {
            let answer = call.pass();
            if answer.is_ok() {
                let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.end(), call.page_size()]);
            }
            answer
        }),
        unregister("unregister-one-page-before", &["UNREG-002"], "the page before goes too", |call| {
            let page = call.page_size();
            let answer = call.pass();
            if answer.is_ok() {
                let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start() - page, page]);
            }
            answer
        }),
        unregister(
            "unregister-last-page-stays",
            &["UNREG-001", "UNREG-002"],
            "the last page stays registered",
            |call| {
                let short = call.argument.len().saturating_sub(call.page_size());
                if short == 0 { call.pass() } else { call.with(call.argument.with_len(short)) }
            },
        ),
        unregister(
            "unregister-first-mapping-only",
            &["UNREG-001", "UNREG-005"],
            "only the first mapping of a range is unregistered",
            |call| match vmas::within(call.argument.start(), call.argument.end()).first() {
                Some(vma) if is_sane(call) && vma.end < call.argument.end() => {
                    call.with(call.argument.with_len(vma.end - call.argument.start()))
                }
                _ => call.pass(),
            },
        ),
        unregister("unregister-wakes-nobody", &["UNREG-009"], "those who wait for a missing page sleep on", |call| {
            // A range without MISSING is unregistered without a wake-up.
            let _ = call.also(UFFDIO_REGISTER, &[call.argument.start(), call.argument.len(), WP, 0]);
            call.pass()
        }),
        unregister(
            "unregister-wakes-the-first-page-only",
            &["UNREG-009"],
            "only who waits for the first page is woken",
            |call| {
                let _ = call.also(UFFDIO_REGISTER, &[call.argument.start(), call.argument.len(), WP, 0]);
                let answer = call.pass();
                if answer.is_ok() {
                    call.wake(call.argument.start(), PAGE);
                }
                answer
            },
        ),
        unregister("unregister-wakes-everyone", &["UNREG-009", "UNREG-002"], "everyone who waits is woken", |call| {
            let answer = call.pass();
            if answer.is_ok() {
                call.wake_all();
            }
            answer
        }),
        unregister(
            "unregister-drops-pages",
            &["UNREG-001", "UNREG-011"],
            "unregistering drops the pages that are there",
            |call| {
                let answer = call.pass();
                if answer.is_ok() && is_sane(call) {
                    let _ =
                        sys::advise(call.argument.start() as usize, call.argument.len() as usize, libc::MADV_DONTNEED);
                }
                answer
            },
        ),
    ]
}

/// Pretends success where the kernel says EINVAL for this reason.
fn lets_go(call: &Call<'_>, reason: bool) -> Answer {
    call.pass().or_else(|errno| if errno == Errno::EINVAL && reason { Ok(0) } else { Err(errno) })
}

fn unregister_checks() -> Vec<Perversion> {
    vec![
        unregister(
            "unregister-unregistered-refused",
            &["UNREG-003"],
            "what is not registered cannot be unregistered",
            |call| {
                let known = state::registered_at(call.argument.start()).is_some();
                if is_sane(call) && !known { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        unregister("unregister-unfit-accepted", &["UNREG-004"], "a regular file's mapping succeeds", |call| {
            lets_go(call, is_sane(call) && !nothing_mapped(call))
        }),
        unregister(
            "unregister-refusal-unregisters-a-part",
            &["UNREG-004"],
            "what lies before an unfit mapping is unregistered",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EINVAL) && is_sane(call) {
                    page_by_page(call, UFFDIO_UNREGISTER, false);
                }
                answer
            },
        ),
        unregister("unregister-nothing-accepted", &["UNREG-005"], "a range without any mapping succeeds", |call| {
            lets_go(call, nothing_mapped(call))
        }),
        unregister("unregister-gaps-refused", &["UNREG-005"], "a range with a gap is refused", |call| {
            if gaps(call) { Err(Errno::EINVAL) } else { call.pass() }
        }),
        unregister("unregister-unaligned-accepted", &["UNREG-006"], "an unaligned range is rounded", |call| {
            if is_unaligned(call) && call.argument.len() != 0 {
                call.with(call.argument.rounded(PAGE))
            } else {
                call.pass()
            }
        }),
        unregister("unregister-length-0-accepted", &["UNREG-006"], "length 0 succeeds", |call| {
            lets_go(call, call.argument.len() == 0 && call.argument.start().is_multiple_of(PAGE))
        }),
        unregister(
            "unregister-bad-range-accepted",
            &["UNREG-006"],
            "a range that wraps or is out of reach succeeds",
            |call| {
                let end = call.argument.start().checked_add(call.argument.len());
                lets_go(call, call.argument.is_aligned() && end.is_none_or(|end| end > 0x7fff_ffff_f000))
            },
        ),
        unregister(
            "unregister-unaligned-unregisters",
            &["UNREG-006"],
            "an unaligned range is refused, and unregistered",
            |call| {
                let answer = call.pass();
                if answer.is_err() && is_unaligned(call) && call.argument.len() < 1 << 30 {
                    let rounded = call.argument.rounded(PAGE);
                    let _ = call.also(UFFDIO_UNREGISTER, &[rounded.start(), rounded.len()]);
                }
                answer
            },
        ),
        unregister(
            "unregister-hugetlb-unaligned-accepted",
            &["UNREG-007"],
            "part of a hugepage is rounded to the whole",
            |call| match call.pass() {
                Err(Errno::EINVAL) if is_sane(call) => call.with(hugepages(call)),
                answer => answer,
            },
        ),
        unregister("unregister-anothers", &["UNREG-008"], "another's range is unregistered", |call| {
            let before = call.pass();
            if before.is_err() && is_sane(call) {
                for other in state::others(call.fd) {
                    let words = [call.argument.start(), call.argument.len()];
                    if super::call::also(other, UFFDIO_UNREGISTER, &words, call.argument).0.is_ok() {
                        return Ok(0);
                    }
                }
            }
            before
        }),
        unregister(
            "unregister-anothers-quietly",
            &["UNREG-008"],
            "another's range is refused, and unregistered",
            |call| {
                let answer = call.pass();
                if answer.is_err() && is_sane(call) {
                    for other in state::others(call.fd) {
                        let words = [call.argument.start(), call.argument.len()];
                        let _ = super::call::also(other, UFFDIO_UNREGISTER, &words, call.argument);
                    }
                }
                answer
            },
        ),
        unregister("unregister-anothers-is-ebusy", &["UNREG-008"], "another's range is EBUSY", |call| {
            let foreign = state::own_at(call.fd, call.argument.start()).is_none()
                && state::registered_at(call.argument.start()).is_some();
            call.pass().map_err(|errno| if foreign && errno == Errno::EINVAL { Errno::EBUSY } else { errno })
        }),
        unregister(
            "unregister-target-gone-is-esrch",
            &["UNREG-015", "LIFE-001"],
            "UNREGISTER for an exited process is ESRCH",
            |call| call.pass().map_err(|errno| if errno == Errno::ENOMEM { Errno::ESRCH } else { errno }),
        ),
        unregister(
            "unregister-target-gone-succeeds",
            &["UNREG-015", "LIFE-001"],
            "UNREGISTER for an exited process succeeds",
            |call| call.pass().or_else(|errno| if errno == Errno::ENOMEM { Ok(0) } else { Err(errno) }),
        ),
    ]
}
