//! One errno of a fill in place of another, in the result field too where it stands there.

use nix::errno::Errno;

use super::{Perversion, new};
use crate::uapi::{UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_ZEROPAGE};

const COPY: &[u64] = &[UFFDIO_COPY];
const ZERO: &[u64] = &[UFFDIO_ZEROPAGE];
const CONT: &[u64] = &[UFFDIO_CONTINUE];

/// Whether the result field tells of the failure too: it does for what is found in the target's memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    InField,
    Not,
}
use Told::{InField, Not};

struct Row(&'static str, &'static [u64], Errno, Told, Errno, &'static [&'static str], &'static str);

const ROWS: &[Row] = &[
    Row(
        "copy-eexist-is-einval",
        COPY,
        Errno::EEXIST,
        InField,
        Errno::EINVAL,
        &["COPY-006", "COPY-008", "COPY-037"],
        "COPY over a page is EINVAL",
    ),
    Row(
        "copy-eexist-is-eagain",
        COPY,
        Errno::EEXIST,
        InField,
        Errno::EAGAIN,
        &["COPY-006", "COPY-008"],
        "COPY over a page is EAGAIN",
    ),
    Row(
        "copy-efault-is-einval",
        COPY,
        Errno::EFAULT,
        InField,
        Errno::EINVAL,
        &["COPY-012"],
        "COPY from nowhere is EINVAL",
    ),
    Row(
        "copy-enoent-is-einval",
        COPY,
        Errno::ENOENT,
        InField,
        Errno::EINVAL,
        &["COPY-020", "COPY-021", "COPY-022"],
        "COPY to an unregistered range is EINVAL",
    ),
    Row(
        "copy-enoent-is-efault",
        COPY,
        Errno::ENOENT,
        InField,
        Errno::EFAULT,
        &["COPY-020", "COPY-021", "COPY-022"],
        "COPY to an unregistered range is EFAULT",
    ),
    Row(
        "copy-bad-range-is-enoent",
        COPY,
        Errno::EINVAL,
        Not,
        Errno::ENOENT,
        &["COPY-009", "COPY-015"],
        "a bad argument of COPY is ENOENT",
    ),
    Row(
        "copy-wp-is-enoent",
        COPY,
        Errno::EINVAL,
        InField,
        Errno::ENOENT,
        &["COPY-016", "COPY-035"],
        "COPY that does not suit the range is ENOENT",
    ),
    Row(
        "copy-esrch-is-enospc",
        COPY,
        Errno::ESRCH,
        Not,
        Errno::ENOSPC,
        &["COPY-025", "LIFE-001", "POLL-030"],
        "COPY to an exited process is ENOSPC",
    ),
    Row(
        "copy-esrch-is-enoent",
        COPY,
        Errno::ESRCH,
        Not,
        Errno::ENOENT,
        &["COPY-025", "LIFE-001", "POLL-030"],
        "COPY to an exited process is ENOENT",
    ),
    Row(
        "copy-event-pending-is-ebusy",
        COPY,
        Errno::EAGAIN,
        InField,
        Errno::EBUSY,
        &["COPY-024"],
        "COPY while an event is pending is EBUSY",
    ),
    Row(
        "zeropage-eexist-is-einval",
        ZERO,
        Errno::EEXIST,
        InField,
        Errno::EINVAL,
        &["ZERO-006"],
        "ZEROPAGE over a page is EINVAL",
    ),
    Row(
        "zeropage-enoent-is-einval",
        ZERO,
        Errno::ENOENT,
        InField,
        Errno::EINVAL,
        &["ZERO-011"],
        "ZEROPAGE of an unregistered range is EINVAL",
    ),
    Row(
        "zeropage-bad-range-is-enoent",
        ZERO,
        Errno::EINVAL,
        Not,
        Errno::ENOENT,
        &["ZERO-008", "ZERO-009"],
        "a bad argument of ZEROPAGE is ENOENT",
    ),
    Row(
        "zeropage-of-hugetlb-is-enosys",
        ZERO,
        Errno::EINVAL,
        InField,
        Errno::ENOSYS,
        &["ZERO-005"],
        "ZEROPAGE of hugetlb is ENOSYS",
    ),
    Row(
        "zeropage-esrch-is-enospc",
        ZERO,
        Errno::ESRCH,
        Not,
        Errno::ENOSPC,
        &["ZERO-013", "LIFE-001", "POLL-030"],
        "ZEROPAGE for an exited process is ENOSPC",
    ),
    Row(
        "zeropage-event-pending-is-ebusy",
        ZERO,
        Errno::EAGAIN,
        InField,
        Errno::EBUSY,
        &["ZERO-012"],
        "ZEROPAGE while an event is pending is EBUSY",
    ),
    Row(
        "continue-eexist-is-einval",
        CONT,
        Errno::EEXIST,
        InField,
        Errno::EINVAL,
        &["CONT-003"],
        "CONTINUE of a mapped page is EINVAL",
    ),
    Row(
        "continue-efault-is-enoent",
        CONT,
        Errno::EFAULT,
        InField,
        Errno::ENOENT,
        &["CONT-004", "CONT-017"],
        "CONTINUE without a cached page is ENOENT",
    ),
    Row(
        "continue-enoent-is-einval",
        CONT,
        Errno::ENOENT,
        InField,
        Errno::EINVAL,
        &["CONT-009"],
        "CONTINUE of an unregistered range is EINVAL",
    ),
    Row(
        "continue-bad-range-is-enoent",
        CONT,
        Errno::EINVAL,
        Not,
        Errno::ENOENT,
        &["CONT-006"],
        "a bad argument of CONTINUE is ENOENT",
    ),
    Row(
        "continue-of-anon-is-efault",
        CONT,
        Errno::EINVAL,
        InField,
        Errno::EFAULT,
        &["CONT-007", "CONT-010", "CONT-015"],
        "CONTINUE that does not suit the range is EFAULT",
    ),
    Row(
        "continue-einval-is-enoent",
        CONT,
        Errno::EINVAL,
        InField,
        Errno::ENOENT,
        &["CONT-007", "CONT-010", "CONT-015", "CONT-017"],
        "CONTINUE that does not suit the range, or lies behind the file's end, is ENOENT",
    ),
    Row(
        "continue-esrch-is-enospc",
        CONT,
        Errno::ESRCH,
        Not,
        Errno::ENOSPC,
        &["CONT-020", "LIFE-001"],
        "CONTINUE for an exited process is ENOSPC",
    ),
    Row(
        "continue-event-pending-is-ebusy",
        CONT,
        Errno::EAGAIN,
        InField,
        Errno::EBUSY,
        &["CONT-019"],
        "CONTINUE while an event is pending is EBUSY",
    ),
    Row(
        "copy-enomem-is-efault",
        COPY,
        Errno::ENOMEM,
        InField,
        Errno::EFAULT,
        &["COPY-033", "COPY-037"],
        "COPY without memory is EFAULT",
    ),
    Row(
        "copy-enomem-is-einval",
        COPY,
        Errno::ENOMEM,
        InField,
        Errno::EINVAL,
        &["COPY-031", "COPY-033", "COPY-034", "COPY-037"],
        "COPY without memory is EINVAL",
    ),
    Row(
        "copy-efault-is-enoent",
        COPY,
        Errno::EFAULT,
        InField,
        Errno::ENOENT,
        &["COPY-012", "COPY-031", "COPY-032", "COPY-038"],
        "COPY from nowhere or beyond the file is ENOENT",
    ),
    Row(
        "zeropage-efault-is-enoent",
        ZERO,
        Errno::EFAULT,
        InField,
        Errno::ENOENT,
        &["ZERO-017"],
        "ZEROPAGE beyond the file is ENOENT",
    ),
    Row(
        "continue-of-a-lost-page-is-efault",
        CONT,
        Errno::EIO,
        InField,
        Errno::EFAULT,
        &["CONT-016"],
        "CONTINUE of a page that the hardware has lost is EFAULT",
    ),
];

pub(super) fn list() -> Vec<Perversion> {
    let mut list: Vec<Perversion> = ROWS
        .iter()
        .map(|Row(name, request, from, told, to, breaks, what)| {
            new(name, breaks, what).ioctl(request, move |call| {
                let answer = call.pass();
                let in_field = call.after().field() == -(*from as i64) as u64;
                if answer != Err(*from) || in_field != (*told == InField) {
                    return answer;
                }
                if in_field {
                    call.tell_field(-(*to as i64) as u64);
                }
                Err(*to)
            })
        })
        .collect();
    list.push(
        new(
            "zeropage-beyond-the-file-is-einval",
            &["ZERO-017"],
            "ZEROPAGE beyond the file is EINVAL, not EFAULT or ENOMEM",
        )
        .ioctl(ZERO, |call| match call.pass() {
            Err(Errno::EFAULT | Errno::ENOMEM) => {
                call.tell_field(-(Errno::EINVAL as i64) as u64);
                Err(Errno::EINVAL)
            }
            answer => answer,
        }),
    );
    list.push(
        new("fill-efault-of-its-structure-is-einval", &["COPY-026"], "a structure of a fill out of reach is EINVAL")
            .unread(|_, request, answer| {
                let fill = [UFFDIO_COPY, UFFDIO_ZEROPAGE, UFFDIO_CONTINUE].contains(&request);
                answer.map_err(|errno| if fill && errno == Errno::EFAULT { Errno::EINVAL } else { errno })
            }),
    );
    list
}
