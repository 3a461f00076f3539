//! Whom `UFFDIO_WAKE` wakes and whom it does not.
