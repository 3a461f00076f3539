//! The command `uffd-conformance`: see the module `command` of the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    uffd_harness::sys::hold_if_asked();
    if std::process::id() == 1 && uffd_harness::kernel::machine::is_initramfs() {
        uffd_conformance::init::run();
    }
    uffd_conformance::command::main()
}
