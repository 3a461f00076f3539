//! The kernel log and the taint flags while cases run: a warning or an oops fails the case during which it came.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::kernel::machine::read_number;

/// How a line of concern begins: `Documentation/admin-guide/bug-hunting.rst` and the tools that print them.
///
/// Not what it holds: `segfault`s and the like tell of a process under a name that anybody may choose.
const CONCERN: [&str; 22] = [
    "------------[ cut here ]------------",
    "WARNING:",
    "BUG:",
    "BUG ",
    "kernel BUG at",
    "Kernel BUG at",
    "Oops",
    "Internal error:",
    "Unable to handle kernel",
    "Unhandled fault",
    "general protection fault",
    "double fault",
    "stack segment:",
    "invalid opcode:",
    "divide error:",
    "UBSAN:",
    "KASAN:",
    "kmemleak:",
    "watchdog: BUG:",
    "rcu: INFO:",
    "INFO: task",
    "INFO: possible",
];

/// `LOG_KERN`: syslog(3).
const KERNEL: u64 = 0;
/// `LOG_INFO`: syslog(3).
const INFO: u64 = 6;

const LOG: &str = "/dev/kmsg";
const TAINTED: &str = "/proc/sys/kernel/tainted";

/// Follows the kernel log, where it may be read, and the taint flags.
#[derive(Debug)]
pub struct Watch {
    log: Option<File>,
    unwatched: Option<String>,
    flags: PathBuf,
    tainted: Option<u64>,
}

impl Watch {
    /// Begins at the end of this machine's log.
    pub fn begin() -> Self {
        let log = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(LOG);
        let log = log.and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log));
        let unwatched = log.as_ref().err().map(|error| {
            format!("{LOG}: {error}; warnings of the kernel show by its taint flags only: run as root, with CAP_SYSLOG")
        });
        Self { unwatched, ..Self::of(log.ok(), PathBuf::from(TAINTED)) }
    }

    /// Follows a log whose reads give one record each and do not block, and a file that holds the flags.
    pub fn of(log: Option<File>, flags: PathBuf) -> Self {
        let tainted = read_number(&flags);
        Self { log, unwatched: None, flags, tainted }
    }

    /// Why the log is not watched, if it is not.
    pub fn unwatched(&self) -> Option<&str> {
        self.unwatched.as_deref()
    }

    /// Lines of concern since the last call, and a change of the taint flags.
    pub fn news(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0; 8192];
        while let Some(log) = &mut self.log {
            match log.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => lines.extend(concern(&String::from_utf8_lossy(&buffer[..count])).map(str::to_owned)),
                // EPIPE: records were overwritten before they were read; the next read goes on behind them.
                Err(error) if error.kind() == ErrorKind::BrokenPipe || error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let tainted = read_number(&self.flags);
        if tainted != self.tainted {
            let value = |flags: Option<u64>| flags.map_or_else(|| "unknown".to_owned(), |flags| flags.to_string());
            lines.push(format!("the kernel is tainted: {}, before {}", value(tainted), value(self.tainted)));
            self.tainted = tainted;
        }
        lines
    }
}

/// The line of a record, if it is one of concern: `Documentation/ABI/testing/dev-kmsg`.
///
/// A record reads "priority,sequence,time,flags;text", and its continuation lines begin with a space. What a process writes
/// into the log never has the facility of the kernel; what the kernel only informs of is no defect.
fn concern(record: &str) -> Option<&str> {
    let (header, text) = record.split_once(';')?;
    let priority: u64 = header.split(',').next()?.parse().ok()?;
    let line = text.lines().next()?;
    let is_kernels = priority >> 3 == KERNEL && priority & 7 < INFO;
    (is_kernels && CONCERN.iter().any(|concern| line.starts_with(concern))).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::concern;

    /// As kernels from 5.10 to 7.x wrote them.
    const DEFECTS: [&str; 14] = [
        "4,1041,97000123,-;------------[ cut here ]------------\n",
        "4,1042,97000124,-;WARNING: CPU: 1 PID: 214 at mm/userfaultfd.c:1512 move_pages+0x1a4/0xd60\n",
        "4,1042,97000124,-,caller=T214;WARNING: mm/userfaultfd.c:1512 at move_pages+0x1a4/0xd60, CPU#1: uffd/214\n",
        "2,900,5123,-;kernel BUG at mm/hugetlb.c:5661!\n",
        "1,901,5124,-;BUG: kernel NULL pointer dereference, address: 0000000000000010\n SUBSYSTEM=memory\n",
        "4,902,5125,-;Oops: 0002 [#1] PREEMPT SMP NOPTI\n",
        "4,903,5126,-;general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP\n",
        "3,904,5127,-;BUG: KASAN: slab-use-after-free in userfaultfd_release+0x1f0/0x3a0\n",
        "3,905,5128,-;UBSAN: shift-out-of-bounds in mm/userfaultfd.c:88:12\n",
        "4,906,5129,-;WARNING: possible circular locking dependency detected\n",
        "3,907,5130,-;INFO: task uffd-conformanc:4711 blocked for more than 122 seconds.\n",
        "3,908,5131,-;BUG: Bad page state in process uffd-conformanc  pfn:1a2b3\n",
        "0,909,5132,-;watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [uffd-conformanc:99]\n",
        "1,910,5133,-;Unable to handle kernel paging request at virtual address ffff800012345678\n",
    ];

    /// Of no concern: what processes write or are called, and what the kernel says of them.
    const OTHERS: [&str; 9] = [
        "12,1100,98000000,-;WARNING: CPU: 0 PID: 1 at forged.c:1\n",
        "28,1101,98000001,-;systemd[1]: BUG: nothing of the kernel's\n",
        "6,1102,98000002,-;WARNING:[4711]: segfault at 0 ip 0000000000401136 sp 00007ffd error 6 in a[401000+1000]\n",
        "6,1103,98000003,-;traps: jvm[812] general protection fault ip:7f12 sp:7ffd error:0 in libjvm.so[7f12+1]\n",
        "4,1104,98000004,-;uffd-conformanc invoked oom-killer: gfp_mask=0x100cca, order=0, oom_score_adj=1000\n",
        "5,1105,98000005,-;Linux version 6.18.44 (WARNING: BUG: Oops)\n",
        " SUBSYSTEM=memory\n",
        "x,1,2,-;BUG: no number\n",
        "",
    ];

    #[test]
    fn defects_of_the_kernel_are_told() {
        for record in DEFECTS {
            let line = concern(record).unwrap_or_else(|| panic!("{record}"));
            assert!(record.contains(line) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for record in OTHERS {
            assert_eq!(concern(record), None);
        }
    }
}
