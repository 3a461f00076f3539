//! One ioctl on its way to the kernel: its argument word by word, and what a perversion may do with it.
//!
//! The caller's structure is read and written by process_vm_readv(2) and process_vm_writev(2), because many cases pass
//! addresses that cannot be read or written; such a call goes to the kernel as it is.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};

use super::honest::{self, Address};
use super::state;
use crate::uapi::{
    UFFDIO_API, UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_MOVE, UFFDIO_POISON, UFFDIO_REGISTER, UFFDIO_RWPROTECT,
    UFFDIO_SET_MODE, UFFDIO_UNREGISTER, UFFDIO_WAKE, UFFDIO_WRITEPROTECT, UFFDIO_ZEROPAGE,
};

/// What an ioctl answers.
pub(super) type Answer = Result<i32, Errno>;

/// A base page.
pub(super) const PAGE: u64 = 4096;

/// What no length of a fill can reach that a case means to succeed.
const MOST_CONTENT: u64 = 64 << 20;

/// `UFFDIO_COPY_MODE_DONTWAKE`, which has the same bit in ZEROPAGE, CONTINUE, POISON and MOVE.
pub(super) const DONTWAKE: u64 = 1;

/// `UFFDIO_COPY_MODE_WP`, which has the same bit in CONTINUE.
pub(super) const FILL_WP: u64 = 2;

/// Where the words of a request's structure lie; every one of them is a `u64`.
#[derive(Clone, Copy)]
struct Layout {
    words: usize,
    start: usize,
    len: Option<usize>,
    src: Option<usize>,
    mode: Option<usize>,
    field: Option<usize>,
}

const fn layout(request: u64) -> Option<Layout> {
    let plain = Layout { words: 2, start: 0, len: Some(1), src: None, mode: None, field: None };
    Some(match request {
        UFFDIO_API => Layout { words: 3, len: None, mode: Some(1), field: Some(2), ..plain },
        UFFDIO_REGISTER | UFFDIO_ZEROPAGE | UFFDIO_CONTINUE | UFFDIO_POISON => {
            Layout { words: 4, mode: Some(2), field: Some(3), ..plain }
        }
        UFFDIO_UNREGISTER | UFFDIO_WAKE | UFFDIO_SET_MODE => plain,
        UFFDIO_COPY | UFFDIO_MOVE => {
            Layout { words: 5, src: Some(1), len: Some(2), mode: Some(3), field: Some(4), ..plain }
        }
        UFFDIO_WRITEPROTECT | UFFDIO_RWPROTECT => Layout { words: 3, mode: Some(2), ..plain },
        _ => return None,
    })
}

/// The structure an ioctl takes.
#[derive(Clone, Copy)]
pub(super) struct Argument {
    layout: Layout,
    pub(super) words: [u64; 5],
}

impl Argument {
    /// The structure of `request` with these words in it.
    pub(super) fn of(request: u64, words: &[u64]) -> Option<Self> {
        let layout = layout(request)?;
        let mut all = [0; 5];
        all[..words.len()].copy_from_slice(words);
        Some(Self { layout, words: all })
    }

    fn peek(request: u64, address: Address) -> Option<Self> {
        let layout = layout(request)?;
        let bytes = peek(address, layout.words * 8)?;
        let mut words = [0; 5];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().ok()?);
        }
        Some(Self { layout, words })
    }

    fn poke(&self, address: Address) -> bool {
        let bytes: Vec<u8> = self.words[..self.layout.words].iter().flat_map(|word| word.to_ne_bytes()).collect();
        poke(address, &bytes) == bytes.len()
    }

    fn at(&self, index: Option<usize>) -> u64 {
        index.map_or(0, |index| self.words[index])
    }

    fn put(mut self, index: Option<usize>, value: u64) -> Self {
        if let Some(index) = index {
            self.words[index] = value;
        }
        self
    }

    /// The first address (of `UFFDIO_API`: `api`).
    pub(super) fn start(&self) -> u64 {
        self.at(Some(self.layout.start))
    }

    pub(super) fn len(&self) -> u64 {
        self.at(self.layout.len)
    }

    /// The first address behind the range.
    pub(super) fn end(&self) -> u64 {
        self.start().wrapping_add(self.len())
    }

    pub(super) fn src(&self) -> u64 {
        self.at(self.layout.src)
    }

    /// The mode (of `UFFDIO_API`: `features`).
    pub(super) fn mode(&self) -> u64 {
        self.at(self.layout.mode)
    }

    /// The result field.
    pub(super) fn field(&self) -> u64 {
        self.at(self.layout.field)
    }

    /// The bytes that the result field says were done.
    pub(super) fn done(&self) -> u64 {
        (self.field() as i64).max(0) as u64
    }

    pub(super) fn wants_wake(&self) -> bool {
        self.mode() & DONTWAKE == 0
    }

    pub(super) fn with_start(self, start: u64) -> Self {
        self.put(Some(self.layout.start), start)
    }

    pub(super) fn with_len(self, len: u64) -> Self {
        self.put(self.layout.len, len)
    }

    pub(super) fn with_src(self, src: u64) -> Self {
        self.put(self.layout.src, src)
    }

    pub(super) fn with_mode(self, mode: u64) -> Self {
        self.put(self.layout.mode, mode)
    }

    pub(super) fn with_field(self, field: u64) -> Self {
        self.put(self.layout.field, field)
    }

    /// The mode without these bits.
    pub(super) fn without(self, bits: u64) -> Self {
        self.with_mode(self.mode() & !bits)
    }

    /// The mode with these bits too.
    pub(super) fn adding(self, bits: u64) -> Self {
        self.with_mode(self.mode() | bits)
    }

    /// Whether start and length are multiples of a page, and the length is not 0.
    pub(super) fn is_aligned(&self) -> bool {
        self.start().is_multiple_of(PAGE) && self.len().is_multiple_of(PAGE) && self.len() != 0
    }

    /// The same with start rounded down and length rounded up to pages.
    pub(super) fn rounded(self, page: u64) -> Self {
        let start = self.start() & !(page - 1);
        let len = self.len().wrapping_add(self.start() - start).checked_next_multiple_of(page).unwrap_or(0);
        self.with_start(start).with_len(len.max(page))
    }
}

/// One ioctl on its way to the kernel.
pub(super) struct Call<'a> {
    /// The userfaultfd.
    pub(super) fd: BorrowedFd<'a>,
    request: u64,
    address: Address,
    /// What the caller asks.
    pub(super) argument: Argument,
}

impl<'a> Call<'a> {
    /// Nothing if the structure cannot be read or is not one that we know.
    pub(super) fn new(fd: BorrowedFd<'a>, request: u64, address: Address) -> Option<Self> {
        Argument::peek(request, address).map(|argument| Self { fd, request, address, argument })
    }

    /// Where the caller's structure lies.
    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// Whether the caller's structure can be written as a whole.
    pub(super) fn is_writable(&self) -> bool {
        self.argument.poke(self.address)
    }

    pub(super) fn request(&self) -> u64 {
        self.request
    }

    /// As it came.
    pub(super) fn pass(&self) -> Answer {
        honest::ioctl(self.fd, self.request, self.address)
    }

    /// With another argument; the caller finds his own again, but for what the kernel has written.
    pub(super) fn with(&self, mended: Argument) -> Answer {
        if !mended.poke(self.address) {
            return self.pass();
        }
        let answer = self.pass();
        let mut after = self.after();
        for index in 0..self.argument.layout.words {
            if after.words[index] == mended.words[index] {
                after.words[index] = self.argument.words[index];
            }
        }
        self.tell(after);
        answer
    }

    /// What stands in the caller's structure now.
    pub(super) fn after(&self) -> Argument {
        Argument::peek(self.request, self.address).unwrap_or(self.argument)
    }

    /// Writes the caller's structure.
    pub(super) fn tell(&self, argument: Argument) {
        argument.poke(self.address);
    }

    /// Writes the result field.
    pub(super) fn tell_field(&self, field: u64) {
        self.tell(self.after().with_field(field));
    }

    /// Puts back what the caller passed, field and all.
    pub(super) fn forget(&self) {
        self.tell(self.argument);
    }

    /// A call of our own on the same userfaultfd, with these words in its structure.
    pub(super) fn also(&self, request: u64, words: &[u64]) -> (Answer, Argument) {
        also(self.fd, request, words, self.argument)
    }

    /// `UFFDIO_WAKE` of a range.
    pub(super) fn wake(&self, start: u64, len: u64) {
        let _ = self.also(UFFDIO_WAKE, &[start, len]);
    }

    /// `UFFDIO_WAKE` of everything.
    pub(super) fn wake_all(&self) {
        wake_all(self.fd);
    }

    /// The fill without its wake-up.
    pub(super) fn quietly(&self) -> Answer {
        self.with(self.argument.adding(DONTWAKE))
    }

    /// The size of the pages at the start of the range, as registration has shown it.
    pub(super) fn page_size(&self) -> u64 {
        state::page_size_at(self.argument.start())
    }

    /// What `UFFDIO_ZEROPAGE` says of a page that nobody maps.
    fn say_of_nothing(&self) -> Answer {
        self.also(UFFDIO_ZEROPAGE, &[16 * PAGE, PAGE, DONTWAKE, 0]).0
    }

    /// Whether the kernel answers fills with EAGAIN because an event is to be read first.
    pub(super) fn has_pending_event(&self) -> bool {
        self.say_of_nothing() == Err(Errno::EAGAIN)
    }

    /// Whether the process whose memory this is about is gone.
    pub(super) fn has_lost_its_target(&self) -> bool {
        self.say_of_nothing() == Err(Errno::ESRCH)
    }

    /// What the source of a copy holds; nothing if it cannot be read, or the length is none that could be copied.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        let argument = self.argument;
        let sound = argument.is_aligned() && argument.len() <= MOST_CONTENT;
        if sound { peek(argument.src() as usize, argument.len() as usize) } else { None }
    }

    /// The copy, but of content that `change` has had its way with.
    pub(super) fn copying(&self, change: impl FnOnce(&mut [u8], usize)) -> Answer {
        let Some(mut content) = self.content() else { return self.pass() };
        change(&mut content, self.page_size() as usize);
        self.with(self.argument.with_src(content.as_ptr() as u64))
    }
}

/// A call of our own with these words in its structure.
pub(super) fn also(fd: BorrowedFd<'_>, request: u64, words: &[u64], otherwise: Argument) -> (Answer, Argument) {
    let mut own = [0_u64; 5];
    own[..words.len()].copy_from_slice(words);
    let answer = honest::ioctl(fd, request, own.as_mut_ptr() as Address);
    (answer, Argument::of(request, &own).unwrap_or(otherwise))
}

/// `UFFDIO_WAKE` of everything below the top of the address space.
pub(super) fn wake_all(fd: BorrowedFd<'_>) {
    let mut everything = [PAGE, 0x7fff_ffff_e000];
    let _ = honest::ioctl(fd, UFFDIO_WAKE, everything.as_mut_ptr() as Address);
}

/// Reads this process's memory, mapped or not; all or nothing.
pub(super) fn peek(address: Address, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let remote = [RemoteIoVec { base: address, len: length }];
    let count = process_vm_readv(nix::unistd::getpid(), &mut [IoSliceMut::new(&mut bytes)], &remote).ok()?;
    (count == length).then_some(bytes)
}

/// Writes this process's memory, mapped or not; how many bytes went.
pub(super) fn poke(address: Address, bytes: &[u8]) -> usize {
    let remote = [RemoteIoVec { base: address, len: bytes.len() }];
    process_vm_writev(nix::unistd::getpid(), &[IoSlice::new(bytes)], &remote).unwrap_or(0)
}
