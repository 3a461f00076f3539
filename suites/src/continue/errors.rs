//! What `UFFDIO_CONTINUE` refuses, and that a refusal changes nothing.

mod argument;
mod memory;
mod over;
mod range;
mod target;
