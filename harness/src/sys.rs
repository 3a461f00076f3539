//! System calls on memory and threads that the harness makes for itself, as safe functions.
//!
//! The addresses taken here belong to mappings that the harness made outside Rust's allocator and to which no
//! reference is ever held; an access that faults ends the case's own process, as its verdict then says.

pub mod sysv;
pub mod thread;
pub mod uring;
pub mod user_memory;

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use crate::gate::Address;

/// `mmap(hint, length, protection, flags, fd, offset)`: the address. `MAP_FIXED` replaces what lies there.
pub fn map(
    hint: Address,
    length: usize,
    protection: i32,
    flags: i32,
    fd: Option<BorrowedFd<'_>>,
    offset: u64,
) -> Result<Address, Errno> {
    let fd = fd.map_or(-1, |fd| fd.as_raw_fd());
    // SAFETY: a new mapping, or with MAP_FIXED one in place of a mapping of the harness.
    let at = unsafe { libc::mmap(hint as *mut libc::c_void, length, protection, flags, fd, offset as libc::off_t) };
    if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(at as Address) }
}

/// `map_shadow_stack(0, length, 0)`: the address; x86 since 6.6.
pub fn map_shadow_stack(length: usize) -> Result<Address, Errno> {
    const SYS_MAP_SHADOW_STACK: libc::c_long = 453;
    // SAFETY: a new mapping at a place that is free.
    Errno::result(unsafe { libc::syscall(SYS_MAP_SHADOW_STACK, 0, length, 0) }).map(|at| at as Address)
}

/// `munmap(start, length)`.
pub fn unmap(start: Address, length: usize) -> Result<(), Errno> {
    // SAFETY: the range belongs to a mapping of the harness.
    Errno::result(unsafe { libc::munmap(start as *mut libc::c_void, length) }).map(drop)
}

/// `mprotect(start, length, protection)`.
pub fn protect(start: Address, length: usize, protection: i32) -> Result<(), Errno> {
    // SAFETY: the range belongs to a mapping of the harness.
    Errno::result(unsafe { libc::mprotect(start as *mut libc::c_void, length, protection) }).map(drop)
}

/// `madvise(start, length, advice)`.
pub fn advise(start: Address, length: usize, advice: i32) -> Result<(), Errno> {
    // SAFETY: the range belongs to a mapping of the harness.
    Errno::result(unsafe { libc::madvise(start as *mut libc::c_void, length, advice) }).map(drop)
}

/// `mremap(start, old, new, flags, target)`: the new address; `target` counts with `MREMAP_FIXED` or `MREMAP_DONTUNMAP`.
pub fn remap(start: Address, old: usize, new: usize, flags: i32, target: Address) -> Result<Address, Errno> {
    // SAFETY: the range belongs to a mapping of the harness, and so does the target.
    let at = unsafe { libc::mremap(start as *mut libc::c_void, old, new, flags, target as *mut libc::c_void) };
    if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(at as Address) }
}

/// `mlock(start, length)`.
pub fn lock(start: Address, length: usize) -> Result<(), Errno> {
    // SAFETY: the range belongs to a mapping of the harness; locking changes no content.
    Errno::result(unsafe { libc::mlock(start as *const libc::c_void, length) }).map(drop)
}

/// `mincore` of one page: whether it is resident (for a shared file page: whether the page cache has it).
pub fn resident(page: Address) -> Result<bool, Errno> {
    let mut one = [0_u8];
    // SAFETY: one byte for the one page that is asked for.
    Errno::result(unsafe { libc::mincore(page as *mut libc::c_void, 1, one.as_mut_ptr()) })?;
    Ok(one[0] & 1 == 1)
}

/// One volatile load of eight bytes at an address that is a multiple of eight.
pub fn load(at: Address) -> u64 {
    // SAFETY: an aligned word of a mapping of the harness; if it is not there the case's process dies of it.
    unsafe { std::ptr::read_volatile(at as *const u64) }
}

/// One volatile store of eight bytes at an address that is a multiple of eight.
pub fn store(at: Address, value: u64) {
    // SAFETY: as in `load`.
    unsafe { std::ptr::write_volatile(at as *mut u64, value) }
}

/// One volatile load of a byte, at any address.
pub fn load_byte(at: Address) -> u8 {
    // SAFETY: as in `load`.
    unsafe { std::ptr::read_volatile(at as *const u8) }
}

/// One volatile store of a byte, at any address.
pub fn store_byte(at: Address, value: u8) {
    // SAFETY: as in `load`.
    unsafe { std::ptr::write_volatile(at as *mut u8, value) }
}

/// Writes `words` words from `at`: `first`, and each by `step` more than the one before; no other thread may be writing there.
pub fn fill_words(at: Address, words: usize, first: u64, step: u64) {
    let mut word = first;
    for index in 0..words {
        // SAFETY: words of a mapping of the harness (unaligned sources are allowed).
        unsafe { (at as *mut u64).add(index).write_unaligned(word) };
        word = word.wrapping_add(step);
    }
}

/// The first of `words` words from `at` that is not as [`fill_words`] writes it: its index and value.
pub fn differing_word(at: Address, words: usize, first: u64, step: u64) -> Option<(usize, u64)> {
    // Compared as a whole first: much of a run's time is spent here.
    const CHUNK: usize = 512;
    // SAFETY: words of a mapping of the harness.
    let found = |index: usize| unsafe { (at as *const u64).add(index).read_unaligned() };
    let mut expected = first;
    for begin in (0..words).step_by(CHUNK) {
        let end = words.min(begin + CHUNK);
        let (mut word, mut differing) = (expected, 0);
        for index in begin..end {
            differing |= found(index) ^ word;
            word = word.wrapping_add(step);
        }
        if differing != 0 {
            for index in begin..end {
                if found(index) != expected {
                    return Some((index, found(index)));
                }
                expected = expected.wrapping_add(step);
            }
        }
        expected = word;
    }
    None
}

/// `read(fd, at, length)` into mapped memory, valid or not.
pub fn read_into(fd: BorrowedFd<'_>, at: Address, length: usize) -> Result<usize, Errno> {
    // SAFETY: the address belongs to a mapping of the harness or to nothing.
    Errno::result(unsafe { libc::read(fd.as_raw_fd(), at as *mut libc::c_void, length) }).map(|n| n as usize)
}

/// `write(fd, at, length)` from mapped memory, valid or not.
pub fn write_from(fd: BorrowedFd<'_>, at: Address, length: usize) -> Result<usize, Errno> {
    // SAFETY: the kernel only reads there.
    Errno::result(unsafe { libc::write(fd.as_raw_fd(), at as *const libc::c_void, length) }).map(|n| n as usize)
}

/// The `length` bytes at `at`.
pub fn bytes_at(at: Address, length: usize) -> Vec<u8> {
    (at..at + length).map(load_byte).collect()
}

/// `memfd_create(name, flags)`.
pub fn memfd(flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a constant C string.
    let fd = Errno::result(unsafe { libc::memfd_create(c"uffd-conformance".as_ptr(), flags) })?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The id of the calling thread.
pub fn thread_id() -> i32 {
    // SAFETY: no memory is passed.
    unsafe { libc::gettid() }
}

/// `futex(FUTEX_WAIT)`: sleeps while `word` holds `value`, for `nanoseconds` at most, across processes too.
pub fn futex_wait(word: &std::sync::atomic::AtomicU32, value: u32, nanoseconds: i64) {
    let timeout = libc::timespec { tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 };
    // SAFETY: the word is live for the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const timeout) };
}

/// `futex(FUTEX_WAKE)`: wakes every sleeper on `word`.
pub fn futex_wake(word: &std::sync::atomic::AtomicU32) {
    // SAFETY: the word is live for the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Has all threads to come allocate from one heap: one of its own, set up and torn down, is most of what an actor costs.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is passed; threads that allocate already keep theirs.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// The size of a base page in bytes.
pub fn page_size() -> usize {
    // SAFETY: no memory is passed.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// `tgkill(this process, thread, signal)`.
pub fn signal_thread(thread: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) }).map(drop)
}

/// Forks a child that does nothing but exit, and waits for it; the fork is made in `SYS_clone`.
///
/// glibc's `fork` holds malloc's locks while the kernel forks, so nothing else of the process could go on while it waits there.
pub fn fork_and_exit() -> Result<(), Errno> {
    // SAFETY: a copy of the process without a stack of its own, as fork(2) makes it; the child makes one system call.
    let child = Errno::result(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })?;
    if child == 0 {
        exit_now(0);
    }
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child as i32), None).map(drop)
}

/// `fork()`. Cases and keepers are forked while the process has one thread; actors are forked by cases.
pub fn fork() -> Result<nix::unistd::ForkResult, Errno> {
    // SAFETY: callers have one thread, or the child only does what glibc's fork keeps usable (it holds malloc's locks).
    unsafe { nix::unistd::fork() }
}

/// `_exit(status)`: nothing of the parent's is flushed or dropped twice.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: the call does not return.
    unsafe { libc::_exit(status) }
}

/// Ends the calling thread alone, without running anything more of it.
pub fn exit_thread() -> ! {
    // SAFETY: the thread holds no lock; its stack stays mapped until the process ends.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("SYS_exit does not return")
}

/// Closes every descriptor of the process but these.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) {
    let last = i32::try_from(nix::unistd::sysconf(nix::unistd::SysconfVar::OPEN_MAX).ok().flatten().unwrap_or(1024));
    for fd in 0..last.unwrap_or(1024).min(4096) {
        if keep.iter().all(|kept| kept.as_raw_fd() != fd) {
            // SAFETY: the forked child uses none of them any more.
            unsafe { libc::close(fd) };
        }
    }
}

/// Memory that forked processes share with this one; it lives until the process ends.
pub fn shared<T: Sync>(value: T) -> Result<&'static T, Errno> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let at = map(0, size_of::<T>(), libc::PROT_READ | libc::PROT_WRITE, flags, None, 0)? as *mut T;
    // SAFETY: a fresh mapping, aligned to a page and large enough, that nobody unmaps.
    unsafe {
        at.write(value);
        Ok(&*at)
    }
}

/// What a signal told: `siginfo_t`, sigaction(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    /// `si_signo`
    pub signal: i32,
    /// `si_code`
    pub code: i32,
    /// `si_addr`
    pub address: usize,
    /// `si_addr_lsb` of a `SIGBUS` for a poisoned page, else what lies there.
    pub address_lsb: i16,
}

/// Who is told of a SIGBUS or SIGSEGV; it runs in the signal handler and may only do what signal-safety(7) allows.
static ON_FAULT: std::sync::OnceLock<fn(SignalInfo)> = std::sync::OnceLock::new();

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO; si_addr_lsb follows si_addr in it.
    let info = unsafe {
        let address = (*info).si_addr();
        let lsb = info.cast::<u8>().add(16 + size_of::<usize>()).cast::<i16>().read_unaligned();
        SignalInfo { signal, code: (*info).si_code, address: address as usize, address_lsb: lsb }
    };
    if let Some(tell) = ON_FAULT.get() {
        tell(info);
    }
    // Not an actor's: die of it as if there were no handler.
    // SAFETY: restoring the default action; the faulting instruction runs again.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Has `tell` called on each SIGBUS and SIGSEGV that a thread of this process causes.
pub fn catch_faults(tell: fn(SignalInfo)) -> Result<(), Errno> {
    let _ = ON_FAULT.set(tell);
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: an all-zero sigaction is valid; the handler lives for ever.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            Errno::result(libc::sigaction(signal, &raw const action, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// Installs a handler that does nothing for `signal`, with or without `SA_RESTART`.
pub fn catch_and_ignore(signal: i32, restart: bool) -> Result<(), Errno> {
    extern "C" fn nothing(_signal: i32) {}
    // SAFETY: an all-zero sigaction is valid; the handler lives for ever and does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        Errno::result(libc::sigaction(signal, &raw const action, std::ptr::null_mut())).map(drop)
    }
}

/// How many signals the handler of [`count_signals`] has run for.
static SIGNALS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Installs a handler for `signal` that only counts, with or without `SA_RESTART`: [`signals_counted`].
pub fn count_signals(signal: i32, restart: bool) -> Result<(), Errno> {
    extern "C" fn count(_signal: i32) {
        SIGNALS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    // SAFETY: an all-zero sigaction is valid; the handler lives for ever and only adds to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        Errno::result(libc::sigaction(signal, &raw const action, std::ptr::null_mut())).map(drop)
    }
}

/// How often the handler of [`count_signals`] has run.
pub fn signals_counted() -> u32 {
    SIGNALS.load(std::sync::atomic::Ordering::Relaxed)
}

/// The name under which [`exec_self_and_hold`] starts this program again.
const HOLD: &std::ffi::CStr = c"uffd-conformance-hold";

/// Replaces the process by a fresh copy of this program that only waits for the end of its standard input.
///
/// Gives the errno if `execve` fails.
pub fn exec_self_and_hold(input: BorrowedFd<'_>) -> Errno {
    // SAFETY: both descriptors are valid numbers.
    if unsafe { libc::dup2(input.as_raw_fd(), 0) } < 0 {
        return Errno::last();
    }
    let environment: [&std::ffi::CStr; 0] = [];
    match nix::unistd::execve(c"/proc/self/exe", &[HOLD], &environment) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// To be called first in `main` of every program that runs cases: the other half of [`exec_self_and_hold`].
pub fn hold_if_asked() {
    if std::env::args_os().next().is_some_and(|name| name.as_encoded_bytes() == HOLD.to_bytes()) {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        exit_now(0);
    }
}

/// Makes the process an ordinary user without any capability (uid and gid 65534), still able to see its own `/proc` files.
pub fn become_nobody() -> Result<(), Errno> {
    use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
    let (user, group) = (Uid::from_raw(65534), Gid::from_raw(65534));
    setgroups(&[])?;
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    nix::sys::prctl::set_dumpable(true)?;
    // A change of user forgets it; a case and its processes must not outlive the run.
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
}

/// Leaves the process only those of its effective capabilities for which `keep` says yes.
pub fn limit_capabilities(keep: impl Fn(caps::Capability) -> bool) -> Result<(), caps::errors::CapsError> {
    let mut set = caps::read(None, caps::CapSet::Effective)?;
    set.retain(|capability| keep(*capability));
    caps::set(None, caps::CapSet::Effective, &set)
}
