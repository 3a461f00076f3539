//! The argument of `UFFDIO_REGISTER` and the caller's situation: bad addresses, a target that is gone, a pending event.

use super::ioctls;
use crate::prelude::*;
use crate::{argument, gone};

/// The argument for a registration, `ioctls` in its last field.
fn words(range: Range, mode: u64, ioctls: u64) -> [u64; 4] {
    [range.start, range.len, mode, ioctls]
}

/// What stands in the `ioctls` field before the call does not matter: success overwrites it, failure leaves it.
#[rstest]
#[test_attr(registered(conformance))]
fn the_ioctls_field_is_not_read() -> Outcome {
    begin!(statements: ["REG-047"])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(1)?);
    for before in [0, 1, u64::MAX, 1 << 63, ioctls::expected(false, Mode::MISSING)] {
        for (mode, result, after) in [
            (0, Err(Errno::EINVAL), before),
            (UFFDIO_REGISTER_MODE_MISSING, Ok(0), ioctls::expected(false, Mode::MISSING)),
        ] {
            let argument = argument::Argument::new(&words(region.range(), mode, before))?;
            let reply = uffd.ioctl("UFFDIO_REGISTER", UFFDIO_REGISTER, argument.address());
            ensure_eq!(reply.result, result, "UFFDIO_REGISTER for mode {mode} with {before:#x} in ioctls");
            ensure_eq!(argument.words(), words(region.range(), mode, after), "the argument after the call");
        }
    }
    Ok(())
}

/// With an `ioctls` field that cannot be written the call fails with `EFAULT`, but the range is registered.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unwritable_ioctls_field_registers(
    #[values(argument::Flaw::ReadOnly, argument::Flaw::LastUnmapped)] flaw: argument::Flaw,
) -> Outcome {
    begin!(statements: ["REG-048"], axes: [Memory::Anon, Mode::MISSING, flaw])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(2)?);
    let range = region.pages(0, 1);
    for address in argument::flawed(flaw, &words(range, UFFDIO_REGISTER_MODE_MISSING, 0))? {
        let reply = uffd.ioctl("UFFDIO_REGISTER", UFFDIO_REGISTER, address);
        ensure_eq!(reply.result, Err(Errno::EFAULT), "UFFDIO_REGISTER with {flaw:?}");
    }
    tracking::just(&region, &[(range, Mode::MISSING)])?;
    tracking::delivered(&uffd, region.page(0), Mode::MISSING)?;
    uffd.register(range, UFFDIO_REGISTER_MODE_MISSING).does(ioctls::expected(false, Mode::MISSING))
}

/// An argument that cannot be read is refused with `EFAULT`, and nothing is registered.
#[rstest]
#[test_attr(registered(conformance))]
fn an_unreadable_argument_is_refused(
    #[values(argument::Flaw::Nowhere, argument::Flaw::Inaccessible, argument::Flaw::HalfUnmapped)] flaw: argument::Flaw,
) -> Outcome {
    begin!(statements: ["REG-049"], axes: [flaw])?;
    let (uffd, region) = (given::uffd(0)?, Memory::Anon.map(2)?);
    for address in argument::flawed(flaw, &words(region.range(), UFFDIO_REGISTER_MODE_MISSING, 0))? {
        let reply = uffd.ioctl("UFFDIO_REGISTER", UFFDIO_REGISTER, address);
        ensure_eq!(reply.result, Err(Errno::EFAULT), "UFFDIO_REGISTER with its argument at {address:#x}");
    }
    super::refusal::left_no_trace(&uffd, &region)
}

/// Once the memory of the userfaultfd's process is gone, a registration is refused with `ENOMEM`.
#[rstest]
#[test_attr(registered(conformance))]
fn a_target_that_is_gone_is_refused(#[values(gone::Gone::Exited, gone::Gone::Execed)] how: gone::Gone) -> Outcome {
    begin!(statements: ["REG-050", "REG-047"], axes: [how])?;
    let target = gone::target(how, Memory::Anon, None)?;
    target.uffd.register(target.range, UFFDIO_REGISTER_MODE_MISSING).is_refused(Errno::ENOMEM)?;
    target.uffd.has_nothing_to_read()
}
