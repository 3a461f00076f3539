//! After `UFFDIO_UNREGISTER` the kernel serves faults by itself again.

use crate::prelude::*;

/// Pages that were there keep their content, the others come from the kernel, and nobody is told.
#[apply(every_memory)]
fn later_faults_are_served_by_the_kernel(memory: Memory, #[values(Mode::MISSING, Mode::MINOR)] mode: Mode) -> Outcome {
    begin!(statements: ["UNREG-001"], axes: [memory, mode])?;
    let Scene { uffd, region, alias, .. } = &tracking::before(memory, mode, 2)?;
    given::register(uffd, region.range(), mode)?;
    let (filled, empty) = (region.page(0), region.page(1));
    let content = Scene::cached(0);
    if alias.is_some() {
        uffd.continue_range(filled.range(), 0).does(filled.size as u64)?;
    } else {
        uffd.copy(filled.range(), given::source(filled.size, content)?.start() as u64, 0).does(filled.size as u64)?;
    }
    uffd.unregister(region.range()).succeeds()?;
    tracking::nothing(region)?;
    tracking::served(uffd, empty, Access::Read)?;
    ensure_eq!(filled.differs(content), None, "the page that was filled");
    let served = if alias.is_some() { Scene::cached(1) } else { Pattern::ZERO };
    ensure_eq!(empty.differs(served), None, "the page that the kernel served");
    tracking::served(uffd, empty, Access::Write)?;
    Ok(())
}

/// A range that is unregistered twice, or was never registered, is no error and stays as it is.
#[apply(one_of_each_class)]
fn unregistered_memory_is_no_error(memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-001", "UNREG-003"], axes: [memory, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    let (page, other) = (region.page(0), region.page(1));
    uffd.unregister(page.range()).succeeds()?;
    tracking::nothing(&region)?;
    tracking::is_one_mapping(&region)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    for _ in 0..2 {
        uffd.unregister(page.range()).succeeds()?;
        tracking::just(&region, &[(rest(&region), Mode::MISSING)])?;
    }
    tracking::served(&uffd, page, Access::Read)?;
    tracking::delivered(&uffd, other, Mode::MISSING)?;
    Ok(())
}

/// The region without its first page.
fn rest(region: &Region) -> Range {
    region.pages(1, region.page_count() - 1)
}

/// What has been unregistered can be registered again, by another userfaultfd as well.
#[apply(one_of_each_class)]
fn unregistered_memory_can_be_registered_again(memory: Memory) -> Outcome {
    begin!(statements: ["UNREG-001"], axes: [memory, Mode::MISSING])?;
    let (first, second, region) = (given::uffd(0)?, given::uffd(0)?, memory.map(1)?);
    for _ in 0..2 {
        given::register(&first, region.range(), Mode::MISSING)?;
        first.unregister(region.range()).succeeds()?;
    }
    given::register(&second, region.range(), Mode::MISSING)?;
    tracking::just(&region, &[(region.range(), Mode::MISSING)])?;
    tracking::delivered(&second, region.page(0), Mode::MISSING)?;
    first.has_nothing_to_read()
}
