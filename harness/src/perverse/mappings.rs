//! What kind of mapping a range is, and what becomes of it: files, seals, page tables, munmap, poison.

use nix::errno::Errno;

use super::call::{Answer, Call, DONTWAKE, PAGE};
use super::effect::{Effect, Effected};
use super::registration::{WP, accepts, register};
use super::{Perversion, honest, new, state, vmas};
use crate::kernel;
use crate::uapi::{
    UFFD_FEATURE_WP_ASYNC, UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_MINOR,
    UFFDIO_REGISTER_MODE_RWP, UFFDIO_RWPROTECT, UFFDIO_UNREGISTER, UFFDIO_WRITEPROTECT, UFFDIO_ZEROPAGE,
};

/// What one page of page tables spans, and so what two mappings of hugetlb memory may share.
const SHARED_TABLE: u64 = 1 << 30;

pub(super) fn list() -> Vec<Perversion> {
    let mut list = files();
    list.extend(system_v());
    list.extend(tables());
    list.extend(unmapping());
    list.extend(unregistering());
    list
}

/// Registration of a file for asynchronous write-protection.
fn is_async_file(call: &Call<'_>) -> bool {
    call.argument.mode() == WP
        && state::has_feature(call.fd, UFFD_FEATURE_WP_ASYNC)
        && vmas::at(call.argument.start()).is_some_and(|vma| !vma.path.is_empty())
}

/// The fill where the kernel says EINVAL of a range that is registered for asynchronous write-protection alone.
fn unfit(call: &Call<'_>, instead: impl Fn() -> (u64, Answer)) -> Answer {
    let unfit = state::own_at(call.fd, call.argument.start()).is_some_and(|range| range.mode == WP)
        && state::has_feature(call.fd, UFFD_FEATURE_WP_ASYNC);
    match call.pass() {
        Err(Errno::EINVAL) if unfit => {
            let (field, answer) = instead();
            call.tell_field(field);
            answer
        }
        answer => answer,
    }
}

fn files() -> Vec<Perversion> {
    vec![
        register("register-async-wp-of-files-refused", &["REG-021"], "WP_ASYNC does not make files fit", |call| {
            if is_async_file(call) { Err(Errno::EINVAL) } else { call.pass() }
        }),
        register(
            "register-async-wp-wants-write-access",
            &["REG-021"],
            "WP_ASYNC is refused where nobody writes",
            |call| {
                let read_only = vmas::at(call.argument.start()).is_some_and(|vma| !vma.writable);
                if is_async_file(call) && read_only { Err(Errno::EPERM) } else { call.pass() }
            },
        ),
        new("fill-of-a-file-accepted", &["COPY-048", "ZERO-018"], "a fill of a regular file succeeds and does nothing")
            .ioctl(&[UFFDIO_COPY, UFFDIO_ZEROPAGE], |call| unfit(call, || (call.argument.len(), Ok(0)))),
        new("fill-of-a-file-is-eperm", &["COPY-048", "ZERO-018"], "a fill of a regular file is EPERM")
            .ioctl(&[UFFDIO_COPY, UFFDIO_ZEROPAGE], |call| {
                unfit(call, || (-(Errno::EPERM as i64) as u64, Err(Errno::EPERM)))
            }),
        new(
            "registered-file-can-be-sealed",
            &["REG-029"],
            "a file with a registered mapping is sealed against writing",
        )
        .effect(|effect, pass| match (effect, pass()) {
            (Effect::AddSeals, Err(Errno::EBUSY)) => Ok(0),
            (_, answer) => answer,
        }),
        new("registered-file-stays-unsealed", &["REG-029"], "a file that was registered can never be sealed")
            .effect(|effect, pass| if matches!(effect, Effect::AddSeals) { Err(Errno::EBUSY) } else { pass() }),
    ]
}

fn system_v() -> Vec<Perversion> {
    let is_system_v =
        |call: &Call<'_>| vmas::at(call.argument.start()).is_some_and(|vma| vma.path.starts_with("/SYSV"));
    vec![
        register("register-sysv-is-eperm", &["REG-056"], "System V shared memory is EPERM", move |call| {
            call.pass().map_err(|errno| if is_system_v(call) { Errno::EPERM } else { errno })
        }),
        register(
            "register-sysv-does-nothing",
            &["REG-056"],
            "System V shared memory is accepted in vain",
            move |call| accepts(call, is_system_v(call)),
        ),
    ]
}

fn tables() -> Vec<Perversion> {
    vec![
        new("fault-around-stays", &["REG-054"], "a fault in a registered file maps its neighbours too")
            .ioctl(&[UFFDIO_REGISTER], |call| {
                let answer = call.pass();
                // At once instead of by the first reader, whose fault nobody is told of in this mode.
                if answer.is_ok() && [WP, UFFDIO_REGISTER_MODE_RWP].contains(&call.argument.mode()) {
                    let (start, length) = (call.argument.start() as usize, call.argument.len() as usize);
                    let _ = honest::populate(start, length, libc::MADV_POPULATE_READ);
                }
                answer
            })
            .ioctl(&[UFFDIO_CONTINUE], |call| {
                let answer = call.pass();
                if let Some(range) = state::own_at(call.fd, call.argument.start()).filter(|_| answer.is_ok()) {
                    for page in (range.start..range.end).step_by(PAGE as usize) {
                        let _ = call.also(UFFDIO_CONTINUE, &[page, PAGE, DONTWAKE, 0]);
                    }
                }
                answer
            }),
        new(
            "page-tables-stay-shared",
            &["REG-055"],
            "a registered mapping finds the pages of who shares its page tables",
        )
        .ioctl(&[UFFDIO_REGISTER], |call| {
            let answer = call.pass();
            let minor = call.argument.mode() == UFFDIO_REGISTER_MODE_MINOR;
            if answer.is_ok() && minor && call.argument.len() >= SHARED_TABLE {
                let page = kernel::default_hugepage_size() as u64;
                let _ = call.also(UFFDIO_CONTINUE, &[call.argument.start(), page, DONTWAKE, 0]);
            }
            answer
        })
        .ioctl(&[UFFDIO_WRITEPROTECT, UFFDIO_RWPROTECT], |call| {
            let answer = call.pass();
            let shares = state::own_at(call.fd, call.argument.start())
                .is_some_and(|range| range.end - range.start >= SHARED_TABLE);
            if answer.is_ok() && shares {
                let _ = call.also(call.request(), &[call.argument.start(), call.argument.len(), 0]);
            }
            answer
        }),
    ]
}

/// What `munmap` or `mmap` with `MAP_FIXED` does beyond what it is asked for, to each registered range that it touches.
fn beyond(
    effect: Effect,
    pass: &mut dyn FnMut() -> Effected,
    request: u64,
    words: fn(state::Registered, (u64, u64)) -> [u64; 4],
) -> Effected {
    let (Effect::Unmap { start, length } | Effect::MapOver { start, length }) = effect else { return pass() };
    let touched = state::touched_by(start, length);
    let answer = pass();
    for (fd, range) in touched {
        let mut words = words(range, (start as u64, length as u64));
        let _ = honest::ioctl(fd, request, words.as_mut_ptr() as usize);
    }
    answer
}

fn unmapping() -> Vec<Perversion> {
    vec![
        new("unmapping-unregisters-the-whole", &["UNREG-016"], "munmap of a part unregisters the whole range").effect(
            |effect, pass| {
                beyond(effect, pass, UFFDIO_UNREGISTER, |range, _| [range.start, range.end - range.start, 0, 0])
            },
        ),
        new("mapping-over-stays-registered", &["UNREG-016"], "what is mapped over a registered page is registered")
            .effect(|effect, pass| {
                beyond(effect, pass, UFFDIO_REGISTER, |range, (start, length)| [start, length, range.mode, 0])
            }),
    ]
}

fn unregistering() -> Vec<Perversion> {
    vec![
        new("unregister-lifts-poison", &["UNREG-014"], "poison goes with the registration").ioctl(
            &[UFFDIO_UNREGISTER],
            |call| {
                let answer = call.pass();
                let (start, end) = (call.argument.start(), call.argument.end());
                let poisoned = state::of(call.fd, |descriptor| descriptor.poisoned.clone());
                for (from, to) in poisoned.into_iter().filter(|(from, to)| *from >= start && *to <= end) {
                    let (flags, rights) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
                    let _ = honest::map_over(from as usize, (to - from) as usize, rights, flags, None);
                }
                answer
            },
        ),
        new("unregister-efault-is-einval", &["UNREG-017"], "a structure out of reach is EINVAL").unread(
            |_, request, answer| {
                let efault = request == UFFDIO_UNREGISTER && answer == Err(Errno::EFAULT);
                if efault { Err(Errno::EINVAL) } else { answer }
            },
        ),
        new("unregister-of-nothing-readable-accepted", &["UNREG-017"], "a structure out of reach succeeds")
            .instead(|request| (request == UFFDIO_UNREGISTER).then_some(Ok(0))),
    ]
}
