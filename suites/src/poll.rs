//! poll, read and close of the descriptor: userfaultfd(2).

mod blocking;
mod buffer;
mod close;
mod epoll;
mod events;
mod last;
mod process;
mod ready;

use uffd_harness::gate;

use crate::prelude::*;

/// Everything that poll(2) can be asked for.
pub const EVERYTHING: i16 = libc::POLLIN
    | libc::POLLPRI
    | libc::POLLOUT
    | libc::POLLRDNORM
    | libc::POLLRDBAND
    | libc::POLLWRNORM
    | libc::POLLRDHUP;

/// poll(2) says just this, whatever it is asked for.
#[track_caller]
pub fn polls_just(uffd: &Uffd, revents: i16) -> Outcome {
    ensure_eq!(gate::poll(uffd.fd(), EVERYTHING, 0), Ok(revents), "poll for everything");
    ensure_eq!(gate::poll(uffd.fd(), libc::POLLIN, 0), Ok(revents), "poll for POLLIN");
    // Errors come unasked, messages do not.
    ensure_eq!(gate::poll(uffd.fd(), libc::POLLOUT, 0), Ok(revents & libc::POLLERR), "poll for POLLOUT");
    Ok(())
}

/// The feature without which a range cannot be registered for the mode.
const fn feature(mode: Mode) -> u64 {
    if mode.has(Mode::RWP) { UFFD_FEATURE_RWP } else { 0 }
}

/// A region of which every page faults in this one mode at the access that [`access`] makes.
pub fn faulting(memory: Memory, mode: Mode, pages: usize) -> Result<Scene, Stop> {
    let scene = Scene::with_features(memory, mode, pages, feature(mode))?;
    let range = scene.region.pages(0, pages);
    if mode == Mode::WP || mode == Mode::RWP {
        for index in 0..pages {
            scene.page(index).fill(content(mode, index));
        }
    }
    match mode {
        Mode::WP => scene.uffd.writeprotect(range, UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?,
        Mode::RWP => scene.uffd.rwprotect(range, UFFDIO_RWPROTECT_MODE_RWP).succeeds()?,
        _ => {}
    }
    Ok(scene)
}

/// What page `index` of such a region holds once its fault is out of the way.
pub fn content(mode: Mode, index: usize) -> Pattern {
    match mode {
        Mode::MISSING => Pattern::ZERO,
        _ => Scene::cached(index),
    }
}

/// A thread that faults on page `index`, and is seen to sleep.
#[track_caller]
pub fn waiter(scene: &Scene, mode: Mode, index: usize) -> Result<(Actor<u8>, uffd_harness::actor::Sleep), Stop> {
    let access = if mode == Mode::WP { Access::Write } else { Access::Read };
    let waiter = Actor::access(access, scene.page(index).at(0))?;
    let sleep = waiter.falls_asleep()?;
    Ok((waiter, sleep))
}

/// The flags of that fault.
pub const fn flags(mode: Mode) -> u64 {
    match mode {
        Mode::WP => UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE,
        Mode::MINOR => UFFD_PAGEFAULT_FLAG_MINOR,
        Mode::RWP => UFFD_PAGEFAULT_FLAG_RWP,
        _ => 0,
    }
}

/// Resolves the fault on page `index`, and wakes who waits there.
#[track_caller]
pub fn resolve(scene: &Scene, mode: Mode, index: usize) -> Outcome {
    let (page, size) = (scene.page(index).range(), scene.region.page_size() as u64);
    match mode {
        Mode::WP => scene.uffd.writeprotect(page, 0).succeeds(),
        Mode::RWP => scene.uffd.rwprotect(page, 0).succeeds(),
        Mode::MINOR => scene.resolve(Resolver::Continue, index, 1, true)?.does(size),
        _ => {
            let zeros = Memory::Anon.map(scene.region.page_size().div_ceil(Memory::Anon.page_size()))?;
            scene.uffd.copy(page, zeros.start() as u64, 0).does(size)
        }
    }
}
