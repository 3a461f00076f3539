//! `UFFDIO_WAKE`: UFFDIO_WAKE(2const).

mod errors;
mod others;
mod waiters;
