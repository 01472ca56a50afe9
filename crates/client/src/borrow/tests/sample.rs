//! Tokens with real signatures. Writes the bytes of docs/LICENSES.md itself, so that the reader is held against another hand.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use seats::maintenance::Release;
use sha2::{Digest, Sha256};
use wire::answer::SignedLicense;
use wire::borrow::{BorrowToken, Days, Lent};

use crate::borrow::keys::VendorKey;
use crate::borrow::verify::{Asker, NotValid, verify};
use crate::install::InstallId;

pub(super) const GRANTED: i64 = 1_900_000_000;
pub(super) const HOURS: i64 = 48;
pub(super) const ENDS: i64 = GRANTED + HOURS * 3600;
/// As the options of the scripted server's tests have it.
pub(super) const INSTALL: InstallId = InstallId([7; 16]);

type Entries = Vec<(String, String)>;

/// A server's and a vendor's key, and everything that stands in a license and a token. Change it, then make the token.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) vendor: SigningKey,
    pub(super) server: SigningKey,
    pub(super) feature: String,
    pub(super) settings: Entries,
    pub(super) servers: Vec<Entries>,
    /// The settings of each renewal.
    pub(super) renewals: Vec<Entries>,
    /// `None`: a token of before servers said so.
    pub(super) days: Option<Days>,
    /// Without server key and license, which are put in.
    pub(super) lent: Lent,
}

impl Sample {
    /// Two seats of cad 4.2 of ACME, lent by the server for two days.
    pub(super) fn new() -> Sample {
        let server = SigningKey::from_bytes(&[b's'; 32]);
        let lent = Lent {
            borrow: 90,
            bundle: 9,
            vendor: "ACME".into(),
            feature: "cad".into(),
            count: 2,
            user: "ann".into(),
            host: "ws7".into(),
            install_id: INSTALL.0,
            granted_at: GRANTED,
            ends_at: ENDS,
            ..Lent::default()
        };
        let mut sample = Sample {
            vendor: SigningKey::from_bytes(&[b'v'; 32]),
            servers: vec![vec![entry("SERVERKEY", &key_of(&server))]],
            server,
            feature: "cad".into(),
            settings: Vec::new(),
            renewals: Vec::new(),
            days: None,
            lent,
        };
        for (name, value) in [
            ("BORROW", "168"),
            ("COUNT", "10"),
            ("END", "2031-12-31"),
            ("KEYTYPE", "EXCLUSIVE"),
            ("SN", "7"),
            ("VENDOR", "ACME"),
            ("VERSION", "4.2"),
        ] {
            sample.set(name, value);
        }
        sample
    }

    /// The same with maintenance to the end of 2028, a renewal for one year more, and all that a server says of days.
    pub(super) fn renewed() -> Sample {
        let mut sample = Sample::new();
        sample.set("MAINTENANCE_END", "2028-12-31");
        sample.renew("SN=7", None, "2029-12-31");
        sample.lend_on("2030-03-17", "2030-03-19", Some("2027-05-01"));
        sample
    }

    pub(super) fn renew(&mut self, renews: &str, start: Option<&str>, end: &str) {
        let mut settings = vec![
            entry("KEYTYPE", "MAINTENANCE"),
            entry("MAINTENANCE_END", end),
            entry("RENEWS", renews),
            entry("SN", &format!("R-{}", self.renewals.len())),
            entry("VENDOR", "ACME"),
        ];
        settings.extend(start.map(|start| entry("MAINTENANCE_START", start)));
        self.renewals.push(settings);
    }

    pub(super) fn lend_on(&mut self, first: &str, last: &str, first_checkout: Option<&str>) {
        let first_checkout = first_checkout.map(str::to_owned);
        self.days = Some(Days { first: first.into(), last: last.into(), first_checkout });
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.settings.push(entry(name, value));
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.settings.retain(|(n, _)| n != name);
    }

    /// What the vendor signs, with KEY.
    pub(super) fn license(&self) -> SignedLicense {
        self.signed(&self.settings, &self.servers)
    }

    fn signed(&self, settings: &Entries, servers: &[Entries]) -> SignedLicense {
        let mut settings = settings.clone();
        settings.sort();
        let mut blocks: Vec<Vec<u8>> = servers.iter().map(|block| list(block)).collect();
        blocks.sort();
        let mut canonical = b"seatkeeper-feature-v1\0".to_vec();
        canonical.extend(string(&self.feature));
        canonical.extend(list(&settings));
        canonical.extend(number(blocks.len()));
        canonical.extend(blocks.concat());
        canonical.extend(number(0));
        let signature = BASE64_STANDARD.encode(self.vendor.sign(&canonical).to_bytes());
        SignedLicense { canonical, key: format!("ed25519:acme-2026:{signature}") }
    }

    pub(super) fn lent(&self) -> Lent {
        let server_key = self.server.verifying_key().to_bytes();
        let renewals = self.renewals.iter().map(|settings| self.signed(settings, &[])).collect();
        let extras = self.days.iter().map(Days::extra).collect();
        Lent { server_key, license: self.license(), renewals, extras, ..self.lent.clone() }
    }

    pub(super) fn token(&self) -> BorrowToken {
        sign(&self.server, self.lent())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.token().to_bytes().unwrap()
    }

    /// Whether ann's cad 4.1 of this installation is satisfied with it.
    pub(super) fn verify(&self) -> Result<Lent, NotValid> {
        verify_bytes(&self.bytes())
    }
}

pub(super) fn sign(server: &SigningKey, lent: Lent) -> BorrowToken {
    let signature = server.sign(&lent.signed_bytes().unwrap()).to_bytes();
    BorrowToken { lent, signature }
}

/// The key of the vendor of every sample.
pub(super) fn vendor_key() -> VendorKey {
    public(&SigningKey::from_bytes(&[b'v'; 32]), "acme-2026", "ACME")
}

pub(super) fn public(key: &SigningKey, id: &str, vendor: &str) -> VendorKey {
    let key = BASE64_STANDARD.encode(key.verifying_key().as_bytes());
    format!("seatkeeper-vendor-key ed25519 {id} {vendor} {key}").parse().unwrap()
}

pub(super) fn verify_bytes(bytes: &[u8]) -> Result<Lent, NotValid> {
    verify(bytes, asker(&[vendor_key()]))
}

/// Ann's cad 4.1 of the installation that it was lent to, on the day of the grant.
pub(super) fn asker(keys: &[VendorKey]) -> Asker<'_> {
    let release = Release { version: Some("4.1"), ..Release::default() };
    Asker { keys, install_id: INSTALL, user: "ann", release, day: "2030-03-17".parse().unwrap() }
}

pub(super) fn key_of(server: &SigningKey) -> String {
    Sha256::digest(server.verifying_key().as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn entry(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn list(entries: &[(String, String)]) -> Vec<u8> {
    let mut sorted = entries.to_vec();
    sorted.sort();
    let strings = sorted.iter().flat_map(|(name, value)| [string(name), string(value)].concat());
    number(sorted.len()).into_iter().chain(strings).collect()
}

fn string(text: &str) -> Vec<u8> {
    [&number(text.len())[..], text.as_bytes()].concat()
}

fn number(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap().to_le_bytes()
}
