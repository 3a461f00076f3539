//! Page-fault messages: userfaultfd(2), "Reading from the userfaultfd structure", and userfaultfd.rst.

mod exiting;
mod faulting;
mod growth;
mod kernel_mode;
mod message;
mod minor;
mod missing;
mod queue;
mod remote;
mod rwp;
mod sigbus;
mod signals;
mod swap;
mod user_mode_only;
mod wp;
