//! What `UFFDIO_WAKE` leaves in memory.
