//! The part of the gate for calls that are not on a userfaultfd, but whose effect on watched memory is judged.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};
use rustix::fs::SealFlags;

use super::active;
use super::honest::{self, Address};

/// One such call.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// `fork`, which gives 0 in the child.
    Fork,
    /// A signal to a process.
    SignalProcess { process: i32, signal: i32 },
    /// A signal to a thread of this process.
    SignalThread,
    /// `read` of a file into memory.
    ReadInto,
    /// `mlock`
    Lock { start: Address, length: usize },
    /// `madvise` that populates.
    Populate { start: Address, length: usize, advice: i32 },
    /// `madvise` that writes pages to swap.
    PageOut { start: Address, length: usize },
    /// `munmap`
    Unmap { start: Address, length: usize },
    /// `mmap` with `MAP_FIXED`.
    MapOver { start: Address, length: usize },
    /// `F_ADD_SEALS`
    AddSeals,
    /// What the kernel will touch when the calling thread ends.
    AtExit { word: Address },
    /// The end of the process with a core dump.
    DumpCore,
    /// Memory of a process by ptrace or `/proc/PID/mem`.
    Foreign { process: i32, at: Address },
    /// A file of `/proc/sys` is written.
    WriteSetting,
    /// `/dev/userfaultfd` is opened; it gives the descriptor.
    OpenNode,
}

/// What such a call gives.
pub(super) type Effected = Result<i64, Errno>;

/// The call, through the active perversion.
fn through(effect: Effect, mut pass: impl FnMut() -> Effected) -> Effected {
    match active().and_then(|perversion| perversion.effect.as_ref()) {
        Some(hook) => hook(effect, &mut pass),
        None => pass(),
    }
}

fn count(result: Result<usize, Errno>) -> Effected {
    result.map(|count| count as i64)
}

fn nothing(result: Result<(), Errno>) -> Effected {
    result.map(|()| 0)
}

/// As [`honest::fork`].
pub fn fork() -> Result<ForkResult, Errno> {
    let pid = through(Effect::Fork, || match honest::fork()? {
        ForkResult::Child => Ok(0),
        ForkResult::Parent { child } => Ok(i64::from(child.as_raw())),
    })?;
    Ok(if pid == 0 { ForkResult::Child } else { ForkResult::Parent { child: Pid::from_raw(pid as i32) } })
}

/// As [`honest::signal_process`].
pub fn signal_process(process: i32, signal: i32) -> Result<(), Errno> {
    through(Effect::SignalProcess { process, signal }, || nothing(honest::signal_process(process, signal))).map(drop)
}

/// As [`honest::signal_thread`].
pub fn signal_thread(thread: i32, signal: i32) -> Result<(), Errno> {
    through(Effect::SignalThread, || nothing(honest::signal_thread(thread, signal))).map(drop)
}

/// As [`honest::read_into`].
pub fn read_into(file: BorrowedFd<'_>, at: Address, length: usize) -> Result<usize, Errno> {
    through(Effect::ReadInto, || count(honest::read_into(file, at, length))).map(|count| count as usize)
}

/// As [`honest::lock`].
pub fn lock(start: Address, length: usize) -> Result<(), Errno> {
    through(Effect::Lock { start, length }, || nothing(honest::lock(start, length))).map(drop)
}

/// As [`honest::populate`].
pub fn populate(start: Address, length: usize, advice: i32) -> Result<(), Errno> {
    let effect = Effect::Populate { start, length, advice };
    through(effect, || nothing(honest::populate(start, length, advice))).map(drop)
}

/// As [`honest::page_out`].
pub fn page_out(start: Address, length: usize) -> Result<(), Errno> {
    through(Effect::PageOut { start, length }, || nothing(honest::page_out(start, length))).map(drop)
}

/// As [`honest::unmap`].
pub fn unmap(start: Address, length: usize) -> Result<(), Errno> {
    through(Effect::Unmap { start, length }, || nothing(honest::unmap(start, length))).map(drop)
}

/// As [`honest::map_over`].
pub fn map_over(
    start: Address,
    length: usize,
    protection: i32,
    flags: i32,
    file: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let effect = Effect::MapOver { start, length };
    through(effect, || nothing(honest::map_over(start, length, protection, flags, file))).map(drop)
}

/// As [`honest::add_seals`].
pub fn add_seals(file: BorrowedFd<'_>, seals: SealFlags) -> Result<(), Errno> {
    through(Effect::AddSeals, || nothing(honest::add_seals(file, seals))).map(drop)
}

/// As [`honest::clear_at_exit`].
pub fn clear_at_exit(word: Address) {
    let _ = through(Effect::AtExit { word }, || {
        honest::clear_at_exit(word);
        Ok(0)
    });
}

/// As [`honest::read_at_exit`].
pub fn read_at_exit(head: Address) -> Result<(), Errno> {
    through(Effect::AtExit { word: head }, || nothing(honest::read_at_exit(head))).map(drop)
}

/// As [`honest::dump_core`].
pub fn dump_core() -> ! {
    let _ = through(Effect::DumpCore, || Ok(0));
    honest::dump_core()
}

/// As [`honest::read_memory`].
pub fn read_memory(process: i32, file: &File, to: &mut [u8], at: Address) -> Result<usize, Errno> {
    through(Effect::Foreign { process, at }, || count(honest::read_memory(process, file, to, at)))
        .map(|count| count as usize)
}

/// As [`honest::write_memory`].
pub fn write_memory(process: i32, file: &File, from: &[u8], at: Address) -> Result<usize, Errno> {
    through(Effect::Foreign { process, at }, || count(honest::write_memory(process, file, from, at)))
        .map(|count| count as usize)
}

/// As [`honest::peek_word`].
pub fn peek_word(process: i32, at: Address) -> Result<u64, Errno> {
    through(Effect::Foreign { process, at }, || honest::peek_word(process, at).map(|word| word as i64))
        .map(|word| word as u64)
}

/// As [`honest::poke_word`].
pub fn poke_word(process: i32, at: Address, word: u64) -> Result<(), Errno> {
    through(Effect::Foreign { process, at }, || nothing(honest::poke_word(process, at, word))).map(drop)
}

/// As [`honest::write_setting`].
pub fn write_setting(path: &str, text: &str) -> Result<(), Errno> {
    through(Effect::WriteSetting, || nothing(honest::write_setting(path, text))).map(drop)
}

/// As [`honest::read_attribute`].
pub fn read_attribute(path: &str) -> std::io::Result<String> {
    let text = honest::read_attribute(path)?;
    Ok(match active().and_then(|perversion| perversion.attribute.as_ref()) {
        Some(hook) => hook(text),
        None => text,
    })
}

/// As [`honest::open_node`].
pub fn open_node() -> Result<OwnedFd, Errno> {
    let mut node = None;
    through(Effect::OpenNode, || {
        node = Some(honest::open_node()?);
        Ok(0)
    })?;
    node.ok_or(Errno::EIO)
}
