//! What `UFFDIO_WAKE` refuses, and that a refusal changes nothing.
