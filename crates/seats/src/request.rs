//! What a client asks for: already decoded, not yet judged (S1, S2).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::license::{Count, HostIdKind};

/// The most bytes of one text field of a request (S1).
pub const TEXT_BYTES_MAX: usize = 256;
/// The most features of one checkout. A design suite asks for about ten; sixty-four keeps one request cheap.
pub const ITEMS_MAX: usize = 64;

/// What a running program states about itself and its place, the same for all its checkouts (S1).
///
/// The ledger keeps one copy for all sessions that state the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Facts {
    /// Drawn once per installation by the client library, and kept (S2).
    pub install_id: [u8; 16],
    /// As stated; compared by [`NameRules::fold_user`].
    pub user: Box<str>,
    /// As stated; compared by [`NameRules::fold_host`].
    pub host: Box<str>,
    /// The peer's address as the server saw it; `None` on the admin socket.
    pub address: Option<IpAddr>,
    /// `os-arch`, as `linux-x86_64`.
    pub platform: Box<str>,
    /// Minutes east of GMT.
    pub offset_minutes: i16,
    /// Where the program shows its window.
    pub display: Option<Box<str>>,
    /// What the work is booked on.
    pub project: Option<Box<str>>,
    /// The string of SHARE=CUSTOM (L60).
    pub share: Option<Box<str>>,
    /// The program's own version, as it states it (rules 3, 6.2).
    pub release_version: Option<Box<str>>,
    /// The day this build was released.
    pub release_date: Option<Box<str>>,
    /// The day the first build of its MAJOR.MINOR was.
    pub line_date: Option<Box<str>>,
    /// What it states about its machine beside user, host and address (L13).
    pub host_ids: Vec<StatedHostId>,
}

/// One host id as a client states it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StatedHostId {
    /// ETHERNET, MACHINEID and so on.
    pub kind: HostIdKind,
    /// Compared without case.
    pub value: Box<str>,
}

/// One feature of a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Needed only where two vendors sell the same name.
    pub vendor: Option<Box<str>>,
    /// Compared without case (L3).
    pub feature: Box<str>,
    /// 1 to 2147483647, both inclusive.
    pub count: u32,
}

/// The longest borrow that any license can allow, hours: a year.
pub const LEND_HOURS_MAX: u32 = 8_760;

/// The seats are wanted offline (S40). What the server's clock shows is filled in by whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lend {
    /// For how long, 1 to [`LEND_HOURS_MAX`], both inclusive.
    pub hours: u32,
    /// From when on, Unix seconds.
    pub from: i64,
    /// The last day it reaches into, in the server's zone: that of its last second (S41).
    pub last_day: NaiveDate,
}

/// A checkout: all its items or none (S1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Names the checkout for a retry: 128 bits of a hash over install id and request key (S2).
    pub key: [u8; 16],
    /// 128 bits of a hash of the secret (S2).
    pub secret: [u8; 16],
    /// The booking it draws on: 128 bits of a hash of its token (S52).
    pub booking: Option<[u8; 16]>,
    /// What is wanted.
    pub items: Vec<Item>,
    /// Who wants it.
    pub facts: Arc<Facts>,
    /// The process there.
    pub pid: u32,
    /// Where it is a borrow: for how long.
    pub lend: Option<Lend>,
}

/// The simple case folding of Unicode: one character for one. Lower case alone would keep the final sigma of a
/// Greek name apart from the one its capital has. A letter that folds to several stays as it is.
fn fold(c: char) -> char {
    let alone = |of: &mut dyn Iterator<Item = char>| match (of.next(), of.next()) {
        (Some(c), None) => Some(c),
        _ => None,
    };
    // The dotless i has the capital of the dotted one and is another letter.
    if c == 'ı' {
        return c;
    }
    let upper = alone(&mut c.to_uppercase()).unwrap_or(c);
    alone(&mut upper.to_lowercase()).unwrap_or(upper)
}

/// Nearly all names are ASCII, and asked for at every checkout.
fn folded(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().map(fold).collect() }
}

/// How names of users and hosts are compared (S1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameRules {
    /// Compare hosts whole; else up to the first dot.
    pub fqdn: bool,
}

impl NameRules {
    /// Without case, and without a leading `DOMAIN\`.
    pub fn fold_user(self, user: &str) -> String {
        let bare = user.rsplit_once('\\').map_or(user, |(_, name)| name);
        folded(bare)
    }

    /// Without case, and up to the first dot unless `fqdn` is set. An IP address stays whole.
    pub fn fold_host(self, host: &str) -> String {
        let bare = match host.split_once('.') {
            Some((first, _)) if !self.fqdn && !first.is_empty() && host.parse::<IpAddr>().is_err() => first,
            _ => host,
        };
        folded(bare)
    }

    /// Whether a resume states the same program as the grant: user, host, install id and release facts (S10).
    /// On a difference, the name of the first field that differs.
    pub fn same_program(self, granted: &Facts, stated: &Facts) -> Result<(), &'static str> {
        let release = |f: &Facts| (f.release_version.clone(), f.release_date.clone(), f.line_date.clone());
        if granted.install_id != stated.install_id {
            Err("install id")
        } else if self.fold_user(&granted.user) != self.fold_user(&stated.user) {
            Err("user")
        } else if self.fold_host(&granted.host) != self.fold_host(&stated.host) {
            Err("host")
        } else if release(granted) != release(stated) {
            Err("release")
        } else {
            Ok(())
        }
    }
}

impl Checkout {
    /// S3's first test: counts, lengths, control characters. The error says which field and what is allowed.
    pub fn check_form(&self) -> Result<(), String> {
        if self.items.is_empty() {
            return Err("a checkout names at least one feature".into());
        }
        if self.items.len() > ITEMS_MAX {
            return Err(format!(
                "a checkout names at most {ITEMS_MAX} features, this one names {}",
                self.items.len()
            ));
        }
        if let Some(lend) = self.lend.filter(|lend| !(1..=LEND_HOURS_MAX).contains(&lend.hours)) {
            return Err(format!("{} hours are not 1 to {LEND_HOURS_MAX}", lend.hours));
        }
        for item in &self.items {
            if item.count == 0 || item.count > Count::MAX {
                return Err(format!("count {} is not 1 to {}", item.count, Count::MAX));
            }
            check_text("feature", &item.feature)?;
            check_text("vendor", item.vendor.as_deref().unwrap_or(""))?;
        }
        self.facts.check_form()
    }
}

impl Facts {
    /// Text fields at most 256 bytes, no control characters (S1).
    pub fn check_form(&self) -> Result<(), String> {
        check_text("user", &self.user)?;
        check_text("host", &self.host)?;
        check_text("platform", &self.platform)?;
        let optional = [
            ("display", &self.display),
            ("project", &self.project),
            ("share", &self.share),
            ("release version", &self.release_version),
            ("release date", &self.release_date),
            ("line date", &self.line_date),
        ];
        self.host_ids.iter().try_for_each(|id| check_text(id.kind.as_str(), &id.value))?;
        optional.iter().try_for_each(|(name, text)| check_text(name, text.as_deref().unwrap_or("")))
    }
}

fn check_text(name: &str, text: &str) -> Result<(), String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("{name} has {} bytes, at most {TEXT_BYTES_MAX} are allowed", text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("{name} holds the control character U+{:04X}", c as u32)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::NameRules;

    #[test]
    fn users_and_hosts_compare_without_case_domain_and_suffix() {
        let short = NameRules::default();
        assert_eq!(short.fold_user("ACME\\Ann"), short.fold_user("ann"));
        for (one, other) in [
            ("ÄNNE", "änne"),
            ("ΝΙΚΟΣ", "νικος"),
            ("ΝΙΚΟΣ", "νικοσ"),
            ("STRAẞE", "straße"),
            ("\u{212a}ate", "kate"),
            ("ФЁДОР", "фёдор"),
            ("A\\B\\Ann", "ann"),
        ] {
            assert_eq!(short.fold_user(one), short.fold_user(other), "{one} is {other}");
        }
        for (one, other) in
            [("strasse", "straße"), ("ışık", "isik"), ("İNCİ", "inci"), ("ann", "anne"), ("ann", "ANN ")]
        {
            assert_ne!(short.fold_user(one), short.fold_user(other), "{one} is not {other}");
        }
        assert_eq!(short.fold_host("WS7.acme.example"), "ws7");
        assert_eq!(short.fold_host("10.1.2.3"), "10.1.2.3");
        assert_ne!(
            short.fold_host("10.1.2.3"),
            short.fold_host("10.1.2.4"),
            "an address is no name with dots"
        );
        assert_eq!(short.fold_host(".hidden"), ".hidden");
        assert_eq!(NameRules { fqdn: true }.fold_host("WS7.acme.example"), "ws7.acme.example");
    }
}
