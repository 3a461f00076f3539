//! Result values and result fields of the fills: off, missing, written where they must not be.

use nix::errno::Errno;

use super::call::{Answer, Call, PAGE};
use super::{Perversion, new};
use crate::uapi::{UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_ZEROPAGE};

const COPY: &[u64] = &[UFFDIO_COPY];
const ZERO: &[u64] = &[UFFDIO_ZEROPAGE];
const CONT: &[u64] = &[UFFDIO_CONTINUE];

/// The result field after success, changed.
fn on_success(call: &Call<'_>, change: fn(u64) -> u64) -> Answer {
    let answer = call.pass();
    if answer.is_ok() {
        call.tell_field(change(call.after().field()));
    }
    answer
}

/// The result field that a failure must leave alone, written.
fn on_refusal(call: &Call<'_>, value: fn(Errno) -> u64) -> Answer {
    call.pass().inspect_err(|errno| {
        if call.after().field() == call.argument.field() {
            call.tell_field(value(*errno));
        }
    })
}

/// The result field that a failure writes, changed.
fn on_failure(call: &Call<'_>, change: fn(u64, u64) -> u64) -> Answer {
    call.pass().inspect_err(|_| {
        let field = call.after().field();
        if (field as i64) < 0 && field != call.argument.field() {
            call.tell_field(change(field, call.argument.field()));
        }
    })
}

const fn negative(errno: Errno) -> u64 {
    -(errno as i64) as u64
}

type Row = (&'static str, &'static [u64], &'static [&'static str], &'static str);

fn each(rows: [Row; 3], hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + Copy + 'static) -> Vec<Perversion> {
    rows.into_iter().map(|(name, request, breaks, what)| new(name, breaks, what).ioctl(request, hook)).collect()
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = Vec::new();
    list.extend(each(
        [
            ("copy-field-a-page-less", COPY, &["COPY-001"], "copy is a page short"),
            ("zeropage-field-a-page-less", ZERO, &["ZERO-001"], "zeropage is a page short"),
            ("continue-field-a-page-less", CONT, &["CONT-001"], "mapped is a page short"),
        ],
        |call| on_success(call, |field| field.wrapping_sub(PAGE)),
    ));
    list.extend(each(
        [
            ("copy-field-in-pages", COPY, &["COPY-001"], "copy counts pages"),
            ("zeropage-field-in-pages", ZERO, &["ZERO-001"], "zeropage counts pages"),
            ("continue-field-in-pages", CONT, &["CONT-001"], "mapped counts pages"),
        ],
        |call| on_success(call, |field| field / PAGE),
    ));
    list.extend(each(
        [
            ("copy-field-of-one-page", COPY, &["COPY-001"], "copy is never more than a page"),
            ("zeropage-field-of-one-page", ZERO, &["ZERO-001"], "zeropage is never more than a page"),
            ("continue-field-of-one-page", CONT, &["CONT-001"], "mapped is never more than a page"),
        ],
        |call| {
            let answer = call.pass();
            if answer.is_ok() {
                call.tell_field(call.after().field().min(call.page_size()));
            }
            answer
        },
    ));
    list.extend(each(
        [
            ("copy-field-untouched", COPY, &["COPY-001"], "copy is not written on success"),
            ("zeropage-field-untouched", ZERO, &["ZERO-001"], "zeropage is not written on success"),
            ("continue-field-untouched", CONT, &["CONT-001"], "mapped is not written on success"),
        ],
        |call| {
            let answer = call.pass();
            if answer.is_ok() {
                call.tell_field(call.argument.field());
            }
            answer
        },
    ));
    list.extend(each(
        [
            ("copy-returns-the-bytes", COPY, &["COPY-001"], "COPY returns the number of bytes"),
            ("zeropage-returns-the-bytes", ZERO, &["ZERO-001"], "ZEROPAGE returns the number of bytes"),
            ("continue-returns-the-bytes", CONT, &["CONT-001"], "CONTINUE returns the number of bytes"),
        ],
        |call| call.pass().map(|_| call.after().field() as i32),
    ));
    list.extend(each(
        [
            ("copy-refusal-writes-errno", COPY, &["COPY-009", "COPY-015"], "copy is written by a refusal too"),
            ("zeropage-refusal-writes-errno", ZERO, &["ZERO-008", "ZERO-009"], "zeropage is written by a refusal too"),
            ("continue-refusal-writes-errno", CONT, &["CONT-006"], "mapped is written by a refusal too"),
        ],
        |call| on_refusal(call, negative),
    ));
    list.extend(each(
        [
            ("copy-refusal-writes-0", COPY, &["COPY-009", "COPY-015", "COPY-025"], "copy is zeroed by a refusal"),
            (
                "zeropage-refusal-writes-0",
                ZERO,
                &["ZERO-008", "ZERO-009", "ZERO-013"],
                "zeropage is zeroed by a refusal",
            ),
            ("continue-refusal-writes-0", CONT, &["CONT-006", "CONT-020"], "mapped is zeroed by a refusal"),
        ],
        |call| on_refusal(call, |_| 0),
    ));
    list.extend(each(
        [
            (
                "copy-failure-leaves-field",
                COPY,
                &["COPY-006", "COPY-012", "COPY-020"],
                "copy is not written on failure",
            ),
            ("zeropage-failure-leaves-field", ZERO, &["ZERO-006", "ZERO-005"], "zeropage is not written on failure"),
            ("continue-failure-leaves-field", CONT, &["CONT-003", "CONT-004"], "mapped is not written on failure"),
        ],
        |call| on_failure(call, |_, before| before),
    ));
    list.extend(each(
        [
            ("copy-failure-writes-0", COPY, &["COPY-006", "COPY-012", "COPY-020"], "copy is 0 on failure"),
            ("zeropage-failure-writes-0", ZERO, &["ZERO-006", "ZERO-005"], "zeropage is 0 on failure"),
            ("continue-failure-writes-0", CONT, &["CONT-003", "CONT-004"], "mapped is 0 on failure"),
        ],
        |call| on_failure(call, |_, _| 0),
    ));
    list.extend(each(
        [
            (
                "copy-failure-writes-positive",
                COPY,
                &["COPY-006", "COPY-012", "COPY-020"],
                "copy is a positive errno on failure",
            ),
            (
                "zeropage-failure-writes-positive",
                ZERO,
                &["ZERO-006", "ZERO-005"],
                "zeropage is a positive errno on failure",
            ),
            (
                "continue-failure-writes-positive",
                CONT,
                &["CONT-003", "CONT-004"],
                "mapped is a positive errno on failure",
            ),
        ],
        |call| on_failure(call, |field, _| field.wrapping_neg()),
    ));
    list.extend(each(
        [
            ("copy-event-pending-leaves-field", COPY, &["COPY-024"], "copy is not written while an event is pending"),
            (
                "zeropage-event-pending-leaves-field",
                ZERO,
                &["ZERO-012"],
                "zeropage is not written while an event is pending",
            ),
            (
                "continue-event-pending-leaves-field",
                CONT,
                &["CONT-019"],
                "mapped is not written while an event is pending",
            ),
        ],
        |call| {
            call.pass().inspect_err(|_| {
                if call.after().field() == negative(Errno::EAGAIN) {
                    call.tell_field(call.argument.field());
                }
            })
        },
    ));
    list
}
