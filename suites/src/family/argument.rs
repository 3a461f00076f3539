//! Arguments that the kernel cannot read, and result fields that it cannot write.

use uffd_harness::case::{Axis, Outcome, Stop};
use uffd_harness::memory::{Memory, Region};
use uffd_harness::uffd::{Field, Range, Reply, SENTINEL};
use uffd_harness::{Errno, Error, sys};

use super::{Call, Request, Stage, about};
use crate::ensure_eq;
use crate::expect::Expect as _;

/// What keeps the kernel from writing the result field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritable {
    /// The whole argument lies on a read-only page.
    ReadOnly,
    /// The argument ends with the last readable page; the result field would lie behind it.
    BehindTheEnd,
}

impl Axis for Unwritable {
    fn axis(&self) -> &'static str {
        "argument"
    }
    fn value(&self) -> String {
        match self {
            Self::ReadOnly => "read-only",
            Self::BehindTheEnd => "field-behind-the-end",
        }
        .to_owned()
    }
}

/// An argument in memory of its own: a page between inaccessible ones.
struct Argument {
    page: Region,
    at: usize,
}

impl Argument {
    fn words(at: usize, words: &[u64]) {
        for (index, word) in words.iter().enumerate() {
            sys::store(at + index * 8, *word);
        }
    }

    /// The last `words` words of the page.
    fn at_the_end(words: &[u64]) -> Result<Self, Stop> {
        let page = Memory::Anon.map(1)?;
        let at = page.end() - words.len() * 8;
        Self::words(at, words);
        Ok(Self { page, at })
    }

    fn unwritable(request: Request, how: Unwritable) -> Result<Self, Stop> {
        let (mut words, result) = request.words();
        if how == Unwritable::BehindTheEnd {
            return Self::at_the_end(&words);
        }
        words.extend(result);
        let argument = Self::at_the_end(&words)?;
        let page = argument.page.page(0);
        sys::protect(page.start, page.size, libc::PROT_READ).map_err(|errno| Error::call("mprotect", errno))?;
        Ok(argument)
    }

    /// The result field, where it can be read at all.
    fn field(&self, how: Unwritable) -> Field {
        match how {
            Unwritable::BehindTheEnd => Field::None,
            Unwritable::ReadOnly => match sys::load(self.page.end() - 8) as i64 {
                SENTINEL => Field::Untouched,
                value => Field::Written(value),
            },
        }
    }
}

fn make(stage: &Stage, call: Call, at: usize) -> Reply {
    let shape = call.shape();
    stage.uffd().ioctl(shape.name, shape.request, at)
}

/// An argument that cannot be read, wholly or in part, gives `EFAULT`, and nothing changes.
pub fn unreadable_is_refused(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let (words, _) = stage.request.words();
    let elsewhere = Memory::Anon.map(1)?;
    for at in [0, 8, elsewhere.end(), elsewhere.start() - 0x100, 1 << 63, usize::MAX & !0xfff] {
        make(&stage, call, at).is_refused(Errno::EFAULT).map_err(about(format_args!("argument at {at:#x}")))?;
    }
    for readable in 1..words.len() {
        let argument = Argument::at_the_end(&words[..readable])?;
        let what = format_args!("only {readable} words of the argument readable");
        make(&stage, call, argument.at).is_refused(Errno::EFAULT).map_err(about(what))?;
    }
    stage.is_unchanged()?;
    stage.works()
}

/// Where the result field cannot be written a fill is done, says `EFAULT`, and wakes nobody.
pub fn unwritable_field_fails_a_fill_that_is_done(call: Call, memory: Memory, how: Unwritable) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let argument = Argument::unwritable(stage.request, how)?;
    let untouched = argument.field(how);
    // It fails the same way when it is done and when the page is there already.
    for _ in 0..2 {
        make(&stage, call, argument.at).is_refused(Errno::EFAULT)?;
        ensure_eq!(argument.field(how), untouched, "the result field");
        stage.is_filled_but_not_woken()?;
    }
    stage.is_woken_by_wake()
}

/// What is refused before anything is done does not write the result field: it has its own errno even then.
pub fn unwritable_field_does_not_matter_to_a_refusal(call: Call, memory: Memory, how: Unwritable) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let range = stage.request.range;
    let unaligned = Argument::unwritable(stage.request.over(Range::new(range.start + 1, range.len)), how)?;
    make(&stage, call, unaligned.at).is_refused(Errno::EINVAL).map_err(about("an unaligned range"))?;
    let unknown = Argument::unwritable(stage.request.with_mode(1 << 63), how)?;
    make(&stage, call, unknown.at).is_refused(Errno::EINVAL).map_err(about("an unknown mode bit"))?;
    stage.is_unchanged()?;
    stage.works()
}

/// An ioctl without a result field takes an argument on a read-only page.
pub fn read_only_is_enough(call: Call, memory: Memory) -> Outcome {
    let stage = Stage::new(call, memory)?;
    let argument = Argument::unwritable(stage.request, Unwritable::ReadOnly)?;
    stage.has_worked(make(&stage, call, argument.at))
}
