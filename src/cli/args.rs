//! The words of the command line. What does not work yet is not offered.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use seats::change::SessionId;

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

/// Which daemon to administer, and how to answer.
#[derive(Args, Clone, Debug, Default)]
pub struct Admin {
    /// The administrator's socket [default: SEATKEEPER_ADMIN, /run/seatkeeper/admin.sock, ./state/admin.sock].
    #[arg(long, value_name = "SOCKET")]
    pub admin: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `book`.
#[derive(Args, Clone, Debug)]
pub struct Book {
    /// Features, each with how many seats: NAME or VENDOR/NAME, then a number. All of them or none.
    #[arg(required = true, value_names = ["FEATURE", "N"], num_args = 2..)]
    pub what: Vec<String>,
    /// For how long: 30s, 10m, 2h.
    #[arg(long = "for", value_name = "DURATION", value_parser = bar)]
    pub keep: Duration,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub admin: Admin,
}

impl Book {
    /// The features and how many seats of each.
    ///
    /// # Errors
    /// What is wrong with the words.
    pub fn items(&self) -> Result<Vec<(FeatureName, u32)>, String> {
        let item = |words: &[String]| {
            let [feature, count] = words else { return Err(format!("how many seats of {}?", words[0])) };
            let seats = count.parse().ok().filter(|n| (1..=2_147_483_647).contains(n));
            Ok((feature.parse()?, seats.ok_or_else(|| format!("{count} is not 1 to 2147483647 seats"))?))
        };
        self.what.chunks(2).map(item).collect()
    }
}

/// `unbook`.
#[derive(Args, Clone, Debug)]
pub struct Unbook {
    /// The token, as `book` printed it.
    #[arg(value_parser = fact)]
    pub token: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub admin: Admin,
}

/// `release`.
#[derive(Args, Clone, Debug)]
pub struct Release {
    /// The session, as `seatkeeper sessions` shows it, or a place in the queue, as `seatkeeper queue` does.
    #[arg(value_parser = session)]
    pub session: SessionId,
    /// For how long its user and host get no seat of the feature: 30s, 10m, 2h.
    #[arg(long, value_name = "DURATION", value_parser = bar)]
    pub bar: Option<Duration>,
    /// What the client is told.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub admin: Admin,
}

/// `write-off`.
#[derive(Args, Clone, Debug)]
pub struct WriteOff {
    /// The borrow, as `seatkeeper borrowed` shows it.
    #[arg(value_name = "BORROW", value_parser = session)]
    pub borrow: SessionId,
    /// What is noted.
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = fact)]
    pub reason: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub admin: Admin,
}

/// `hostid`.
#[derive(Args, Clone, Debug)]
pub struct HostId {
    /// Compare with the host ids that the licenses of this feature name.
    #[arg(long, value_name = "FEATURE")]
    pub explain: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub admin: Admin,
}

/// `doctor`.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// The server, or several [default: SEATKEEPER_SERVER, else 127.0.0.1:6200].
    #[arg(value_name = "HOST:PORT", env = "SEATKEEPER_SERVER")]
    pub server: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `state`.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Read all of it and say whether a daemon would start on it. Changes nothing.
    Check(StateCheck),
    /// Lower the highest day served, where a wrong clock has raised it. The daemon is stopped.
    ///
    /// The day used for grants never goes back. Where the clock was wrong for so long that its day was believed, licenses with dates
    /// give no new seats after it was set right (`clock_suspect`). This lowers the day to that of the system's clock: set that right
    /// first. Who did it, when and why is recorded, and shown by `seatkeeper status` for 30 days. Run it as the user of the daemon.
    ClockReset(ClockReset),
}

/// `state check`.
#[derive(Args, Clone, Debug)]
pub struct StateCheck {
    /// The state directory.
    #[arg(default_value = "state", value_name = "DIR")]
    pub dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `state clock-reset`.
#[derive(Args, Clone, Debug)]
pub struct ClockReset {
    /// The state directory.
    #[arg(default_value = "state", value_name = "DIR")]
    pub dir: PathBuf,
    /// Why, for the record: 1 to 256 bytes in one line.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,
    /// The daemon's time_zone, where it is not the system's.
    #[arg(long, value_name = "NAME")]
    pub time_zone: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn reason(text: &str) -> Result<String, String> {
    let is_good = !text.trim().is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
    if is_good { Ok(text.to_owned()) } else { Err("say why in one line of 1 to 256 bytes".to_owned()) }
}

fn session(text: &str) -> Result<SessionId, String> {
    text.parse().map_err(|()| "write a session as `seatkeeper sessions` shows it, such as 3k7".to_owned())
}

fn date(text: &str) -> Result<NaiveDate, String> {
    let date = text.parse::<NaiveDate>().ok();
    // chrono reads 2030-1-1 too, the server does not.
    date.filter(|date| date.to_string() == text).ok_or_else(|| "write a day as YYYY-MM-DD".to_owned())
}

/// A version as programs state it.
fn version(text: &str) -> Result<String, String> {
    let wrong = || "write two to four numbers, as 4.2 or 4.2.0.1".to_owned();
    text.parse::<seats::version::ReleaseVersion>().map(|_| text.to_owned()).map_err(|()| wrong())
}

/// A fact that is stated: an empty one would count as not stated.
fn fact(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("say something, or leave it out".to_owned());
    }
    Ok(text.to_owned())
}

/// Minutes from GMT.
fn gmt_offset(text: &str) -> Result<i16, String> {
    let wrong = || "write hours from GMT: +1, -5, +5:30".to_owned();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let number = |text: &str, most: i16| {
        let is_plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i16>().ok().filter(|n| is_plain && *n <= most).ok_or_else(wrong)
    };
    Ok(sign * (number(hours, 14)? * 60 + number(minutes, 59)?))
}

fn bar(text: &str) -> Result<Duration, String> {
    let bar = crate::config::duration::parse(text)?;
    match u32::try_from(bar.as_secs()) {
        Ok(1..) => Ok(bar),
        _ => Err("a bar lasts from 1s to 49710d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(words: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("seatkeeper").chain(words.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.command)
    }

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_run_takes_features_then_the_command_with_its_own_flags() {
        let Ok(Command::Run(run)) =
            parse("run cad ACME/cam --count 2 --version 4.2 --wait 9 -- sleep --for 5")
        else {
            panic!()
        };
        let cam = FeatureName { vendor: Some("ACME".into()), feature: "cam".into() };
        assert_eq!((run.want.features.len(), &run.want.features[1]), (2, &cam));
        assert_eq!((run.want.count, run.want.version.as_deref()), (2, Some("4.2")));
        assert_eq!(run.command, ["sleep", "--for", "5"]);
        assert_eq!(run.want.wait, Some(9));
    }

    #[test]
    fn a_checkout_knows_its_release() {
        let words =
            "checkout cad --released 2030-05-02 --line-date 2030-01-01 --for 0 --share s --project p --json";
        let Ok(Command::Checkout(ask)) = parse(words) else { panic!() };
        assert_eq!((ask.keep, ask.json, ask.want.count), (Some(0), true, 1));
        assert_eq!(ask.want.released.unwrap().to_string(), "2030-05-02");
        assert_eq!((ask.want.share.as_deref(), ask.want.project.as_deref()), (Some("s"), Some("p")));
    }

    #[test]
    fn why_says_what_is_known_of_the_user() {
        let words =
            "why ann ACME/cad --host ws7 --address 192.0.2.7 --count 2 --gmt-offset -3:30 --platform linux";
        let Ok(Command::Why(ask)) = parse(words) else { panic!() };
        assert_eq!((&*ask.user, &*ask.feature.feature, ask.count), ("ann", "cad", 2));
        assert_eq!((ask.gmt_offset, ask.address), (Some(-210), "192.0.2.7".parse().ok()));
        let Ok(Command::Why(ask)) = parse("why ann cad") else { panic!() };
        assert!(ask.host.is_none() && ask.platform.is_none() && ask.gmt_offset.is_none());
        for (text, minutes) in [("+1", 60), ("5:30", 330), ("-12", -720), ("0", 0)] {
            assert_eq!(gmt_offset(text), Ok(minutes), "{text}");
        }
        for text in ["", "+", "15", "1:60", "1:", "+-1", "1.5", "CET", "001"] {
            assert!(gmt_offset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_update_check_names_its_feature_in_either_way() {
        for words in ["update-check ACME/cad --version 1.1", "update-check --feature ACME/cad --version 1.1"]
        {
            let Ok(Command::UpdateCheck(ask)) = parse(words) else { panic!("{words}") };
            let name = ask.feature.or(ask.named).unwrap();
            assert_eq!((name.vendor.as_deref(), &*name.feature), (Some("ACME"), "cad"));
            assert_eq!(ask.version.as_deref(), Some("1.1"));
        }
        assert!(parse("update-check cad").is_ok(), "which is the newest?");
        for words in [
            "update-check",
            "update-check cad --feature cad",
            "update-check cad --version 1.x",
            "update-check cad --version 1",
            "update-check cad --installed 1.1-beta",
            "update-check cad --released 2012-04-01",
            "update-check cad --version 1.1 --released 2012-4-1",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_session_is_released_by_the_name_that_lists_show() {
        let Ok(Command::Release(ask)) = parse("release 3k7 --bar 10m --reason over") else { panic!() };
        assert_eq!(
            (ask.session, ask.bar),
            (SessionId(3 * 1024 + 19 * 32 + 7), Some(Duration::from_secs(600)))
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            "",
            "checkout",
            "checkout cad --count 0",
            "checkout cad --count 2147483648",
            "checkout cad --released 2030-2-1",
            "checkout cad --released 2030-02-30",
            "checkout c@d",
            "checkout a/b/c",
            "checkout cad --wait 0",
            "checkout cad --wait 5s",
            "run cad",
            "run -- sleep",
            "release",
            "release u!",
            "release 3k7 --bar 10",
            "release 3k7 --bar 0s",
            "events cad",
            "events --after x",
            "explain",
            "why ann",
            "why ann cad --address ws7",
            "why ann cad --admin a --server b",
            "borrow cad",
            "write-off",
            "write-off u!",
            "state",
            "state clock-reset",
            "state clock-reset --reason",
            "statsu",
        ] {
            let error = parse(words).err();
            let error = error.unwrap_or_else(|| panic!("{words:?} is accepted"));
            let code = crate::exit::from_clap(&error);
            // Without any words clap shows the help, on stderr.
            assert_eq!(code, crate::exit::USAGE, "{words:?}");
        }
        assert_eq!(crate::exit::from_clap(&parse("--help").unwrap_err()), 0);
        assert_eq!(crate::exit::from_clap(&parse("--version").unwrap_err()), 0);
    }
}
