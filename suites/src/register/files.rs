//! Regular files, special mappings and droppable memory: refused, unless write-protection is asynchronous.

use std::os::fd::{AsFd as _, OwnedFd};

use uffd_harness::memory::{regular_file, vma};

use super::{ioctls, refusal};
use crate::prelude::*;

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Two pages of a regular file instead of memory, mapped `MAP_SHARED` or `MAP_PRIVATE`.
fn file_region(protection: i32, sharing: i32) -> Result<(Region, OwnedFd), Stop> {
    let region = Memory::Anon.map(2)?;
    let file = regular_file(region.len())?;
    let read_only = lay::reopen_read_only(file.as_fd())?;
    let mapped = if protection == READ_WRITE { file.as_fd() } else { read_only.as_fd() };
    lay::file(region.range(), protection, sharing, mapped)?;
    Ok((region, file))
}

/// How a regular file is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Shared,
    Private,
}

impl Sharing {
    const fn flag(self) -> i32 {
        match self {
            Self::Shared => libc::MAP_SHARED,
            Self::Private => libc::MAP_PRIVATE,
        }
    }
}

impl Axis for Sharing {
    fn axis(&self) -> &'static str {
        "sharing"
    }
    fn value(&self) -> String {
        if *self == Self::Shared { "shared" } else { "private" }.to_owned()
    }
}

/// A regular file is refused in every mode.
#[rstest]
#[test_attr(registered(conformance))]
fn a_regular_file_is_refused(
    #[values(Sharing::Shared, Sharing::Private)] sharing: Sharing,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP, Mode::MISSING_WP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["REG-020", "REG-047"], axes: [sharing, mode])?;
    let uffd = tracking::uffd(mode)?;
    let (region, _file) = file_region(READ_WRITE, sharing.flag())?;
    refusal::of(&uffd, &region, region.range(), mode.bits(), Errno::EINVAL)?;
    tracking::served(&uffd, region.page(0), Access::Write)?;
    Ok(())
}

/// Asynchronous write-protection alone is accepted on regular files, and tells which page was written.
#[rstest]
#[test_attr(registered(conformance))]
fn asynchronous_wp_is_accepted_on_regular_files(
    #[values(Sharing::Shared, Sharing::Private)] sharing: Sharing,
) -> Outcome {
    begin!(statements: ["REG-021"], axes: [sharing, Mode::WP], needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)])?;
    let uffd = given::uffd(UFFD_FEATURE_WP_ASYNC)?;
    let (region, _file) = file_region(READ_WRITE, sharing.flag())?;
    for index in 0..2 {
        region.page(index).fill(Scene::cached(index));
    }
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_WP).does(ioctls::expected(false, Mode::WP))?;
    tracking::just(&region, &[(region.range(), Mode::WP)])?;
    uffd.writeprotect(region.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    ensure!(region.page(0).state()?.uffd_wp(), "the first page is not write-protected");
    tracking::served(&uffd, region.page(0), Access::Write)?;
    ensure!(!region.page(0).state()?.uffd_wp(), "the written page is still write-protected");
    ensure!(region.page(1).state()?.uffd_wp(), "the page that was not written is no longer write-protected");
    uffd.unregister(region.range()).succeeds()?;
    tracking::nothing(&region)?;
    ensure!(!region.page(1).state()?.uffd_wp(), "a page is write-protected after UFFDIO_UNREGISTER");
    ensure_eq!(region.page(1).differs(Scene::cached(1)), None, "the page after UFFDIO_UNREGISTER");
    Ok(())
}

/// Asynchronous write-protection is accepted on a private mapping of a file that may only be read.
#[rstest]
#[test_attr(registered(conformance))]
fn asynchronous_wp_is_accepted_on_private_read_only_files() -> Outcome {
    begin!(statements: ["REG-021"], axes: [Mode::WP], needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)])?;
    let uffd = given::uffd(UFFD_FEATURE_WP_ASYNC)?;
    let (region, _file) = file_region(libc::PROT_READ, libc::MAP_PRIVATE)?;
    tracking::served(&uffd, region.page(0), Access::Read)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_WP).does(ioctls::expected(false, Mode::WP))?;
    tracking::just(&region, &[(region.range(), Mode::WP)])?;
    uffd.writeprotect(region.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;
    ensure!(region.page(0).state()?.uffd_wp(), "the page is not write-protected");
    tracking::served(&uffd, region.page(0), Access::Read)?;
    Ok(())
}

/// Any mode but WP alone is refused on a regular file, asynchronous write-protection or not.
#[rstest]
#[test_attr(registered(conformance))]
fn asynchronous_wp_with_other_modes_is_refused_on_regular_files(
    #[values(Sharing::Shared, Sharing::Private)] sharing: Sharing,
    #[values(Mode::MISSING_WP, Mode::WP_MINOR, Mode::MISSING)] mode: Mode,
) -> Outcome {
    begin!(
        statements: ["REG-022", "REG-047"],
        axes: [sharing, mode],
        needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)]
    )?;
    let uffd = given::uffd(UFFD_FEATURE_WP_ASYNC)?;
    let (region, _file) = file_region(READ_WRITE, sharing.flag())?;
    refusal::of(&uffd, &region, region.range(), mode.bits(), Errno::EINVAL)?;
    tracking::served(&uffd, region.page(0), Access::Write)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_WP).does(ioctls::expected(false, Mode::WP))
}

/// A mapping that the kernel made for its own purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    Vdso,
    Vvar,
}

impl Special {
    fn range(self) -> Result<Range, Stop> {
        let name = if self == Self::Vdso { "[vdso]" } else { "[vvar]" };
        vma::named(name)?.ok_or_else(|| given::kernel_lacks(format!("this kernel maps no {name}")))
    }
}

impl Axis for Special {
    fn axis(&self) -> &'static str {
        "special"
    }
    fn value(&self) -> String {
        if *self == Self::Vdso { "vdso" } else { "vvar" }.to_owned()
    }
}

/// The kernel's own mappings in a process are refused in every mode.
#[rstest]
#[test_attr(registered(conformance))]
fn special_mappings_are_refused(
    #[values(Special::Vdso, Special::Vvar)] special: Special,
    #[values(Mode::MISSING, Mode::WP, Mode::MINOR, Mode::RWP)] mode: Mode,
) -> Outcome {
    begin!(statements: ["REG-023", "REG-047"], axes: [special, mode])?;
    let uffd = tracking::uffd(mode)?;
    let range = special.range()?;
    uffd.register(range, mode.bits()).is_refused(Errno::EINVAL)?;
    ensure!(vma::within(range)?.iter().all(|vma| vma.uffd_flags().is_empty()), "{special:?} is registered");
    Ok(())
}

/// The vdso is refused for asynchronous write-protection too.
#[rstest]
#[test_attr(registered(conformance))]
fn the_vdso_is_refused_for_asynchronous_wp() -> Outcome {
    begin!(statements: ["REG-023", "REG-047"], axes: [Mode::WP], needs: [Need::Feature(UFFD_FEATURE_WP_ASYNC)])?;
    let uffd = given::uffd(UFFD_FEATURE_WP_ASYNC)?;
    let range = Special::Vdso.range()?;
    uffd.register(range, UFFDIO_REGISTER_MODE_WP).is_refused(Errno::EINVAL)?;
    ensure!(vma::within(range)?.iter().all(|vma| vma.uffd_flags().is_empty()), "the vdso is registered");
    Ok(())
}

/// Droppable memory, which may lose its content at any time, is refused in every mode.
#[rstest]
#[test_attr(registered(conformance))]
fn droppable_memory_is_refused(#[values(Mode::MISSING, Mode::WP, Mode::RWP)] mode: Mode) -> Outcome {
    begin!(statements: ["REG-024", "REG-047"], axes: [mode])?;
    let uffd = tracking::uffd(mode)?;
    let region = Memory::Anon.map(2)?;
    lay::droppable(region.range())?;
    refusal::of(&uffd, &region, region.range(), mode.bits(), Errno::EINVAL)?;
    tracking::served(&uffd, region.page(0), Access::Write)?;
    Ok(())
}

/// A shadow stack is refused, or it is registered like other private memory.
#[rstest]
#[test_attr(registered(conformance))]
fn shadow_stacks_are_refused_or_registered(#[values(Mode::MISSING, Mode::WP)] mode: Mode) -> Outcome {
    begin!(statements: ["REG-025", "REG-047"], axes: [mode])?;
    let uffd = given::uffd(0)?;
    let range = lay::shadow_stack()?;
    let reply = uffd.register(range, mode.bits());
    let flags: Vec<_> = vma::within(range)?.iter().map(vma::Vma::uffd_flags).collect();
    if reply.result.is_err() {
        variant("refused");
        reply.is_refused(Errno::EINVAL)?;
        ensure_eq!(flags, [Vec::<&str>::new()], "VmFlags of the shadow stack");
    } else {
        variant("accepted");
        reply.does(ioctls::expected(false, mode))?;
        ensure_eq!(flags, [vec![if mode == Mode::WP { "uw" } else { "um" }]], "VmFlags of the shadow stack");
    }
    Ok(())
}
