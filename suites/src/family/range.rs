//! Ranges that no ioctl takes: unaligned, empty, wrapping around, beyond the end of the address space.

use uffd_harness::sys;

use super::{Call, Stage, about};
use crate::prelude::*;

/// The first address behind the address space of a process; the page in front of it is mapped by now, so ask once.
pub fn end_of_memory() -> Result<u64, Stop> {
    Ok((lay::last_page()? + sys::page_size()) as u64)
}

/// Every way in which a range can be wrong before the kernel looks at a mapping: what is wrong, and the range.
fn flawed(page: Page) -> Result<Vec<(&'static str, Range)>, Stop> {
    let (start, len) = (page.start as u64, page.size as u64);
    let base = sys::page_size() as u64;
    let end = end_of_memory()?;
    Ok(vec![
        ("start one byte too high", Range::new(start + 1, len)),
        ("start one byte too low", Range::new(start - 1, len)),
        ("start half a page too high", Range::new(start + base / 2, len)),
        ("one byte too short", Range::new(start, len - 1)),
        ("one byte too long", Range::new(start, len + 1)),
        ("half a page too long", Range::new(start, len + base / 2)),
        ("one byte", Range::new(start, 1)),
        ("empty", Range::new(start, 0)),
        ("empty and unaligned", Range::new(start + 1, 0)),
        ("longer than the address space", Range::new(start, end)),
        ("up to the last address there is", Range::new(start, start.wrapping_neg())),
        ("once around to its own start", Range::new(start, base.wrapping_neg())),
        ("one page behind the end of the address space", Range::new(end, len)),
        ("over the end of the address space", Range::new(end - base, 2 * len)),
        ("in the kernel's half", Range::new(1 << 63, len)),
        ("at the last page there is", Range::new(len.wrapping_neg(), len)),
    ])
}

/// The ioctl refuses each flawed range with `EINVAL`, changes nothing, and takes the right one.
pub fn flaws_are_refused(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    for (flaw, range) in flawed(stage.page())? {
        stage.make(range).is_refused(Errno::EINVAL).map_err(about(flaw))?;
    }
    stage.is_unchanged()?;
    stage.works()
}

/// The ioctl refuses parts of a hugepage with `EINVAL`, which its result field says too, and takes the whole page.
pub fn parts_of_hugepages_are_refused(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let (start, len) = (stage.page().start as u64, stage.page().size as u64);
    let base = sys::page_size() as u64;
    let parts = [
        ("a base page too high", Range::new(start + base, len)),
        ("a base page too low", Range::new(start - base, len)),
        ("half a hugepage too high", Range::new(start + len / 2, len)),
        ("one base page", Range::new(start, base)),
        ("the last base page", Range::new(start + len - base, base)),
        ("a base page too short", Range::new(start, len - base)),
        ("a base page too long", Range::new(start, len + base)),
        ("half a hugepage", Range::new(start, len / 2)),
    ];
    for (part, range) in parts {
        stage.make(range).fails(Errno::EINVAL).map_err(about(part))?;
    }
    stage.is_unchanged()?;
    stage.works()
}

/// The last page of the address space is a range like any other: it is not registered, `ENOENT`.
pub fn the_last_page_is_a_range(call: Call) -> Outcome {
    let stage = Stage::new(call, Memory::Anon)?;
    let base = sys::page_size() as u64;
    stage.make(Range::new(end_of_memory()? - base, base)).fails(Errno::ENOENT)?;
    stage.is_unchanged()?;
    stage.works()
}
