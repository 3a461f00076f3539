//! Running the command in ordinary and in hostile surroundings.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use tempfile::TempDir;

/// How the command ended and what it printed.
#[derive(Debug)]
pub struct Done {
    /// The exit status.
    pub status: i32,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

/// The command of this build.
pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_uffd-conformance"))
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Done {
    let done = command.output().expect("the command starts");
    Done {
        status: done.status.code().unwrap_or(-1),
        stdout: String::from_utf8(done.stdout).expect("text"),
        stderr: String::from_utf8(done.stderr).expect("text"),
    }
}

/// What it printed; it must have ended well.
pub fn out(command: &mut Command) -> String {
    let done = run(command);
    assert_eq!(done.status, 0, "{done:?}");
    done.stdout
}

/// The command as an ordinary user, from a folder that such a user can read; only root can do so.
pub fn in_user() -> Option<(Command, TempDir)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let folder = TempDir::with_prefix_in("uffd-user-", "/tmp").expect("a folder");
    let copy = folder.path().join("uffd-conformance");
    // By another process: a descriptor open for writing here could slip into a child and make the copy busy.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_uffd-conformance")).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()), "a copy of the command");
    for path in [folder.path(), &copy] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
    }
    let mut command = Command::new(copy);
    command.uid(65534).gid(65534).current_dir("/");
    Some((command, folder))
}

/// The command where a seccomp filter answers `userfaultfd(2)` with `errno`, as containers have it, and as a user to whom
/// `/dev/userfaultfd` is closed.
pub fn without_userfaultfd(errno: i32) -> Option<(Command, TempDir)> {
    let (mut command, folder) = in_user()?;
    answered(&mut command, libc::SYS_userfaultfd, errno);
    Some((command, folder))
}

/// A seccomp filter answers the system call of this number with `errno`.
pub fn answered(command: &mut Command, call: i64, errno: i32) {
    let filter = [
        // Load the number of the system call.
        libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 },
        // Is it that one?
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: call as u32 },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ERRNO | errno as u32 },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = move || {
        let mut filter = filter;
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the filter lives for the calls, which copy it.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(program) };
}
