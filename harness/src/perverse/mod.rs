//! Kernels that are broken on purpose, one behaviour at a time, so that every check can be seen to fail.
//!
//! Only built with the feature `perverse`; the command that is shipped has none of this. The functions of [`gate`] then go
//! through the active perversion. A perversion is made of true calls (an argument mended, a further ioctl, a result changed
//! on its way back), so that all else stays as the running kernel has it. It is set by [`activate`], or by its name in the
//! environment variable `UFFD_PERVERSION`; whatever process is forked later is in its power too.
#![allow(clippy::too_many_lines, reason = "a list is as long as what it lists")]
#![allow(clippy::redundant_closure_for_method_calls, reason = "a method of a type with a lifetime cannot be a hook")]
#![allow(clippy::unnecessary_wraps, reason = "an answer is a Result, whichever it is")]

mod accesses;
mod again;
mod call;
mod closing;
mod content;
mod creation;
mod effect;
mod ends;
mod errnos;
mod fdinfo;
mod features;
pub mod gate;
mod handshake;
#[path = "../gate.rs"]
mod honest;
mod mappings;
mod masks;
mod messages;
mod over;
mod polling;
mod progress;
mod protection;
mod ranges;
mod reading;
mod registration;
mod results;
mod rwp;
mod state;
mod unregistration;
mod validation;
mod vmas;
mod waking;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use call::{Answer, Call};
use effect::{Effect, Effected};

type Create = dyn Fn(&Creation<'_>) -> Result<OwnedFd, Errno> + Send + Sync;
type Ioctl = dyn Fn(&Call<'_>) -> Answer + Send + Sync;
type Unread = dyn Fn(BorrowedFd<'_>, u64, Answer) -> Answer + Send + Sync;
type Before = dyn Fn(BorrowedFd<'_>) + Send + Sync;
type Read = dyn Fn(&Reading<'_>) -> Result<Vec<u8>, Errno> + Send + Sync;
type Unwritable = dyn Fn(BorrowedFd<'_>, &[u8], usize) -> Result<usize, Errno> + Send + Sync;
type Preadv2 = dyn Fn(BorrowedFd<'_>, &mut [u8], i32) -> Result<usize, Errno> + Send + Sync;
type Poll = dyn Fn(&Polling<'_>) -> Result<i16, Errno> + Send + Sync;
type SetFlags = dyn Fn(BorrowedFd<'_>, i32) -> Result<(), Errno> + Send + Sync;
type Other = dyn Fn(Result<i64, Errno>) -> Result<i64, Errno> + Send + Sync;
type Instead = dyn Fn(u64) -> Option<Answer> + Send + Sync;
type Text = dyn Fn(String) -> String + Send + Sync;
type Around = dyn Fn(Effect, &mut dyn FnMut() -> Effected) -> Effected + Send + Sync;
type Sets = (bool, bool, bool);

/// One way in which a kernel is broken.
#[derive(Default)]
pub struct Perversion {
    /// Its name.
    pub name: &'static str,
    /// What goes wrong.
    pub what: &'static str,
    /// The statements that do not hold any more.
    pub breaks: &'static [&'static str],
    create: Option<Box<Create>>,
    ioctls: Vec<(&'static [u64], Box<Ioctl>)>,
    unread: Option<Box<Unread>>,
    instead: Option<Box<Instead>>,
    before_ioctl: Option<Box<Before>>,
    read: Option<Box<Read>>,
    unwritable: Option<Box<Unwritable>>,
    preadv2: Option<Box<Preadv2>>,
    poll: Option<Box<Poll>>,
    select: Option<fn(Sets) -> Sets>,
    epoll_add: Option<fn(EpollFlags) -> EpollFlags>,
    epoll_wait: Option<fn(Option<EpollFlags>) -> Option<EpollFlags>>,
    set_flags: Option<Box<SetFlags>>,
    other: Option<(&'static str, Box<Other>)>,
    fdinfo: Option<Box<Text>>,
    close: Option<Box<Before>>,
    effect: Option<Box<Around>>,
    attribute: Option<fn(String) -> String>,
}

impl std::fmt::Debug for Perversion {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Perversion").field("name", &self.name).field("breaks", &self.breaks).finish_non_exhaustive()
    }
}

/// A perversion that does nothing yet.
fn new(name: &'static str, breaks: &'static [&'static str], what: &'static str) -> Perversion {
    Perversion { name, what, breaks, ..Perversion::default() }
}

impl Perversion {
    fn create(mut self, hook: impl Fn(&Creation<'_>) -> Result<OwnedFd, Errno> + Send + Sync + 'static) -> Self {
        self.create = Some(Box::new(hook));
        self
    }

    /// On these requests with a structure that can be read.
    fn ioctl(mut self, requests: &'static [u64], hook: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static) -> Self {
        self.ioctls.push((requests, Box::new(hook)));
        self
    }

    /// On the answer to a request that nobody knows, or with a structure that cannot be read.
    fn unread(mut self, hook: impl Fn(BorrowedFd<'_>, u64, Answer) -> Answer + Send + Sync + 'static) -> Self {
        self.unread = Some(Box::new(hook));
        self
    }

    /// In place of a request with a structure that cannot be read.
    fn instead(mut self, hook: impl Fn(u64) -> Option<Answer> + Send + Sync + 'static) -> Self {
        self.instead = Some(Box::new(hook));
        self
    }

    /// On what fdinfo tells.
    fn fdinfo(mut self, hook: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        self.fdinfo = Some(Box::new(hook));
        self
    }

    /// Before every ioctl.
    fn before_ioctl(mut self, hook: impl Fn(BorrowedFd<'_>) + Send + Sync + 'static) -> Self {
        self.before_ioctl = Some(Box::new(hook));
        self
    }

    fn read(mut self, hook: impl Fn(&Reading<'_>) -> Result<Vec<u8>, Errno> + Send + Sync + 'static) -> Self {
        self.read = Some(Box::new(hook));
        self
    }

    /// On messages that do not go into the caller's buffer: all of them, and the bytes of those that went.
    fn unwritable(
        mut self,
        hook: impl Fn(BorrowedFd<'_>, &[u8], usize) -> Result<usize, Errno> + Send + Sync + 'static,
    ) -> Self {
        self.unwritable = Some(Box::new(hook));
        self
    }

    fn preadv2(
        mut self,
        hook: impl Fn(BorrowedFd<'_>, &mut [u8], i32) -> Result<usize, Errno> + Send + Sync + 'static,
    ) -> Self {
        self.preadv2 = Some(Box::new(hook));
        self
    }

    fn poll(mut self, hook: impl Fn(&Polling<'_>) -> Result<i16, Errno> + Send + Sync + 'static) -> Self {
        self.poll = Some(Box::new(hook));
        self
    }

    fn select(mut self, hook: fn(Sets) -> Sets) -> Self {
        self.select = Some(hook);
        self
    }

    fn epoll_add(mut self, hook: fn(EpollFlags) -> EpollFlags) -> Self {
        self.epoll_add = Some(hook);
        self
    }

    fn epoll_wait(mut self, hook: fn(Option<EpollFlags>) -> Option<EpollFlags>) -> Self {
        self.epoll_wait = Some(hook);
        self
    }

    fn set_flags(mut self, hook: impl Fn(BorrowedFd<'_>, i32) -> Result<(), Errno> + Send + Sync + 'static) -> Self {
        self.set_flags = Some(Box::new(hook));
        self
    }

    /// On the answer of another call of the gate.
    fn other(
        mut self,
        call: &'static str,
        hook: impl Fn(Result<i64, Errno>) -> Result<i64, Errno> + Send + Sync + 'static,
    ) -> Self {
        self.other = Some((call, Box::new(hook)));
        self
    }

    /// Before a descriptor is closed.
    fn close(mut self, hook: impl Fn(BorrowedFd<'_>) + Send + Sync + 'static) -> Self {
        self.close = Some(Box::new(hook));
        self
    }

    /// In place of a call that is not on a userfaultfd; the second argument makes it.
    fn effect(
        mut self,
        hook: impl Fn(Effect, &mut dyn FnMut() -> Effected) -> Effected + Send + Sync + 'static,
    ) -> Self {
        self.effect = Some(Box::new(hook));
        self
    }

    /// On what a file of `/sys` tells.
    fn attribute(mut self, hook: fn(String) -> String) -> Self {
        self.attribute = Some(hook);
        self
    }
}

/// A userfaultfd about to be made.
struct Creation<'a> {
    flags: i32,
    device: Option<BorrowedFd<'a>>,
}

impl Creation<'_> {
    fn pass(&self) -> Result<OwnedFd, Errno> {
        self.with(self.flags)
    }

    fn with(&self, flags: i32) -> Result<OwnedFd, Errno> {
        match self.device {
            None => honest::create(flags),
            Some(device) => honest::create_by_device(device, flags),
        }
    }
}

/// A read of a userfaultfd.
struct Reading<'a> {
    fd: BorrowedFd<'a>,
    length: usize,
}

impl Reading<'_> {
    fn pass(&self) -> Result<Vec<u8>, Errno> {
        self.with(self.length)
    }

    /// With a buffer of another length.
    fn with(&self, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        let count = honest::read(self.fd, bytes.as_mut_ptr() as usize, length)?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

/// A poll of a userfaultfd.
struct Polling<'a> {
    fd: BorrowedFd<'a>,
    events: i16,
    timeout: i32,
}

impl Polling<'_> {
    fn pass(&self) -> Result<i16, Errno> {
        honest::poll(self.fd, self.events, self.timeout)
    }

    fn now(&self) -> i16 {
        honest::poll(self.fd, self.events, 0).unwrap_or(0)
    }
}

/// Every perversion, theme by theme.
pub fn all() -> &'static [Perversion] {
    static ALL: OnceLock<Vec<Perversion>> = OnceLock::new();
    ALL.get_or_init(|| {
        [
            creation::list(),
            handshake::list(),
            features::list(),
            masks::list(),
            registration::list(),
            ranges::list(),
            again::list(),
            unregistration::list(),
            validation::list(),
            protection::list(),
            waking::list(),
            results::list(),
            progress::list(),
            errnos::list(),
            content::list(),
            over::list(),
            messages::list(),
            reading::list(),
            polling::list(),
            closing::list(),
            fdinfo::list(),
            ends::list(),
            accesses::list(),
            mappings::list(),
            rwp::list(),
        ]
        .into_iter()
        .flatten()
        .collect()
    })
}

static ACTIVE: OnceLock<Option<&'static Perversion>> = OnceLock::new();

/// The environment variable that names the active perversion.
pub const VARIABLE: &str = "UFFD_PERVERSION";

/// Puts this process, and whatever it forks, into the power of a perversion; for once and all, and before any other call.
///
/// # Panics
/// If another one is active already.
pub fn activate(perversion: Option<&'static Perversion>) {
    assert!(ACTIVE.set(perversion).is_ok(), "a perversion is active already");
}

/// The perversion of this name.
pub fn find(name: &str) -> Option<&'static Perversion> {
    all().iter().find(|perversion| perversion.name == name)
}

fn active() -> Option<&'static Perversion> {
    *ACTIVE.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok()?;
        Some(find(&name).unwrap_or_else(|| panic!("{VARIABLE}={name}: no such perversion")))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_says_what_it_breaks() {
        let names: BTreeSet<&str> = all().iter().map(|perversion| perversion.name).collect();
        assert_eq!(names.len(), all().len());
        for perversion in all() {
            assert!(!perversion.breaks.is_empty() && !perversion.what.is_empty(), "{}", perversion.name);
        }
    }
}
