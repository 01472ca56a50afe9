//! Where a daemon lives in a test: a temporary directory, and a vendor who signs its licenses.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use seatkeeper::vendor::{Template, VendorKey, keygen, sign};
use tempfile::TempDir;

/// A directory with `licenses/`, `state/` and `seatkeeper.toml`.
pub struct Site {
    directory: TempDir,
    vendor: VendorKey,
    public_key: PathBuf,
}

impl Site {
    /// An empty one, with a vendor of its own, ACME.
    pub fn new() -> Site {
        let directory = TempDir::with_prefix("seatkeeper-").expect("a temporary directory");
        fs::create_dir(directory.path().join("licenses")).expect("a directory");
        let made = keygen("ACME", "acme-1", &directory.path().join("vendor")).expect("a vendor's key");
        let vendor = VendorKey::read(&made.private).expect("the key just made");
        let site = Site { directory, vendor, public_key: made.public };
        site.configure("");
        site
    }

    /// One whose license directory holds these features, signed, in one file `cad.xml`.
    pub fn with(features: &[String]) -> Site {
        let site = Site::new();
        site.drop_signed("cad.xml", features);
        site
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn licenses(&self) -> PathBuf {
        self.path().join("licenses")
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("seatkeeper.toml")
    }

    /// Writes the configuration: what every test needs, and `more` after it. The history writes however full this disk is, unless
    /// `more` says how much it keeps free.
    pub fn configure(&self, more: &str) {
        let keep_free = "keep_free_megabytes = 0";
        let more = match more {
            more if more.contains("keep_free_megabytes") => more.to_owned(),
            more if more.contains("[history]") => {
                more.replace("[history]", &format!("[history]\n{keep_free}"))
            }
            more => format!("{more}\n[history]\n{keep_free}"),
        };
        let text = format!(
            "listen = \"127.0.0.1:0\"\nhttp = \"off\"\nlicenses = \"licenses\"\nstate = \"state\"\n\
             trusted_vendors = [{:?}]\n{more}\n",
            self.public_key
        );
        fs::write(self.config(), text).expect("a configuration");
    }

    /// One license file with these features, signed by ACME.
    pub fn signed(&self, features: &[String]) -> String {
        // Long ago, so that no test's fake clock is before it.
        let issued = NaiveDate::from_ymd_opt(2010, 1, 1).expect("a date");
        let bytes = format!("<LICENSEFILE>\n{}</LICENSEFILE>\n", features.concat()).into_bytes();
        let template = Template { file: "template.xml".into(), bytes };
        match sign(&self.vendor, &[template], None, issued) {
            Ok(signed) => signed.xml,
            Err(problems) => panic!("not signed: {problems:?}"),
        }
    }

    /// Puts a signed license file into the directory.
    pub fn drop_signed(&self, name: &str, features: &[String]) {
        self.drop_file(name, self.signed(features).as_bytes());
    }

    /// Puts a file into the license directory, whole or not at all: written beside it, then renamed.
    pub fn drop_file(&self, name: &str, bytes: &[u8]) {
        let beside = self.path().join(format!("{name}.tmp"));
        fs::write(&beside, bytes).expect("a file");
        fs::rename(&beside, self.licenses().join(name)).expect("a rename");
    }
}

/// A FEATURE with settings `NAME="value"`.
pub fn feature(name: &str, settings: &str) -> String {
    let settings: String =
        settings.split_whitespace().map(|setting| format!("    <SETTING {setting}/>\n")).collect();
    format!("  <FEATURE NAME=\"{name}\">\n{settings}  </FEATURE>\n")
}

/// An exclusive license without dates.
pub fn exclusive(name: &str, count: u32) -> String {
    feature(name, &format!("VERSION=\"9.9\" COUNT=\"{count}\""))
}

/// An upgrade; `dates` such as `END="2030-06-30"`.
pub fn upgrade(name: &str, count: u32, dates: &str) -> String {
    feature(name, &format!("KEYTYPE=\"UPGRADE\" COUNT=\"{count}\" {dates}"))
}
