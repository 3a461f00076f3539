//! Files behind the destination: a page that is there already, the end of the file, a file that cannot be filled at all.

use crate::family::{self, Call, limits};
use crate::prelude::*;

/// A shared page that the page cache has, though it is not mapped here, is present.
#[rstest]
#[test_attr(registered(conformance))]
fn a_page_of_the_page_cache_is_present(
    #[values(Memory::ShmemAnon, Memory::ShmemMemfd, Memory::ShmemTmpfs, Memory::ShmemDevZero, Memory::HugetlbMemfd)]
    memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-029"], axes: [memory, Mode::MISSING])?;
    let region = memory.map(2)?;
    let alias = region.alias()?;
    alias.page(0).fill(Pattern::new(1));
    let uffd = given::uffd(0)?;
    given::register(&uffd, region.range(), Mode::MISSING)?;
    let source = given::source(region.page_size(), Pattern::new(2))?;
    let copy = |index| uffd.copy(region.page(index).range(), source.start() as u64, 0);
    copy(0).fails(Errno::EEXIST)?;
    family::all_absent([region.page(0), region.page(1)])?;
    family::holds(alias.page(0), Pattern::new(1))?;
    copy(1).does(region.page_size() as u64)?;
    family::holds(region.page(1), Pattern::new(2))?;
    // Once the page cache has lost the page the same call fills it.
    family::advise(region.page(0), libc::MADV_REMOVE)?;
    copy(0).does(region.page_size() as u64)?;
    family::holds(region.page(0), Pattern::new(2))?;
    ensure_eq!(alias.page(0).differs(Pattern::new(2)), None, "the page in the other mapping");
    uffd.has_nothing_to_read()
}

/// So a minor fault on shared memory cannot be resolved by a copy: the waiter sleeps on until CONTINUE.
#[rstest]
#[test_attr(registered(conformance))]
fn a_minor_fault_on_shared_memory_is_not_resolved(
    #[values(Memory::ShmemMemfd, Memory::HugetlbMemfd)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-029"], axes: [memory, Mode::MINOR])?;
    let stage = family::Stage::new(Call::Continue, memory)?;
    let source = given::source(stage.page().size, Pattern::new(2))?;
    stage.uffd().copy(stage.page().range(), source.start() as u64, 0).fails(Errno::EEXIST)?;
    stage.is_unchanged()?;
    stage.works()
}

/// On shared shmem nothing is copied behind the end of the file: `EFAULT`, or `ENOMEM` since Linux 7.3.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_copied_behind_the_end_of_a_shared_file(
    #[values(Memory::ShmemMemfd, Memory::ShmemTmpfs)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-031"], axes: [memory, Mode::MISSING])?;
    limits::nothing_is_filled_behind_the_end_of_the_file(Call::Copy, memory, &[Errno::EFAULT, Errno::ENOMEM])
}

/// In a private mapping of shmem nothing is copied behind the end of the file.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_copied_behind_the_end_of_a_private_file() -> Outcome {
    begin!(statements: ["COPY-032"], axes: [Memory::ShmemPrivate, Mode::MISSING])?;
    limits::nothing_is_filled_behind_the_end_of_the_file(Call::Copy, Memory::ShmemPrivate, &[Errno::EFAULT])
}

/// On shared hugetlb nothing is copied behind the end of the file.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_copied_behind_the_end_of_a_hugetlb_file(
    #[values(Memory::HugetlbMemfd, Memory::HugetlbFile)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-038"], axes: [memory, Mode::MISSING])?;
    limits::nothing_is_filled_behind_the_end_of_the_file(Call::Copy, memory, &[Errno::EFAULT])
}

/// A regular file can be registered for asynchronous write protection, which offers UFFDIO_COPY; it is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn a_regular_file_is_not_filled() -> Outcome {
    begin!(
        statements: ["COPY-048"],
        axes: [Mode::WP],
        needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)]
    )?;
    limits::a_regular_file_is_not_filled(Call::Copy)
}
