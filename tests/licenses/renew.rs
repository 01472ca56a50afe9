//! Renewals: the arithmetic through the program that vendors run, and what it refuses (rules 3, 6.3 and 6.9).

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chrono::NaiveDate;
use seatkeeper::licenses::{Signatures, read_files};
use seatkeeper::vendor::{Renewed, Template, VendorKey, Wish, keygen, renew};
use seats::license::{License, Name};
use seats::maintenance::Basis;

use super::common::require;
use super::{acme, feature, signed, trusting_acme};

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap_or_else(|_| panic!("{text} is a date"))
}

/// Number, basis, start, period, periods, old end, renewed, new end, new start.
struct Row {
    number: &'static str,
    basis: &'static str,
    start: &'static str,
    period: &'static str,
    periods: &'static str,
    old_end: &'static str,
    renewed: &'static str,
    end: &'static str,
    begins: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("vectors/renewals.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let rows: Vec<Row> = lines
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let [number, input, end, begins] = cells[..] else { panic!("{line}") };
            let parts: Vec<&str> = input.split(", ").collect();
            let [basis, start, period, old_end, renewed] = parts[..] else { panic!("{line}") };
            let after = |text: &'static str, word: &str| text.strip_prefix(word).unwrap();
            let (period, periods) = period.split_once(" x").unwrap_or((period, "1"));
            let (start, old_end) = (after(start, "start "), after(old_end, "old end "));
            let renewed = after(renewed, "renewed ");
            Row { number, basis, start, period, periods, old_end, renewed, end, begins }
        })
        .collect();
    assert_eq!(rows.iter().filter(|row| row.number.starts_with('B')).count(), 9);
    rows
}

/// The program that ships, on a day of our choice.
fn seatkeeper_on(faketime: &Path, date: &str, directory: &Path, arguments: &[&str]) -> Output {
    on(faketime, date, "UTC", directory, arguments)
}

/// The same at noon of a zone.
fn on(faketime: &Path, date: &str, zone: &str, directory: &Path, arguments: &[&str]) -> Output {
    Command::new(faketime)
        .args(["-m", "-f", &format!("{date} 12:00:00"), env!("CARGO_BIN_EXE_seatkeeper"), "vendor"])
        .args(arguments)
        .current_dir(directory)
        .envs([("TZ", zone), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_DISABLE_SHM", "1")])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The one license of a signed file.
fn only(xml: &str, trusted: &[seatkeeper::licenses::TrustedKey]) -> License {
    let set = read_files(&[("r.xml".to_owned(), xml.as_bytes().to_vec())], trusted, Signatures::Required);
    assert_eq!(set.problems, [], "{xml}");
    let [license] = set.licenses.as_slice() else { panic!("{xml}") };
    (**license).clone()
}

#[test]
fn the_program_renews_by_the_vectors() {
    let Some(faketime) = require("faketime") else { return };
    let work = tempfile::tempdir().unwrap();
    let made = keygen("ACME", "acme", work.path()).unwrap();
    let trusted = [made.identity];
    for row in rows() {
        // A window that ends before it starts cannot be sold; there the day of issue stands for the start.
        let start = match day(row.start) <= day(row.old_end) {
            true => format!("MAINTENANCE_START=\"{}\"", row.start),
            false => String::new(),
        };
        let template = feature(&format!(
            "<SETTING COUNT=\"5\" VERSION=\"2.0\" SN=\"7f3c\" ISSUED=\"{}\" {start} MAINTENANCE_END=\"{}\"/>",
            row.start, row.old_end
        ));
        fs::write(work.path().join("template.xml"), template).unwrap();
        let run = |arguments: &[&str]| seatkeeper_on(&faketime, row.renewed, work.path(), arguments);
        let sold = run(&["sign", "--key", "acme.key", "template.xml", "-o", "sold.xml"]);
        assert!(sold.status.success(), "{}: {}", row.number, text(&sold.stderr));
        let arguments = ["renew", "--key", "acme.key", "--license", "sold.xml", "--basis", row.basis];
        let periods = ["--period", row.period, "--periods", row.periods, "-o", "renewal.xml"];
        let output = run(&[&arguments[..], &periods].concat());
        assert!(output.status.success(), "{}: {}", row.number, text(&output.stderr));

        let xml = fs::read_to_string(work.path().join("renewal.xml")).unwrap();
        let number = row.number;
        assert!(xml.contains(&format!("MAINTENANCE_END=\"{}\"", row.end)), "{number}: {xml}");
        match row.begins {
            "-" => assert!(!xml.contains("MAINTENANCE_START"), "{number}: {xml}"),
            start => assert!(xml.contains(&format!("MAINTENANCE_START=\"{start}\"")), "{number}: {xml}"),
        }
        let renewal = only(&xml, &trusted);
        assert_eq!(renewal.issued, Some(day(row.renewed)), "{number}");
        assert_eq!(renewal.sn.as_ref().map(|sn| sn.len()), Some(36), "{number}: a serial number of its own");
        assert_eq!(renewal.carried.special.unwrap().renews.as_deref(), Some("7f3c"), "{number}");
        let told = text(&output.stderr);
        let paid = (day(row.old_end) - day(row.renewed)).num_days();
        assert_eq!(told.contains("gives up"), row.basis == "FROM_NOW" && paid > 0, "{number}: {told}");
        let is_past = row.end != "UNLIMITED" && day(row.end) < day(row.renewed);
        assert_eq!(told.contains("which is past"), is_past, "{number}: {told}");
    }
    // The same page of the rules feeds the pure functions.
    let of_seats = include_str!("../../crates/seats/tests/maintenance/vectors.txt");
    for row in rows().iter().filter(|row| row.number.starts_with('B')) {
        let line = format!(
            "{} | {}, start {}, {}, old end {}, renewed {} | {}",
            row.number, row.basis, row.start, row.period, row.old_end, row.renewed, row.end
        );
        assert!(of_seats.lines().any(|known| known == line), "{line}");
    }
}

#[test]
fn today_is_the_day_where_the_vendor_sits() {
    let Some(faketime) = require("faketime") else { return };
    let work = tempfile::tempdir().unwrap();
    keygen("ACME", "acme", work.path()).unwrap();
    let template = feature(r#"<SETTING COUNT="5" VERSION="2.0" MAINTENANCE_END="2027-04-01"/>"#);
    fs::write(work.path().join("template.xml"), template).unwrap();
    let sold =
        seatkeeper_on(&faketime, "2027-01-01", work.path(), &["sign", "--key", "acme.key", "template.xml"]);
    fs::write(work.path().join("sold.xml"), sold.stdout).unwrap();
    // Noon on an island where it is the day before in UTC.
    let arguments = ["renew", "--key", "acme.key", "--license", "sold.xml", "--period", "P1Y"];
    let output = on(&faketime, "2027-09-15", "Pacific/Kiritimati", work.path(), &arguments);
    let xml = text(&output.stdout);
    assert!(xml.contains("MAINTENANCE_END=\"2028-09-15\""), "{xml}{}", text(&output.stderr));
}

fn wish() -> Wish {
    Wish {
        feature: None,
        sn: None,
        period: "P1Y".parse().unwrap(),
        periods: 1,
        basis: Basis::FromNowIfExpired,
        start: None,
        old_end: None,
    }
}

fn file(name: &str, xml: &str) -> Template {
    Template { file: name.to_owned(), bytes: xml.as_bytes().to_vec() }
}

/// Renews on 2027-09-15; the license file is `sold.xml`, the renewals `r0.xml` and on.
fn ask(sold: &str, renewals: &[&str], wish: &Wish) -> Result<Renewed, String> {
    let renewals: Vec<Template> =
        renewals.iter().enumerate().map(|(nth, xml)| file(&format!("r{nth}.xml"), xml)).collect();
    renew(&acme(), &file("sold.xml", sold), &renewals, wish, day("2027-09-15")).map_err(|e| e.to_string())
}

/// A license as ACME sold it: feature cad, SN 7.
fn sold(settings: &str) -> String {
    signed(&feature(&format!("<SETTING SN=\"7\" COUNT=\"5\" {settings}/>")))
}

const MAINTAINED: &str = r#"VERSION="2.0" MAINTENANCE_START="2026-04-01" MAINTENANCE_END="2027-04-01""#;

#[test]
fn renewals_sold_since_are_counted_and_keep_the_grid() {
    let license = sold(r#"VERSION="2.0" MAINTENANCE_START="2024-02-29" MAINTENANCE_END="2025-02-28""#);
    let by = |basis| Wish { basis, ..wish() };
    // Year by year, each from the one before, on the grid of 29 February.
    let mut before: Vec<String> = Vec::new();
    for end in ["2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"] {
        let given: Vec<&str> = before.iter().map(String::as_str).collect();
        let renewed = ask(&license, &given, &by(Basis::FromExpiry)).unwrap();
        assert_eq!(renewed.end, day(end));
        before.push(renewed.signed.xml);
    }
    // The order of files says nothing, and an earlier end takes nothing away.
    let given: Vec<&str> = before.iter().rev().map(String::as_str).collect();
    assert_eq!(ask(&license, &given, &by(Basis::FromExpiry)).unwrap().old_end, Some(day("2029-02-28")));

    // A window that began anew has its own grid.
    let leap = |period: &str| Wish { period: period.parse().unwrap(), ..by(Basis::FromExpiry) };
    let anew = signed(&feature(
        r#"<SETTING KEYTYPE="MAINTENANCE" RENEWS="SN=7" MAINTENANCE_START="2028-01-31" MAINTENANCE_END="2028-02-29"/>"#,
    ));
    assert_eq!(ask(&license, &[&anew], &leap("P1M")).unwrap().end, day("2028-03-31"));

    // In the license's own file they count too.
    let renewal = before[3].split("<LICENSEFILE>").nth(1).unwrap();
    let both = license.replace("</LICENSEFILE>\n", renewal);
    assert_eq!(ask(&both, &[], &by(Basis::FromExpiry)).unwrap().end, day("2030-02-28"));
}

#[test]
fn what_is_given_up_or_of_no_use_is_said() {
    let license = sold(r#"VERSION="2.0" MAINTENANCE_START="2026-04-01" MAINTENANCE_END="2027-09-25""#);
    let warnings = |wish: &Wish| ask(&license, &[], wish).unwrap().warnings;
    let now = Wish { basis: Basis::FromNow, ..wish() };
    assert_eq!(
        warnings(&now),
        ["FROM_NOW gives up 10 day(s) that are paid, up to 2027-09-25; FROM_EXPIRY would add to them"]
    );
    let short = Wish { period: "P1W".parse().unwrap(), ..now };
    assert!(warnings(&short)[1].contains("adds nothing"), "{:?}", warnings(&short));
    assert_eq!(warnings(&wish()), Vec::<String>::new());

    let late = sold(r#"VERSION="2.0" MAINTENANCE_START="2020-04-01" MAINTENANCE_END="2021-04-01""#);
    let past = ask(&late, &[], &Wish { basis: Basis::FromExpiry, ..wish() }).unwrap();
    assert_eq!((past.end, past.warnings.len()), (day("2022-04-01"), 1));
    assert!(past.warnings[0].contains("which is past"), "{:?}", past.warnings);

    let rented = sold(
        r#"LICENSE_TYPE="SUBSCRIPTION" END="2027-12-31" VERSION="2.0" ISSUED="2026-10-01" MAINTENANCE_PERIOD="P1Y""#,
    );
    let renewed = ask(&rented, &[], &wish()).unwrap();
    assert_eq!((renewed.old_end, renewed.end), (Some(day("2027-10-01")), day("2028-10-01")));
    assert!(renewed.warnings[0].contains("after END 2027-12-31"), "{:?}", renewed.warnings);
    let none = sold(&format!("{MAINTAINED} MAINTENANCE_UPDATES=\"NONE\""));
    assert!(ask(&none, &[], &wish()).unwrap().warnings[0].contains("MAINTENANCE_UPDATES=\"NONE\""));

    // Signed with the key of another year: it is the vendor's all the same.
    let older = VendorKey::from_secret("test-0", Name::new("ACME").unwrap(), &[9; 32]).unwrap();
    let renewed = renew(&older, &file("sold.xml", &license), &[], &wish(), day("2027-09-15")).unwrap();
    assert!(renewed.warnings[0].contains("signed with another key than test-0"), "{:?}", renewed.warnings);
}

#[test]
fn a_license_without_maintenance_needs_a_start() {
    let license = sold(r#"VERSION="2.0""#);
    let message = ask(&license, &[], &wish()).unwrap_err();
    assert!(message.contains("no maintenance") && message.contains("--start DATE"), "{message}");
    let renewed = ask(&license, &[], &Wish { start: Some(day("2027-10-01")), ..wish() }).unwrap();
    assert_eq!((renewed.old_end, renewed.end), (None, day("2028-10-01")));
    let made = only(&renewed.signed.xml, &trusting_acme());
    assert_eq!(made.carried.maintenance.unwrap().start, Some(day("2027-10-01")));
    // What was bought so is renewed from there, on its grid.
    let again = ask(&license, &[&renewed.signed.xml], &Wish { basis: Basis::FromExpiry, ..wish() }).unwrap();
    assert_eq!(again.end, day("2029-10-01"));
    let message =
        ask(&sold(MAINTAINED), &[], &Wish { start: Some(day("2027-10-01")), ..wish() }).unwrap_err();
    assert!(message.contains("--start is for a license without"), "{message}");
    let message = ask(&sold(""), &[], &Wish { start: Some(day("2027-10-01")), ..wish() }).unwrap_err();
    assert!(message.contains("every version of the program runs already"), "{message}");
}

#[test]
fn of_a_first_checkout_the_vendor_must_be_told() {
    let license = sold(
        r#"VERSION="2.0" MAINTENANCE_PERIOD="P1Y" MAINTENANCE_START_TRIGGER="FIRST_CHECKOUT" MAINTENANCE_START_BY="2026-12-31""#,
    );
    let told = |old_end: Option<&str>, start: Option<&str>| {
        let basis = Basis::FromExpiry;
        let wish = Wish { basis, old_end: old_end.map(day), start: start.map(day), ..wish() };
        ask(&license, &[], &wish).map(|renewed| renewed.end)
    };
    let message = told(None, None).unwrap_err();
    assert!(message.contains("--old-end DATE") && message.contains("first checkout"), "{message}");
    assert_eq!(told(Some("2027-06-10"), None), Ok(day("2028-06-10")));
    assert_eq!(told(None, Some("2026-06-10")), Ok(day("2028-06-10")));
    assert_eq!(told(None, Some("2027-06-10")), Ok(day("2028-12-31")), "the clock began at START_BY");
    assert!(told(Some("2028-01-01"), None).unwrap_err().contains("2027-12-31 at the latest"));
    assert!(told(Some("2027-06-10"), Some("2026-06-10")).unwrap_err().contains("give one"));
    let message =
        ask(&sold(MAINTAINED), &[], &Wish { old_end: Some(day("2027-04-01")), ..wish() }).unwrap_err();
    assert!(message.contains("says itself when its maintenance ends"), "{message}");
}

#[test]
fn what_cannot_be_renewed_says_why_and_what_to_do() {
    let never = |license: &str| ask(license, &[], &wish()).unwrap_err();
    for (license, words) in [
        (sold(r#"VERSION="2.0" MAINTENANCE_END="UNLIMITED""#), "without end already"),
        (sold(r#"LICENSE_TYPE="EVALUATION" VERSION="2.0" END="2027-12-31""#), "sell a license"),
        (sold(r#"LICENSE_TYPE="SUBSCRIPTION" VERSION="2.0" END="2027-12-31""#), "a later END"),
        (sold(""), "every version of the program runs already"),
        (signed(&feature(r#"<SETTING KEYTYPE="UPGRADE" COUNT="6"/>"#)), "renew that one"),
        (
            signed(&feature(
                r#"<SETTING KEYTYPE="MAINTENANCE" RENEWS="SN=7" MAINTENANCE_END="2027-12-31"/>"#,
            )),
            "is a renewal itself",
        ),
        (feature(&format!("<SETTING SN=\"7\" {MAINTAINED}/>")), "no KEY"),
        (sold(MAINTAINED).replace("2027-04-01", "2029-04-01"), "does not fit what the license says"),
        ("<LICENSEFILE>".to_owned(), "inside an element"),
        ("<LICENSEFILE></LICENSEFILE>".to_owned(), "it has none"),
    ] {
        let message = never(&license);
        assert!(message.contains(words), "{license}: {message}");
    }
    let other = VendorKey::from_secret("o", Name::new("OTHER").unwrap(), &[9; 32]).unwrap();
    let message =
        renew(&other, &file("sold.xml", &sold(MAINTAINED)), &[], &wish(), day("2027-09-15")).unwrap_err();
    assert!(message.to_string().contains("sold by ACME, and this key signs for OTHER"), "{message}");

    let stray =
        signed(&feature(r#"<SETTING KEYTYPE="MAINTENANCE" RENEWS="SN=8" MAINTENANCE_END="2030-01-01"/>"#));
    let message = ask(&sold(MAINTAINED), &[&stray], &wish()).unwrap_err();
    assert!(message.contains("r0.xml: there is no renewal of cad SN 7 in it"), "{message}");
}

#[test]
fn of_several_licenses_one_must_be_named() {
    let one = |name: &str, sn: &str, more: &str| {
        format!("<FEATURE NAME=\"{name}\"><SETTING SN=\"{sn}\" COUNT=\"5\" {MAINTAINED} {more}/></FEATURE>")
    };
    let several = signed(&format!(
        "<LICENSEFILE>{}{}{}<FEATURE NAME=\"cad\"><SETTING KEYTYPE=\"UPGRADE\" COUNT=\"1\" SN=\"9\"/></FEATURE></LICENSEFILE>",
        one("cad", "7", ""),
        one("cad", "8", "KEYTYPE=\"ADDITIVE\""),
        one("cam", "7", "")
    ));
    let message = ask(&several, &[], &wish()).unwrap_err();
    assert!(message.contains("--feature or --sn"), "{message}");
    assert_eq!(message.lines().filter(|line| line.contains("MAINTENANCE")).count(), 0);
    for line in ["EXCLUSIVE cad SN 7, 5 seats", "ADDITIVE cad SN 8, 5 seats", "EXCLUSIVE cam SN 7, 5 seats"] {
        assert!(message.contains(line), "{message}");
    }
    let named = |feature: Option<&str>, sn: Option<&str>| {
        let feature = feature.map(|name| Name::new(name).unwrap());
        ask(&several, &[], &Wish { feature, sn: sn.map(str::to_owned), ..wish() })
    };
    assert_eq!(named(Some("CAM"), None).unwrap().license, "cam SN 7");
    assert_eq!(named(None, Some("8")).unwrap().license, "cad SN 8");
    assert_eq!(named(Some("cad"), Some("7")).unwrap().license, "cad SN 7");
    assert!(named(Some("cad"), None).unwrap_err().contains("several"));
    assert!(named(None, Some("9")).unwrap_err().contains("UPGRADE"));
    let message = named(Some("sim"), None).unwrap_err();
    assert!(message.contains("no such license") && message.contains("cam SN 7"), "{message}");
}
