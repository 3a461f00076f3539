//! Whose memory a userfaultfd is about: that of its creator.

use uffd_harness::actor::ProcessEnding;
use uffd_harness::memory::vma;
use uffd_harness::sys;

use crate::prelude::*;

/// Used by a forked child, the descriptor fills and registers its creator's memory and never the child's own.
#[rstest]
#[test_attr(registered(conformance))]
fn it_stays_with_its_creators_memory() -> Outcome {
    begin!(statements: ["CREATE-020"], axes: [Memory::Anon])?;
    let scene = Scene::new(Memory::Anon, Mode::MISSING, 2)?;
    let (later, content) = (Memory::Anon.map(1)?, Pattern::new(0));
    let source = given::source(scene.region.page_size(), content)?;
    let waiter = Actor::access(Access::Read, scene.page(0).at(0))?;
    waiter.falls_asleep()?;
    given::in_a_child(|| {
        // The child has its own copy of everything but the registration.
        scene.uffd.fault_at(0, scene.page(0).at(0))?;
        scene.uffd.copy(scene.page(0).range(), source.start() as u64, 0).does(scene.region.page_size() as u64)?;
        ensure!(!scene.page(0).state()?.present(), "the page was filled in the child's memory");
        given::register(&scene.uffd, later.range(), Mode::MISSING)?;
        ensure_eq!(vma::within(later.range())?[0].uffd_flags(), [""; 0], "the registration in the child");
        // What only the child has is no range of the creator's memory.
        let own = Memory::Anon.map(1)?;
        scene.uffd.register(own.range(), UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::EINVAL)?;
        ensure_eq!(vma::within(own.range())?[0].uffd_flags(), [""; 0], "the registration of the child's own");
        ensure_eq!(sys::load(own.start()), 0, "the child's own page");
        Ok(())
    })?;
    ensure_eq!(waiter.is_woken()?, content.word(0) as u8, "the byte read");
    ensure_eq!(scene.page(0).differs(content), None, "the page filled by the child");
    ensure!(!scene.page(1).state()?.present(), "the page behind it is there");
    ensure_eq!(vma::within(later.range())?[0].uffd_flags(), ["um"], "what the child registered");
    Ok(())
}

/// A userfaultfd outlives the end of the process that made it, and knows that its memory is gone.
#[rstest]
#[test_attr(registered(conformance))]
fn it_knows_when_its_creator_is_gone() -> Outcome {
    begin!(statements: ["CREATE-020"], axes: [Memory::Anon])?;
    let mut target = Scene::in_target(|| Scene::new(Memory::Anon, Mode::MISSING, 1), |_, _| 0)?;
    ensure_eq!(target.process.wait()?, ProcessEnding::Exited(0), "the creator's end");
    let mine = Memory::Anon.map(1)?;
    // An address of ours, which the descriptor was never about.
    target.uffd.register(mine.range(), UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::ENOMEM)?;
    ensure_eq!(vma::within(mine.range())?[0].uffd_flags(), [""; 0], "the registration of our memory");
    Ok(())
}
