//! The messages themselves: flags, address, thread, event, unused bytes; and which of them come at all, how often, in what order.

use super::call::PAGE;
use super::state::{self, Raw};
use super::{Perversion, Reading, honest, new};
use crate::kernel;
use crate::message::SIZE;
use crate::uapi::{
    UFFD_EVENT_PAGEFAULT, UFFD_FEATURE_EXACT_ADDRESS, UFFD_PAGEFAULT_FLAG_MINOR, UFFD_PAGEFAULT_FLAG_WP,
    UFFD_PAGEFAULT_FLAG_WRITE, UFFDIO_API,
};
use nix::errno::Errno;

const WRITE: u64 = UFFD_PAGEFAULT_FLAG_WRITE;
const WP: u64 = UFFD_PAGEFAULT_FLAG_WP;
const MINOR: u64 = UFFD_PAGEFAULT_FLAG_MINOR;
/// Where the flags, the address and the thread stand in a message.
const FLAGS: usize = 8;
const ADDRESS: usize = 16;
const THREAD: usize = 24;

fn word(message: &Raw, at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|index| message[at + index]))
}

fn put(message: &mut Raw, at: usize, value: u64) {
    message[at..at + 8].copy_from_slice(&value.to_ne_bytes());
}

fn split(bytes: &[u8]) -> Vec<Raw> {
    bytes.chunks_exact(SIZE).filter_map(|message| message.try_into().ok()).collect()
}

/// Every page-fault message on its way to the reader.
fn each(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    change: impl Fn(&Reading<'_>, &mut Raw) + Send + Sync + 'static,
) -> Perversion {
    new(name, breaks, what).read(move |reading| {
        let mut messages = split(&reading.pass()?);
        for message in messages.iter_mut().filter(|message| message[0] == UFFD_EVENT_PAGEFAULT) {
            change(reading, message);
        }
        Ok(messages.concat())
    })
}

pub(super) fn flags(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    change: fn(u64) -> u64,
) -> Perversion {
    each(name, breaks, what, move |_, message| put(message, FLAGS, change(word(message, FLAGS))))
}

fn address(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    change: fn(u64) -> u64,
) -> Perversion {
    each(name, breaks, what, move |_, message| put(message, ADDRESS, change(word(message, ADDRESS))))
}

fn thread(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    change: fn(u32) -> u32,
) -> Perversion {
    each(name, breaks, what, move |_, message| {
        let thread = u32::from_ne_bytes(std::array::from_fn(|index| message[THREAD + index]));
        if thread != 0 {
            message[THREAD..THREAD + 4].copy_from_slice(&change(thread).to_ne_bytes());
        }
    })
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = said();
    list.extend(places());
    list.extend(delivered());
    list
}

fn said() -> Vec<Perversion> {
    vec![
        flags("message-write-missing", &["FAULT-002", "FAULT-033"], "a write is not told as one", |flags| {
            flags & !WRITE
        }),
        flags("message-write-always", &["FAULT-002", "FAULT-034"], "every fault is told as a write", |flags| {
            flags | WRITE
        }),
        flags(
            "message-write-missing-with-wp",
            &["FAULT-019", "FAULT-035"],
            "a write to a protected page is not told as a write",
            |flags| {
                if flags & WP == 0 { flags } else { flags & !WRITE }
            },
        ),
        flags(
            "message-write-missing-with-minor",
            &["FAULT-014", "FAULT-015"],
            "a write that finds a cached page is not told as a write",
            |flags| {
                if flags & MINOR == 0 { flags } else { flags & !WRITE }
            },
        ),
        flags(
            "message-write-always-with-minor",
            &["FAULT-014", "FAULT-015"],
            "a read that finds a cached page is told as a write",
            |flags| {
                if flags & MINOR == 0 { flags } else { flags | WRITE }
            },
        ),
        flags(
            "message-wp-missing",
            &["FAULT-019", "FAULT-020", "FAULT-022"],
            "a write to a protected page is told as a missing one",
            |flags| flags & !WP,
        ),
        flags(
            "message-wp-with-every-write",
            &["FAULT-002", "FAULT-022"],
            "every write is told as one to a protected page",
            |flags| {
                if flags & WRITE == 0 { flags } else { flags | WP }
            },
        ),
        flags(
            "message-minor-missing",
            &["FAULT-014", "FAULT-017"],
            "a cached page is told as a missing one",
            |flags| flags & !MINOR,
        ),
        flags("message-minor-always", &["FAULT-002", "FAULT-017"], "every fault is told as a minor one", |flags| {
            flags | MINOR
        }),
        flags("message-unknown-flag", &["FAULT-002"], "a flag is set that nobody knows", |flags| flags | 1 << 8),
        each("message-other-event", &["FAULT-001"], "a fault is told as an event of number 0x13", |_, message| {
            message[0] = 0x13;
        }),
        each(
            "message-reserved-byte-dirty",
            &["FAULT-008"],
            "a reserved byte behind the event is not zero",
            |_, message| message[1] = 0x5a,
        ),
        each("message-reserved-word-dirty", &["FAULT-008"], "the last reserved word is not zero", |_, message| {
            message[7] = 0x5a;
        }),
        each("message-tail-dirty", &["FAULT-008"], "the last byte is not zero", |_, message| message[SIZE - 1] = 0x5a),
        each("message-tail-behind-ptid-dirty", &["FAULT-008"], "the bytes behind ptid are not zero", |_, message| {
            message[28] = 0x5a;
        }),
    ]
}

fn places() -> Vec<Perversion> {
    vec![
        address(
            "message-address-a-page-more",
            &["FAULT-003", "FAULT-004", "FAULT-005"],
            "the address is that of the next page",
            |address| address + PAGE,
        ),
        address(
            "message-address-a-page-less",
            &["FAULT-003", "FAULT-004", "FAULT-005"],
            "the address is that of the page before",
            |address| address.wrapping_sub(PAGE),
        ),
        address(
            "message-address-rounded-up-to-words",
            &["FAULT-005"],
            "an exact address is that of its word",
            |address| address & !7,
        ),
        address("message-address-rounded-always", &["FAULT-005"], "an exact address is that of its page", |address| {
            address & !(PAGE - 1)
        }),
        address(
            "message-address-sign-lost",
            &["FAULT-003", "FAULT-001"],
            "the address loses its upper half",
            |address| address & 0xffff_ffff,
        ),
        new(
            "message-address-of-hugepage-not-rounded",
            &["FAULT-004"],
            "the address is rounded to a base page in hugetlb too",
        )
        .ioctl(&[UFFDIO_API], |call| {
            let known = call.argument.mode() >> 40 == 0;
            let exact = call.argument.mode() & UFFD_FEATURE_EXACT_ADDRESS != 0;
            state::of(call.fd, |descriptor| descriptor.count = u64::from(exact));
            if known { call.with(call.argument.adding(UFFD_FEATURE_EXACT_ADDRESS)) } else { call.pass() }
        })
        .read(|reading| {
            let exact = state::of(reading.fd, |descriptor| descriptor.count != 0);
            let mut messages = split(&reading.pass()?);
            for message in messages.iter_mut().filter(|_| !exact) {
                let rounded = word(message, ADDRESS) & !(PAGE - 1);
                put(message, ADDRESS, rounded);
            }
            Ok(messages.concat())
        }),
        address(
            "message-address-rounded-to-huge-pages",
            &["FAULT-003"],
            "the address is rounded to a huge page everywhere",
            |address| address & !(kernel::thp_size() as u64 - 1),
        ),
        thread("message-thread-is-the-next", &["FAULT-007"], "ptid is one too high", |thread| thread + 1),
        thread(
            "message-thread-is-the-process",
            &["FAULT-007", "FAULT-040"],
            "ptid is the process instead of the thread",
            |_| std::process::id(),
        ),
        thread(
            "message-thread-is-the-parent",
            &["FAULT-007", "FAULT-040"],
            "ptid is the parent of the process",
            |_| nix::unistd::getppid().as_raw() as u32,
        ),
        each(
            "message-thread-without-feature",
            &["FAULT-007"],
            "ptid is filled without THREAD_ID",
            |reading, message| {
                let asked = state::of(reading.fd, |descriptor| {
                    descriptor.features.is_some_and(|features| features & crate::uapi::UFFD_FEATURE_THREAD_ID != 0)
                });
                if !asked {
                    message[THREAD..THREAD + 4].copy_from_slice(&std::process::id().to_ne_bytes());
                }
            },
        ),
    ]
}

/// Gives what is held back first, then what the kernel has, one message at a time, as `choose` has it.
fn held(reading: &Reading<'_>, choose: impl Fn(&mut Vec<Raw>)) -> Result<Vec<u8>, Errno> {
    if reading.length < SIZE {
        return reading.pass();
    }
    let mut messages: Vec<Raw> = state::of(reading.fd, |descriptor| descriptor.held.drain(..).collect());
    let came = if messages.is_empty() { reading.with(16 * SIZE) } else { now(reading) };
    match came {
        Ok(bytes) => messages.extend(split(&bytes)),
        Err(errno) if messages.is_empty() => return Err(errno),
        Err(_) => {}
    }
    choose(&mut messages);
    let fit = (reading.length / SIZE).min(messages.len());
    state::of(reading.fd, |descriptor| descriptor.held = messages.split_off(fit).into());
    if messages.is_empty() { Err(Errno::EAGAIN) } else { Ok(messages.concat()) }
}

/// What the kernel has at this moment, even of a descriptor that blocks.
fn now(reading: &Reading<'_>) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; 16 * SIZE];
    let count = honest::preadv2(reading.fd, &mut bytes, libc::RWF_NOWAIT)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn delivered() -> Vec<Perversion> {
    vec![
        new("message-never", &["FAULT-001", "FAULT-030", "FAULT-031"], "no fault is ever told").read(|reading| {
            match reading.pass() {
                Ok(_) => Err(Errno::EAGAIN),
                answer => answer,
            }
        }),
        new("message-of-later-threads-lost", &["FAULT-026"], "of several faults on one page only the first is told")
            .read(|reading| {
                let mut messages = split(&reading.pass()?);
                let last = state::of(reading.fd, |descriptor| descriptor.last);
                let mut seen: Vec<u64> = last.iter().map(|message| word(message, ADDRESS)).collect();
                messages.retain(|message| {
                    let new = !seen.contains(&word(message, ADDRESS));
                    seen.push(word(message, ADDRESS));
                    new
                });
                match messages.last() {
                    Some(message) => state::of(reading.fd, |descriptor| descriptor.last = Some(*message)),
                    None => return Err(Errno::EAGAIN),
                }
                Ok(messages.concat())
            }),
        new("message-of-a-fault-anew-lost", &["FAULT-030", "FAULT-031"], "a fault that comes again is not told again")
            .read(|reading| {
                let mut messages = split(&reading.pass()?);
                state::of(reading.fd, |descriptor| {
                    messages.retain(|message| !descriptor.seen.contains(message));
                    descriptor.seen.extend(&messages);
                });
                if messages.is_empty() { Err(Errno::EAGAIN) } else { Ok(messages.concat()) }
            }),
        new("message-to-every-descriptor", &["POLL-018"], "every duplicate of a descriptor gets each message").read(
            |reading| {
                let messages = split(&reading.pass()?);
                state::hold_for_duplicates(reading.fd, &messages);
                let mut all: Vec<Raw> = state::of(reading.fd, |descriptor| descriptor.held.drain(..).collect());
                all.extend(&messages);
                all.truncate(reading.length / SIZE);
                Ok(all.concat())
            },
        ),
        new("message-twice", &["FAULT-029", "POLL-018"], "every message is told twice").read(|reading| {
            if reading.length >= SIZE
                && let Some(message) = state::of(reading.fd, |descriptor| descriptor.held.pop_front())
            {
                return Ok(message.to_vec());
            }
            let bytes = reading.pass()?;
            state::of(reading.fd, |descriptor| descriptor.held.extend(split(&bytes)));
            Ok(bytes)
        }),
        new("message-last-first", &["FAULT-028"], "the latest message comes first")
            .read(|reading| held(reading, |messages| messages.reverse())),
        new("message-by-address", &["FAULT-028"], "messages come in the order of their addresses")
            .read(|reading| held(reading, |messages| messages.sort_by_key(|message| word(message, ADDRESS)))),
        new("message-events-first", &["POLL-017"], "events are told before faults").read(|reading| {
            held(reading, |messages| messages.sort_by_key(|message| message[0] == UFFD_EVENT_PAGEFAULT))
        }),
        new(
            "message-of-resolved-fault-stays",
            &["FAULT-027", "POLL-006"],
            "a fault that was resolved before it was read is told all the same",
        )
        .before_ioctl(|fd| {
            let mut bytes = vec![0; 16 * SIZE];
            let count = honest::preadv2(fd, &mut bytes, libc::RWF_NOWAIT).unwrap_or(0);
            state::of(fd, |descriptor| descriptor.held.extend(split(&bytes[..count])));
        })
        .read(|reading| held(reading, |_| {}))
        .poll(|polling| {
            let held = state::of(polling.fd, |descriptor| !descriptor.held.is_empty());
            polling.pass().map(|events| if held { events | libc::POLLIN } else { events })
        }),
        new("message-every-second-lost", &["FAULT-026", "FAULT-028", "POLL-013"], "every second message is lost").read(
            |reading| {
                let mut messages = split(&reading.pass()?);
                let mut count = state::of(reading.fd, |descriptor| descriptor.count);
                messages.retain(|_| {
                    count += 1;
                    count % 2 == 1
                });
                state::of(reading.fd, |descriptor| descriptor.count = count);
                if messages.is_empty() { Err(Errno::EAGAIN) } else { Ok(messages.concat()) }
            },
        ),
    ]
}
