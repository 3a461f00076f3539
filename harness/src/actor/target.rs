//! A process whose memory another process monitors: it makes the userfaultfd and the region, and hands the descriptor over.

use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::Process;
use crate::case::Stop;
use crate::error::Named as _;
use crate::memory::{Memory, Page, Region};
use crate::uffd::{Range, Uffd};
use crate::{Result, sys};

/// The target, as its monitor sees it.
#[derive(Debug)]
pub struct Target {
    /// The process.
    pub process: Process,
    /// The userfaultfd of the target's memory, received by `SCM_RIGHTS`; the target keeps no descriptor of it.
    pub uffd: Uffd,
    /// The region's addresses in the target.
    pub range: Range,
    page_size: usize,
    cue: UnixStream,
}

/// What the target waits on until its monitor wants the next step.
#[derive(Debug)]
pub struct Cue(UnixStream);

impl Cue {
    /// Waits for [`Target::cue`]; ends the process if the monitor is gone.
    pub fn wait(&mut self) {
        if !matches!(self.0.read(&mut [0]), Ok(1)) {
            sys::exit_now(124);
        }
    }

    /// Tells the monitor that this point is reached: [`Target::hear`].
    pub fn tell(&mut self) {
        let _ = self.0.write_all(&[1]);
    }
}

impl Target {
    /// Forks a target. It runs `set_up`, hands the userfaultfd over and closes it, then runs `work` and exits with what that gives.
    ///
    /// A stop in `set_up` is the caller's: what is lacking there is lacking here.
    pub fn start<E: Into<Stop>>(
        set_up: impl FnOnce() -> std::result::Result<(Uffd, Region), E>,
        work: impl FnOnce(&Region, &mut Cue) -> i32,
    ) -> std::result::Result<Self, Stop> {
        let (ours, theirs) = UnixStream::pair().named("socketpair")?;
        let mut theirs = Some(theirs);
        let process = Process::start(|| {
            let Some(stream) = theirs.take() else { return 123 };
            match set_up() {
                Ok((uffd, region)) => {
                    if hand_over(&stream, uffd, &region).is_err() {
                        return 122;
                    }
                    work(&region, &mut Cue(stream))
                }
                Err(stop) => {
                    let _ = serde_json::to_writer(&stream, &stop.into());
                    121
                }
            }
        })?;
        drop(theirs);
        let (uffd, range, page_size) = receive(&ours)?;
        Ok(Self { process, uffd, range, page_size, cue: ours })
    }

    /// Lets the target go on behind its next [`Cue::wait`].
    pub fn cue(&mut self) -> Result<()> {
        self.cue.write_all(&[1]).named("write to the target")
    }

    /// Waits for the target's [`Cue::tell`]; an error if it ended instead.
    pub fn hear(&mut self) -> Result<()> {
        self.cue.read_exact(&mut [0]).named("read from the target")
    }

    /// Page `index` of the target's region; its addresses are the target's.
    pub fn page(&self, index: usize) -> Page {
        Page { start: self.range.start as usize + index * self.page_size, size: self.page_size }
    }
}

fn hand_over(stream: &UnixStream, uffd: Uffd, region: &Region) -> Result<()> {
    let memory = Memory::ALL.iter().position(|memory| *memory == region.memory()).unwrap_or(0);
    let numbers = [region.start() as u64, region.len() as u64, memory as u64];
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    let fds = [uffd.fd().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(&bytes)], &rights, MsgFlags::empty(), None).named("sendmsg")?;
    uffd.close().named("close")
}

#[allow(unsafe_code)]
fn receive(stream: &UnixStream) -> std::result::Result<(Uffd, Range, usize), Stop> {
    let mut bytes = [0_u8; 24];
    let mut space = nix::cmsg_space!(i32);
    let (count, fd) = {
        let mut vectors = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut vectors, Some(&mut space), flags).named("recvmsg")?;
        let fd = message.cmsgs().named("recvmsg")?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        (message.bytes, fd)
    };
    let Some(fd) = fd else {
        let mut text = bytes[..count].to_vec();
        let _ = (&mut &*stream).read_to_end(&mut text);
        let died = |_| Stop::Error("the target died in its set-up".to_owned());
        return Err(serde_json::from_slice(&text).unwrap_or_else(died));
    };
    // SAFETY: the message has just given this descriptor to us alone.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let number = |index: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[index * 8 + i]));
    let memory = Memory::ALL.get(number(2) as usize).copied().unwrap_or(Memory::Anon);
    Ok((Uffd::from(fd), Range::new(number(0), number(1)), memory.page_size()))
}
