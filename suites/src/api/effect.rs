//! What a feature does when it was asked for, and that it does nothing when it was not: UFFDIO_API(2const).

use uffd_harness::{kernel, sys};

use super::{all_quiet_but, offered};
use crate::calls::Call;
use crate::prelude::*;

/// `THREAD_ID` puts the faulting thread's id into the message, and without it there is none.
#[rstest]
#[test_attr(registered(conformance))]
fn thread_id_fills_ptid() -> Outcome {
    begin!(statements: ["API-002"], needs: [Need::Feature(UFFD_FEATURE_THREAD_ID)])?;
    for features in [UFFD_FEATURE_THREAD_ID, 0, all_quiet_but(UFFD_FEATURE_THREAD_ID)] {
        let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 1, features)?;
        let waiter = Actor::access(Access::Read, scene.page(0).at(0))?;
        waiter.falls_asleep()?;
        let expected = if features == UFFD_FEATURE_THREAD_ID { waiter.thread() as u32 } else { 0 };
        ensure_eq!(scene.uffd.fault()?.ptid, expected, "ptid with features {features:#x}");
    }
    Ok(())
}

/// `EXACT_ADDRESS` gives the byte's address, and without it there is the page's.
#[rstest]
#[test_attr(registered(conformance))]
fn exact_address_gives_the_byte() -> Outcome {
    begin!(statements: ["API-002"], needs: [Need::Feature(UFFD_FEATURE_EXACT_ADDRESS)])?;
    for features in [UFFD_FEATURE_EXACT_ADDRESS, 0, all_quiet_but(UFFD_FEATURE_EXACT_ADDRESS)] {
        let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, features)?;
        let waiter = Actor::access(Access::Read, scene.page(1).at(0x123))?;
        waiter.falls_asleep()?;
        let offset = if features == UFFD_FEATURE_EXACT_ADDRESS { 0x123 } else { 0 };
        scene.uffd.fault_at(0, scene.page(1).at(offset))?;
    }
    Ok(())
}

/// `SIGBUS` turns a fault into the signal, and a fault of the kernel's into `EFAULT`; without it both are messages.
#[rstest]
#[test_attr(registered(conformance))]
fn sigbus_raises_the_signal() -> Outcome {
    begin!(statements: ["API-002"], needs: [Need::Feature(UFFD_FEATURE_SIGBUS), Need::KernelFaults])?;
    for features in [UFFD_FEATURE_SIGBUS, 0, all_quiet_but(UFFD_FEATURE_SIGBUS)] {
        let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, features)?;
        let at = scene.page(0).at(0x123);
        let access = Actor::access(Access::Write, at)?;
        let (buffer, zeros) = (scene.page(1).at(0), sys::memfd(libc::MFD_CLOEXEC).map_err(broken)?);
        let call = Actor::start(move || sys::write_from(std::os::fd::AsFd::as_fd(&zeros), buffer, 8))?;
        if features == UFFD_FEATURE_SIGBUS {
            let signal = access.dies_of(libc::SIGBUS)?;
            ensure_eq!((signal.code, signal.address), (libc::BUS_ADRERR, at), "si_code and si_addr");
            ensure_eq!(call.does_not_wait()?, Err(Errno::EFAULT), "write(2) from a missing page");
            scene.uffd.polls(0)?;
            scene.uffd.has_nothing_to_read()?;
        } else {
            access.falls_asleep()?;
            call.falls_asleep()?;
            let page = |fault: crate::expect::Fault| fault.address / sys::page_size() as u64 * sys::page_size() as u64;
            let mut pages = [page(scene.uffd.fault()?), page(scene.uffd.fault()?)];
            pages.sort_unstable();
            let expected = [scene.page(0).start as u64, scene.page(1).start as u64];
            ensure_eq!(pages, expected, "the pages in the messages with features {features:#x}");
        }
    }
    Ok(())
}

/// `PAGEFAULT_FLAG_WP`: a write to a protected page is a message with that flag.
#[rstest]
#[test_attr(registered(conformance))]
fn pagefault_flag_wp_marks_faults_on_protected_pages() -> Outcome {
    begin!(statements: ["API-002"], needs: [Need::Feature(UFFD_FEATURE_PAGEFAULT_FLAG_WP)])?;
    let scene = Scene::with_features(Memory::Anon, Mode::WP, 1, UFFD_FEATURE_PAGEFAULT_FLAG_WP)?;
    let (page, content) = (scene.page(0), Pattern::new(0));
    page.fill(content);
    scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    ensure_eq!(page.differs(content), None, "the protected page");
    let waiter = Actor::access(Access::Write, page.at(0))?;
    waiter.falls_asleep()?;
    scene.uffd.fault_at(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE, page.at(0))?;
    ensure_eq!(page.differs(content), None, "the protected page while a write waits");
    Ok(())
}

/// `WP_UNPOPULATED` lets a hole in anonymous memory be protected; without it the protection of a hole is void.
#[rstest]
#[test_attr(registered(conformance))]
fn wp_unpopulated_protects_holes() -> Outcome {
    begin!(statements: ["API-002"], needs: [Need::Feature(UFFD_FEATURE_WP_UNPOPULATED)])?;
    for features in [UFFD_FEATURE_WP_UNPOPULATED, 0, all_quiet_but(UFFD_FEATURE_WP_UNPOPULATED)] {
        let scene = Scene::with_features(Memory::Anon, Mode::WP, 1, features)?;
        let page = scene.page(0);
        scene.uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
        let protects = features == UFFD_FEATURE_WP_UNPOPULATED;
        ensure_eq!(page.state()?.uffd_wp(), protects, "the mark of protection with features {features:#x}");
        let access = Actor::access(Access::Write, page.at(0))?;
        if protects {
            access.falls_asleep()?;
            scene.uffd.fault_at(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE, page.at(0))?;
        } else {
            access.does_not_wait()?;
            scene.uffd.has_nothing_to_read()?;
        }
    }
    Ok(())
}

/// `WP_ASYNC`: a write to a protected page goes through and takes the mark away; without it the write waits.
#[rstest]
#[test_attr(registered(conformance))]
fn wp_async_lets_writes_through() -> Outcome {
    begin!(statements: ["API-002"], needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)])?;
    for features in [UFFD_FEATURE_WP_ASYNC, 0, all_quiet_but(0)] {
        let scene = Scene::with_features(Memory::Anon, Mode::WP, 2, features)?;
        let page = scene.page(0);
        page.fill(Pattern::new(0));
        scene.page(1).fill(Pattern::new(1));
        scene.uffd.writeprotect(scene.region.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
        let access = Actor::access(Access::Write, page.at(0))?;
        if features == UFFD_FEATURE_WP_ASYNC {
            access.does_not_wait()?;
            scene.uffd.has_nothing_to_read()?;
            ensure_eq!(sys::load_byte(page.at(0)), WRITTEN, "the byte written");
            ensure!(!page.state()?.uffd_wp(), "the written page is still marked");
        } else {
            access.falls_asleep()?;
            scene.uffd.fault_at(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE, page.at(0))?;
            ensure!(page.state()?.uffd_wp(), "the page lost its mark to a write that waits");
        }
        ensure!(scene.page(1).state()?.uffd_wp(), "the page beside it lost its mark");
    }
    Ok(())
}

/// `WP_ASYNC` asked for alone brings `WP_UNPOPULATED` with it: a hole can be protected, and a write to it takes the mark away.
#[rstest]
#[test_attr(registered(conformance))]
fn wp_async_implies_wp_unpopulated(#[values(Memory::Anon, Memory::AnonThp)] memory: Memory) -> Outcome {
    begin!(
        statements: ["API-015"],
        axes: [memory, Mode::WP],
        needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED)]
    )?;
    let scene = Scene::with_features(memory, Mode::WP, 3, UFFD_FEATURE_WP_ASYNC)?;
    scene.uffd.writeprotect(scene.region.pages(0, 2), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let marks =
        || -> Result<Vec<bool>, Stop> { (0..3).map(|index| Ok(scene.page(index).state()?.uffd_wp())).collect() };
    ensure_eq!(marks()?, [true, true, false], "the marks of holes, of which two are protected");
    let access = Actor::access(Access::Write, scene.page(0).at(0))?;
    access.does_not_wait()?;
    scene.uffd.has_nothing_to_read()?;
    ensure_eq!(marks()?, [false, true, false], "the marks after a write to the first");
    ensure_eq!(sys::load_byte(scene.page(0).at(0)), WRITTEN, "the byte written");
    Ok(())
}

/// `RWP_ASYNC`: an access to a protected page goes through and takes the mark away; without it the access waits.
#[rstest]
#[test_attr(registered(conformance))]
fn rwp_async_lets_accesses_through() -> Outcome {
    begin!(
        statements: ["API-002"],
        axes: [Mode::RWP],
        needs: [Need::Feature(UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC)]
    )?;
    for features in [UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC, UFFD_FEATURE_RWP, all_quiet_but(0)] {
        let scene = Scene::with_features(Memory::Anon, Mode::RWP, 1, features)?;
        let (page, content) = (scene.page(0), Pattern::new(0));
        page.fill(content);
        scene.uffd.rwprotect(page.range(), UFFDIO_RWPROTECT_MODE_RWP).succeeds()?;
        let access = Actor::start(move || sys::load(page.at(0)))?;
        if features & UFFD_FEATURE_RWP_ASYNC != 0 {
            ensure_eq!(access.does_not_wait()?, content.word(0), "the word read");
            scene.uffd.has_nothing_to_read()?;
            ensure!(!page.state()?.uffd_wp(), "the page that was read is still marked");
        } else {
            access.falls_asleep()?;
            scene.uffd.fault_at(UFFD_PAGEFAULT_FLAG_RWP, page.at(0))?;
        }
    }
    Ok(())
}

/// With its feature a call waits until its event was read; with any other feature, or none, it neither waits nor tells.
#[rstest]
#[test_attr(registered(conformance))]
fn an_event_comes_iff_it_was_asked_for(
    #[values(Call::Fork, Call::Mremap, Call::Madvise, Call::Munmap)] call: Call,
) -> Outcome {
    begin!(statements: ["API-002"], axes: [call])?;
    let fork = Need::Capability("CAP_SYS_PTRACE").lack(kernel::current(), 0).is_none();
    for features in Call::FEATURES.into_iter().chain([0, all_quiet_but(0)]) {
        // A move also unmaps the old place: EVENT_UNMAP tells of that on its own.
        let moves_away = call == Call::Mremap && features == UFFD_FEATURE_EVENT_UNMAP;
        if offered(features) != features || moves_away || features == UFFD_FEATURE_EVENT_FORK && !fork {
            continue;
        }
        let scene = Scene::with_features(Memory::Anon, Mode::MISSING, 2, features)?;
        scene.resolve(Resolver::Zeropage, 0, 2, true)?.does(scene.region.len() as u64)?;
        let caller = call.start(&scene.region)?;
        if features == call.feature() {
            caller.causes_a_message(&scene.uffd)?;
            ensure!(!caller.has_ended(), "the call did not wait for its event to be read");
            let message = scene.uffd.message()?;
            ensure!(call.event(&scene.region, message), "the message says {:?}", message.event());
        }
        ensure_eq!(caller.ends_without_a_message(&scene.uffd)?, Ok(()), "the call with features {features:#x}");
    }
    Ok(())
}
