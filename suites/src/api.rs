//! The handshake: UFFDIO_API(2const).
