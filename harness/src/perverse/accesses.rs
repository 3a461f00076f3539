//! Accesses of a certain kind: by the kernel, from another process, at an exact address, in a huge page, below a stack.

use nix::errno::Errno;

use super::call::{Call, DONTWAKE, PAGE};
use super::effect::Effect;
use super::{Perversion, honest, new, state};
use crate::memory::vma;
use crate::uapi::{
    UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_SIGBUS, UFFD_USER_MODE_ONLY, UFFDIO_API, UFFDIO_CONTINUE, UFFDIO_COPY,
    UFFDIO_REGISTER, UFFDIO_WAKE,
};
use crate::uffd::Range;
use crate::{kernel, sys};

pub(super) fn list() -> Vec<Perversion> {
    let mut list = populating();
    list.extend(swap());
    list.extend(foreign());
    list.extend(exact());
    list.extend(places());
    list
}

fn populating() -> Vec<Perversion> {
    vec![
        new("mlock-does-not-wait", &["FAULT-054"], "mlock passes over missing pages")
            .effect(|effect, pass| if matches!(effect, Effect::Lock { .. }) { Ok(0) } else { pass() }),
        new("mlock-waits-for-the-first-page-only", &["FAULT-054"], "mlock is done with the first page").effect(
            |effect, pass| match effect {
                Effect::Lock { start, length } => honest::lock(start, length.min(PAGE as usize)).map(|()| 0),
                _ => pass(),
            },
        ),
        new("populate-does-not-wait", &["FAULT-038"], "MADV_POPULATE_* passes over missing pages")
            .effect(|effect, pass| if matches!(effect, Effect::Populate { .. }) { Ok(0) } else { pass() }),
        new("populate-fails-once-resolved", &["FAULT-038"], "MADV_POPULATE_* is EFAULT after it has waited").effect(
            |effect, pass| {
                let answer = pass();
                if matches!(effect, Effect::Populate { .. }) { Err(Errno::EFAULT) } else { answer }
            },
        ),
        new("populate-read-is-told-as-a-write", &["FAULT-038"], "MADV_POPULATE_READ takes pages for writing").effect(
            |effect, pass| match effect {
                Effect::Populate { start, length, advice: libc::MADV_POPULATE_READ } => {
                    honest::populate(start, length, libc::MADV_POPULATE_WRITE).map(|()| 0)
                }
                _ => pass(),
            },
        ),
    ]
}

fn swap() -> Vec<Perversion> {
    vec![new("page-out-loses-the-page", &["FAULT-011", "FAULT-018"], "a page that is written to swap is lost").effect(
        |effect, pass| {
            let answer = pass();
            if let Effect::PageOut { start, length } = effect {
                let _ = sys::advise(start, length, libc::MADV_DONTNEED);
                let _ = sys::advise(start, length, libc::MADV_REMOVE);
            }
            answer
        },
    )]
}

fn foreign() -> Vec<Perversion> {
    vec![
        new("ptrace-and-proc-mem-wait", &["FAULT-039"], "ptrace and /proc/PID/mem wait for a missing page").effect(
            |effect, pass| {
                if let Effect::Foreign { process, at } = effect {
                    let _ = sys::user_memory::process_vm_read(process, (at, 1));
                }
                pass()
            },
        ),
        new("ptrace-and-proc-mem-are-efault", &["FAULT-039"], "ptrace and /proc/PID/mem are EFAULT at a missing page")
            .effect(|effect, pass| {
                let answer = pass();
                if matches!(effect, Effect::Foreign { .. }) { answer.map_err(|_| Errno::EFAULT) } else { answer }
            }),
        new("user-mode-only-tells-nothing", &["FAULT-043"], "UFFD_USER_MODE_ONLY fails accesses from user mode too")
            .ioctl(&[UFFDIO_API], |call| {
                let user_mode_only = state::of(call.fd, |descriptor| descriptor.flags & UFFD_USER_MODE_ONLY != 0);
                if user_mode_only { call.with(call.argument.adding(UFFD_FEATURE_SIGBUS)) } else { call.pass() }
            }),
    ]
}

fn is_exact(call: &Call<'_>) -> bool {
    state::has_feature(call.fd, UFFD_FEATURE_EXACT_ADDRESS)
}

fn exact() -> Vec<Perversion> {
    vec![
        new("exact-address-is-not-found", &["FAULT-006"], "who waits at an exact address is not woken with its page")
            .ioctl(&[UFFDIO_WAKE], |call| if is_exact(call) { Ok(0) } else { call.pass() })
            .ioctl(&[UFFDIO_COPY, UFFDIO_CONTINUE], |call| if is_exact(call) { call.quietly() } else { call.pass() }),
        new(
            "exact-address-wakes-neighbours",
            &["FAULT-006"],
            "who waits at an exact address is woken with its neighbour",
        )
        .ioctl(&[UFFDIO_WAKE], |call| {
            if is_exact(call) {
                let page = call.page_size();
                call.wake(call.argument.start() - page, call.argument.len() + 2 * page);
            }
            call.pass()
        }),
    ]
}

fn places() -> Vec<Perversion> {
    vec![
        new("copy-fills-the-huge-page", &["FAULT-053"], "COPY to where a huge page fits fills all of it").ioctl(
            &[UFFDIO_COPY],
            |call| {
                let answer = call.pass();
                let (start, huge) = (call.argument.start(), kernel::thp_size() as u64);
                let block = start & !(huge - 1);
                let fits = state::own_at(call.fd, start)
                    .is_some_and(|range| range.start <= block && block + huge <= range.end);
                if answer.is_ok() && fits && call.argument.len() == PAGE {
                    for page in (block..block + huge).step_by(PAGE as usize) {
                        let _ = call.also(UFFDIO_COPY, &[page, call.argument.src(), PAGE, 0, 0]);
                    }
                }
                answer
            },
        ),
        new("fault-of-a-huge-page-is-told-once", &["FAULT-053"], "faults at base pages of one huge page are told once")
            .read(|reading| {
                let message = reading.pass()?;
                let huge = kernel::thp_size() as u64;
                let address = u64::from_ne_bytes(std::array::from_fn(|index| message[16 + index]));
                let told = state::of(reading.fd, |descriptor| std::mem::replace(&mut descriptor.count, address / huge));
                if told == address / huge { Err(Errno::EAGAIN) } else { Ok(message) }
            }),
        new("stack-growth-is-not-registered", &["FAULT-052"], "what a registered stack grows into is not watched")
            .ioctl(&[UFFDIO_REGISTER], |call| {
                let answer = call.pass();
                let range = Range::new(call.argument.start(), call.argument.len());
                let grows =
                    vma::within(range).is_ok_and(|vmas| vmas.iter().any(|vma| vma.flags.iter().any(|f| f == "gd")));
                if answer.is_ok() && grows {
                    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                    let (below, rights) = (range.start - PAGE, libc::PROT_READ | libc::PROT_WRITE);
                    let _ = honest::map_over(below as usize, PAGE as usize, rights, flags, None);
                }
                answer
            }),
        new("stack-growth-wakes-nobody", &["FAULT-052"], "who waits below a registered stack is not woken").ioctl(
            &[UFFDIO_COPY],
            |call| {
                let known = state::own_at(call.fd, call.argument.start()).is_some();
                if known { call.pass() } else { call.with(call.argument.adding(DONTWAKE)) }
            },
        ),
    ]
}
