//! `UFFDIO_COPY`: UFFDIO_COPY(2const).

use crate::prelude::*;

/// The thread that waits for a page filled with DONTWAKE sleeps on until `UFFDIO_WAKE`.
#[apply(filled_by_each)]
fn dontwake_leaves_the_waiter_asleep(memory: Memory, resolver: Resolver) -> Outcome {
    begin!(statements: ["COPY-005"], axes: [memory, resolver.fault_mode(), resolver])?;
    let scene = Scene::new(memory, resolver.fault_mode(), 2)?;
    let page = scene.page(0);
    let waiter = Actor::access(Access::Read, page.at(0))?;
    let sleep = waiter.falls_asleep()?;
    scene.uffd.fault()?;
    scene.resolve(resolver, 0, 1, false)?.does(page.size as u64)?;
    waiter.is_still_in(sleep)?;
    scene.uffd.wake(page.range()).succeeds()?;
    waiter.is_woken()?;
    scene.uffd.has_nothing_to_read()
}
