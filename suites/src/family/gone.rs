//! A target process that is no more, or that has become another program.

use std::os::fd::AsFd as _;

use uffd_harness::actor::Target;
use uffd_harness::actor::target::Cue;
use uffd_harness::memory::page_state::PageState;
use uffd_harness::{Error, sys};

use super::{Call, Request};
use crate::gone::{Gone, lose};
use crate::prelude::*;

/// A region of two pages in the target, with both in the page cache for a MINOR mode.
fn set_up(call: Call, memory: Memory) -> Result<(Uffd, Region), Stop> {
    let mode = call.register_mode();
    let uffd = given::uffd(call.features())?;
    let region = memory.map(2)?;
    if mode.has(Mode::MINOR) {
        let alias = region.alias()?;
        (0..2).for_each(|index| alias.page(index).fill(Scene::cached(index)));
    }
    given::register(&uffd, region.range(), mode)?;
    Ok((uffd, region))
}

/// The ioctl works on the target's first page; when the target is gone its answer for the second page is as `expected`.
fn when_gone(call: Call, memory: Memory, gone: Gone, expected: impl Fn(Reply) -> Outcome) -> Outcome {
    let (input, _open) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| Error::call("pipe2", errno))?;
    let work = |_: &Region, cue: &mut Cue| {
        cue.wait();
        match gone {
            Gone::Exited => 0,
            Gone::Execed => sys::exec_self_and_hold(input.as_fd()) as i32,
        }
    };
    let mut target = Target::start(|| set_up(call, memory), work)?;
    let size = target.page(0).size;
    let src = if call == Call::Copy { given::source(size, call.content(0))?.start() as u64 } else { 0 };
    let request = |index: usize| -> Request { call.on(target.page(index).range(), src, 0) };
    let (first, second) = (request(0), request(1));
    let reply = first.make(&target.uffd);
    if call == Call::Wake {
        reply.succeeds()?;
    } else {
        reply.does(size as u64)?;
        let state = |request: Request| PageState::of_process(target.process.pid(), request.range.start as usize);
        ensure!(state(first)?.present(), "the target's page is not there");
        ensure!(!state(second)?.present(), "the page behind the filled one is there");
    }
    lose(&mut target, gone)?;
    // Twice: the answer does not depend on being the first to find out.
    for _ in 0..2 {
        expected(second.make(&target.uffd))?;
    }
    target.uffd.has_nothing_to_read()
}

/// When the target is gone the ioctl gives `ESRCH` and leaves its result field alone.
pub fn gives_esrch(call: Call, memory: Memory, gone: Gone) -> Outcome {
    when_gone(call, memory, gone, |reply| reply.is_refused(Errno::ESRCH))
}

/// When the target is gone the ioctl still returns 0.
pub fn still_succeeds(call: Call, memory: Memory, gone: Gone) -> Outcome {
    when_gone(call, memory, gone, Reply::succeeds)
}
