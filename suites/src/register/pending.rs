//! Registering while an event of the same userfaultfd waits to be read.

use super::ioctls;
use crate::calls::Call;
use crate::family::pending::Waiting;
use crate::prelude::*;

/// While an event waits to be read, `UFFDIO_COPY` has to be tried again, but a further range can be registered.
#[rstest]
#[test_attr(registered(conformance))]
fn a_pending_event_does_not_stop_a_registration(
    #[values(Call::Fork, Call::Mremap, Call::Madvise, Call::Munmap)] call: Call,
) -> Outcome {
    begin!(statements: ["REG-053"], axes: [Memory::Anon, Mode::MISSING, call])?;
    let (uffd, region) = (given::uffd(call.feature())?, Memory::Anon.map(2)?);
    let waiting = Waiting::begin(&uffd, call)?;
    uffd.register(region.range(), UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))?;
    tracking::just(&region, &[(region.range(), Mode::MISSING)])?;
    let (first, second) = (region.page(0), region.page(1));
    let source = given::source(first.size, Pattern::new(1))?;
    let copied = uffd.copy(first.range(), source.start() as u64, 0);
    ensure_eq!(copied.result, Err(Errno::EAGAIN), "UFFDIO_COPY while the event is pending");
    waiting.end(&uffd)?;
    uffd.copy(first.range(), source.start() as u64, 0).does(first.size as u64)?;
    tracking::delivered(&uffd, second, Mode::MISSING)?;
    Ok(())
}
