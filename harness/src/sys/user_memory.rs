//! System calls in which the kernel reads or writes a place in memory that a case chose.
//!
//! The places are addresses of the harness's own mappings, mapped or not; none of them is ever a Rust object's.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use crate::gate::Address;

/// A stretch of memory: its first address and its length.
pub type Stretch = (Address, usize);

fn vectors(stretches: &[Stretch]) -> Vec<libc::iovec> {
    stretches.iter().map(|(at, len)| libc::iovec { iov_base: *at as *mut libc::c_void, iov_len: *len }).collect()
}

fn count(result: isize) -> Result<usize, Errno> {
    Errno::result(result).map(|count| count as usize)
}

/// `preadv(fd, to, offset)`, and `readv` without an offset.
pub fn read_vector(fd: BorrowedFd<'_>, to: &[Stretch], offset: Option<i64>) -> Result<usize, Errno> {
    let to = vectors(to);
    let length = to.len() as i32;
    // SAFETY: the kernel writes to mappings of the harness or to nothing.
    count(unsafe {
        match offset {
            Some(offset) => libc::preadv(fd.as_raw_fd(), to.as_ptr(), length, offset),
            None => libc::readv(fd.as_raw_fd(), to.as_ptr(), length),
        }
    })
}

/// `pwritev(fd, from, offset)`, and `writev` without an offset.
pub fn write_vector(fd: BorrowedFd<'_>, from: &[Stretch], offset: Option<i64>) -> Result<usize, Errno> {
    let from = vectors(from);
    let length = from.len() as i32;
    // SAFETY: the kernel only reads there.
    count(unsafe {
        match offset {
            Some(offset) => libc::pwritev(fd.as_raw_fd(), from.as_ptr(), length, offset),
            None => libc::writev(fd.as_raw_fd(), from.as_ptr(), length),
        }
    })
}

/// `vmsplice(pipe, memory)`: into the pipe from the memory at its writing end, the other way at its reading end.
pub fn vmsplice(pipe: BorrowedFd<'_>, (at, len): Stretch) -> Result<usize, Errno> {
    let vector = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: len };
    // SAFETY: one live vector; the place belongs to a mapping of the harness or to nothing.
    count(unsafe { libc::vmsplice(pipe.as_raw_fd(), &raw const vector, 1, 0) })
}

/// `splice(from, to, len)` at the files' own positions.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> Result<usize, Errno> {
    let own = std::ptr::null_mut();
    // SAFETY: no memory is passed.
    count(unsafe { libc::splice(from.as_raw_fd(), own, to.as_raw_fd(), own, len, 0) })
}

/// `process_vm_readv(process, remote)`: what came, and the call's count.
pub fn process_vm_read(process: i32, (at, len): Stretch) -> (Result<usize, Errno>, Vec<u8>) {
    let mut bytes = vec![0; len];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
    let remote = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: len };
    // SAFETY: one live buffer of the length given; the remote place is only read.
    let result = count(unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) });
    (result, bytes)
}

/// `process_vm_writev(process, remote)`: the call's count.
pub fn process_vm_write(process: i32, at: Address, bytes: &[u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the local buffer is only read; the remote place belongs to a mapping of the harness or to nothing.
    count(unsafe { libc::process_vm_writev(process, &raw const local, 1, &raw const remote, 1, 0) })
}

/// `futex(word, FUTEX_WAIT, value)` with a timeout of 0; shared between processes or private to this one.
pub fn futex_compare(word: Address, value: u32, private: bool) -> Result<usize, Errno> {
    let flag = if private { libc::FUTEX_PRIVATE_FLAG } else { 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel only reads the word.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT | flag, value, &raw const now) };
    Errno::result(result).map(|count| count as usize)
}

/// `futex(FUTEX_WAKE_OP)` that stores `word | 0` in the word and wakes nobody: futex(2).
pub fn futex_or_nothing(word: Address) -> Result<usize, Errno> {
    let other = 0_u32;
    let operation: i32 = libc::FUTEX_OP_OR << 28;
    let call = libc::FUTEX_WAKE_OP | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: one word is live, the other belongs to a mapping of the harness or to nothing.
    let result = unsafe { libc::syscall(libc::SYS_futex, &raw const other, call, 1, 1_usize, word, operation) };
    Errno::result(result).map(|count| count as usize)
}

/// `set_tid_address(word)`: the kernel clears the word when the calling thread ends.
pub fn clear_at_exit(word: Address) {
    // SAFETY: the word belongs to a mapping of the harness or to nothing; the kernel tolerates both.
    unsafe { libc::syscall(libc::SYS_set_tid_address, word) };
}

/// `set_robust_list(head)`: the kernel reads the list when the calling thread ends.
pub fn read_at_exit(head: Address) -> Result<(), Errno> {
    // SAFETY: the kernel only reads there, when nothing of the thread runs any more.
    Errno::result(unsafe { libc::syscall(libc::SYS_set_robust_list, head, 24_usize) }).map(drop)
}
