//! An accepted registration: faults in just that range are delivered.

use crate::prelude::*;

/// Faults in the first and the last page of the range are delivered, those in the pages next to it are not.
#[apply(one_of_each_class)]
fn faults_in_just_the_range_are_delivered(
    memory: Memory,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(
        statements: [
            "REG-001", "REG-002", "REG-003", "REG-004", "REG-005", "REG-006", "REG-007", "REG-009", "REG-035"
        ],
        axes: [memory, mode]
    )?;
    let Scene { uffd, region, .. } = &tracking::before(memory, mode, 4)?;
    let range = region.pages(1, 2);
    given::register(uffd, range, mode)?;
    tracking::just(region, &[(range, mode)])?;
    let (first, first_sleep) = tracking::delivered(uffd, region.page(1), mode)?;
    let (last, last_sleep) = tracking::delivered(uffd, region.page(2), mode)?;
    tracking::served(uffd, region.page(0), tracking::access(mode))?;
    tracking::served(uffd, region.page(3), tracking::access(mode))?;
    first.is_still_in(first_sleep)?;
    last.is_still_in(last_sleep)
}

/// System V shared memory is refused, or it is accepted and its faults are delivered and filled.
#[rstest]
#[test_attr(registered(conformance))]
fn system_v_shared_memory(#[values(Memory::ShmemSysv)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-056"], axes: [memory, Mode::MISSING])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    let page = region.page(0);
    let reply = uffd.register(page.range(), UFFDIO_REGISTER_MODE_MISSING);
    if reply.result.is_err() {
        variant("refused");
        reply.is_refused(Errno::EINVAL)?;
        tracking::nothing(&region)?;
        tracking::served(&uffd, page, Access::Read)?;
        return Ok(());
    }
    variant("accepted");
    reply.does(super::ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&region, &[(page.range(), Mode::MISSING)])?;
    let (waiter, _) = tracking::delivered(&uffd, page, Mode::MISSING)?;
    let source = given::source(page.size, Pattern::new(1))?;
    uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    waiter.is_woken()?;
    ensure_eq!(page.differs(Pattern::new(1)), None, "the page after UFFDIO_COPY");
    tracking::served(&uffd, region.page(1), Access::Read)?;
    Ok(())
}
