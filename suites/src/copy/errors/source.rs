//! Sources that `UFFDIO_COPY` takes, and those that it cannot read.

use uffd_harness::memory::page_state::PageState;
use uffd_harness::{Error, kernel, sys};

use crate::family::range::end_of_memory;
use crate::family::{self, Call, Stage, about};
use crate::prelude::*;

/// A source may begin at any byte.
#[apply(one_of_each_class)]
fn the_source_may_have_any_alignment(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-010"], axes: [memory, Mode::MISSING])?;
    let size = memory.page_size();
    // On hugetlb one unaligned page shows it as well as five.
    let offsets: &[usize] = if memory.is_hugetlb() { &[4097] } else { &[1, 8, 511, 2048, 4095] };
    let scene = Scene::new(memory, Mode::MISSING, offsets.len() + 1)?;
    let source = Memory::Anon.map(size / sys::page_size() + 2)?;
    for (index, offset) in offsets.iter().enumerate() {
        let content = Pattern::new(index as u64);
        content.fill(source.start() + offset, size);
        scene.uffd.copy(scene.page(index).range(), (source.start() + offset) as u64, 0).does(size as u64)?;
        family::holds(scene.page(index), content).map_err(about(format_args!("offset {offset}")))?;
    }
    family::all_absent([scene.page(offsets.len())])
}

/// On hugetlb too a source may begin at any byte.
#[rstest]
#[test_attr(registered(conformance))]
fn a_hugepage_is_copied_from_any_byte(
    #[values(Memory::Hugetlb, Memory::HugetlbFile, Memory::HugetlbMemfdPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-036"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 1)?;
    let page = scene.page(0);
    let source = Memory::Anon.map(page.size / sys::page_size() + 1)?;
    Pattern::new(1).fill(source.start() + 1, page.size);
    scene.uffd.copy(page.range(), source.start() as u64 + 1, 0).does(page.size as u64)?;
    family::holds(page, Pattern::new(1))
}

/// `EINVAL` before anything is done, or `EFAULT` by the attempt to read.
#[track_caller]
fn einval_or_efault(reply: Reply) -> Outcome {
    match reply.result {
        Err(Errno::EINVAL) => {
            variant("einval");
            reply.is_refused(Errno::EINVAL)
        }
        Err(Errno::EFAULT) => {
            variant("efault");
            reply.fails(Errno::EFAULT)
        }
        _ => Err(broken(format!("{reply}; expected EINVAL, or EFAULT in the result field too"))),
    }
}

/// A source that reaches beyond the end of the address space is refused, one that wraps around in any case with `EINVAL`.
///
/// Kernels that offer `UFFD_FEATURE_POISON`, which came with the same release, look at the source before they read it.
#[apply(one_of_each_class)]
fn a_source_beyond_the_address_space_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-011"], axes: [memory, Mode::MISSING])?;
    let stage = Stage::new(Call::Copy, memory)?;
    let (end, len) = (end_of_memory()?, stage.page().size as u64);
    let copy_from = |src| stage.request.from(src).make(stage.uffd());
    for src in [len.wrapping_neg(), u64::MAX] {
        copy_from(src).is_refused(Errno::EINVAL).map_err(about(format_args!("source {src:#x}")))?;
    }
    for src in [end, end - len + 1, end - 1, end + len, 1 << 63] {
        let reply = copy_from(src);
        let expected = if kernel::current().has(UFFD_FEATURE_POISON) {
            reply.is_refused(Errno::EINVAL)
        } else {
            einval_or_efault(reply)
        };
        expected.map_err(about(format_args!("source {src:#x}")))?;
    }
    stage.is_unchanged()?;
    stage.works()
}

/// A source where nobody can have memory, below `vm.mmap_min_addr`, is refused.
#[rstest]
#[test_attr(registered(conformance))]
fn a_source_at_address_0_is_refused() -> Outcome {
    begin!(statements: ["COPY-012"], axes: [Memory::Anon, Mode::MISSING])?;
    let stage = Stage::new(Call::Copy, Memory::Anon)?;
    einval_or_efault(stage.request.from(0).make(stage.uffd()))?;
    stage.is_unchanged()?;
    stage.works()
}

/// A source that cannot be read, wholly or in part, gives `EFAULT`, and `copy` says so.
#[apply(one_of_each_class)]
fn an_unreadable_source_is_refused(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-012"], axes: [memory, Mode::MISSING])?;
    let stage = Stage::new(Call::Copy, memory)?;
    let size = stage.page().size;
    let readable = given::source(size, Pattern::new(1))?;
    let file = Memory::ShmemMemfd.map(size / sys::page_size())?;
    let empty = file.file().ok_or_else(|| Error::Other("a memfd has no file".to_owned()))?;
    family::limits::truncate(empty, 0)?;
    let gone = Memory::Anon.map(size / sys::page_size())?;
    let gone_at = gone.start();
    gone.unmap()?;
    for (what, src) in [
        ("unmapped", gone_at),
        ("inaccessible", readable.end()),
        ("behind the end of its file", file.start()),
        ("readable but for its first byte", readable.start() - 1),
        ("readable but for its last byte", readable.start() + 1),
        ("readable in its first half", readable.start() + size / 2),
    ] {
        let reply = stage.request.from(src as u64).make(stage.uffd());
        reply.fails(Errno::EFAULT).map_err(about(what))?;
    }
    stage.is_unchanged()?;
    stage.works()
}

/// A source that nobody has touched yet is faulted in: zeros, and pages that so far only the page cache holds.
#[apply(one_of_each_class)]
fn an_untouched_source_is_faulted_in(memory: Memory) -> Outcome {
    begin!(statements: ["COPY-014"], axes: [memory, Mode::MISSING])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let size = scene.region.page_size();
    let untouched = Memory::Anon.map(size / sys::page_size())?;
    let cached = Memory::ShmemMemfd.map(size / sys::page_size())?;
    Pattern::new(1).fill(cached.alias()?.start(), size);
    for (index, source, content) in [(0, untouched, Pattern::ZERO), (1, cached, Pattern::new(1))] {
        family::all_absent([source.page(0)])?;
        scene.uffd.copy(scene.page(index).range(), source.start() as u64, 0).does(size as u64)?;
        family::holds(scene.page(index), content)?;
    }
    scene.uffd.has_nothing_to_read()
}

/// A source that is swapped out is swapped in again.
#[rstest]
#[test_attr(registered(conformance))]
fn a_source_in_swap_is_read(
    #[values(Memory::Anon, Memory::ShmemMemfd, Memory::ShmemPrivate)] memory: Memory,
) -> Outcome {
    begin!(statements: ["COPY-014"], axes: [memory, Mode::MISSING], needs: [given::SWAP])?;
    let scene = Scene::new(memory, Mode::MISSING, 2)?;
    let source = given::source(scene.region.page_size(), Pattern::new(1))?;
    given::swap_out(source.page(0), || Ok(source.page(0).state()?.swapped()))?;
    scene.uffd.copy(scene.page(0).range(), source.start() as u64, 0).does(source.len() as u64)?;
    family::holds(scene.page(0), Pattern::new(1))?;
    ensure!(!PageState::of(source.start())?.swapped(), "the source is still in swap");
    family::all_absent([scene.page(1)])
}
