//! Memory that is used up: the size of a tmpfs, the pages of a hugetlbfs, the limit of a memory control group.

use std::os::fd::AsFd as _;

use uffd_harness::actor::{ProcessEnding, Target};
use uffd_harness::kernel::cgroup::MemoryGroup;
use uffd_harness::memory::detached_file;
use uffd_harness::memory::page_state::PageState;
use uffd_harness::{Error, sys};

use crate::family;
use crate::family::limits::{fails_with_one_of, truncate};
use crate::prelude::*;

/// A file system with room for `room` pages only, and a shared mapping of a file there with one page more.
fn small_file(kind: &str, size: usize, room: usize) -> Result<(std::os::fd::OwnedFd, Vec<Page>), Stop> {
    let (limit, page_size) = ((room * size).to_string(), format!("{}K", size / 1024));
    let mut options = vec![("size", limit.as_str())];
    options.extend((kind == "hugetlbfs").then_some(("pagesize", page_size.as_str())));
    let file = detached_file(kind, &options)?;
    let len = (room + 1) * size;
    truncate(file.as_fd(), len)?;
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    let at = sys::map(0, len, libc::PROT_READ | libc::PROT_WRITE, flags, Some(file.as_fd()), 0)
        .map_err(|errno| Error::call("mmap of a file without room", errno))?;
    Ok((file, (0..=room).map(|index| Page { start: at + index * size, size }).collect()))
}

/// When the file system is full the copy fails, as often as it is tried; one page given back is enough for one page.
fn a_full_file_system_fails_the_copy(kind: &str, size: usize, room: usize, errnos: &[Errno]) -> Outcome {
    let (file, pages) = small_file(kind, size, room)?;
    let blocks = || rustix::fs::fstat(&file).map(|stat| stat.st_blocks);
    let uffd = given::uffd(0)?;
    let all = Range::new(pages[0].start as u64, (pages.len() * size) as u64);
    given::register(&uffd, all, Mode::MISSING)?;
    let source = given::source(all.len as usize, Pattern::ZERO)?;
    for (index, page) in pages.iter().enumerate() {
        Pattern::new(index as u64).fill(source.start() + (page.start - pages[0].start), size);
    }
    let (last, last_content) = (pages[room], Pattern::new(room as u64));
    let last_source = (source.start() + room * size) as u64;
    let waiter = Actor::access(Access::Read, last.at(0))?;
    let sleep = waiter.falls_asleep()?;
    uffd.fault_at(0, last.start)?;

    uffd.copy(all, source.start() as u64, 0).stops_after((room * size) as u64)?;
    let used = blocks();
    for _ in 0..3 {
        fails_with_one_of(uffd.copy(last.range(), last_source, 0), errnos)?;
    }
    ensure_eq!(blocks(), used, "the blocks of the file");
    family::all_absent([last])?;
    waiter.is_still_in(sleep)?;
    uffd.has_nothing_to_read()?;

    family::advise(pages[0], libc::MADV_REMOVE)?;
    uffd.copy(last.range(), last_source, 0).does(size as u64)?;
    ensure_eq!(waiter.is_woken()?, family::first_byte(last_content), "the byte that the waiter read");
    for (index, page) in pages.iter().enumerate().skip(1) {
        family::holds(*page, Pattern::new(index as u64))?;
    }
    family::all_absent([pages[0]])?;
    uffd.has_nothing_to_read()
}

/// A tmpfs that has reached its size takes no more pages.
#[rstest]
#[test_attr(registered(conformance))]
fn a_full_tmpfs_fails_the_copy() -> Outcome {
    begin!(
        statements: ["COPY-033"],
        axes: [Memory::ShmemTmpfs, Mode::MISSING],
        needs: [Need::Capability("CAP_SYS_ADMIN")]
    )?;
    a_full_file_system_fails_the_copy("tmpfs", sys::page_size(), 2, &[Errno::ENOMEM, Errno::ENOSPC])
}

/// A hugetlbfs without a free page takes no more pages.
#[rstest]
#[test_attr(registered(conformance))]
fn a_full_hugetlbfs_fails_the_copy() -> Outcome {
    begin!(
        statements: ["COPY-037"],
        axes: [Memory::HugetlbFile, Mode::MISSING],
        needs: [Need::Capability("CAP_SYS_ADMIN"), Need::Hugepages(2)]
    )?;
    a_full_file_system_fails_the_copy("hugetlbfs", Memory::HugetlbFile.page_size(), 1, &[Errno::ENOMEM])
}

/// The pages of the target, twice as many as its control group has room for.
const PAGES: usize = 32;

/// What page `index` of the target is filled with.
const fn content(index: usize) -> Pattern {
    Pattern::new(index as u64)
}

/// A target whose control group has reached its limit gets no more pages until the limit is raised.
#[rstest]
#[test_attr(registered(conformance))]
fn a_full_memory_control_group_fails_the_copy(#[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["COPY-034"], axes: [memory, Mode::MISSING], needs: [Need::Capability("CAP_SYS_ADMIN")])?;
    let size = memory.page_size();
    let group = MemoryGroup::new(PAGES / 2 * size)?;
    let set_up = || {
        let uffd = given::uffd(0)?;
        let region = memory.map(PAGES)?;
        given::register(&uffd, region.range(), Mode::MISSING)?;
        Ok::<_, Stop>((uffd, region))
    };
    let mut target = Target::start(set_up, |region, cue| {
        cue.wait();
        i32::from((0..PAGES).any(|index| region.page(index).differs(content(index)).is_some()))
    })?;
    group.take(target.process.pid())?;
    let source = Memory::Anon.map(PAGES * size / sys::page_size())?;
    (0..PAGES).for_each(|index| content(index).fill(source.start() + index * size, size));
    let copy = |uffd: &Uffd, first: usize, count: usize| {
        let range = Range::new(target.page(first).start as u64, (count * size) as u64);
        uffd.copy(range, (source.start() + first * size) as u64, 0)
    };
    let reply = copy(&target.uffd, 0, PAGES);
    // How many pages the group has room for depends on what else the kernel counts.
    let Field::Written(done) = reply.field else { return Err(broken(format!("{reply}; expected a number of bytes"))) };
    let done = done as usize / size;
    reply.stops_after((done * size) as u64)?;
    ensure!((1..PAGES).contains(&done), "{reply}; expected some of {PAGES} pages");
    for _ in 0..2 {
        copy(&target.uffd, done, PAGES - done).fails(Errno::ENOMEM)?;
    }
    let present = |index: usize| PageState::of_process(target.process.pid(), target.page(index).start);
    for index in 0..PAGES {
        ensure_eq!(present(index)?.present(), index < done, "whether page {index} is there, of {done} copied");
    }
    group.limit(1 << 30)?;
    copy(&target.uffd, done, PAGES - done).does(((PAGES - done) * size) as u64)?;
    target.cue()?;
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the end of the target, which compares its pages");
    Ok(())
}
