//! `UFFDIO_CONTINUE`: UFFDIO_CONTINUE(2const).

mod content;
mod errors;
mod private;
mod protected;
mod waiters;
