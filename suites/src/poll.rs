//! poll, read and close of the descriptor: userfaultfd(2).
