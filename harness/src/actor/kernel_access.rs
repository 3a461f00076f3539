//! Calls in which the kernel itself touches a page: what userfaultfd(2) calls faults that originate from the kernel.

use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags};

use crate::error::Named as _;
use crate::gate::Address;
use crate::memory::{Memory, Pattern};
use crate::need::Need;
use crate::sys::uring::{self, Ring};
use crate::sys::user_memory as memory;
use crate::{Errno, Error, Result, gate, sys};

/// A call in which the kernel reads or writes a page of user memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelAccess {
    /// `read` of a memfd into the page.
    Read,
    /// `readv` of a memfd into a populated buffer and then the page.
    Readv,
    /// `preadv` of a memfd into the page.
    Preadv,
    /// `read` of a pipe into the page.
    PipeRead,
    /// `vmsplice` of a pipe into the page.
    VmspliceTo,
    /// `read` of a file with `O_DIRECT` into the page.
    DirectRead,
    /// `IORING_OP_RECV` of a socket into the page.
    UringRecv,
    /// `FUTEX_WAIT`, shared between processes, with another value than the page's first word.
    FutexWaitShared,
    /// `FUTEX_WAKE_OP` on the page's first word.
    FutexWakeOp,
    /// `process_vm_writev` to the page.
    ProcessVmWritev,
    /// `write` to `/proc/PID/mem`.
    ProcMemWrite,
    /// `PTRACE_POKEDATA`.
    PtracePoke,
    /// `madvise(MADV_POPULATE_WRITE)`.
    PopulateWrite,
    /// `mlock` of a private writable mapping.
    Mlock,
    /// `write` of the page to a memfd.
    Write,
    /// `writev` of a populated buffer and then the page to a memfd.
    Writev,
    /// `pwritev` of the page to a memfd.
    Pwritev,
    /// `write` of the page to a pipe.
    PipeWrite,
    /// `vmsplice` of the page into a pipe, and `splice` from there to a memfd.
    VmspliceFrom,
    /// `write` of the page to a file with `O_DIRECT`.
    DirectWrite,
    /// `IORING_OP_SEND` of the page to a socket.
    UringSend,
    /// `FUTEX_WAIT`, private to the process, with another value than the page's first word.
    FutexWait,
    /// `process_vm_readv` of the page.
    ProcessVmReadv,
    /// `read` of `/proc/PID/mem`.
    ProcMemRead,
    /// `PTRACE_PEEKDATA`.
    PtracePeek,
    /// `madvise(MADV_POPULATE_READ)`.
    PopulateRead,
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it returned.
    pub result: Result<usize, Errno>,
    /// What it took out of the page, if it hands that on.
    pub taken: Option<Vec<u8>>,
}

/// What a call that delivers bytes to the page delivers.
pub const DELIVERED: Pattern = Pattern::new(0xde);

/// The bytes that `readv` and `writev` pass before they come to the page.
pub const BEFORE: usize = 64;

/// The bytes that ptrace passes: one word.
const WORD: usize = 8;

impl KernelAccess {
    /// Every call.
    pub const ALL: [Self; 26] = [
        Self::Read,
        Self::Readv,
        Self::Preadv,
        Self::PipeRead,
        Self::VmspliceTo,
        Self::DirectRead,
        Self::UringRecv,
        Self::FutexWaitShared,
        Self::FutexWakeOp,
        Self::ProcessVmWritev,
        Self::ProcMemWrite,
        Self::PtracePoke,
        Self::PopulateWrite,
        Self::Mlock,
        Self::Write,
        Self::Writev,
        Self::Pwritev,
        Self::PipeWrite,
        Self::VmspliceFrom,
        Self::DirectWrite,
        Self::UringSend,
        Self::FutexWait,
        Self::ProcessVmReadv,
        Self::ProcMemRead,
        Self::PtracePeek,
        Self::PopulateRead,
    ];

    /// The name in case names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Readv => "readv",
            Self::Preadv => "preadv",
            Self::PipeRead => "pipe-read",
            Self::VmspliceTo => "vmsplice-to",
            Self::DirectRead => "direct-read",
            Self::UringRecv => "uring-recv",
            Self::FutexWaitShared => "futex-wait-shared",
            Self::FutexWakeOp => "futex-wake-op",
            Self::ProcessVmWritev => "process-vm-writev",
            Self::ProcMemWrite => "proc-mem-write",
            Self::PtracePoke => "ptrace-poke",
            Self::PopulateWrite => "populate-write",
            Self::Mlock => "mlock",
            Self::Write => "write",
            Self::Writev => "writev",
            Self::Pwritev => "pwritev",
            Self::PipeWrite => "pipe-write",
            Self::VmspliceFrom => "vmsplice-from",
            Self::DirectWrite => "direct-write",
            Self::UringSend => "uring-send",
            Self::FutexWait => "futex-wait",
            Self::ProcessVmReadv => "process-vm-readv",
            Self::ProcMemRead => "proc-mem-read",
            Self::PtracePeek => "ptrace-peek",
            Self::PopulateRead => "populate-read",
        }
    }

    /// Whether the kernel takes the page for writing (`UFFD_PAGEFAULT_FLAG_WRITE`), else only for reading.
    pub const fn writes(self) -> bool {
        !matches!(
            self,
            Self::Write
                | Self::Writev
                | Self::Pwritev
                | Self::PipeWrite
                | Self::VmspliceFrom
                | Self::DirectWrite
                | Self::UringSend
                | Self::FutexWait
                | Self::ProcessVmReadv
                | Self::ProcMemRead
                | Self::PtracePeek
                | Self::PopulateRead
        )
    }

    /// Whether the kernel may wait for the page in this call at all.
    ///
    /// It may not where it looks the page up without `FAULT_FLAG_ALLOW_RETRY`; no document says so.
    pub const fn waits(self) -> bool {
        !matches!(
            self,
            Self::FutexWakeOp | Self::ProcMemRead | Self::ProcMemWrite | Self::PtracePeek | Self::PtracePoke
        )
    }

    /// How many bytes of the page the call delivers ([`DELIVERED`]) or takes when it is asked for `len`.
    pub const fn passes(self, len: usize) -> usize {
        match self {
            Self::FutexWaitShared
            | Self::FutexWakeOp
            | Self::PopulateWrite
            | Self::Mlock
            | Self::FutexWait
            | Self::PopulateRead => 0,
            Self::PtracePeek | Self::PtracePoke => WORD,
            _ => len,
        }
    }

    /// What the call gives for `len` bytes when nothing is in its way.
    pub const fn completes(self, len: usize) -> Result<usize, Errno> {
        match self {
            // The word has another value than the one that the caller expects.
            Self::FutexWait | Self::FutexWaitShared => Err(Errno::EAGAIN),
            Self::Readv | Self::Writev => Ok(BEFORE + len),
            _ => Ok(self.passes(len)),
        }
    }

    /// What the call gives when the kernel may not wait for the page.
    pub const fn refused(self) -> Result<usize, Errno> {
        match self {
            Self::Readv | Self::Writev => Ok(BEFORE),
            Self::Mlock => Err(Errno::ENOMEM),
            Self::ProcMemRead | Self::ProcMemWrite | Self::PtracePeek | Self::PtracePoke => Err(Errno::EIO),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Makes the call on `len` bytes at `at` in this process: at most a base page, and all of it for `O_DIRECT`.
    pub fn make(self, at: Address, len: usize) -> Result<Made> {
        self.make_in(std::process::id() as i32, at, len)
    }

    /// The same in the memory of another process, for the calls that reach there.
    pub fn make_in(self, process: i32, at: Address, len: usize) -> Result<Made> {
        let given = |result| Ok(Made { result, taken: None });
        match self {
            Self::Read => given(gate::read_into(source()?.as_fd(), at, len)),
            Self::Readv => {
                let header = Memory::Anon.map(1)?;
                DELIVERED.fill(header.start(), BEFORE);
                let file = sys::memfd(libc::MFD_CLOEXEC).named("memfd_create")?;
                let bytes = [vec![0; BEFORE], DELIVERED.bytes(len)].concat();
                rustix::io::pwrite(&file, &bytes, 0).named("pwrite")?;
                given(memory::read_vector(file.as_fd(), &[(header.start(), BEFORE), (at, len)], None))
            }
            Self::Preadv => given(memory::read_vector(source()?.as_fd(), &[(at, len)], Some(0))),
            Self::PipeRead => given(gate::read_into(filled_pipe(len)?.0.as_fd(), at, len)),
            Self::VmspliceTo => given(memory::vmsplice(filled_pipe(len)?.0.as_fd(), (at, len))),
            Self::DirectRead => {
                let file = direct_file()?;
                let own = Memory::Anon.map(1)?;
                own.page(0).fill(DELIVERED);
                sys::write_from(file.as_fd(), own.start(), own.len()).named("write to a file with O_DIRECT")?;
                given(memory::read_vector(file.as_fd(), &[(at, len)], Some(0)))
            }
            Self::UringRecv => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair().named("socketpair")?;
                rustix::io::write(&theirs, &DELIVERED.bytes(len)).named("write to a socket")?;
                given(Ring::new().named("io_uring_setup")?.request(uring::RECV, ours.as_fd(), (at, len)))
            }
            Self::FutexWaitShared | Self::FutexWait => {
                given(memory::futex_compare(at, 0x5eed, self == Self::FutexWait))
            }
            Self::FutexWakeOp => given(memory::futex_or_nothing(at)),
            Self::ProcessVmWritev => given(memory::process_vm_write(process, at, &DELIVERED.bytes(len))),
            Self::ProcMemWrite => {
                let file = std::fs::OpenOptions::new().write(true).open(format!("/proc/{process}/mem"));
                let file = file.named("open(/proc/PID/mem)")?;
                given(gate::write_memory(process, &file, &DELIVERED.bytes(len), at))
            }
            Self::PtracePeek | Self::PtracePoke => self.trace(process, at),
            Self::PopulateWrite => given(gate::populate(at, len, libc::MADV_POPULATE_WRITE).map(|()| 0)),
            Self::PopulateRead => given(gate::populate(at, len, libc::MADV_POPULATE_READ).map(|()| 0)),
            Self::Mlock => given(gate::lock(at, len).map(|()| 0)),
            Self::Write | Self::Writev | Self::Pwritev | Self::DirectWrite => self.write_to_file(at, len),
            Self::PipeWrite | Self::VmspliceFrom => self.write_to_pipe(at, len),
            Self::UringSend => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair().named("socketpair")?;
                let result = Ring::new().named("io_uring_setup")?.request(uring::SEND, ours.as_fd(), (at, len));
                let mut taken = vec![0; result.unwrap_or(0)];
                if !taken.is_empty() {
                    rustix::io::read(&theirs, &mut taken).named("read of a socket")?;
                }
                Ok(Made { result, taken: Some(taken) })
            }
            Self::ProcessVmReadv => {
                let (result, mut taken) = memory::process_vm_read(process, (at, len));
                taken.truncate(result.unwrap_or(0));
                Ok(Made { result, taken: Some(taken) })
            }
            Self::ProcMemRead => {
                let file = std::fs::File::open(format!("/proc/{process}/mem")).named("open(/proc/PID/mem)")?;
                let mut taken = vec![0; len];
                let result = gate::read_memory(process, &file, &mut taken, at);
                taken.truncate(result.unwrap_or(0));
                Ok(Made { result, taken: Some(taken) })
            }
        }
    }

    fn write_to_file(self, at: Address, len: usize) -> Result<Made> {
        let file = if self == Self::DirectWrite {
            direct_file()?
        } else {
            sys::memfd(libc::MFD_CLOEXEC).named("memfd_create")?
        };
        let header = Memory::Anon.map(1)?;
        header.page(0).fill(DELIVERED);
        let (result, from) = match self {
            Self::Writev => (memory::write_vector(file.as_fd(), &[(header.start(), BEFORE), (at, len)], None), BEFORE),
            Self::Pwritev => (memory::write_vector(file.as_fd(), &[(at, len)], Some(0)), 0),
            _ => (sys::write_from(file.as_fd(), at, len), 0),
        };
        // Read by a page of our own, which O_DIRECT wants aligned.
        let taken = result.unwrap_or(0).saturating_sub(from);
        if taken > 0 {
            memory::read_vector(file.as_fd(), &[(header.start(), taken)], Some(from as i64)).named("preadv")?;
        }
        Ok(Made { result, taken: Some(sys::bytes_at(header.start(), taken)) })
    }

    fn write_to_pipe(self, at: Address, len: usize) -> Result<Made> {
        let (out, into) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).named("pipe2")?;
        if self == Self::PipeWrite {
            let result = sys::write_from(into.as_fd(), at, len);
            let mut taken = vec![0; result.unwrap_or(0)];
            if !taken.is_empty() {
                rustix::io::read(&out, &mut taken).named("read of a pipe")?;
            }
            return Ok(Made { result, taken: Some(taken) });
        }
        let result = memory::vmsplice(into.as_fd(), (at, len));
        let mut taken = vec![0; result.unwrap_or(0)];
        if !taken.is_empty() {
            let file = sys::memfd(libc::MFD_CLOEXEC).named("memfd_create")?;
            memory::splice(out.as_fd(), file.as_fd(), taken.len()).named("splice")?;
            rustix::io::pread(&file, &mut taken, 0).named("pread")?;
        }
        Ok(Made { result, taken: Some(taken) })
    }

    fn trace(self, process: i32, at: Address) -> Result<Made> {
        let pid = Pid::from_raw(process);
        ptrace::seize(pid, ptrace::Options::empty()).named("ptrace(PTRACE_SEIZE)")?;
        ptrace::interrupt(pid).named("ptrace(PTRACE_INTERRUPT)")?;
        waitpid(pid, Some(WaitPidFlag::__WALL)).named("waitpid")?;
        let made = if self == Self::PtracePoke {
            let result = gate::poke_word(process, at, DELIVERED.word(0));
            Made { result: result.map(|()| WORD), taken: None }
        } else {
            let result = gate::peek_word(process, at);
            let taken = result.map_or_else(|_| Vec::new(), |word| word.to_ne_bytes().to_vec());
            Made { result: result.map(|_| WORD), taken: Some(taken) }
        };
        ptrace::detach(pid, None).named("ptrace(PTRACE_DETACH)")?;
        Ok(made)
    }
}

/// A memfd that holds [`DELIVERED`], one base page of it.
fn source() -> Result<OwnedFd> {
    let file = sys::memfd(libc::MFD_CLOEXEC).named("memfd_create")?;
    rustix::io::pwrite(&file, &DELIVERED.bytes(sys::page_size()), 0).named("pwrite")?;
    Ok(file)
}

/// A pipe that holds `len` bytes of [`DELIVERED`].
fn filled_pipe(len: usize) -> Result<(OwnedFd, OwnedFd)> {
    let (out, into) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).named("pipe2")?;
    rustix::io::write(&into, &DELIVERED.bytes(len)).named("write to a pipe")?;
    Ok((out, into))
}

/// An unnamed file with `O_DIRECT` on a file system that does not only pretend (tmpfs copies all the same).
pub(crate) fn direct_file() -> Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::DIRECT;
    ["/var/tmp", "/tmp", ".", "/root"]
        .into_iter()
        .filter(|folder| rustix::fs::statfs(*folder).is_ok_and(|fs| fs.f_type != libc::TMPFS_MAGIC))
        .find_map(|folder| rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).ok())
        .ok_or_else(|| {
            Error::Machine(
                "no writable file system with O_DIRECT at /var/tmp, /tmp or here: run in a folder of one".to_owned(),
            )
        })
}

impl crate::case::Axis for KernelAccess {
    fn axis(&self) -> &'static str {
        "call"
    }
    fn value(&self) -> String {
        self.name().to_owned()
    }
    fn needs(&self) -> Vec<Need> {
        match self {
            Self::PopulateRead | Self::PopulateWrite => vec![Need::Populate],
            Self::UringRecv | Self::UringSend => vec![Need::IoUring],
            Self::DirectRead | Self::DirectWrite => vec![Need::DirectFile],
            _ => Vec::new(),
        }
    }
}
