//! The kernel log and the taint flags while cases run: a warning or an oops fails the case during which it came.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::kernel::machine::read_number;

/// What a line of concern holds: `Documentation/admin-guide/bug-hunting.rst` and the tools that print them.
const CONCERN: [&str; 12] = [
    "WARNING:",
    "BUG:",
    "BUG ",
    "kernel BUG at",
    "Oops",
    "KASAN:",
    "UBSAN:",
    "KCSAN:",
    "possible circular locking",
    "possible recursive locking",
    "blocked for more than",
    "general protection fault",
];

/// Follows the kernel log, where it may be read.
#[derive(Debug)]
pub struct Watch {
    log: Option<File>,
    tainted: Option<u64>,
}

impl Watch {
    /// Begins at the end of the log.
    pub fn begin() -> Self {
        let log = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
        let log = log.ok().and_then(|mut log| log.seek(SeekFrom::End(0)).is_ok().then_some(log));
        Self { log, tainted: read_number("/proc/sys/kernel/tainted") }
    }

    /// Lines of concern since the last call, and a change of the taint flags.
    pub fn news(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0; 8192];
        while let Some(log) = &mut self.log {
            match log.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let record = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    // A record reads "priority,sequence,time,flags;text", and its continuation lines begin with a space.
                    let text = record.split_once(';').map_or(record.as_str(), |(_, text)| text);
                    let line = text.lines().next().unwrap_or_default();
                    if CONCERN.iter().any(|concern| line.contains(concern)) {
                        lines.push(line.to_owned());
                    }
                }
                // EPIPE: records were overwritten before they were read; the next read goes on behind them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe || error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // The flags change with a warning, and the log says so first.
        if !lines.is_empty() || self.log.is_none() {
            let tainted = read_number("/proc/sys/kernel/tainted");
            if tainted != self.tainted {
                lines.push(format!("the kernel is tainted: {:?}, before {:?}", tainted, self.tainted));
                self.tainted = tainted;
            }
        }
        lines
    }
}
