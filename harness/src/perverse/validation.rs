//! What the fills check of their arguments and of the range: too little, too much, and what is done in spite of a refusal.

use nix::errno::Errno;

use super::call::{Answer, Call, DONTWAKE, FILL_WP, PAGE};
use super::{Perversion, new, state};
use crate::kernel;
use crate::memory::page_state::PageState;
use crate::uapi::{
    UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MINOR, UFFDIO_REGISTER_MODE_MISSING,
    UFFDIO_UNREGISTER, UFFDIO_ZEROPAGE,
};

const COPY: &[u64] = &[UFFDIO_COPY];
pub(super) const ZERO: &[u64] = &[UFFDIO_ZEROPAGE];
pub(super) const CONT: &[u64] = &[UFFDIO_CONTINUE];
const FILLS: &[u64] = &[UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_CONTINUE];

type Row = (&'static str, &'static [u64], &'static [&'static str], &'static str);

fn each(rows: [Row; 3], hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + Copy + 'static) -> Vec<Perversion> {
    rows.into_iter().map(|(name, request, breaks, what)| new(name, breaks, what).ioctl(request, hook)).collect()
}

pub(super) fn copy(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(COPY, hook)
}

fn known_bits(call: &Call<'_>) -> u64 {
    if call.request() == UFFDIO_ZEROPAGE { DONTWAKE } else { DONTWAKE | FILL_WP }
}

/// What a failed fill has written to its result field is told as success.
pub(super) fn pretend(call: &Call<'_>) -> Answer {
    call.tell_field(call.argument.len());
    Ok(0)
}

pub(super) fn mode_of_range(call: &Call<'_>) -> u64 {
    state::registered_at(call.argument.start()).map_or(u64::MAX, |range| range.mode)
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = arguments();
    list.extend(in_spite());
    list.extend(ranges());
    list.extend(strict());
    list
}

fn arguments() -> Vec<Perversion> {
    let mut list = Vec::new();
    list.extend(each(
        [
            ("copy-unaligned-range-accepted", COPY, &["COPY-009"], "COPY rounds an unaligned range"),
            ("zeropage-unaligned-range-accepted", ZERO, &["ZERO-008"], "ZEROPAGE rounds an unaligned range"),
            ("continue-unaligned-range-accepted", CONT, &["CONT-006"], "CONTINUE rounds an unaligned range"),
        ],
        |call| {
            let argument = call.argument;
            if argument.is_aligned() || argument.len() == 0 || argument.len() > 1 << 40 {
                call.pass()
            } else {
                call.with(argument.rounded(PAGE))
            }
        },
    ));
    list.extend(each(
        [
            ("copy-unaligned-length-cut", COPY, &["COPY-009"], "COPY cuts an unaligned length to whole pages"),
            ("zeropage-unaligned-length-cut", ZERO, &["ZERO-008"], "ZEROPAGE cuts an unaligned length to whole pages"),
            ("continue-unaligned-length-cut", CONT, &["CONT-006"], "CONTINUE cuts an unaligned length to whole pages"),
        ],
        |call| {
            let len = call.argument.len() & !(PAGE - 1);
            if len == 0 { call.pass() } else { call.with(call.argument.with_len(len)) }
        },
    ));
    list.extend(each(
        [
            ("copy-length-0-accepted", COPY, &["COPY-009"], "COPY of length 0 succeeds"),
            ("zeropage-length-0-accepted", ZERO, &["ZERO-008"], "ZEROPAGE of length 0 succeeds"),
            ("continue-length-0-accepted", CONT, &["CONT-006"], "CONTINUE of length 0 succeeds"),
        ],
        |call| {
            let nothing = call.argument.len() == 0 && call.argument.start().is_multiple_of(PAGE);
            if nothing { pretend(call) } else { call.pass() }
        },
    ));
    list.extend(each(
        [
            ("copy-wrapping-is-efault", COPY, &["COPY-009"], "a range of COPY that wraps or is out of reach is EFAULT"),
            (
                "zeropage-wrapping-is-efault",
                ZERO,
                &["ZERO-008"],
                "a range of ZEROPAGE that wraps or is out of reach is EFAULT",
            ),
            (
                "continue-wrapping-is-efault",
                CONT,
                &["CONT-006"],
                "a range of CONTINUE that wraps or is out of reach is EFAULT",
            ),
        ],
        |call| {
            let top = 0x7fff_ffff_f000;
            let out = call.argument.start().checked_add(call.argument.len()).is_none_or(|end| end > top);
            call.pass().map_err(|errno| if out && errno == Errno::EINVAL { Errno::EFAULT } else { errno })
        },
    ));
    list.extend(each(
        [
            ("copy-unknown-mode-accepted", COPY, &["COPY-015"], "COPY ignores unknown mode bits"),
            ("zeropage-unknown-mode-accepted", ZERO, &["ZERO-009"], "ZEROPAGE ignores unknown mode bits"),
            ("continue-unknown-mode-accepted", CONT, &["CONT-006"], "CONTINUE ignores unknown mode bits"),
        ],
        |call| call.with(call.argument.with_mode(call.argument.mode() & known_bits(call))),
    ));
    list.extend(each(
        [
            ("copy-high-mode-accepted", COPY, &["COPY-015"], "COPY looks at the low half of the mode only"),
            ("zeropage-high-mode-accepted", ZERO, &["ZERO-009"], "ZEROPAGE looks at the low half of the mode only"),
            ("continue-high-mode-accepted", CONT, &["CONT-006"], "CONTINUE looks at the low half of the mode only"),
        ],
        |call| call.with(call.argument.with_mode(call.argument.mode() & u64::from(u32::MAX))),
    ));
    list.push(
        new("zeropage-mode-of-copy-accepted", &["ZERO-009"], "ZEROPAGE takes and ignores the WP bit of COPY")
            .ioctl(ZERO, |call| call.with(call.argument.without(FILL_WP))),
    );
    list
}

fn in_spite() -> Vec<Perversion> {
    let mut list = Vec::new();
    list.extend(each(
        [
            ("copy-unknown-mode-copies", COPY, &["COPY-015"], "COPY refuses an unknown mode bit, and copies"),
            ("zeropage-unknown-mode-fills", ZERO, &["ZERO-009"], "ZEROPAGE refuses an unknown mode bit, and fills"),
            ("continue-unknown-mode-maps", CONT, &["CONT-006"], "CONTINUE refuses an unknown mode bit, and maps"),
        ],
        |call| {
            let known = call.argument.mode() & known_bits(call);
            if known != call.argument.mode() {
                let _ = call.with(call.argument.with_mode(known | DONTWAKE));
                call.forget();
            }
            call.pass()
        },
    ));
    list.extend(each(
        [
            ("copy-unaligned-copies", COPY, &["COPY-009"], "COPY refuses an unaligned length, and copies"),
            ("zeropage-unaligned-fills", ZERO, &["ZERO-008"], "ZEROPAGE refuses an unaligned length, and fills"),
            ("continue-unaligned-maps", CONT, &["CONT-006"], "CONTINUE refuses an unaligned length, and maps"),
        ],
        |call| {
            let argument = call.argument;
            if !argument.is_aligned() && argument.len() != 0 && argument.len() < 1 << 40 {
                let _ = call.with(argument.rounded(PAGE).adding(DONTWAKE));
                call.forget();
            }
            call.pass()
        },
    ));
    list.push(copy(
        "copy-from-nowhere-fills",
        &["COPY-012"],
        "COPY from nowhere is EFAULT, and fills with zeros",
        |call| {
            let answer = call.pass();
            if answer == Err(Errno::EFAULT) && call.argument.is_aligned() {
                let zeros = vec![0_u8; call.page_size() as usize];
                let words = [call.argument.start(), zeros.as_ptr() as u64, zeros.len() as u64, DONTWAKE, 0];
                let _ = call.also(UFFDIO_COPY, &words);
            }
            answer
        },
    ));
    list.push(copy("copy-from-nowhere-succeeds", &["COPY-012"], "COPY from nowhere succeeds with zeros", |call| {
        match call.pass() {
            Err(Errno::EFAULT) if call.argument.is_aligned() && call.argument.len() <= call.page_size() => {
                let zeros = vec![0_u8; call.argument.len() as usize];
                call.forget();
                call.with(call.argument.with_src(zeros.as_ptr() as u64))
            }
            answer => answer,
        }
    }));
    list.push(copy(
        "copy-without-wp-registration-copies",
        &["COPY-016"],
        "MODE_WP that does not suit is refused, and copied",
        |call| {
            let answer = call.pass();
            if answer == Err(Errno::EINVAL) && call.argument.mode() == FILL_WP | call.argument.mode() & DONTWAKE {
                let failed = call.after();
                let _ = call.with(call.argument.without(FILL_WP).adding(DONTWAKE));
                call.tell(failed);
            }
            answer
        },
    ));
    list.push(
        new(
            "fill-unwritable-fills-nothing",
            &["COPY-027"],
            "where the result field cannot be written nothing is filled",
        )
        .ioctl(FILLS, |call| if call.is_writable() { call.pass() } else { Err(Errno::EFAULT) }),
    );
    list.push(
        new(
            "result-field-read",
            &["COPY-027", "REG-048", "COPY-009", "COPY-015", "ZERO-008", "ZERO-009", "CONT-006"],
            "a structure must be readable with its result field",
        )
        .instead(|request| (FILLS.contains(&request) || request == UFFDIO_REGISTER).then_some(Err(Errno::EFAULT))),
    );
    list.push(
        new(
            "result-field-writable-for-refusals-too",
            &["COPY-009", "COPY-015", "ZERO-008", "ZERO-009", "CONT-006"],
            "a refusal is EFAULT where the result field cannot be written",
        )
        .ioctl(FILLS, |call| {
            if call.is_writable() { call.pass() } else { call.pass().and(Ok(0)).or(Err(Errno::EFAULT)) }
        }),
    );
    list
}

fn ranges() -> Vec<Perversion> {
    let mut list = Vec::new();
    list.extend(each(
        [
            ("copy-unregistered-accepted", COPY, &["COPY-020"], "COPY fills unregistered memory"),
            ("zeropage-unregistered-accepted", ZERO, &["ZERO-011"], "ZEROPAGE fills unregistered memory"),
            ("continue-unregistered-accepted", CONT, &["CONT-009"], "CONTINUE maps into unregistered memory"),
        ],
        |call| match call.pass() {
            Err(Errno::ENOENT) if state::registered_at(call.argument.start()).is_none() => {
                let range = [call.argument.start(), call.argument.len()];
                let mode = if call.request() == UFFDIO_CONTINUE {
                    UFFDIO_REGISTER_MODE_MINOR
                } else {
                    UFFDIO_REGISTER_MODE_MISSING
                };
                if call.also(UFFDIO_REGISTER, &[range[0], range[1], mode, 0]).0.is_err() {
                    return Err(Errno::ENOENT);
                }
                call.forget();
                let answer = call.pass();
                let _ = call.also(UFFDIO_UNREGISTER, &range);
                answer
            }
            answer => answer,
        },
    ));
    list.extend(each(
        [
            ("copy-part-of-hugepage-accepted", COPY, &["COPY-035"], "COPY to part of a hugepage fills the whole"),
            ("zeropage-of-hugetlb-accepted", ZERO, &["ZERO-005"], "ZEROPAGE of hugetlb succeeds"),
            (
                "continue-part-of-hugepage-accepted",
                CONT,
                &["CONT-015"],
                "CONTINUE of part of a hugepage maps the whole",
            ),
        ],
        |call| match call.pass() {
            Err(Errno::EINVAL) if call.after().field() == -(Errno::EINVAL as i64) as u64 => whole_hugepage(call),
            answer => answer,
        },
    ));
    list.extend(each(
        [
            ("copy-target-gone-succeeds", COPY, &["COPY-025", "LIFE-001"], "COPY to an exited process succeeds"),
            (
                "zeropage-target-gone-succeeds",
                ZERO,
                &["ZERO-013", "LIFE-001"],
                "ZEROPAGE for an exited process succeeds",
            ),
            (
                "continue-target-gone-succeeds",
                CONT,
                &["CONT-020", "LIFE-001"],
                "CONTINUE for an exited process succeeds",
            ),
        ],
        |call| call.pass().or_else(|errno| if errno == Errno::ESRCH { pretend(call) } else { Err(errno) }),
    ));
    list.extend(each(
        [
            ("copy-does-not-wait-for-events", COPY, &["COPY-024"], "COPY succeeds while an event is pending"),
            ("zeropage-does-not-wait-for-events", ZERO, &["ZERO-012"], "ZEROPAGE succeeds while an event is pending"),
            ("continue-does-not-wait-for-events", CONT, &["CONT-019"], "CONTINUE succeeds while an event is pending"),
        ],
        |call| match call.pass() {
            Err(Errno::EAGAIN) if call.after().done() == 0 => pretend(call),
            answer => answer,
        },
    ));
    list
}

fn whole_hugepage(call: &Call<'_>) -> Answer {
    let size = kernel::default_hugepage_size() as u64;
    let whole = call.argument.rounded(size);
    if call.request() == UFFDIO_CONTINUE {
        return call.with(whole);
    }
    let content = vec![0_u8; whole.len() as usize];
    let words = [whole.start(), content.as_ptr() as u64, whole.len(), call.argument.mode(), 0];
    let (answer, after) = call.also(UFFDIO_COPY, &words);
    call.tell_field(after.field());
    answer
}

fn strict() -> Vec<Perversion> {
    let mut list = Vec::new();
    list.extend(each(
        [
            ("copy-missing-only", COPY, &["COPY-019"], "COPY asks for a range registered for MISSING"),
            ("zeropage-missing-only", ZERO, &["ZERO-016"], "ZEROPAGE asks for a range registered for MISSING"),
            ("continue-minor-only", CONT, &["CONT-011"], "CONTINUE asks for a range registered for MINOR"),
        ],
        |call| {
            let minor = call.request() == UFFDIO_CONTINUE;
            let wanted = if minor { UFFDIO_REGISTER_MODE_MINOR } else { UFFDIO_REGISTER_MODE_MISSING };
            if mode_of_range(call) & wanted == 0 { Err(Errno::EINVAL) } else { call.pass() }
        },
    ));
    list.push(copy("copy-wp-asks-for-missing", &["COPY-018"], "MODE_WP asks for MISSING beside WP", |call| {
        let missing = mode_of_range(call) & UFFDIO_REGISTER_MODE_MISSING != 0;
        if call.argument.mode() & FILL_WP == 0 || missing { call.pass() } else { Err(Errno::EINVAL) }
    }));
    list.push(copy(
        "copy-unaligned-source-refused",
        &["COPY-010", "COPY-036"],
        "a source that is not aligned is EINVAL",
        |call| {
            if call.argument.src().is_multiple_of(PAGE) { call.pass() } else { Err(Errno::EINVAL) }
        },
    ));
    list.push(copy("copy-odd-source-refused", &["COPY-010"], "a source at an odd address is EINVAL", |call| {
        if call.argument.src().is_multiple_of(2) { call.pass() } else { Err(Errno::EINVAL) }
    }));
    list.push(copy(
        "copy-source-rounded-down",
        &["COPY-010", "COPY-036"],
        "a source is rounded down to its page",
        |call| call.with(call.argument.with_src(call.argument.src() & !(PAGE - 1))),
    ));
    list.push(copy(
        "copy-source-not-faulted-in",
        &["COPY-014"],
        "a source page that is not mapped yet is EFAULT",
        |call| {
            let mapped = PageState::of(call.argument.src() as usize).map_or(true, |state| state.present());
            if mapped || !call.argument.is_aligned() {
                return call.pass();
            }
            call.tell_field(-(Errno::EFAULT as i64) as u64);
            Err(Errno::EFAULT)
        },
    ));
    list.push(copy(
        "copy-far-source-is-enoent",
        &["COPY-011"],
        "a source beyond the task's addresses is ENOENT",
        |call| {
            let far = call.argument.src().checked_add(call.argument.len()).is_none_or(|end| end > 0x7fff_ffff_f000);
            if far && call.argument.is_aligned() { Err(Errno::ENOENT) } else { call.pass() }
        },
    ));
    list.push(new("continue-private-refused", &["CONT-012"], "CONTINUE of a private mapping is EINVAL").ioctl(
        CONT,
        |call| {
            let private = super::vmas::at(call.argument.start()).is_some_and(|vma| !vma.shared);
            if private { Err(Errno::EINVAL) } else { call.pass() }
        },
    ));
    list.push(copy(
        "copy-of-minor-fault-refused",
        &["CONT-013"],
        "COPY over a page of the file is EEXIST in private mappings too",
        |call| {
            let minor = mode_of_range(call) & UFFDIO_REGISTER_MODE_MINOR != 0 && mode_of_range(call) != u64::MAX;
            if minor { Err(Errno::EEXIST) } else { call.pass() }
        },
    ));
    list
}
