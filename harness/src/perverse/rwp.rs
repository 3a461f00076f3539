//! Read-write protection: set, kept and lifted at the wrong time; and the features that belong to it.

use nix::errno::Errno;

use super::call::{Answer, Call};
use super::closing::keep;
use super::messages::flags;
use super::over::copy_passes_over;
use super::registration::{is_sane, register};
use super::{Perversion, honest, new, state};
use crate::memory::page_state::PageState;
use crate::uapi::{
    UFFD_FEATURE_RWP, UFFD_FEATURE_RWP_ASYNC, UFFD_PAGEFAULT_FLAG_RWP, UFFD_PAGEFAULT_FLAG_WP,
    UFFD_PAGEFAULT_FLAG_WRITE, UFFDIO_API, UFFDIO_REGISTER_MODE_RWP, UFFDIO_RWPROTECT, UFFDIO_RWPROTECT_MODE_RWP,
    UFFDIO_SET_MODE, UFFDIO_UNREGISTER,
};

const RWP: u64 = UFFDIO_REGISTER_MODE_RWP;
const PROTECT: u64 = UFFDIO_RWPROTECT_MODE_RWP;

pub(super) fn list() -> Vec<Perversion> {
    let mut list = features();
    list.extend(protection());
    list.extend(told());
    list
}

/// Whether the range begins in one that is registered for RWP.
fn registered(call: &Call<'_>) -> bool {
    state::own_at(call.fd, call.argument.start()).is_some_and(|range| range.mode & RWP != 0)
}

fn rwprotect(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    hook: impl Fn(&Call<'_>, bool) -> Answer + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).ioctl(&[UFFDIO_RWPROTECT], move |call| hook(call, call.argument.mode() & PROTECT != 0))
}

fn features() -> Vec<Perversion> {
    vec![
        new("rwp-async-without-rwp-granted", &["API-016"], "RWP_ASYNC is granted without RWP").ioctl(
            &[UFFDIO_API],
            |call| {
                let mode = call.argument.mode();
                match call.pass() {
                    Err(Errno::EINVAL) if mode & UFFD_FEATURE_RWP_ASYNC != 0 && mode & UFFD_FEATURE_RWP == 0 => {
                        match call.with(call.argument.adding(UFFD_FEATURE_RWP)) {
                            Err(Errno::EINVAL) => call.with(call.argument.without(UFFD_FEATURE_RWP_ASYNC)),
                            answer => answer,
                        }
                    }
                    answer => answer,
                }
            },
        ),
        new("rwp-async-waits", &["FAULT-041"], "RWP_ASYNC is granted and faults wait all the same")
            .ioctl(&[UFFDIO_API], |call| call.with(call.argument.without(UFFD_FEATURE_RWP_ASYNC))),
        new("set-mode-does-nothing", &["API-024"], "SET_MODE succeeds and changes nothing")
            .ioctl(&[UFFDIO_SET_MODE], |_| Ok(0)),
        new("set-mode-cannot-disable", &["API-024"], "SET_MODE enables, and disables nothing").ioctl(
            &[UFFDIO_SET_MODE],
            |call| {
                // Its second word is what to disable.
                if call.argument.len() == 0 { call.pass() } else { call.with(call.argument.with_len(0)) }
            },
        ),
    ]
}

fn protection() -> Vec<Perversion> {
    vec![
        rwprotect(
            "rwprotect-does-nothing",
            &["FAULT-024", "FAULT-036", "COPY-042"],
            "RWPROTECT succeeds and does nothing",
            |_, _| Ok(0),
        ),
        rwprotect("rwprotect-populates", &["FAULT-025"], "RWPROTECT makes the pages first", |call, protect| {
            if protect {
                let (start, length) = (call.argument.start() as usize, call.argument.len() as usize);
                let _ = honest::populate(start, length, libc::MADV_POPULATE_READ);
            }
            call.pass()
        }),
        register("register-protects-from-both", &["FAULT-024"], "registering for RWP protects", |call| {
            let answer = call.pass();
            if answer.is_ok() && call.argument.mode() & RWP != 0 {
                let _ = call.also(UFFDIO_RWPROTECT, &[call.argument.start(), call.argument.len(), PROTECT]);
            }
            answer
        }),
        new(
            "unregister-of-rwp-does-nothing",
            &["UNREG-012", "UNREG-013"],
            "a range registered for RWP stays so, with its protection",
        )
        .ioctl(&[UFFDIO_UNREGISTER], |call| if registered(call) && is_sane(call) { Ok(0) } else { call.pass() }),
        new(
            "unregister-of-rwp-drops-pages",
            &["UNREG-012"],
            "unregistering drops pages that were read-write-protected",
        )
        .ioctl(&[UFFDIO_UNREGISTER], |call| {
            let of_rwp = registered(call);
            let answer = call.pass();
            if of_rwp && answer.is_ok() {
                let (start, length) = (call.argument.start() as usize, call.argument.len() as usize);
                // A page that is only unmapped comes back from its file, so the file loses it too.
                let _ = crate::sys::advise(start, length, libc::MADV_REMOVE);
                let _ = crate::sys::advise(start, length, libc::MADV_DONTNEED);
            }
            answer
        }),
        new(
            "unregister-of-rwp-without-access-refused",
            &["UNREG-013"],
            "a range that mprotect has taken all access from cannot be unregistered",
        )
        .ioctl(&[UFFDIO_UNREGISTER], |call| {
            let range = crate::uffd::Range::new(call.argument.start(), call.argument.len());
            let closed = crate::memory::vma::within(range)
                .is_ok_and(|vmas| vmas.iter().any(|vma| !vma.flags.iter().any(|flag| flag == "rd")));
            if registered(call) && closed { Err(Errno::EINVAL) } else { call.pass() }
        }),
        new("close-keeps-rwp", &["POLL-024"], "the last close leaves pages read-write-protected").close(|fd| {
            let of_rwp = state::of(fd, |descriptor| descriptor.ranges.iter().any(|range| range.mode & RWP != 0));
            if of_rwp {
                keep(fd);
            }
        }),
        copy_passes_over(
            "copy-over-a-rwp-page-succeeds",
            &["COPY-042"],
            "COPY over a read-write-protected page succeeds",
            PageState::uffd_wp,
        ),
    ]
}

fn told() -> Vec<Perversion> {
    vec![
        flags(
            "message-rwp-missing",
            &["FAULT-024", "FAULT-036"],
            "an access to a read-write-protected page is told as a missing one",
            |flags| flags & !UFFD_PAGEFAULT_FLAG_RWP,
        ),
        flags(
            "message-rwp-is-wp",
            &["FAULT-024", "FAULT-036"],
            "an access to a read-write-protected page is told as one to a write-protected page",
            |flags| {
                if flags & UFFD_PAGEFAULT_FLAG_RWP == 0 {
                    flags
                } else {
                    flags & !UFFD_PAGEFAULT_FLAG_RWP | UFFD_PAGEFAULT_FLAG_WP
                }
            },
        ),
        flags(
            "message-write-missing-with-rwp",
            &["FAULT-024", "FAULT-036"],
            "a write to a read-write-protected page is not told as a write",
            |flags| {
                if flags & UFFD_PAGEFAULT_FLAG_RWP == 0 { flags } else { flags & !UFFD_PAGEFAULT_FLAG_WRITE }
            },
        ),
    ]
}
