//! read(2) of a userfaultfd: lengths, blocking, signals, and buffers that cannot be written.

use nix::errno::Errno;

use super::state;
use super::{Perversion, Reading, honest, new};
use crate::message::SIZE;

fn blocks(reading: &Reading<'_>) -> bool {
    honest::status_flags(reading.fd).is_ok_and(|flags| flags & libc::O_NONBLOCK == 0)
}

/// Whether a message is there to be read.
fn is_ready(reading: &Reading<'_>) -> bool {
    honest::fdinfo(reading.fd).is_ok_and(|text| !text.contains("pending:\t0\n"))
}

pub(super) fn list() -> Vec<Perversion> {
    let mut list = lengths();
    list.extend(waiting());
    list.extend(buffers());
    list
}

fn lengths() -> Vec<Perversion> {
    vec![
        new("read-short-buffer-accepted", &["POLL-009"], "read into a short buffer gives part of a message").read(
            |reading| {
                if reading.length == 0 || reading.length >= SIZE {
                    return reading.pass();
                }
                let mut bytes = reading.with(SIZE)?;
                bytes.truncate(reading.length);
                Ok(bytes)
            },
        ),
        new(
            "read-short-buffer-is-eagain",
            &["POLL-009"],
            "read into a short buffer is EAGAIN if there is nothing to read",
        )
        .read(|reading| {
            if reading.length < SIZE && reading.length > 0 && !is_ready(reading) {
                Err(Errno::EAGAIN)
            } else {
                reading.pass()
            }
        }),
        new(
            "read-short-buffer-loses-message",
            &["POLL-009"],
            "read into a short buffer is EINVAL and the message is gone",
        )
        .read(|reading| {
            if reading.length < SIZE && is_ready(reading) {
                let _ = reading.with(SIZE);
                return Err(Errno::EINVAL);
            }
            reading.pass()
        }),
        new("message-of-24-bytes", &["FAULT-009"], "read gives messages without their last eight bytes").read(
            |reading| {
                let bytes = reading.pass()?;
                Ok(bytes.chunks(SIZE).flat_map(|message| message[..SIZE - 8].to_vec()).collect())
            },
        ),
        new("message-of-64-bytes", &["FAULT-009"], "read gives messages with eight more words").read(|reading| {
            let bytes = reading.with(reading.length / 2)?;
            Ok(bytes.chunks(SIZE).flat_map(|message| [message, &[0; SIZE]].concat()).collect())
        }),
        new("read-of-0-bytes-is-0", &["POLL-010"], "read of 0 bytes gives 0")
            .read(|reading| if reading.length == 0 { Ok(Vec::new()) } else { reading.pass() }),
        new("read-one-message-at-a-time", &["POLL-013"], "read gives one message although several fit")
            .read(|reading| reading.with(if reading.length > SIZE { SIZE } else { reading.length })),
        new("read-fills-the-buffer", &["POLL-013"], "read gives part of a message at the end of the buffer").read(
            |reading| {
                let mut bytes = reading.pass()?;
                if bytes.len() >= SIZE && reading.length % SIZE != 0 && is_ready(reading) {
                    let more = reading.with(SIZE)?;
                    bytes.extend_from_slice(&more[..reading.length % SIZE]);
                }
                Ok(bytes)
            },
        ),
        new("read-counts-messages", &["POLL-013"], "read gives a byte less than it wrote").read(|reading| {
            let mut bytes = reading.pass()?;
            if bytes.len() > SIZE {
                bytes.pop();
            }
            Ok(bytes)
        }),
        new("read-takes-more-than-it-gives", &["POLL-013"], "read takes every message and gives those that fit").read(
            |reading| {
                let mut bytes = reading.with(if reading.length < SIZE { reading.length } else { 32 * SIZE })?;
                bytes.truncate(reading.length - reading.length % SIZE);
                Ok(bytes)
            },
        ),
    ]
}

fn waiting() -> Vec<Perversion> {
    vec![
        new("read-of-nothing-is-0", &["POLL-011"], "a nonblocking read of nothing gives 0").read(
            |reading| match reading.pass() {
                Err(Errno::EAGAIN) => Ok(Vec::new()),
                answer => answer,
            },
        ),
        new("read-of-nothing-is-eintr", &["POLL-011"], "a nonblocking read of nothing is EINTR").read(|reading| {
            match reading.pass() {
                Err(Errno::EAGAIN) => Err(Errno::EINTR),
                answer => answer,
            }
        }),
        new("read-of-nothing-gives-a-message", &["POLL-011"], "a nonblocking read of nothing gives an empty message")
            .read(|reading| match reading.pass() {
                Err(Errno::EAGAIN) => Ok(vec![0; SIZE]),
                answer => answer,
            }),
        new("read-never-blocks", &["POLL-012", "CREATE-003"], "a blocking read of nothing is EAGAIN").read(|reading| {
            if blocks(reading) && reading.length >= SIZE && !is_ready(reading) {
                Err(Errno::EAGAIN)
            } else {
                reading.pass()
            }
        }),
        new("read-blocks-for-a-full-buffer", &["POLL-012"], "a blocking read waits until its buffer is full").read(
            |reading| {
                let mut bytes = reading.pass()?;
                while blocks(reading) && reading.length - bytes.len() >= SIZE {
                    bytes.extend(reading.with(reading.length - bytes.len())?);
                }
                Ok(bytes)
            },
        ),
        new("read-blocking-gives-one", &["POLL-012"], "a blocking read gives one message although several are there")
            .read(|reading| reading.with(if blocks(reading) && reading.length > SIZE { SIZE } else { reading.length })),
        new("read-goes-on-after-a-signal", &["POLL-014"], "a read that a signal interrupts goes on without SA_RESTART")
            .read(|reading| {
                loop {
                    match reading.pass() {
                        Err(Errno::EINTR) => {}
                        answer => return answer,
                    }
                }
            }),
        new(
            "read-interrupted-in-spite-of-restart",
            &["POLL-014"],
            "a read that a signal interrupts is EINTR, SA_RESTART or not",
        )
        .read(|reading| {
            while blocks(reading) && reading.length >= SIZE && !is_ready(reading) {
                // poll(2) is never restarted.
                nix::poll::poll(&mut [], 5_u8).map_err(|_| Errno::EINTR)?;
            }
            reading.pass()
        }),
        new("read-interrupted-is-eagain", &["POLL-014"], "a read that a signal interrupts is EAGAIN")
            .read(|reading| reading.pass().map_err(|errno| if errno == Errno::EINTR { Errno::EAGAIN } else { errno })),
        new("preadv2-nowait-ignored", &["POLL-020"], "RWF_NOWAIT is ignored")
            .preadv2(|fd, buffer, flags| honest::preadv2(fd, buffer, flags & !libc::RWF_NOWAIT)),
        new("preadv2-nowait-refused", &["POLL-020"], "RWF_NOWAIT is refused").preadv2(|fd, buffer, flags| {
            if flags & libc::RWF_NOWAIT == 0 { honest::preadv2(fd, buffer, flags) } else { Err(Errno::EOPNOTSUPP) }
        }),
        new("preadv2-nowait-always-eagain", &["POLL-020"], "RWF_NOWAIT is EAGAIN whatever is there").preadv2(
            |fd, buffer, flags| {
                if flags & libc::RWF_NOWAIT == 0 { honest::preadv2(fd, buffer, flags) } else { Err(Errno::EAGAIN) }
            },
        ),
    ]
}

fn buffers() -> Vec<Perversion> {
    let deliver = |reading: &Reading<'_>| {
        let held = state::of(reading.fd, |descriptor| descriptor.held.pop_front());
        match held {
            Some(message) if reading.length >= SIZE => Ok(message.to_vec()),
            _ => reading.pass(),
        }
    };
    vec![
        new(
            "read-unwritable-keeps-message",
            &["POLL-015", "POLL-016"],
            "a message that cannot be written is told by the next read",
        )
        .read(deliver)
        .unwritable(|fd, bytes, whole| {
            let lost = bytes[whole..].chunks_exact(SIZE).filter_map(|message| state::Raw::try_from(message).ok());
            state::of(fd, |descriptor| descriptor.held.extend(lost));
            if whole == 0 { Err(Errno::EFAULT) } else { Ok(whole) }
        }),
        new("read-unwritable-is-0", &["POLL-015"], "read into a bad buffer gives 0")
            .read(|reading| reading.pass())
            .unwritable(|_, _, whole| Ok(whole)),
        new("read-unwritable-is-einval", &["POLL-015"], "read into a bad buffer is EINVAL")
            .read(|reading| reading.pass())
            .unwritable(|_, _, whole| if whole == 0 { Err(Errno::EINVAL) } else { Ok(whole) }),
        new(
            "read-half-writable-is-efault",
            &["POLL-016"],
            "read of two messages is EFAULT if only the first can be written",
        )
        .read(|reading| reading.pass())
        .unwritable(|_, _, _| Err(Errno::EFAULT)),
        new(
            "read-half-writable-counts-all",
            &["POLL-016"],
            "read of two messages counts both if only the first can be written",
        )
        .read(|reading| reading.pass())
        .unwritable(|_, bytes, whole| if whole == 0 { Err(Errno::EFAULT) } else { Ok(bytes.len()) }),
    ]
}
