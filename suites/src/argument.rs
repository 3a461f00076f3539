//! Arguments of ioctls at addresses of the case's choice: readable, unwritable, half mapped, nowhere.

use uffd_harness::case::{Axis, Stop};
use uffd_harness::memory::{Memory, Region};
use uffd_harness::sys;

use crate::lay;

const WORD: usize = 8;

/// An argument of `N` words at the beginning of a page.
#[derive(Debug)]
pub struct Argument<const N: usize> {
    page: Region,
}

fn put(at: usize, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        sys::store(at + index * WORD, *word);
    }
}

impl<const N: usize> Argument<N> {
    /// The argument in memory.
    pub fn new(words: &[u64; N]) -> Result<Self, Stop> {
        let page = Memory::Anon.map(1)?;
        put(page.start(), words);
        Ok(Self { page })
    }

    /// Where it is.
    pub fn address(&self) -> usize {
        self.page.start()
    }

    /// What it holds by now.
    pub fn words(&self) -> [u64; N] {
        std::array::from_fn(|index| sys::load(self.page.start() + index * WORD))
    }
}

/// What is wrong with the place of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Addresses where a process can have nothing.
    Nowhere,
    /// Pages that are not mapped or may not be accessed.
    Inaccessible,
    /// It ends in a page that is not mapped; the last word of what is passed in is there.
    HalfUnmapped,
    /// It can be read and not written.
    ReadOnly,
    /// Its last word alone, the result field, is in a page that is not mapped.
    LastUnmapped,
}

impl Axis for Flaw {
    fn axis(&self) -> &'static str {
        "argument"
    }
    fn value(&self) -> String {
        match self {
            Self::Nowhere => "nowhere",
            Self::Inaccessible => "inaccessible",
            Self::HalfUnmapped => "half-unmapped",
            Self::ReadOnly => "read-only",
            Self::LastUnmapped => "last-unmapped",
        }
        .to_owned()
    }
}

/// Addresses of an argument with this flaw; as much of `words` as can be is there.
///
/// The last word is taken for the result field, which only `ReadOnly` and `LastUnmapped` are about.
pub fn flawed(flaw: Flaw, words: &[u64]) -> Result<Vec<usize>, Stop> {
    let region = Memory::Anon.map(2)?;
    let (first, second) = (region.page(0), region.page(1));
    // So many words of the argument stand in front of the second page.
    let straddle = |count: usize| -> Result<usize, Stop> {
        let at = second.start - count * WORD;
        put(at, words);
        lay::hole(second)?;
        Ok(at)
    };
    Ok(match flaw {
        Flaw::Nowhere => vec![0, 1 << 63, WORD.wrapping_neg() & !0xfff],
        Flaw::Inaccessible => {
            put(first.start, words);
            lay::protection(first.range(), libc::PROT_NONE)?;
            lay::hole(second)?;
            vec![first.start, second.start]
        }
        Flaw::HalfUnmapped => vec![straddle(words.len().saturating_sub(2).max(1))?],
        Flaw::ReadOnly => {
            put(first.start, words);
            lay::protection(first.range(), libc::PROT_READ)?;
            vec![first.start]
        }
        Flaw::LastUnmapped => vec![straddle(words.len() - 1)?],
    })
}
