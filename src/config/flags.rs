//! The command line of `seatkeeperd` (interfaces.md 2). Every flag but `--config` and `--check` is a key of the file too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;

use super::{LogFormat, Signatures};
use crate::exit;

/// The daemon of Seatkeeper, a floating license server.
///
/// Reads --config, else ./seatkeeper.toml, else /etc/seatkeeper/seatkeeper.toml. A flag overrides the file;
/// --licenses, --trust and --state are enough to run without one. SIGHUP reads licenses and policy again, SIGTERM stops.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "seatkeeperd", version, max_term_width = 100)]
pub struct Flags {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory of license files
    #[arg(long, value_name = "DIR")]
    pub licenses: Option<PathBuf>,
    /// A vendor's public key; may be given several times
    #[arg(long, value_name = "PUBFILE")]
    pub trust: Vec<PathBuf>,
    /// Where clients connect, such as 0.0.0.0:6200; may be given several times [default: 127.0.0.1:6200]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    pub listen: Vec<SocketAddr>,
    /// Where HTTP is answered (metrics, status), or off; away from this machine it takes http_token_file
    /// in the configuration [default: 127.0.0.1:6199]
    #[arg(long, value_name = "ADDR|off")]
    pub http: Option<Http>,
    /// The directory of the journal and the server's identity
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The policy file: who may have what (docs/POLICY.md); read again on reload
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Whose midnight counts, an IANA name such as Europe/Berlin [default: the system's zone]
    #[arg(long, value_name = "NAME")]
    pub time_zone: Option<String>,
    /// Whether unsigned features are refused [default: required]
    #[arg(long, value_enum)]
    pub signatures: Option<Signatures>,
    /// The shape of log lines on stderr [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Read configuration, policy and licenses, print what would be served and every problem, and exit 0 or 78
    #[arg(long)]
    pub check: bool,
    /// Start although the journal is damaged, with what comes before the damage; says what is lost
    #[arg(long)]
    pub accept_loss: bool,
}

impl Flags {
    /// The flags of this process. For `--help`, `--version` and a wrong command line the text is printed, and the
    /// code to exit with (0 or 64) returned.
    ///
    /// # Errors
    /// The code to exit with.
    pub fn of_process() -> Result<Flags, ExitCode> {
        Flags::try_parse().map_err(|error| {
            // Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            ExitCode::from(exit::from_clap(&error))
        })
    }
}

/// Where HTTP is answered, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl Http {
    /// The address, unless it is off.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Http::Off => None,
            Http::At(address) => Some(address),
        }
    }
}

impl FromStr for Http {
    type Err = String;

    fn from_str(text: &str) -> Result<Http, String> {
        if text == "off" {
            return Ok(Http::Off);
        }
        parse_address(text).map(Http::At).map_err(|error| format!("{error}, or \"off\""))
    }
}

/// Reads `ADDRESS:PORT`. Names are not looked up: a listener must not depend on DNS.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an address to listen on: write an IP address and a port, such as \"0.0.0.0:6200\" or \"[::]:6200\"")
    })
}
