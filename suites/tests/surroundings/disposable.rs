//! Surroundings that can only be made on a machine that nobody else uses: a guest that ends with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use serde_json::Value;

use super::shown::{Shown, wrong};
use super::{DEMANDING, command, sound};

/// Set where the machine may be spoilt.
const DISPOSABLE: &str = "UFFD_TEST_DISPOSABLE";

/// Why these tests are not for this machine.
pub fn not_here() -> Option<String> {
    if std::env::var_os(DISPOSABLE).is_some() {
        return None;
    }
    Some(format!("it spoils the machine: run it as root in a guest, with {DISPOSABLE}=1"))
}

const TAINTED: &str = "/proc/sys/kernel/tainted";

/// Runs the demanding cases and does `first` and `second` while a case runs; the status, and what was printed.
fn meanwhile(first: impl FnOnce() -> Shown, second: impl FnOnce() -> Shown) -> Result<(i32, String, String), Failed> {
    let mut run = command();
    run.args(["run", "--jobs", "1", "--format", "json"]).args(DEMANDING);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // The run stands still while the pipe is full, so it cannot be over before both are done.
    let mut out = BufReader::with_capacity(1, child.stdout.take().ok_or("no output")?);
    let mut printed = until_starts(&mut out, 1)?;
    first()?;
    printed += &until_starts(&mut out, 5)?;
    second()?;
    out.read_to_string(&mut printed)?;
    ended(child).map(|(status, said)| (status, printed, said))
}

fn ended(child: Child) -> Result<(i32, String), Failed> {
    let done = child.wait_with_output()?;
    Ok((done.status.code().unwrap_or(-1), String::from_utf8(done.stderr)?))
}

/// What is printed until so many more cases have begun.
fn until_starts(out: &mut impl BufRead, count: usize) -> Result<String, Failed> {
    let (mut printed, mut begun) = (String::new(), 0);
    while begun < count {
        let from = printed.len();
        if out.read_line(&mut printed)? == 0 {
            return wrong(format!("the run ended: {printed}"));
        }
        begun += usize::from(printed[from..].contains("\"type\":\"start\""));
    }
    Ok(printed)
}

/// Sets the wall clock by an hour, forward or back.
fn jump(forward: bool) -> Shown {
    let (now, hour) = (clock_gettime(ClockId::CLOCK_REALTIME)?, TimeSpec::from(Duration::from_hours(1)));
    clock_settime(ClockId::CLOCK_REALTIME, if forward { now + hour } else { now - hour })?;
    Ok(())
}

/// An hour forward and back while cases run.
pub fn clock() -> Shown {
    let (status, stdout, stderr) = meanwhile(|| jump(true), || jump(false))?;
    sound(status, &stdout, &stderr).map(drop)
}

/// What a process writes into the log is nobody's fault; a taint fails the case that runs, and only that one.
pub fn taint() -> Shown {
    let forge = || Ok(fs::write("/dev/kmsg", "<4>WARNING: CPU: 0 PID: 1 at mm/userfaultfd.c:1 forged+0x1/0x2\n")?);
    let (status, stdout, stderr) = meanwhile(forge, || Ok(()))?;
    sound(status, &stdout, &stderr)?;
    let (status, stdout, stderr) = meanwhile(|| Ok(()), || Ok(fs::write(TAINTED, "512")?))?;
    let fails: Vec<Value> = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let fails: Vec<&Value> = fails.iter().filter(|entry| entry["verdict"] == "fail").collect();
    match fails.as_slice() {
        [one] if status == 1 && one["log"][0].as_str().is_some_and(|line| line.contains("tainted")) => Ok(()),
        _ => wrong(format!("status {status}: {stderr}{fails:?}")),
    }
}
