//! Fills that the file or the memory behind the range has no room for.

use std::os::fd::{AsFd as _, BorrowedFd};

use uffd_harness::memory::regular_file;
use uffd_harness::{Error, sys};

use super::{Call, all_absent, first_byte, holds};
use crate::prelude::*;

/// `ftruncate` of the file behind a mapping.
pub fn truncate(file: BorrowedFd<'_>, len: usize) -> Outcome {
    rustix::fs::ftruncate(file, len as u64)
        .map_err(|errno| Error::call("ftruncate", Errno::from_raw(errno.raw_os_error())).into())
}

/// One of these errnos, which the result field says too; the record notes which one if there is a choice.
#[track_caller]
pub fn fails_with_one_of(reply: Reply, errnos: &[Errno]) -> Outcome {
    let Some(errno) = errnos.iter().find(|errno| reply.result == Err(**errno)) else {
        return Err(broken(format!("{reply}; expected one of {errnos:?}")));
    };
    reply.fails(*errno)?;
    if errnos.len() > 1 {
        variant(format!("{errno:?}").to_lowercase());
    }
    Ok(())
}

/// A page behind the end of the file cannot be filled, the one that holds the end can; with the file grown again both can.
pub fn nothing_is_filled_behind_the_end_of_the_file(call: Call, memory: Memory, errnos: &[Errno]) -> Outcome {
    let scene = Scene::new(memory, call.register_mode(), 3)?;
    let size = scene.region.page_size();
    let file = lay::file_of(&scene.region)?;
    let source = given::source(3 * size, call.content(0))?;
    (0..3).for_each(|index| call.content(index).fill(source.start() + index * size, size));
    let call_on = |first: usize, count: usize| {
        call.on(scene.region.pages(first, count), (source.start() + first * size) as u64, 0).make(&scene.uffd)
    };
    let waiter = Actor::access(Access::Read, scene.page(2).at(0))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.fault()?;
    // A hugetlb file ends with a page; a page of the cache that the end cuts in two loses what is behind it.
    truncate(file, if memory.is_hugetlb() || call == Call::Continue { 2 * size } else { size + 1 })?;
    fails_with_one_of(call_on(2, 1), errnos)?;
    call_on(1, 2).stops_after(size as u64)?;
    holds(scene.page(1), call.content(1))?;
    fails_with_one_of(call_on(2, 1), errnos)?;
    all_absent([scene.page(0), scene.page(2)])?;
    waiter.is_still_in(sleep)?;
    scene.uffd.has_nothing_to_read()?;
    truncate(file, 3 * size)?;
    if let Some(alias) = &scene.alias {
        alias.page(2).fill(call.content(2));
    }
    call_on(2, 1).does(size as u64)?;
    ensure_eq!(waiter.is_woken()?, first_byte(call.content(2)), "the byte that the waiter read");
    holds(scene.page(2), call.content(2))?;
    scene.uffd.has_nothing_to_read()
}

/// A regular file registered for asynchronous write protection offers the ioctl and refuses it with `EINVAL`.
pub fn a_regular_file_is_not_filled(call: Call) -> Outcome {
    let base = sys::page_size();
    let file = regular_file(2 * base)?;
    let flags = libc::MAP_PRIVATE;
    let at = sys::map(0, 2 * base, libc::PROT_READ | libc::PROT_WRITE, flags, Some(file.as_fd()), 0)
        .map_err(|errno| Error::call("mmap of a regular file", errno))?;
    let uffd = given::uffd(UFFD_FEATURE_WP_ASYNC)?;
    let offered = given::register(&uffd, Range::new(at as u64, 2 * base as u64), Mode::WP)?;
    ensure!(offered >> (call.shape().request & 0xff) & 1 == 1, "{} is not offered: {offered:#x}", call.shape().name);
    let pages = [Page { start: at, size: base }, Page { start: at + base, size: base }];
    let source = given::source(base, call.content(0))?;
    call.on(pages[0].range(), source.start() as u64, 0).make(&uffd).fails(Errno::EINVAL)?;
    all_absent(pages)?;
    uffd.has_nothing_to_read()?;
    // Faults on it are nobody's: a read still finds the file's zeros.
    ensure_eq!(sys::load(at), 0, "the first word of the file");
    Ok(())
}
