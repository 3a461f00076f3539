//! `/proc/self/fdinfo/FD` of a userfaultfd: proc_pid_fdinfo(5); the lines of userfaultfd are documented nowhere.

use std::os::fd::AsRawFd as _;

use crate::uffd::Uffd;
use crate::{Error, Result, gate};

/// What the kernel tells of a userfaultfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdInfo {
    /// `pending`: waiters whose message nobody has read.
    pub pending: u64,
    /// `total`: all waiters.
    pub total: u64,
    /// The first number of `API`.
    pub api: u64,
    /// The second: the features of the handshake.
    pub features: u64,
    /// The third: the ioctls that the kernel knows.
    pub ioctls: u64,
}

impl FdInfo {
    /// Reads it.
    pub fn of(uffd: &Uffd) -> Result<Self> {
        let path = format!("/proc/self/fdinfo/{}", uffd.fd().as_raw_fd());
        let text = gate::fdinfo(uffd.fd()).map_err(|error| Error::file(&path, error))?;
        Self::parse(&text).ok_or_else(|| Error::Other(format!("{path}: not the lines of a userfaultfd: {text:?}")))
    }

    fn parse(text: &str) -> Option<Self> {
        let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        let mut api = line("API")?.split(':').map(|number| u64::from_str_radix(number, 16).ok());
        Some(Self {
            pending: line("pending")?.parse().ok()?,
            total: line("total")?.parse().ok()?,
            api: api.next()??,
            features: api.next()??,
            ioctls: api.next()??,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_read() {
        let text = "pos:\t0\nflags:\t02004000\nmnt_id:\t15\nino:\t7\npending:\t1\ntotal:\t12\nAPI:\taa:80000100:80000000000001ff\n";
        let info = FdInfo { pending: 1, total: 12, api: 0xaa, features: 0x8000_0100, ioctls: 0x8000_0000_0000_01ff };
        assert_eq!(FdInfo::parse(text), Some(info));
        assert_eq!(FdInfo::parse("pos:\t0\n"), None);
    }
}
