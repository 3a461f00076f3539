//! What `UFFDIO_COPY` refuses, and that a refusal changes nothing.

mod argument;
mod file;
mod full;
mod over;
mod partial;
mod race;
mod range;
mod source;
mod target;
