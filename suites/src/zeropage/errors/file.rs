//! Files behind the range: the end of the file, a page that is there already, a file that cannot be filled at all.

use crate::family::{self, Call, limits};
use crate::prelude::*;

/// On shared shmem nothing is filled behind the end of the file: `EFAULT`, or `ENOMEM` since Linux 7.3.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_filled_behind_the_end_of_a_shared_file(
    #[values(Memory::ShmemMemfd, Memory::ShmemTmpfs)] memory: Memory,
) -> Outcome {
    begin!(statements: ["ZERO-017"], axes: [memory, Mode::MISSING])?;
    limits::nothing_is_filled_behind_the_end_of_the_file(Call::Zeropage, memory, &[Errno::EFAULT, Errno::ENOMEM])
}

/// In a private mapping of shmem nothing is filled behind the end of the file.
#[rstest]
#[test_attr(registered(conformance))]
fn nothing_is_filled_behind_the_end_of_a_private_file() -> Outcome {
    begin!(statements: ["ZERO-017"], axes: [Memory::ShmemPrivate, Mode::MISSING])?;
    limits::nothing_is_filled_behind_the_end_of_the_file(Call::Zeropage, Memory::ShmemPrivate, &[Errno::EFAULT])
}

/// A range that is registered for other faults than missing ones is filled all the same.
#[apply(small_of_each_class)]
fn any_register_mode_will_do(memory: Memory, #[values(Mode::WP, Mode::MINOR)] mode: Mode) -> Outcome {
    begin!(statements: ["ZERO-016"], axes: [memory, mode])?;
    let uffd = given::uffd(0)?;
    let region = memory.map(2)?;
    given::register(&uffd, region.range(), mode)?;
    uffd.zeropage(region.page(0).range(), 0).does(region.page_size() as u64)?;
    family::holds(region.page(0), Pattern::ZERO)?;
    family::all_absent([region.page(1)])?;
    uffd.has_nothing_to_read()
}

/// A shared page that the page cache has, though it is not mapped here, is present.
#[rstest]
#[test_attr(registered(conformance))]
fn a_page_of_the_page_cache_is_present(
    #[values(Memory::ShmemAnon, Memory::ShmemMemfd, Memory::ShmemTmpfs, Memory::ShmemDevZero)] memory: Memory,
    #[values(Mode::MISSING, Mode::MINOR)] mode: Mode,
) -> Outcome {
    begin!(statements: ["ZERO-016"], axes: [memory, mode])?;
    let region = memory.map(2)?;
    let alias = region.alias()?;
    alias.page(0).fill(Pattern::new(1));
    let uffd = given::uffd(0)?;
    given::register(&uffd, region.range(), mode)?;
    let zeropage = |index| uffd.zeropage(region.page(index).range(), 0);
    zeropage(0).fails(Errno::EEXIST)?;
    family::all_absent([region.page(0), region.page(1)])?;
    family::holds(alias.page(0), Pattern::new(1))?;
    zeropage(1).does(region.page_size() as u64)?;
    family::advise(region.page(0), libc::MADV_REMOVE)?;
    zeropage(0).does(region.page_size() as u64)?;
    family::holds(region.page(0), Pattern::ZERO)?;
    uffd.has_nothing_to_read()
}

/// A regular file can be registered for asynchronous write protection, which offers `UFFDIO_ZEROPAGE`; it is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn a_regular_file_is_not_filled() -> Outcome {
    begin!(
        statements: ["ZERO-018"],
        axes: [Mode::WP],
        needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)]
    )?;
    limits::a_regular_file_is_not_filled(Call::Zeropage)
}
