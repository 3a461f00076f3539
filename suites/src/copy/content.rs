//! What `UFFDIO_COPY` leaves in memory.
