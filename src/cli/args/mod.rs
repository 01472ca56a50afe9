//! The words of the command line. What does not work yet is not offered.
//!
//! - `admin`: those of administrators
//! - `values`: from a word to what it means

mod admin;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use seats::change::SessionId;

pub use self::admin::{
    Admin, Book, ClockReset, Doctor, HostId, Release, StateCheck, StateCommand, Unbook, WriteOff,
};
use self::values::{date, fact, gmt_offset, session, version};
use super::vendor::VendorCommand;
use crate::history::usage::By;

/// Floating licenses: what is there, who has it, and why not.
#[derive(Debug, Parser)]
#[command(
    name = "seatkeeper",
    version,
    about,
    after_help = "For monitoring that exists: `seatkeeper lmxendutil -licstat` and `seatkeeper lmutil lmstat -a` print what the \
                  tools of these names print, also under these names (symlinks); `-help` behind them tells more.\n\n\
                  Exit codes: 0 done, 64 usage, 69 no server, 75 denied, 77 not permitted, 70 internal."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The server, each feature with its numbers, and what is wrong with the license files.
    Status(Read),
    /// Each feature with its numbers.
    Features(ReadFeature),
    /// Who has seats; of a client that is gone since when, and what becomes of its seats.
    Sessions(ReadFeature),
    /// Which seats are out on loan, to whom and until when.
    Borrowed(ReadFeature),
    /// Who waits for seats, and in which place.
    Queue(ReadFeature),
    /// What happened, a line each; with --follow what happens.
    Events(Events),
    /// What was used in some days: peaks, seat hours, denials.
    ///
    /// From the history that the server keeps (docs/HISTORY.md).
    Usage(Usage),
    /// Every license of every file: in force, waiting, or not, and why.
    Licenses(ReadFeature),
    /// The sum: base and upgrades make today's total, and what changes on which day.
    Explain(ReadOneFeature),
    /// What would happen to somebody who asks for seats now, and which rule decides.
    Why(Why),
    /// Ask whether a new version would run, before it is unpacked. Takes no seat.
    ///
    /// Without --version: which is the newest that may be installed, by the vendor's release list.
    #[command(
        after_help = "Exit codes: 0 will run, 3 will not, 4 will run but no seat that it may have is free now, \
                            2 wrong use, 1 cannot tell: ask a person, do not assume."
    )]
    UpdateCheck(UpdateCheck),
    /// Take seats and keep them until Ctrl-C.
    Checkout(Checkout),
    /// Run a command with seats, and give them back when it ends.
    Run(Run),
    /// Borrow seats for a computer that will be offline: they are kept for this user and used by `run` and `checkout` with --trust.
    ///
    /// Seats are lent by licenses that allow it (BORROW), for at most so many hours as the license and the policy say. What is borrowed
    /// lies beside the install id, in $XDG_STATE_HOME/seatkeeper or ~/.local/state/seatkeeper, and is good for this user and this
    /// installation only. Asked for again after an answer was lost, it is not taken twice. With --trust what the server lends is
    /// verified at once.
    Borrow(Borrow),
    /// Give back borrowed seats before their end.
    ///
    /// All that is borrowed of the feature on this computer, or the one borrow that --only names. Where a program uses it, that must
    /// end first. If the server's answer is lost, the seats cannot be used here any more, and the same command gives them back.
    Return(Return),
    /// Take a session away from its client.
    Release(Release),
    /// Keep seats for a while for whoever shows the token it prints: for job schedulers.
    Book(Book),
    /// Give up what was booked under a token.
    Unbook(Unbook),
    /// Note that a borrowed seat will not be given back; it comes back at its end all the same.
    WriteOff(WriteOff),
    /// Read licenses and policy again.
    Reload(Admin),
    /// Stop the daemon; sessions are kept.
    Shutdown(Admin),
    /// The server's host ids, to be sent to a vendor.
    Hostid(HostId),
    /// Look for what keeps clients from a server: name, TCP, protocol, licenses.
    Doctor(Doctor),
    /// The state directory of a daemon.
    #[command(subcommand)]
    State(StateCommand),
    /// The vendor's side: keys and licenses. Needs no server.
    #[command(subcommand)]
    Vendor(VendorCommand),
    /// Print completions for a shell.
    Completions {
        /// Which one.
        shell: clap_complete::Shell,
    },
}

/// Which server to ask, and how to answer.
#[derive(Args, Clone, Debug, Default)]
pub struct Read {
    /// The server; several, separated by commas, are tried in order [default: 127.0.0.1:6200].
    #[arg(long, env = "SEATKEEPER_SERVER", value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Ask over the administrator's socket, which sees everything.
    #[arg(long, value_name = "SOCKET")]
    pub admin: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// A list, of one feature if named.
#[derive(Args, Clone, Debug, Default)]
pub struct ReadFeature {
    /// This feature only: NAME or VENDOR/NAME.
    #[arg(value_name = "FEATURE")]
    pub feature: Option<FeatureName>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub read: Read,
}

/// `events`.
#[derive(Args, Clone, Debug, Default)]
pub struct Events {
    /// Go on with what happens from now on, also over a restart of the server, until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
    /// Events about this feature only, NAME or VENDOR/NAME; may be given several times.
    #[arg(long, value_name = "FEATURE")]
    pub feature: Vec<FeatureName>,
    /// What came after the event with this number [default: all that the server remembers; with --follow what is to come].
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub read: Read,
}

/// `usage`.
#[derive(Args, Clone, Debug, Default)]
pub struct Usage {
    /// This feature only: NAME or VENDOR/NAME.
    #[arg(value_name = "FEATURE")]
    pub feature: Option<FeatureName>,
    /// The first day, included [default: 29 days before the last].
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<NaiveDate>,
    /// The last day, included [default: today].
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<NaiveDate>,
    /// A row for each.
    #[arg(long, value_enum, default_value_t)]
    pub by: By,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Read the history in this state directory itself; the daemon need not run.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "admin"])]
    pub state: Option<PathBuf>,
    /// With --state: whose days they are, an IANA name [default: the system's zone].
    #[arg(long, value_name = "NAME", requires = "state")]
    pub time_zone: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub read: Read,
}

/// A report about one feature.
#[derive(Args, Clone, Debug)]
pub struct ReadOneFeature {
    /// NAME or VENDOR/NAME.
    #[arg(value_name = "FEATURE")]
    pub feature: FeatureName,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub read: Read,
}

/// A feature, with its vendor where two sell the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureName {
    /// Who sells it, if said.
    pub vendor: Option<String>,
    /// What is asked for.
    pub feature: String,
}

impl std::str::FromStr for FeatureName {
    type Err = String;

    fn from_str(text: &str) -> Result<FeatureName, String> {
        let (vendor, feature) = match text.split_once('/') {
            Some((vendor, feature)) => (Some(vendor), feature),
            None => (None, text),
        };
        let is_name = |name: &str| seats::license::Name::new(name).is_some();
        if is_name(feature) && vendor.is_none_or(is_name) {
            return Ok(FeatureName { vendor: vendor.map(str::to_owned), feature: feature.to_owned() });
        }
        Err("write NAME or VENDOR/NAME, of ASCII letters, digits, _ and -".to_owned())
    }
}

/// `why`. What is not said of the user is not known: nothing is taken from the machine this runs on.
#[derive(Args, Clone, Debug)]
pub struct Why {
    /// Whom the question is about.
    #[arg(value_parser = fact)]
    pub user: String,
    /// What would be asked for: NAME or VENDOR/NAME.
    #[arg(value_name = "FEATURE")]
    pub feature: FeatureName,
    /// The host of that user.
    #[arg(long, value_name = "HOST", value_parser = fact)]
    pub host: Option<String>,
    /// What the work is for.
    #[arg(long, value_name = "NAME", value_parser = fact)]
    pub project: Option<String>,
    /// The IP address that the program would come from.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// How many seats.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pub count: u32,
    /// The program's version: 4.2, or up to four numbers.
    #[arg(long, value_name = "V", value_parser = fact)]
    pub version: Option<String>,
    /// The day of the program's build, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub released: Option<NaiveDate>,
    /// The day its MAJOR.MINOR was first published, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub line_date: Option<NaiveDate>,
    /// The platform it runs on, such as linux-x86_64.
    #[arg(long, value_name = "OS-ARCH", value_parser = fact)]
    pub platform: Option<String>,
    /// Local time there minus GMT: +1, -5, +5:30.
    #[arg(long, value_name = "HOURS", value_parser = gmt_offset, allow_hyphen_values = true)]
    pub gmt_offset: Option<i16>,
    /// What processes sharing a seat have in common, for licenses that allow it.
    #[arg(long, value_name = "STRING", value_parser = fact)]
    pub share: Option<String>,
    /// Who sells it, where two sell the same name.
    #[arg(long, value_name = "VENDOR")]
    pub vendor: Option<String>,
    /// Ask this server; several, separated by commas, are tried in order [default: the administrator's socket if
    /// SEATKEEPER_ADMIN names it; else SEATKEEPER_SERVER; else a socket in its usual place; else 127.0.0.1:6200].
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "admin")]
    pub server: Option<String>,
    /// Ask over the administrator's socket.
    #[arg(long, value_name = "SOCKET")]
    pub admin: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `update-check`.
#[derive(Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["feature", "named"])))]
pub struct UpdateCheck {
    /// What the program checks out: NAME or VENDOR/NAME.
    #[arg(value_name = "FEATURE")]
    pub feature: Option<FeatureName>,
    /// The same.
    #[arg(long = "feature", value_name = "FEATURE")]
    pub named: Option<FeatureName>,
    /// The version that is to be installed: 4.2, or up to four numbers.
    #[arg(long, value_name = "V", value_parser = version)]
    pub version: Option<String>,
    /// The day of its build, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "version")]
    pub released: Option<NaiveDate>,
    /// The day its MAJOR.MINOR was first published, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "version")]
    pub line_date: Option<NaiveDate>,
    /// The version that is installed now.
    #[arg(long, value_name = "V", value_parser = version)]
    pub installed: Option<String>,
    /// Who sells it, where two sell the same name.
    #[arg(long, value_name = "VENDOR")]
    pub vendor: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub read: Read,
}

/// What to ask for.
#[derive(Args, Clone, Debug)]
pub struct Want {
    /// One or more features, all of them or none: NAME or VENDOR/NAME.
    #[arg(required = true, value_name = "FEATURE")]
    pub features: Vec<FeatureName>,
    /// Seats of each feature.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pub count: u32,
    /// The program's version: 4.2, or up to four numbers.
    #[arg(long, value_name = "V")]
    pub version: Option<String>,
    /// The day of the program's build, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub released: Option<NaiveDate>,
    /// The day its MAJOR.MINOR was first published, YYYY-MM-DD.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub line_date: Option<NaiveDate>,
    /// What processes sharing a seat have in common, for licenses that allow it.
    #[arg(long, value_name = "STRING")]
    pub share: Option<String>,
    /// What the work is for.
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Draw on seats that were booked under this token.
    #[arg(long, value_name = "TOKEN", value_parser = fact)]
    pub token: Option<String>,
    /// Where there is no seat, wait in the queue for so many seconds; Ctrl-C gives up.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub wait: Option<u32>,
    /// The vendor's public key. With it seats that are borrowed on this computer are used first, and no server is asked.
    #[arg(long, value_name = "PUBFILE")]
    pub trust: Vec<PathBuf>,
    /// The server; several, separated by commas, are tried in order [default: 127.0.0.1:6200].
    #[arg(long, env = "SEATKEEPER_SERVER", value_name = "HOST:PORT")]
    pub server: Option<String>,
}

/// `checkout`.
#[derive(Args, Clone, Debug)]
pub struct Checkout {
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub want: Want,
    /// Give back after so many seconds; 0: at once.
    #[arg(long = "for", value_name = "SECONDS")]
    pub keep: Option<u32>,
    /// Print the grant, or the denial, as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `borrow`.
#[derive(Args, Clone, Debug)]
pub struct Borrow {
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub want: Want,
    /// For how many hours, 1 to 8760.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub hours: u32,
    /// Print what was borrowed, or the denial, as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `return`.
#[derive(Args, Clone, Debug)]
pub struct Return {
    /// NAME or VENDOR/NAME.
    #[arg(value_name = "FEATURE")]
    pub feature: FeatureName,
    /// This borrow only, as `borrow` printed it.
    #[arg(long, value_name = "BORROW", value_parser = session)]
    pub only: Option<SessionId>,
    /// Where the server is now, if not where it was [default: the server that lent it].
    #[arg(long, env = "SEATKEEPER_SERVER", value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// Print what was given back as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `run`.
#[derive(Args, Clone, Debug)]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub want: Want,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
