//! The vendor's tools: what they refuse to sign, and what they write.

use chrono::NaiveDate;
use seatkeeper::licenses::{Problem, Signatures, read_files};
use seatkeeper::vendor::{SignedFile, Template, inspect, sign};
use seats::license::{KeyType, Reason};

use super::{acme, feature, marked, signed, trusting_acme};

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 6, 1).unwrap()
}

fn template(file: &str, text: &str) -> Template {
    Template { file: file.to_owned(), bytes: text.as_bytes().to_vec() }
}

fn sell(text: &str, base: Option<&str>) -> Result<SignedFile, Vec<Problem>> {
    let base = base.map(|base| template("base.xml", base));
    sign(&acme(), &[template("t.xml", text)], base.as_ref(), today())
}

fn refused(text: &str, base: Option<&str>) -> Reason {
    let (text, place) = marked(text);
    let problems = sell(&text, base).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
    if place.is_some() {
        assert_eq!(problem.line.zip(problem.column), place, "{problem}");
    }
    problem.reason
}

#[test]
fn signing_fills_in_what_the_template_leaves_out() {
    let signed = sell("<LICENSEFILE><FEATURE NAME=\"cad\"/></LICENSEFILE>", None).unwrap();
    let license = &signed.licenses[0];
    assert_eq!((license.vendor.as_str(), license.issued), ("ACME", Some(today())));
    assert_eq!(license.sn.as_ref().map(|sn| sn.len()), Some(36));
    assert!(signed.warnings.iter().any(|w| w.message.contains("no VERSION")), "{:?}", signed.warnings);
    let again = sell("<LICENSEFILE><FEATURE NAME=\"cad\"/></LICENSEFILE>", None).unwrap();
    assert_ne!(again.licenses[0].sn, license.sn, "each sale has a serial number of its own");

    let text = feature(r#"<SETTING ISSUED="TODAY" VENDOR="acme" VERSION="1.0"/>"#);
    let signed = sell(&text, None).unwrap();
    assert_eq!((signed.licenses[0].issued, signed.warnings.len()), (Some(today()), 0));
    let fixed = sell(&feature(r#"<SETTING SN="7" VERSION="1.0"/>"#), None).unwrap();
    assert!(fixed.warnings[0].message.contains("counts once"), "{:?}", fixed.warnings);
}

#[test]
fn several_templates_become_one_file_that_reads_back() {
    let texts = [
        feature("<SETTING COUNT=\"10\" VERSION=\"1.0\" DATA=\"&quot;ü&quot; &lt;&amp;&gt; &apos;\"/>"),
        feature(
            "<SETTING KEYTYPE=\"UPGRADE\" COUNT=\"6\"/><SERVER_HOSTID><SETTING CUSTOM=\"7\"/></SERVER_HOSTID>",
        ),
    ];
    let templates: Vec<Template> = texts.iter().map(|text| template("t.xml", text)).collect();
    let signed = sign(&acme(), &templates, None, today()).unwrap();
    let files = [("x.xml".to_owned(), signed.xml.clone().into_bytes())];
    let set = read_files(&files, &trusting_acme(), Signatures::Required);
    assert_eq!((set.problems.len(), &set.licenses.len()), (0, &2));
    assert_eq!(set.licenses[0].carried.texts[1].as_deref(), Some("\"ü\" <&> '"));
    assert_eq!(set.licenses[1].key_type, KeyType::Upgrade);
}

#[test]
fn what_a_server_would_refuse_is_not_signed() {
    assert_eq!(refused(&feature("<SETTING COUNT=\"¦0\"/>"), None), Reason::BadValue);
    assert_eq!(refused(&feature("<SETTING ¦COLOUR=\"0\"/>"), None), Reason::UnknownSetting);
    assert_eq!(
        refused(&feature("<SETTING KEYTYPE=\"UPGRADE\" COUNT=\"1\" ¦GRACE=\"1\"/>"), None),
        Reason::SettingNotAllowed
    );
    assert_eq!(refused(&feature("<SETTING ¦HAL_SERVERS=\"3\"/>"), None), Reason::NotSupportedYet);
    assert_eq!(refused("<LICENSEFILE>¦", None), Reason::BadXml);
    assert_eq!(refused("¦<LICENSEFILE/>", None), Reason::BadValue);
    assert_eq!(refused(&feature("<SETTING VENDOR=\"¦OTHER\"/>"), None), Reason::BadValue);
    assert_eq!(
        refused(
            "<LICENSEFILE>¦<FEATURE NAME=\"a\"><SETTING KEYTYPE=\"UPGRADE\" COUNT=\"UNLIMITED\"/></FEATURE></LICENSEFILE>",
            None
        ),
        Reason::Unlimited
    );
    assert_eq!(refused(&signed(&feature("")), None), Reason::SettingNotAllowed, "signed already");
    let twice = "<LICENSEFILE><FEATURE NAME=\"a\"><SETTING SN=\"7\"/></FEATURE>¦<FEATURE NAME=\"A\"><SETTING SN=\"7\"/></FEATURE></LICENSEFILE>";
    assert_eq!(refused(twice, None), Reason::Duplicate);
}

#[test]
fn an_upgrade_is_checked_against_its_base() {
    let base = signed(&feature("<SETTING COUNT=\"10\" END=\"2031-12-31\" VERSION=\"1.0\"/>"));
    let upgrade = |settings: &str| {
        format!(
            "<LICENSEFILE>¦<FEATURE NAME=\"cad\"><SETTING KEYTYPE=\"UPGRADE\"/>{settings}</FEATURE></LICENSEFILE>"
        )
    };
    let fits = upgrade("<SETTING COUNT=\"6\" END=\"2031-12-31\"/>").replace('¦', "");
    assert_eq!(sell(&fits, Some(&base)).unwrap().licenses.len(), 1);
    for (settings, reason) in [
        ("<SETTING COUNT=\"6\" END=\"2032-01-01\"/>", Reason::OutlivesExclusive),
        ("<SETTING COUNT=\"6\"/>", Reason::OutlivesExclusive),
        ("<SETTING COUNT=\"2147483638\" END=\"2030-01-01\"/>", Reason::CountOverflow),
        ("<SETTING COUNT=\"6\" END=\"2030-01-01\" HAL_SERVERS=\"3\"/>", Reason::HalMismatch),
    ] {
        assert_eq!(refused(&upgrade(settings), Some(&base)), reason, "{settings}");
    }
    let good = upgrade("<SETTING COUNT=\"6\" END=\"2030-01-01\"/>");
    for (base, reason) in [
        ("<SETTING COUNT=\"UNLIMITED\"/>", Reason::Unlimited),
        ("", Reason::NotANetworkLicense),
        ("<SETTING KEYTYPE=\"UPGRADE\" COUNT=\"1\"/>", Reason::NoExclusive),
    ] {
        assert_eq!(refused(&good, Some(&signed(&feature(base)))), reason, "{base}");
    }
    assert_eq!(refused(&good.replace("cad", "cam"), Some(&base)), Reason::NoExclusive);
    // A base of several generations: fitting one of them is enough.
    let longer = signed(&feature("<SETTING COUNT=\"10\" VERSION=\"1.0\"/>"));
    let both = base.replace("</LICENSEFILE>\n", longer.split("<LICENSEFILE>").nth(1).unwrap());
    assert!(sell(&upgrade("<SETTING COUNT=\"6\"/>").replace('¦', ""), Some(&both)).is_ok());
}

#[test]
fn an_upgrade_signed_with_its_base_is_checked_against_it() {
    let text = "<LICENSEFILE><FEATURE NAME=\"cad\"><SETTING COUNT=\"10\" END=\"2030-01-01\"/></FEATURE>
                ¦<FEATURE NAME=\"cad\"><SETTING KEYTYPE=\"UPGRADE\" COUNT=\"1\" END=\"2030-01-02\"/></FEATURE></LICENSEFILE>";
    assert_eq!(refused(text, None), Reason::OutlivesExclusive);
}

/// L51: what a server with all these licenses would refuse.
#[test]
fn tokens_are_judged_with_all_that_is_at_hand() {
    let token = |name: &str, on: &str, more: &str| {
        format!(
            "<FEATURE NAME=\"{name}\"><SETTING KEYTYPE=\"TOKEN\" VERSION=\"1.0\"/>\
             <SETTING TOKEN_DEPENDENCY=\"FEATURE={on} VERSION=1.0 COUNT=2\"/>{more}</FEATURE>"
        )
    };
    let file = |features: &str| format!("<LICENSEFILE>{features}</LICENSEFILE>");
    let share = "<SETTING SHARE=\"HOST\"/>";
    let sell_one = |text: &str| sell(&file(text), None).map(|signed| signed.licenses.len());
    assert_eq!(sell_one(&token("suite", "cad", share)), Ok(1), "its dependency may come in another file");
    assert_eq!(refused(&file(&format!("¦{}", token("suite", "Suite", ""))), None), Reason::TokenLoop);
    let both = format!("{}{}", token("a", "b", ""), token("b", "a", ""));
    let problems = sell(&file(&both), None).unwrap_err();
    assert_eq!(problems.iter().map(|p| p.reason).collect::<Vec<_>>(), [Reason::TokenLoop; 2]);
    assert!(problems[0].message.starts_with("a, b depend on each other"), "{}", problems[0]);

    let base = signed(&file(&token("b", "a", "")));
    assert_eq!(refused(&file(&format!("¦{}", token("a", "b", ""))), Some(&base)), Reason::TokenLoop);
    let shared = signed(&feature("<SETTING COUNT=\"5\" SHARE=\"USER\" VERSION=\"1.0\"/>"));
    assert_eq!(
        refused(&file(&format!("¦{}", token("a", "cad", share))), Some(&shared)),
        Reason::TokenSharing
    );
    assert!(sell(&file(&token("a", "cad", "")), Some(&shared)).is_ok());

    // A dependency is what makes a token; seats are what it has not.
    let bare = "<SETTING KEYTYPE=\"TOKEN\" VERSION=\"1.0\"/>";
    assert_eq!(refused(&feature(bare), None), Reason::BadValue);
    let dependency = "<SETTING TOKEN_DEPENDENCY=\"FEATURE=b VERSION=1.0 COUNT=1\"/>";
    for (more, reason) in [
        ("<SETTING ¦COUNT=\"5\"/>", Reason::SettingNotAllowed),
        ("<SETTING SOFTLIMIT=\"¦5\"/>", Reason::BadValue),
        ("<SETTING USERBASED=\"¦5\"/>", Reason::BadValue),
    ] {
        assert_eq!(refused(&feature(&format!("{bare}{dependency}{more}")), None), reason, "{more}");
    }
    let held = sell(&feature(&format!("{bare}{dependency}<SETTING HOLD=\"60\"/>")), None).unwrap();
    assert!(held.warnings.iter().any(|w| w.message.starts_with("HOLD")), "{:?}", held.warnings);
}

/// What a license says beside seats and dates is shown as it says it.
#[test]
fn inspecting_shows_every_setting_of_a_token_and_an_additive() {
    let text = feature(
        "<SETTING KEYTYPE=\"TOKEN\" VERSION=\"1.0\" REPLACES=\"FEATURE=old\"/>\
         <SETTING TOKEN_DEPENDENCY=\"FEATURE=b VERSION=1.0 COUNT=1\"/>\
         <SETTING TOKEN_DEPENDENCY=\"FEATURE=c VERSION=2.5 COUNT=3\"/>",
    );
    let additive = feature(
        "<SETTING KEYTYPE=\"ADDITIVE\" COUNT=\"5\" VERSION=\"1.0\" HOLD=\"60\" MIN_CHECKOUT=\"30\"/>\
         <SETTING USERBASED=\"ALL\" HOSTBASED=\"2\" PLATFORMS=\"linux\" TIME_ZONES=\"0 1\"/>",
    );
    for text in [text, additive] {
        let inspection = inspect(&[("x.xml".to_owned(), signed(&text).into_bytes())]);
        assert_eq!(inspection.problems, []);
        let shown = inspection.to_string();
        let settings = &inspection.licenses[0].settings;
        assert!(settings.len() >= 8, "{settings:?}");
        for (setting, value) in settings {
            assert!(
                shown.lines().any(|l| l.contains(setting) && l.contains(value.as_str())),
                "{setting}: {shown}"
            );
        }
    }
}

#[test]
fn inspecting_shows_settings_and_the_key_whoever_signed() {
    let text = signed(&feature("<SETTING COUNT=\"10\" X=\"1\"/>".replace(" X=\"1\"", "").as_str()));
    let inspection = inspect(&[("x.xml".to_owned(), text.into_bytes())]);
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["licenses"][0]["key_id"], "test-1");
    assert_eq!(json["licenses"][0]["settings"][0], serde_json::json!(["COUNT", "10"]));
    let text = inspection.to_string();
    assert!(text.contains("signed with        test-1") && !text.contains("ed25519:"), "{text}");
}
