//! REGISTER: which ranges are taken, and what a refusal changes.

use nix::errno::Errno;

use super::call::PAGE;
use super::registration::{
    accepts, gaps, hugepages, is_sane, is_unaligned, nothing_mapped, page_by_page, pretend, register,
};
use super::{Perversion, new, state, vmas};
use crate::uapi::{UFFDIO_REGISTER, UFFDIO_UNREGISTER};

pub(super) fn list() -> Vec<Perversion> {
    let mut list = ranges_taken();
    list.extend(refusals());
    list
}

fn ranges_taken() -> Vec<Perversion> {
    vec![
        register("register-unaligned-accepted", &["REG-014"], "an unaligned range is rounded", |call| {
            if is_unaligned(call) && call.argument.len() != 0 {
                call.with(call.argument.rounded(PAGE))
            } else {
                call.pass()
            }
        }),
        register("register-unaligned-length-accepted", &["REG-014"], "an unaligned length is rounded", |call| {
            let argument = call.argument;
            let len = argument.len().checked_next_multiple_of(PAGE).unwrap_or(argument.len());
            call.with(argument.with_len(len))
        }),
        register("register-length-0-accepted", &["REG-014"], "length 0 succeeds and registers nothing", |call| {
            accepts(call, call.argument.len() == 0 && call.argument.start().is_multiple_of(PAGE))
        }),
        register("register-wrapping-accepted", &["REG-015"], "a range that wraps succeeds", |call| {
            accepts(call, call.argument.start().checked_add(call.argument.len()).is_none())
        }),
        register(
            "register-beyond-the-top-accepted",
            &["REG-015"],
            "a range may reach beyond the task's addresses",
            |call| {
                let (start, end) = (call.argument.start(), call.argument.start().checked_add(call.argument.len()));
                accepts(call, end.is_some_and(|end| end > 0x7fff_ffff_f000 && start < end))
            },
        ),
        register("register-nothing-accepted", &["REG-016"], "a range without any mapping succeeds", |call| {
            accepts(call, nothing_mapped(call))
        }),
        register("register-gaps-refused", &["REG-017"], "a range with a gap is refused", |call| {
            if gaps(call) { Err(Errno::EINVAL) } else { call.pass() }
        }),
        register(
            "register-several-mappings-refused",
            &["REG-018"],
            "a range over several mappings is refused",
            |call| {
                let several = is_sane(call) && vmas::within(call.argument.start(), call.argument.end()).len() > 1;
                if several { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        register(
            "register-unfit-mappings-skipped",
            &["REG-019", "REG-020"],
            "mappings that cannot be registered are passed over",
            |call| {
                let fits = call.argument.mode() != 0
                    && call.argument.mode() & !7 == 0
                    && is_sane(call)
                    && !nothing_mapped(call);
                match call.pass() {
                    Err(Errno::EINVAL) if fits => {
                        page_by_page(call, UFFDIO_REGISTER, true);
                        pretend(call)
                    }
                    answer => answer,
                }
            },
        ),
        register(
            "register-refusal-registers-a-part",
            &["REG-019"],
            "what lies before an unfit mapping stays registered",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EINVAL) && is_sane(call) {
                    page_by_page(call, UFFDIO_REGISTER, false);
                }
                answer
            },
        ),
        register("register-special-accepted", &["REG-023"], "the kernel's own mappings succeed", |call| {
            let special =
                is_sane(call) && vmas::at(call.argument.start()).is_some_and(|vma| vma.path.starts_with("[v"));
            accepts(call, special)
        }),
        register(
            "register-without-write-permission-accepted",
            &["REG-026"],
            "a read-only file's shared mapping succeeds",
            |call| call.pass().or_else(|errno| if errno == Errno::EPERM { pretend(call) } else { Err(errno) }),
        ),
        register("register-eperm-is-eacces", &["REG-026", "REG-028"], "missing write permission is EACCES", |call| {
            call.pass().map_err(|errno| if errno == Errno::EPERM { Errno::EACCES } else { errno })
        }),
        register(
            "register-eperm-registers",
            &["REG-026", "REG-028"],
            "missing write permission refuses only the rest of a range",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EPERM) {
                    call.tell_field(0);
                }
                answer
            },
        ),
        register(
            "register-private-read-only-refused",
            &["REG-027", "REG-030", "REG-031"],
            "memory that cannot be written is refused",
            |call| {
                let read_only = vmas::at(call.argument.start()).is_some_and(|vma| !vma.writable);
                if read_only { Err(Errno::EPERM) } else { call.pass() }
            },
        ),
        register(
            "register-private-files-refused",
            &["REG-002", "REG-027"],
            "private mappings of files are refused",
            |call| {
                let private =
                    vmas::at(call.argument.start()).is_some_and(|vma| !vma.shared && vma.path.starts_with('/'));
                if private { Err(Errno::EINVAL) } else { call.pass() }
            },
        ),
        register(
            "register-hugetlb-unaligned-accepted",
            &["REG-033"],
            "part of a hugepage is rounded to the whole",
            |call| match call.pass() {
                Err(Errno::EINVAL) if is_sane(call) && call.argument.mode() != 0 => {
                    call.forget();
                    call.with(hugepages(call))
                }
                answer => answer,
            },
        ),
        register("register-growsdown-refused", &["REG-052"], "the stack and what grows like it is refused", |call| {
            let stack = crate::memory::vma::within(crate::uffd::Range::new(call.argument.start(), PAGE))
                .is_ok_and(|vmas| vmas.iter().any(|vma| vma.flags.iter().any(|flag| flag == "gd")));
            if stack { Err(Errno::EINVAL) } else { call.pass() }
        }),
        register("register-waits-for-events", &["REG-053"], "REGISTER is EAGAIN while an event is pending", |call| {
            if call.has_pending_event() { Err(Errno::EAGAIN) } else { call.pass() }
        }),
    ]
}

fn refusals() -> Vec<Perversion> {
    vec![
        register(
            "register-refusal-registers",
            &["REG-013"],
            "an unknown mode bit is refused, and the range is registered",
            |call| {
                let answer = call.pass();
                let mode = call.argument.mode() & 7;
                if answer == Err(Errno::EINVAL) && mode != call.argument.mode() && mode != 0 && is_sane(call) {
                    let _ = call.also(UFFDIO_REGISTER, &[call.argument.start(), call.argument.len(), mode, 0]);
                }
                answer
            },
        ),
        register(
            "register-refusal-unregisters",
            &["REG-012", "REG-013"],
            "a refusal unregisters what was registered",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EINVAL) && is_sane(call) {
                    let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start(), call.argument.len()]);
                }
                answer
            },
        ),
        register("register-refusal-writes-ioctls", &["REG-047"], "a refusal writes 0 to ioctls", |call| {
            let answer = call.pass();
            if answer.is_err() {
                call.tell_field(0);
            }
            answer
        }),
        register("register-refusal-writes-errno", &["REG-047"], "a refusal writes the errno to ioctls", |call| {
            call.pass().inspect_err(|errno| call.tell_field(-(*errno as i64) as u64))
        }),
        register("register-ebusy-is-einval", &["REG-032"], "another's range is EINVAL", |call| {
            call.pass().map_err(|errno| if errno == Errno::EBUSY { Errno::EINVAL } else { errno })
        }),
        register("register-takes-anothers", &["REG-032"], "another's range changes hands", |call| match call.pass() {
            Err(Errno::EBUSY) => {
                for other in state::others(call.fd) {
                    let words = [call.argument.start(), call.argument.len()];
                    let _ = super::call::also(other, UFFDIO_UNREGISTER, &words, call.argument);
                }
                call.forget();
                call.pass()
            }
            answer => answer,
        }),
        register("register-ebusy-drops-anothers", &["REG-032"], "another's range is EBUSY and unregistered", |call| {
            let answer = call.pass();
            if answer == Err(Errno::EBUSY) {
                for other in state::others(call.fd) {
                    let words = [call.argument.start(), call.argument.len()];
                    let _ = super::call::also(other, UFFDIO_UNREGISTER, &words, call.argument);
                }
            }
            answer
        }),
        register("register-ebusy-only-for-the-same-range", &["REG-032"], "part of another's range succeeds", |call| {
            let (start, len) = (call.argument.start(), call.argument.len());
            let whole =
                state::registered_at(start).is_some_and(|range| range.start == start && range.end == start + len);
            call.pass().or_else(|errno| if errno == Errno::EBUSY && !whole { pretend(call) } else { Err(errno) })
        }),
        register(
            "register-unwritable-registers-nothing",
            &["REG-048"],
            "where ioctls cannot be written nothing is registered",
            |call| {
                let answer = call.pass();
                if answer == Err(Errno::EFAULT) {
                    let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start(), call.argument.len()]);
                }
                answer
            },
        ),
        register("register-unwritable-succeeds", &["REG-048"], "that ioctls cannot be written is ignored", |call| {
            call.pass().or_else(|errno| if errno == Errno::EFAULT { Ok(0) } else { Err(errno) })
        }),
        new("register-efault-is-einval", &["REG-049"], "a structure out of reach is EINVAL").unread(
            |_, request, answer| {
                answer.map_err(
                    |errno| if request == UFFDIO_REGISTER && errno == Errno::EFAULT { Errno::EINVAL } else { errno },
                )
            },
        ),
        register(
            "register-target-gone-is-esrch",
            &["REG-050", "LIFE-001", "CREATE-020"],
            "REGISTER for an exited process is ESRCH",
            |call| call.pass().map_err(|errno| if errno == Errno::ENOMEM { Errno::ESRCH } else { errno }),
        ),
        register(
            "register-target-gone-succeeds",
            &["REG-050", "LIFE-001", "CREATE-020"],
            "REGISTER for an exited process succeeds",
            |call| call.pass().or_else(|errno| if errno == Errno::ENOMEM { pretend(call) } else { Err(errno) }),
        ),
    ]
}
