//! Ranges of several pages: partial progress misreported, made where none is due, or none where some is.

use nix::errno::Errno;

use super::call::{Answer, Call, PAGE};
use super::{Perversion, new, vmas};
use crate::uapi::{UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_ZEROPAGE};

const COPY: &[u64] = &[UFFDIO_COPY];
const ZERO: &[u64] = &[UFFDIO_ZEROPAGE];
const CONT: &[u64] = &[UFFDIO_CONTINUE];

/// An answer of EAGAIN with some bytes done, changed.
fn partial(call: &Call<'_>, change: impl Fn(&Call<'_>, u64) -> Answer) -> Answer {
    match call.pass() {
        Err(Errno::EAGAIN) if call.after().done() > 0 => change(call, call.after().done()),
        answer => answer,
    }
}

/// The fill of each page of the range on its own, as long as they succeed; the last answer.
fn page_by_page(call: &Call<'_>, most: u64) -> Answer {
    let (argument, page) = (call.argument, call.page_size());
    let mut answer = Err(Errno::EINVAL);
    let mut done = 0;
    while done < argument.len().min(most) {
        let src = if argument.src() == 0 { 0 } else { argument.src() + done };
        let one = argument.with_start(argument.start() + done).with_src(src).with_len(page);
        call.forget();
        answer = call.with(one);
        if answer.is_err() {
            break;
        }
        done += page;
    }
    if done > 0 {
        call.tell_field(done);
    }
    answer
}

type Row = (&'static str, &'static [u64], &'static [&'static str], &'static str);

fn each(rows: [Row; 3], hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + Copy + 'static) -> Vec<Perversion> {
    rows.into_iter().map(|(name, request, breaks, what)| new(name, breaks, what).ioctl(request, hook)).collect()
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = misreported();
    list.extend(made());
    list
}

fn misreported() -> Vec<Perversion> {
    let mut list = Vec::new();
    list.extend(each(
        [
            ("copy-partial-is-success", COPY, &["COPY-007"], "a COPY that stops in the middle succeeds"),
            ("zeropage-partial-is-success", ZERO, &["ZERO-007"], "a ZEROPAGE that stops in the middle succeeds"),
            ("continue-partial-is-success", CONT, &["CONT-005"], "a CONTINUE that stops in the middle succeeds"),
        ],
        |call| partial(call, |_, _| Ok(0)),
    ));
    list.extend(each(
        [
            (
                "copy-partial-is-the-cause",
                COPY,
                &["COPY-007"],
                "a COPY that stops in the middle tells why instead of how far",
            ),
            (
                "zeropage-partial-is-the-cause",
                ZERO,
                &["ZERO-007"],
                "a ZEROPAGE that stops in the middle tells why instead of how far",
            ),
            (
                "continue-partial-is-the-cause",
                CONT,
                &["CONT-005"],
                "a CONTINUE that stops in the middle tells why instead of how far",
            ),
        ],
        |call| {
            partial(call, |call, _| {
                call.tell_field(-(Errno::EEXIST as i64) as u64);
                Err(Errno::EEXIST)
            })
        },
    ));
    list.extend(each(
        [
            ("copy-partial-a-page-more", COPY, &["COPY-007"], "partial progress of COPY is told a page too far"),
            (
                "zeropage-partial-a-page-more",
                ZERO,
                &["ZERO-007"],
                "partial progress of ZEROPAGE is told a page too far",
            ),
            (
                "continue-partial-a-page-more",
                CONT,
                &["CONT-005"],
                "partial progress of CONTINUE is told a page too far",
            ),
        ],
        |call| {
            partial(call, |call, done| {
                call.tell_field(done + call.page_size());
                Err(Errno::EAGAIN)
            })
        },
    ));
    list.extend(each(
        [
            ("copy-partial-of-one-page", COPY, &["COPY-007"], "partial progress of COPY is told as one page"),
            ("zeropage-partial-of-one-page", ZERO, &["ZERO-007"], "partial progress of ZEROPAGE is told as one page"),
            ("continue-partial-of-one-page", CONT, &["CONT-005"], "partial progress of CONTINUE is told as one page"),
        ],
        |call| {
            partial(call, |call, _| {
                call.tell_field(call.page_size());
                Err(Errno::EAGAIN)
            })
        },
    ));
    list.extend(each(
        [
            ("copy-partial-untold", COPY, &["COPY-007"], "partial progress of COPY is told as EAGAIN alone"),
            ("zeropage-partial-untold", ZERO, &["ZERO-007"], "partial progress of ZEROPAGE is told as EAGAIN alone"),
            ("continue-partial-untold", CONT, &["CONT-005"], "partial progress of CONTINUE is told as EAGAIN alone"),
        ],
        |call| {
            partial(call, |call, _| {
                call.tell_field(-(Errno::EAGAIN as i64) as u64);
                Err(Errno::EAGAIN)
            })
        },
    ));
    list.extend(each(
        [
            ("copy-partial-is-eintr", COPY, &["COPY-007"], "a COPY that stops in the middle is EINTR"),
            ("zeropage-partial-is-eintr", ZERO, &["ZERO-007"], "a ZEROPAGE that stops in the middle is EINTR"),
            ("continue-partial-is-eintr", CONT, &["CONT-005"], "a CONTINUE that stops in the middle is EINTR"),
        ],
        |call| partial(call, |_, _| Err(Errno::EINTR)),
    ));
    list
}

fn made() -> Vec<Perversion> {
    let mut list = Vec::new();
    list.extend(each(
        [
            ("copy-first-page-only", COPY, &["COPY-001"], "COPY of several pages does the first and claims all"),
            (
                "zeropage-first-page-only",
                ZERO,
                &["ZERO-001"],
                "ZEROPAGE of several pages does the first and claims all",
            ),
            (
                "continue-first-page-only",
                CONT,
                &["CONT-001"],
                "CONTINUE of several pages does the first and claims all",
            ),
        ],
        |call| {
            let (len, page) = (call.argument.len(), call.page_size());
            if len <= page || !call.argument.is_aligned() {
                return call.pass();
            }
            let answer = call.with(call.argument.with_len(page));
            if answer.is_ok() {
                call.tell_field(len);
            }
            answer
        },
    ));
    list.extend(each(
        [
            (
                "copy-last-page-left-out",
                COPY,
                &["COPY-001"],
                "COPY of several pages leaves the last one out and claims all",
            ),
            (
                "zeropage-last-page-left-out",
                ZERO,
                &["ZERO-001"],
                "ZEROPAGE of several pages leaves the last one out and claims all",
            ),
            (
                "continue-last-page-left-out",
                CONT,
                &["CONT-001"],
                "CONTINUE of several pages leaves the last one out and claims all",
            ),
        ],
        |call| {
            let (len, page) = (call.argument.len(), call.page_size());
            if len <= page || !call.argument.is_aligned() {
                return call.pass();
            }
            let answer = call.with(call.argument.with_len(len - page));
            if answer.is_ok() {
                call.tell_field(len);
                call.wake(call.argument.end() - page, page);
            }
            answer
        },
    ));
    list.extend(each(
        [
            ("copy-one-page-more", COPY, &["COPY-001"], "COPY fills the page behind its range too"),
            ("zeropage-one-page-more", ZERO, &["ZERO-001"], "ZEROPAGE fills the page behind its range too"),
            ("continue-one-page-more", CONT, &["CONT-001"], "CONTINUE maps the page behind its range too"),
        ],
        |call| {
            let answer = call.pass();
            if answer.is_ok() {
                let (argument, page) = (call.argument, call.page_size());
                let request = call.request();
                let zeros = vec![0_u8; page as usize];
                let words = match request {
                    UFFDIO_COPY => [argument.end(), zeros.as_ptr() as u64, page, 1, 0],
                    _ => [argument.end(), page, 1, 0, 0],
                };
                let _ = call.also(request, &words);
            }
            answer
        },
    ));
    list.extend(each(
        [
            ("copy-several-pages-refused", COPY, &["COPY-001"], "COPY takes one page at a time only"),
            ("zeropage-several-pages-refused", ZERO, &["ZERO-001"], "ZEROPAGE takes one page at a time only"),
            ("continue-several-pages-refused", CONT, &["CONT-001"], "CONTINUE takes one page at a time only"),
        ],
        |call| {
            if call.argument.len() > call.page_size() && call.argument.is_aligned() {
                Err(Errno::EINVAL)
            } else {
                call.pass()
            }
        },
    ));
    list.extend(each(
        [
            ("copy-stops-half-way", COPY, &["COPY-001"], "COPY of several pages stops after the first"),
            ("zeropage-stops-half-way", ZERO, &["ZERO-001"], "ZEROPAGE of several pages stops after the first"),
            ("continue-stops-half-way", CONT, &["CONT-001"], "CONTINUE of several pages stops after the first"),
        ],
        |call| {
            let page = call.page_size();
            if call.argument.len() <= page || !call.argument.is_aligned() {
                return call.pass();
            }
            call.with(call.argument.with_len(page)).and(Err(Errno::EAGAIN))
        },
    ));
    list.extend(each(
        [
            ("copy-crosses-mappings", COPY, &["COPY-021"], "COPY goes on from one mapping into the next"),
            ("zeropage-crosses-mappings", ZERO, &["ZERO-011"], "ZEROPAGE goes on from one mapping into the next"),
            ("continue-crosses-mappings", CONT, &["CONT-009"], "CONTINUE goes on from one mapping into the next"),
        ],
        |call| match call.pass() {
            Err(Errno::ENOENT) if several(call) => page_by_page(call, u64::MAX),
            answer => answer,
        },
    ));
    list.extend(each(
        [
            (
                "copy-fills-up-to-the-mapping's-end",
                COPY,
                &["COPY-021", "COPY-022"],
                "COPY beyond a mapping fills it up to its end, then fails",
            ),
            (
                "zeropage-fills-up-to-the-mapping's-end",
                ZERO,
                &["ZERO-011"],
                "ZEROPAGE beyond a mapping fills it up to its end, then fails",
            ),
            (
                "continue-fills-up-to-the-mapping's-end",
                CONT,
                &["CONT-009"],
                "CONTINUE beyond a mapping fills it up to its end, then fails",
            ),
        ],
        |call| {
            let answer = call.pass();
            let end = vmas::at(call.argument.start()).map_or(0, |vma| vma.end);
            if answer == Err(Errno::ENOENT) && end > call.argument.start() && end < call.argument.end() {
                let failed = call.after();
                let _ = page_by_page(call, end - call.argument.start());
                call.tell(failed);
            }
            answer
        },
    ));
    list.push(
        new(
            "copy-unreadable-end-refuses-all",
            &["COPY-013"],
            "COPY reads the whole source before it fills the first page",
        )
        .ioctl(COPY, |call| {
            let sound = call.argument.is_aligned() && call.argument.len() > PAGE && call.argument.len() < 1 << 30;
            if sound && call.content().is_none() {
                call.tell_field(-(Errno::EFAULT as i64) as u64);
                return Err(Errno::EFAULT);
            }
            call.pass()
        }),
    );
    list
}

fn several(call: &Call<'_>) -> bool {
    let (start, end) = (call.argument.start(), call.argument.end());
    end > start && end - start < 1 << 30 && vmas::within(start, end).len() > 1
}
