//! Whom `UFFDIO_CONTINUE` wakes and whom it does not.
