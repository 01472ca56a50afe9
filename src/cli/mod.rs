//! The command line: what a person types, and what it answers (interfaces.md 3).
//!
//! It speaks to the daemon as any application does, over `seatkeeper-client`; `state` and `vendor` need no daemon. What is
//! shown to people goes through [`table`], everything with `--json` is what the server sent. Errors are one
//! [`Failure`]: an exit code of sysexits and a sentence on stderr.
//!
//! - [`args`]: the words
//! - [`server`]: which server or socket, and reports in parts
//! - [`status`], [`show`], [`explain`], [`why`], [`update`], [`denial`], [`events`], [`usage`]: what answers look like
//! - `here`: instants in the zone of this terminal
//! - [`compat`]: what `lmxendutil` and `lmutil lmstat` print, read before clap by `compat::words`
//! - [`seats`]: `checkout` and `run`; [`offline`]: `borrow` and `return`; [`admin`], [`doctor`], [`state`], [`vendor`]: the rest

pub mod admin;
pub mod args;
pub mod compat;
mod coverage;
pub mod denial;
pub mod doctor;
mod event_text;
pub mod events;
pub mod explain;
mod feature_table;
mod here;
pub mod offline;
pub mod paint;
pub mod seats;
pub mod server;
pub mod show;
pub mod state;
pub mod status;
pub mod table;
pub mod update;
pub mod usage;
pub mod vendor;
pub mod why;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::compat::words;
use crate::exit;
use args::{Cli, Command};
use paint::Output;

/// Why a command ends without having done what was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the process exits with: one of [`exit`], or the status of the command that was run.
    pub code: u8,
    /// What is wrong and what to do, for stderr; empty: it has been said.
    pub message: String,
}

impl Failure {
    /// A failure with a sentence.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    /// An exit code without a word.
    pub fn silent(code: u8) -> Failure {
        Failure { code, message: String::new() }
    }
}

/// Standard output is closed or full.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            // Who reads our output has seen enough, as `head` does.
            io::ErrorKind::BrokenPipe => Failure::silent(exit::OK),
            _ => Failure::new(exit::DISK, format!("the output cannot be written: {error}")),
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), &mut io::stdout().lock()))
}

/// Runs one command line, its program's name first, and returns the exit code. Errors and warnings go to stderr.
pub fn run(words: impl IntoIterator<Item = OsString>, out: &mut impl Output) -> u8 {
    let words: Vec<OsString> = words.into_iter().collect();
    let done = match words::tool(&words) {
        Some(tool) => compat::run(tool, out),
        None => match Cli::try_parse_from(&words) {
            Ok(cli) => act(cli.command, out),
            Err(error) => {
                let _ = error.print();
                let is_update_check = words.get(1).is_some_and(|word| word == update::NAME);
                return if is_update_check { update::from_clap(&error) } else { exit::from_clap(&error) };
            }
        },
    };
    match done.and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.message.is_empty() {
                // A closed stderr is no reason for another exit code.
                let _ = writeln!(io::stderr(), "seatkeeper: {}", failure.message);
            }
            failure.code
        }
    }
}

fn act(command: Command, out: &mut impl Output) -> Result<u8, Failure> {
    match command {
        Command::Status(ask) => status::status(&ask, out)?,
        Command::Features(ask) => status::features(&ask, out)?,
        Command::Sessions(ask) => show::sessions(&ask, out)?,
        Command::Borrowed(ask) => show::borrowed(&ask, out)?,
        Command::Queue(ask) => show::queue(&ask, out)?,
        Command::Events(ask) => events::events(&ask, out)?,
        Command::Usage(ask) => usage::usage(&ask, out)?,
        Command::Licenses(ask) => show::licenses(&ask, out)?,
        Command::Explain(ask) => explain::explain(&ask, out)?,
        Command::Why(ask) => return why::why(&ask, out),
        Command::UpdateCheck(ask) => return update::update_check(&ask, out),
        Command::Checkout(ask) => return seats::checkout(&ask, out),
        Command::Run(ask) => return seats::run(&ask),
        Command::Borrow(ask) => offline::borrow(&ask, out)?,
        Command::Return(ask) => offline::give_back(&ask, out)?,
        Command::Release(ask) => admin::release(&ask, out)?,
        Command::Book(ask) => admin::book(&ask, out)?,
        Command::Unbook(ask) => admin::unbook(&ask, out)?,
        Command::WriteOff(ask) => admin::write_off(&ask, out)?,
        Command::Reload(ask) => admin::reload(&ask, out)?,
        Command::Shutdown(ask) => admin::shutdown(&ask, out)?,
        Command::Hostid(ask) => admin::host_ids(&ask, out)?,
        Command::Doctor(ask) => return doctor::doctor(&ask, out),
        Command::State(args::StateCommand::Check(ask)) => return state::check(&ask, out),
        Command::State(args::StateCommand::ClockReset(ask)) => state::clock_reset(&ask, out)?,
        Command::Vendor(command) => return Ok(vendor::run(command)),
        Command::Completions { shell } => {
            // Into memory first: the generator panics where its writer fails, and `… | head` makes it fail.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "seatkeeper", &mut script);
            out.write_all(&script)?;
        }
    }
    Ok(exit::OK)
}
