//! REGISTER: what is registered by it, and for which modes.

use nix::errno::Errno;

use super::call::{Answer, Call, PAGE};
use super::{Perversion, honest, new, vmas};
use crate::kernel;
use crate::memory::vma;
use crate::uapi::{
    _UFFDIO_COPY, _UFFDIO_WAKE, _UFFDIO_ZEROPAGE, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MINOR,
    UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP, UFFDIO_UNREGISTER, UFFDIO_WRITEPROTECT, UFFDIO_ZEROPAGE,
};
use crate::uffd::Range;

pub(super) const MISSING: u64 = UFFDIO_REGISTER_MODE_MISSING;
pub(super) const WP: u64 = UFFDIO_REGISTER_MODE_WP;
const MINOR: u64 = UFFDIO_REGISTER_MODE_MINOR;

pub(super) fn register(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_REGISTER], hook)
}

/// Success, as far as the caller can see.
pub(super) fn pretend(call: &Call<'_>) -> Answer {
    call.tell_field(1 << _UFFDIO_WAKE | 1 << _UFFDIO_COPY | 1 << _UFFDIO_ZEROPAGE);
    Ok(0)
}

/// Pretends success where the kernel says EINVAL for this reason.
pub(super) fn accepts(call: &Call<'_>, reason: bool) -> Answer {
    match call.pass() {
        Err(Errno::EINVAL) if reason => pretend(call),
        answer => answer,
    }
}

/// The same call page by page, ended by the first refusal or not.
pub(super) fn page_by_page(call: &Call<'_>, request: u64, to_the_end: bool) {
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

pub(super) fn is_sane(call: &Call<'_>) -> bool {
    call.argument.is_aligned() && call.argument.len() < 1 << 30 && call.argument.end() > call.argument.start()
}

pub(super) fn gaps(call: &Call<'_>) -> bool {
    is_sane(call) && vmas::has_gaps(call.argument.start(), call.argument.end())
}

pub(super) fn nothing_mapped(call: &Call<'_>) -> bool {
    is_sane(call) && vmas::within(call.argument.start(), call.argument.end()).is_empty()
}

pub(super) fn is_unaligned(call: &Call<'_>) -> bool {
    let argument = call.argument;
    !argument.start().is_multiple_of(PAGE) || !argument.len().is_multiple_of(PAGE)
}

pub(super) fn hugepages(call: &Call<'_>) -> crate::perverse::call::Argument {
    call.argument.rounded(kernel::default_hugepage_size() as u64)
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = what_is_registered();
    list.extend(modes());
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
            "register-takes-the-neighbour",
            &["PLAY-027"],
            "a registered mapping before a range goes over to this userfaultfd from another",
            |call| {
                let answer = call.pass();
                let before = vma::within(Range::new(call.argument.start().saturating_sub(1), 1)).unwrap_or_default();
                let before = before.iter().find(|vma| answer.is_ok() && !vma.uffd_flags().is_empty());
                let Some((start, len)) = before.map(|vma| (vma.start, vma.end - vma.start)) else { return answer };
                let take = || call.also(UFFDIO_REGISTER, &[start, len, call.argument.mode(), 0]).0;
                if take() == Err(Errno::EBUSY) {
                    // What another has registered cannot be unregistered here; what is mapped anew is nobody's.
                    let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
                    let _ = honest::map_over(start as usize, len as usize, rights, flags, None);
                    let _ = take();
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
