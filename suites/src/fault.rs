//! Page faults and their messages: userfaultfd(2).
