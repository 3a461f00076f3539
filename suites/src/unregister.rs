//! `UFFDIO_UNREGISTER`: UFFDIO_UNREGISTER(2const).

mod marks;
mod part;
mod refused;
mod served;
mod waiters;
