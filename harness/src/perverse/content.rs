//! What stands in pages that were filled: torn, shifted, swapped, stale, shared, overwritten; and where it stands.

use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;

use super::call::{Answer, Call, DONTWAKE, FILL_WP, PAGE, peek, poke};
use super::{Perversion, new, vmas};
use crate::memory::page_state::PageState;
use crate::sys;
use crate::uapi::{UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_ZEROPAGE};

pub(super) const COPY: &[u64] = &[UFFDIO_COPY];
pub(super) const ZERO: &[u64] = &[UFFDIO_ZEROPAGE];
pub(super) const CONT: &[u64] = &[UFFDIO_CONTINUE];
const COPIED: &[&str] = &["COPY-001", "COPY-002"];

fn copied(name: &'static str, what: &'static str, change: fn(&mut [u8], usize)) -> Perversion {
    new(name, COPIED, what).ioctl(COPY, move |call| call.copying(change))
}

/// ZEROPAGE by a COPY of other content.
fn zeros(call: &Call<'_>, change: fn(&mut [u8], usize)) -> Answer {
    let argument = call.argument;
    if !argument.is_aligned() || argument.len() > 1 << 26 || argument.mode() & !DONTWAKE != 0 {
        return call.pass();
    }
    let mut content = vec![0_u8; argument.len() as usize];
    change(&mut content, PAGE as usize);
    let words = [argument.start(), content.as_ptr() as u64, argument.len(), argument.mode(), argument.field()];
    let (answer, after) = call.also(UFFDIO_COPY, &words);
    call.tell_field(after.field());
    answer
}

fn zeroed(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    change: fn(&mut [u8], usize),
) -> Perversion {
    new(name, breaks, what).ioctl(ZERO, move |call| zeros(call, change))
}

/// CONTINUE, and before anyone is woken something happens to the pages that it has mapped.
fn continued(call: &Call<'_>, change: impl Fn(u64, u64)) -> Answer {
    let plain = call.argument.mode() & FILL_WP == 0;
    let answer = call.quietly();
    let done = call.after().done();
    if done > 0 && plain {
        change(call.argument.start(), done);
    }
    if done > 0 && call.argument.wants_wake() {
        call.wake(call.argument.start(), done);
    }
    answer
}

/// Takes the pages of the range out of memory, and out of the file that they belong to.
pub(super) fn drop_pages(call: &Call<'_>) {
    let shared = vmas::at(call.argument.start()).is_some_and(|vma| vma.shared);
    let advice = if shared { libc::MADV_REMOVE } else { libc::MADV_DONTNEED };
    let _ = sys::advise(call.argument.start() as usize, call.argument.len() as usize, advice);
}

pub(super) fn is_present(address: u64) -> bool {
    PageState::of(address as usize).is_ok_and(|state| state.present())
}

fn complement(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = copies();
    list.extend(zero_pages());
    list.extend(continues());
    list.extend(files());
    list
}

fn copies() -> Vec<Perversion> {
    vec![
        copied("copy-last-byte-differs", "the last byte of a copy is wrong", |content, _| {
            complement(content.last_mut().map(std::slice::from_mut).unwrap_or_default());
        }),
        copied("copy-first-byte-differs", "the first byte of a copy is wrong", |content, _| {
            complement(&mut content[..1]);
        }),
        copied("copy-one-word-differs", "one word in the middle of the last page is wrong", |content, page| {
            let at = content.len() - page / 2;
            complement(&mut content[at..at + 8]);
        }),
        copied("copy-second-half-is-zero", "the second half of each page is zero", |content, page| {
            content.chunks_mut(page).for_each(|chunk| chunk[page / 2..].fill(0));
        }),
        copied("copy-shifted-by-a-byte", "a copy is shifted by a byte", |content, _| content.rotate_right(1)),
        copied("copy-pages-swapped", "the first two pages of a copy are swapped", |content, page| {
            if content.len() >= 2 * page {
                let (first, second) = content.split_at_mut(page);
                first.swap_with_slice(&mut second[..page]);
            }
        }),
        copied("copy-first-page-repeated", "every page of a copy is the first one", |content, page| {
            for at in (page..content.len()).step_by(page) {
                content.copy_within(..page, at);
            }
        }),
        copied("copy-last-page-is-zero", "the last of several pages is zero", |content, page| {
            let last = content.len() - page;
            if last > 0 {
                content[last..].fill(0);
            }
        }),
        copied("copy-is-zero", "a copy is all zeros", |content, _| content.fill(0)),
        new("copy-torn", &["COPY-003"], "the second half of a page comes later than the first").ioctl(COPY, torn),
        new(
            "copy-leaves-nothing-but-wakes",
            &["COPY-001", "COPY-004", "COPY-044", "FAULT-010"],
            "COPY succeeds, wakes, and fills nothing",
        )
        .ioctl(COPY, |call| {
            let answer = call.pass();
            if answer.is_ok() {
                drop_pages(call);
            }
            answer
        }),
        new("copy-makes-writable", &["COPY-043"], "a copy can be written to in a read-only mapping").ioctl(
            COPY,
            |call| {
                let answer = call.pass();
                let mapped = vmas::at(call.argument.start()).is_some();
                if answer.is_ok() && mapped {
                    let write = libc::PROT_READ | libc::PROT_WRITE;
                    let _ = sys::protect(call.argument.start() as usize, call.argument.len() as usize, write);
                }
                answer
            },
        ),
    ]
}

/// A copy whose pages can be seen while most of their source is still awaited.
fn torn(call: &Call<'_>) -> Answer {
    let (argument, page) = (call.argument, call.page_size());
    if !argument.is_aligned() || argument.mode() & !DONTWAKE != 0 || !is_mapped(call) {
        return call.pass();
    }
    let early = (page / 4) as usize;
    let mut done = 0;
    while done < argument.len() {
        let src = (argument.src() + done) as usize;
        let Some(mut content) = peek(src, early) else { break };
        content.resize(page as usize, 0);
        let words = [argument.start() + done, content.as_ptr() as u64, page, DONTWAKE, 0];
        if call.also(UFFDIO_COPY, &words).0.is_err() {
            break;
        }
        // The kernel waits here for whoever provides the source.
        let Some(rest) = peek(src + early, page as usize - early) else { break };
        poke((argument.start() + done) as usize + early, &rest);
        done += page;
    }
    if done == 0 {
        return call.pass();
    }
    call.tell_field(done);
    if argument.wants_wake() {
        call.wake(argument.start(), done);
    }
    if done == argument.len() { Ok(0) } else { Err(Errno::EAGAIN) }
}

fn is_mapped(call: &Call<'_>) -> bool {
    !vmas::within(call.argument.start(), call.argument.end()).is_empty()
}

fn zero_pages() -> Vec<Perversion> {
    const ZEROS: &[&str] = &["ZERO-001"];
    vec![
        zeroed("zeropage-last-byte-is-not-zero", ZEROS, "the last byte of a zero page is not zero", |content, _| {
            if let Some(last) = content.last_mut() {
                *last = 1;
            }
        }),
        zeroed(
            "zeropage-one-word-is-not-zero",
            ZEROS,
            "one word in the middle of the last zero page is not zero",
            |content, page| {
                let at = content.len() - page / 2;
                content[at] = 0x80;
            },
        ),
        zeroed("zeropage-first-page-is-not-zero", ZEROS, "the first zero page is not zero", |content, page| {
            content[..page].fill(0xa5);
        }),
        zeroed(
            "zeropage-later-pages-are-not-zero",
            ZEROS,
            "the second and later zero pages are not zero",
            |content, page| {
                if content.len() > page {
                    content[page..].fill(0xa5);
                }
            },
        ),
        zeroed("zeropage-takes-a-page", &["ZERO-002"], "ZEROPAGE takes a page of its own", |_, _| {}),
        new(
            "zeropage-leaves-nothing-but-wakes",
            &["ZERO-001", "FAULT-010"],
            "ZEROPAGE succeeds, wakes, and fills nothing",
        )
        .ioctl(ZERO, |call| {
            let answer = call.pass();
            if answer.is_ok() {
                drop_pages(call);
            }
            answer
        }),
    ]
}

fn continues() -> Vec<Perversion> {
    const CONTENT: &[&str] = &["CONT-001", "CONT-002"];
    vec![
        new("continue-last-byte-differs", CONTENT, "the last byte of a continued range is wrong").ioctl(CONT, |call| {
            continued(call, |start, done| {
                let at = (start + done - 1) as usize;
                let byte = peek(at, 1).unwrap_or_default();
                poke(at, &[!byte.first().copied().unwrap_or(0)]);
            })
        }),
        new("continue-is-zero", CONTENT, "the first continued page is zero").ioctl(CONT, |call| {
            continued(call, |start, _| {
                poke(start as usize, &[0; PAGE as usize]);
            })
        }),
        new("continue-of-stale-content", &["CONT-002"], "what was stored before CONTINUE is not there").ioctl(
            CONT,
            |call| {
                continued(call, |start, done| {
                    poke(start as usize, &vec![0xa5; done.min(1 << 22) as usize]);
                })
            },
        ),
        new(
            "continue-writes-back-what-it-read",
            &["CONT-012"],
            "CONTINUE of a private mapping makes the page the mapping's own",
        )
        .ioctl(CONT, |call| {
            let private = vmas::at(call.argument.start()).is_some_and(|vma| !vma.shared);
            continued(call, |start, done| {
                if private && let Some(content) = peek(start as usize, done as usize) {
                    poke(start as usize, &content);
                }
            })
        }),
        new(
            "continue-without-a-page-makes-one",
            &["CONT-004"],
            "CONTINUE without a page in the file makes one of zeros",
        )
        .ioctl(CONT, |call| match call.pass() {
            Err(Errno::EFAULT) if call.argument.is_aligned() => {
                let zeros = vec![0_u8; call.argument.len() as usize];
                let words = [
                    call.argument.start(),
                    zeros.as_ptr() as u64,
                    zeros.len() as u64,
                    call.argument.mode() & DONTWAKE,
                    0,
                ];
                let (answer, after) = call.also(UFFDIO_COPY, &words);
                call.tell_field(after.field());
                answer
            }
            answer => answer,
        }),
        new(
            "continue-without-a-page-fills-quietly",
            &["CONT-004"],
            "CONTINUE without a page in the file is EFAULT and makes one",
        )
        .ioctl(CONT, |call| {
            let answer = call.pass();
            if answer == Err(Errno::EFAULT) && call.argument.is_aligned() {
                let zeros = vec![0_u8; call.page_size() as usize];
                let words = [call.argument.start(), zeros.as_ptr() as u64, zeros.len() as u64, DONTWAKE, 0];
                let _ = call.also(UFFDIO_COPY, &words);
            }
            answer
        }),
        new("continue-of-anon-fills", &["CONT-010"], "CONTINUE of anonymous memory fills with zeros").ioctl(
            CONT,
            |call| match call.pass() {
                Err(Errno::EINVAL) if call.argument.mode() & !DONTWAKE == 0 && call.argument.is_aligned() => {
                    let words = [call.argument.start(), call.argument.len(), call.argument.mode(), 0];
                    let (answer, after) = call.also(UFFDIO_ZEROPAGE, &words);
                    if answer.is_err() {
                        return Err(Errno::EINVAL);
                    }
                    call.tell_field(after.field());
                    answer
                }
                answer => answer,
            },
        ),
        new(
            "continue-leaves-nothing-but-wakes",
            &["CONT-001", "FAULT-014", "FAULT-015"],
            "CONTINUE succeeds, wakes, and maps nothing",
        )
        .ioctl(CONT, |call| {
            let answer = call.pass();
            if answer.is_ok() {
                drop_pages(call);
            }
            answer
        }),
    ]
}

/// Writes to the file behind a mapping what stands there.
fn to_file(call: &Call<'_>, content: &[u8]) {
    if let Some(vma) = vmas::at(call.argument.start())
        && let Some(file) = vma.file()
    {
        let _ = file.write_all_at(content, call.argument.start() - vma.start + vma.offset);
    }
}

fn files() -> Vec<Perversion> {
    let is_private =
        |call: &Call<'_>| vmas::at(call.argument.start()).is_some_and(|vma| !vma.shared && vma.path.starts_with('/'));
    vec![
        new("copy-private-fills-the-file", &["COPY-030"], "COPY into a private mapping fills the file too").ioctl(
            COPY,
            move |call| {
                let answer = call.pass();
                if answer.is_ok() && is_private(call) {
                    to_file(call, &call.content().unwrap_or_default());
                }
                answer
            },
        ),
        new(
            "copy-private-over-a-cached-page-refused",
            &["COPY-030"],
            "COPY into a private mapping is EEXIST where the file has a page",
        )
        .ioctl(COPY, move |call| {
            let cached = is_private(call) && sys::resident(call.argument.start() as usize).unwrap_or(false);
            if cached { Err(Errno::EEXIST) } else { call.pass() }
        }),
        new("zeropage-private-fills-the-file", &["ZERO-004"], "ZEROPAGE of a private mapping fills the file too")
            .ioctl(ZERO, move |call| {
                let answer = call.pass();
                if answer.is_ok() && is_private(call) {
                    to_file(call, &vec![0; call.argument.len() as usize]);
                }
                answer
            }),
        new("copy-shared-drops-the-file's-page", &["COPY-028"], "COPY into a shared mapping leaves the file as it was")
            .ioctl(COPY, |call| {
                let shared = vmas::at(call.argument.start()).is_some_and(|vma| vma.shared);
                let answer = call.pass();
                if answer.is_ok() && shared {
                    let _ =
                        sys::advise(call.argument.start() as usize, call.argument.len() as usize, libc::MADV_REMOVE);
                }
                answer
            }),
        new(
            "zeropage-shared-drops-the-file's-page",
            &["ZERO-003"],
            "ZEROPAGE of a shared mapping leaves the file as it was",
        )
        .ioctl(ZERO, |call| {
            let shared = vmas::at(call.argument.start()).is_some_and(|vma| vma.shared);
            let answer = call.pass();
            if answer.is_ok() && shared {
                let _ = sys::advise(call.argument.start() as usize, call.argument.len() as usize, libc::MADV_REMOVE);
            }
            answer
        }),
    ]
}
