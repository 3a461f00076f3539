//! Mode bits that an ioctl does not define.

use super::{Call, Stage, about};
use crate::prelude::*;

/// Each bit that the ioctl does not define is refused with `EINVAL`, alone and beside every defined one; nothing changes.
pub fn unknown_bits_are_refused(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let known = call.shape().modes.unwrap_or(u64::MAX);
    let defined = call.dontwake() | stage.request.mode;
    for bit in (0..64).map(|bit| 1_u64 << bit).filter(|bit| known & bit == 0) {
        for mode in [bit, bit | defined] {
            let reply = stage.request.with_mode(mode).make(stage.uffd());
            reply.is_refused(Errno::EINVAL).map_err(about(format_args!("mode {mode:#x}")))?;
        }
    }
    stage.request.with_mode(!known).make(stage.uffd()).is_refused(Errno::EINVAL)?;
    stage.is_unchanged()?;
    stage.works()
}

/// Write-protecting what is filled in, where the range is not registered for it, is refused with `EINVAL`; nothing changes.
///
/// The result field says so too.
pub fn wp_needs_wp(call: Call, memory: Memory, wp: u64) -> Outcome {
    let stage = Stage::new(call, memory)?;
    for mode in [wp, wp | call.dontwake()] {
        stage.request.with_mode(mode).make(stage.uffd()).fails(Errno::EINVAL)?;
    }
    stage.is_unchanged()?;
    stage.works()
}

/// This one bit is refused with `EINVAL` before anything is done; nothing changes.
pub fn bit_is_refused(call: Call, memory: Memory, bit: u64) -> Outcome {
    let stage = Stage::new(call, memory)?;
    for mode in [bit, bit | call.dontwake()] {
        stage.request.with_mode(mode).make(stage.uffd()).is_refused(Errno::EINVAL)?;
    }
    stage.is_unchanged()?;
    stage.works()
}
