//! What `/proc/self/fdinfo/FD` says of a userfaultfd; no document describes it.

use std::os::fd::AsRawFd as _;

use crate::uffd::Uffd;
use crate::{Error, Result};

/// The lines of one userfaultfd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdInfo {
    /// `pending:` waiters whose message nobody has read.
    pub pending: u64,
    /// `total:` all waiters.
    pub total: u64,
    /// `API:` version, features and ioctls in hexadecimal, between colons.
    pub api: String,
}

impl FdInfo {
    /// What it says now.
    pub fn of(uffd: &Uffd) -> Result<Self> {
        let path = format!("/proc/self/fdinfo/{}", uffd.fd().as_raw_fd());
        let text = std::fs::read_to_string(&path).map_err(|error| Error::file(&path, error))?;
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let number = |name| line(name).and_then(|value| value.parse().ok());
        match (number("pending:"), number("total:"), line("API:")) {
            (Some(pending), Some(total), Some(api)) => Ok(Self { pending, total, api: api.to_owned() }),
            _ => Err(Error::Other(format!("{path} does not read as expected: {text}"))),
        }
    }
}
