//! The command line.

use std::process::ExitCode;

use clap::Parser;
use seatkeeper::cli::vendor::{self, VendorCommand};

#[derive(Debug, Parser)]
#[command(version, about)]
enum Command {
    /// The vendor's side: keys and licenses. Needs no server.
    #[command(subcommand)]
    Vendor(VendorCommand),
}

fn main() -> ExitCode {
    let Command::Vendor(command) = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            // clap says 2 for usage; sysexits and interfaces.md 3 say 64.
            let status = if error.use_stderr() { 64 } else { 0 };
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    ExitCode::from(vendor::run(command))
}
