//! Stack growth: mmap(2), `MAP_GROWSDOWN`.

use uffd_harness::memory::vma;
use uffd_harness::sys;

use super::faulting::{self, access_did, is_unmapped, told};
use crate::prelude::*;

/// A mapping that grows down into the page of an access is registered there too: the new page is missing.
#[rstest]
#[test_attr(registered(conformance))]
fn stack_growth_is_told(#[values(Access::Read, Access::Write)] access: Access) -> Outcome {
    begin!(statements: ["FAULT-052"], axes: [Memory::Anon, Mode::MISSING, access])?;
    let size = Memory::Anon.page_size();
    let uffd = given::uffd(0)?;
    let source = given::source(size, Pattern::new(1))?;
    // Two pages between inaccessible neighbours: the upper one becomes a stack, the lower one is free for its growth.
    let place = Memory::Anon.map(2)?;
    let (below, stack) = (place.page(0), place.page(1));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_GROWSDOWN;
    place.unmap()?;
    sys::map(stack.start, size, libc::PROT_READ | libc::PROT_WRITE, flags, None, 0)
        .map_err(|errno| Stop::Error(format!("mmap(MAP_GROWSDOWN): {errno}")))?;
    given::register(&uffd, stack.range(), Mode::MISSING)?;
    let waiter = Actor::access(access, below.at(size - 8))?;
    waiter.falls_asleep()?;
    told(&uffd, faulting::flags(Mode::MISSING, access), below.start, 0)?;
    uffd.has_nothing_to_read()?;
    let grown = vma::within(below.range())?;
    ensure!(grown.len() == 1 && grown[0].uffd_flags() == ["um"], "the mapping did not grow registered: {grown:?}");
    uffd.copy(below.range(), source.start() as u64, 0).does(size as u64)?;
    access_did(below, Pattern::new(1), access, size - 8, waiter.is_woken()?)?;
    is_unmapped(stack)?;
    uffd.has_nothing_to_read()
}
