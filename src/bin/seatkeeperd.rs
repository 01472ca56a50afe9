//! The daemon; see [`seatkeeper::daemon`].

use std::process::ExitCode;

fn main() -> ExitCode {
    seatkeeper::daemon::main()
}
