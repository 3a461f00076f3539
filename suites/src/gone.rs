//! Processes whose memory is gone while a monitor still holds their userfaultfd.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use uffd_harness::actor::{Target, task};
use uffd_harness::case::{Axis, Outcome, Stop};
use uffd_harness::memory::Memory;
use uffd_harness::mode::Mode;
use uffd_harness::uapi::UFFD_API;
use uffd_harness::{Error, kernel, sys};

/// How a process lost its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The process has ended.
    Exited,
    /// The process runs another program.
    Execed,
}

impl Axis for Gone {
    fn axis(&self) -> &'static str {
        "gone"
    }
    fn value(&self) -> String {
        if *self == Self::Exited { "exited" } else { "execed" }.to_owned()
    }
}

/// A target with one page, registered for `mode` if any, which then lost its memory; what is left of it.
pub fn target(how: Gone, memory: Memory, mode: Option<Mode>) -> Result<Lost, Stop> {
    let (input, hold) = UnixStream::pair().map_err(|error| Stop::Error(error.to_string()))?;
    let mut target = Target::start(
        || -> Result<_, Error> {
            let uffd = kernel::current().create().map_err(|errno| Error::call("userfaultfd", errno))?;
            uffd.api(UFFD_API, 0).result.map_err(|errno| Error::call("UFFDIO_API", errno))?;
            let region = memory.map(1)?;
            if let Some(mode) = mode {
                let reply = uffd.register(region.range(), mode.bits());
                reply.result.map_err(|errno| Error::call("UFFDIO_REGISTER", errno))?;
            }
            Ok((uffd, region))
        },
        |_, cue| {
            cue.wait();
            match how {
                Gone::Exited => 0,
                Gone::Execed => sys::exec_self_and_hold(input.as_fd()) as i32,
            }
        },
    )?;
    lose(&mut target, how)?;
    Ok(Lost { target, _hold: hold })
}

/// Lets the target go on to its end or to another program, and waits until its old memory is gone.
pub fn lose(target: &mut Target, gone: Gone) -> Outcome {
    target.cue()?;
    if gone == Gone::Exited {
        target.process.wait()?;
        return Ok(());
    }
    // The target's end of the connection closes on exec, after the old memory went.
    while target.hear().is_ok() {}
    let pid = target.process.pid();
    loop {
        let name = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if name.starts_with(b"uffd-conformance-hold") {
            return Ok(());
        }
        if !task::is_alive(pid, pid) {
            return Err(Error::Other("the target did not get to execute a program".to_owned()).into());
        }
        std::thread::yield_now();
    }
}

/// What is left of a target without its memory: the userfaultfd and the addresses.
#[derive(Debug)]
pub struct Lost {
    target: Target,
    /// Keeps the new program waiting.
    _hold: UnixStream,
}

impl std::ops::Deref for Lost {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}
