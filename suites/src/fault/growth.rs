//! Stack growth: mmap(2), `MAP_GROWSDOWN`.

use uffd_harness::memory::vma;
use uffd_harness::sys;

use super::faulting::{holds, told};
use crate::prelude::*;

/// A mapping that grows down into the page of an access is registered there too: the new page is missing.
#[rstest]
#[test_attr(registered(conformance))]
fn stack_growth_is_told(#[values(Access::Read, Access::Write)] access: Access) -> Outcome {
    begin!(statements: ["FAULT-052"], axes: [Memory::Anon, Mode::MISSING, access])?;
    let size = Memory::Anon.page_size();
    let uffd = given::uffd(0)?;
    // A place between inaccessible neighbours, of which the stack takes the last page and leaves the rest free.
    let place = Memory::Anon.map(8)?;
    let (below, stack) = (place.page(6), place.page(7));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_GROWSDOWN;
    let source = given::source(size, Pattern::new(1))?;
    let thread = Actor::start(|| ())?;
    thread.join()?;
    sys::unmap(place.start(), place.len()).map_err(|errno| Stop::Error(format!("munmap: {errno}")))?;
    sys::map(stack.start, size, libc::PROT_READ | libc::PROT_WRITE, flags, None, 0)
        .map_err(|errno| Stop::Error(format!("mmap(MAP_GROWSDOWN): {errno}")))?;
    given::register(&uffd, stack.range(), Mode::MISSING)?;
    let waiter = Actor::access(access, below.at(size - 8))?;
    waiter.falls_asleep()?;
    told(&uffd, super::faulting::flags(Mode::MISSING, access), below.start, 0)?;
    uffd.has_nothing_to_read()?;
    let [grown] = vma::within(below.range())?.try_into().map_err(|vmas| Stop::Error(format!("{vmas:?}")))?;
    ensure_eq!(grown.uffd_flags(), ["um"], "the flags of the grown mapping");
    uffd.copy(below.range(), source.start() as u64, 0).does(size as u64)?;
    super::faulting::access_did(below, Pattern::new(1), access, size - 8, waiter.is_woken()?)?;
    holds(below, Pattern::new(1))
}
