//! `UFFDIO_COPY` and write protection: MODE_WP, and copying over the markers of protected or poisoned pages.

use crate::prelude::*;
use crate::waiters;

const CONTENT: Pattern = Pattern::new(0x400);

/// MODE_WP protects just the copied pages: they can be read, and a write to one waits for `UFFDIO_WRITEPROTECT`.
fn mode_wp_protects(memory: Memory, mode: Mode) -> Outcome {
    let scene = Scene::new(memory, mode, 4)?;
    let (page, next, content) = (scene.page(1), scene.page(2), Scene::filled(Resolver::Copy, 1));
    let missing = mode.has(Mode::MISSING);
    let readers = if missing { vec![waiters::Waiter::at(&scene, Access::Read, next.at(0))?] } else { Vec::new() };
    let source = given::source(2 * page.size, content)?;
    content.fill(source.start() + page.size, page.size);
    let copied = scene.region.pages(1, 2);
    scene.uffd.copy(copied, source.start() as u64, UFFDIO_COPY_MODE_WP).does(copied.len)?;
    for reader in readers {
        reader.is_woken_to(content)?;
    }
    for page in [page, next] {
        page.holds(content)?;
        page.is_protected()?;
    }
    scene.page(0).is_not_mapped()?;
    scene.page(3).is_not_mapped()?;
    scene.uffd.has_nothing_to_read()?;
    waiters::a_write_waits_for_writeprotect(&scene, page, content)?;
    next.is_protected()?;
    next.holds(content)
}

/// MODE_WP in a range registered for missing faults and write protection.
#[apply(one_of_each_class)]
fn mode_wp_protects_the_copied_pages(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-017"], axes: [memory, Mode::MISSING_WP])?;
    mode_wp_protects(memory, Mode::MISSING_WP)
}

/// MODE_WP in a range registered for write protection alone.
#[apply(one_of_each_class)]
fn mode_wp_needs_no_missing_mode(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-017", "COPY-018"], axes: [memory, Mode::WP])?;
    mode_wp_protects(memory, Mode::WP)
}

/// A thread that waits to write to the page waits on for the protection; MODE_WP and DONTWAKE go together.
#[apply(one_of_each_class)]
fn a_woken_writer_meets_the_protection(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-005", "COPY-017"], axes: [memory, Mode::MISSING_WP])?;
    let scene = Scene::new(memory, Mode::MISSING_WP, 1)?;
    let source = given::source(scene.region.page_size(), CONTENT)?;
    waiters::a_woken_writer_meets_the_protection(&scene, CONTENT, |page| {
        scene.uffd.copy(page, source.start() as u64, UFFDIO_COPY_MODE_WP | UFFDIO_COPY_MODE_DONTWAKE)
    })
}

/// Without MODE_WP the page is not protected, and a write to it goes through.
#[apply(one_of_each_class)]
fn without_mode_wp_the_page_is_not_protected(
    memory: Memory,
    #[values(Mode::MISSING_WP, Mode::WP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["COPY-017", "COPY-019"], axes: [memory, mode])?;
    let scene = Scene::new(memory, mode, 1)?;
    let page = scene.page(0);
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(page.size as u64)?;
    page.is_not_protected()?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(Scene::filled(Resolver::Copy, 0), &[8])?;
    scene.uffd.has_nothing_to_read()
}

/// Protects pages 0 to 2 while nothing is there: a scene with three markers.
fn protected_holes(memory: Memory) -> Result<Scene, Stop> {
    let scene = Scene::with_features(memory, Mode::MISSING_WP, 3, given::marker_features(memory))?;
    scene.uffd.writeprotect(scene.region.pages(0, 3), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    for index in 0..3 {
        scene.page(index).is_protected()?;
    }
    Ok(scene)
}

/// Copying over the marker of a protected hole drops the protection; other markers stay.
#[apply(one_of_each_class)]
fn the_marker_of_a_protected_hole_is_dropped(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-039"], axes: [memory, Mode::MISSING_WP], needs: [given::protected_holes_on(memory)])?;
    let scene = protected_holes(memory)?;
    let page = scene.page(1);
    scene.resolve(Resolver::Copy, 1, 1, true)?.does(page.size as u64)?;
    page.holds(Scene::filled(Resolver::Copy, 1))?;
    page.is_not_protected()?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(Scene::filled(Resolver::Copy, 1), &[8])?;
    scene.page(0).is_protected()?;
    scene.page(2).is_protected()?;
    scene.uffd.has_nothing_to_read()
}

/// Copying over the marker of a protected hole with MODE_WP keeps the protection.
#[apply(one_of_each_class)]
fn mode_wp_keeps_a_protected_hole_protected(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-017", "COPY-039"], axes: [memory, Mode::MISSING_WP], needs: [given::protected_holes_on(memory)])?;
    let scene = protected_holes(memory)?;
    let page = scene.page(1);
    let source = given::source(page.size, CONTENT)?;
    scene.uffd.copy(page.range(), source.start() as u64, UFFDIO_COPY_MODE_WP).does(page.size as u64)?;
    page.holds(CONTENT)?;
    page.is_protected()?;
    waiters::a_write_waits_for_writeprotect(&scene, page, CONTENT)?;
    scene.page(0).is_protected()?;
    scene.page(2).is_protected()
}

/// Copying over the marker of a poisoned page heals that page and no other.
#[apply(one_of_each_class)]
fn a_poisoned_page_is_healed(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-040"], axes: [memory, Mode::MISSING], needs: [Need::Feature(UFFD_FEATURE_POISON)])?;
    let scene = Scene::new(memory, Mode::MISSING, 3)?;
    let page = scene.page(1);
    let all = scene.region.pages(0, 3);
    scene.uffd.poison(all, 0).does(all.len)?;
    scene.resolve(Resolver::Copy, 1, 1, true)?.does(page.size as u64)?;
    page.holds(Scene::filled(Resolver::Copy, 1))?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(Scene::filled(Resolver::Copy, 1), &[8])?;
    for index in [0, 2] {
        Actor::access(Access::Read, scene.page(index).at(0))?.dies_of(libc::SIGBUS)?;
    }
    scene.uffd.has_nothing_to_read()
}

/// Copying with MODE_WP over the marker of a poisoned page heals it and protects it.
#[apply(one_of_each_class)]
fn a_poisoned_page_is_healed_and_protected(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-017", "COPY-040"], axes: [memory, Mode::MISSING_WP], needs: [Need::Feature(UFFD_FEATURE_POISON)])?;
    let scene = Scene::new(memory, Mode::MISSING_WP, 1)?;
    let page = scene.page(0);
    scene.uffd.poison(page.range(), 0).does(page.size as u64)?;
    let source = given::source(page.size, CONTENT)?;
    scene.uffd.copy(page.range(), source.start() as u64, UFFDIO_COPY_MODE_WP).does(page.size as u64)?;
    page.holds(CONTENT)?;
    page.is_protected()?;
    waiters::a_write_waits_for_writeprotect(&scene, page, CONTENT)
}
