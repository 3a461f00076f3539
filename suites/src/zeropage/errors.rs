//! What `UFFDIO_ZEROPAGE` refuses, and that a refusal changes nothing.
