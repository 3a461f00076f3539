//! `probe`: what this kernel and machine offer, why something is missing, and what to do.

use uffd_harness::kernel::feature::FEATURES;
use uffd_harness::kernel::{self, Creation, Kernel};

use super::{PASSED, print};

/// Prints what the kernel and the machine offer.
pub(super) fn probe(json: bool) -> anyhow::Result<u8> {
    let here = kernel::current();
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(here)?))?;
        return Ok(PASSED);
    }
    print(&text(here))?;
    Ok(PASSED)
}

fn text(here: &Kernel) -> String {
    let machine = &here.machine;
    let mut text = format!(
        "kernel       {} {} ({})\nmachine      {} CPUs, {} MiB of memory, pages of {} bytes\n",
        here.release,
        here.architecture,
        here.version,
        machine.cpus,
        machine.memory_kib / 1024,
        machine.page_size
    );
    text += &format!(
        "userfaultfd  {}\n",
        match (here.absence(), here.creation) {
            (Some(absence), _) => absence,
            (None, None) => "cannot be created, see below; the cases say what is wrong with it".to_owned(),
            (None, Some(Creation::Syscall)) => "by system call, faults of the kernel's own accesses too".to_owned(),
            (None, Some(Creation::Device)) => "by /dev/userfaultfd, faults of the kernel's own accesses too".to_owned(),
            (None, _) =>
                "only UFFD_USER_MODE_ONLY: faults of the kernel's own accesses are not delivered; to change that \
                          run as root, give access to /dev/userfaultfd, or sysctl vm.unprivileged_userfaultfd=1"
                    .to_owned(),
        }
    );
    let way =
        |refusal: &Option<String>| refusal.as_ref().map_or("yes".to_owned(), |errno| format!("refused with {errno}"));
    text += &format!(
        "  system call {}, with UFFD_USER_MODE_ONLY {}, /dev/userfaultfd {}\n",
        way(&here.ways.syscall),
        way(&here.ways.user_mode_only),
        way(&here.ways.device)
    );
    if let Some(errno) = &here.handshake {
        text += &format!("handshake    UFFDIO_API without features failed with {errno}: a defect of this kernel\n");
    }
    text += &format!("features     {:#x}\n", here.features);
    for (bit, name) in FEATURES {
        text += &format!("  {} UFFD_FEATURE_{name}\n", if here.has(bit) { "yes" } else { " no" });
    }
    text += &format!("ioctls       {:#x}\n", here.ioctls);
    for pool in &machine.pools {
        text += &format!(
            "hugepages    {} KiB: {} in the pool, {} free, {} reserved\n",
            pool.size_kib, pool.total, pool.free, pool.reserved
        );
    }
    if machine.pools.is_empty() {
        text += "hugepages    none: the kernel has no hugetlb support, or /sys is not mounted\n";
    } else if !machine.has_capability("CAP_SYS_ADMIN") {
        text += "  the pool may only be changed by root: echo 16 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages\n";
    }
    text += &format!(
        "huge pages   transparent: {}\n",
        machine.thp.as_deref().unwrap_or("the kernel has none, or /sys is not mounted")
    );
    text += &format!(
        "rights       uid {}, {} capabilities, vm.unprivileged_userfaultfd={}\n",
        machine.uid,
        machine.capabilities.len(),
        machine.unprivileged_userfaultfd.map_or("absent".to_owned(), |value| value.to_string())
    );
    if !machine.procfs {
        text +=
            "/proc        not mounted, or not that of this pid namespace: no case can run; mount -t proc proc /proc\n";
    }
    text
}
