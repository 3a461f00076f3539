//! What every suite uses.
#![allow(unused_imports)] // Not every suite uses all of it.

pub(crate) use macro_rules_attribute::apply as registered;
pub(crate) use rstest::rstest;
pub(crate) use rstest_reuse::apply;
pub(crate) use uffd_harness::actor::{Access, Actor, Ending, Process, Sight, Sleep, WRITTEN};
pub(crate) use uffd_harness::case::{Axis, Outcome, Stop, variant};
pub(crate) use uffd_harness::memory::{Memory, Page, Pattern, Region};
pub(crate) use uffd_harness::message::{Event, Message};
pub(crate) use uffd_harness::mode::Mode;
pub(crate) use uffd_harness::need::Need;
pub(crate) use uffd_harness::uapi::*;
pub(crate) use uffd_harness::uffd::{Field, Range, Reply, Uffd};
pub(crate) use uffd_harness::{Errno, begin, conformance};

pub(crate) use crate::axes::{
    At, Resolver, every_memory, every_small_memory, filled_by_each, one_of_each_class, shared_files,
    small_of_each_class,
};
pub(crate) use crate::expect::broken;
pub(crate) use crate::expect::{Expect as _, Handshake as _, Messages as _, Watch as _};
pub(crate) use crate::given::{self, Scene};
pub(crate) use crate::look::{Behind as _, Look as _};
pub(crate) use crate::{ensure, ensure_eq, lay, tracking};
