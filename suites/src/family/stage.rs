//! What a failing call must leave alone, and the call that must work beside it.

use uffd_harness::memory::vma;

use super::{Call, Request, all_absent, first_byte, holds};
use crate::prelude::*;

/// How many pages the region has.
const PAGES: usize = 3;

/// A region of three pages for one ioctl. A thread waits on the middle page; the call that works is about that page alone.
///
/// For an ioctl that works on pages that are there (WRITEPROTECT, RWPROTECT) the middle page is there and protected,
/// and the thread waits to write to it. Nothing else is mapped.
pub struct Stage {
    /// The userfaultfd and the region. In a MINOR mode the middle page and the one behind it are in the page cache.
    pub scene: Scene,
    /// The call that works.
    pub request: Request,
    waiter: Option<(Actor<u8>, Sleep)>,
}

impl Stage {
    /// A stage for the ioctl on this memory.
    #[track_caller]
    pub fn new(call: Call, memory: Memory) -> Result<Self, Stop> {
        Self::with_features(call, memory, 0)
    }

    /// The same, of a userfaultfd with these features.
    #[track_caller]
    pub fn with_features(call: Call, memory: Memory, features: u64) -> Result<Self, Stop> {
        let uffd = given::uffd(call.features() | features)?;
        Self::on(uffd, call, memory.map(PAGES)?)
    }

    /// The region on which [`Self::on`] sets the stage.
    pub fn region(memory: Memory) -> Result<Region, Stop> {
        Ok(memory.map(PAGES)?)
    }

    /// A stage on a userfaultfd that is there, and on such a [`Self::region`].
    #[track_caller]
    pub fn on(uffd: Uffd, call: Call, region: Region) -> Result<Self, Stop> {
        let mode = call.register_mode();
        let alias = if mode.has(Mode::MINOR) { Some(region.alias()?) } else { None };
        if let Some(alias) = &alias {
            alias.page(1).fill(Scene::cached(1));
            // The neighbour is only there to fault: one word makes it a page of the cache.
            uffd_harness::sys::store(alias.page(2).at(0), Scene::cached(2).word(0));
        }
        let page = region.page(1);
        let src = if matches!(call, Call::Copy | Call::Move) || call.protects() {
            given::source(page.size, call.content(1))?.start() as u64
        } else {
            0
        };
        if call != Call::Register {
            given::register(&uffd, region.range(), mode)?;
        }
        if call.protects() {
            uffd.copy(page.range(), src, 0).does(page.size as u64)?;
            let protect = if call == Call::Rwprotect {
                uffd.rwprotect(page.range(), UFFDIO_RWPROTECT_MODE_RWP)
            } else {
                uffd.writeprotect(page.range(), UFFDIO_WRITEPROTECT_MODE_WP)
            };
            protect.succeeds()?;
        }
        let request = call.on(page.range(), src, if call == Call::Register { mode.bits() } else { 0 });
        let scene = Scene { uffd, region, alias, mode, features: call.features() };
        let mut stage = Self { scene, request, waiter: None };
        if call != Call::Register {
            stage.waiter = Some(stage.wait_on(1)?);
        }
        Ok(stage)
    }

    /// The userfaultfd.
    pub fn uffd(&self) -> &Uffd {
        &self.scene.uffd
    }

    /// The page that the call is about.
    pub fn page(&self) -> Page {
        self.scene.page(1)
    }

    fn call(&self) -> Call {
        self.request.call
    }

    /// What an access to a page of it tells.
    fn fault_flags(&self) -> u64 {
        match self.call() {
            Call::Continue => UFFD_PAGEFAULT_FLAG_MINOR,
            Call::Writeprotect => UFFD_PAGEFAULT_FLAG_WP | UFFD_PAGEFAULT_FLAG_WRITE,
            Call::Rwprotect => UFFD_PAGEFAULT_FLAG_RWP | UFFD_PAGEFAULT_FLAG_WRITE,
            _ => 0,
        }
    }

    /// A thread that waits for page `index`; its message is read.
    fn wait_on(&self, index: usize) -> Result<(Actor<u8>, Sleep), Stop> {
        let page = self.scene.page(index);
        let access = if self.call().protects() { Access::Write } else { Access::Read };
        let waiter = Actor::access(access, page.at(0))?;
        let sleep = waiter.falls_asleep()?;
        self.uffd().fault_at(self.fault_flags(), page.start)?;
        Ok((waiter, sleep))
    }

    /// Makes the call on another range.
    pub fn make(&self, range: Range) -> Reply {
        self.request.over(range).make(self.uffd())
    }

    /// No page has come or gone, the waiter sleeps on, and there is nothing to read.
    #[track_caller]
    pub fn is_unchanged(&self) -> Outcome {
        self.is_unchanged_but_for_messages()?;
        self.uffd().has_nothing_to_read()
    }

    /// No page has come or gone, and the waiter sleeps on.
    #[track_caller]
    pub fn is_unchanged_but_for_messages(&self) -> Outcome {
        let there = if self.call().protects() { 1 } else { PAGES };
        all_absent((0..PAGES).filter(|index| *index != there).map(|index| self.scene.page(index)))?;
        if self.call().protects() {
            ensure!(self.page().state()?.uffd_wp(), "the page has lost its protection");
        }
        if self.call() == Call::Register {
            let flags: Vec<_> =
                vma::within(self.scene.region.range())?.iter().map(|vma| vma.uffd_flags().concat()).collect();
            ensure_eq!(flags.concat(), "", "userfaultfd's VmFlags of the region");
        }
        match &self.waiter {
            Some((waiter, sleep)) => waiter.is_still_in(*sleep),
            None => Ok(()),
        }
    }

    /// Nothing was changed so far, and the call works: the reply, the page and its neighbours, the waiter, the registration.
    #[track_caller]
    pub fn works(&self) -> Outcome {
        self.has_worked(self.request.make(self.uffd()))
    }

    /// The same of a call that was made already and gave this reply.
    #[track_caller]
    pub fn has_worked(&self, reply: Reply) -> Outcome {
        match self.call() {
            Call::Wake | Call::Unregister | Call::Writeprotect | Call::Rwprotect => reply.succeeds()?,
            Call::Register => match (reply.result, reply.field) {
                (Ok(0), Field::Written(_)) => {}
                _ => return Err(broken(format!("{reply}; expected success and a bitmask"))),
            },
            _ => reply.does(self.page().size as u64)?,
        }
        self.waiter_has_what_it_waited_for()?;
        all_absent([0, 2].map(|index| self.scene.page(index)))?;
        if !self.call().protects() && self.call() != Call::Register {
            // That the neighbour still faults shows that the range is registered as before.
            self.wait_on(2)?;
        }
        self.uffd().has_nothing_to_read()
    }

    #[track_caller]
    fn waiter_has_what_it_waited_for(&self) -> Outcome {
        let Some((waiter, _)) = &self.waiter else {
            let (waiter, sleep) = self.wait_on(1)?;
            return waiter.is_still_in(sleep);
        };
        let content = self.content();
        match self.call() {
            Call::Wake => {
                self.waiter_faults_again()?;
                self.uffd().fault_at(self.fault_flags(), self.page().start).map(drop)
            }
            Call::Poison => {
                waiter.dies_of(libc::SIGBUS)?;
                all_absent([self.page()])
            }
            Call::Writeprotect | Call::Rwprotect => {
                waiter.is_woken()?;
                Ok(())
            }
            _ => {
                ensure_eq!(waiter.is_woken()?, first_byte(content), "the byte that the waiter read");
                holds(self.page(), content)
            }
        }
    }

    /// What the page holds when the call has worked.
    pub fn content(&self) -> Pattern {
        self.call().content(1)
    }

    /// The call has filled the page, and its waiter has not been woken: the page is there, the waiter sleeps until a wake.
    #[track_caller]
    pub fn is_filled_but_not_woken(&self) -> Outcome {
        holds(self.page(), self.content())?;
        all_absent([0, 2].map(|index| self.scene.page(index)))?;
        let Some((waiter, sleep)) = &self.waiter else { return Err(broken("nobody waits")) };
        waiter.is_still_in(*sleep)?;
        self.uffd().has_nothing_to_read()
    }

    /// A wake of the page by this userfaultfd, and the waiter has read the byte that was filled in.
    #[track_caller]
    pub fn is_woken_by_wake(&self) -> Outcome {
        self.uffd().wake(self.page().range()).succeeds()?;
        let Some((waiter, _)) = &self.waiter else { return Err(broken("nobody waits")) };
        ensure_eq!(waiter.is_woken()?, first_byte(self.content()), "the byte that the waiter read");
        self.uffd().has_nothing_to_read()
    }

    /// The waiter was woken, and since nothing was filled in it waits again.
    #[track_caller]
    pub fn waiter_faults_again(&self) -> Outcome {
        let Some((waiter, sleep)) = &self.waiter else { return Err(broken("nobody waits")) };
        waiter.faults_again(*sleep)?;
        all_absent([self.page()])
    }
}
