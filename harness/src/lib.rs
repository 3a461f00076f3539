//! What the userfaultfd conformance suite stands on.
//!
//! The harness makes system calls, maps memory, lets threads and processes touch it, watches what becomes of
//! them, and runs each case in a process of its own. It asserts nothing about the kernel: a suite does.
//!
//! Arrows go one way: `report -> record -> case`, `isolate -> case`, `actor, memory -> uffd -> uapi`,
//! `kernel -> uffd`.
#![deny(unsafe_code)]

pub mod actor;
pub mod case;
mod error;
pub mod fdinfo;
#[cfg(not(feature = "perverse"))]
#[allow(unsafe_code)]
pub mod gate;
pub mod isolate;
mod keeper;
pub mod kernel;
pub mod memory;
pub mod message;
pub mod mode;
pub mod need;
#[cfg(feature = "perverse")]
#[allow(unsafe_code)]
pub mod perverse;
pub mod record;
pub mod report;
pub mod runner;
#[allow(unsafe_code)]
pub mod sys;
pub(crate) mod text;
#[allow(missing_docs, non_camel_case_types)]
pub mod uapi;
pub mod uffd;
pub mod watch;

pub use error::Error;
pub use linkme;
pub use nix::errno::Errno;
#[cfg(feature = "perverse")]
pub use perverse::gate;

/// What a fallible step of the harness gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;
