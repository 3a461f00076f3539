//! `UFFDIO_ZEROPAGE` and write protection, and zero-filling over the markers of protected or poisoned pages.

use crate::prelude::*;

/// The zero page is not protected in a range registered for write protection: there is no MODE_WP.
#[apply(small_of_each_class)]
fn the_page_is_not_protected(memory: Memory, #[values(Mode::MISSING_WP, Mode::WP)] mode: Mode) -> Outcome {
    begin!(statements: ["ZERO-015"], axes: [memory, mode])?;
    let scene = Scene::new(memory, mode, 2)?;
    let page = scene.page(0);
    scene.resolve(Resolver::Zeropage, 0, 1, true)?.does(page.size as u64)?;
    page.holds(Pattern::ZERO)?;
    page.is_not_protected()?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.is_not_protected()?;
    page.holds_but_written(Pattern::ZERO, &[8])?;
    scene.page(1).is_not_mapped()?;
    scene.uffd.has_nothing_to_read()
}

/// Zero-filling a protected hole: refused with `EEXIST` in private memory, and in shared memory the protection is lost.
#[apply(small_of_each_class)]
fn a_protected_hole(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-014"], axes: [memory, Mode::MISSING_WP], needs: [given::protected_holes_on(memory)])?;
    let scene = Scene::with_features(memory, Mode::MISSING_WP, 3, given::marker_features(memory))?;
    let page = scene.page(1);
    scene.uffd.writeprotect(scene.region.pages(0, 3), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    let reply = scene.resolve(Resolver::Zeropage, 1, 1, true)?;
    if memory.is_shared() {
        reply.does(page.size as u64)?;
        page.holds(Pattern::ZERO)?;
        page.is_not_protected()?;
        Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
        page.holds_but_written(Pattern::ZERO, &[8])?;
    } else {
        reply.fails(Errno::EEXIST)?;
        ensure!(!page.state()?.present(), "a page is mapped although the call failed");
        page.is_protected()?;
        // Without the marker there is nothing in the way.
        scene.uffd.writeprotect(page.range(), 0).succeeds()?;
        scene.resolve(Resolver::Zeropage, 1, 1, true)?.does(page.size as u64)?;
        page.holds(Pattern::ZERO)?;
        page.is_not_protected()?;
    }
    scene.page(0).is_protected()?;
    scene.page(2).is_protected()?;
    scene.uffd.has_nothing_to_read()
}

/// Zero-filling a poisoned page: refused with `EEXIST` in private memory, and in shared memory the page is healed.
#[apply(small_of_each_class)]
fn a_poisoned_page(memory: Memory) -> Outcome {
    begin!(statements: ["ZERO-014"], axes: [memory, Mode::MISSING], needs: [Need::Feature(UFFD_FEATURE_POISON)])?;
    let scene = Scene::new(memory, Mode::MISSING, 3)?;
    let (page, all) = (scene.page(1), scene.region.pages(0, 3));
    scene.uffd.poison(all, 0).does(all.len)?;
    let reply = scene.resolve(Resolver::Zeropage, 1, 1, true)?;
    if memory.is_shared() {
        reply.does(page.size as u64)?;
        page.holds(Pattern::ZERO)?;
    } else {
        reply.fails(Errno::EEXIST)?;
        Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGBUS)?;
    }
    for index in [0, 2] {
        Actor::access(Access::Read, scene.page(index).at(0))?.dies_of(libc::SIGBUS)?;
    }
    scene.uffd.has_nothing_to_read()
}
