//! Threads that wait for a page, and which of them an ioctl that fills pages wakes: the same for each such ioctl.

use uffd_harness::Errno;
use uffd_harness::actor::{Access, Actor, Sleep, WRITTEN};
use uffd_harness::case::{Axis, Outcome, Stop};
use uffd_harness::gate::Address;
use uffd_harness::memory::{Class, Memory, Page, Pattern};
use uffd_harness::mode::Mode;
use uffd_harness::need::Need;
use uffd_harness::uapi::{
    UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_THREAD_ID, UFFD_PAGEFAULT_FLAG_MINOR, UFFD_PAGEFAULT_FLAG_WP,
    UFFD_PAGEFAULT_FLAG_WRITE,
};
use uffd_harness::uffd::{Range, Reply};

use crate::axes::Resolver;
use crate::expect::{Expect as _, Messages as _, Watch as _, broken};
use crate::given::Scene;
use crate::look::Look as _;
use crate::{ensure, ensure_eq};

/// A thread asleep in a missing or a minor fault on a scene's region.
pub struct Waiter {
    actor: Actor<u8>,
    sleep: Sleep,
    access: Access,
    /// Bytes into the page.
    offset: usize,
    /// What its message must say.
    flags: u64,
    address: Address,
    thread: u32,
}

impl Waiter {
    /// A thread that makes `access` at `address` and falls asleep; its message says just that and is read.
    #[track_caller]
    pub fn at(scene: &Scene, access: Access, address: Address) -> Result<Self, Stop> {
        let waiter = Self::unread(scene, access, address)?;
        waiter.message_is_next(scene)?;
        Ok(waiter)
    }

    /// A thread that makes `access` at `address` and falls asleep; its message is left to be read.
    #[track_caller]
    pub fn unread(scene: &Scene, access: Access, address: Address) -> Result<Self, Stop> {
        let actor = Actor::access(access, address)?;
        let sleep = actor.falls_asleep()?;
        let offset = (address - scene.region.start()) % scene.region.page_size();
        let minor = if scene.mode.has(Mode::MINOR) { UFFD_PAGEFAULT_FLAG_MINOR } else { 0 };
        let write = if access == Access::Write { UFFD_PAGEFAULT_FLAG_WRITE } else { 0 };
        let exact = scene.features & UFFD_FEATURE_EXACT_ADDRESS != 0;
        let thread = if scene.features & UFFD_FEATURE_THREAD_ID != 0 { actor.thread() as u32 } else { 0 };
        let address = if exact { address } else { address - offset };
        Ok(Self { actor, sleep, access, offset, flags: minor | write, address, thread })
    }

    /// Its message is the next one; it is read and says just what the thread did.
    #[track_caller]
    pub fn message_is_next(&self, scene: &Scene) -> Outcome {
        let fault = scene.uffd.fault_at(self.flags, self.address)?;
        ensure_eq!(fault.ptid, self.thread, "the thread that the message names");
        ensure!(fault.message.unused_is_zero(), "unused bytes of the message: {:?}", fault.message.raw);
        Ok(())
    }

    /// The messages of these threads are the next to be read, in any order.
    #[track_caller]
    pub fn messages_are_next(scene: &Scene, waiters: &[&Self]) -> Outcome {
        let mut expected: Vec<_> =
            waiters.iter().map(|waiter| (waiter.flags, waiter.address as u64, waiter.thread)).collect();
        for _ in waiters {
            let fault = scene.uffd.fault()?;
            let said = (fault.flags, fault.address, fault.ptid);
            let place = expected.iter().position(|one| *one == said);
            let Some(place) = place else {
                return Err(broken(format!(
                    "flags, address and thread of the message {said:x?}, expected one of {expected:x?}"
                )));
            };
            expected.swap_remove(place);
        }
        Ok(())
    }

    /// Nothing has woken it since it fell asleep, not even for a moment.
    #[track_caller]
    pub fn sleeps_on(&self) -> Outcome {
        self.actor.is_still_in(self.sleep)
    }

    /// It has been woken, and its access went through to a page of this content.
    #[track_caller]
    pub fn is_woken_to(&self, content: Pattern) -> Outcome {
        let value = self.actor.is_woken()?;
        let expected = if self.access == Access::Write { WRITTEN } else { content.byte(self.offset) };
        ensure_eq!(value, expected, "the byte at {:#x} of the page, for the woken thread", self.offset);
        Ok(())
    }

    /// It has been woken although nothing was there, and has fallen asleep in the same fault again.
    #[track_caller]
    pub fn faults_again(&mut self) -> Outcome {
        self.sleep = self.actor.faults_again(self.sleep)?;
        Ok(())
    }
}

/// What addresses messages give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// The first of the page.
    OfPages,
    /// Where the access was: `UFFD_FEATURE_EXACT_ADDRESS`.
    Exact,
}

impl Axis for Addresses {
    fn axis(&self) -> &'static str {
        "addresses"
    }
    fn value(&self) -> String {
        match self {
            Self::OfPages => "of-pages",
            Self::Exact => "exact",
        }
        .to_owned()
    }
    fn needs(&self) -> Vec<Need> {
        vec![Need::Feature(self.features())]
    }
}

impl Addresses {
    /// What the handshake asks for.
    pub const fn features(self) -> u64 {
        match self {
            Self::OfPages => 0,
            Self::Exact => UFFD_FEATURE_EXACT_ADDRESS,
        }
    }
}

/// How one of several threads that wait for the same page accesses it: it writes among readers, where that is settled.
///
/// In a private mapping of a file its copy takes the place of the page that was just mapped. A reader that comes in between
/// finds nothing mapped for a moment, and faults and waits once more (seen on 6.18): there all of them read.
pub fn among_readers(memory: Memory, resolver: Resolver) -> Access {
    let copied_on_write = memory.class() == Class::ShmemPrivate && resolver != Resolver::Copy;
    if copied_on_write { Access::Read } else { Access::Write }
}

/// The page holds `content`, but for a byte at `offset` if `access` was to write.
#[track_caller]
pub fn page_holds(page: Page, content: Pattern, access: Access, offset: usize) -> Outcome {
    match access {
        Access::Read => page.holds(content),
        Access::Write => page.holds_but_written(content, &[offset]),
    }
}

/// Three threads that wait for page 0: at its first byte, in its middle with this access, at its last byte.
#[track_caller]
fn three_waiters(scene: &Scene, access: Access) -> Result<[Waiter; 3], Stop> {
    let page = scene.page(0);
    Ok([
        Waiter::at(scene, Access::Read, page.at(0))?,
        Waiter::at(scene, access, page.at(page.size / 2))?,
        Waiter::at(scene, Access::Read, page.at(page.size - 1))?,
    ])
}

/// Filling a page wakes every thread that waits for it.
pub fn every_waiter_of_the_page_is_woken(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), 1)?;
    let (page, content) = (scene.page(0), Scene::filled(resolver, 0));
    let access = among_readers(memory, resolver);
    let waiters = three_waiters(&scene, access)?;
    scene.resolve(resolver, 0, 1, true)?.does(page.size as u64)?;
    for waiter in &waiters {
        waiter.is_woken_to(content)?;
    }
    page_holds(page, content, access, page.size / 2)?;
    scene.uffd.has_nothing_to_read()
}

/// With DONTWAKE all of them sleep on, while another thread finds the page there; `UFFDIO_WAKE` wakes all of them.
pub fn dontwake_leaves_every_waiter_asleep(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), 1)?;
    let (page, content) = (scene.page(0), Scene::filled(resolver, 0));
    let waiters = three_waiters(&scene, Access::Write)?;
    scene.resolve(resolver, 0, 1, false)?.does(page.size as u64)?;
    let found = Actor::access(Access::Read, page.at(8))?.does_not_wait()?;
    ensure_eq!(found, content.byte(8), "the byte that a further thread reads");
    Actor::access(Access::Write, page.at(16))?.does_not_wait()?;
    for waiter in &waiters {
        waiter.sleeps_on()?;
    }
    scene.uffd.has_nothing_to_read()?;
    scene.uffd.wake(page.range()).succeeds()?;
    for waiter in &waiters {
        waiter.is_woken_to(content)?;
    }
    page.holds_but_written(content, &[16, page.size / 2])?;
    scene.uffd.has_nothing_to_read()
}

/// Filling a page wakes nobody who waits for the page before or behind it.
pub fn waiters_of_other_pages_sleep_on(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), 3)?;
    let size = scene.region.page_size();
    let before = Waiter::at(&scene, Access::Read, scene.page(0).at(size - 1))?;
    let own = Waiter::at(&scene, Access::Read, scene.page(1).at(0))?;
    let behind = Waiter::at(&scene, Access::Write, scene.page(2).at(0))?;
    scene.resolve(resolver, 1, 1, true)?.does(size as u64)?;
    own.is_woken_to(Scene::filled(resolver, 1))?;
    before.sleeps_on()?;
    behind.sleeps_on()?;
    scene.page(0).is_not_mapped()?;
    scene.page(2).is_not_mapped()?;
    scene.uffd.has_nothing_to_read()?;
    scene.resolve(resolver, 2, 1, true)?.does(size as u64)?;
    behind.is_woken_to(Scene::filled(resolver, 2))?;
    before.sleeps_on()?;
    scene.resolve(resolver, 0, 1, true)?.does(size as u64)?;
    before.is_woken_to(Scene::filled(resolver, 0))?;
    scene.uffd.has_nothing_to_read()
}

/// Filling several pages wakes those who wait for them, to the last byte, and nobody at the bytes next to them.
pub fn several_pages_wake_just_their_waiters(memory: Memory, resolver: Resolver, addresses: Addresses) -> Outcome {
    let count = if memory.is_hugetlb() { 2 } else { 3 };
    let scene = Scene::with_features(memory, resolver.fault_mode(), count + 2, addresses.features())?;
    let last = scene.region.page_size() - 1;
    let before = Waiter::at(&scene, Access::Read, scene.page(0).at(last))?;
    let mut own = Vec::new();
    for index in 1..=count {
        own.push((index, Waiter::at(&scene, Access::Read, scene.page(index).at(0))?));
        own.push((index, Waiter::at(&scene, Access::Read, scene.page(index).at(last))?));
    }
    let behind = Waiter::at(&scene, Access::Read, scene.page(count + 1).at(0))?;
    scene.resolve(resolver, 1, count, true)?.does(scene.region.pages(1, count).len)?;
    for (index, waiter) in &own {
        waiter.is_woken_to(Scene::filled(resolver, *index))?;
    }
    before.sleeps_on()?;
    behind.sleeps_on()?;
    scene.uffd.has_nothing_to_read()
}

/// Filling that stops at a page that is there wakes those who wait for the pages before it, and nobody else.
pub fn partial_progress_wakes_what_was_done(memory: Memory, resolver: Resolver) -> Outcome {
    let done = if memory.is_hugetlb() { 1 } else { 2 };
    let scene = Scene::new(memory, resolver.fault_mode(), done + 2)?;
    let size = scene.region.page_size();
    let mut waiters = Vec::new();
    for index in 0..done + 2 {
        waiters.push(Waiter::at(&scene, Access::Read, scene.page(index).at(0))?);
    }
    scene.resolve(resolver, done, 1, false)?.does(size as u64)?;
    scene.resolve(resolver, 0, done + 2, true)?.stops_after((done * size) as u64)?;
    for (index, waiter) in waiters.iter().take(done).enumerate() {
        waiter.is_woken_to(Scene::filled(resolver, index))?;
    }
    let (there, behind) = (&waiters[done], &waiters[done + 1]);
    there.sleeps_on()?;
    behind.sleeps_on()?;
    // A call that fills nothing wakes nobody.
    scene.resolve(resolver, done, 2, true)?.fails(Errno::EEXIST)?;
    there.sleeps_on()?;
    behind.sleeps_on()?;
    scene.page(done + 1).is_not_mapped()?;
    scene.uffd.wake(scene.page(done).range()).succeeds()?;
    there.is_woken_to(Scene::filled(resolver, done))?;
    behind.sleeps_on()?;
    scene.uffd.has_nothing_to_read()
}

/// A fault whose message nobody has read yet is resolved too, and its message is gone.
pub fn unread_fault_is_resolved_with_its_message(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), 1)?;
    let (page, content) = (scene.page(0), Scene::filled(resolver, 0));
    let read = Waiter::at(&scene, Access::Read, page.at(0))?;
    let unread = Waiter::unread(&scene, Access::Read, page.at(8))?;
    let write = Waiter::unread(&scene, among_readers(memory, resolver), page.at(16))?;
    scene.resolve(resolver, 0, 1, true)?.does(page.size as u64)?;
    for waiter in [read, unread, write] {
        waiter.is_woken_to(content)?;
    }
    scene.uffd.polls(0)?;
    scene.uffd.has_nothing_to_read()
}

/// With DONTWAKE a message that nobody has read yet stays to be read, and its thread asleep.
pub fn dontwake_leaves_the_message_to_be_read(memory: Memory, resolver: Resolver) -> Outcome {
    let scene = Scene::new(memory, resolver.fault_mode(), 1)?;
    let page = scene.page(0);
    let waiter = Waiter::unread(&scene, Access::Read, page.at(0))?;
    scene.resolve(resolver, 0, 1, false)?.does(page.size as u64)?;
    scene.uffd.polls(libc::POLLIN)?;
    waiter.message_is_next(&scene)?;
    waiter.sleeps_on()?;
    scene.uffd.has_nothing_to_read()?;
    scene.uffd.wake(page.range()).succeeds()?;
    waiter.is_woken_to(Scene::filled(resolver, 0))
}

/// The flags of the message about a write to a page that userfaultfd has write-protected.
pub const PROTECTED_WRITE: u64 = UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP;

/// A write to the protected page waits and changes nothing; `UFFDIO_WRITEPROTECT` lets it through.
#[track_caller]
pub fn a_write_waits_for_writeprotect(scene: &Scene, page: Page, content: Pattern) -> Outcome {
    let writer = Actor::access(Access::Write, page.at(8))?;
    let sleep = writer.falls_asleep()?;
    scene.uffd.fault_at(PROTECTED_WRITE, page.start)?;
    page.holds(content)?;
    writer.is_still_in(sleep)?;
    scene.uffd.writeprotect(page.range(), 0).succeeds()?;
    writer.is_woken()?;
    page.is_not_protected()?;
    page.holds_but_written(content, &[8])?;
    scene.uffd.has_nothing_to_read()
}

/// Page 0 is filled with MODE_WP and DONTWAKE: its waiters sleep on; woken, the reader reads and the writer waits again,
/// now for the protection.
pub fn a_woken_writer_meets_the_protection(
    scene: &Scene,
    content: Pattern,
    fill: impl FnOnce(Range) -> Reply,
) -> Outcome {
    let page = scene.page(0);
    let reader = Waiter::at(scene, Access::Read, page.at(0))?;
    let mut writer = Waiter::at(scene, Access::Write, page.at(8))?;
    fill(page.range()).does(page.size as u64)?;
    reader.sleeps_on()?;
    writer.sleeps_on()?;
    page.is_protected()?;
    scene.uffd.wake(page.range()).succeeds()?;
    reader.is_woken_to(content)?;
    writer.faults_again()?;
    scene.uffd.fault_at(PROTECTED_WRITE, page.start)?;
    page.holds(content)?;
    scene.uffd.writeprotect(page.range(), 0).succeeds()?;
    writer.is_woken_to(content)?;
    page.holds_but_written(content, &[8])?;
    scene.uffd.has_nothing_to_read()
}
