//! The words of those who administer: over the daemon's socket, on its state directory, and `doctor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use seats::change::SessionId;

use super::FeatureName;
use super::values::{bar, fact, reason, session};

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
