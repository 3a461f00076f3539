//! Page contents that tell which page, which word and which writer they came from.

use crate::gate::Address;
use crate::sys;

/// A content of which every word differs from its neighbours and from every word of another pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern(u64);

/// Odd, so that words of one page never repeat.
const STEP: u64 = 0x0001_0000_0000_0101;

impl Pattern {
    /// All bytes zero: what the kernel gives by itself and `UFFDIO_ZEROPAGE` on request.
    pub const ZERO: Self = Self(0);

    /// The pattern of this number; 0 is the first that is not [`Self::ZERO`].
    pub const fn new(number: u64) -> Self {
        // A high byte that no counter reaches marks a word as the suite's own.
        Self(0xc0de_0000_0000_0001 ^ (number.wrapping_add(1) << 36))
    }

    /// The `index`th word.
    pub const fn word(self, index: usize) -> u64 {
        self.0.wrapping_add((index as u64).wrapping_mul(self.step()))
    }

    /// From a word to the next.
    const fn step(self) -> u64 {
        if self.0 == 0 { 0 } else { STEP }
    }

    /// The byte `offset` bytes from the start.
    pub const fn byte(self, offset: usize) -> u8 {
        self.word(offset / 8).to_ne_bytes()[offset % 8]
    }

    /// Writes the pattern to `len` bytes from `at`.
    pub fn fill(self, at: Address, len: usize) {
        sys::fill_words(at, len / 8, self.0, self.step());
    }

    /// Nothing if `len` bytes from `at` are this pattern, else what is there instead.
    pub fn differs(self, at: Address, len: usize) -> Option<String> {
        sys::differing_word(at, len / 8, self.0, self.step()).map(|(index, got)| {
            format!("byte {:#x} of {len:#x}: found {got:#018x}, expected {:#018x}", index * 8, self.word(index))
        })
    }

    /// The pattern as bytes, `len` of them.
    pub fn bytes(self, len: usize) -> Vec<u8> {
        (0..len / 8).flat_map(|index| self.word(index).to_ne_bytes()).collect()
    }
}
