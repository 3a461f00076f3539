//! Why the harness itself could not do its work.

use nix::errno::Errno;

/// A step of the harness failed; never a statement about userfaultfd.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call that the harness needs for itself failed.
    #[error("{call}: {errno}")]
    Call {
        /// The call and what it was for.
        call: String,
        /// What the kernel answered.
        errno: Errno,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// This machine lacks the means; the case is skipped for it.
    #[error("{0}")]
    Machine(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The error of the system call `call` that answered `errno`.
    pub fn call(call: impl Into<String>, errno: Errno) -> Self {
        Self::Call { call: call.into(), errno }
    }

    /// The error of reading or writing `path`.
    pub fn file(path: impl Into<String>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

/// Puts the name of the call to its errno.
pub(crate) trait Named<T> {
    /// Names the call that failed.
    fn named(self, call: &str) -> Result<T, Error>;
}

impl<T> Named<T> for nix::Result<T> {
    fn named(self, call: &str) -> Result<T, Error> {
        self.map_err(|errno| Error::call(call, errno))
    }
}

impl<T> Named<T> for rustix::io::Result<T> {
    fn named(self, call: &str) -> Result<T, Error> {
        self.map_err(|errno| Error::call(call, Errno::from_raw(errno.raw_os_error())))
    }
}

impl<T> Named<T> for std::io::Result<T> {
    fn named(self, call: &str) -> Result<T, Error> {
        self.map_err(|error| Error::call(call, Errno::from_raw(error.raw_os_error().unwrap_or(0))))
    }
}
