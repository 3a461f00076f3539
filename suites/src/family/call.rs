//! The ioctls on a range, as data: what each takes, what it writes, where it works.

use uffd_harness::uffd::SENTINEL;

use crate::prelude::*;

/// An ioctl on a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `UFFDIO_REGISTER`
    Register,
    /// `UFFDIO_UNREGISTER`
    Unregister,
    /// `UFFDIO_WAKE`
    Wake,
    /// `UFFDIO_COPY`
    Copy,
    /// `UFFDIO_ZEROPAGE`
    Zeropage,
    /// `UFFDIO_MOVE`
    Move,
    /// `UFFDIO_WRITEPROTECT`
    Writeprotect,
    /// `UFFDIO_CONTINUE`
    Continue,
    /// `UFFDIO_POISON`
    Poison,
    /// `UFFDIO_RWPROTECT`
    Rwprotect,
}

/// What the argument of an ioctl on a range is made of.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The ioctl's name.
    pub name: &'static str,
    /// Its request code.
    pub request: u64,
    /// Whether a source address stands between start and length.
    pub has_source: bool,
    /// The mode bits it defines, if it has a mode at all.
    pub modes: Option<u64>,
    /// Whether the kernel writes a result field, the last one.
    pub has_result: bool,
}

impl Call {
    /// What its argument is made of.
    pub const fn shape(self) -> Shape {
        let (name, request, has_source, modes, has_result) = match self {
            Self::Register => ("UFFDIO_REGISTER", UFFDIO_REGISTER, false, Some(UFFD_API_REGISTER_MODES), true),
            Self::Unregister => ("UFFDIO_UNREGISTER", UFFDIO_UNREGISTER, false, None, false),
            Self::Wake => ("UFFDIO_WAKE", UFFDIO_WAKE, false, None, false),
            Self::Copy => {
                let modes = UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP;
                ("UFFDIO_COPY", UFFDIO_COPY, true, Some(modes), true)
            }
            Self::Zeropage => ("UFFDIO_ZEROPAGE", UFFDIO_ZEROPAGE, false, Some(UFFDIO_ZEROPAGE_MODE_DONTWAKE), true),
            Self::Move => {
                let modes = UFFDIO_MOVE_MODE_DONTWAKE | UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;
                ("UFFDIO_MOVE", UFFDIO_MOVE, true, Some(modes), true)
            }
            Self::Writeprotect => {
                let modes = UFFDIO_WRITEPROTECT_MODE_WP | UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
                ("UFFDIO_WRITEPROTECT", UFFDIO_WRITEPROTECT, false, Some(modes), false)
            }
            Self::Continue => {
                let modes = UFFDIO_CONTINUE_MODE_DONTWAKE | UFFDIO_CONTINUE_MODE_WP;
                ("UFFDIO_CONTINUE", UFFDIO_CONTINUE, false, Some(modes), true)
            }
            Self::Poison => ("UFFDIO_POISON", UFFDIO_POISON, false, Some(UFFDIO_POISON_MODE_DONTWAKE), true),
            Self::Rwprotect => {
                let modes = UFFDIO_RWPROTECT_MODE_RWP | UFFDIO_RWPROTECT_MODE_DONTWAKE;
                ("UFFDIO_RWPROTECT", UFFDIO_RWPROTECT, false, Some(modes), false)
            }
        };
        Shape { name, request, has_source, modes, has_result }
    }

    /// The mode in which the range is registered that it is for.
    pub const fn register_mode(self) -> Mode {
        match self {
            Self::Continue => Mode::MINOR,
            Self::Writeprotect => Mode::WP,
            Self::Rwprotect => Mode::RWP,
            _ => Mode::MISSING,
        }
    }

    /// Features that the handshake has to ask for before it works.
    pub const fn features(self) -> u64 {
        if matches!(self, Self::Rwprotect) { UFFD_FEATURE_RWP } else { 0 }
    }

    /// The bit that keeps it from waking waiters, if it has one.
    pub const fn dontwake(self) -> u64 {
        match self {
            Self::Copy => UFFDIO_COPY_MODE_DONTWAKE,
            Self::Zeropage => UFFDIO_ZEROPAGE_MODE_DONTWAKE,
            Self::Move => UFFDIO_MOVE_MODE_DONTWAKE,
            Self::Writeprotect => UFFDIO_WRITEPROTECT_MODE_DONTWAKE,
            Self::Continue => UFFDIO_CONTINUE_MODE_DONTWAKE,
            Self::Poison => UFFDIO_POISON_MODE_DONTWAKE,
            Self::Rwprotect => UFFDIO_RWPROTECT_MODE_DONTWAKE,
            Self::Register | Self::Unregister | Self::Wake => 0,
        }
    }

    /// Whether it works only on pages that are there.
    pub const fn protects(self) -> bool {
        matches!(self, Self::Writeprotect | Self::Rwprotect)
    }

    /// What a page holds after it has been called on page `index` of a [`Scene`].
    pub const fn content(self, index: usize) -> Pattern {
        match self {
            Self::Zeropage | Self::Unregister => Pattern::ZERO,
            Self::Continue => Scene::filled(Resolver::Continue, index),
            _ => Scene::filled(Resolver::Copy, index),
        }
    }

    /// A call of it on a range, valid or not.
    pub const fn on(self, range: Range, src: u64, mode: u64) -> Request {
        Request { call: self, range, src, mode }
    }
}

/// One call of an ioctl: everything that its argument holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The ioctl.
    pub call: Call,
    /// The range, for COPY and MOVE the destination.
    pub range: Range,
    /// The source, where the ioctl has one.
    pub src: u64,
    /// The mode, where the ioctl has one.
    pub mode: u64,
}

impl Request {
    /// The same call on another range.
    pub const fn over(self, range: Range) -> Self {
        Self { range, ..self }
    }

    /// The same call with another mode.
    pub const fn with_mode(self, mode: u64) -> Self {
        Self { mode, ..self }
    }

    /// The same call from another source.
    pub const fn from(self, src: u64) -> Self {
        Self { src, ..self }
    }

    /// Makes the call.
    pub fn make(self, uffd: &Uffd) -> Reply {
        let Self { range, src, mode, .. } = self;
        match self.call {
            Call::Register => uffd.register(range, mode),
            Call::Unregister => uffd.unregister(range),
            Call::Wake => uffd.wake(range),
            Call::Copy => uffd.copy(range, src, mode),
            Call::Zeropage => uffd.zeropage(range, mode),
            Call::Move => uffd.move_pages(range, src, mode),
            Call::Writeprotect => uffd.writeprotect(range, mode),
            Call::Continue => uffd.continue_range(range, mode),
            Call::Poison => uffd.poison(range, mode),
            Call::Rwprotect => uffd.rwprotect(range, mode),
        }
    }

    /// The argument word by word: what the kernel reads, then the result field, if there is one, with a sentinel in it.
    pub fn words(self) -> (Vec<u64>, Option<u64>) {
        let shape = self.call.shape();
        let mut words = vec![self.range.start];
        words.extend(shape.has_source.then_some(self.src));
        words.push(self.range.len);
        words.extend(shape.modes.map(|_| self.mode));
        (words, shape.has_result.then_some(SENTINEL as u64))
    }
}
