//! The handshake: UFFDIO_API(2const).

mod advisory;
mod argument;
mod before;
mod concurrent;
mod effect;
mod fdinfo;
mod mask;
mod privilege;
mod refusal;

use crate::prelude::*;

/// The bit by which the kernel marks a userfaultfd whose handshake is done; no feature.
pub const INITIALIZED: u64 = 1 << 31;

/// `features` as far as this kernel offers them.
pub fn offered(features: u64) -> u64 {
    uffd_harness::kernel::current().features & features
}

/// Every feature this kernel offers but `features`, and but those that change what happens to a fault or a call by themselves.
pub fn all_quiet_but(features: u64) -> u64 {
    const LOUD: u64 = UFFD_FEATURE_SIGBUS
        | UFFD_FEATURE_EVENT_FORK
        | UFFD_FEATURE_EVENT_REMAP
        | UFFD_FEATURE_EVENT_REMOVE
        | UFFD_FEATURE_EVENT_UNMAP
        | UFFD_FEATURE_WP_ASYNC
        | UFFD_FEATURE_RWP_ASYNC;
    offered(!(features | LOUD))
}
