//! `UFFDIO_WAKE`: UFFDIO_WAKE(2const).

mod content;
mod errors;
mod waiters;
