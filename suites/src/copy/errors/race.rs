//! Copies during which something else happens. A source page that waits for a userfault of its own stops the copy where the
//! case wants it, so that nothing here is a matter of luck.

use uffd_harness::{Error, sys};

use crate::calls;
use crate::family::frozen::Frozen;
use crate::family::pending::Waiting;
use crate::family::{self, limits};
use crate::prelude::*;

/// What the source holds in these cases.
const CONTENT: Pattern = Pattern::new(1);

/// Of two copies to one page that run at the same time exactly one succeeds; the other finds the page present.
#[apply(one_of_each_class)]
fn of_two_copies_half_way_into_one_page_one_succeeds(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-046"], axes: [memory, Mode::MISSING], needs: [Need::KernelFaults])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let (page, size) = (scene.page(0), scene.region.page_size());
    let contents = [Pattern::new(1), Pattern::new(2)];
    let frozen = [Frozen::new(size, contents[0], size / 2)?, Frozen::new(size, contents[1], size / 2)?];
    let request = family::Call::Copy.on(page.range(), 0, 0);
    let first = frozen[0].stop(request, &scene.uffd)?;
    let second = frozen[1].stop(request, &scene.uffd)?;
    family::all_absent([page])?;
    frozen[0].thaw()?;
    frozen[1].thaw()?;
    let replies = [first.reply()?, second.reply()?];
    let winner = usize::from(replies[0].result.is_err());
    replies[winner].does(size as u64)?;
    replies[1 - winner].fails(Errno::EEXIST)?;
    family::holds(page, contents[winner])?;
    family::all_absent([scene.page(1)])?;
    scene.uffd.has_nothing_to_read()
}

/// A copy whose thread is killed stops where it is: what was copied stays and is woken, the rest is untouched, and `copy` says
/// how far it came.
#[apply(one_of_each_class)]
fn a_fatal_signal_stops_it_with_progress(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-047"], axes: [memory, Mode::MISSING], needs: [Need::KernelFaults])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let size = scene.region.page_size();
    let waiters =
        [Actor::access(Access::Read, scene.page(0).at(0))?, Actor::access(Access::Read, scene.page(1).at(0))?];
    let sleeps = [waiters[0].falls_asleep()?, waiters[1].falls_asleep()?];
    scene.uffd.fault()?;
    scene.uffd.fault()?;
    // The argument lies in memory that the killed process shares with this one.
    let argument = Memory::ShmemAnon.map(1)?;
    let request = family::Call::Copy.on(scene.region.pages(0, 2), 0, 0);
    let copier = || -> Outcome {
        let source = Frozen::new(2 * size, CONTENT, size)?;
        let (mut words, field) = request.from(source.start() as u64).words();
        words.extend(field);
        words.iter().enumerate().for_each(|(index, word)| sys::store(argument.start() + index * 8, *word));
        scene.uffd.ioctl("UFFDIO_COPY", UFFDIO_COPY, argument.start());
        Ok(())
    };
    let mut process = Process::start(|| i32::from(copier().is_err()))?;
    ensure!(process.waits_for_userfault(), "the copy ended; its source should have held it up");
    family::all_absent([scene.page(1)])?;
    waiters[1].is_still_in(sleeps[1])?;
    process.kill()?;

    ensure_eq!(sys::load(argument.start() + 32), size as u64, "the field copy");
    ensure_eq!(waiters[0].is_woken()?, family::first_byte(CONTENT), "the byte that the waiter read");
    family::holds(scene.page(0), CONTENT)?;
    family::all_absent([scene.page(1)])?;
    waiters[1].is_still_in(sleeps[1])?;
    scene.uffd.has_nothing_to_read()?;
    let source = given::source(size, CONTENT)?;
    scene.uffd.copy(scene.page(1).range(), source.start() as u64, 0).does(size as u64)?;
    ensure_eq!(waiters[1].is_woken()?, family::first_byte(CONTENT), "the byte that the other waiter read");
    Ok(())
}

/// An event that comes up while the source is read stops the copy: `EAGAIN`, and nothing is copied until it has been read.
#[apply(one_of_each_class)]
fn an_event_meanwhile_stops_it(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-024"],
        axes: [memory, Mode::MISSING],
        needs: [Need::KernelFaults, Need::Feature(UFFD_FEATURE_EVENT_UNMAP)]
    )?;
    let scene = Scene::with_features(memory, Mode::MISSING, 2, UFFD_FEATURE_EVENT_UNMAP)?;
    let (page, size) = (scene.page(0), scene.region.page_size());
    let source = Frozen::new(size, CONTENT, 0)?;
    let request = family::Call::Copy.on(page.range(), 0, 0);
    let copier = source.stop(request, &scene.uffd)?;
    let event = Waiting::begin(&scene.uffd, calls::Call::Munmap)?;
    source.thaw()?;
    copier.reply()?.fails(Errno::EAGAIN)?;
    family::all_absent([page, scene.page(1)])?;
    event.end(&scene.uffd)?;
    request.from(source.start() as u64).make(&scene.uffd).does(size as u64)?;
    family::holds(page, CONTENT)?;
    scene.uffd.has_nothing_to_read()
}

/// A destination that is unregistered, or unmapped, while the source is read is not found any more.
#[apply(one_of_each_class)]
fn a_destination_that_goes_meanwhile_is_not_found(
    memory: Memory,
    #[values(Going::Unregistered, Going::Unmapped)] going: Going,
) -> Outcome {
    begin!(statements: ["COPY-020"], axes: [memory, Mode::MISSING, going], needs: [Need::KernelFaults])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let (page, size) = (scene.page(0), scene.region.page_size());
    let source = Frozen::new(size, CONTENT, 0)?;
    let copier = source.stop(family::Call::Copy.on(page.range(), 0, 0), &scene.uffd)?;
    match going {
        Going::Unregistered => scene.uffd.unregister(page.range()).succeeds()?,
        Going::Unmapped => lay::hole(page)?,
    }
    source.thaw()?;
    copier.reply()?.fails(Errno::ENOENT)?;
    family::all_absent([page, scene.page(1)])?;
    scene.uffd.has_nothing_to_read()
}

/// How the destination goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    Unregistered,
    Unmapped,
}

impl uffd_harness::case::Axis for Going {
    fn axis(&self) -> &'static str {
        "meanwhile"
    }
    fn value(&self) -> String {
        match self {
            Self::Unregistered => "unregistered",
            Self::Unmapped => "unmapped",
        }
        .to_owned()
    }
}

/// Memory registered in another way, or another file, in the place of the destination is not the copy's destination: `EAGAIN`.
#[rstest]
#[test_attr(registered(conformance))]
fn a_destination_replaced_meanwhile_is_left_alone(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::ShmemPrivate)] memory: Memory,
) -> Outcome {
    begin!(
        statements: ["COPY-049"],
        axes: [memory, Mode::MISSING],
        needs: [Need::KernelFaults, Need::Feature(UFFD_FEATURE_PAGEFAULT_FLAG_WP)]
    )?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let (page, size) = (scene.page(0), scene.region.page_size());
    let source = Frozen::new(size, CONTENT, 0)?;
    let request = family::Call::Copy.on(page.range(), 0, 0);
    let copier = source.stop(request, &scene.uffd)?;
    // Anonymous memory is told apart by its registration, a file by itself.
    let sharing = if memory.is_shared() { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    let (flags, file, mode) = if memory.is_anon() {
        (sharing | libc::MAP_ANONYMOUS, None, Mode::MISSING_WP)
    } else {
        (
            sharing,
            Some(sys::memfd(libc::MFD_CLOEXEC).map_err(|errno| Error::call("memfd_create", errno))?),
            Mode::MISSING,
        )
    };
    if let Some(file) = &file {
        limits::truncate(std::os::fd::AsFd::as_fd(file), size)?;
    }
    let file = file.as_ref().map(std::os::fd::AsFd::as_fd);
    sys::map(page.start, size, libc::PROT_READ | libc::PROT_WRITE, flags | libc::MAP_FIXED, file, 0)
        .map_err(|errno| Error::call("mmap over the destination", errno))?;
    given::register(&scene.uffd, page.range(), mode)?;
    source.thaw()?;
    copier.reply()?.fails(Errno::EAGAIN)?;
    family::all_absent([page, scene.page(1)])?;
    scene.uffd.has_nothing_to_read()?;
    request.from(source.start() as u64).make(&scene.uffd).does(size as u64)?;
    family::holds(page, CONTENT)
}
