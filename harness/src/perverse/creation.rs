//! Creation: flags, rights, limits, and what the descriptor is beside a source of messages.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

use super::effect::Effect;
use super::{Perversion, honest, new};
use crate::uapi::{UFFD_USER_MODE_ONLY, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_UNREGISTER};

const KNOWN: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn has_capabilities() -> bool {
    caps::read(None, caps::CapSet::Effective).is_ok_and(|set| !set.is_empty())
}

/// An errno of creation in place of another.
fn errno(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    from: Errno,
    to: Errno,
) -> Perversion {
    new(name, breaks, what)
        .create(move |creation| creation.pass().map_err(|errno| if errno == from { to } else { errno }))
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = flags();
    list.extend(rights());
    list.extend(descriptor());
    list
}

fn flags() -> Vec<Perversion> {
    vec![
        new("create-cloexec-ignored", &["CREATE-002", "CREATE-019"], "O_CLOEXEC is ignored")
            .create(|creation| creation.with(creation.flags & !libc::O_CLOEXEC)),
        new("create-cloexec-always", &["CREATE-002", "CREATE-019"], "FD_CLOEXEC is set unasked")
            .create(|creation| creation.with(creation.flags | libc::O_CLOEXEC)),
        new("create-nonblock-ignored", &["CREATE-003", "CREATE-019"], "O_NONBLOCK is ignored")
            .create(|creation| creation.with(creation.flags & !libc::O_NONBLOCK)),
        new("create-nonblock-always", &["CREATE-003", "CREATE-019"], "O_NONBLOCK is set unasked")
            .create(|creation| creation.with(creation.flags | libc::O_NONBLOCK)),
        new("create-unknown-flags-accepted", &["CREATE-004"], "unknown flags of userfaultfd(2) are ignored").create(
            |creation| creation.with(if creation.device.is_none() { creation.flags & KNOWN } else { creation.flags }),
        ),
        new("device-unknown-flags-accepted", &["CREATE-015"], "unknown flags of USERFAULTFD_IOC_NEW are ignored")
            .create(|creation| {
                creation.with(if creation.device.is_some() { creation.flags & KNOWN } else { creation.flags })
            }),
        new("device-cloexec-ignored", &["CREATE-019"], "USERFAULTFD_IOC_NEW ignores O_CLOEXEC").create(|creation| {
            let drop = if creation.device.is_some() { libc::O_CLOEXEC } else { 0 };
            creation.with(creation.flags & !drop)
        }),
        new("create-unknown-flag-is-enosys", &["CREATE-004", "CREATE-015"], "an unknown flag is answered by ENOSYS")
            .create(|creation| {
                creation.pass().map_err(|errno| if creation.flags & !KNOWN == 0 { errno } else { Errno::ENOSYS })
            }),
        new("create-user-mode-only-refused", &["CREATE-005", "CREATE-019"], "UFFD_USER_MODE_ONLY is an unknown flag")
            .create(
                |creation| {
                    if creation.flags & UFFD_USER_MODE_ONLY == 0 { creation.pass() } else { Err(Errno::EINVAL) }
                },
            ),
        new(
            "create-user-mode-only-ignored",
            &["CREATE-019", "FAULT-044", "FAULT-045"],
            "UFFD_USER_MODE_ONLY is ignored where the caller may have kernel faults",
        )
        .create(|creation| creation.with(creation.flags & !UFFD_USER_MODE_ONLY).or_else(|_| creation.pass())),
        new(
            "create-user-mode-only-always",
            &["CREATE-014", "FAULT-033", "FAULT-034"],
            "every userfaultfd is one for user mode only",
        )
        .create(|creation| creation.with(creation.flags | UFFD_USER_MODE_ONLY)),
    ]
}

fn rights() -> Vec<Perversion> {
    vec![
        new("create-ordinary-user-refused", &["CREATE-007"], "UFFD_USER_MODE_ONLY is not enough for an ordinary user")
            .create(|creation| {
                let ordinary = !is_root() && creation.device.is_none();
                if ordinary && creation.flags & UFFD_USER_MODE_ONLY != 0 { Err(Errno::EPERM) } else { creation.pass() }
            }),
        new("create-ordinary-user-allowed", &["CREATE-006"], "an ordinary user needs no UFFD_USER_MODE_ONLY").create(
            |creation| {
                creation.pass().or_else(|errno| match errno {
                    Errno::EPERM => creation.with(creation.flags | UFFD_USER_MODE_ONLY),
                    other => Err(other),
                })
            },
        ),
        new("create-refusal-is-eacces", &["CREATE-006"], "an ordinary user is refused with EACCES").create(
            |creation| creation.pass().map_err(|errno| if errno == Errno::EPERM { Errno::EACCES } else { errno }),
        ),
        new("create-sysctl-ignored", &["CREATE-008"], "vm.unprivileged_userfaultfd=1 allows nothing").create(
            |creation| {
                let plain = creation.device.is_none() && creation.flags & UFFD_USER_MODE_ONLY == 0;
                if plain && !has_capabilities() { Err(Errno::EPERM) } else { creation.pass() }
            },
        ),
        new(
            "create-asks-for-another-capability",
            &["CREATE-009"],
            "kernel faults are for CAP_SYS_ADMIN, not CAP_SYS_PTRACE",
        )
        .create(|creation| {
            let plain = creation.device.is_none() && creation.flags & UFFD_USER_MODE_ONLY == 0;
            let admin = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SYS_ADMIN).unwrap_or(false);
            if plain && !admin { Err(Errno::EPERM) } else { creation.pass() }
        }),
        new("create-any-capability-will-do", &["CREATE-009"], "any capability allows kernel faults").create(
            |creation| {
                creation.pass().or_else(|errno| {
                    let some = errno == Errno::EPERM && is_root() && has_capabilities();
                    if some { creation.with(creation.flags | UFFD_USER_MODE_ONLY) } else { Err(errno) }
                })
            },
        ),
        new("create-capability-of-any-namespace", &["CREATE-009"], "CAP_SYS_PTRACE counts in any user namespace")
            .create(|creation| {
                creation.pass().or_else(|errno| {
                    let ours = errno == Errno::EPERM && has_capabilities();
                    if ours { creation.with(creation.flags | UFFD_USER_MODE_ONLY) } else { Err(errno) }
                })
            }),
        new("create-flags-before-rights", &["CREATE-010"], "unknown flags are refused before rights are checked")
            .create(|creation| if creation.flags & !KNOWN == 0 { creation.pass() } else { Err(Errno::EINVAL) }),
        new("device-kernel-faults-withheld", &["CREATE-014", "CREATE-017"], "USERFAULTFD_IOC_NEW gives user mode only")
            .create(|creation| {
                let add = if creation.device.is_some() { UFFD_USER_MODE_ONLY } else { 0 };
                creation.with(creation.flags | add)
            }),
        new("device-asks-for-rights", &["CREATE-017"], "USERFAULTFD_IOC_NEW asks for rights beyond those of the node")
            .create(
                |creation| if creation.device.is_some() && !is_root() { Err(Errno::EPERM) } else { creation.pass() },
            ),
    ]
}

fn descriptor() -> Vec<Perversion> {
    vec![
        errno("create-emfile-is-enfile", &["CREATE-012"], "no free descriptor is ENFILE", Errno::EMFILE, Errno::ENFILE),
        new("create-opened-for-writing", &["CREATE-001"], "F_GETFL says O_RDWR")
            .other("F_GETFL", |flags| flags.map(|flags| flags | i64::from(libc::O_RDWR))),
        new("nonblock-later-ignored", &["CREATE-003"], "F_SETFL leaves O_NONBLOCK as creation set it")
            .set_flags(|_, _| Ok(())),
        new("async-sticks", &["POLL-019"], "F_SETFL keeps O_ASYNC")
            .set_flags(|fd, flags| {
                ASYNC.store(flags & libc::O_ASYNC, Ordering::Relaxed);
                honest::set_status_flags(fd, flags)
            })
            .other("F_GETFL", |flags| flags.map(|flags| flags | i64::from(ASYNC.load(Ordering::Relaxed)))),
        new("seek-moves", &["CREATE-021"], "lseek moves an offset")
            .other("lseek", |answer| answer.map(|offset| offset + 32)),
        new("pread-is-eagain", &["CREATE-021"], "pread is not refused as such").other("pread", |_| Err(Errno::EAGAIN)),
        new("write-is-einval", &["CREATE-021"], "write is refused with EINVAL").other("write", |_| Err(Errno::EINVAL)),
        new("write-is-taken", &["CREATE-021"], "write takes what it is given").other("write", |_| Ok(32)),
        new("unknown-ioctl-is-enotty", &["CREATE-022"], "an unknown ioctl is ENOTTY").unread(|fd, _, answer| {
            match answer {
                Err(Errno::EINVAL) if is_userfaultfd(fd) => Err(Errno::ENOTTY),
                other => other,
            }
        }),
        new("unknown-ioctl-is-ignored", &["CREATE-022"], "an unknown ioctl is answered by 0").unread(
            |fd, _, answer| match answer {
                Err(Errno::EINVAL) if is_userfaultfd(fd) => Ok(0),
                other => other,
            },
        ),
        new("device-unknown-ioctl-is-enotty", &["CREATE-016"], "an unknown ioctl on the device is ENOTTY").unread(
            |fd, _, answer| match answer {
                Err(Errno::EINVAL) if !is_userfaultfd(fd) => Err(Errno::ENOTTY),
                other => other,
            },
        ),
        new("child-registers-its-own", &["CREATE-020"], "a forked child's REGISTER is about the child's memory").ioctl(
            &[UFFDIO_REGISTER],
            |call| match call.pass() {
                Err(Errno::EINVAL) if is_inherited(call.fd) => {
                    call.tell_field(0x13c);
                    Ok(0)
                }
                answer => answer,
            },
        ),
        new("setting-takes-any-number", &["CREATE-011"], "vm.unprivileged_userfaultfd takes any text").effect(
            |effect, pass| match (effect, pass()) {
                (Effect::WriteSetting, Err(Errno::EINVAL)) => Ok(0),
                (_, answer) => answer,
            },
        ),
        new("setting-is-everyones", &["CREATE-011"], "any user can write vm.unprivileged_userfaultfd").effect(
            |effect, pass| match (effect, pass()) {
                (Effect::WriteSetting, Err(Errno::EACCES)) => Ok(0),
                (_, answer) => answer,
            },
        ),
        new("node-is-everyones", &["CREATE-018"], "the kernel asks for a node that everyone may open")
            .attribute(|uevent| format!("{uevent}DEVMODE=0666\n")),
        new("node-of-root-is-eperm", &["CREATE-018"], "who may not open the node gets EPERM").effect(|effect, pass| {
            match (effect, pass()) {
                (Effect::OpenNode, Err(Errno::EACCES)) => Err(Errno::EPERM),
                (_, answer) => answer,
            }
        }),
        new(
            "receiver-registers-nothing",
            &["POLL-029"],
            "REGISTER by who received the descriptor succeeds and does nothing",
        )
        .ioctl(&[UFFDIO_REGISTER], |call| {
            let answer = call.pass();
            if answer.is_ok() && is_inherited(call.fd) {
                let _ = call.also(UFFDIO_UNREGISTER, &[call.argument.start(), call.argument.len()]);
            }
            answer
        }),
        new(
            "child-fills-nothing",
            &["CREATE-020", "POLL-029"],
            "only the process that made a userfaultfd can fill by it",
        )
        .ioctl(&[UFFDIO_COPY], |call| if is_inherited(call.fd) { Err(Errno::ESRCH) } else { call.pass() }),
    ]
}

fn is_userfaultfd(fd: BorrowedFd<'_>) -> bool {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    link.is_ok_and(|link| link.to_string_lossy().contains("[userfaultfd]"))
}

static ASYNC: AtomicI32 = AtomicI32::new(0);

/// Whether another process made this descriptor.
fn is_inherited(fd: BorrowedFd<'_>) -> bool {
    super::state::of(fd, |descriptor| descriptor.creator != std::process::id() as i32)
}
