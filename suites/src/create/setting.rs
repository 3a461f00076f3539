//! The sysctl `vm.unprivileged_userfaultfd`: `Documentation/admin-guide/sysctl/vm.rst`.

use uffd_harness::kernel::{self, sysctl};
use uffd_harness::{gate, sys};

use crate::prelude::*;

fn value() -> Option<String> {
    Some(std::fs::read_to_string(sysctl::UNPRIVILEGED).ok()?.trim().to_owned())
}

fn write(text: &str) -> Option<Errno> {
    gate::write_setting(sysctl::UNPRIVILEGED, text).err()
}

/// The sysctl takes 0 and 1 only, of root only, and is 0 where nobody set it (1 before `UFFD_USER_MODE_ONLY` came).
#[rstest]
#[test_attr(registered(conformance))]
fn it_takes_0_and_1_only() -> Outcome {
    begin!(statements: ["CREATE-011"], needs: [Need::Capability("CAP_SYS_ADMIN"), Need::Capability("CAP_SETUID")])?;
    let default = if kernel::current().ways.user_mode_only.is_none() { "0" } else { "1" };
    let _held = sysctl::hold_unprivileged(default.parse().map_err(broken)?)?;
    // The mount's answer, which comes before the sysctl is asked.
    if write(default) == Some(Errno::EROFS) {
        let reason = "/proc/sys is read-only here: run as root where it may be written";
        return Err(uffd_harness::Error::Machine(reason.to_owned()).into());
    }
    for text in ["2", "-1", "255", "4294967296", "x"] {
        ensure_eq!(write(text), Some(Errno::EINVAL), "writing {text}");
        ensure_eq!(value().as_deref(), Some(default), "the value after writing {text}");
    }
    ensure_eq!(write(default), None, "writing {default}");
    // Nobody else can have set anything on a machine of our own.
    if kernel::machine::is_disposable() {
        let found = kernel::current().machine.unprivileged_userfaultfd;
        ensure_eq!(found.map(|value| value.to_string()).as_deref(), Some(default), "the value that nobody set");
    }
    sys::become_nobody().map_err(broken)?;
    ensure_eq!(write(default), Some(Errno::EACCES), "writing as an ordinary user");
    Ok(())
}
