//! Mappings with few rights: read-only files, seals, `PROT_READ`, `PROT_NONE`; and stacks.

use std::os::fd::AsFd as _;

use rustix::fs::{SealFlags, fcntl_add_seals};
use uffd_harness::memory::{regular_file, vma};
use uffd_harness::{gate, sys};

use super::{ioctls, refusal};
use crate::prelude::*;

/// A shared mapping of a file that was opened for reading only is refused with `EPERM` in every mode.
#[rstest]
#[test_attr(registered(conformance))]
fn shared_read_only_files_are_refused(
    #[values(Memory::ShmemMemfd, Memory::ShmemTmpfs, Memory::HugetlbMemfd)] memory: Memory,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["REG-026", "REG-047"], axes: [memory, mode])?;
    let (uffd, region) = (tracking::uffd(mode)?, memory.map(1)?);
    let file = lay::file_of(&region)?;
    let read_only = lay::reopen_read_only(file)?;
    lay::file(region.range(), libc::PROT_READ, libc::MAP_SHARED, read_only.as_fd())?;
    refusal::of(&uffd, &region, region.range(), mode.bits(), Errno::EPERM)?;
    tracking::served(&uffd, region.page(0), Access::Read)?;
    lay::file(region.range(), libc::PROT_READ, libc::MAP_SHARED, file)?;
    uffd.register(region.range(), mode.bits()).does(ioctls::expected(memory.is_hugetlb(), mode))?;
    tracking::just(&region, &[(region.range(), mode)])
}

/// The same for a regular file and asynchronous write-protection, which takes every other file.
#[rstest]
#[test_attr(registered(conformance))]
fn shared_read_only_regular_files_are_refused_for_asynchronous_wp() -> Outcome {
    begin!(statements: ["REG-026", "REG-047"], axes: [Mode::WP], needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)])?;
    let (uffd, region) = (given::uffd(UFFD_FEATURE_WP_ASYNC)?, Memory::Anon.map(1)?);
    let file = regular_file(region.len())?;
    let read_only = lay::reopen_read_only(file.as_fd())?;
    lay::file(region.range(), libc::PROT_READ, libc::MAP_SHARED, read_only.as_fd())?;
    refusal::of(&uffd, &region, region.range(), UFFDIO_REGISTER_MODE_WP, Errno::EPERM)
}

/// A private mapping of a file that was opened for reading only is accepted; its faults are filled, the file is not.
#[rstest]
#[test_attr(registered(conformance))]
fn private_read_only_files_are_accepted(#[values(Memory::ShmemPrivate)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-027"], axes: [memory, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(1)?);
    let alias = region.alias()?;
    let read_only = lay::reopen_read_only(lay::file_of(&region)?)?;
    let read_write = libc::PROT_READ | libc::PROT_WRITE;
    lay::file(region.range(), read_write, libc::MAP_PRIVATE, read_only.as_fd())?;
    let page = region.page(0);
    uffd.register(page.range(), UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    let (waiter, _) = tracking::delivered(&uffd, page, Mode::MISSING)?;
    let source = given::source(page.size, Pattern::new(7))?;
    uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    waiter.is_woken()?;
    ensure_eq!(page.differs(Pattern::new(7)), None, "the page");
    ensure_eq!(alias.page(0).differs(Pattern::ZERO), None, "the file");
    Ok(())
}

/// A seal against writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    Write,
    FutureWrite,
}

impl Seal {
    const fn flags(self) -> SealFlags {
        match self {
            Self::Write => SealFlags::WRITE,
            Self::FutureWrite => SealFlags::FUTURE_WRITE,
        }
    }
}

impl Axis for Seal {
    fn axis(&self) -> &'static str {
        "seal"
    }
    fn value(&self) -> String {
        if *self == Self::Write { "write" } else { "future-write" }.to_owned()
    }
}

/// A shared mapping of a memfd that is sealed against writing is refused with `EPERM`.
#[rstest]
#[test_attr(registered(conformance))]
fn sealed_files_are_refused(#[values(Seal::Write, Seal::FutureWrite)] seal: Seal) -> Outcome {
    begin!(statements: ["REG-028", "REG-047"], axes: [Memory::ShmemMemfd, Mode::MISSING, seal])?;
    let (uffd, region, other) = (given::uffd(0)?, Memory::Anon.map(1)?, Memory::ShmemMemfd.map(1)?);
    let copy = lay::file_of(&other)?.try_clone_to_owned().map_err(|error| Stop::Error(error.to_string()))?;
    // A writable mapping keeps a file from being sealed.
    other.unmap()?;
    fcntl_add_seals(&copy, seal.flags()).map_err(|errno| Stop::Error(format!("F_ADD_SEALS: {errno}")))?;
    if let Err(error) = lay::file(region.range(), libc::PROT_READ, libc::MAP_SHARED, copy.as_fd()) {
        // Before 6.7 a file with F_SEAL_WRITE could not be mapped shared at all.
        return Err(match seal {
            Seal::Write => given::kernel_lacks("the kernel maps no write-sealed memfd as shared"),
            Seal::FutureWrite => error,
        });
    }
    refusal::of(&uffd, &region, region.range(), UFFDIO_REGISTER_MODE_MISSING, Errno::EPERM)?;
    tracking::served(&uffd, region.page(0), Access::Read)?;
    Ok(())
}

/// While a shared mapping of a writable memfd is registered, read-only or not, the file cannot be sealed against writing.
#[rstest]
#[test_attr(registered(conformance))]
fn a_registered_file_cannot_be_sealed() -> Outcome {
    begin!(statements: ["REG-029"], axes: [Memory::ShmemMemfd, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, Memory::ShmemMemfd.map(1)?);
    let file = lay::file_of(&region)?.try_clone_to_owned().map_err(|error| Stop::Error(error.to_string()))?;
    lay::protection(region.range(), libc::PROT_READ)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let seal = || gate::add_seals(file.as_fd(), SealFlags::WRITE).err();
    ensure_eq!(seal(), Some(Errno::EBUSY), "F_SEAL_WRITE while the mapping is registered");
    region.unmap()?;
    ensure_eq!(seal(), None, "F_SEAL_WRITE without the mapping");
    Ok(())
}

/// A read-only mapping of a writable file is accepted: reads wait for their page and `UFFDIO_COPY` fills it.
#[rstest]
#[test_attr(registered(conformance))]
fn read_only_mappings_of_writable_files_are_filled(
    #[values(Memory::ShmemMemfd, Memory::ShmemTmpfs)] memory: Memory,
) -> Outcome {
    begin!(statements: ["REG-030"], axes: [memory, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    let alias = region.alias()?;
    lay::protection(region.range(), libc::PROT_READ)?;
    filled(&uffd, &region)?;
    ensure_eq!(alias.page(0).differs(Pattern::new(3)), None, "the file");
    Ok(())
}

/// Registers a read-only region and fills its first page under a waiting reader; a writer gets what it would without.
fn filled(uffd: &Uffd, region: &Region) -> Outcome {
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(region, &[(region.range(), Mode::MISSING)])?;
    let page = region.page(0);
    Actor::access(Access::Write, page.at(0))?.dies_of(libc::SIGSEGV)?;
    uffd.has_nothing_to_read()?;
    let (waiter, _) = tracking::delivered(uffd, page, Mode::MISSING)?;
    let source = given::source(page.size, Pattern::new(3))?;
    uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    waiter.is_woken()?;
    ensure_eq!(page.differs(Pattern::new(3)), None, "the page");
    Actor::access(Access::Write, page.at(0))?.dies_of(libc::SIGSEGV)?;
    uffd.has_nothing_to_read()
}

/// A read-only private mapping is accepted: reads wait for their page and `UFFDIO_COPY` fills it.
#[rstest]
#[test_attr(registered(conformance))]
fn read_only_memory_is_filled(#[values(Memory::Anon, Memory::ShmemPrivate)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-031"], axes: [memory, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    lay::protection(region.range(), libc::PROT_READ)?;
    filled(&uffd, &region)
}

/// Inaccessible memory is accepted and filled by `UFFDIO_COPY`; an access to it is as fatal as ever and makes no message.
#[rstest]
#[test_attr(registered(conformance))]
fn inaccessible_memory_is_filled(#[values(Memory::Anon, Memory::ShmemPrivate)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-031"], axes: [memory, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, memory.map(2)?);
    lay::protection(region.range(), libc::PROT_NONE)?;
    let page = region.page(0);
    uffd.register(page.range(), UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&region, &[(page.range(), Mode::MISSING)])?;
    Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGSEGV)?;
    let source = given::source(page.size, Pattern::new(5))?;
    uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
    Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGSEGV)?;
    uffd.has_nothing_to_read()?;
    lay::protection(region.range(), libc::PROT_READ)?;
    ensure_eq!(page.differs(Pattern::new(5)), None, "the page");
    Ok(())
}

/// RWP tells itself from `PROT_NONE` by the mapping's rights: it is refused without any, accepted with `PROT_READ`.
#[rstest]
#[test_attr(registered(conformance))]
fn rwp_is_refused_without_access_rights(#[values(Memory::Anon, Memory::ShmemMemfd)] memory: Memory) -> Outcome {
    begin!(statements: ["REG-011", "REG-047"], axes: [memory, Mode::RWP])?;
    let (uffd, region) = (tracking::uffd(Mode::RWP)?, memory.map(1)?);
    region.page(0).fill(Scene::cached(0));
    lay::protection(region.range(), libc::PROT_NONE)?;
    refusal::of(&uffd, &region, region.range(), UFFDIO_REGISTER_MODE_RWP, Errno::EINVAL)?;
    lay::protection(region.range(), libc::PROT_READ)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_RWP).does(ioctls::expected(false, Mode::RWP))?;
    tracking::just(&region, &[(region.range(), Mode::RWP)])?;
    tracking::delivered(&uffd, region.page(0), Mode::RWP)?;
    Ok(())
}

/// Part of the main thread's stack can be registered and unregistered.
#[rstest]
#[test_attr(registered(conformance))]
fn the_stack_is_accepted() -> Outcome {
    begin!(statements: ["REG-052"], axes: [Memory::Anon, Mode::MISSING])?;
    let uffd = given::uffd(0)?;
    let stack = vma::named("[stack]")?.ok_or_else(|| Stop::Error("no [stack] in /proc/self/maps".to_owned()))?;
    // The far end: nobody uses it while it is registered.
    let far = Range::new(stack.start, sys::page_size() as u64);
    uffd.register(far, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    let flags: Vec<_> = vma::within(stack)?.iter().map(|vma| (vma.start, vma.end, vma.uffd_flags())).collect();
    let expected = [(far.start, far.end(), vec!["um"]), (far.end(), stack.end(), vec![])];
    ensure_eq!(flags, expected, "the mappings of the stack");
    uffd.unregister(far).succeeds()
}

/// A mapping that grows downwards is accepted and its faults are delivered.
#[rstest]
#[test_attr(registered(conformance))]
fn memory_that_grows_down_is_accepted() -> Outcome {
    begin!(statements: ["REG-052"], axes: [Memory::Anon, Mode::MISSING])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(4)?);
    lay::growing_down(region.pages(2, 2))?;
    let range = region.pages(2, 1);
    uffd.register(range, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&region, &[(range, Mode::MISSING)])?;
    tracking::delivered(&uffd, region.page(2), Mode::MISSING)?;
    tracking::served(&uffd, region.page(3), Access::Read)?;
    Ok(())
}
