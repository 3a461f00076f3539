//! What a registration does, seen from outside: which pages `VmFlags` names, and which accesses wait for a fault.

use uffd_harness::actor::{Access, Actor, Sleep};
use uffd_harness::case::{Outcome, Stop};
use uffd_harness::memory::{Memory, Page, Region, vma};
use uffd_harness::mode::Mode;
use uffd_harness::uapi::{
    UFFD_FEATURE_RWP, UFFD_PAGEFAULT_FLAG_MINOR, UFFD_PAGEFAULT_FLAG_RWP, UFFD_PAGEFAULT_FLAG_WP,
    UFFD_PAGEFAULT_FLAG_WRITE, UFFDIO_RWPROTECT_MODE_RWP, UFFDIO_WRITEPROTECT_MODE_WP,
};
use uffd_harness::uffd::{Range, Uffd};

use crate::expect::{Expect as _, Messages as _, Watch as _, broken};
use crate::given::{self, Scene};

/// The two-letter names of a mode in `VmFlags`.
fn vm_flags(mode: Mode) -> Vec<&'static str> {
    [(Mode::MISSING, "um"), (Mode::WP, "uw"), (Mode::MINOR, "ui"), (Mode::RWP, "ur")]
        .into_iter()
        .filter_map(|(single, flag)| mode.has(single).then_some(flag))
        .collect()
}

/// The region with one base page on both sides, which belong to nobody else.
fn neighbourhood(region: &Region) -> Range {
    let (range, around) = (region.range(), Memory::Anon.page_size() as u64);
    Range::new(range.start - around, range.len + 2 * around)
}

/// Of the region and its neighbour pages just these ranges are registered, each for just this mode.
#[track_caller]
pub fn just(region: &Region, registered: &[(Range, Mode)]) -> Outcome {
    let vmas = vma::within(neighbourhood(region))?;
    for vma in &vmas {
        let within = registered.iter().find(|(range, _)| range.start < vma.end && range.end() > vma.start);
        let expected = within.map(|(_, mode)| vm_flags(*mode)).unwrap_or_default();
        let is_whole = within.is_none_or(|(range, _)| vma.start >= range.start && vma.end <= range.end());
        if vma.uffd_flags() != expected || !is_whole {
            let text = format!(
                "{:#x} to {:#x} (the region begins at {:#x}) is registered as {:?}, expected {}",
                vma.start,
                vma.end,
                region.start(),
                vma.uffd_flags(),
                within.map_or_else(|| "nothing".to_owned(), |(range, mode)| format!("{mode} on {range:x?} alone")),
            );
            return Err(broken(text));
        }
    }
    for (range, mode) in registered {
        let covered: u64 =
            vmas.iter().map(|vma| vma.end.min(range.end()).saturating_sub(vma.start.max(range.start))).sum();
        if covered != range.len {
            return Err(broken(format!("only {covered:#x} bytes of {range:x?} are registered for {mode}")));
        }
    }
    Ok(())
}

/// Nothing of the region and its neighbour pages is registered.
#[track_caller]
pub fn nothing(region: &Region) -> Outcome {
    just(region, &[])
}

/// A userfaultfd that may register ranges for `mode`; only RWP has to be asked for.
#[track_caller]
pub fn uffd(mode: Mode) -> Result<Uffd, Stop> {
    given::uffd(features(mode))
}

/// The features that have to be asked for before a range can be registered for `mode`.
pub const fn features(mode: Mode) -> u64 {
    if mode.has(Mode::RWP) { UFFD_FEATURE_RWP } else { 0 }
}

/// A scene before its registration, in every page of which a fault of this single mode can be made.
#[track_caller]
pub fn before(memory: Memory, mode: Mode, pages: usize) -> Result<Scene, Stop> {
    let region = memory.map(pages)?;
    let alias = if mode.has(Mode::MINOR) { Some(region.alias()?) } else { None };
    let scene = Scene { uffd: uffd(mode)?, region, alias, mode, features: features(mode) };
    for index in 0..pages {
        prepare(&scene, index, mode);
    }
    Ok(scene)
}

/// Sees to it that a fault of this single mode can be made in page `index` of a scene that is not registered yet.
///
/// For MINOR the page comes into the page cache, for WP and RWP it is mapped, with [`Scene::cached`] in it.
pub fn prepare(scene: &Scene, index: usize, mode: Mode) {
    let mapping = match mode {
        Mode::MINOR => scene.alias.as_ref(),
        Mode::WP | Mode::RWP => Some(&scene.region),
        _ => None,
    };
    if let Some(mapping) = mapping {
        mapping.page(index).fill(Scene::cached(index));
    }
}

/// The access that makes a fault of this single mode.
pub fn access(mode: Mode) -> Access {
    if mode == Mode::WP { Access::Write } else { Access::Read }
}

/// The flags of the message of that fault.
pub fn flags(mode: Mode) -> u64 {
    match mode {
        Mode::WP => UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE,
        Mode::MINOR => UFFD_PAGEFAULT_FLAG_MINOR,
        Mode::RWP => UFFD_PAGEFAULT_FLAG_RWP,
        _ => 0,
    }
}

/// What of a region lies beside one of its pages, each side for MISSING.
pub fn beside(region: &Region, index: usize) -> Vec<(Range, Mode)> {
    [region.pages(0, index), region.pages(index + 1, region.page_count() - index - 1)]
        .into_iter()
        .filter(|range| range.len > 0)
        .map(|range| (range, Mode::MISSING))
        .collect()
}

/// Protects the page if faults of this single mode take that.
#[track_caller]
pub fn protect(uffd: &Uffd, page: Page, mode: Mode) -> Outcome {
    match mode {
        Mode::WP => uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds(),
        Mode::RWP => uffd.rwprotect(page.range(), UFFDIO_RWPROTECT_MODE_RWP).succeeds(),
        _ => Ok(()),
    }
}

/// A fault of this single mode in the page is delivered; the thread that made it, asleep.
#[track_caller]
pub fn delivered(uffd: &Uffd, page: Page, mode: Mode) -> Result<(Actor<u8>, Sleep), Stop> {
    protect(uffd, page, mode)?;
    delivered_once_more(uffd, page, mode)
}

/// The same in a page that is protected already.
#[track_caller]
pub fn delivered_once_more(uffd: &Uffd, page: Page, mode: Mode) -> Result<(Actor<u8>, Sleep), Stop> {
    let waiter = Actor::access(access(mode), page.at(0))?;
    let sleep = waiter.falls_asleep()?;
    uffd.fault_at(flags(mode), page.start)?;
    Ok((waiter, sleep))
}

/// An access to the page goes through and nobody is told; the byte that was read or written.
#[track_caller]
pub fn served(uffd: &Uffd, page: Page, access: Access) -> Result<u8, Stop> {
    let byte = Actor::access(access, page.at(0))?.does_not_wait()?;
    uffd.has_nothing_to_read()?;
    Ok(byte)
}

/// The region is one mapping, as before its first registration: no call has left a trace in it.
#[track_caller]
pub fn is_one_mapping(region: &Region) -> Outcome {
    match vma::count(region.range())? {
        1 => Ok(()),
        count => Err(broken(format!("the region consists of {count} mappings, expected one"))),
    }
}
