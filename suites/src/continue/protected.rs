//! `UFFDIO_CONTINUE` and write protection: MODE_WP, and mapping over the markers of protected or poisoned pages.

use crate::prelude::*;
use crate::waiters;

/// MODE_WP itself has no feature bit; it came with this one, in 6.4.
const MODE_WP: Need = Need::Feature(UFFD_FEATURE_WP_UNPOPULATED);

/// MODE_WP protects just the mapped pages: they can be read, and a write to one waits for `UFFDIO_WRITEPROTECT`.
#[apply(one_of_each_class)]
fn mode_wp_protects_the_mapped_pages(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-008"],
        axes: [memory, Mode::WP_MINOR],
        needs: [MODE_WP, given::hugepages(memory, Mode::MINOR, 4)],
    )?;
    let scene = Scene::new(memory, Mode::WP_MINOR, 4)?;
    let mapped = scene.region.pages(1, 2);
    let reader = waiters::Waiter::at(&scene, Access::Read, scene.page(2).at(0))?;
    scene.uffd.continue_range(mapped, UFFDIO_CONTINUE_MODE_WP).does(mapped.len)?;
    reader.is_woken_to(Scene::cached(2))?;
    for index in [1, 2] {
        scene.page(index).holds(Scene::cached(index))?;
        scene.page(index).is_protected()?;
    }
    scene.page(0).is_not_mapped()?;
    scene.page(3).is_not_mapped()?;
    scene.uffd.has_nothing_to_read()?;
    waiters::a_write_waits_for_writeprotect(&scene, scene.page(1), Scene::cached(1))?;
    scene.page(2).is_protected()?;
    scene.page(2).holds(Scene::cached(2))
}

/// A thread that waits to write to the page waits on for the protection; MODE_WP and DONTWAKE go together.
#[apply(one_of_each_class)]
fn a_woken_writer_meets_the_protection(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-008", "CONT-014"], axes: [memory, Mode::WP_MINOR], needs: [MODE_WP])?;
    let scene = Scene::new(memory, Mode::WP_MINOR, 1)?;
    waiters::a_woken_writer_meets_the_protection(&scene, Scene::cached(0), |page| {
        scene.uffd.continue_range(page, UFFDIO_CONTINUE_MODE_WP | UFFDIO_CONTINUE_MODE_DONTWAKE)
    })
}

/// Without MODE_WP the page is not protected, and a write to it goes through.
#[apply(one_of_each_class)]
fn without_mode_wp_the_page_is_not_protected(memory: Memory) -> Outcome {
    begin!(statements: ["CONT-008"], axes: [memory, Mode::WP_MINOR])?;
    let scene = Scene::new(memory, Mode::WP_MINOR, 1)?;
    let page = scene.page(0);
    scene.resolve(Resolver::Continue, 0, 1, true)?.does(page.size as u64)?;
    page.is_not_protected()?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(Scene::cached(0), &[8])?;
    scene.uffd.has_nothing_to_read()
}

/// Mapping over the marker of a protected page with MODE_WP keeps the protection; other markers stay.
#[apply(one_of_each_class)]
fn mode_wp_keeps_a_protected_page_protected(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-008"],
        axes: [memory, Mode::WP_MINOR],
        needs: [MODE_WP, given::hugepages(memory, Mode::MINOR, 2)],
    )?;
    let scene = Scene::new(memory, Mode::WP_MINOR, 2)?;
    let page = scene.page(0);
    scene.uffd.writeprotect(scene.region.pages(0, 2), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    scene.uffd.continue_range(page.range(), UFFDIO_CONTINUE_MODE_WP).does(page.size as u64)?;
    page.holds(Scene::cached(0))?;
    page.is_protected()?;
    waiters::a_write_waits_for_writeprotect(&scene, page, Scene::cached(0))?;
    scene.page(1).is_protected()
}

/// Mapping over the marker of a poisoned page heals that page and no other.
#[apply(one_of_each_class)]
fn a_poisoned_page_is_healed(memory: Memory) -> Outcome {
    begin!(
        statements: ["CONT-018"],
        axes: [memory, Mode::MINOR],
        needs: [Need::Feature(UFFD_FEATURE_POISON), given::hugepages(memory, Mode::MINOR, 3)],
    )?;
    let scene = Scene::new(memory, Mode::MINOR, 3)?;
    let (page, all) = (scene.page(1), scene.region.pages(0, 3));
    scene.uffd.poison(all, 0).does(all.len)?;
    scene.resolve(Resolver::Continue, 1, 1, true)?.does(page.size as u64)?;
    page.holds(Scene::cached(1))?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(Scene::cached(1), &[8])?;
    for index in [0, 2] {
        Actor::access(Access::Read, scene.page(index).at(0))?.dies_of(libc::SIGBUS)?;
    }
    scene.uffd.has_nothing_to_read()
}
