//! The one place through which every system call on a userfaultfd passes (create, ioctl, read, poll, close), and every other
//! one whose effect on memory that a userfaultfd watches is judged.
//!
//! Nothing here interprets an answer; arguments go in as they are, invalid ones too, because that is what many
//! cases are about. Whoever wants to watch or to pervert what the kernel answers hooks in here.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::ptrace::{self, AddressType};
use nix::unistd::{ForkResult, Pid};
use rustix::fs::SealFlags;

use crate::sys::{self, user_memory};
use crate::{kernel, uapi};

/// A number that is passed as a pointer; it may point nowhere.
pub type Address = usize;

/// `userfaultfd(flags)`: userfaultfd(2).
pub fn create(flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes a number and gives a new descriptor or -1.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_userfaultfd, flags) })?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `ioctl(device, USERFAULTFD_IOC_NEW, flags)` on an open `/dev/userfaultfd`: userfaultfd.rst, "Creating a userfaultfd".
pub fn create_by_device(device: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd, Errno> {
    let fd = ioctl(device, uapi::USERFAULTFD_IOC_NEW, flags as u32 as Address)?;
    // SAFETY: USERFAULTFD_IOC_NEW returns a new descriptor that is ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `ioctl(fd, request, argument)`: ioctl_userfaultfd(2). The argument may be no valid address.
pub fn ioctl(fd: BorrowedFd<'_>, request: u64, argument: Address) -> Result<i32, Errno> {
    // SAFETY: callers pass the address of a structure of the request's size, or an address that no Rust object owns.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request as libc::Ioctl, argument) })
}

/// `read(fd, buffer, length)`: userfaultfd(2), "Reading from the userfaultfd structure". The buffer may be invalid.
pub fn read(fd: BorrowedFd<'_>, buffer: Address, length: usize) -> Result<usize, Errno> {
    // SAFETY: callers pass a buffer of `length` bytes, or an address that no Rust object owns.
    Errno::result(unsafe { libc::read(fd.as_raw_fd(), buffer as *mut libc::c_void, length) }).map(|n| n as usize)
}

/// `preadv2(fd, [buffer], -1, flags)`: a read at the file's position with `RWF_*` flags.
pub fn preadv2(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> Result<usize, Errno> {
    let iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: the vector names one live buffer with its true length.
    Errno::result(unsafe { libc::preadv2(fd.as_raw_fd(), &raw const iov, 1, -1, flags) }).map(|n| n as usize)
}

/// `pread(fd, buffer, offset)`; a userfaultfd has no offset.
pub fn pread(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: i64) -> Result<usize, Errno> {
    // SAFETY: the buffer is live and its length true.
    Errno::result(unsafe { libc::pread(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset) })
        .map(|n| n as usize)
}

/// `write(fd, buffer)`; a userfaultfd is not for writing.
pub fn write(fd: BorrowedFd<'_>, buffer: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is live and its length true.
    Errno::result(unsafe { libc::write(fd.as_raw_fd(), buffer.as_ptr().cast(), buffer.len()) }).map(|n| n as usize)
}

/// `lseek(fd, offset, SEEK_SET)`.
pub fn lseek(fd: BorrowedFd<'_>, offset: i64) -> Result<i64, Errno> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::lseek(fd.as_raw_fd(), offset, libc::SEEK_SET) })
}

/// `poll` on one descriptor: the `revents` of it, 0 when `timeout` (milliseconds, -1 without end) passed.
pub fn poll(fd: BorrowedFd<'_>, events: i16, timeout: i32) -> Result<i16, Errno> {
    let mut pollfd = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one live pollfd is passed with the count 1.
    Errno::result(unsafe { libc::poll(&raw mut pollfd, 1, timeout) })?;
    Ok(pollfd.revents)
}

/// What `select` says of one descriptor: readable, writable, exceptional; it does not wait.
pub fn select(fd: BorrowedFd<'_>) -> Result<(bool, bool, bool), Errno> {
    let raw = fd.as_raw_fd();
    if raw as usize >= libc::FD_SETSIZE {
        return Err(Errno::EBADF);
    }
    // SAFETY: an all-zero fd_set is the empty set.
    let mut sets: [libc::fd_set; 3] = unsafe { std::mem::zeroed() };
    let mut timeout = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let [readable, writable, exceptional] = &mut sets;
    // SAFETY: the descriptor is below FD_SETSIZE and every set is live.
    unsafe {
        libc::FD_SET(raw, readable);
        libc::FD_SET(raw, writable);
        libc::FD_SET(raw, exceptional);
        Errno::result(libc::select(raw + 1, readable, writable, exceptional, &raw mut timeout))?;
        Ok((libc::FD_ISSET(raw, readable), libc::FD_ISSET(raw, writable), libc::FD_ISSET(raw, exceptional)))
    }
}

/// An epoll instance that watches one userfaultfd: epoll(7).
#[derive(Debug)]
pub struct Watcher(Epoll);

impl Watcher {
    /// `epoll_create1` and `epoll_ctl(EPOLL_CTL_ADD)` with these `EPOLL*` bits.
    pub fn new(fd: BorrowedFd<'_>, events: EpollFlags) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(fd, EpollEvent::new(events, 0))?;
        Ok(Self(epoll))
    }

    /// `epoll_wait`, for `timeout` milliseconds: what it reports, nothing when the time passed.
    pub fn wait(&self, timeout: u16) -> Result<Option<EpollFlags>, Errno> {
        let mut events = [EpollEvent::empty(); 2];
        let count = self.0.wait(&mut events, timeout)?;
        Ok((count > 0).then(|| events[0].events()))
    }
}

/// `fcntl(fd, F_GETFL)`: the file status flags.
pub fn status_flags(fd: BorrowedFd<'_>) -> Result<i32, Errno> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })
}

/// `fcntl(fd, F_SETFL, flags)`.
pub fn set_status_flags(fd: BorrowedFd<'_>, flags: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// `fcntl(fd, F_GETFD)`: the descriptor flags.
pub fn descriptor_flags(fd: BorrowedFd<'_>) -> Result<i32, Errno> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) })
}

/// `dup`: a second descriptor of the same userfaultfd.
pub fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory is passed.
    let copy = Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// `close(fd)`; the last reference releases the userfaultfd.
pub fn close(fd: OwnedFd) -> Result<(), Errno> {
    // SAFETY: the descriptor is given up by its owner here.
    Errno::result(unsafe { libc::close(fd.into_raw_fd()) }).map(drop)
}

/// `close(fd)` of a descriptor that another thread may be in a call on, and that nobody uses by this number again.
pub fn close_under_use(fd: BorrowedFd<'static>) -> Result<(), Errno> {
    // SAFETY: the owner was leaked, so nobody closes the number a second time.
    Errno::result(unsafe { libc::close(fd.as_raw_fd()) }).map(drop)
}

/// What `/proc/self/fdinfo` tells of the descriptor: proc_pid_fdinfo(5).
pub fn fdinfo(fd: BorrowedFd<'_>) -> std::io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
}

/// `fork()`, as of [`sys::fork`].
pub fn fork() -> Result<ForkResult, Errno> {
    sys::fork()
}

/// `kill(process, signal)`.
pub fn signal_process(process: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::kill(process, signal) }).map(drop)
}

/// `tgkill(this process, thread, signal)`.
pub fn signal_thread(thread: i32, signal: i32) -> Result<(), Errno> {
    sys::signal_thread(thread, signal)
}

/// `read(file, at, length)` into watched memory.
pub fn read_into(file: BorrowedFd<'_>, at: Address, length: usize) -> Result<usize, Errno> {
    sys::read_into(file, at, length)
}

/// `mlock(start, length)`.
pub fn lock(start: Address, length: usize) -> Result<(), Errno> {
    sys::lock(start, length)
}

/// `madvise(start, length, MADV_POPULATE_READ or MADV_POPULATE_WRITE)`.
pub fn populate(start: Address, length: usize, advice: i32) -> Result<(), Errno> {
    sys::advise(start, length, advice)
}

/// `madvise(start, length, MADV_PAGEOUT)`.
pub fn page_out(start: Address, length: usize) -> Result<(), Errno> {
    sys::advise(start, length, libc::MADV_PAGEOUT)
}

/// `munmap(start, length)`.
pub fn unmap(start: Address, length: usize) -> Result<(), Errno> {
    sys::unmap(start, length)
}

/// `mmap(start, length, protection, flags | MAP_FIXED, file, 0)`.
pub fn map_over(
    start: Address,
    length: usize,
    protection: i32,
    flags: i32,
    file: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    sys::map(start, length, protection, flags | libc::MAP_FIXED, file, 0).map(drop)
}

/// `fcntl(file, F_ADD_SEALS, seals)`.
pub fn add_seals(file: BorrowedFd<'_>, seals: SealFlags) -> Result<(), Errno> {
    rustix::fs::fcntl_add_seals(file, seals).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

/// Has the kernel clear the word when the calling thread ends.
pub fn clear_at_exit(word: Address) {
    user_memory::clear_at_exit(word);
}

/// Has the kernel read the list of locks at `head` when the calling thread ends.
pub fn read_at_exit(head: Address) -> Result<(), Errno> {
    user_memory::read_at_exit(head)
}

/// Ends the process by `SIGABRT`, with a core dump where that is allowed.
pub fn dump_core() -> ! {
    std::process::abort()
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// `pread` of an open `/proc/PID/mem`, whose process it is.
pub fn read_memory(_process: i32, file: &std::fs::File, to: &mut [u8], at: Address) -> Result<usize, Errno> {
    file.read_at(to, at as u64).map_err(|error| errno(&error))
}

/// `pwrite` to an open `/proc/PID/mem`, whose process it is.
pub fn write_memory(_process: i32, file: &std::fs::File, from: &[u8], at: Address) -> Result<usize, Errno> {
    file.write_at(from, at as u64).map_err(|error| errno(&error))
}

/// `PTRACE_PEEKDATA`.
pub fn peek_word(process: i32, at: Address) -> Result<u64, Errno> {
    ptrace::read(Pid::from_raw(process), at as AddressType).map(|word| word as u64)
}

/// `PTRACE_POKEDATA`.
pub fn poke_word(process: i32, at: Address, word: u64) -> Result<(), Errno> {
    ptrace::write(Pid::from_raw(process), at as AddressType, word as i64)
}

/// Writes a file of `/proc/sys`.
pub fn write_setting(path: &str, text: &str) -> Result<(), Errno> {
    std::fs::write(path, text).map_err(|error| errno(&error))
}

/// Reads a file of `/sys`.
pub fn read_attribute(path: &str) -> std::io::Result<String> {
    crate::text::read(path)
}

/// Opens `/dev/userfaultfd` as it stands.
pub fn open_node() -> Result<OwnedFd, Errno> {
    kernel::device::open()
}
