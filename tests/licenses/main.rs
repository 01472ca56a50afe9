//! License files, from the outside: what loads, what is refused, where and why.

#[path = "../common/mod.rs"]
mod common;
mod directory;
mod fuzz;
mod garbage;
mod maintenance;
mod page;
mod releases;
mod renew;
mod samples;
mod settings;
mod signatures;
mod vendor;
mod xml;

use seatkeeper::licenses::{LicenseSet, Signatures, TrustedKey, read_files};
use seatkeeper::vendor::{Template, VendorKey, sign};
use seats::license::Name;

/// A vendor for tests, with the id `test-1` and the name ACME.
fn acme() -> VendorKey {
    let mut secret = [0; 32];
    secret.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
    VendorKey::from_secret("test-1", Name::new("ACME").unwrap(), &secret).unwrap()
}

fn trusting_acme() -> Vec<TrustedKey> {
    vec![acme().identity().clone()]
}

/// What a server reads in one file called `x.xml`; unsigned features load.
fn read(text: &str) -> LicenseSet {
    read_files(&[("x.xml".to_owned(), text.as_bytes().to_vec())], &trusting_acme(), Signatures::Optional)
}

/// One feature `cad` around some settings, on the second line.
fn feature(settings: &str) -> String {
    format!("<LICENSEFILE>\n<FEATURE NAME=\"cad\">{settings}</FEATURE>\n</LICENSEFILE>")
}

/// Signs a template as ACME, on 2026-06-01.
fn signed(text: &str) -> String {
    let template = Template { file: "t.xml".to_owned(), bytes: text.as_bytes().to_vec() };
    let today = chrono::NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    sign(&acme(), &[template], None, today).unwrap().xml
}

/// Takes the mark `¦` out of a text and says where it stood: 1-based line and column in characters.
fn marked(text: &str) -> (String, Option<(u32, u32)>) {
    let Some((before, _)) = text.split_once('¦') else { return (text.to_owned(), None) };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (text.replace('¦', ""), Some((line as u32, column as u32)))
}

/// A small random number generator, so that a seed on the screen is enough to see a failure again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n` - 1.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
