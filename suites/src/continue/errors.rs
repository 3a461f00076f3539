//! What `UFFDIO_CONTINUE` refuses, and that a refusal changes nothing.
