//! Bitmasks with a bit too few or too many: features and ioctls of the handshake, ioctls of a registered range.

use super::call::Call;
use super::{Perversion, new};
use crate::uapi::{
    _UFFDIO_API, _UFFDIO_CONTINUE, _UFFDIO_COPY, _UFFDIO_MOVE, _UFFDIO_POISON, _UFFDIO_REGISTER, _UFFDIO_RWPROTECT,
    _UFFDIO_UNREGISTER, _UFFDIO_WAKE, _UFFDIO_WRITEPROTECT, _UFFDIO_ZEROPAGE, UFFD_FEATURE_EVENT_FORK,
    UFFD_FEATURE_EVENT_UNMAP, UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_MINOR_SHMEM, UFFD_FEATURE_MISSING_HUGETLBFS,
    UFFD_FEATURE_MISSING_SHMEM, UFFD_FEATURE_MOVE, UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFD_FEATURE_POISON,
    UFFD_FEATURE_SIGBUS, UFFD_FEATURE_THREAD_ID, UFFD_FEATURE_WP_ASYNC, UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    UFFD_FEATURE_WP_UNPOPULATED, UFFDIO_API, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MINOR, UFFDIO_REGISTER_MODE_WP,
};

/// What a kernel with one feature fewer says, although it has it.
fn lacks(name: &'static str, what: &'static str, feature: u64) -> Perversion {
    new(name, &["API-002"], what).ioctl(&[UFFDIO_API], move |call| {
        let answer = call.pass();
        if answer.is_ok() {
            let after = call.after();
            call.tell(after.with_mode(after.mode() & !feature));
        }
        answer
    })
}

/// The ioctls of a successful call, changed.
fn ioctls(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    request: &'static [u64],
    change: impl Fn(&Call<'_>, u64) -> u64 + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(request, move |call| {
        let answer = call.pass();
        if answer.is_ok() {
            call.tell_field(change(call, call.after().field()));
        }
        answer
    })
}

const API: &[u64] = &[UFFDIO_API];
const REGISTER: &[u64] = &[UFFDIO_REGISTER];
const MASKS: &[&str] = &["REG-041", "REG-042", "REG-043"];

fn is_hugetlb(ioctls: u64) -> bool {
    ioctls >> _UFFDIO_ZEROPAGE & 1 == 0
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = handshake();
    list.extend(registered());
    list
}

fn handshake() -> Vec<Perversion> {
    vec![
        lacks("features-lack-wp", "PAGEFAULT_FLAG_WP is there and not told", UFFD_FEATURE_PAGEFAULT_FLAG_WP),
        lacks("features-lack-event-fork", "EVENT_FORK is there and not told", UFFD_FEATURE_EVENT_FORK),
        lacks("features-lack-event-unmap", "EVENT_UNMAP is there and not told", UFFD_FEATURE_EVENT_UNMAP),
        lacks(
            "features-lack-missing-hugetlbfs",
            "MISSING_HUGETLBFS is there and not told",
            UFFD_FEATURE_MISSING_HUGETLBFS,
        ),
        lacks("features-lack-missing-shmem", "MISSING_SHMEM is there and not told", UFFD_FEATURE_MISSING_SHMEM),
        lacks("features-lack-sigbus", "SIGBUS is there and not told", UFFD_FEATURE_SIGBUS),
        lacks("features-lack-thread-id", "THREAD_ID is there and not told", UFFD_FEATURE_THREAD_ID),
        lacks("features-lack-minor-shmem", "MINOR_SHMEM is there and not told", UFFD_FEATURE_MINOR_SHMEM),
        lacks("features-lack-exact-address", "EXACT_ADDRESS is there and not told", UFFD_FEATURE_EXACT_ADDRESS),
        lacks(
            "features-lack-wp-hugetlbfs-shmem",
            "WP_HUGETLBFS_SHMEM is there and not told",
            UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
        ),
        lacks("features-lack-wp-unpopulated", "WP_UNPOPULATED is there and not told", UFFD_FEATURE_WP_UNPOPULATED),
        lacks("features-lack-poison", "POISON is there and not told", UFFD_FEATURE_POISON),
        lacks("features-lack-wp-async", "WP_ASYNC is there and not told", UFFD_FEATURE_WP_ASYNC),
        lacks("features-lack-move", "MOVE is there and not told", UFFD_FEATURE_MOVE),
        new("features-hold-one-too-many", &["API-002", "API-003"], "a feature is told that nobody knows").ioctl(
            API,
            |call| {
                let answer = call.pass();
                if answer.is_ok() {
                    let after = call.after();
                    call.tell(after.with_mode(after.mode() | 1 << 40));
                }
                answer
            },
        ),
        new("features-hold-the-internal-bit", &["API-003", "API-007"], "the kernel's own bit 31 is told").ioctl(
            API,
            |call| {
                let answer = call.pass();
                if answer.is_ok() {
                    let after = call.after();
                    call.tell(after.with_mode(after.mode() | 1 << 31));
                }
                answer
            },
        ),
        new("features-are-those-asked-for", &["API-002"], "features holds no more than was asked for").ioctl(
            API,
            |call| {
                let answer = call.pass();
                if answer.is_ok() && call.argument.mode() != 0 {
                    call.tell(call.after().with_mode(call.argument.mode()));
                }
                answer
            },
        ),
        new("features-untouched", &["API-001", "API-002"], "features comes back as it was").ioctl(API, |call| {
            let answer = call.pass();
            if answer.is_ok() {
                call.tell(call.after().with_mode(call.argument.mode()));
            }
            answer
        }),
        ioctls("api-ioctls-lack-api", &["API-004"], "the handshake is not among its ioctls", API, |_, mask| {
            mask & !(1 << _UFFDIO_API)
        }),
        ioctls(
            "api-ioctls-lack-register",
            &["API-004"],
            "REGISTER is not among the handshake's ioctls",
            API,
            |_, mask| mask & !(1 << _UFFDIO_REGISTER),
        ),
        ioctls(
            "api-ioctls-lack-unregister",
            &["API-004"],
            "UNREGISTER is not among the handshake's ioctls",
            API,
            |_, mask| mask & !(1 << _UFFDIO_UNREGISTER),
        ),
        ioctls("api-ioctls-hold-copy", &["API-004"], "COPY is among the handshake's ioctls", API, |_, mask| {
            mask | 1 << _UFFDIO_COPY
        }),
        ioctls(
            "api-ioctls-untouched",
            &["API-001", "API-004"],
            "the handshake does not write ioctls",
            API,
            |call, _| call.argument.field(),
        ),
    ]
}

fn registered() -> Vec<Perversion> {
    let bit = |number: u64| 1_u64 << number;
    vec![
        ioctls("range-ioctls-lack-wake", MASKS, "WAKE is missing", REGISTER, move |_, mask| mask & !bit(_UFFDIO_WAKE)),
        ioctls("range-ioctls-lack-copy", MASKS, "COPY is missing", REGISTER, move |_, mask| mask & !bit(_UFFDIO_COPY)),
        ioctls(
            "range-ioctls-lack-zeropage",
            &["REG-041", "REG-042"],
            "ZEROPAGE is missing",
            REGISTER,
            move |_, mask| mask & !bit(_UFFDIO_ZEROPAGE),
        ),
        ioctls(
            "range-ioctls-lack-move",
            &["REG-041", "REG-042", "REG-046"],
            "MOVE is missing",
            REGISTER,
            move |_, mask| mask & !bit(_UFFDIO_MOVE),
        ),
        ioctls(
            "range-ioctls-lack-poison",
            &["REG-041", "REG-042", "REG-043", "REG-046"],
            "POISON is missing",
            REGISTER,
            move |_, mask| mask & !bit(_UFFDIO_POISON),
        ),
        ioctls(
            "range-ioctls-lack-continue",
            &["REG-042", "REG-043", "REG-045"],
            "CONTINUE is missing with MINOR",
            REGISTER,
            move |_, mask| mask & !bit(_UFFDIO_CONTINUE),
        ),
        ioctls(
            "range-ioctls-lack-writeprotect",
            &["REG-041", "REG-042", "REG-043", "REG-045"],
            "WRITEPROTECT is missing with WP",
            REGISTER,
            move |_, mask| mask & !bit(_UFFDIO_WRITEPROTECT),
        ),
        ioctls(
            "range-ioctls-hold-continue",
            &["REG-045"],
            "CONTINUE is there without MINOR",
            REGISTER,
            move |_, mask| mask | bit(_UFFDIO_CONTINUE),
        ),
        ioctls(
            "range-ioctls-hold-writeprotect",
            &["REG-045"],
            "WRITEPROTECT is there without WP",
            REGISTER,
            move |_, mask| mask | bit(_UFFDIO_WRITEPROTECT),
        ),
        ioctls(
            "range-ioctls-hold-rwprotect",
            &["REG-045"],
            "RWPROTECT is there without RWP",
            REGISTER,
            move |_, mask| mask | bit(_UFFDIO_RWPROTECT),
        ),
        ioctls("range-ioctls-hold-register", MASKS, "REGISTER is among a range's ioctls", REGISTER, move |_, mask| {
            mask | bit(_UFFDIO_REGISTER)
        }),
        ioctls(
            "range-ioctls-hold-zeropage-of-hugetlb",
            &["REG-043", "REG-044", "ZERO-005"],
            "hugetlb has ZEROPAGE",
            REGISTER,
            move |_, mask| mask | bit(_UFFDIO_ZEROPAGE),
        ),
        ioctls(
            "range-ioctls-hold-move-of-hugetlb",
            &["REG-043", "REG-044", "REG-046"],
            "hugetlb has MOVE",
            REGISTER,
            move |_, mask| mask | bit(_UFFDIO_MOVE),
        ),
        ioctls(
            "range-ioctls-of-shmem-lack-move",
            &["REG-042", "REG-046"],
            "MOVE is missing with shmem",
            REGISTER,
            move |call, mask| {
                let file = super::vmas::at(call.argument.start()).is_some_and(|vma| vma.shared);
                if file { mask & !bit(_UFFDIO_MOVE) } else { mask }
            },
        ),
        ioctls(
            "range-ioctls-of-the-first-mapping",
            &["REG-044"],
            "the first mapping alone decides about a range's ioctls",
            REGISTER,
            move |call, mask| {
                let several = super::vmas::within(call.argument.start(), call.argument.end()).len() > 1;
                if several && is_hugetlb(mask) { mask | bit(_UFFDIO_ZEROPAGE) | bit(_UFFDIO_MOVE) } else { mask }
            },
        ),
        ioctls(
            "range-ioctls-of-modes-mixed-up",
            &["REG-045"],
            "WRITEPROTECT comes with MINOR, CONTINUE with WP",
            REGISTER,
            move |call, mask| {
                let mode = call.argument.mode();
                let plain = mask & !(bit(_UFFDIO_CONTINUE) | bit(_UFFDIO_WRITEPROTECT));
                let minor = if mode & UFFDIO_REGISTER_MODE_MINOR == 0 { 0 } else { bit(_UFFDIO_WRITEPROTECT) };
                plain | minor | if mode & UFFDIO_REGISTER_MODE_WP == 0 { 0 } else { bit(_UFFDIO_CONTINUE) }
            },
        ),
        ioctls("range-ioctls-untouched", MASKS, "REGISTER does not write ioctls", REGISTER, |call, _| {
            call.argument.field()
        }),
        ioctls("range-ioctls-zero", MASKS, "REGISTER writes 0 to ioctls", REGISTER, |_, _| 0),
        ioctls(
            "range-ioctls-added-to-what-stood-there",
            &["REG-047"],
            "REGISTER adds to what stood in ioctls",
            REGISTER,
            |call, mask| mask | call.argument.field(),
        ),
    ]
}
