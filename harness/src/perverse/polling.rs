//! poll, select and epoll that lie.

use nix::sys::epoll::EpollFlags;

use super::call::also;
use super::{Perversion, Polling, honest, new, state};
use crate::uapi::UFFDIO_ZEROPAGE;
use nix::errno::Errno;

const IN: i16 = libc::POLLIN;
const ERR: i16 = libc::POLLERR;
const HUP: i16 = libc::POLLHUP;

fn poll(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    change: impl Fn(&Polling<'_>, i16) -> i16 + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).poll(move |polling| polling.pass().map(|events| change(polling, events)))
}

fn blocks(polling: &Polling<'_>) -> bool {
    honest::status_flags(polling.fd).is_ok_and(|flags| flags & libc::O_NONBLOCK == 0)
}

fn has_waiters(polling: &Polling<'_>) -> bool {
    honest::fdinfo(polling.fd).is_ok_and(|text| !text.contains("total:\t0\n"))
}

fn has_lost_its_target(polling: &Polling<'_>) -> bool {
    let words = [16 * super::call::PAGE, super::call::PAGE, super::call::DONTWAKE, 0];
    let Some(argument) = super::call::Argument::of(UFFDIO_ZEROPAGE, &words) else { return false };
    also(polling.fd, UFFDIO_ZEROPAGE, &words, argument).0 == Err(Errno::ESRCH)
}

pub(super) fn list() -> Vec<Perversion> {
    vec![
        poll("poll-always-in", &["POLL-001", "POLL-006"], "poll says POLLIN always", |_, events| {
            if events & ERR == 0 { events | IN } else { events }
        }),
        poll("poll-never-in", &["POLL-002"], "poll never says POLLIN", |_, events| events & !IN),
        poll(
            "poll-in-until-resolved",
            &["POLL-006"],
            "poll says POLLIN as long as anyone waits, read or not",
            |polling, events| {
                if events & ERR == 0 && has_waiters(polling) { events | IN } else { events }
            },
        ),
        poll("poll-in-once", &["POLL-002"], "poll says POLLIN once for each time it was silent", |polling, events| {
            let told = state::of(polling.fd, |descriptor| {
                std::mem::replace(&mut descriptor.count, u64::from(events & IN != 0))
            });
            if told != 0 { events & !IN } else { events }
        }),
        poll("poll-out-always", &["POLL-001", "POLL-002"], "poll adds POLLOUT", |_, events| events | libc::POLLOUT),
        poll("poll-err-when-idle", &["POLL-001"], "poll says POLLERR when nothing is queued", |_, events| {
            if events == 0 { ERR } else { events }
        }),
        poll(
            "poll-hangup-when-idle",
            &["POLL-001", "POLL-007"],
            "poll says POLLHUP when nothing is queued",
            |_, events| if events == 0 { HUP } else { events },
        ),
        poll(
            "poll-no-err-when-blocking",
            &["POLL-003"],
            "poll of a descriptor that blocks is silent",
            |polling, events| {
                if blocks(polling) { events & !ERR } else { events }
            },
        ),
        poll(
            "poll-in-when-blocking",
            &["POLL-003"],
            "poll of a descriptor that blocks says POLLIN when a fault is queued",
            |polling, events| {
                let queued = honest::fdinfo(polling.fd).is_ok_and(|text| !text.contains("pending:\t0\n"));
                if blocks(polling) && events == ERR && queued { IN } else { events }
            },
        ),
        poll(
            "poll-in-beside-err-when-blocking",
            &["POLL-003"],
            "poll of a descriptor that blocks says POLLIN beside POLLERR",
            |polling, events| {
                if blocks(polling) { events | IN } else { events }
            },
        ),
        poll(
            "poll-hangup-when-target-is-gone",
            &["POLL-007"],
            "poll says POLLHUP when the process is gone",
            |polling, events| {
                if has_lost_its_target(polling) { events | HUP } else { events }
            },
        ),
        poll(
            "poll-err-when-target-is-gone",
            &["POLL-007"],
            "poll says POLLERR when the process is gone",
            |polling, events| {
                if has_lost_its_target(polling) { events | ERR } else { events }
            },
        ),
        new("read-of-gone-target-is-0", &["POLL-007", "LIFE-001"], "read says the end when the process is gone").read(
            |reading| {
                let polling = Polling { fd: reading.fd, events: 0, timeout: 0 };
                if has_lost_its_target(&polling) { Ok(Vec::new()) } else { reading.pass() }
            },
        ),
        new("select-quiet-when-blocking", &["POLL-004"], "select of a descriptor that blocks is silent")
            .select(|_| (false, false, false)),
        new("select-not-writable", &["POLL-004"], "select of a descriptor that blocks says readable only")
            .select(|(readable, _, exceptional)| (readable, false, exceptional)),
        new("select-exceptional", &["POLL-004"], "select of a descriptor that blocks says exceptional")
            .select(|(readable, writable, _)| (readable, writable, true)),
        new("select-not-readable", &["POLL-004"], "select of a descriptor that blocks says writable only")
            .select(|(_, writable, exceptional)| (false, writable, exceptional)),
        new("epoll-never-in", &["POLL-008"], "epoll never says EPOLLIN")
            .epoll_wait(|events| events.filter(|events| !events.contains(EpollFlags::EPOLLIN))),
        new("epoll-in-always", &["POLL-008"], "epoll says EPOLLIN always")
            .epoll_wait(|events| events.or(Some(EpollFlags::EPOLLIN))),
        new("epoll-edge-is-level", &["POLL-008"], "EPOLLET is ignored")
            .epoll_add(|events| events & !EpollFlags::EPOLLET),
        new("epoll-edge-never-rearms", &["POLL-008"], "EPOLLET tells the first fault only").epoll_add(|events| {
            if events.contains(EpollFlags::EPOLLET) { events | EpollFlags::EPOLLONESHOT } else { events }
        }),
        new("poll-does-not-wait", &["POLL-002"], "poll does not wait for a fault")
            .poll(|polling| Ok(if polling.timeout == 0 { polling.pass()? } else { polling.now() })),
    ]
}
