//! `seatkeeper vendor …`: the vendor's commands. What they do is in [`crate::vendor`]; here are their words.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::Args;
use seats::license::{Name, Period};
use seats::maintenance::Basis;
use seats::version::parse_date;

use crate::clock::{Clock, Ticks, Zone};
use crate::licenses::{FILE_BYTES_MAX, Problem, Signatures, TrustedKey, read_files};
use crate::vendor::renew::until;
use crate::vendor::{RenewError, Template, VendorKey, Wish, inspect, keygen, renew, sign, sign_catalog};

/// Done.
const DONE: u8 = 0;
/// What was given is not good: a template or a license is refused (sysexits EX_DATAERR).
const REFUSED: u8 = 65;
/// A file that was named cannot be read (EX_NOINPUT).
const NO_INPUT: u8 = 66;
/// A file cannot be written, or must not be overwritten (EX_CANTCREAT).
const CANNOT_WRITE: u8 = 73;

/// The vendor's side: keys and licenses. Needs no server.
#[derive(Debug, clap::Subcommand)]
pub enum VendorCommand {
    /// Make a key pair: ID.key to sign with, which stays here, and ID.pub for servers and programs.
    Keygen {
        /// The vendor the key signs for.
        #[arg(long)]
        vendor: String,
        /// The key's id, which stands in every license it signs; a year in it helps when keys change.
        #[arg(long)]
        id: String,
        /// Where to write the two files.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Sign templates into one license file.
    Sign {
        /// The private key, with its .pub beside it.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// License files without KEY.
        #[arg(required = true, value_name = "TEMPLATE")]
        templates: Vec<PathBuf>,
        /// Check each upgrade against the exclusive license in this file.
        #[arg(long, value_name = "LICENSE")]
        base: Option<PathBuf>,
        /// Where to write; standard output when not given.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make and sign a renewal of maintenance for a license that was sold.
    Renew(Box<Renew>),
    /// The vendor's list of its releases.
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Check that licenses and release catalogs are good and signed by a key that is trusted.
    Verify {
        /// A public key to trust; may be repeated.
        #[arg(long, required = true, value_name = "PUBFILE")]
        trust: Vec<PathBuf>,
        /// License files and release catalogs.
        #[arg(required = true, value_name = "LICENSE")]
        licenses: Vec<PathBuf>,
    },
    /// Show what licenses, release catalogs or templates say, whoever signed them.
    Inspect {
        /// License files and release catalogs.
        #[arg(required = true, value_name = "LICENSE")]
        licenses: Vec<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `vendor renew`.
#[derive(Args, Clone, Debug)]
pub struct Renew {
    /// The private key, with its .pub beside it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The license to renew, as it was sold.
    #[arg(long, value_name = "LICENSE")]
    license: PathBuf,
    /// Which license of that file: its feature.
    #[arg(long, value_name = "NAME", value_parser = name)]
    feature: Option<Name>,
    /// Which license of that file: its serial number.
    #[arg(long, value_name = "SN")]
    sn: Option<String>,
    /// How long one period is: P1Y, P18M, P2W.
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    period: Period,
    /// How many periods.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    periods: u32,
    /// From where they count: the old end if it is not past, else today; the old end however long ago; or today.
    #[arg(long, value_name = "BASIS", value_enum, default_value_t = BasisName::NowIfExpired)]
    basis: BasisName,
    /// A renewal that was sold since; may be repeated. The latest end of all counts.
    #[arg(long, value_name = "FILE")]
    renewal: Vec<PathBuf>,
    /// The first day, for a license that has no maintenance; the day of the first checkout, for one that begins with it.
    #[arg(long, value_name = "DATE", value_parser = date)]
    start: Option<NaiveDate>,
    /// The last day covered, for a license whose maintenance began with its first checkout.
    #[arg(long, value_name = "DATE", value_parser = date)]
    old_end: Option<NaiveDate>,
    /// Where to write; standard output when not given.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// [`Basis`], as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum BasisName {
    #[value(name = "FROM_NOW_IF_EXPIRED")]
    NowIfExpired,
    #[value(name = "FROM_EXPIRY")]
    Expiry,
    #[value(name = "FROM_NOW")]
    Now,
}

/// The vendor's list of its releases.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum CatalogCommand {
    /// Sign lists of releases into one catalog.
    Sign {
        /// The private key, with its .pub beside it.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Release catalogs without KEY.
        #[arg(required = true, value_name = "TEMPLATE")]
        templates: Vec<PathBuf>,
        /// Where to write; standard output when not given.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).ok_or_else(|| "write 1 to 64 ASCII letters, digits, _ and -".to_owned())
}

fn period(text: &str) -> Result<Period, String> {
    let wrong = "write whole years, months, weeks and days above zero, such as P1Y or P18M";
    text.parse().map_err(|()| wrong.to_owned())
}

fn date(text: &str) -> Result<NaiveDate, String> {
    parse_date(text).ok_or_else(|| "write a day of the calendar as YYYY-MM-DD".to_owned())
}

/// Why a command ends early: its exit status and what to say.
struct Failure(u8, String);

/// Runs one command and returns the exit status: 0 done, 65 refused, 66 no such input, 73 cannot write.
pub fn run(command: VendorCommand) -> u8 {
    let done = match command {
        VendorCommand::Keygen { vendor, id, out } => run_keygen(&vendor, &id, &out),
        VendorCommand::Sign { key, templates, base, output } => {
            today().and_then(|day| run_sign(&key, &templates, base.as_deref(), output.as_deref(), day))
        }
        VendorCommand::Renew(wish) => today().and_then(|day| run_renew(&wish, day)),
        VendorCommand::Catalog(CatalogCommand::Sign { key, templates, output }) => {
            today().and_then(|day| run_catalog_sign(&key, &templates, output.as_deref(), day))
        }
        VendorCommand::Verify { trust, licenses } => run_verify(&trust, &licenses),
        VendorCommand::Inspect { licenses, json } => run_inspect(&licenses, json),
    };
    match done {
        Ok(status) => status,
        Err(Failure(status, message)) => {
            eprintln!("seatkeeper: {message}");
            status
        }
    }
}

fn run_keygen(vendor: &str, id: &str, out: &Path) -> Result<u8, Failure> {
    let made = keygen(vendor, id, out).map_err(|error| Failure(CANNOT_WRITE, error.to_string()))?;
    say(&format!(
        "{}  the private key: keep it secret and safe, it cannot be made again\n{}  the public key: for servers \
         (--trust) and programs\n",
        made.private.display(),
        made.public.display()
    ))
}

fn run_sign(
    key: &Path,
    templates: &[PathBuf],
    base: Option<&Path>,
    output: Option<&Path>,
    today: NaiveDate,
) -> Result<u8, Failure> {
    let key = VendorKey::read(key).map_err(|error| Failure(NO_INPUT, error.to_string()))?;
    let templates = templates.iter().map(|path| read_template(path)).collect::<Result<Vec<_>, _>>()?;
    let base = base.map(read_template).transpose()?;
    let signed = match sign(&key, &templates, base.as_ref(), today) {
        Ok(signed) => signed,
        Err(problems) => {
            complain(&problems);
            return Err(Failure(REFUSED, "nothing was signed".to_owned()));
        }
    };
    for warning in &signed.warnings {
        eprintln!("warning: {}", warning.told());
    }
    give(&signed.xml, output, |path| {
        let licenses = signed.licenses.iter().map(|license| {
            let sn = license.sn.as_deref().unwrap_or("");
            format!("{path}  {} {} SN {sn}\n", license.feature, license.key_type.as_str())
        });
        licenses.collect()
    })
}

fn run_renew(args: &Renew, today: NaiveDate) -> Result<u8, Failure> {
    let key = VendorKey::read(&args.key).map_err(|error| Failure(NO_INPUT, error.to_string()))?;
    let license = read_template(&args.license)?;
    let renewals = args.renewal.iter().map(|path| read_template(path)).collect::<Result<Vec<_>, _>>()?;
    let wish = Wish {
        feature: args.feature.clone(),
        sn: args.sn.clone(),
        period: args.period,
        periods: args.periods,
        basis: match args.basis {
            BasisName::NowIfExpired => Basis::FromNowIfExpired,
            BasisName::Expiry => Basis::FromExpiry,
            BasisName::Now => Basis::FromNow,
        },
        start: args.start,
        old_end: args.old_end,
    };
    let made = renew(&key, &license, &renewals, &wish, today).map_err(|error| {
        if let RenewError::Problems(problems) = &error {
            complain(problems);
        }
        Failure(REFUSED, format!("{error}; nothing was signed"))
    })?;
    let of_file = made.signed.warnings.iter().map(Problem::told);
    made.warnings.iter().cloned().chain(of_file).for_each(|warning| eprintln!("warning: {warning}"));
    let before = made.old_end.map_or_else(|| "none".to_owned(), until);
    eprintln!("{}: maintenance to {}, before: {before}", made.license, until(made.end));
    give(&made.signed.xml, args.output.as_deref(), |path| {
        let sn = made.signed.licenses.first().and_then(|renewal| renewal.sn.as_deref()).unwrap_or("");
        format!("{path}  renews {}, to {}, SN {sn}\n", made.license, until(made.end))
    })
}

fn run_catalog_sign(
    key: &Path,
    templates: &[PathBuf],
    output: Option<&Path>,
    today: NaiveDate,
) -> Result<u8, Failure> {
    let key = VendorKey::read(key).map_err(|error| Failure(NO_INPUT, error.to_string()))?;
    let templates = templates.iter().map(|path| read_template(path)).collect::<Result<Vec<_>, _>>()?;
    let signed = sign_catalog(&key, &templates, today).map_err(|problems| {
        complain(&problems);
        Failure(REFUSED, "nothing was signed".to_owned())
    })?;
    give(&signed.xml, output, |path| {
        let lists = signed.lists.iter();
        lists.map(|list| format!("{path}  {} {} release(s)\n", list.feature, list.releases.len())).collect()
    })
}

/// Prints what was signed, or writes it and says in a line for each what it is.
fn give(xml: &str, output: Option<&Path>, summary: impl FnOnce(&str) -> String) -> Result<u8, Failure> {
    let Some(path) = output else { return say(xml) };
    let name = path.display().to_string();
    put(path, xml.as_bytes()).map_err(|error| Failure(CANNOT_WRITE, format!("{name}: {error}")))?;
    say(&summary(&name))
}

fn run_verify(trust: &[PathBuf], licenses: &[PathBuf]) -> Result<u8, Failure> {
    let read = |path: &PathBuf| TrustedKey::read(path).map_err(|error| Failure(NO_INPUT, error.to_string()));
    let trusted = trust.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let set = read_files(&read_all(licenses)?, &trusted, Signatures::Required);
    complain(&set.problems);
    for license in set.licenses.iter().filter(|license| license.refusal.is_none()) {
        let (place, sn) = (&license.place, license.sn.as_deref().unwrap_or(""));
        let special = license.carried.special.as_deref();
        let renews = match (special.and_then(|s| s.renews.as_deref()), license.carried.maintenance_end) {
            (Some(parent), Some(end)) => format!(", renews SN {parent} to {}", until(end)),
            _ => String::new(),
        };
        let (feature, kind) = (&license.feature, license.key_type.as_str());
        say(&format!("{}: {feature} {kind} SN {sn}{renews}: good\n", place.file))?;
    }
    for list in set.releases.iter().filter(|list| list.refusal.is_none()) {
        let many = list.releases.len();
        say(&format!("{}: {} {many} release(s): good\n", list.place.file, list.feature))?;
    }
    Ok(if set.problems.is_empty() { DONE } else { REFUSED })
}

fn run_inspect(licenses: &[PathBuf], json: bool) -> Result<u8, Failure> {
    let inspection = inspect(&read_all(licenses)?);
    let text = if json {
        let text = serde_json::to_string_pretty(&inspection);
        text.map_err(|error| Failure(REFUSED, error.to_string()))? + "\n"
    } else {
        inspection.to_string()
    };
    say(&text)
}

fn read_template(path: &Path) -> Result<Template, Failure> {
    read_file(path).map(|(file, bytes)| Template { file, bytes })
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    use io::Read;
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure(NO_INPUT, format!("{name}: {error}")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("{name}: it is larger than {} MiB; split it", FILE_BYTES_MAX >> 20);
        return Err(Failure(REFUSED, message));
    }
    Ok((name, bytes))
}

/// Writes a file at once: a server that watches the directory sees the old contents or the new.
fn put(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn complain(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{problem}");
    }
}

/// Prints; a reader that has gone away is no fault of the command.
fn say(text: &str) -> Result<u8, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(DONE),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(DONE),
        Err(error) => Err(Failure(CANNOT_WRITE, format!("standard output: {error}"))),
    }
}

/// The day in the system's zone, for ISSUED. A signer is no license server: nothing is granted by this date.
fn today() -> Result<NaiveDate, Failure> {
    let zone = Zone::system().map_err(|error| Failure(NO_INPUT, error.to_string()))?;
    Ok(Clock::system(zone, Ticks(0)).now().today)
}
