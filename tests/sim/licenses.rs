//! The license directory of a simulation, and what it grants on a day by arithmetic of its own: L20, L30 to L35 read again,
//! and nothing taken from `seats`.

use std::sync::{Arc, OnceLock};

use chrono::NaiveDate;
use seatkeeper::licenses::{Signatures, read_files};
use seatkeeper::state::Identity;
use seatkeeper::vendor::{Template, VendorKey, sign};
use seats::catalog::Catalog;
use seats::license::Name;

use crate::common::Random;
use crate::plan::Dice as _;

/// What clients ask for.
pub(crate) const FEATURES: [&str; 2] = ["cad", "sim"];
/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// The longest that a license here lends, hours.
pub(crate) const LENT_HOURS_MAX: u32 = 48;

/// A day as a number: 0 is 1970-01-01.
pub(crate) type Day = i64;

/// More seats from one day to another, both included; `None`: without that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Upgrade {
    seats: u32,
    start: Option<Day>,
    end: Option<Day>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Feature {
    base: u32,
    /// For how many hours its seats are lent at most; `None`: not at all.
    lent: Option<u32>,
    upgrades: Vec<Upgrade>,
}

/// The licenses of one moment: for each of [`FEATURES`] a base without dates, and upgrades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sheet {
    features: Vec<Feature>,
    /// What is lent must be signed; and what is signed has a vendor, so that it is so throughout a history.
    is_signed: bool,
}

impl Sheet {
    /// Licenses whose upgrades begin and end about a day; some of them lend, where any do.
    pub(crate) fn draw(random: &mut Random, today: Day, lends: bool) -> Sheet {
        let near = |random: &mut Random| random.percent(70).then(|| today + random.within(-1, 2));
        let upgrade = |random: &mut Random| {
            let (start, end) = (near(random), near(random));
            let end = end.map(|end| end.max(start.unwrap_or(end)));
            Upgrade { seats: random.count(1, 3), start, end }
        };
        let feature = |random: &mut Random| {
            let upgrades = random.count(0, 2);
            let lent = (lends && random.percent(80)).then(|| *random.one_of(&[1, 6, 30, LENT_HOURS_MAX]));
            let upgrades = (0..upgrades).map(|_| upgrade(random)).collect();
            Feature { base: random.count(1, 4), lent, upgrades }
        };
        Sheet { features: FEATURES.iter().map(|_| feature(random)).collect(), is_signed: lends }
    }

    /// The seats of a feature on a day.
    pub(crate) fn total(&self, feature: usize, day: Day) -> u32 {
        let Feature { base, upgrades, .. } = &self.features[feature];
        let counts = |u: &&Upgrade| u.start.is_none_or(|s| s <= day) && u.end.is_none_or(|e| day <= e);
        base + upgrades.iter().filter(counts).map(|u| u.seats).sum::<u32>()
    }

    /// The seats of a feature that have no dates.
    pub(crate) fn base(&self, feature: usize) -> u32 {
        self.features[feature].base
    }

    /// For how many hours seats of a feature are lent at most.
    pub(crate) fn lent(&self, feature: usize) -> Option<u32> {
        self.features[feature].lent
    }

    /// The file, read as the daemon reads it. `more`: seats that the base has and the checks do not know of, or the other
    /// way round; 0 but where an error is planted.
    pub(crate) fn catalog(&self, more: i32) -> Arc<Catalog> {
        let xml = self.xml(more);
        let (xml, trusted, signatures) = if self.is_signed {
            let vendor = VendorKey::from_secret("sim", Name::new("ACME").expect("a name"), &[5; 32]);
            let vendor = vendor.expect("a key");
            let template = Template { file: "sim.xml".to_owned(), bytes: xml.into_bytes() };
            let today = NaiveDate::from_epoch_days(20_000).expect("a day");
            let signed = sign(&vendor, &[template], None, today).expect("licenses that can be signed");
            (signed.xml, vec![vendor.identity().clone()], Signatures::Required)
        } else {
            (xml, Vec::new(), Signatures::Optional)
        };
        let set = read_files(&[("sim.xml".to_owned(), xml.into_bytes())], &trusted, signatures);
        assert!(set.problems.is_empty(), "the simulation writes good licenses: {:?}", set.problems);
        Arc::new(Catalog::new(set.licenses))
    }

    fn xml(&self, more: i32) -> String {
        let mut xml = String::from("<LICENSEFILE>\n");
        for (name, feature) in FEATURES.iter().zip(&self.features) {
            let base = feature.base.saturating_add_signed(more).max(1);
            let lent = feature.lent.map_or_else(String::new, |hours| {
                let key = identity().fingerprint();
                format!(
                    "<SETTING BORROW=\"{hours}\"/><SERVER_HOSTID><SETTING SERVERKEY=\"{key}\"/></SERVER_HOSTID>"
                )
            });
            xml += &format!(
                "<FEATURE NAME=\"{name}\"><SETTING SN=\"base\"/><SETTING COUNT=\"{base}\"/>{lent}</FEATURE>\n"
            );
            for (at, upgrade) in feature.upgrades.iter().enumerate() {
                let date = |setting: &str, day: Option<Day>| {
                    day.map_or_else(String::new, |day| format!("<SETTING {setting}=\"{}\"/>", date(day)))
                };
                let (start, end) = (date("START", upgrade.start), date("END", upgrade.end));
                let seats = upgrade.seats;
                xml += &format!(
                    "<FEATURE NAME=\"{name}\"><SETTING KEYTYPE=\"UPGRADE\"/><SETTING SN=\"u{at}\"/>\
                     <SETTING COUNT=\"{seats}\"/>{start}{end}</FEATURE>\n"
                );
            }
        }
        xml + "</LICENSEFILE>\n"
    }
}

impl std::fmt::Display for Sheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, feature) in FEATURES.iter().zip(&self.features) {
            write!(f, " {name} {}", feature.base)?;
            if let Some(hours) = feature.lent {
                write!(f, " lent {hours}h")?;
            }
            for Upgrade { seats, start, end } in &feature.upgrades {
                let day = |day: &Option<Day>| day.map(date).unwrap_or_default();
                write!(f, " +{seats} ({}..{})", day(start), day(end))?;
            }
        }
        Ok(())
    }
}

fn date(day: Day) -> String {
    let date = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
    date.expect("a day of the calendar").to_string()
}

/// The key of the server, the same in every history.
pub(crate) fn identity() -> Arc<Identity> {
    /// PKCS#8 of the secret 07 07 … 07.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n\
        -----END PRIVATE KEY-----\n";
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    let read = || {
        let state = tempfile::tempdir().expect("a directory");
        std::fs::write(Identity::path(state.path()), PEM).expect("the key is written");
        Arc::new(Identity::load(state.path()).expect("a key that can be read").expect("a key"))
    };
    IDENTITY.get_or_init(read).clone()
}
