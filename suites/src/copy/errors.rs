//! What `UFFDIO_COPY` refuses, and that a refusal changes nothing.
