//! What of maintenance is refused before anybody is sold it, and by a server that meets it all the same (rules 3, 6.14).

use seatkeeper::licenses::canonical::canonical;
use seatkeeper::licenses::settings::check;
use seatkeeper::licenses::{Signatures, read_files, xml};
use seatkeeper::vendor::{Template, sign};
use seats::license::{KeyType, LicenseType, Reason, StartTrigger};

use super::{acme, feature, read, trusting_acme};

/// Number, settings, outcome.
fn vectors() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines =
        include_str!("vectors/generator.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let rows: Vec<_> = lines
        .map(|line| {
            let mut cells = line.splitn(3, " | ");
            let mut cell = || cells.next().unwrap_or_else(|| panic!("{line}")).trim();
            (cell(), cell(), cell())
        })
        .collect();
    let group_j: Vec<&str> =
        rows.iter().map(|(n, ..)| n.trim_end_matches('*')).filter(|n| n.starts_with('J')).collect();
    assert_eq!(group_j, ["J01", "J02", "J04", "J05", "J07", "J08", "J10", "J11"]);
    rows
}

/// What checking says of a feature: faults, then warnings.
fn checked(text: &str) -> (Vec<String>, Vec<String>) {
    let document = xml::read(text).unwrap();
    let checked = check(&document.features[0]);
    assert_eq!(checked.unsupported, None, "{text}");
    let said = |faults: Vec<xml::Fault>| faults.into_iter().map(|fault| fault.message).collect();
    (said(checked.faults), said(checked.warnings))
}

fn signed(text: &str) -> Result<(String, Vec<String>), Vec<String>> {
    let template = Template { file: "t.xml".to_owned(), bytes: text.as_bytes().to_vec() };
    let today = chrono::NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    match sign(&acme(), &[template], None, today) {
        Ok(signed) => Ok((signed.xml, signed.warnings.into_iter().map(|w| w.message).collect())),
        Err(problems) => Err(problems.into_iter().map(|p| p.message).collect()),
    }
}

/// What a server says of it, given a good signature: the messages of all problems, and whether it refuses the license.
fn loaded(settings: &str) -> (Vec<String>, bool) {
    let text = feature(&format!("<SETTING VENDOR=\"ACME\" SN=\"1\" {settings} KEY=\"@\"/>"));
    let form = canonical(&xml::read(&text).unwrap().features[0]);
    let text = text.replace('@', &acme().sign(&form));
    let set = read_files(&[("x.xml".to_owned(), text.into_bytes())], &trusting_acme(), Signatures::Required);
    let refusal = set.licenses[0].refusal.as_ref();
    assert_eq!(refusal.map(|r| &r.message), set.problems.first().map(|p| &p.message));
    (set.problems.iter().map(|p| p.message.clone()).collect(), refusal.is_some())
}

#[test]
fn the_generator_and_the_loader_refuse_the_same_in_the_same_words() {
    for (number, settings, outcome) in vectors() {
        let text = feature(&format!("<SETTING {settings}/>"));
        let (faults, warnings) = checked(&text);
        let (problems, is_refused) = loaded(settings);
        let sold = signed(&text);
        if outcome == "ok" || outcome.starts_with("warns: ") {
            assert_eq!((faults, problems, is_refused), (vec![], vec![], false), "{number}");
            let (xml, told) = sold.unwrap_or_else(|problems| panic!("{number}: {problems:?}"));
            assert_eq!(read(&xml).problems, [], "{number}");
            if let Some(words) = outcome.strip_prefix("warns: ") {
                assert!(warnings[0].contains(words), "{number}: {warnings:?}");
                assert!(told.iter().any(|message| message.contains(words)), "{number}: {told:?}");
            } else {
                assert_eq!(warnings, Vec::<String>::new(), "{number}");
            }
            continue;
        }
        // One fault, one sentence.
        let [fault] = faults.as_slice() else { panic!("{number}: {faults:?}") };
        assert!(fault.contains(outcome), "{number}: {fault}");
        assert_eq!((problems.as_slice(), is_refused), (std::slice::from_ref(fault), true), "{number}");
        match sold {
            Err(problems) => assert_eq!(problems, std::slice::from_ref(fault), "{number}"),
            Ok((xml, _)) => {
                assert!(number.ends_with('*'), "{number} is signed");
                assert_eq!(read(&xml).problems, [], "{number}: what is signed loads");
            }
        }
    }
}

#[test]
fn a_renewal_says_nothing_but_what_it_renews_and_until_when() {
    let renewal = r#"KEYTYPE="MAINTENANCE" RENEWS="SN=1" MAINTENANCE_END="2030-01-01""#;
    for setting in [
        "COUNT=\"1\"",
        "VERSION=\"1.0\"",
        "MAJOR_VERSION=\"1\"",
        "MINOR_VERSION=\"1\"",
        "START=\"2026-01-01\"",
        "END=\"2030-01-01\"",
        "LICENSE_TYPE=\"SUBSCRIPTION\"",
        "MAINTENANCE_PERIOD=\"P1Y\"",
        "MAINTENANCE_START_TRIGGER=\"ISSUE\"",
        "MAINTENANCE_START_BY=\"2027-01-01\"",
        "MAINTENANCE_UPDATES=\"MINOR\"",
        "MAINTENANCE_PATCHES=\"DATE\"",
        "MAINTENANCE_GRACE_DAYS=\"5\"",
        "MAINTENANCE_CONTACT=\"shop\"",
        "MAX_VERSION=\"3\"",
        "FALLBACK_VERSION=\"3.1\"",
        "LICENSEE=\"x\"",
        "DATA=\"x\"",
        "OPTIONS=\"x\"",
        "SHARE=\"HOST\"",
        "SOFTLIMIT=\"5\"",
        "HOLD=\"5\"",
        "MIN_CHECKOUT=\"5\"",
        "BORROW=\"5\"",
        "GRACE=\"5\"",
        "USERBASED=\"5\"",
        "HOSTBASED=\"5\"",
        "TIME_ZONES=\"1\"",
        "PLATFORMS=\"linux\"",
        "REPLACES=\"SN=1\"",
        "TOKEN_DEPENDENCY=\"FEATURE=a VERSION=1.0 COUNT=1\"",
        "HAL_SERVERS=\"3\"",
    ] {
        let set = read(&feature(&format!("<SETTING {renewal} {setting}/>")));
        let [problem] = set.problems.as_slice() else { panic!("{setting}: {:#?}", set.problems) };
        assert_eq!(problem.reason, Reason::SettingNotAllowed, "{problem}");
        let name = setting.split('=').next().unwrap();
        assert!(problem.message.starts_with(&format!("{name} is not allowed")), "{problem}");
    }
    let bound = "<SERVER_HOSTID><SETTING CUSTOM=\"7\"/></SERVER_HOSTID>";
    assert_eq!(read(&feature(&format!("<SETTING {renewal}/>{bound}"))).problems, []);
    let client = bound.replace("SERVER", "CLIENT");
    let set = read(&feature(&format!("<SETTING {renewal}/>{client}")));
    assert_eq!(set.problems[0].reason, Reason::SettingNotAllowed);
}

#[test]
fn what_is_new_arrives_in_the_license() {
    let license = |settings: &str| {
        let set = read(&feature(settings));
        assert_eq!(set.problems, [], "{settings}");
        (*set.licenses[0]).clone()
    };
    let renewal = license(
        r#"<SETTING KEYTYPE="MAINTENANCE" RENEWS="SN=7f3c" MAINTENANCE_START="2027-09-15" MAINTENANCE_END="UNLIMITED"/>"#,
    );
    assert_eq!((renewal.key_type, renewal.version, renewal.count), (KeyType::Maintenance, None, None));
    assert_eq!(renewal.carried.special.unwrap().renews.as_deref(), Some("7f3c"));
    assert_eq!(renewal.carried.maintenance_end, Some(chrono::NaiveDate::MAX));
    assert_eq!(renewal.carried.maintenance.unwrap().start.unwrap().to_string(), "2027-09-15");

    let rented = license(r#"<SETTING LICENSE_TYPE="SUBSCRIPTION" END="2030-01-01" FALLBACK_VERSION="3.1"/>"#);
    assert_eq!(rented.license_type, LicenseType::Subscription);
    assert_eq!(rented.carried.maintenance.unwrap().fallback_version, Some(vec![3, 1]));
    assert_eq!(
        license(r#"<SETTING LICENSE_TYPE="EVALUATION" END="2030-01-01"/>"#).license_type,
        LicenseType::Evaluation
    );
    let first = license(
        r#"<SETTING MAINTENANCE_PERIOD="P1Y" MAINTENANCE_START_TRIGGER="FIRST_CHECKOUT" MAINTENANCE_START_BY="2030-01-01"/>"#,
    );
    assert_eq!(first.carried.maintenance.unwrap().trigger, StartTrigger::FirstCheckout);
}
