//! `UFFDIO_ZEROPAGE`: UFFDIO_ZEROPAGE(2const).

mod content;
mod errors;
mod markers;
mod waiters;
