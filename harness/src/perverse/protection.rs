//! Fills and write protection: MODE_WP, and the markers of protected and poisoned pages.

use nix::errno::Errno;

use super::call::{Call, FILL_WP};
use super::validation::{CONT, ZERO, copy, mode_of_range, pretend};
use super::{Perversion, new, state};
use crate::memory::page_state::PageState;
use crate::uapi::UFFDIO_WRITEPROTECT;

pub(super) fn list() -> Vec<Perversion> {
    protection()
}

fn protection() -> Vec<Perversion> {
    let protected = |call: &Call<'_>| PageState::of(call.argument.start() as usize).is_ok_and(|state| state.uffd_wp());
    let is_marker = |call: &Call<'_>| {
        PageState::of(call.argument.start() as usize).is_ok_and(|state| state.swapped() && !state.present())
    };
    vec![
        copy(
            "copy-wp-without-registration-accepted",
            &["COPY-016"],
            "MODE_WP is ignored where WP is not registered",
            |call| match call.pass() {
                Err(Errno::EINVAL) if call.argument.mode() & FILL_WP != 0 && call.argument.mode() < 4 => {
                    call.forget();
                    call.with(call.argument.without(FILL_WP))
                }
                answer => answer,
            },
        ),
        new(
            "continue-wp-without-registration-accepted",
            &["CONT-007"],
            "MODE_WP is ignored where WP is not registered",
        )
        .ioctl(CONT, |call| match call.pass() {
            Err(Errno::EINVAL) if call.argument.mode() & FILL_WP != 0 && call.argument.mode() < 4 => {
                call.forget();
                call.with(call.argument.without(FILL_WP))
            }
            answer => answer,
        }),
        copy("copy-wp-ignored", &["COPY-017"], "MODE_WP does not protect", |call| {
            let suits = mode_of_range(call) & 2 != 0;
            if suits { call.with(call.argument.without(FILL_WP)) } else { call.pass() }
        }),
        new("continue-wp-ignored", &["CONT-008"], "MODE_WP does not protect").ioctl(CONT, |call| {
            let suits = mode_of_range(call) & 2 != 0;
            if suits { call.with(call.argument.without(FILL_WP)) } else { call.pass() }
        }),
        copy("copy-wp-first-page-only", &["COPY-017"], "MODE_WP protects the first page only", |call| {
            let answer = call.pass();
            let page = call.page_size();
            if answer.is_ok() && call.argument.mode() & FILL_WP != 0 && call.argument.len() > page {
                let _ = call.also(UFFDIO_WRITEPROTECT, &[call.argument.start() + page, call.argument.len() - page, 2]);
            }
            answer
        }),
        copy(
            "copy-protects-unasked",
            &["COPY-017", "COPY-019", "COPY-039"],
            "COPY into a WP range protects unasked",
            |call| {
                let wp = mode_of_range(call) & 2 != 0 && mode_of_range(call) != u64::MAX;
                if wp { call.with(call.argument.adding(FILL_WP)) } else { call.pass() }
            },
        ),
        new("continue-protects-unasked", &["CONT-008"], "CONTINUE in a WP range protects unasked").ioctl(
            CONT,
            |call| {
                let wp = mode_of_range(call) & 2 != 0 && mode_of_range(call) != u64::MAX;
                if wp { call.with(call.argument.adding(FILL_WP)) } else { call.pass() }
            },
        ),
        new("zeropage-protects", &["ZERO-015"], "ZEROPAGE in a WP range protects").ioctl(ZERO, |call| {
            let answer = call.pass();
            if answer.is_ok() && mode_of_range(call) & 2 != 0 {
                let _ = call.also(UFFDIO_WRITEPROTECT, &[call.argument.start(), call.argument.len(), 1]);
            }
            answer
        }),
        copy("copy-keeps-a-marker", &["COPY-039"], "COPY over a protection marker keeps the protection", move |call| {
            if protected(call) { call.with(call.argument.adding(FILL_WP)) } else { call.pass() }
        }),
        copy("copy-over-marker-refused", &["COPY-039"], "COPY over a protection marker is EEXIST", move |call| {
            if protected(call) { Err(Errno::EEXIST) } else { call.pass() }
        }),
        copy("copy-over-poison-refused", &["COPY-040"], "COPY over a poison marker is EEXIST", move |call| {
            if state::is_poisoned(call.argument.start()) { Err(Errno::EEXIST) } else { call.pass() }
        }),
        new("continue-over-poison-refused", &["CONT-018"], "CONTINUE over a poison marker is EEXIST").ioctl(
            CONT,
            move |call| {
                if state::is_poisoned(call.argument.start()) { Err(Errno::EEXIST) } else { call.pass() }
            },
        ),
        new("zeropage-over-marker-accepted", &["ZERO-014"], "ZEROPAGE over a marker of anonymous memory succeeds")
            .ioctl(ZERO, move |call| {
                let marker = is_marker(call);
                match call.pass() {
                    Err(Errno::EEXIST) if marker => pretend(call),
                    answer => answer,
                }
            }),
        new("zeropage-over-marker-refused", &["ZERO-014"], "ZEROPAGE over a marker of shared memory is EEXIST").ioctl(
            ZERO,
            move |call| {
                if is_marker(call) { Err(Errno::EEXIST) } else { call.pass() }
            },
        ),
    ]
}
