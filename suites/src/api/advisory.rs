//! Features that only say what the kernel can do, and RWP, which must be asked for: the UAPI header, "features".

use uffd_harness::case::Axis;
use uffd_harness::memory::vma;

use super::{all_quiet_but, offered};
use crate::prelude::*;

/// Something that a feature stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// Missing faults, resolved by COPY.
    Missing,
    /// Minor faults, resolved by CONTINUE.
    Minor,
    /// Write protection.
    WriteProtect,
    /// `UFFDIO_POISON`
    Poison,
    /// `UFFDIO_MOVE`
    Move,
    /// Read-write protection.
    ReadWriteProtect,
}

impl Axis for Operation {
    fn axis(&self) -> &'static str {
        "operation"
    }
    fn value(&self) -> String {
        format!("{self:?}").to_lowercase()
    }
    fn possible(&self, memory: Option<Memory>, _mode: Option<Mode>) -> bool {
        memory.is_none_or(|memory| match self {
            Self::Minor => memory.has_alias(),
            Self::Move => memory.is_anon(),
            _ => true,
        })
    }
}

impl Operation {
    /// The feature that says that it is there for this memory; 0 if it always is.
    fn feature(self, memory: Memory) -> u64 {
        let of = |anon, shmem, hugetlb| match memory {
            memory if memory.is_anon() => anon,
            memory if memory.is_shmem() => shmem,
            _ => hugetlb,
        };
        match self {
            Self::Missing => of(0, UFFD_FEATURE_MISSING_SHMEM, UFFD_FEATURE_MISSING_HUGETLBFS),
            Self::Minor => of(u64::MAX, UFFD_FEATURE_MINOR_SHMEM, UFFD_FEATURE_MINOR_HUGETLBFS),
            Self::WriteProtect => {
                let files = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
                of(UFFD_FEATURE_PAGEFAULT_FLAG_WP, files, files)
            }
            Self::Poison => UFFD_FEATURE_POISON,
            Self::Move => UFFD_FEATURE_MOVE,
            Self::ReadWriteProtect => UFFD_FEATURE_RWP,
        }
    }

    const fn mode(self) -> Mode {
        match self {
            Self::Missing | Self::Poison | Self::Move => Mode::MISSING,
            Self::Minor => Mode::MINOR,
            Self::WriteProtect => Mode::WP,
            Self::ReadWriteProtect => Mode::RWP,
        }
    }

    /// Works on a page, with all that is to be seen of it.
    fn works(self, uffd: &Uffd, region: &Region) -> Outcome {
        let (page, size, content) = (region.page(0), region.page_size() as u64, Pattern::new(0));
        if self.mode() != Mode::MISSING {
            // In the page cache, or in the memory itself.
            if self == Self::Minor { region.alias()?.page(0).fill(content) } else { page.fill(content) }
        }
        given::register(uffd, region.range(), self.mode())?;
        match self {
            Self::Missing => {
                let source = given::source(page.size, content)?;
                let waiter = Actor::access(Access::Write, page.at(8))?;
                waiter.falls_asleep()?;
                uffd.fault_at(UFFD_PAGEFAULT_FLAG_WRITE, page.at(0))?;
                uffd.copy(page.range(), source.start() as u64, 0).does(size)?;
                waiter.is_woken()?;
                ensure_eq!(uffd_harness::sys::load(page.at(0)), content.word(0), "the first word of the page");
            }
            Self::Minor => {
                let waiter = Actor::access(Access::Read, page.at(0))?;
                waiter.falls_asleep()?;
                uffd.fault_at(UFFD_PAGEFAULT_FLAG_MINOR, page.at(0))?;
                uffd.continue_range(page.range(), 0).does(size)?;
                waiter.is_woken()?;
                ensure_eq!(page.differs(content), None, "the page");
            }
            Self::WriteProtect => {
                uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
                let waiter = Actor::access(Access::Write, page.at(0))?;
                waiter.falls_asleep()?;
                uffd.fault_at(UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE, page.at(0))?;
                ensure_eq!(page.differs(content), None, "the page while the write waits");
                uffd.writeprotect(page.range(), 0).succeeds()?;
                waiter.is_woken()?;
            }
            Self::Poison => {
                uffd.poison(page.range(), 0).does(size)?;
                Actor::access(Access::Read, page.at(0))?.dies_of(libc::SIGBUS)?;
            }
            Self::Move => {
                let source = given::source(page.size, content)?;
                uffd.move_pages(page.range(), source.start() as u64, 0).does(size)?;
                ensure_eq!(page.differs(content), None, "the page moved");
                ensure!(!source.page(0).state()?.present(), "the page is still at its old place");
            }
            Self::ReadWriteProtect => {
                uffd.rwprotect(page.range(), UFFDIO_RWPROTECT_MODE_RWP).succeeds()?;
                let waiter = Actor::access(Access::Read, page.at(0))?;
                waiter.falls_asleep()?;
                uffd.fault_at(UFFD_PAGEFAULT_FLAG_RWP, page.at(0))?;
                uffd.rwprotect(page.range(), 0).succeeds()?;
                waiter.is_woken()?;
                ensure_eq!(page.differs(content), None, "the page");
            }
        }
        uffd.has_nothing_to_read()
    }

    /// Is refused with `EINVAL`, and changes nothing.
    fn is_absent(self, uffd: &Uffd, region: &Region) -> Outcome {
        let page = region.page(0);
        match self {
            Self::Missing | Self::Minor | Self::WriteProtect | Self::ReadWriteProtect => {
                uffd.register(region.range(), self.mode().bits()).is_refused(Errno::EINVAL)?;
                ensure_eq!(vma::within(region.range())?[0].uffd_flags(), [""; 0], "the flags of the mapping");
            }
            Self::Poison | Self::Move => {
                let ioctls = given::register(uffd, region.range(), Mode::MISSING)?;
                let source = given::source(page.size, Pattern::new(0))?;
                let (number, reply) = match self {
                    Self::Poison => (_UFFDIO_POISON, uffd.poison(page.range(), 0)),
                    _ => (_UFFDIO_MOVE, uffd.move_pages(page.range(), source.start() as u64, 0)),
                };
                reply.is_refused(Errno::EINVAL)?;
                ensure_eq!(ioctls >> number & 1, 0, "the ioctl among those of the range");
                let waiter = Actor::access(Access::Read, page.at(0))?;
                waiter.falls_asleep()?;
                uffd.fault_at(0, page.at(0))?;
            }
        }
        Ok(())
    }
}

/// What a feature stands for works without being asked for, and when asked for; where it is not offered it does not work.
#[apply(one_of_each_class)]
fn an_operation_works_iff_it_is_offered(
    memory: Memory,
    #[values(Operation::Missing, Operation::Minor, Operation::WriteProtect, Operation::Poison, Operation::Move)]
    operation: Operation,
) -> Outcome {
    begin!(statements: ["API-002", "API-018"], axes: [memory, operation])?;
    let feature = operation.feature(memory);
    if offered(feature) != feature {
        return operation.is_absent(&given::uffd(0)?, &memory.map(1)?);
    }
    for features in [0, feature] {
        operation.works(&given::uffd(features)?, &memory.map(1)?)?;
    }
    Ok(())
}

/// Where RWP is not offered no range can be registered for it; where it is, one can.
#[apply(one_of_each_class)]
fn rwp_works_iff_it_is_offered(memory: Memory) -> Outcome {
    begin!(statements: ["API-002"], axes: [memory])?;
    let (operation, features) = (Operation::ReadWriteProtect, offered(UFFD_FEATURE_RWP));
    let (uffd, region) = (given::uffd(features)?, memory.map(1)?);
    if features == 0 { operation.is_absent(&uffd, &region) } else { operation.works(&uffd, &region) }
}

/// RWP must be asked for: without it the mode is refused, alone and beside others, whatever else was asked for.
#[apply(one_of_each_class)]
fn rwp_must_be_asked_for(memory: Memory) -> Outcome {
    begin!(statements: ["API-019"], axes: [memory, Mode::RWP])?;
    let region = memory.map(1)?;
    for features in [0, all_quiet_but(UFFD_FEATURE_RWP)] {
        let uffd = given::uffd(features)?;
        for mode in [Mode::RWP, Mode::MISSING_RWP, Mode::MINOR_RWP] {
            uffd.register(region.range(), mode.bits()).is_refused(Errno::EINVAL)?;
        }
        ensure_eq!(vma::within(region.range())?[0].uffd_flags(), [""; 0], "the flags of the mapping");
        given::register(&uffd, region.range(), Mode::MISSING)?;
    }
    let uffd = given::uffd(UFFD_FEATURE_RWP)?;
    given::register(&uffd, region.range(), Mode::RWP)?;
    ensure_eq!(vma::within(region.range())?[0].uffd_flags(), ["ur"], "the flags of the mapping");
    Ok(())
}
