//! The state of a thread as the kernel keeps it: proc_pid_stat(5), proc_pid_wchan(5), proc_pid_stack(5), proc_pid_syscall(5).

use std::fmt;

use crate::{Error, Result, text};

/// The name of the function in which a thread waits for its userfault to be resolved.
const WAITING: &str = "handle_userfault";
/// What the names of all functions have in common in which one waits for a userfaultfd.
const USERFAULTFD: &str = "userfault";
/// The functions that sleep interruptibly (`S`) for a userfaultfd, and for nothing else: a wait for a lock in them is a `D`.
const SLEEPERS: [&str; 4] = [WAITING, "userfaultfd_ctx_read", "userfaultfd_read", "userfaultfd_read_iter"];

/// What a thread is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskState {
    /// The thread's id.
    pub thread: i32,
    /// The state letter: `R`, `S`, `D`, `Z`, ..; nothing if the thread is gone.
    pub state: Option<char>,
    /// `wchan`: the function it sleeps in, if the kernel tells.
    pub wchan: String,
    /// `syscall`: the call it is in, `running`, or `-1` and two addresses in a page fault; empty if not allowed.
    pub syscall: String,
    /// The kernel stack, if the kernel shows it.
    pub stack: String,
}

fn read(process: i32, thread: i32, file: &str) -> Option<String> {
    text::read(format!("/proc/{process}/task/{thread}/{file}")).ok()
}

/// The state letter stands behind the last parenthesis: the name may hold any character.
fn letter(process: i32, thread: i32) -> Option<char> {
    let stat = read(process, thread, "stat")?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

impl TaskState {
    /// Everything the kernel tells of `thread` in `process`.
    pub fn of(process: i32, thread: i32) -> Self {
        let line = |file| read(process, thread, file).unwrap_or_default().trim().to_owned();
        Self {
            thread,
            state: letter(process, thread),
            wchan: line("wchan"),
            syscall: line("syscall"),
            stack: line("stack"),
        }
    }

    /// Every thread of `process`.
    pub fn all_of(process: i32) -> Vec<Self> {
        let Ok(folder) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
        folder
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(|thread| Self::of(process, thread))
            .collect()
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.map_or_else(|| "gone".to_owned(), String::from);
        write!(out, "thread {} state {state} wchan {} syscall [{}]", self.thread, self.wchan, self.syscall)?;
        if !self.stack.is_empty() {
            let frames: Vec<&str> = self.stack.lines().map(|line| line.trim_start_matches("[<0>] ")).collect();
            write!(out, " stack [{}]", frames.join(" < "))?;
        }
        Ok(())
    }
}

/// Whether the thread sleeps in the kernel waiting for a userfault to be resolved; a yes is settled.
///
/// To tell the `syscall` of a sleeping thread the kernel waits until it is switched out for good (`wait_task_inactive`), and of any
/// other it says `running`: so a yes means that the thread sleeps until somebody wakes it, and is no longer on its way there.
/// Kernels before 5.16 often leave `wchan` empty on x86; then the kernel stack tells (root), and without that a thread that
/// sleeps outside any system call, which only a page fault can do.
pub fn waits_for_userfault(process: i32, thread: i32) -> bool {
    if !matches!(letter(process, thread), Some('S' | 'D')) {
        return false;
    }
    let syscall = read(process, thread, "syscall");
    if syscall.as_deref().is_some_and(|line| line.trim() == "running") {
        return false;
    }
    sleeps_at(process, thread, WAITING).unwrap_or_else(|| {
        // Asked anew: it may have slept elsewhere, for a lock say, and gone on since.
        matches!(letter(process, thread), Some('S' | 'D'))
            && read(process, thread, "syscall").is_some_and(|line| line.starts_with("-1 "))
    })
}

/// Whether a thread that sleeps does so in a function whose name holds `name`, or below it; nothing if the kernel does not tell.
///
/// A kernel that guesses its call chains (`CONFIG_UNWINDER_GUESS`, as in tinyconfig) may name in `wchan` what an earlier call has
/// left on the stack; the function that sleeps is then further down.
fn sleeps_at(process: i32, thread: i32, name: &str) -> Option<bool> {
    let stack = || read(process, thread, "stack");
    match read(process, thread, "wchan").as_deref().map(str::trim) {
        Some("" | "0") | None => stack().map(|stack| stack.contains(name)),
        Some(function) if function.contains(name) => Some(true),
        Some(_) => Some(
            letter(process, thread) == Some('S')
                && stack()
                    .is_some_and(|stack| functions(&stack).any(|one| one.contains(name) && SLEEPERS.contains(&one))),
        ),
    }
}

/// The names of the functions of a kernel stack, innermost first: its lines read `[<0>] name+0x12/0x34`.
fn functions(stack: &str) -> impl Iterator<Item = &str> {
    stack
        .lines()
        .filter_map(|line| line.rsplit_once("] ").unwrap_or(("", line)).1.split_once('+'))
        .map(|(name, _)| name)
}

/// Whether the thread exists and has not ended.
pub fn is_alive(process: i32, thread: i32) -> bool {
    letter(process, thread).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The state letter, `None` if there is no such thread.
pub fn state(process: i32, thread: i32) -> Option<char> {
    letter(process, thread)
}

/// Whether the thread waits for a userfaultfd inside the system call of this number: for messages, or for one of its own to be
/// read or resolved. A yes is settled, as of [`waits_for_userfault`].
///
/// The letter is asked first: of a thread that has been woken and that its CPU has not taken up yet, `syscall` still tells.
/// A call may sleep elsewhere before, for `mmap_lock` say, while a thread that has ended gives back its stack.
pub fn sleeps_in(process: i32, thread: i32, call: i64) -> bool {
    matches!(letter(process, thread), Some('S' | 'D'))
        && read(process, thread, "syscall").is_some_and(|line| line.starts_with(&format!("{call} ")))
        && sleeps_at(process, thread, USERFAULTFD).unwrap_or(true)
}

/// How often the thread has gone to sleep of its own: `voluntary_ctxt_switches`, proc_pid_status(5).
///
/// Counted when the thread is switched out: of a thread that [`waits_for_userfault`] the number stands.
pub fn sleeps(process: i32, thread: i32) -> Result<u64> {
    let text = read(process, thread, "status").ok_or_else(|| Error::Other(format!("thread {thread} is gone")))?;
    text.lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
        .ok_or_else(|| Error::Other("no voluntary_ctxt_switches in /proc".to_owned()))
}
