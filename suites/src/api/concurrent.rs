//! Handshakes at the same time.

use uffd_harness::fdinfo::FdInfo;
use uffd_harness::sys;

use super::INITIALIZED;
use crate::prelude::*;

/// What each of them asks for.
const WISHES: [u64; 3] = [0, UFFD_FEATURE_THREAD_ID, UFFD_FEATURE_MISSING_SHMEM];

/// Of handshakes that all have passed their checks, one succeeds; its features are enabled, and the others are refused.
///
/// Their arguments lie in pages that can be read but not yet written, so that all stand still in the middle of the ioctl.
#[rstest]
#[test_attr(registered(conformance))]
fn of_handshakes_at_the_same_time_one_succeeds() -> Outcome {
    begin!(
        statements: ["API-011"],
        needs: [Need::KernelFaults, Need::Feature(UFFD_FEATURE_PAGEFAULT_FLAG_WP)]
    )?;
    let (stop, arguments) = (given::uffd(0)?, Memory::Anon.map(WISHES.len())?);
    for (index, features) in WISHES.into_iter().enumerate() {
        for (offset, word) in [UFFD_API, features, 0].into_iter().enumerate() {
            sys::store(arguments.page(index).at(8 * offset), word);
        }
    }
    given::register(&stop, arguments.range(), Mode::WP)?;
    stop.writeprotect(arguments.range(), UFFDIO_WRITEPROTECT_MODE_WP).succeeds()?;

    let uffd = given::raw_uffd()?;
    let mut calls = Vec::new();
    for index in 0..WISHES.len() {
        let (uffd, argument) = (uffd.duplicate().map_err(broken)?, arguments.page(index).start);
        let call = Actor::start(move || uffd.ioctl("UFFDIO_API", UFFDIO_API, argument).result)?;
        call.falls_asleep()?;
        calls.push(call);
    }
    uffd.polls(libc::POLLERR)?;
    stop.writeprotect(arguments.range(), 0).succeeds()?;

    let mut granted = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let result = call.is_woken()?;
        let words = [0, 8, 16].map(|offset| sys::load(arguments.page(index).at(offset)));
        match result {
            Ok(0) => {
                let here = uffd_harness::kernel::current();
                ensure_eq!(words, [UFFD_API, here.features, here.ioctls], "the argument of a handshake that succeeded");
                granted.push(WISHES[index]);
            }
            Err(Errno::EINVAL) => ensure_eq!(words, [0; 3], "the argument of a handshake that was refused"),
            other => return Err(broken(format!("a handshake gave {other:?}"))),
        }
    }
    ensure_eq!(granted.len(), 1, "the number of handshakes that succeeded");
    ensure_eq!(FdInfo::of(&uffd)?.features, INITIALIZED | granted[0], "the enabled features");
    uffd.polls(0)
}
