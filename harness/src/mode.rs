//! The modes of `UFFDIO_REGISTER`: UFFDIO_REGISTER(2const).

use crate::uapi;

/// A set of register modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(u64);

/// Every mode with its name, in the order of the kernel's bits.
const NAMES: [(u64, &str); 4] = [
    (uapi::UFFDIO_REGISTER_MODE_MISSING, "missing"),
    (uapi::UFFDIO_REGISTER_MODE_WP, "wp"),
    (uapi::UFFDIO_REGISTER_MODE_MINOR, "minor"),
    (uapi::UFFDIO_REGISTER_MODE_RWP, "rwp"),
];

impl Mode {
    /// `UFFDIO_REGISTER_MODE_MISSING`
    pub const MISSING: Self = Self(uapi::UFFDIO_REGISTER_MODE_MISSING);
    /// `UFFDIO_REGISTER_MODE_WP`
    pub const WP: Self = Self(uapi::UFFDIO_REGISTER_MODE_WP);
    /// `UFFDIO_REGISTER_MODE_MINOR`
    pub const MINOR: Self = Self(uapi::UFFDIO_REGISTER_MODE_MINOR);
    /// `UFFDIO_REGISTER_MODE_RWP`
    pub const RWP: Self = Self(uapi::UFFDIO_REGISTER_MODE_RWP);
    /// MISSING and WP
    pub const MISSING_WP: Self = Self::MISSING.and(Self::WP);
    /// MISSING and MINOR
    pub const MISSING_MINOR: Self = Self::MISSING.and(Self::MINOR);
    /// MISSING and RWP
    pub const MISSING_RWP: Self = Self::MISSING.and(Self::RWP);
    /// WP and MINOR
    pub const WP_MINOR: Self = Self::WP.and(Self::MINOR);
    /// MINOR and RWP
    pub const MINOR_RWP: Self = Self::MINOR.and(Self::RWP);
    /// MISSING, WP and MINOR
    pub const MISSING_WP_MINOR: Self = Self::MISSING_WP.and(Self::MINOR);

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits as the ioctl takes them.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether every mode of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the single modes.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, name)| name)
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, name) in self.names().enumerate() {
            write!(out, "{}{name}", if index == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}
