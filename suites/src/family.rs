//! Error families: what every ioctl refuses in the same way, written once; an ioctl takes part in them by data.
