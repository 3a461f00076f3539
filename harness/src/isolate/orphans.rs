//! What a case leaves running: found, ended and counted.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::DYING;
use crate::keeper::is_keeper;
use crate::{sys, text};

/// How long an orphan may take to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// Ends the orphans among this process's children: whatever is neither in `ours` nor was there before; how many there were.
///
/// A process that left its case's group comes to us when its parent dies. A keeper is about to put something back, so it
/// is waited for, and it is nothing that was left behind; anything else is given a moment to end by itself.
pub(crate) fn sweep_orphans(ours: &[i32]) -> usize {
    let orphans: Vec<i32> = children().into_iter().filter(|child| !ours.contains(child)).collect();
    let (keepers, others): (Vec<i32>, Vec<i32>) = orphans.into_iter().partition(|orphan| is_keeper(*orphan));
    for (orphan, grace) in others.iter().map(|pid| (*pid, GRACE)).chain(keepers.iter().map(|pid| (*pid, DYING))) {
        let orphan = Pid::from_raw(orphan);
        let mut patience = Some(Instant::now() + grace);
        while matches!(waitpid(orphan, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            if patience.is_some_and(|patience| Instant::now() > patience) {
                if grace == DYING {
                    // It waits for another run; whenever that ends, so does it.
                    break;
                }
                let _ = nix::sys::signal::kill(orphan, Signal::SIGKILL);
                patience = None;
            }
            std::thread::yield_now();
        }
    }
    others.len()
}

/// The children of this process, as far as the kernel lists them (`CONFIG_PROC_CHILDREN`).
pub(crate) fn children() -> Vec<i32> {
    let path = format!("/proc/self/task/{}/children", sys::thread_id());
    let text = text::read(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The processes of the group of `leader`.
pub(super) fn group(leader: Pid) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return vec![leader.as_raw()] };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| nix::unistd::getpgid(Some(Pid::from_raw(*pid))) == Ok(leader))
        .collect()
}

/// Kills and reaps what is left of a case's process group: how many processes were still alive.
pub(super) fn sweep(leader: Pid) -> usize {
    let ended = Pid::from_raw(-leader.as_raw());
    // Whatever has ended already was no leftover, only not waited for.
    while matches!(waitpid(ended, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive) {}
    let mut left = 0;
    let given_up = Instant::now() + DYING;
    while killpg(leader, Signal::SIGKILL).is_ok() && Instant::now() < given_up {
        match waitpid(ended, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::yield_now(),
            Ok(_) => left += 1,
            // Not our children yet: they become so when their parents have died.
            Err(_) => left = left.max(1),
        }
    }
    left
}
