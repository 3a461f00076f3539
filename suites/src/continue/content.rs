//! What `UFFDIO_CONTINUE` leaves in memory.
