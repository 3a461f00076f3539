//! Whom `UFFDIO_ZEROPAGE` wakes and whom it does not.
