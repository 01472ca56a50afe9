//! Every setting of the rules, good and bad, each fault at its exact place.

use seats::license::{
    Based, Count, KeyType, License, LicenseType, LicenseVersion, Patches, Period, Reason, Replaces, Share,
    StartTrigger, Updates,
};

use super::{feature, marked, read};

/// The license of a feature that has nothing wrong with it.
fn good(settings: &str) -> License {
    let set = read(&feature(settings));
    assert_eq!(set.problems, [], "{settings}");
    let [license] = set.licenses.as_slice() else { panic!("{settings}: {set:?}") };
    assert_eq!(license.refusal, None, "{settings}");
    (**license).clone()
}

/// The license of a feature with one fault, which is at the mark and has that reason.
fn bad(settings: &str, reason: Reason) -> License {
    let (text, place) = marked(&feature(settings));
    let set = read(&text);
    let [problem] = set.problems.as_slice() else { panic!("{settings}: {:#?}", set.problems) };
    let found = (problem.line.unwrap(), problem.column.unwrap());
    assert_eq!((Some(found), problem.reason), (place, reason), "{settings}: {problem}");
    assert_eq!((&*problem.file, problem.feature.as_deref()), ("x.xml", Some("cad")), "{settings}");
    let [license] = set.licenses.as_slice() else { panic!("{settings}: {set:?}") };
    let refusal = license.refusal.clone().unwrap();
    assert_eq!((refusal.reason, refusal.message), (problem.reason, problem.message.clone()), "{settings}");
    (**license).clone()
}

#[test]
fn every_setting_accepts_what_the_rules_allow() {
    for settings in [
        "",
        r#"<SETTING KEYTYPE="EXCLUSIVE"/>"#,
        r#"<SETTING COUNT="1"/>"#,
        r#"<SETTING COUNT="2147483647"/>"#,
        r#"<SETTING COUNT="UNLIMITED"/>"#,
        r#"<SETTING VERSION="4.2"/>"#,
        r#"<SETTING VERSION="0.4294967295"/>"#,
        r#"<SETTING MAJOR_VERSION="4"/>"#,
        r#"<SETTING MINOR_VERSION="4"/>"#,
        r#"<SETTING START="2026-01-01" END="2026-01-01"/>"#,
        r#"<SETTING END="2028-02-29"/>"#,
        r#"<SETTING LICENSE_TYPE="PERPETUAL"/>"#,
        r#"<SETTING ISSUED="2026-01-01" SN="7" VENDOR="A-c_M9"/>"#,
        r#"<SETTING LICENSEE="Øl &amp; Co" DATA="" COMMENT="x" OPTIONS="a=b"/>"#,
        r#"<SETTING SHARE="HOST, USER CUSTOM,VIRTUAL"/>"#,
        r#"<SETTING SHARE="TERMINALSERVER SINGLE"/>"#,
        r#"<SETTING COUNT="10" SOFTLIMIT="9"/>"#,
        r#"<SETTING SOFTLIMIT="1000" COUNT="UNLIMITED"/>"#,
        r#"<SETTING BORROW="8760" GRACE="168"/>"#,
        r#"<SETTING TIME_ZONES="-12 0,13"/>"#,
        r#"<SETTING PLATFORMS="linux-x86_64, Windows"/>"#,
        r#"<SETTING HOSTID_MATCH_RATE="0"/>"#,
        r#"<SETTING COUNT="6" KEYTYPE="UPGRADE" HAL_SERVERS="3" SHARE="VIRTUAL" COMMENT="x"/>"#,
        r#"<SETTING MAINTENANCE_START="2026-01-01" MAINTENANCE_END="2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_END="UNLIMITED" MAINTENANCE_UPDATES="MINOR" MAINTENANCE_PATCHES="DATE"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="P1Y" ISSUED="2026-01-01" MAINTENANCE_START_TRIGGER="ISSUE"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="P1Y" MAINTENANCE_START="2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_GRACE_DAYS="90" MAINTENANCE_CONTACT="mail@example.org"/>"#,
        r#"<SETTING MAX_VERSION="2" VERSION="2.9"/>"#,
        r#"<SETTING MAX_VERSION="2.0.0.1" VERSION="2.0"/>"#,
        r#"<CLIENT_HOSTID><SETTING HOSTNAME="a"/><SETTING HOSTNAME="b"/></CLIENT_HOSTID>"#,
        r#"<SERVER_HOSTID><SETTING ETHERNET="00-1a-2b-3c-4d-5e" IPADDRESS="::1" CUSTOM="7"/></SERVER_HOSTID>"#,
    ] {
        good(settings);
    }
}

#[test]
fn values_arrive_in_the_license() {
    let license = good(
        r#"<SETTING COUNT="10" VERSION="4.2" START="2026-01-02" END="2031-12-31" ISSUED="2026-01-01" SN="S1"
           VENDOR="ACME" SHARE="HOST,USER" SOFTLIMIT="8" BORROW="24" GRACE="12" LICENSEE="a" DATA="b" COMMENT="c"
           OPTIONS="d" TIME_ZONES="-5,1" PLATFORMS="Linux-x86_64" HOSTID_MATCH_RATE="50"/>
           <CLIENT_HOSTID><SETTING HOSTNAME="ws7"/></CLIENT_HOSTID>"#,
    );
    let date = |y, m, d| chrono::NaiveDate::from_ymd_opt(y, m, d);
    assert_eq!((license.vendor.as_str(), license.feature.as_str()), ("ACME", "cad"));
    assert_eq!((license.key_type, license.count), (KeyType::Exclusive, Some(Count::Limited(10))));
    assert_eq!(license.version, Some(LicenseVersion { major: 4, minor: 2 }));
    assert_eq!((license.start, license.end), (date(2026, 1, 2), date(2031, 12, 31)));
    assert_eq!((license.issued, license.sn.as_deref()), (date(2026, 1, 1), Some("S1")));
    assert_eq!(license.share, Share { host: true, user: true, ..Share::default() });
    assert_eq!(license.time_zones.unwrap().hours().collect::<Vec<_>>(), [-5, 1]);
    assert_eq!(license.platforms.iter().map(|p| &**p).collect::<Vec<_>>(), ["linux-x86_64"]);
    assert_eq!((license.match_rate, license.hal, license.license_type), (50, false, LicenseType::Perpetual));
    assert_eq!(license.client_host_ids[0][0].value, "ws7");
    let carried = &license.carried;
    assert_eq!(
        (carried.soft_limit, carried.borrow_hours, carried.grace_hours),
        (Some(8), Some(24), Some(12))
    );
    let texts: Vec<&str> = carried.texts.iter().flatten().map(|text| &**text).collect();
    assert_eq!(texts, ["a", "b", "c", "d"]);
    assert_eq!((&*license.place.file, license.place.line, license.place.column), ("x.xml", 2, 1));
    assert!(license.signed.is_none() && carried.maintenance.is_none() && carried.special.is_none());
}

#[test]
fn maintenance_is_carried_and_gives_version_its_default() {
    let license = good(
        r#"<SETTING MAINTENANCE_PERIOD="P1Y2W" MAINTENANCE_START_TRIGGER="FIRST_CHECKOUT"
           MAINTENANCE_START_BY="2026-12-31" MAINTENANCE_UPDATES="NONE" MAINTENANCE_PATCHES="LINE"
           MAINTENANCE_GRACE_DAYS="30" MAINTENANCE_CONTACT="shop" MAX_VERSION="1.0.7"/>"#,
    );
    assert_eq!(license.version, Some(LicenseVersion { major: 1, minor: 0 }));
    let maintenance = license.carried.maintenance.unwrap();
    assert_eq!(maintenance.period, Some(Period { months: 12, days: 14 }));
    assert_eq!((maintenance.trigger, maintenance.updates), (StartTrigger::FirstCheckout, Updates::None));
    assert_eq!((maintenance.patches, maintenance.grace_days), (Patches::Line, 30));
    assert_eq!(maintenance.max_version, Some(vec![1, 0, 7]));
    assert_eq!(
        (maintenance.start_by.map(|d| d.to_string()), maintenance.contact.as_deref()),
        (Some("2026-12-31".to_owned()), Some("shop"))
    );

    assert_eq!(
        good(r#"<SETTING COUNT="1"/>"#).version,
        None,
        "no version is assumed where nothing needs one"
    );
    let unlimited = good(r#"<SETTING MAINTENANCE_END="UNLIMITED"/>"#);
    assert_eq!(unlimited.carried.maintenance_end, Some(chrono::NaiveDate::MAX));
}

#[test]
fn a_wrong_value_is_a_bad_value_at_its_place() {
    for settings in [
        r#"<SETTING KEYTYPE="¦exclusive"/>"#,
        r#"<SETTING COUNT="¦0"/>"#,
        r#"<SETTING COUNT="¦+1"/>"#,
        r#"<SETTING COUNT="¦2147483648"/>"#,
        r#"<SETTING COUNT="¦unlimited"/>"#,
        r#"<SETTING COUNT="¦"/>"#,
        "<SETTING COUNT=\"1\"/>\n  <SETTING DATA=\"ü\" VERSION=\"¦4.2.1\"/>",
        r#"<SETTING VERSION="¦4294967296.0"/>"#,
        r#"<SETTING VERSION="¦4.+2"/>"#,
        r#"<SETTING MAJOR_VERSION="¦4.2"/>"#,
        r#"<SETTING VERSION="4.2" MINOR_VERSION="¦2"/>"#,
        r#"<SETTING START="¦2026-1-1"/>"#,
        r#"<SETTING END="¦2027-02-29"/>"#,
        r#"<SETTING END="¦31-dec-2031"/>"#,
        r#"<SETTING START="2026-01-02" END="¦2026-01-01"/>"#,
        r#"<SETTING LICENSE_TYPE="¦TRIAL"/>"#,
        r#"<SETTING ISSUED="¦TODAY"/>"#,
        r#"<SETTING VENDOR="¦A C M E"/>"#,
        r#"<SETTING SN="¦"/>"#,
        r#"<SETTING SHARE="¦HOST SITE"/>"#,
        r#"<SETTING SHARE="¦,"/>"#,
        r#"<SETTING COUNT="1" SHARE="¦SINGLE"/>"#,
        r#"<SETTING COUNT="10" SOFTLIMIT="¦10"/>"#,
        r#"<SETTING SOFTLIMIT="¦10"/>"#,
        r#"<SETTING COUNT="10" SOFTLIMIT="¦0"/>"#,
        r#"<SETTING HOLD="¦31536001"/>"#,
        r#"<SETTING HOLD="¦0"/>"#,
        r#"<SETTING MIN_CHECKOUT="¦1h"/>"#,
        r#"<SETTING BORROW="¦8761"/>"#,
        r#"<SETTING GRACE="¦169"/>"#,
        r#"<SETTING COUNT="5" USERBASED="¦6"/>"#,
        r#"<SETTING COUNT="5" HOSTBASED="¦all"/>"#,
        r#"<SETTING HOSTBASED="¦5"/>"#,
        r#"<SETTING TIME_ZONES="¦14"/>"#,
        r#"<SETTING PLATFORMS="¦linus"/>"#,
        r#"<SETTING REPLACES="¦cad"/>"#,
        r#"<SETTING HAL_SERVERS="¦2"/>"#,
        r#"<SETTING HOSTID_MATCH_RATE="¦101"/>"#,
        r#"<SETTING MAINTENANCE_START="¦soon" MAINTENANCE_END="2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_END="¦NEVER"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="¦P0D" ISSUED="2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="¦PT1H" ISSUED="2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_UPDATES="¦ALL"/>"#,
        r#"<SETTING MAINTENANCE_PATCHES="¦ALL"/>"#,
        r#"<SETTING MAINTENANCE_GRACE_DAYS="¦91"/>"#,
        r#"<SETTING MAX_VERSION="¦1.2.3.4.5"/>"#,
        r#"<SETTING MAX_VERSION="¦3.x"/>"#,
        r#"<SETTING MAINTENANCE_END="2026-12-31" MAINTENANCE_PERIOD="¦P1Y" ISSUED="2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_START="2026-12-31" MAINTENANCE_END="¦2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_START="¦2026-12-31"/>"#,
        r#"<SETTING MAINTENANCE_START_TRIGGER="¦ISSUE"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="P1Y" MAINTENANCE_START_TRIGGER="¦FIRST_CHECKOUT"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="P1Y" MAINTENANCE_START_TRIGGER="FIRST_CHECKOUT"
                    MAINTENANCE_START_BY="2026-12-31" MAINTENANCE_START="¦2026-01-01"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="¦P1Y"/>"#,
        r#"<SETTING MAINTENANCE_PERIOD="P1Y" ISSUED="2026-01-01" MAINTENANCE_START_BY="¦2026-01-01"/>"#,
        r#"<SETTING VERSION="2.0" MAX_VERSION="¦1"/>"#,
        r#"<SETTING FALLBACK_VERSION="¦2.0"/>"#,
        r#"<SETTING LICENSE_TYPE="¦EVALUATION"/>"#,
        r#"<SETTING LICENSE_TYPE="¦SUBSCRIPTION"/>"#,
        r#"<SETTING COUNT="1"/><SETTING ¦COUNT="1"/>"#,
        r#"<SETTING COMMENT="¦a&#9;b"/>"#,
        "<SETTING COMMENT=\"¦a\nb\"/>",
        "<SETTING COMMENT=\"¦a\u{85}b\"/>",
        r#"¦<SETTING/>"#,
        r#"¦<SERVER_HOSTID/>"#,
        r#"¦<CLIENT_HOSTID></CLIENT_HOSTID>"#,
        r#"<SERVER_HOSTID><SETTING ETHERNET="¦00:1a:2b:3c:4d"/></SERVER_HOSTID>"#,
        r#"<SERVER_HOSTID><SETTING IPADDRESS="¦10.1.2.256"/></SERVER_HOSTID>"#,
        r#"<SERVER_HOSTID><SETTING HOSTNAME="¦ "/></SERVER_HOSTID>"#,
    ] {
        bad(settings, Reason::BadValue);
    }
}

#[test]
fn what_the_language_does_not_know_is_never_ignored() {
    for settings in [
        r#"<SETTING ¦COLOUR="red"/>"#,
        r#"<SETTING ¦count="1"/>"#,
        r#"<SETTING COUNT="1" ¦SEATS="2"/>"#,
        r#"¦<OPTION X="1"/>"#,
        r#"¦<setting COUNT="1"/>"#,
        r#"<SETTING COUNT="1">¦<SETTING END="2030-01-01"/></SETTING>"#,
        r#"<SERVER_HOSTID>¦<HOSTNAME/><SETTING CUSTOM="a"/></SERVER_HOSTID>"#,
        r#"<SERVER_HOSTID ¦HOSTNAME="a"><SETTING HOSTNAME="a"/></SERVER_HOSTID>"#,
        r#"<SERVER_HOSTID><SETTING ¦DONGLE="a"/></SERVER_HOSTID>"#,
    ] {
        bad(settings, Reason::UnknownSetting);
    }
    let hint = bad(r#"<SETTING ¦count="1"/>"#, Reason::UnknownSetting).refusal.unwrap().message;
    assert!(hint.contains("write it COUNT"), "{hint}");
}

#[test]
fn an_upgrade_has_its_own_short_list() {
    let upgrade = |more: &str| format!(r#"<SETTING KEYTYPE="UPGRADE" COUNT="6"/>{more}"#);
    for more in [
        r#"<SETTING START="2026-01-01" END="2030-06-30" ISSUED="2026-01-01" SN="7" VENDOR="ACME"/>"#,
        r#"<SETTING HOSTID_MATCH_RATE="50"/><SERVER_HOSTID><SETTING CUSTOM="7"/></SERVER_HOSTID>"#,
    ] {
        assert_eq!(good(&upgrade(more)).key_type, KeyType::Upgrade);
    }
    for setting in [
        "VERSION=\"1.0\"",
        "MAJOR_VERSION=\"1\"",
        "LICENSEE=\"x\"",
        "DATA=\"x\"",
        "OPTIONS=\"x\"",
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
        "MAINTENANCE_END=\"2030-01-01\"",
        "MAINTENANCE_GRACE_DAYS=\"5\"",
        "MAX_VERSION=\"9\"",
        "LICENSE_TYPE=\"PERPETUAL\"",
    ] {
        let license = bad(&upgrade(&format!("<SETTING ¦{setting}/>")), Reason::SettingNotAllowed);
        let name = setting.split('=').next().unwrap();
        assert!(license.refusal.unwrap().message.contains(name), "the message names {name}");
    }
    bad(&upgrade(r#"<SETTING SHARE="¦HOST"/>"#), Reason::SettingNotAllowed);
    bad(&upgrade(r#"¦<CLIENT_HOSTID><SETTING HOSTNAME="a"/></CLIENT_HOSTID>"#), Reason::SettingNotAllowed);
    bad(r#"<SETTING ¦RENEWS="SN=1"/>"#, Reason::SettingNotAllowed);
    bad(r#"<SETTING ¦TOKEN_DEPENDENCY="FEATURE=a VERSION=1.0 COUNT=1"/>"#, Reason::SettingNotAllowed);
}

#[test]
fn key_types_need_what_they_are_made_of() {
    let missing = |settings: &str, name: &str| {
        let text = feature(settings).replace("<FEATURE", "¦<FEATURE");
        let (text, place) = marked(&text);
        let set = read(&text);
        let problem =
            set.problems.iter().find(|p| p.message.contains(name)).unwrap_or_else(|| panic!("{settings}"));
        assert_eq!(
            (problem.reason, problem.line.zip(problem.column)),
            (Reason::BadValue, place),
            "{settings}"
        );
    };
    missing(r#"<SETTING KEYTYPE="UPGRADE"/>"#, "COUNT");
    missing(r#"<SETTING KEYTYPE="ADDITIVE"/>"#, "COUNT");
    missing(r#"<SETTING KEYTYPE="TOKEN"/>"#, "TOKEN_DEPENDENCY");
    missing(r#"<SETTING KEYTYPE="MAINTENANCE" MAINTENANCE_END="2030-01-01"/>"#, "RENEWS");
    missing(r#"<SETTING KEYTYPE="MAINTENANCE" RENEWS="SN=1"/>"#, "MAINTENANCE_END");
    let renewal = r#"<SETTING KEYTYPE="MAINTENANCE" RENEWS="SN=1" MAINTENANCE_END="2030-01-01"/>"#;
    bad(&format!("{renewal}<SETTING ¦COUNT=\"1\"/>"), Reason::SettingNotAllowed);
    bad(&format!("{renewal}<SETTING ¦MAINTENANCE_UPDATES=\"MINOR\"/>"), Reason::SettingNotAllowed);
    let token = r#"<SETTING KEYTYPE="TOKEN" TOKEN_DEPENDENCY="FEATURE=a VERSION=1.0 COUNT=1"/>"#;
    bad(&format!("{token}<SETTING ¦COUNT=\"1\"/>"), Reason::SettingNotAllowed);
    bad(&format!("{token}<SETTING TOKEN_DEPENDENCY=\"¦FEATURE=b\"/>"), Reason::BadValue);
}

#[test]
fn what_few_licenses_say_is_read() {
    let special = |settings: &str| good(settings).carried.special.unwrap_or_default();
    assert_eq!(special(r#"<SETTING COUNT="5" HOLD="60"/>"#).hold_seconds, Some(60));
    let longest = special(r#"<SETTING COUNT="5" MIN_CHECKOUT="31536000"/>"#);
    assert_eq!(longest.min_checkout_seconds, Some(31_536_000));
    assert_eq!(special(r#"<SETTING COUNT="5" USERBASED="5"/>"#).user_based, Some(Based::Seats(5)));
    assert_eq!(special(r#"<SETTING COUNT="5" HOSTBASED="ALL"/>"#).host_based, Some(Based::All));
    assert_eq!(special(r#"<SETTING REPLACES="SN=7"/>"#).replaces, Some(Replaces::Sn("7".into())));
    let token = good(
        r#"<SETTING KEYTYPE="TOKEN" TOKEN_DEPENDENCY="FEATURE=a VERSION=1.0 COUNT=2"/>
           <SETTING TOKEN_DEPENDENCY="FEATURE=b VERSION=2.5 COUNT=1"/>"#,
    );
    assert_eq!((token.key_type, token.count, token.token_dependencies().len()), (KeyType::Token, None, 2));
    let additive = good(r#"<SETTING KEYTYPE="ADDITIVE" COUNT="5" SOFTLIMIT="4" SHARE="HOST"/>"#);
    assert_eq!((additive.key_type, additive.carried.soft_limit), (KeyType::Additive, Some(4)));
}

#[test]
fn what_is_not_served_yet_says_so_and_is_read_all_the_same() {
    assert!(bad(r#"<SETTING COUNT="5" ¦HAL_SERVERS="3"/>"#, Reason::NotSupportedYet).hal);
    assert!(bad(r#"<SETTING KEYTYPE="ADDITIVE" COUNT="5" ¦HAL_SERVERS="3"/>"#, Reason::NotSupportedYet).hal);
    let upgrade = good(r#"<SETTING KEYTYPE="UPGRADE" COUNT="1" HAL_SERVERS="3"/>"#);
    assert!(upgrade.hal, "an upgrade says it so that it can be compared with its exclusive");
}

#[test]
fn an_exclusive_without_count_is_a_good_local_license() {
    let license = good("");
    assert_eq!((license.key_type, license.count), (KeyType::Exclusive, None));
}

#[test]
fn every_fault_of_a_feature_is_told_and_its_neighbours_load() {
    let set = read(
        "<LICENSEFILE>
           <FEATURE NAME=\"a\"><SETTING COUNT=\"1\"/></FEATURE>
           <FEATURE NAME=\"b\"><SETTING COUNT=\"x\" END=\"y\" SN=\"7\"/><SETTING FOO=\"1\"/></FEATURE>
           <FEATURE><SETTING COUNT=\"1\"/></FEATURE>
           <FEATURE NAME=\"schön\"/>
           <FEATURE NAME=\"c\" COUNT=\"1\"/>
           <FEATURE NAME=\"d\"/>
         </LICENSEFILE>",
    );
    let names: Vec<(&str, bool)> =
        set.licenses.iter().map(|l| (l.feature.as_str(), l.refusal.is_none())).collect();
    assert_eq!(names, [("a", true), ("b", false), ("c", false), ("d", true)]);
    let told: Vec<(u32, Option<&str>, Option<&str>, Reason)> = set
        .problems
        .iter()
        .map(|p| (p.line.unwrap(), p.feature.as_deref(), p.sn.as_deref(), p.reason))
        .collect();
    assert_eq!(
        told,
        [
            (3, Some("b"), Some("7"), Reason::BadValue),
            (3, Some("b"), Some("7"), Reason::BadValue),
            (3, Some("b"), Some("7"), Reason::UnknownSetting),
            (4, None, None, Reason::BadValue),
            (5, Some("schön"), None, Reason::BadValue),
            (6, Some("c"), None, Reason::UnknownSetting),
        ]
    );
}

#[test]
fn a_value_has_at_most_8192_bytes() {
    good(&format!("<SETTING DATA=\"{}\"/>", "ü".repeat(4_096)));
    bad(&format!("<SETTING DATA=\"¦{}\"/>", "x".repeat(8_193)), Reason::BadValue);
}
