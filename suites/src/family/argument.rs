//! Arguments that the kernel cannot read, and result fields that it cannot write.

use uffd_harness::sys;
use uffd_harness::uffd::SENTINEL;

use super::{Call, Request, Stage, about};
use crate::argument::{Flaw, flawed};
use crate::prelude::*;

/// Where the request lies so that it has this flaw.
fn places(request: Request, flaw: Flaw) -> Result<Vec<usize>, Stop> {
    let (mut words, result) = request.words();
    words.extend(result);
    flawed(flaw, &words)
}

fn make(stage: &Stage, at: usize) -> Reply {
    let shape = stage.request.call.shape();
    stage.uffd().ioctl(shape.name, shape.request, at)
}

/// An argument that cannot be read, wholly or in part, gives `EFAULT`, and nothing changes.
pub fn unreadable_is_refused(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    for flaw in [Flaw::Nowhere, Flaw::Inaccessible, Flaw::HalfUnmapped] {
        for at in places(stage.request, flaw)? {
            make(&stage, at).is_refused(Errno::EFAULT).map_err(about(format_args!("argument {flaw:?} at {at:#x}")))?;
        }
    }
    stage.is_unchanged()?;
    stage.works()
}

/// Where the result field cannot be written a fill is done, says `EFAULT`, and wakes nobody.
pub fn unwritable_field_fails_a_fill_that_is_done(call: Call, memory: Memory, flaw: Flaw) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let words = stage.request.words().0.len();
    for at in places(stage.request, flaw)? {
        // It fails the same way when it is done and when the page is there already.
        for _ in 0..2 {
            make(&stage, at).is_refused(Errno::EFAULT)?;
            if flaw == Flaw::ReadOnly {
                ensure_eq!(sys::load(at + words * 8) as i64, SENTINEL, "the result field");
            }
            stage.is_filled_but_not_woken()?;
        }
    }
    stage.is_woken_by_wake()
}

/// What is refused before anything is done does not write the result field: it has its own errno even then.
pub fn unwritable_field_does_not_matter_to_a_refusal(call: Call, memory: Memory, flaw: Flaw) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let range = stage.request.range;
    let unaligned = stage.request.over(Range::new(range.start + 1, range.len));
    let unknown = stage.request.with_mode(1 << 63);
    for (what, request) in [("an unaligned range", unaligned), ("an unknown mode bit", unknown)] {
        for at in places(request, flaw)? {
            make(&stage, at).is_refused(Errno::EINVAL).map_err(about(what))?;
        }
    }
    stage.is_unchanged()?;
    stage.works()
}

/// An ioctl without a result field takes an argument on a read-only page.
pub fn read_only_is_enough(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let at = places(stage.request, Flaw::ReadOnly)?[0];
    stage.has_worked(make(&stage, at))
}
