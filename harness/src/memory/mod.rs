//! The memory types on which userfaultfd works, one file a family, and what a case does with a mapping of them.

mod anon;
pub mod content;
mod file;
mod hugetlb;
pub mod page_state;
mod region;
mod shmem;
pub mod vma;

pub use content::Pattern;
pub use file::regular_file;
pub use region::{Page, Region};
pub use shmem::{detached_file, detached_tmpfs};

use crate::mode::Mode;
use crate::{Result, kernel};

/// A memory type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Private anonymous memory.
    Anon,
    /// Private anonymous memory for which transparent huge pages are asked.
    AnonThp,
    /// `MAP_SHARED | MAP_ANONYMOUS`.
    ShmemAnon,
    /// A shared mapping of a memfd.
    ShmemMemfd,
    /// A shared mapping of a file on a tmpfs.
    ShmemTmpfs,
    /// A System V shared memory segment.
    ShmemSysv,
    /// A shared mapping of `/dev/zero`.
    ShmemDevZero,
    /// A private mapping of a memfd.
    ShmemPrivate,
    /// `MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB`.
    Hugetlb,
    /// A shared mapping of a hugetlb memfd.
    HugetlbMemfd,
    /// A shared mapping of a file on a hugetlbfs.
    HugetlbFile,
    /// `MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB`.
    HugetlbPrivate,
    /// A private mapping of a hugetlb memfd.
    HugetlbMemfdPrivate,
    /// A private mapping of a file on a hugetlbfs.
    HugetlbFilePrivate,
    /// A shared mapping of a hugetlb memfd with 1 GiB pages.
    Hugetlb1g,
    /// A private mapping of a hugetlb memfd with 1 GiB pages.
    Hugetlb1gPrivate,
}

/// What statements distinguish: the classes of memory types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Private anonymous.
    Anon,
    /// Private anonymous with transparent huge pages.
    AnonThp,
    /// Shared shmem of every form.
    Shmem,
    /// Private mapping of shmem.
    ShmemPrivate,
    /// hugetlb, shared.
    Hugetlb,
    /// hugetlb, private.
    HugetlbPrivate,
}

impl Class {
    /// Every class, in the order of the matrix's columns.
    pub const ALL: [Self; 6] =
        [Self::Anon, Self::AnonThp, Self::Shmem, Self::ShmemPrivate, Self::Hugetlb, Self::HugetlbPrivate];

    /// The class's name in statements and matrices.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::AnonThp => "anon-thp",
            Self::Shmem => "shmem",
            Self::ShmemPrivate => "shmem-private",
            Self::Hugetlb => "hugetlb",
            Self::HugetlbPrivate => "hugetlb-private",
        }
    }
}

/// 1 GiB.
const GIB: usize = 1 << 30;

impl Memory {
    /// Every memory type.
    pub const ALL: [Self; 16] = [
        Self::Anon,
        Self::AnonThp,
        Self::ShmemAnon,
        Self::ShmemMemfd,
        Self::ShmemTmpfs,
        Self::ShmemSysv,
        Self::ShmemDevZero,
        Self::ShmemPrivate,
        Self::Hugetlb,
        Self::HugetlbMemfd,
        Self::HugetlbFile,
        Self::HugetlbPrivate,
        Self::HugetlbMemfdPrivate,
        Self::HugetlbFilePrivate,
        Self::Hugetlb1g,
        Self::Hugetlb1gPrivate,
    ];

    /// The name in case names and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::AnonThp => "anon-thp",
            Self::ShmemAnon => "shmem-anon",
            Self::ShmemMemfd => "shmem-memfd",
            Self::ShmemTmpfs => "shmem-tmpfs",
            Self::ShmemSysv => "shmem-sysv",
            Self::ShmemDevZero => "shmem-devzero",
            Self::ShmemPrivate => "shmem-private",
            Self::Hugetlb => "hugetlb",
            Self::HugetlbMemfd => "hugetlb-memfd",
            Self::HugetlbFile => "hugetlb-file",
            Self::HugetlbPrivate => "hugetlb-private",
            Self::HugetlbMemfdPrivate => "hugetlb-memfd-private",
            Self::HugetlbFilePrivate => "hugetlb-file-private",
            Self::Hugetlb1g => "hugetlb-1g",
            Self::Hugetlb1gPrivate => "hugetlb-1g-private",
        }
    }

    /// The memory type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|memory| memory.name() == name)
    }

    /// The class that statements name.
    pub const fn class(self) -> Class {
        match self {
            Self::Anon => Class::Anon,
            Self::AnonThp => Class::AnonThp,
            Self::ShmemAnon | Self::ShmemMemfd | Self::ShmemTmpfs | Self::ShmemSysv | Self::ShmemDevZero => {
                Class::Shmem
            }
            Self::ShmemPrivate => Class::ShmemPrivate,
            Self::Hugetlb | Self::HugetlbMemfd | Self::HugetlbFile | Self::Hugetlb1g => Class::Hugetlb,
            Self::HugetlbPrivate | Self::HugetlbMemfdPrivate | Self::HugetlbFilePrivate | Self::Hugetlb1gPrivate => {
                Class::HugetlbPrivate
            }
        }
    }

    /// Private anonymous memory, with huge pages or without.
    pub const fn is_anon(self) -> bool {
        matches!(self.class(), Class::Anon | Class::AnonThp)
    }

    /// shmem, mapped shared or private.
    pub const fn is_shmem(self) -> bool {
        matches!(self.class(), Class::Shmem | Class::ShmemPrivate)
    }

    /// hugetlb, mapped shared or private.
    pub const fn is_hugetlb(self) -> bool {
        matches!(self.class(), Class::Hugetlb | Class::HugetlbPrivate)
    }

    /// A shared mapping: pages belong to a file that other mappings see.
    pub const fn is_shared(self) -> bool {
        matches!(self.class(), Class::Shmem | Class::Hugetlb)
    }

    /// Whether the page cache behind the mapping can be filled by another way than the mapping itself.
    ///
    /// A private anonymous hugetlb mapping has a file that nobody else can reach.
    pub const fn has_alias(self) -> bool {
        !self.is_anon() && !matches!(self, Self::HugetlbPrivate)
    }

    /// The size in bytes of the pages that fault and resolve as one.
    pub fn page_size(self) -> usize {
        match self {
            Self::Hugetlb1g | Self::Hugetlb1gPrivate => GIB,
            memory if memory.is_hugetlb() => kernel::default_hugepage_size(),
            _ => crate::sys::page_size(),
        }
    }

    /// Whether a statement about faults of `mode` can concern this memory at all.
    ///
    /// Anonymous memory has no page cache, and the cache of a private anonymous hugetlb mapping is out of reach: no
    /// minor fault can happen there. WP and RWP exclude each other.
    pub const fn can_fault(self, mode: Mode) -> bool {
        (!mode.has(Mode::MINOR) || self.has_alias()) && !mode.has(Mode::WP.and(Mode::RWP))
    }

    /// A new mapping of `pages` pages, readable and writable, nothing in it, between two inaccessible neighbours.
    pub fn map(self, pages: usize) -> Result<Region> {
        Region::map(self, pages)
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}
