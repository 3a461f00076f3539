//! The calls that touch a page do on plain memory what their descriptions say.

use uffd_harness::Error;
use uffd_harness::actor::{DELIVERED, KernelAccess, Process};
use uffd_harness::kernel;
use uffd_harness::memory::{Memory, Pattern};

/// What the page holds before the call.
const BEFORE: Pattern = Pattern::new(1);

#[test]
fn every_call_completes_on_a_page_that_is_there() -> Result<(), Error> {
    for call in KernelAccess::ALL {
        let here = kernel::current();
        if uffd_harness::case::Axis::needs(&call).into_iter().any(|need| need.lack(here, 0).is_some()) {
            continue;
        }
        let region = Memory::Anon.map(1)?;
        let (page, len) = (region.page(0), region.page_size());
        page.fill(BEFORE);
        // ptrace wants another process; the page is then that process's copy.
        let traced = matches!(call, KernelAccess::PtracePeek | KernelAccess::PtracePoke);
        let other = if traced { Some(Process::start(sleep)?) } else { None };
        let made = match &other {
            Some(process) => call.make_in(process.pid(), page.start, len)?,
            None => call.make(page.start, len)?,
        };
        assert_eq!(made.result, call.completes(len), "{}", call.name());
        if let Some(taken) = made.taken {
            assert!(!call.writes(), "{}", call.name());
            assert_eq!(taken, BEFORE.bytes(call.passes(len)), "{}", call.name());
        }
        let delivered = if call.writes() && !traced { call.passes(len) } else { 0 };
        assert_eq!(DELIVERED.differs(page.start, delivered), None, "{}", call.name());
        if delivered == 0 {
            assert_eq!(page.differs(BEFORE), None, "{}", call.name());
        }
    }
    Ok(())
}

fn sleep() -> i32 {
    loop {
        std::thread::park();
    }
}
