//! `UFFDIO_COPY`: UFFDIO_COPY(2const).

mod atomic;
mod content;
mod errors;
mod file;
mod protected;
mod race;
mod waiters;
