//! A thread of the case's own process.

use std::cell::Cell;
use std::sync::atomic::{AtomicI16, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::task::{self, TaskState};
use crate::error::Named as _;
use crate::sys::{self, SignalInfo};
use crate::{Error, Result, gate};

/// How an actor's work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<T> {
    /// It was done and gave this.
    Returned(T),
    /// A SIGBUS or SIGSEGV ended it.
    Signal(SignalInfo),
}

/// What an actor was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<T> {
    /// It sleeps, waiting for a userfault to be resolved.
    Asleep(Sleep),
    /// It has ended.
    Ended(Ending<T>),
}

/// One sleep of a thread; another sleep of the same thread is not equal to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// How often the thread had gone to sleep when it was seen.
    count: u64,
}

/// The stack of an actor, in bytes.
const STACK: usize = 128 << 10;

const RUNNING: u32 = 0;
const RETURNED: u32 = 1;
const SIGNALLED: u32 = 2;

/// What an actor and its case share.
struct Shared {
    state: AtomicU32,
    /// Its id, 0 until it runs.
    thread: AtomicU32,
    signal: AtomicI32,
    code: AtomicI32,
    address: AtomicUsize,
    lsb: AtomicI16,
}

thread_local! {
    /// The shared part of the actor that this thread is.
    static SELF: Cell<Option<&'static Shared>> = const { Cell::new(None) };
}

/// Who is told of a fault that no actor caused, before the process dies of it.
static ON_OTHER: OnceLock<fn(SignalInfo)> = OnceLock::new();

/// Has SIGBUS and SIGSEGV end the actor that caused them instead of the process; any other thread still dies of them,
/// after `tell` was called in the signal handler.
pub fn install_fault_handler(tell: fn(SignalInfo)) -> Result<()> {
    let _ = ON_OTHER.set(tell);
    sys::catch_faults(|info| {
        let Some(shared) = SELF.get() else {
            if let Some(tell) = ON_OTHER.get() {
                tell(info);
            }
            return;
        };
        shared.signal.store(info.signal, Ordering::Relaxed);
        shared.code.store(info.code, Ordering::Relaxed);
        shared.address.store(info.address, Ordering::Relaxed);
        shared.lsb.store(info.address_lsb, Ordering::Relaxed);
        shared.state.store(SIGNALLED, Ordering::Release);
        sys::futex_wake(&shared.state);
        sys::exit_thread();
    })
    .named("sigaction")
}

/// A thread that does one piece of work, most often one access that faults.
pub struct Actor<T> {
    shared: &'static Shared,
    result: Arc<Mutex<Option<T>>>,
}

impl<T: Send + 'static> Actor<T> {
    /// Starts a thread that does `work`.
    pub fn start(work: impl FnOnce() -> T + Send + 'static) -> Result<Self> {
        // Leaked: the thread may sleep in a fault until the process ends.
        let shared: &'static Shared = Box::leak(Box::new(Shared {
            state: AtomicU32::new(RUNNING),
            thread: AtomicU32::new(0),
            signal: AtomicI32::new(0),
            code: AtomicI32::new(0),
            address: AtomicUsize::new(0),
            lsb: AtomicI16::new(0),
        }));
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let work = move || {
            SELF.set(Some(shared));
            shared.thread.store(sys::thread_id() as u32, Ordering::Release);
            sys::futex_wake(&shared.thread);
            let value = work();
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(value);
            }
            shared.state.store(RETURNED, Ordering::Release);
            sys::futex_wake(&shared.state);
        };
        sys::thread::start(c"actor", STACK, work).named("pthread_create")?;
        Ok(Self { shared, result })
    }

    /// The thread's id.
    pub fn thread(&self) -> i32 {
        loop {
            let thread = self.shared.thread.load(Ordering::Acquire);
            if thread != 0 {
                return thread as i32;
            }
            sys::futex_wait(&self.shared.thread, 0, 1_000_000_000);
        }
    }

    fn ending(&self) -> Option<Ending<T>> {
        match self.shared.state.load(Ordering::Acquire) {
            RETURNED => {
                let value = self.result.lock().ok()?.take()?;
                Some(Ending::Returned(value))
            }
            SIGNALLED => Some(Ending::Signal(SignalInfo {
                signal: self.shared.signal.load(Ordering::Relaxed),
                code: self.shared.code.load(Ordering::Relaxed),
                address: self.shared.address.load(Ordering::Relaxed),
                address_lsb: self.shared.lsb.load(Ordering::Relaxed),
            })),
            _ => None,
        }
    }

    /// Whether the work has ended, at this moment.
    pub fn has_ended(&self) -> bool {
        self.shared.state.load(Ordering::Acquire) != RUNNING
    }

    /// Waits until the thread sleeps in a userfault or has ended, and says which.
    ///
    /// Of a thread that something has just woken this says whether the waking came through: a wake-up leaves it runnable
    /// before the waker goes on, so one that is seen asleep was not woken, or has faulted anew.
    pub fn sight(&self) -> Result<Sight<T>> {
        let process = std::process::id() as i32;
        loop {
            if let Some(ending) = self.ending() {
                return Ok(Sight::Ended(ending));
            }
            let thread = self.thread();
            if task::waits_for_userfault(process, thread) {
                // Woken and gone between the two looks: the next round sees its ending.
                let Ok(count) = task::sleeps(process, thread) else { continue };
                return Ok(Sight::Asleep(Sleep { count }));
            }
            // Ends early when the actor does; the length bounds only how often the state is looked at.
            sys::futex_wait(&self.shared.state, RUNNING, 50_000);
        }
    }

    /// Whether the thread has slept on since `sleep` was seen: not woken, not even to fall asleep again.
    pub fn sleeps_on(&self, sleep: Sleep) -> Result<bool> {
        let process = std::process::id() as i32;
        let thread = self.thread();
        Ok(!self.has_ended()
            && task::waits_for_userfault(process, thread)
            && task::sleeps(process, thread)? == sleep.count)
    }

    /// Waits until the work has ended, without looking whether the thread sleeps.
    pub fn join(&self) -> Result<Ending<T>> {
        loop {
            if let Some(ending) = self.ending() {
                return Ok(ending);
            }
            sys::futex_wait(&self.shared.state, RUNNING, 1_000_000_000);
        }
    }

    /// Waits until the thread sleeps in the kernel (state S or D, anywhere) or has ended; says whether it sleeps.
    ///
    /// For work that blocks elsewhere than in a fault, such as `read` of a userfaultfd.
    pub fn blocks(&self) -> Result<bool> {
        let process = std::process::id() as i32;
        loop {
            if self.has_ended() {
                return Ok(false);
            }
            let thread = self.thread();
            let state = TaskState::of(process, thread);
            // A system call's number is only told of a thread that is switched out.
            if matches!(state.state, Some('S' | 'D')) && state.syscall.starts_with(|first: char| first.is_ascii_digit())
            {
                return Ok(true);
            }
            sys::futex_wait(&self.shared.state, RUNNING, 50_000);
        }
    }

    /// Waits until the thread waits for a userfaultfd inside the system call of this number, and gives the sleep; nothing if it
    /// has ended.
    pub fn sleep_in(&self, call: i64) -> Result<Option<Sleep>> {
        let process = std::process::id() as i32;
        loop {
            if self.has_ended() {
                return Ok(None);
            }
            let thread = self.thread();
            if task::sleeps_in(process, thread, call) {
                let count = task::sleeps(process, thread)?;
                if task::sleeps_in(process, thread, call) && task::sleeps(process, thread)? == count {
                    return Ok(Some(Sleep { count }));
                }
            }
            sys::futex_wait(&self.shared.state, RUNNING, 50_000);
        }
    }

    /// Waits until the thread itself is gone, after the end of its work (yes), or sleeps in a userfault (no).
    pub fn exits(&self) -> bool {
        let process = std::process::id() as i32;
        loop {
            if !task::is_alive(process, self.thread()) {
                return true;
            }
            if task::waits_for_userfault(process, self.thread()) {
                return false;
            }
            std::thread::yield_now();
        }
    }

    /// What the kernel tells of the thread.
    pub fn state(&self) -> TaskState {
        TaskState::of(std::process::id() as i32, self.thread())
    }

    /// Sends the thread a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        gate::signal_thread(self.thread(), signal).map_err(|errno| Error::call("tgkill", errno))
    }
}
