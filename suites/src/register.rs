//! `UFFDIO_REGISTER`: UFFDIO_REGISTER(2const).

mod accepted;
mod again;
mod argument;
mod effect;
mod extent;
mod files;
mod ioctls;
mod mode;
mod other;
mod pending;
pub(crate) mod range;
mod refusal;
mod rights;
