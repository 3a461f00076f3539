//! Process 1 of a guest whose initramfs holds nothing but this program.
//!
//! `scripts/boot` starts such a guest. What the two agree on:
//! - `/uffd-conformance.args` holds the arguments for the command, one a line; without it the command is `run`.
//! - `/dev/ttyS1` goes to the host. The first line on it says that the guest is up, the last one how the command
//!   ended; between them stands the record (of `run`), or the standard output (of any other command).
//! - Everything else, the kernel's messages too, goes to the console.
//! - `/modules/*.ko` are loaded in the order of their names; a `zram0` or `ram0` becomes swap space.
//! - `uffd-conformance.panic-at=CASE` on the kernel's command line makes the kernel panic when that case starts: the test of
//!   what such a death costs.
//! - `uffd-conformance.exit-port=N` on the kernel's command line names the port of QEMU's `isa-debug-exit`, which ends
//!   the guest at once; without it the machine is powered off.
#![allow(unsafe_code, reason = "process 1 makes calls that no wrapper has: swapon, iopl, out")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitStatus, waitpid};

const ARGUMENTS: &str = "/uffd-conformance.args";
const HOST: &str = "/dev/ttyS1";
/// Swap space of a guest: enough for a case, little beside the guest's memory.
const ZRAM_BYTES: u64 = 256 << 20;

/// Runs the command in this guest, tells the host how it ended, and switches the guest off.
pub fn run() -> ! {
    mounts();
    modules();
    if let Err(error) = swap() {
        eprintln!("uffd-conformance: no swap space in this guest: {error}");
    }
    let status = match open_host() {
        Ok(host) => serve(&host),
        Err(error) => {
            eprintln!(
                "uffd-conformance: {HOST} cannot be opened: {error} (the kernel needs CONFIG_SERIAL_8250 and CONFIG_DEVTMPFS)"
            );
            3
        }
    };
    switch_off(status)
}

/// From the first to the last line on the host's serial line; the exit status.
fn serve(mut host: &File) -> i32 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // A host that hears nothing knows that the guest is dead: nothing else can be done about an error here.
    let _ = writeln!(host, r#"{{"type":"boot","release":"{}"}}"#, release.trim());
    let (status, reason) = if has_userfaultfd() {
        match command(host) {
            Ok(status) => verdict(status),
            Err(error) => (3, format!("the command could not be started: {error}")),
        }
    } else {
        (2, "this kernel has no userfaultfd: build it with CONFIG_USERFAULTFD=y".into())
    };
    // The command may have died within a line: the newline in front keeps this one whole.
    let _ = write!(host, "\n{{\"type\":\"exit\",\"status\":{status},\"reason\":\"{reason}\"}}\n");
    let _ = tcdrain(host);
    status
}

/// The exit status to report, and the reason when it is not the command's own.
fn verdict(status: ExitStatus) -> (i32, String) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (code, String::new()),
        (None, signal) => (3, format!("the command died of signal {}", signal.unwrap_or(0))),
    }
}

/// Runs the command as a child, so that process 1 stays free to reap what the cases leave behind.
fn command(host: &File) -> io::Result<ExitStatus> {
    let arguments = fs::read_to_string(ARGUMENTS).unwrap_or_else(|_| format!("run\n--record\n{HOST}\n"));
    let arguments: Vec<&str> = arguments.lines().collect();
    let mut command = Command::new("/proc/self/exe");
    // The console is a log here: progress that overwrites itself would only blur it.
    command.args(&arguments).env("TERM", "dumb").stdin(Stdio::null());
    if let Some(case) = on_command_line("uffd-conformance.panic-at=") {
        command.env(crate::command::PANIC_AT, case);
    }
    if arguments.first() != Some(&"run") {
        command.stdout(host.as_fd().try_clone_to_owned()?);
    }
    let child = command.spawn()?;
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == child.id().cast_signed() => {
                return Ok(ExitStatus::from_raw(code << 8));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == child.id().cast_signed() => {
                return Ok(ExitStatus::from_raw(signal as i32));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Mounts what a case may look for; what this kernel lacks is the business of the cases that need it.
fn mounts() {
    let file_systems = [
        ("proc", "/proc", None),
        ("sysfs", "/sys", None),
        ("devtmpfs", "/dev", None),
        ("tmpfs", "/dev/shm", Some("mode=1777")),
        ("tmpfs", "/tmp", Some("mode=1777")),
        ("tmpfs", "/run", Some("mode=755")),
        ("hugetlbfs", "/dev/hugepages", None),
        ("cgroup2", "/sys/fs/cgroup", None),
    ];
    for (kind, target, options) in file_systems {
        let made = fs::create_dir_all(target).map_err(|error| error.to_string());
        let mounted = made.and_then(|()| {
            mount(Some(kind), target, Some(kind), MsFlags::empty(), options).map_err(|error| error.to_string())
        });
        if let Err(error) = mounted {
            eprintln!("uffd-conformance: {kind} is not mounted on {target}: {error}");
        }
    }
}

fn modules() {
    let Ok(entries) = fs::read_dir("/modules") else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let loaded = File::open(&path)
            .map_err(|error| error.to_string())
            .and_then(|file| finit_module(file, c"", ModuleInitFlags::empty()).map_err(|error| error.to_string()));
        if let Err(error) = loaded {
            eprintln!("uffd-conformance: module {} is not loaded: {error}", path.display());
        }
    }
}

/// Makes swap space of a block device in memory; a kernel that has none goes without.
fn swap() -> io::Result<()> {
    let device = if Path::new("/sys/block/zram0/disksize").exists() {
        fs::write("/sys/block/zram0/disksize", ZRAM_BYTES.to_string())?;
        "zram0"
    } else if Path::new("/sys/block/ram0").exists() {
        "ram0"
    } else {
        return Ok(());
    };
    let sectors = fs::read_to_string(format!("/sys/block/{device}/size"))?;
    let sectors: u64 = sectors.trim().parse().map_err(io::Error::other)?;
    let path = format!("/dev/{device}");
    let mut header = [0_u8; 4096];
    header[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    let last_page = u32::try_from(sectors / 8 - 1).unwrap_or(u32::MAX);
    header[1028..1032].copy_from_slice(&last_page.to_ne_bytes());
    header[4086..].copy_from_slice(b"SWAPSPACE2");
    let mut file = OpenOptions::new().write(true).open(&path)?;
    file.write_all(&header)?;
    file.sync_all()?;
    drop(file);
    let path = std::ffi::CString::new(path)?;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    Errno::result(unsafe { libc::swapon(path.as_ptr(), 0) })?;
    Ok(())
}

/// The serial line to the host, raw: the terminal layer would turn every newline into two bytes.
fn open_host() -> io::Result<File> {
    let host = OpenOptions::new().read(true).write(true).open(HOST)?;
    let mut settings = tcgetattr(&host)?;
    cfmakeraw(&mut settings);
    tcsetattr(&host, SetArg::TCSANOW, &settings)?;
    Ok(host)
}

fn has_userfaultfd() -> bool {
    // SAFETY: the call takes no pointers; the descriptor it may return is closed below.
    let descriptor = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    if descriptor >= 0 {
        // SAFETY: the descriptor is this function's own.
        unsafe { libc::close(descriptor as i32) };
    }
    descriptor >= 0 || Errno::last() != Errno::ENOSYS
}

fn switch_off(status: i32) -> ! {
    if let Some(port) = exit_port() {
        debug_exit(port, status);
    }
    // Only here when there is no such port, or it did nothing.
    let _ = reboot(RebootMode::RB_POWER_OFF);
    // A machine that cannot power off may still restart, which ends a guest just as well.
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    loop {
        nix::unistd::pause();
    }
}

fn exit_port() -> Option<u16> {
    let port = on_command_line("uffd-conformance.exit-port=")?;
    u16::from_str_radix(port.trim_start_matches("0x"), 16).ok()
}

/// What follows `name` on the kernel's command line.
fn on_command_line(name: &str) -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").ok()?;
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned)
}

/// Ends QEMU through its `isa-debug-exit` device: a power-off takes the kernel half a second more.
#[cfg(target_arch = "x86_64")]
fn debug_exit(port: u16, status: i32) {
    // SAFETY: raises this process's I/O privilege and takes no pointers.
    if unsafe { libc::syscall(libc::SYS_iopl, 3) } == 0 {
        // SAFETY: the kernel's command line names this port as one whose only effect is to end the guest.
        unsafe { std::arch::asm!("out dx, ax", in("dx") port, in("ax") status as u16, options(nomem, nostack)) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn debug_exit(_port: u16, _status: i32) {}
