//! REGISTER and UNREGISTER: which ranges and modes are taken, what is registered then, what a refusal changes.

use nix::errno::Errno;

use super::call::{Answer, Call, PAGE};
use super::{Perversion, new, state, vmas};
use crate::uapi::{
    _UFFDIO_COPY, _UFFDIO_WAKE, _UFFDIO_ZEROPAGE, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MINOR,
    UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP, UFFDIO_UNREGISTER, UFFDIO_WRITEPROTECT, UFFDIO_ZEROPAGE,
};
use crate::{kernel, sys};

const MISSING: u64 = UFFDIO_REGISTER_MODE_MISSING;
const WP: u64 = UFFDIO_REGISTER_MODE_WP;
const MINOR: u64 = UFFDIO_REGISTER_MODE_MINOR;

fn register(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_REGISTER], hook)
}

fn unregister(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_UNREGISTER], hook)
}

/// Success, as far as the caller can see.
fn pretend(call: &Call<'_>) -> Answer {
    call.tell_field(1 << _UFFDIO_WAKE | 1 << _UFFDIO_COPY | 1 << _UFFDIO_ZEROPAGE);
    Ok(0)
}

/// Pretends success where the kernel says EINVAL for this reason.
fn accepts(call: &Call<'_>, reason: bool) -> Answer {
    match call.pass() {
        Err(Errno::EINVAL) if reason => pretend(call),
        answer => answer,
    }
}

/// The same call page by page, ended by the first refusal or not.
fn page_by_page(call: &Call<'_>, request: u64, to_the_end: bool) {
    let step = call.page_size();
    let mut start = call.argument.start();
    while start < call.argument.end() {
        let words = [start, step, call.argument.mode(), 0];
        let count = if request == UFFDIO_REGISTER { 4 } else { 2 };
        if call.also(request, &words[..count]).0.is_err() && !to_the_end {
            return;
        }
        start += step;
    }
}

fn is_sane(call: &Call<'_>) -> bool {
    call.argument.is_aligned() && call.argument.len() < 1 << 30 && call.argument.end() > call.argument.start()
}

fn gaps(call: &Call<'_>) -> bool {
    is_sane(call) && vmas::has_gaps(call.argument.start(), call.argument.end())
}

fn nothing_mapped(call: &Call<'_>) -> bool {
    is_sane(call) && vmas::within(call.argument.start(), call.argument.end()).is_empty()
}

fn is_unaligned(call: &Call<'_>) -> bool {
    let argument = call.argument;
    !argument.start().is_multiple_of(PAGE) || !argument.len().is_multiple_of(PAGE)
}

fn hugepages(call: &Call<'_>) -> crate::perverse::call::Argument {
    call.argument.rounded(kernel::default_hugepage_size() as u64)
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = what_is_registered();
    list.extend(modes());
    list.extend(ranges_taken());
    list.extend(refusals());
    list.extend(again());
    list.extend(what_is_unregistered());
    list.extend(unregister_checks());
    list
}

fn what_is_registered() -> Vec<Perversion> {
    vec![
        register(
            "register-does-nothing",
            &["REG-001", "REG-002", "REG-003", "FAULT-001", "FAULT-044", "FAULT-048"],
            "REGISTER succeeds and registers nothing",
            |call| {
                let answer = call.pass();
                if answer.is_ok() {
                    let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start(), call.argument.len()]);
                }
                answer
            },
        ),
        register(
            "register-last-page-left-out",
            &["REG-001", "REG-002", "REG-004", "REG-007"],
            "the last page of a range is left out",
            |call| {
                let short = call.argument.len().saturating_sub(call.page_size());
                if short == 0 { call.pass() } else { call.with(call.argument.with_len(short)) }
            },
        ),
        register(
            "register-first-page-left-out",
            &["REG-001", "REG-002", "REG-004", "REG-007"],
            "the first page of a range is left out",
            |call| {
                let (argument, page) = (call.argument, call.page_size());
                if argument.len() > page {
                    call.with(argument.with_start(argument.start() + page).with_len(argument.len() - page))
                } else {
                    call.pass()
                }
            },
        ),
        register(
            "register-one-page-more",
            &["REG-001", "REG-002", "REG-004", "REG-007", "REG-034"],
            "the page behind a range is registered too",
            |call| {
                let answer = call.pass();
                if answer.is_ok() {
                    let _ = call.also(UFFDIO_REGISTER, &[call.argument.end(), PAGE, call.argument.mode(), 0]);
                }
                answer
            },
        ),
        register(
            "register-one-page-before",
            &["REG-001", "REG-002", "REG-004", "REG-007", "REG-034"],
            "the page before a range is registered too",
            |call| {
                let answer = call.pass();
                if answer.is_ok() {
                    let _ = call.also(UFFDIO_REGISTER, &[call.argument.start() - PAGE, PAGE, call.argument.mode(), 0]);
                }
                answer
            },
        ),
        register(
            "register-whole-mapping",
            &["REG-034"],
            "the mapping that a range lies in is registered as a whole",
            |call| match vmas::at(call.argument.start()) {
                Some(vma) if is_sane(call) && vma.end > call.argument.end() => {
                    call.with(call.argument.with_start(vma.start).with_len(vma.end - vma.start))
                }
                _ => call.pass(),
            },
        ),
        register(
            "register-first-mapping-only",
            &["REG-018"],
            "only the first mapping of a range is registered",
            |call| match vmas::at(call.argument.start()) {
                Some(vma) if is_sane(call) && vma.end < call.argument.end() => {
                    call.with(call.argument.with_len(vma.end - call.argument.start()))
                }
                _ => call.pass(),
            },
        ),
        register("register-stops-at-a-gap", &["REG-017"], "what lies behind a gap is not registered", |call| {
            if !gaps(call) {
                return call.pass();
            }
            let answer = call.pass();
            let first = vmas::within(call.argument.start(), call.argument.end()).first().map_or(0, |vma| vma.end);
            if answer.is_ok() && first < call.argument.end() {
                let _ = call.also(UFFDIO_UNREGISTER, &[first, call.argument.end() - first]);
            }
            answer
        }),
        register(
            "register-drops-pages",
            &["REG-051", "FAULT-010"],
            "registering drops the pages that are there",
            |call| {
                let answer = call.pass();
                if answer.is_ok() && is_sane(call) {
                    super::content::drop_pages(call);
                }
                answer
            },
        ),
        register("register-fills-holes", &["FAULT-001", "REG-001"], "registering fills the first page", |call| {
            let answer = call.pass();
            if answer.is_ok() {
                let _ = call.also(UFFDIO_ZEROPAGE, &[call.argument.start(), PAGE, 0, 0]);
            }
            answer
        }),
        register(
            "register-protects",
            &["FAULT-021", "REG-004", "REG-051"],
            "registering for WP protects at once",
            |call| {
                let answer = call.pass();
                if answer.is_ok() && call.argument.mode() & WP != 0 {
                    let _ = call.also(UFFDIO_WRITEPROTECT, &[call.argument.start(), call.argument.len(), 1]);
                }
                answer
            },
        ),
    ]
}

/// The mode changed on its way in, where both the old and the new one can be had.
fn mode(name: &'static str, breaks: &'static [&'static str], what: &'static str, change: fn(u64) -> u64) -> Perversion {
    register(name, breaks, what, move |call| {
        let changed = change(call.argument.mode());
        if changed == call.argument.mode() || changed == 0 {
            return call.pass();
        }
        let answer = call.with(call.argument.with_mode(changed));
        if answer == Err(Errno::EINVAL) {
            call.forget();
            return call.pass();
        }
        answer
    })
}

fn modes() -> Vec<Perversion> {
    vec![
        mode(
            "register-missing-dropped",
            &["REG-035", "FAULT-017", "FAULT-022"],
            "MISSING is dropped beside another mode",
            |mode| {
                if mode & (WP | MINOR) == 0 { mode } else { mode & !MISSING }
            },
        ),
        mode("register-wp-dropped", &["REG-035", "FAULT-022"], "WP is dropped beside another mode", |mode| {
            if mode & (MISSING | MINOR) == 0 { mode } else { mode & !WP }
        }),
        mode("register-minor-dropped", &["REG-035", "FAULT-017"], "MINOR is dropped beside another mode", |mode| {
            if mode & (MISSING | WP) == 0 { mode } else { mode & !MINOR }
        }),
        mode("register-minor-is-missing", &["REG-006", "REG-007", "FAULT-014"], "MINOR is taken for MISSING", |mode| {
            if mode & MINOR == 0 { mode } else { mode & !MINOR | MISSING }
        }),
        mode("register-minor-adds-missing", &["REG-035", "FAULT-016"], "MINOR brings MISSING with it", |mode| {
            if mode & MINOR == 0 { mode } else { mode | MISSING }
        }),
        mode("register-wp-adds-missing", &["REG-035"], "WP brings MISSING with it", |mode| {
            if mode & WP == 0 { mode } else { mode | MISSING }
        }),
        mode("register-missing-adds-minor", &["REG-035", "FAULT-012"], "MISSING brings MINOR with it", |mode| {
            if mode & MISSING == 0 { mode } else { mode | MINOR }
        }),
        mode("register-missing-adds-wp", &["REG-035"], "MISSING brings WP with it", |mode| {
            if mode & MISSING == 0 { mode } else { mode | WP }
        }),
        register("register-unknown-mode-accepted", &["REG-013"], "unknown mode bits are ignored", |call| {
            call.with(call.argument.with_mode(call.argument.mode() & 0xf))
        }),
        register("register-high-mode-accepted", &["REG-013"], "only the low half of the mode is looked at", |call| {
            call.with(call.argument.with_mode(call.argument.mode() & u64::from(u32::MAX)))
        }),
        register("register-mode-0-accepted", &["REG-012"], "mode 0 is taken for MISSING", |call| {
            let mode = call.argument.mode();
            call.with(call.argument.with_mode(if mode == 0 { MISSING } else { mode }))
        }),
        register("register-mode-0-does-nothing", &["REG-012"], "mode 0 succeeds and registers nothing", |call| {
            accepts(call, call.argument.mode() == 0)
        }),
        register("register-minor-of-anon-accepted", &["REG-008"], "MINOR succeeds on anonymous memory", |call| {
            let minor = call.argument.mode() & MINOR != 0 && is_sane(call);
            let anon = minor && vmas::at(call.argument.start()).is_some_and(|vma| vma.path.is_empty());
            accepts(call, anon)
        }),
        register(
            "register-minor-of-anon-is-missing",
            &["REG-008"],
            "MINOR beside MISSING is ignored on anonymous memory",
            |call| match call.pass() {
                Err(Errno::EINVAL) if call.argument.mode() == MISSING | MINOR => {
                    call.with(call.argument.with_mode(MISSING))
                }
                answer => answer,
            },
        ),
        register("register-wp-of-files-refused", &["REG-005"], "WP is refused on shmem and hugetlb", |call| {
            let file =
                vmas::at(call.argument.start()).is_some_and(|vma| !vma.path.is_empty() && !vma.path.starts_with('['));
            if file && call.argument.mode() & WP != 0 { Err(Errno::EINVAL) } else { call.pass() }
        }),
        register("register-private-minor-refused", &["REG-007"], "MINOR is refused on private mappings", |call| {
            let private = vmas::at(call.argument.start()).is_some_and(|vma| !vma.shared);
            if private && call.argument.mode() & MINOR != 0 { Err(Errno::EINVAL) } else { call.pass() }
        }),
    ]
}

fn ranges_taken() -> Vec<Perversion> {
    vec![
        register("register-unaligned-accepted", &["REG-014"], "an unaligned range is rounded", |call| {
            if is_unaligned(call) && call.argument.len() != 0 {
                call.with(call.argument.rounded(PAGE))
            } else {
                call.pass()
            }
        }),
        register("register-unaligned-length-accepted", &["REG-014"], "an unaligned length is rounded", |call| {
            let argument = call.argument;
            let len = argument.len().checked_next_multiple_of(PAGE).unwrap_or(argument.len());
            call.with(argument.with_len(len))
        }),
        register("register-length-0-accepted", &["REG-014"], "length 0 succeeds and registers nothing", |call| {
            accepts(call, call.argument.len() == 0 && call.argument.start().is_multiple_of(PAGE))
        }),
        register("register-wrapping-accepted", &["REG-015"], "a range that wraps succeeds", |call| {
            accepts(call, call.argument.start().checked_add(call.argument.len()).is_none())
        }),
        register(
            "register-beyond-the-top-accepted",
            &["REG-015"],
            "a range may reach beyond the task's addresses",
            |call| {
                let (start, end) = (call.argument.start(), call.argument.start().checked_add(call.argument.len()));
                accepts(call, end.is_some_and(|end| end > 0x7fff_ffff_f000 && start < end))
            },
        ),
        register("register-nothing-accepted", &["REG-016"], "a range without any mapping succeeds", |call| {
            accepts(call, nothing_mapped(call))
        }),
        register("register-gaps-refused", &["REG-017"], "a range with a gap is refused", |call| {
            if gaps(call) { Err(Errno::EINVAL) } else { call.pass() }
        }),
        register(
            "register-several-mappings-refused",
            &["REG-018"],
            "a range over several mappings is refused",
            |call| {
                let several = is_sane(call) && vmas::within(call.argument.start(), call.argument.end()).len() > 1;
                if several { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        register(
            "register-unfit-mappings-skipped",
            &["REG-019", "REG-020"],
            "mappings that cannot be registered are passed over",
            |call| {
                let fits = call.argument.mode() != 0
                    && call.argument.mode() & !7 == 0
                    && is_sane(call)
                    && !nothing_mapped(call);
                match call.pass() {
                    Err(Errno::EINVAL) if fits => {
                        page_by_page(call, UFFDIO_REGISTER, true);
                        pretend(call)
                    }
                    answer => answer,
                }
            },
        ),
        register(
            "register-refusal-registers-a-part",
            &["REG-019"],
            "what lies before an unfit mapping stays registered",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EINVAL) && is_sane(call) {
                    page_by_page(call, UFFDIO_REGISTER, false);
                }
                answer
            },
        ),
        register("register-special-accepted", &["REG-023"], "the kernel's own mappings succeed", |call| {
            let special =
                is_sane(call) && vmas::at(call.argument.start()).is_some_and(|vma| vma.path.starts_with("[v"));
            accepts(call, special)
        }),
        register(
            "register-without-write-permission-accepted",
            &["REG-026"],
            "a read-only file's shared mapping succeeds",
            |call| call.pass().or_else(|errno| if errno == Errno::EPERM { pretend(call) } else { Err(errno) }),
        ),
        register("register-eperm-is-eacces", &["REG-026", "REG-028"], "missing write permission is EACCES", |call| {
            call.pass().map_err(|errno| if errno == Errno::EPERM { Errno::EACCES } else { errno })
        }),
        register(
            "register-eperm-registers",
            &["REG-026", "REG-028"],
            "missing write permission refuses only the rest of a range",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EPERM) {
                    call.tell_field(0);
                }
                answer
            },
        ),
        register(
            "register-private-read-only-refused",
            &["REG-027", "REG-030", "REG-031"],
            "memory that cannot be written is refused",
            |call| {
                let read_only = vmas::at(call.argument.start()).is_some_and(|vma| !vma.writable);
                if read_only { Err(Errno::EPERM) } else { call.pass() }
            },
        ),
        register(
            "register-private-files-refused",
            &["REG-002", "REG-027"],
            "private mappings of files are refused",
            |call| {
                let private =
                    vmas::at(call.argument.start()).is_some_and(|vma| !vma.shared && vma.path.starts_with('/'));
                if private { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        register(
            "register-hugetlb-unaligned-accepted",
            &["REG-033"],
            "part of a hugepage is rounded to the whole",
            |call| match call.pass() {
                Err(Errno::EINVAL) if is_sane(call) && call.argument.mode() != 0 => {
                    call.forget();
                    call.with(hugepages(call))
                }
                answer => answer,
            },
        ),
        register("register-growsdown-refused", &["REG-052"], "the stack and what grows like it is refused", |call| {
            let stack = crate::memory::vma::within(crate::uffd::Range::new(call.argument.start(), PAGE))
                .is_ok_and(|vmas| vmas.iter().any(|vma| vma.flags.iter().any(|flag| flag == "gd")));
            if stack { Err(Errno::EINVAL) } else { call.pass() }
        }),
        register("register-waits-for-events", &["REG-053"], "REGISTER is EAGAIN while an event is pending", |call| {
            if call.has_pending_event() { Err(Errno::EAGAIN) } else { call.pass() }
        }),
    ]
}

fn refusals() -> Vec<Perversion> {
    vec![
        register(
            "register-refusal-registers",
            &["REG-013"],
            "an unknown mode bit is refused, and the range is registered",
            |call| {
                let answer = call.pass();
                let mode = call.argument.mode() & 7;
                if answer == Err(Errno::EINVAL) && mode != call.argument.mode() && mode != 0 && is_sane(call) {
                    let _ = call.also(UFFDIO_REGISTER, &[call.argument.start(), call.argument.len(), mode, 0]);
                }
                answer
            },
        ),
        register(
            "register-refusal-unregisters",
            &["REG-012", "REG-013"],
            "a refusal unregisters what was registered",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EINVAL) && is_sane(call) {
                    let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start(), call.argument.len()]);
                }
                answer
            },
        ),
        register("register-refusal-writes-ioctls", &["REG-047"], "a refusal writes 0 to ioctls", |call| {
            let answer = call.pass();
            if answer.is_err() {
                call.tell_field(0);
            }
            answer
        }),
        register("register-refusal-writes-errno", &["REG-047"], "a refusal writes the errno to ioctls", |call| {
            call.pass().inspect_err(|errno| call.tell_field(-(*errno as i64) as u64))
        }),
        register("register-ebusy-is-einval", &["REG-032"], "another's range is EINVAL", |call| {
            call.pass().map_err(|errno| if errno == Errno::EBUSY { Errno::EINVAL } else { errno })
        }),
        register("register-takes-anothers", &["REG-032"], "another's range changes hands", |call| match call.pass() {
            Err(Errno::EBUSY) => {
                for other in state::others(call.fd) {
                    let words = [call.argument.start(), call.argument.len()];
                    let _ = super::call::also(other, UFFDIO_UNREGISTER, &words, call.argument);
                }
                call.forget();
                call.pass()
            }
            answer => answer,
        }),
        register("register-ebusy-drops-anothers", &["REG-032"], "another's range is EBUSY and unregistered", |call| {
            let answer = call.pass();
            if answer == Err(Errno::EBUSY) {
                for other in state::others(call.fd) {
                    let words = [call.argument.start(), call.argument.len()];
                    let _ = super::call::also(other, UFFDIO_UNREGISTER, &words, call.argument);
                }
            }
            answer
        }),
        register("register-ebusy-only-for-the-same-range", &["REG-032"], "part of another's range succeeds", |call| {
            let (start, len) = (call.argument.start(), call.argument.len());
            let whole =
                state::registered_at(start).is_some_and(|range| range.start == start && range.end == start + len);
            call.pass().or_else(|errno| if errno == Errno::EBUSY && !whole { pretend(call) } else { Err(errno) })
        }),
        register(
            "register-unwritable-registers-nothing",
            &["REG-048"],
            "where ioctls cannot be written nothing is registered",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EFAULT) {
                    let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start(), call.argument.len()]);
                }
                answer
            },
        ),
        register("register-unwritable-succeeds", &["REG-048"], "that ioctls cannot be written is ignored", |call| {
            call.pass().or_else(|errno| if errno == Errno::EFAULT { Ok(0) } else { Err(errno) })
        }),
        new("register-efault-is-einval", &["REG-049"], "a structure out of reach is EINVAL").unread(
            |_, request, answer| {
                answer.map_err(
                    |errno| if request == UFFDIO_REGISTER && errno == Errno::EFAULT { Errno::EINVAL } else { errno },
                )
            },
        ),
        register(
            "register-target-gone-is-esrch",
            &["REG-050", "LIFE-001", "CREATE-020"],
            "REGISTER for an exited process is ESRCH",
            |call| call.pass().map_err(|errno| if errno == Errno::ENOMEM { Errno::ESRCH } else { errno }),
        ),
        register(
            "register-target-gone-succeeds",
            &["REG-050", "LIFE-001", "CREATE-020"],
            "REGISTER for an exited process succeeds",
            |call| call.pass().or_else(|errno| if errno == Errno::ENOMEM { pretend(call) } else { Err(errno) }),
        ),
    ]
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
            if old == 0 || mode == 0 || mode & !7 != 0 { call.pass() } else { call.with(call.argument.adding(old)) }
        }),
        register("register-again-keeps-the-old", &["REG-038"], "other modes succeed and change nothing", move |call| {
            let (old, mode) = (old(call), call.argument.mode());
            if old == 0 || mode == 0 || mode & !7 != 0 { call.pass() } else { call.with(call.argument.with_mode(old)) }
        }),
        register("register-beside-wp-refused", &["REG-040"], "a further mode beside WP is EBUSY", move |call| {
            let old = old(call);
            if old & WP != 0 && call.argument.mode() & !old != 0 { Err(Errno::EBUSY) } else { call.pass() }
        }),
    ]
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
