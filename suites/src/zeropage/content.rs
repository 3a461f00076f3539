//! What `UFFDIO_ZEROPAGE` leaves in memory.
