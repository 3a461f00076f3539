//! Tests that need something of the machine: where it is missing they are shown as ignored, with the reason.

use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// How a test ends.
pub type Shown = Result<(), Failed>;

/// A test's name, what is missing here for it, and the test.
pub type Test = (&'static str, Option<String>, fn() -> Shown);

/// Runs the tests, one after the other.
pub fn main(tests: Vec<Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    // nextest takes skips from the list alone.
    let list_skips = arguments.list || std::env::var_os("NEXTEST").is_some();
    let trials = tests
        .into_iter()
        .map(|(name, lack, test)| {
            let ignored = list_skips && lack.is_some();
            let run = move || match lack {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => test().map(|()| Completion::Completed),
            };
            Trial::ignorable_test(name, run).with_ignored_flag(ignored)
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What is missing if this is not root with every right.
pub fn not_root() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can make these surroundings".to_owned());
    }
    lacks("unshare", &["--mount", "true"])
}

/// What is missing if this program does not do this.
pub fn lacks(program: &str, arguments: &[&str]) -> Option<String> {
    let done = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match done {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{program} {} is refused here: {status}", arguments.join(" "))),
        Err(error) => Some(format!("{program}: {error}")),
    }
}

/// An error in words.
pub fn wrong<T>(why: impl Into<String>) -> Result<T, Failed> {
    Err(Failed::from(why.into()))
}
