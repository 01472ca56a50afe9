//! `seatkeeper vendor …`: the vendor's commands. What they do is in [`crate::vendor`]; here are their words.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::clock::{Clock, Ticks, Zone};
use crate::licenses::{FILE_BYTES_MAX, Problem, Signatures, TrustedKey, read_files};
use crate::vendor::{SignedFile, Template, VendorKey, inspect, keygen, sign};

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
    /// Check that licenses are good and signed by a key that is trusted.
    Verify {
        /// A public key to trust; may be repeated.
        #[arg(long, required = true, value_name = "PUBFILE")]
        trust: Vec<PathBuf>,
        /// License files.
        #[arg(required = true, value_name = "LICENSE")]
        licenses: Vec<PathBuf>,
    },
    /// Show what licenses or templates say, whoever signed them.
    Inspect {
        /// License files.
        #[arg(required = true, value_name = "LICENSE")]
        licenses: Vec<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
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
    match output {
        None => say(&signed.xml),
        Some(path) => {
            let error = |error: io::Error| Failure(CANNOT_WRITE, format!("{}: {error}", path.display()));
            put(path, signed.xml.as_bytes()).map_err(error)?;
            say(&summary(&signed, path))
        }
    }
}

fn summary(signed: &SignedFile, path: &Path) -> String {
    let licenses = signed.licenses.iter().map(|license| {
        let sn = license.sn.as_deref().unwrap_or("");
        format!("{}  {} {} SN {sn}\n", path.display(), license.feature, license.key_type.as_str())
    });
    licenses.collect()
}

fn run_verify(trust: &[PathBuf], licenses: &[PathBuf]) -> Result<u8, Failure> {
    let read = |path: &PathBuf| TrustedKey::read(path).map_err(|error| Failure(NO_INPUT, error.to_string()));
    let trusted = trust.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let set = read_files(&read_all(licenses)?, &trusted, Signatures::Required);
    complain(&set.problems);
    for license in set.licenses.iter().filter(|license| license.refusal.is_none()) {
        let (place, sn) = (&license.place, license.sn.as_deref().unwrap_or(""));
        say(&format!("{}: {} {} SN {sn}: good\n", place.file, license.feature, license.key_type.as_str()))?;
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
