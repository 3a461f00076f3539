//! Fills of pages that are there already, mapped or not: overwritten, damaged, dropped, or passed over.

use nix::errno::Errno;

use super::call::{Call, DONTWAKE, PAGE, poke};
use super::content::{CONT, COPY, ZERO, is_present};
use super::{Perversion, new};
use crate::memory::page_state::PageState;
use crate::sys;
use crate::uapi::UFFDIO_CONTINUE;

pub(super) fn list() -> Vec<Perversion> {
    over()
}

/// Whether every page of the range can be written without waiting for a fault to be resolved.
fn is_writable(call: &Call<'_>) -> bool {
    let argument = call.argument;
    let free = |address: u64| PageState::of(address as usize).is_ok_and(|state| state.present() && !state.uffd_wp());
    argument.is_aligned()
        && argument.len() < 1 << 30
        && (argument.start()..argument.end()).step_by(call.page_size() as usize).all(free)
}

/// COPY over a page in such a state succeeds, and changes nothing.
pub(super) fn copy_passes_over(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    such: fn(PageState) -> bool,
) -> Perversion {
    new(name, breaks, what).ioctl(COPY, move |call| {
        let passes = PageState::of(call.argument.start() as usize).is_ok_and(such);
        match call.pass() {
            Err(Errno::EEXIST) if passes => {
                call.tell_field(call.argument.len());
                Ok(0)
            }
            answer => answer,
        }
    })
}

fn over() -> Vec<Perversion> {
    vec![
        new("copy-over-a-page-overwrites", &["COPY-006", "COPY-046"], "COPY over a page replaces its content").ioctl(
            COPY,
            |call| match call.pass() {
                Err(Errno::EEXIST) if is_writable(call) => match call.content() {
                    Some(content) => {
                        poke(call.argument.start() as usize, &content);
                        call.tell_field(call.argument.len());
                        Ok(0)
                    }
                    None => Err(Errno::EEXIST),
                },
                answer => answer,
            },
        ),
        new("copy-over-a-page-succeeds", &["COPY-006", "COPY-046"], "COPY over a page succeeds and changes nothing")
            .ioctl(COPY, |call| match call.pass() {
                Err(Errno::EEXIST) => {
                    call.tell_field(call.argument.len());
                    Ok(0)
                }
                answer => answer,
            }),
        new("copy-over-a-page-damages", &["COPY-006"], "COPY over a page is EEXIST and replaces its content").ioctl(
            COPY,
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EEXIST) && is_writable(call) {
                    let content = call.content().unwrap_or_default();
                    poke(call.argument.start() as usize, &content[..content.len().min(call.page_size() as usize)]);
                }
                answer
            },
        ),
        new("copy-over-a-page-drops-it", &["COPY-006"], "COPY over a page is EEXIST and drops the page").ioctl(
            COPY,
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EEXIST) && is_present(call.argument.start()) {
                    let _ = sys::advise(call.argument.start() as usize, call.page_size() as usize, libc::MADV_DONTNEED);
                }
                answer
            },
        ),
        copy_passes_over(
            "copy-over-a-swapped-page-succeeds",
            &["COPY-041"],
            "COPY over a page in swap succeeds",
            PageState::swapped,
        ),
        new("copy-into-a-huge-page-succeeds", &["COPY-045"], "COPY into a transparent huge page succeeds").ioctl(
            COPY,
            |call| {
                let answer = call.pass();
                let huge = answer == Err(Errno::EEXIST)
                    && crate::memory::vma::within(crate::uffd::Range::new(call.argument.start(), PAGE))
                        .is_ok_and(|vmas| vmas.iter().any(|vma| vma.flags.iter().any(|flag| flag == "hg")));
                if huge {
                    call.tell_field(call.argument.len());
                    return Ok(0);
                }
                answer
            },
        ),
        new("copy-over-a-cached-page-maps-it", &["COPY-029"], "COPY over a page of the file maps that page").ioctl(
            COPY,
            |call| match call.pass() {
                Err(Errno::EEXIST) if !is_present(call.argument.start()) => {
                    let words = [call.argument.start(), call.argument.len(), call.argument.mode() & DONTWAKE, 0];
                    let (answer, after) = call.also(UFFDIO_CONTINUE, &words);
                    call.tell_field(after.field());
                    answer
                }
                answer => answer,
            },
        ),
        new("zeropage-over-a-page-overwrites", &["ZERO-006"], "ZEROPAGE over a page zeroes it").ioctl(ZERO, |call| {
            match call.pass() {
                Err(Errno::EEXIST) if is_writable(call) => {
                    poke(call.argument.start() as usize, &vec![0; call.argument.len() as usize]);
                    call.tell_field(call.argument.len());
                    Ok(0)
                }
                answer => answer,
            }
        }),
        new("zeropage-over-a-page-succeeds", &["ZERO-006"], "ZEROPAGE over a page succeeds and changes nothing").ioctl(
            ZERO,
            |call| match call.pass() {
                Err(Errno::EEXIST) => {
                    call.tell_field(call.argument.len());
                    Ok(0)
                }
                answer => answer,
            },
        ),
        new("zeropage-over-a-page-damages", &["ZERO-006"], "ZEROPAGE over a page is EEXIST and zeroes it").ioctl(
            ZERO,
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EEXIST) && is_writable(call) {
                    poke(call.argument.start() as usize, &[0; PAGE as usize]);
                }
                answer
            },
        ),
        new("zeropage-over-a-cached-page-succeeds", &["ZERO-016"], "ZEROPAGE over a page of the file succeeds").ioctl(
            ZERO,
            |call| match call.pass() {
                Err(Errno::EEXIST) if !is_present(call.argument.start()) => {
                    call.tell_field(call.argument.len());
                    Ok(0)
                }
                answer => answer,
            },
        ),
        new("continue-of-a-mapped-page-succeeds", &["CONT-003"], "CONTINUE of a mapped page succeeds").ioctl(
            CONT,
            |call| match call.pass() {
                Err(Errno::EEXIST) => {
                    call.tell_field(call.argument.len());
                    Ok(0)
                }
                answer => answer,
            },
        ),
        new("continue-of-a-mapped-page-unmaps-it", &["CONT-003"], "CONTINUE of a mapped page is EEXIST and unmaps it")
            .ioctl(CONT, |call| {
                let answer = call.pass();
                if answer == Err(Errno::EEXIST) && is_present(call.argument.start()) {
                    let _ = sys::advise(call.argument.start() as usize, call.page_size() as usize, libc::MADV_DONTNEED);
                }
                answer
            }),
    ]
}
