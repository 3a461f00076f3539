//! No page is ever seen half copied: `UFFDIO_COPY` is stopped half way, and everybody who could see it looks.
//!
//! The source lies under a second userfaultfd and has a hole where the middle of a page is to come from. The copy falls
//! asleep inside the kernel there, with half of the page in hand, until the case fills the hole.

use crate::family::Call;
use crate::family::frozen::{Frozen, Stopped};
use crate::prelude::*;
use crate::waiters::{self, Waiter};

/// Copies `count` pages to page 0 of the scene and on, [`Scene::filled`] each, and stops within page `stop`.
#[track_caller]
fn stopped(scene: &Scene, count: usize, stop: usize) -> Result<(Frozen, Stopped), Stop> {
    stopped_with(scene, count, stop, 0, |index| Scene::filled(Resolver::Copy, index))
}

/// The same with this mode and these contents.
#[track_caller]
fn stopped_with(
    scene: &Scene,
    count: usize,
    stop: usize,
    mode: u64,
    content: fn(usize) -> Pattern,
) -> Result<(Frozen, Stopped), Stop> {
    let source = Frozen::straddling(scene.region.page_size(), count, stop, content)?;
    let copy = source.stop(Call::Copy.on(scene.region.pages(0, count), 0, mode), &scene.uffd)?;
    Ok((source, copy))
}

/// Lets the copy come to its end.
#[track_caller]
fn goes_on(source: &Frozen, copy: &Stopped) -> Result<Reply, Stop> {
    source.thaw()?;
    copy.reply()
}

/// The file behind the scene, if it has one, has just these pages.
#[track_caller]
fn file_has_just(scene: &Scene, pages: &[usize], count: usize) -> Outcome {
    let Some(alias) = &scene.alias else { return Ok(()) };
    // The blocks of the file are already set aside for a page that is on its way.
    for index in 0..count {
        ensure_eq!(alias.file_has(index)?, pages.contains(&index), "whether the file has page {index}");
    }
    Ok(())
}

/// While half of a page is copied, no thread, no other mapping and no `read` finds any of it; then all find the whole.
#[apply(every_memory)]
fn a_half_copied_page_is_seen_by_nobody(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-003"], axes: [memory, Mode::MISSING], needs: [Need::KernelFaults])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 2)?;
    let (page, content) = (scene.page(0), Scene::filled(Resolver::Copy, 0));
    let before = Waiter::at(&scene, Access::Read, page.at(0))?;
    let (source, copy) = stopped(&scene, 1, 0)?;
    let reader = Waiter::at(&scene, Access::Read, page.at(8))?;
    let writer = Waiter::at(&scene, Access::Write, page.at(page.size - 1))?;
    page.is_not_mapped()?;
    file_has_just(&scene, &[], 2)?;
    for waiter in [&before, &reader, &writer] {
        waiter.sleeps_on()?;
    }
    copy.stands()?;
    scene.uffd.has_nothing_to_read()?;
    goes_on(&source, &copy)?.does(page.size as u64)?;
    for waiter in [&before, &reader, &writer] {
        waiter.is_woken_to(content)?;
    }
    page.holds_but_written(content, &[page.size - 1])?;
    scene.page(1).is_not_mapped()?;
    file_has_just(&scene, if memory.is_shared() { &[0] } else { &[] }, 2)?;
    scene.uffd.has_nothing_to_read()
}

/// Of several pages, those before the half copied one are there as a whole or not at all; it and the next are not.
#[apply(one_of_each_class)]
fn of_several_pages_none_is_seen_half_copied(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-003"], axes: [memory, Mode::MISSING], needs: [Need::KernelFaults])?;
    let (count, stop) = if memory.is_hugetlb() { (2, 1) } else { (4, 2) };
    let scene = Scene::with_alias(memory, Mode::MISSING, count)?;
    let (source, copy) = stopped(&scene, count, stop)?;
    for index in 0..stop {
        if scene.page(index).state()?.present() {
            scene.page(index).holds(Scene::filled(Resolver::Copy, index))?;
        }
    }
    let mut waiters = Vec::new();
    for index in stop..count {
        scene.page(index).is_not_mapped()?;
        let in_file = scene.alias.as_ref().map_or(Ok(false), |alias| alias.file_has(index))?;
        ensure!(!in_file, "the file has page {index}, which is not copied yet");
        waiters.push((index, Waiter::at(&scene, Access::Read, scene.page(index).at(0))?));
    }
    copy.stands()?;
    goes_on(&source, &copy)?.does(scene.region.pages(0, count).len)?;
    for index in 0..count {
        scene.page(index).holds(Scene::filled(Resolver::Copy, index))?;
    }
    for (index, waiter) in waiters {
        waiter.is_woken_to(Scene::filled(Resolver::Copy, index))?;
    }
    scene.uffd.has_nothing_to_read()
}

/// The mode of a copy holds although it was stopped half way: the page comes protected, and who waits for it sleeps on.
#[apply(one_of_each_class)]
fn a_stopped_copy_keeps_its_mode(memory: Memory) -> Outcome {
    begin!(
        statements: ["COPY-003", "COPY-005", "COPY-017"],
        axes: [memory, Mode::MISSING_WP],
        needs: [Need::KernelFaults],
    )?;
    let scene = Scene::new(memory, Mode::MISSING_WP, 1)?;
    let (page, content) = (scene.page(0), Pattern::new(0));
    let waiter = Waiter::at(&scene, Access::Read, page.at(0))?;
    let mode = UFFDIO_COPY_MODE_WP | UFFDIO_COPY_MODE_DONTWAKE;
    let (source, copy) = stopped_with(&scene, 1, 0, mode, |_| Pattern::new(0))?;
    goes_on(&source, &copy)?.does(page.size as u64)?;
    waiter.sleeps_on()?;
    page.holds(content)?;
    page.is_protected()?;
    scene.uffd.wake(page.range()).succeeds()?;
    waiter.is_woken_to(content)?;
    waiters::a_write_waits_for_writeprotect(&scene, page, content)
}

/// A copy that another one overtakes fails with `EEXIST` and leaves the other's page alone.
#[apply(one_of_each_class)]
fn an_overtaken_copy_changes_nothing(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-003", "COPY-046"], axes: [memory, Mode::MISSING], needs: [Need::KernelFaults])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 1)?;
    let (page, content) = (scene.page(0), Scene::filled(Resolver::Copy, 0));
    let waiter = Waiter::at(&scene, Access::Read, page.at(0))?;
    let (source, slow) = stopped_with(&scene, 1, 0, 0, |_| Pattern::new(0))?;
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(page.size as u64)?;
    waiter.is_woken_to(content)?;
    page.holds(content)?;
    slow.stands()?;
    goes_on(&source, &slow)?.fails(Errno::EEXIST)?;
    page.holds(content)?;
    file_has_just(&scene, if memory.is_shared() { &[0] } else { &[] }, 1)?;
    Actor::access(Access::Write, page.at(8))?.does_not_wait()?;
    page.holds_but_written(content, &[8])?;
    scene.uffd.has_nothing_to_read()
}

/// A copy whose source goes away half way fails with `EFAULT` and leaves nothing; another one then succeeds.
#[apply(one_of_each_class)]
fn a_copy_that_loses_its_source_leaves_nothing(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-003", "COPY-012"], axes: [memory, Mode::MISSING], needs: [Need::KernelFaults])?;
    let scene = Scene::with_alias(memory, Mode::MISSING, 1)?;
    let page = scene.page(0);
    let waiter = Waiter::at(&scene, Access::Read, page.at(0))?;
    let (source, copy) = stopped(&scene, 1, 0)?;
    source.vanish()?;
    copy.reply()?.fails(Errno::EFAULT)?;
    page.is_not_mapped()?;
    if let Some(alias) = &scene.alias {
        alias.file_has_just(&[], 1)?;
    }
    waiter.sleeps_on()?;
    scene.uffd.has_nothing_to_read()?;
    scene.resolve(Resolver::Copy, 0, 1, true)?.does(page.size as u64)?;
    waiter.is_woken_to(Scene::filled(Resolver::Copy, 0))?;
    page.holds(Scene::filled(Resolver::Copy, 0))
}
