//! `/dev/userfaultfd`: userfaultfd.rst, "Creating a userfaultfd".

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use uffd_harness::kernel::{device, sysctl};
use uffd_harness::{gate, sys};

use super::descriptor::unknown_requests;
use crate::prelude::*;

/// A region registered at `uffd` gives messages of user-mode and of kernel faults, and COPY resolves both.
#[track_caller]
fn sees_every_fault(uffd: &Uffd) -> Outcome {
    let region = Memory::Anon.map(2)?;
    given::register(uffd, region.range(), Mode::MISSING)?;
    let content = Pattern::new(0);
    let source = given::source(region.page_size(), content)?;
    let (in_user_mode, in_kernel) = (region.page(0), region.page(1));
    let access = Actor::start(move || sys::load(in_user_mode.at(0)))?;
    access.falls_asleep()?;
    uffd.fault_at(0, in_user_mode.at(0))?;
    let file = sys::memfd(libc::MFD_CLOEXEC).map_err(broken)?;
    let call = Actor::start(move || sys::write_from(file.as_fd(), in_kernel.at(0), 8))?;
    call.falls_asleep_in(libc::SYS_write)?;
    uffd.fault_at(0, in_kernel.at(0))?;
    for page in [in_user_mode, in_kernel] {
        uffd.copy(page.range(), source.start() as u64, 0).does(page.size as u64)?;
        ensure_eq!(page.differs(content), None, "a page filled by UFFDIO_COPY");
    }
    ensure_eq!(access.is_woken()?, content.word(0), "the word read");
    ensure_eq!(call.is_woken()?, Ok(8), "write(2)");
    Ok(())
}

/// A userfaultfd from the device is as good as one from the system call.
#[rstest]
#[test_attr(registered(conformance))]
fn it_gives_userfaultfds_like_those_of_the_system_call() -> Outcome {
    begin!(statements: ["CREATE-014"], needs: [Need::Device])?;
    let device = device::open().map_err(broken)?;
    // One open device gives any number of them, and they need it no longer.
    let made = [(); 2].map(|()| Uffd::create_by_device(device.as_fd(), libc::O_NONBLOCK));
    drop(device);
    for uffd in made {
        let uffd = uffd.map_err(broken)?;
        uffd.api(UFFD_API, 0).is_granted()?;
        sees_every_fault(&uffd)?;
    }
    Ok(())
}

/// Every ioctl but `USERFAULTFD_IOC_NEW` is refused by the device with `EINVAL` and makes no descriptor.
#[rstest]
#[test_attr(registered(conformance))]
fn other_ioctls_are_refused() -> Outcome {
    begin!(statements: ["CREATE-016"], needs: [Need::Device])?;
    let device = device::open().map_err(broken)?;
    let argument = Memory::Anon.map(1)?;
    let content = Pattern::new(0);
    argument.page(0).fill(content);
    let next = Uffd::create_by_device(device.as_fd(), 0).map_err(broken)?.fd().as_raw_fd();
    let known = [UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY, UFFDIO_WAKE, USERFAULTFD_IOC_NEW ^ 1 << 31];
    let numbers = (1..=0xff).map(|number| USERFAULTFD_IOC_NEW + number);
    for request in numbers.chain(known).chain(unknown_requests()).filter(|request| *request != USERFAULTFD_IOC_NEW) {
        for argument in [0, argument.start()] {
            let answer = gate::ioctl(device.as_fd(), request, argument);
            ensure_eq!(answer, Err(Errno::EINVAL), "ioctl {request:#x} with {argument:#x}");
        }
    }
    ensure_eq!(argument.page(0).differs(content), None, "the argument of the refused ioctls");
    let uffd = Uffd::create_by_device(device.as_fd(), 0).map_err(broken)?;
    ensure_eq!(uffd.fd().as_raw_fd(), next, "the lowest free descriptor after the refusals");
    Ok(())
}

/// Who may open the node gets a userfaultfd that sees kernel faults, without any capability and with the sysctl at 0.
#[rstest]
#[test_attr(registered(conformance))]
fn access_to_the_node_is_all_it_takes() -> Outcome {
    begin!(
        statements: ["CREATE-017", "API-013"],
        needs: [Need::Device, Need::Capability("CAP_SYS_ADMIN"), Need::Capability("CAP_SETUID")]
    )?;
    let _held = sysctl::hold_unprivileged(0)?;
    let (open, closed) = (device::PrivateNode::new(0o666)?, device::PrivateNode::new(0o600)?);
    let by_others = device::open().map_err(broken)?;
    sys::become_nobody().map_err(broken)?;
    ensure_eq!(Uffd::create(0).err(), Some(Errno::EPERM), "userfaultfd(0) of this user");
    ensure_eq!(closed.open().err(), Some(Errno::EACCES), "opening a node that is root's alone");
    let by_node = open.open().map_err(|errno| broken(format!("opening a node that is everyone's: {errno:?}")))?;
    // A descriptor of the node opened by someone else serves as well.
    for device in [by_node, by_others] {
        let create = || Uffd::create_by_device(device.as_fd(), libc::O_NONBLOCK);
        let uffd = create().map_err(|errno| broken(format!("USERFAULTFD_IOC_NEW failed with {errno:?}")))?;
        uffd.api(UFFD_API, UFFD_FEATURE_EVENT_FORK).is_refused_with_zeros(Errno::EPERM)?;
        uffd.api(UFFD_API, 0).is_granted()?;
        sees_every_fault(&uffd)?;
    }
    Ok(())
}

/// The kernel makes the node for root alone; as long as nobody gave it away an ordinary user gets `EACCES`.
#[rstest]
#[test_attr(registered(conformance))]
fn the_node_is_roots_by_default() -> Outcome {
    begin!(statements: ["CREATE-018"], needs: [Need::Device, Need::Capability("CAP_SETUID")])?;
    let node = std::fs::metadata(device::NODE).map_err(broken)?;
    ensure!(node.file_type().is_char_device(), "{} is no character device", device::NODE);
    // What the kernel asks of whoever makes nodes; without a word it is 0600.
    let uevent = "/sys/class/misc/userfaultfd/uevent";
    if let Ok(uevent) = gate::read_attribute(uevent) {
        let mode = uevent.lines().find_map(|line| line.strip_prefix("DEVMODE="));
        ensure!(matches!(mode, None | Some("0600")), "the kernel asks for a node of mode {mode:?}");
    }
    let mode = node.mode() & 0o7777;
    if node.uid() == 0 && node.gid() == 0 && mode == 0o600 {
        sys::become_nobody().map_err(broken)?;
        ensure_eq!(gate::open_node().err(), Some(Errno::EACCES), "opening the node as an ordinary user");
    } else {
        variant(format!("{mode:o} of {}:{}", node.uid(), node.gid()));
    }
    Ok(())
}
