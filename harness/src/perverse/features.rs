//! Features that do nothing although they were granted, that do it unasked, or that must be asked for and should not.

use nix::errno::Errno;

use super::call::{Call, PAGE};
use super::handshake::is_sound;
use super::{Perversion, new, state};
use crate::memory::page_state::PageState;
use crate::uapi::{
    UFFD_FEATURE_EVENT_FORK, UFFD_FEATURE_EVENT_REMAP, UFFD_FEATURE_EVENT_REMOVE, UFFD_FEATURE_EVENT_UNMAP,
    UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_MINOR_HUGETLBFS, UFFD_FEATURE_MINOR_SHMEM, UFFD_FEATURE_MISSING_HUGETLBFS,
    UFFD_FEATURE_MISSING_SHMEM, UFFD_FEATURE_MOVE, UFFD_FEATURE_POISON, UFFD_FEATURE_SIGBUS, UFFD_FEATURE_THREAD_ID,
    UFFD_FEATURE_WP_ASYNC, UFFD_FEATURE_WP_UNPOPULATED, UFFDIO_API, UFFDIO_MOVE, UFFDIO_POISON, UFFDIO_REGISTER,
    UFFDIO_REGISTER_MODE_MINOR, UFFDIO_WRITEPROTECT,
};

pub(super) fn list() -> Vec<Perversion> {
    let mut list = features();
    list.extend(advisory());
    list
}

fn has_feature(call: &Call<'_>, feature: u64) -> bool {
    state::of(call.fd, |descriptor| descriptor.features.is_some_and(|features| features & feature != 0))
}

fn ignored(name: &'static str, breaks: &'static [&'static str], what: &'static str, feature: u64) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_API], move |call| call.with(call.argument.without(feature)))
}

fn always(name: &'static str, breaks: &'static [&'static str], what: &'static str, feature: u64) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_API], move |call| {
        if is_sound(call) { call.with(call.argument.adding(feature)) } else { call.pass() }
    })
}

fn features() -> Vec<Perversion> {
    vec![
        ignored(
            "sigbus-ignored",
            &["API-002", "FAULT-046", "FAULT-047", "FAULT-048"],
            "SIGBUS is granted and does nothing",
            UFFD_FEATURE_SIGBUS,
        ),
        ignored(
            "thread-id-ignored",
            &["API-002", "FAULT-007", "FAULT-040"],
            "THREAD_ID is granted and does nothing",
            UFFD_FEATURE_THREAD_ID,
        ),
        ignored(
            "exact-address-ignored",
            &["API-002", "FAULT-005"],
            "EXACT_ADDRESS is granted and does nothing",
            UFFD_FEATURE_EXACT_ADDRESS,
        ),
        ignored(
            "wp-unpopulated-ignored",
            &["API-002", "FAULT-023"],
            "WP_UNPOPULATED is granted and does nothing",
            UFFD_FEATURE_WP_UNPOPULATED,
        ),
        ignored("wp-async-ignored", &["API-002"], "WP_ASYNC is granted and does nothing", UFFD_FEATURE_WP_ASYNC),
        ignored("event-fork-ignored", &["API-002"], "EVENT_FORK is granted and does nothing", UFFD_FEATURE_EVENT_FORK),
        ignored(
            "event-remap-ignored",
            &["API-002"],
            "EVENT_REMAP is granted and does nothing",
            UFFD_FEATURE_EVENT_REMAP,
        ),
        ignored(
            "event-remove-ignored",
            &["API-002", "COPY-024", "ZERO-012", "CONT-019"],
            "EVENT_REMOVE is granted and does nothing",
            UFFD_FEATURE_EVENT_REMOVE,
        ),
        ignored(
            "event-unmap-ignored",
            &["API-002"],
            "EVENT_UNMAP is granted and does nothing",
            UFFD_FEATURE_EVENT_UNMAP,
        ),
        always("sigbus-always", &["API-002", "FAULT-001"], "faults are signals unasked", UFFD_FEATURE_SIGBUS),
        always("thread-id-always", &["API-002", "FAULT-007"], "ptid is filled unasked", UFFD_FEATURE_THREAD_ID),
        always(
            "exact-address-always",
            &["API-002", "FAULT-003", "FAULT-004"],
            "addresses are exact unasked",
            UFFD_FEATURE_EXACT_ADDRESS,
        ),
        always(
            "wp-unpopulated-always",
            &["API-002", "FAULT-023"],
            "holes can be protected unasked",
            UFFD_FEATURE_WP_UNPOPULATED,
        ),
        always(
            "wp-async-always",
            &["API-002", "FAULT-019"],
            "protected pages let writes through unasked",
            UFFD_FEATURE_WP_ASYNC,
        ),
        always("event-remap-always", &["API-002"], "mremap waits for a reader unasked", UFFD_FEATURE_EVENT_REMAP),
        always("event-remove-always", &["API-002"], "madvise waits for a reader unasked", UFFD_FEATURE_EVENT_REMOVE),
        always("event-unmap-always", &["API-002"], "munmap waits for a reader unasked", UFFD_FEATURE_EVENT_UNMAP),
        new("protection-of-holes-ignored", &["FAULT-023"], "WRITEPROTECT passes over holes").ioctl(
            &[UFFDIO_WRITEPROTECT],
            |call| {
                let hole = PageState::of(call.argument.start() as usize).is_ok_and(|state| !state.present());
                if hole && call.argument.mode() & 1 != 0 { Ok(0) } else { call.pass() }
            },
        ),
        new("protection-drops-pages", &["FAULT-019", "FAULT-035"], "protected pages lose their content").ioctl(
            &[UFFDIO_WRITEPROTECT],
            |call| {
                let answer = call.pass();
                if answer.is_ok() && call.argument.mode() & 1 != 0 {
                    super::content::drop_pages(call);
                }
                answer
            },
        ),
        new("wp-async-needs-wp-unpopulated", &["API-015"], "WP_ASYNC alone does not let holes be protected").ioctl(
            &[UFFDIO_WRITEPROTECT],
            |call| {
                let hole = PageState::of(call.argument.start() as usize).is_ok_and(|state| !state.present());
                let alone = has_feature(call, UFFD_FEATURE_WP_ASYNC) && !has_feature(call, UFFD_FEATURE_WP_UNPOPULATED);
                if hole && alone && call.argument.len() >= PAGE { Ok(0) } else { call.pass() }
            },
        ),
    ]
}

fn advisory() -> Vec<Perversion> {
    vec![
        new("minor-must-be-asked-for", &["API-018"], "REGISTER for MINOR needs a MINOR feature").ioctl(
            &[UFFDIO_REGISTER],
            |call| {
                let minor = call.argument.mode() & UFFDIO_REGISTER_MODE_MINOR != 0;
                let asked = has_feature(call, UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS);
                if minor && !asked { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        new("file-memory-must-be-asked-for", &["API-018"], "REGISTER of a file's memory needs a feature").ioctl(
            &[UFFDIO_REGISTER],
            |call| {
                let file = super::vmas::at(call.argument.start())
                    .is_some_and(|vma| !vma.path.is_empty() && !vma.path.starts_with('['));
                let asked = has_feature(call, UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS);
                if file && !asked { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        new("poison-must-be-asked-for", &["API-018"], "POISON needs its feature").ioctl(&[UFFDIO_POISON], |call| {
            if has_feature(call, UFFD_FEATURE_POISON) { call.pass() } else { Err(Errno::EINVAL) }
        }),
        new("move-must-be-asked-for", &["API-018"], "MOVE needs its feature").ioctl(&[UFFDIO_MOVE], |call| {
            if has_feature(call, UFFD_FEATURE_MOVE) { call.pass() } else { Err(Errno::EINVAL) }
        }),
    ]
}
