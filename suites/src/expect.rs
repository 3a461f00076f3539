//! What cases expect, in one line each: of an ioctl's reply, of a message, of a thread that waits.
//!
//! Every expectation that is not met names the line of the case where it stands.

use std::panic::Location;

use uffd_harness::Errno;
use uffd_harness::actor::{Actor, Ending, Sight, Sleep};
use uffd_harness::case::{Outcome, Stop};
use uffd_harness::message::{Event, Message};
use uffd_harness::sys::SignalInfo;
use uffd_harness::uffd::{ApiReply, Field, Reply, Uffd};
use uffd_harness::{kernel, uapi};

/// A broken promise, with the line of the case where it was expected.
#[track_caller]
pub fn broken(what: impl std::fmt::Display) -> Stop {
    let at = Location::caller();
    Stop::Fail(format!("{}:{}: {what}", at.file(), at.line()))
}

/// Fails the case unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::expect::broken(format!($($what)+)));
        }
    };
}

/// Fails the case unless both are equal: what was found, what is expected, and of what.
#[macro_export]
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($what:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    let what = format!($($what)+);
                    return Err($crate::expect::broken(format!("{what}: found {found:?}, expected {expected:?}")));
                }
            }
        }
    };
}

/// What is expected of an ioctl's reply.
pub trait Expect {
    /// It returned 0, and its result field, if it has one, says `bytes`.
    fn does(self, bytes: u64) -> Outcome;
    /// It returned 0; it has no result field.
    fn succeeds(self) -> Outcome;
    /// It failed with `errno` and left the result field alone.
    fn is_refused(self, errno: Errno) -> Outcome;
    /// It failed with `errno` and its result field says so too, as a negative number.
    fn fails(self, errno: Errno) -> Outcome;
    /// It stopped after `bytes` bytes: `EAGAIN`, and the result field says how many.
    fn stops_after(self, bytes: u64) -> Outcome;
}

#[track_caller]
fn reply_is(reply: Reply, result: Result<i32, Errno>, field: Field, what: &str) -> Outcome {
    if reply.result == result && reply.field == field {
        Ok(())
    } else {
        Err(broken(format!("{reply}; expected {what}")))
    }
}

impl Expect for Reply {
    #[track_caller]
    fn does(self, bytes: u64) -> Outcome {
        reply_is(self, Ok(0), Field::Written(bytes as i64), &format!("success and {bytes:#x} in the result field"))
    }

    #[track_caller]
    fn succeeds(self) -> Outcome {
        reply_is(self, Ok(0), Field::None, "success")
    }

    #[track_caller]
    fn is_refused(self, errno: Errno) -> Outcome {
        let field = if self.field == Field::None { Field::None } else { Field::Untouched };
        reply_is(self, Err(errno), field, &format!("{errno:?}, the result field untouched"))
    }

    #[track_caller]
    fn fails(self, errno: Errno) -> Outcome {
        let field = if self.field == Field::None { Field::None } else { Field::Written(-i64::from(errno as i32)) };
        reply_is(self, Err(errno), field, &format!("{errno:?}, and -{errno:?} in the result field"))
    }

    #[track_caller]
    fn stops_after(self, bytes: u64) -> Outcome {
        reply_is(
            self,
            Err(Errno::EAGAIN),
            Field::Written(bytes as i64),
            &format!("EAGAIN and {bytes:#x} in the result field"),
        )
    }
}

/// What is expected of the handshake's reply.
pub trait Handshake {
    /// It returned 0, and features and ioctls are all that this kernel offers, whatever was asked for.
    fn is_granted(&self) -> Outcome;
    /// It failed with `errno` and the whole structure is zero.
    fn is_refused_with_zeros(&self, errno: Errno) -> Outcome;
}

impl Handshake for ApiReply {
    #[track_caller]
    fn is_granted(&self) -> Outcome {
        let here = kernel::current();
        let granted = Self { result: Ok(0), api: uapi::UFFD_API, features: here.features, ioctls: here.ioctls };
        if *self == granted { Ok(()) } else { Err(broken(format!("UFFDIO_API gave {self:x?}, expected {granted:x?}"))) }
    }

    #[track_caller]
    fn is_refused_with_zeros(&self, errno: Errno) -> Outcome {
        let refused = Self { result: Err(errno), api: 0, features: 0, ioctls: 0 };
        if *self == refused { Ok(()) } else { Err(broken(format!("UFFDIO_API gave {self:x?}, expected {refused:x?}"))) }
    }
}

/// A page fault as a message tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// `UFFD_PAGEFAULT_FLAG_*`
    pub flags: u64,
    /// Where.
    pub address: u64,
    /// Who, with `UFFD_FEATURE_THREAD_ID`.
    pub ptid: u32,
    /// The whole message.
    pub message: Message,
}

/// What is expected of the messages of a userfaultfd.
pub trait Messages {
    /// A message is there; it is read.
    fn message(&self) -> Result<Message, Stop>;
    /// A page-fault message is there; it is read.
    fn fault(&self) -> Result<Fault, Stop>;
    /// A page-fault message with just these flags and this address is there; it is read.
    fn fault_at(&self, flags: u64, address: usize) -> Result<Fault, Stop>;
    /// There is nothing to read: `EAGAIN`.
    fn has_nothing_to_read(&self) -> Outcome;
    /// `poll` says just this.
    fn polls(&self, revents: i16) -> Outcome;
}

impl Messages for Uffd {
    #[track_caller]
    fn message(&self) -> Result<Message, Stop> {
        self.read_message().map_err(|errno| broken(format!("no message is there: read failed with {errno:?}")))
    }

    #[track_caller]
    fn fault(&self) -> Result<Fault, Stop> {
        let message = self.message()?;
        match message.event() {
            Event::Pagefault { flags, address, ptid } => Ok(Fault { flags, address, ptid, message }),
            other => Err(broken(format!("a page fault is expected, the message says {other:?}"))),
        }
    }

    #[track_caller]
    fn fault_at(&self, flags: u64, address: usize) -> Result<Fault, Stop> {
        let fault = self.fault()?;
        if fault.flags == flags && fault.address == address as u64 {
            return Ok(fault);
        }
        Err(broken(format!(
            "the message says flags {:#x} at {:#x}, expected flags {flags:#x} at {address:#x}",
            fault.flags, fault.address
        )))
    }

    #[track_caller]
    fn has_nothing_to_read(&self) -> Outcome {
        match self.read_message() {
            Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(broken(format!("nothing to read is expected: read failed with {errno:?}, not EAGAIN"))),
            Ok(message) => Err(broken(format!("nothing to read is expected, a message came: {:?}", message.event()))),
        }
    }

    #[track_caller]
    fn polls(&self, revents: i16) -> Outcome {
        match self.poll(0) {
            Ok(found) if found == revents => Ok(()),
            Ok(found) => Err(broken(format!("poll says {found:#x}, expected {revents:#x}"))),
            Err(errno) => Err(broken(format!("poll failed with {errno:?}"))),
        }
    }
}

/// What is expected of a thread that may wait for a fault.
pub trait Watch<T> {
    /// It falls asleep in a userfault (or is asleep already).
    fn falls_asleep(&self) -> Result<Sleep, Stop>;
    /// It has slept on since then: nothing has woken it, not even for a moment.
    fn is_still_in(&self, sleep: Sleep) -> Outcome;
    /// It has been woken: its work is done, and this is what it gave.
    fn is_woken(&self) -> Result<T, Stop>;
    /// Its work was done without any wait for a fault; the same look as [`Self::is_woken`].
    fn does_not_wait(&self) -> Result<T, Stop>;
    /// It was woken from `sleep` and fell asleep again: the fault was not resolved.
    fn faults_again(&self, sleep: Sleep) -> Result<Sleep, Stop>;
    /// It died of this signal.
    fn dies_of(&self, signal: i32) -> Result<SignalInfo, Stop>;
    /// It falls asleep inside the system call of this number, for the sake of a userfaultfd (or is asleep there already).
    fn falls_asleep_in(&self, call: i64) -> Result<Sleep, Stop>;
    /// It has slept on inside that call since then.
    fn is_still_asleep_in(&self, call: i64, sleep: Sleep) -> Outcome;
    /// A message about what it does comes before its work is done; the message is left unread.
    fn causes_a_message(&self, uffd: &Uffd) -> Outcome;
    /// Its work gets done, and no message comes of it.
    fn ends_without_a_message(&self, uffd: &Uffd) -> Result<T, Stop>;
}

impl<T: Send + 'static> Watch<T> for Actor<T> {
    #[track_caller]
    fn falls_asleep(&self) -> Result<Sleep, Stop> {
        match self.sight()? {
            Sight::Asleep(sleep) => Ok(sleep),
            Sight::Ended(Ending::Returned(_)) => Err(broken("the access went through; it should wait for the fault")),
            Sight::Ended(Ending::Signal(info)) => {
                Err(broken(format!("the access died of {info:?}; it should wait for the fault")))
            }
        }
    }

    #[track_caller]
    fn is_still_in(&self, sleep: Sleep) -> Outcome {
        if self.sleeps_on(sleep)? {
            return Ok(());
        }
        let now = if self.has_ended() { "its work is done".to_owned() } else { self.state().to_string() };
        Err(broken(format!("a waiter that must sleep on was woken: {now}")))
    }

    #[track_caller]
    fn is_woken(&self) -> Result<T, Stop> {
        match self.sight()? {
            Sight::Ended(Ending::Returned(value)) => Ok(value),
            Sight::Ended(Ending::Signal(info)) => Err(broken(format!("the waiter died of {info:?}"))),
            Sight::Asleep(_) => Err(broken("a waiter that must be woken is asleep")),
        }
    }

    #[track_caller]
    fn does_not_wait(&self) -> Result<T, Stop> {
        match self.sight()? {
            Sight::Ended(Ending::Returned(value)) => Ok(value),
            Sight::Ended(Ending::Signal(info)) => Err(broken(format!("the access died of {info:?}"))),
            Sight::Asleep(_) => Err(broken("the access waits for a fault; it should go through")),
        }
    }

    #[track_caller]
    fn faults_again(&self, sleep: Sleep) -> Result<Sleep, Stop> {
        match self.sight()? {
            Sight::Asleep(again) if again != sleep => Ok(again),
            Sight::Asleep(_) => Err(broken("a waiter that must be woken is still in the same sleep")),
            Sight::Ended(_) => Err(broken("the access ended although nothing resolved its fault")),
        }
    }

    #[track_caller]
    fn dies_of(&self, signal: i32) -> Result<SignalInfo, Stop> {
        match self.sight()? {
            Sight::Ended(Ending::Signal(info)) if info.signal == signal => Ok(info),
            Sight::Ended(Ending::Signal(info)) => Err(broken(format!("the access died of {info:?}, not of {signal}"))),
            Sight::Ended(Ending::Returned(_)) => {
                Err(broken(format!("the access went through; expected signal {signal}")))
            }
            Sight::Asleep(_) => Err(broken(format!("the access waits for a fault; expected signal {signal}"))),
        }
    }

    #[track_caller]
    fn falls_asleep_in(&self, call: i64) -> Result<Sleep, Stop> {
        self.sleep_in(call)?.ok_or_else(|| broken(format!("the work is done; it should wait in system call {call}")))
    }

    #[track_caller]
    fn is_still_asleep_in(&self, call: i64, sleep: Sleep) -> Outcome {
        match self.sleep_in(call)? {
            Some(now) if now == sleep => Ok(()),
            Some(_) => Err(broken(format!("a thread that must sleep on in system call {call} was woken"))),
            None => Err(broken(format!("a thread that must sleep on in system call {call} got its work done"))),
        }
    }

    #[track_caller]
    fn causes_a_message(&self, uffd: &Uffd) -> Outcome {
        loop {
            // The end of the work is looked for first: a message that came before it is still there then.
            let ended = self.has_ended();
            match uffd.poll(0) {
                Ok(libc::POLLIN) => return Ok(()),
                Ok(0) if !ended => std::thread::yield_now(),
                Ok(0) => return Err(broken("the work is done and no message came of it")),
                other => return Err(broken(format!("poll says {other:?}"))),
            }
        }
    }

    #[track_caller]
    fn ends_without_a_message(&self, uffd: &Uffd) -> Result<T, Stop> {
        loop {
            let ended = self.has_ended();
            match uffd.read_message() {
                Ok(message) => return Err(broken(format!("no message is expected, one came: {:?}", message.event()))),
                Err(Errno::EAGAIN) if ended => return self.does_not_wait(),
                Err(Errno::EAGAIN) => std::thread::yield_now(),
                Err(errno) => return Err(broken(format!("read failed with {errno:?}"))),
            }
        }
    }
}
