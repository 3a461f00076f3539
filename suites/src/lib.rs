//! The suites: what a Linux kernel's userfaultfd must do, one module an area, one function a case.
//!
//! A case reads from top to bottom: what it checks, what is set up, what is done, what is expected. The words are those of
//! userfaultfd(2), ioctl_userfaultfd(2) and `Documentation/admin-guide/mm/userfaultfd.rst`; the ids are those of
//! `statements/*.toml`.
#![deny(unsafe_code)]

pub mod argument;
pub mod axes;
pub mod calls;
pub mod command;
pub mod expect;
pub mod family;
pub mod filled;
pub mod given;
pub mod gone;
pub mod init;
pub mod known;
pub mod lay;
pub mod look;
mod prelude;
pub mod statements;
pub mod tracking;
pub mod waiters;

pub mod api;
pub mod r#continue;
pub mod copy;
pub mod create;
pub mod fault;
pub mod poll;
pub mod register;
pub mod unregister;
pub mod wake;
pub mod zeropage;
