//! Before the handshake: ioctl_userfaultfd(2), ERRORS; userfaultfd(2), "Reading from the userfaultfd structure".

use uffd_harness::memory::vma;

use super::offered;
use crate::prelude::*;

const EVERYTHING: i16 =
    libc::POLLIN | libc::POLLPRI | libc::POLLOUT | libc::POLLRDNORM | libc::POLLRDBAND | libc::POLLWRNORM;

/// Every ioctl but the handshake is refused, with arguments that would do, and does nothing; later the same calls do.
#[rstest]
#[test_attr(registered(conformance))]
fn no_other_ioctl_is_taken() -> Outcome {
    begin!(statements: ["API-020"])?;
    let wp = if offered(UFFD_FEATURE_PAGEFAULT_FLAG_WP) == 0 { Mode::MISSING } else { Mode::MISSING_WP };
    // A range that another userfaultfd registered can be filled through any of the same process.
    let scene = Scene::new(Memory::Anon, wp, 4)?;
    let (page, size, plain) =
        (|index| scene.page(index).range(), scene.region.page_size() as u64, Memory::Anon.map(1)?);
    let (content, protected) = (Pattern::new(0), Pattern::new(1));
    let source = given::source(scene.region.page_size(), content)?;
    scene.uffd.copy(page(3), source.start() as u64, 0).does(size)?;
    scene.page(3).fill(protected);
    let waiter = Actor::access(Access::Read, scene.page(0).at(0))?;
    let sleep = waiter.falls_asleep()?;

    let uffd = given::raw_uffd()?;
    let refused = [
        uffd.register(plain.range(), UFFDIO_REGISTER_MODE_MISSING),
        uffd.unregister(scene.region.range()),
        uffd.unregister(plain.range()),
        uffd.wake(page(0)),
        uffd.copy(page(0), source.start() as u64, 0),
        uffd.zeropage(page(1), 0),
        uffd.move_pages(page(1), source.start() as u64, 0),
        uffd.writeprotect(page(3), UFFDIO_WRITEPROTECT_MODE_WP),
        uffd.continue_range(page(1), 0),
        uffd.poison(page(2), 0),
        uffd.rwprotect(page(3), UFFDIO_RWPROTECT_MODE_RWP),
        uffd.set_mode(0, 0),
        uffd.ioctl("an unknown ioctl", UFFDIO_API ^ 1 << 16, source.start()),
    ];
    for reply in refused {
        reply.is_refused(Errno::EINVAL)?;
    }
    waiter.is_still_in(sleep)?;
    for index in 0..3 {
        let state = scene.page(index).state()?;
        ensure!(!state.present() && !state.swapped(), "page {index} changed before the handshake");
    }
    ensure!(!scene.page(3).state()?.uffd_wp(), "page 3 was protected before the handshake");
    ensure_eq!(scene.page(3).differs(protected), None, "page 3 before the handshake");
    ensure_eq!(vma::within(plain.range())?[0].uffd_flags(), [""; 0], "the flags of a mapping that was not registered");
    ensure_eq!(vma::within(scene.region.range())?[0].uffd_flags().len(), wp.names().count(), "the registered modes");

    uffd.api(UFFD_API, 0).is_granted()?;
    given::register(&uffd, plain.range(), Mode::MISSING)?;
    uffd.copy(plain.range(), source.start() as u64, 0).does(size)?;
    uffd.wake(plain.range()).succeeds()?;
    uffd.unregister(plain.range()).succeeds()?;
    ensure_eq!(plain.page(0).differs(content), None, "the page filled after the handshake");
    Ok(())
}

/// read(2) is refused with `EINVAL` and `poll` says `POLLERR`, whether the descriptor blocks or not.
#[rstest]
#[test_attr(registered(conformance))]
fn read_and_poll_are_refused() -> Outcome {
    begin!(statements: ["API-021", "POLL-005"])?;
    for nonblocking in [true, false] {
        let uffd = given::raw_uffd()?;
        uffd.set_nonblocking(nonblocking).map_err(broken)?;
        for events in [libc::POLLIN, 0, EVERYTHING] {
            let revents = uffd_harness::gate::poll(uffd.fd(), events, 0);
            ensure_eq!(revents, Ok(libc::POLLERR), "poll for {events:#x}, nonblocking: {nonblocking}");
        }
        let shared = uffd.duplicate().map_err(broken)?;
        let reader = Actor::start(move || [0, 1, 31, 32, 33, 64, 512].map(|length| shared.read(length).err()))?;
        let refused = Ending::Returned([Some(Errno::EINVAL); 7]);
        ensure_eq!(reader.join()?, refused, "reads, nonblocking: {nonblocking}");
        uffd.api(UFFD_API, 0).is_granted()?;
        uffd.polls(if nonblocking { 0 } else { libc::POLLERR })?;
    }
    Ok(())
}
