//! What `UFFDIO_WAKE` refuses, and what it puts up with.

mod nobody;
mod range;
mod target;
