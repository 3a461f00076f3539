//! `UFFDIO_COPY`: UFFDIO_COPY(2const).

mod content;
mod errors;
mod waiters;
