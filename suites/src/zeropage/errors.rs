//! What `UFFDIO_ZEROPAGE` refuses, and that a refusal changes nothing.

mod argument;
mod file;
mod over;
mod range;
mod target;
