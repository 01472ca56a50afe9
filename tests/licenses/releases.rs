//! Release catalogs: what loads, what is refused and where, and what is signed (rules 3, amendments).

use std::fs;
use std::process::Command;

use seatkeeper::hostid::HostFacts;
use seatkeeper::licenses::canonical::{canonical_releases, fingerprint};
use seatkeeper::licenses::{
    FEATURE_RELEASES_MAX, LicenseSet, Loader, LoaderConfig, Signatures, read_files, xml,
};
use seatkeeper::vendor::{Template, inspect, keygen, sign_catalog};
use seats::catalog::Catalog;
use seats::license::{Name, Reason};

use super::{acme, feature, marked, signed, trusting_acme};

fn catalog(feature: &str) -> String {
    format!("<RELEASES>\n<FEATURE NAME=\"cad\">{feature}</FEATURE>\n</RELEASES>")
}

fn template(file: &str, text: &str) -> Template {
    Template { file: file.to_owned(), bytes: text.as_bytes().to_vec() }
}

/// Reason, line and column, message.
type Told = (Reason, Option<(u32, u32)>, String);

/// Signs as ACME, on 2026-06-01.
fn sign(text: &str) -> Result<String, Vec<Told>> {
    let today = chrono::NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    sign_catalog(&acme(), &[template("t.xml", text)], today).map(|signed| signed.xml).map_err(|problems| {
        problems.into_iter().map(|p| (p.reason, p.line.zip(p.column), p.message)).collect()
    })
}

fn server(text: &str, signatures: Signatures) -> LicenseSet {
    read_files(&[("x.xml".to_owned(), text.as_bytes().to_vec())], &trusting_acme(), signatures)
}

const TWO: &str = r#"<RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01" LINE_DATE="2012-04-01" NOTES="faster &amp; new"/>
    <RELEASE VERSION="1.0.1" RELEASE_DATE="2012-05-02"/>"#;

#[test]
fn a_signed_catalog_loads_with_dates_and_notes() {
    let set = server(&sign(&catalog(TWO)).unwrap(), Signatures::Required);
    assert_eq!((set.problems.as_slice(), set.licenses.len()), (&[][..], 0));
    let [list] = set.releases.as_slice() else { panic!("{set:?}") };
    assert_eq!((list.vendor.as_str(), list.feature.as_str(), &list.refusal), ("ACME", "cad", &None));
    assert_eq!(list.issued.unwrap().to_string(), "2026-06-01");
    assert_eq!((&*list.place.file, list.place.line, list.place.column), ("x.xml", 3, 3));
    let shown: Vec<_> = list
        .releases
        .iter()
        .map(|r| (r.version.to_string(), r.date.to_string(), r.line.is_some(), r.notes.as_deref()))
        .collect();
    let row = |version: &str, date: &str, line, notes| (version.to_owned(), date.to_owned(), line, notes);
    assert_eq!(
        shown,
        [row("1.0.1", "2012-05-02", false, None), row("1.1", "2012-04-01", true, Some("faster & new"))]
    );
    assert!(list.find("1.2".parse().unwrap()).is_none() && list.find("1.1.0".parse().unwrap()).is_some());
    let counting = Catalog::new(Vec::new()).with_releases(set.releases.clone());
    let name = |text| Name::new(text).unwrap();
    assert_eq!(counting.releases_of(&name("acme"), &name("CAD")), Some(list));
}

#[test]
fn what_is_wrong_is_refused_at_its_place_by_signer_and_server_alike() {
    use Reason::{BadValue, UnknownSetting};
    let long =
        format!(r#"<RELEASE VERSION="1.0" RELEASE_DATE="2012-04-01" NOTES="¦{}"/>"#, "ü".repeat(1_001));
    for (inside, reason, words) in [
        (r#"<RELEASE VERSION="¦1" RELEASE_DATE="2012-04-01"/>"#, BadValue, "2 to 4 numbers"),
        (r#"<RELEASE VERSION="¦1.1-beta" RELEASE_DATE="2012-04-01"/>"#, BadValue, "1.1-beta is not"),
        (r#"<RELEASE VERSION="¦1.2.3.4.5" RELEASE_DATE="2012-04-01"/>"#, BadValue, "2 to 4 numbers"),
        (r#"<RELEASE VERSION="1.1" RELEASE_DATE="¦2012-02-30"/>"#, BadValue, "2012-02-30 is not a date"),
        (r#"<RELEASE VERSION="1.1" RELEASE_DATE="¦2012-04-01T00:00:00Z"/>"#, BadValue, "is not a date"),
        (r#"<RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01" LINE_DATE="¦soon"/>"#, BadValue, "soon"),
        (
            r#"<RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01" LINE_DATE="¦2012-04-02"/>"#,
            BadValue,
            "LINE_DATE 2012-04-02 is after RELEASE_DATE 2012-04-01",
        ),
        (
            r#"<RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01"/><RELEASE VERSION="¦1.1" RELEASE_DATE="2012-04-01"/>"#,
            BadValue,
            "1.1 is listed twice",
        ),
        (
            r#"<RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01"/><RELEASE VERSION="¦1.01.0" RELEASE_DATE="2012-04-01"/>"#,
            BadValue,
            "version 1.01.0 is 1.1",
        ),
        (
            r#"<RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01" LINE_DATE="2012-04-01"/>
               <RELEASE VERSION="1.1.1" RELEASE_DATE="2012-05-01" LINE_DATE="¦2012-04-02"/>"#,
            BadValue,
            "all releases of 1.1 have one line date",
        ),
        (r#"<RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01" ¦DATE="2012-04-01"/>"#, UnknownSetting, "DATE"),
        (r#"¦<RELEASE VERSION="1.1"/>"#, BadValue, "needs RELEASE_DATE"),
        (r#"¦<RELEASE RELEASE_DATE="2012-04-01"/>"#, BadValue, "needs VERSION"),
        (&long, BadValue, "1,000 characters or less"),
        (
            r#"<SETTING ¦COUNT="5"/><RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01"/>"#,
            UnknownSetting,
            "COUNT",
        ),
        (r#"¦<PATCH/><RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01"/>"#, UnknownSetting, "PATCH"),
        (
            r#"¦<SERVER_HOSTID><SETTING CUSTOM="1"/></SERVER_HOSTID><RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01"/>"#,
            UnknownSetting,
            "SERVER_HOSTID",
        ),
        (
            r#"<SETTING ISSUED="2026-01-01"/><SETTING ¦ISSUED="2026-01-01"/><RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01"/>"#,
            BadValue,
            "twice",
        ),
        (r#"<SETTING ISSUED="¦soon"/><RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01"/>"#, BadValue, "soon"),
    ] {
        let (text, place) = marked(&catalog(inside));
        let problems = sign(&text).unwrap_err();
        let [(found, at, message)] = problems.as_slice() else { panic!("{inside}: {problems:?}") };
        assert_eq!((*found, *at), (reason, place), "{inside}: {message}");
        assert!(message.contains(words), "{inside}: {message}");
        let set = server(&text, Signatures::Optional);
        let [problem] = set.problems.as_slice() else { panic!("{inside}: {set:?}") };
        assert_eq!((problem.reason, &problem.message), (reason, message), "{inside}");
        assert_eq!(problem.feature.as_deref(), Some("cad"));
        assert_eq!(set.releases[0].refusal.as_ref().map(|r| r.reason), Some(reason), "{inside}");
    }
    let empty = sign(&catalog("")).unwrap_err();
    assert!(empty[0].2.contains("no RELEASE"), "{empty:?}");
    let one = r#"<RELEASE VERSION="1.0" RELEASE_DATE="2012-04-01"/>"#;
    let today = catalog(&format!("<SETTING ISSUED=\"TODAY\"/>{one}"));
    assert!(sign(&today).unwrap().contains("ISSUED=\"2026-06-01\""));
    assert_eq!(server(&today, Signatures::Optional).problems[0].reason, BadValue, "TODAY is for templates");
    let other = catalog(&format!("<SETTING VENDOR=\"OTHER\"/>{one}"));
    assert!(sign(&other).unwrap_err()[0].2.contains("VENDOR OTHER is not ACME"));
    assert_eq!(sign(&sign(&today).unwrap()).unwrap_err()[0].0, Reason::SettingNotAllowed, "signed already");
    assert!(sign(&feature("")).unwrap_err()[0].2.contains("vendor sign"), "a license is no catalog");
}

#[test]
fn a_license_signer_knows_a_catalog_and_says_so() {
    let today = chrono::NaiveDate::from_ymd_opt(2026, 6, 1).unwrap();
    let problems =
        seatkeeper::vendor::sign(&acme(), &[template("t.xml", &catalog(TWO))], None, today).unwrap_err();
    assert!(problems[0].message.contains("vendor catalog sign"), "{problems:?}");
    let two = [template("a.xml", &catalog(TWO)), template("b.xml", &catalog(TWO).replace("cad", "CAD"))];
    let problems = sign_catalog(&acme(), &two, today).unwrap_err();
    assert_eq!((problems.len(), problems[0].reason), (1, Reason::Duplicate));
}

#[test]
fn signatures_of_catalogs_are_taken_as_those_of_licenses() {
    let good = sign(&catalog(TWO)).unwrap();
    let reason = |set: &LicenseSet| set.releases[0].refusal.as_ref().map(|r| r.reason);
    for text in [
        good.replace("2012-05-02", "2012-05-03"),
        good.replace("NAME=\"cad\"", "NAME=\"cam\""),
        good.replace("ISSUED=\"2026-06-01\"", "ISSUED=\"2026-06-02\""),
        good.replace("faster", "slower"),
    ] {
        for signatures in [Signatures::Required, Signatures::Optional] {
            assert_eq!(reason(&server(&text, signatures)), Some(Reason::BadSignature), "{text}");
        }
    }
    let unsigned = server(&catalog(TWO), Signatures::Required);
    assert_eq!(reason(&unsigned), Some(Reason::Unsigned));
    assert!(unsigned.problems[0].message.contains("vendor catalog sign"), "{:?}", unsigned.problems);
    assert_eq!(reason(&server(&catalog(TWO), Signatures::Optional)), None);
    let strange = read_files(&[("x.xml".to_owned(), good.clone().into_bytes())], &[], Signatures::Required);
    assert_eq!(reason(&strange), Some(Reason::UnknownVendorKey));

    // What does not change the form: white space, order, the case of the name.
    let lines: Vec<&str> = good.lines().collect();
    let at = lines.iter().position(|l| l.contains("<RELEASE ")).unwrap();
    let mut swapped = lines.clone();
    swapped.swap(at, at + 1);
    for text in [swapped.join("\r\n"), good.replace("\"cad\"", "\"CAD\"")] {
        assert_eq!(server(&text, Signatures::Required).problems, [], "{text}");
    }
    // A license's signature is none of a catalog's: the labels differ.
    let license = signed(&feature("<SETTING SN=\"1\"/>"));
    let key = license.split("KEY=\"").nth(1).unwrap().split('"').next().unwrap();
    let own = good.split("KEY=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(reason(&server(&good.replace(own, key), Signatures::Required)), Some(Reason::BadSignature));
}

/// The form, its SHA-256 and the signature of docs/LICENSES.md, made by Python's struct and hashlib and by OpenSSL with the
/// secret key 01 02 03 … 20. They never change.
#[test]
fn the_canonical_form_of_a_list_is_what_it_always_was() {
    let text = r#"<RELEASES><FEATURE NAME="Cad">
        <SETTING VENDOR="ACME"/><SETTING ISSUED="2026-11-22" KEY="left out"/>
        <RELEASE VERSION="1.1" RELEASE_DATE="2012-04-01" LINE_DATE="2012-04-01" NOTES="faster &amp; new"/>
        <RELEASE RELEASE_DATE="2012-05-02" VERSION="1.0.1"/>
        </FEATURE></RELEASES>"#;
    let document = xml::read(text).unwrap();
    let form = canonical_releases(&document.features[0]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&form), GOLDEN_FORM.split_whitespace().collect::<String>());
    assert_eq!(hex(&fingerprint(&form).0), GOLDEN_DIGEST);
    assert_eq!(acme().sign(&form), format!("ed25519:test-1:{GOLDEN_SIGNATURE}"));
    // The page shows the same.
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/LICENSES.md")).unwrap();
    assert!(page.contains(GOLDEN_DIGEST) && page.contains(GOLDEN_SIGNATURE));
    let worked = page.split("### A worked release list").nth(1).unwrap().split("```text\n").nth(1).unwrap();
    let bytes: String = worked
        .lines()
        .take_while(|line| *line != "```")
        .flat_map(|line| line.split_whitespace().take_while(|w| w.chars().all(|c| c.is_ascii_hexdigit())))
        .collect();
    assert_eq!(bytes, hex(&form), "docs/LICENSES.md");
}

const GOLDEN_FORM: &str = "736561746b65657065722d72656c65617365732d7631000300000063616402000000060000004953535545440a000000323032362d3131 \
    2d32320600000056454e444f520400000041434d4502000000020000000c00000052454c454153455f444154450a000000323031322d30 \
    352d30320700000056455253494f4e05000000312e302e3104000000090000004c494e455f444154450a000000323031322d30342d3031 \
    050000004e4f5445530c0000006661737465722026206e65770c00000052454c454153455f444154450a000000323031322d30342d3031 \
    0700000056455253494f4e03000000312e31";
const GOLDEN_DIGEST: &str = "89351c6ae7036a306e7a8201a936705621ef50275f1cae3c5073a7696bc2b7bd";
const GOLDEN_SIGNATURE: &str =
    "esJ7frM5tuUSgQjSMWF1Gyj65ktbwrEuNuZvKjbRiIckrdXTMRJCyjMnFtQ3QX7hstxR52GZ4TVJ9x7SIx1yCA==";

#[test]
fn a_list_is_bounded() {
    let release = |n: usize| format!("<RELEASE VERSION=\"1.{n}\" RELEASE_DATE=\"2012-04-01\"/>");
    let many: String = (0..=FEATURE_RELEASES_MAX).map(release).collect();
    let set = server(&catalog(&many), Signatures::Optional);
    assert_eq!((set.problems.len(), set.releases[0].releases.len()), (1, FEATURE_RELEASES_MAX));
    assert!(set.problems[0].message.contains("more than 10000 releases"), "{:?}", set.problems);
}

#[test]
fn a_wrong_list_harms_nothing_else() {
    let wrong = r#"<RELEASE VERSION="x" RELEASE_DATE="2012-04-01"/>"#;
    let text = format!(
        "<RELEASES><FEATURE NAME=\"a\">{wrong}</FEATURE><FEATURE NAME=\"b\">{TWO}</FEATURE></RELEASES>"
    );
    let files = [
        ("c.xml".to_owned(), text.into_bytes()),
        ("l.xml".to_owned(), feature("<SETTING COUNT=\"5\"/>").into_bytes()),
    ];
    let set = read_files(&files, &[], Signatures::Optional);
    let good = |list: &&std::sync::Arc<seats::releases::ReleaseList>| list.refusal.is_none();
    assert_eq!(set.releases.iter().filter(good).count(), 1);
    assert_eq!((set.licenses.len(), set.problems.len()), (1, 1));
    assert!(set.licenses[0].refusal.is_none());
}

#[test]
fn a_broken_catalog_keeps_its_last_good_contents_and_a_changed_one_is_a_changed_set() {
    let (work, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let loader = || {
        let config = LoaderConfig {
            directory: work.path().to_owned(),
            trusted: trusting_acme(),
            signatures: Signatures::Required,
            last_good: Some(kept.path().to_owned()),
        };
        Loader::new(config, HostFacts::default())
    };
    let path = work.path().join("releases.lic");
    fs::write(&path, sign(&catalog(TWO)).unwrap()).unwrap();
    let mut first = loader();
    let before = first.load().unwrap();
    assert_eq!((before.releases.len(), before.problems.len()), (1, 0));
    assert_eq!(first.load().unwrap(), before, "the same files are the same set");
    fs::write(&path, "<RELEASES>").unwrap();
    for mut loader in [first, loader()] {
        let broken = loader.load().unwrap();
        assert_eq!((&broken.releases, broken.problems.len()), (&before.releases, 1));
        assert!(broken.problems[0].message.contains("last good contents"), "{:?}", broken.problems);
    }
    let more = format!("{TWO}<RELEASE VERSION=\"1.2\" RELEASE_DATE=\"2013-01-01\"/>");
    fs::write(&path, sign(&catalog(&more)).unwrap()).unwrap();
    let mut again = loader();
    let after = again.load().unwrap();
    assert_eq!((after.releases[0].releases.len(), after.problems.len()), (3, 0));
    assert_ne!(after.releases, before.releases);
    fs::remove_file(&path).unwrap();
    assert_eq!(again.load().unwrap(), LicenseSet::default(), "a file that is gone is gone");
}

#[test]
fn the_programs_sign_verify_inspect_and_check_a_catalog() {
    let work = tempfile::tempdir().unwrap();
    let at = work.path();
    keygen("ACME", "acme", at).unwrap();
    fs::write(at.join("list.xml"), catalog(TWO)).unwrap();
    fs::write(
        at.join("renewal.xml"),
        feature("<SETTING KEYTYPE=\"MAINTENANCE\" RENEWS=\"SN=7f3c\" MAINTENANCE_END=\"2028-09-15\"/>"),
    )
    .unwrap();
    fs::create_dir(at.join("licenses")).unwrap();
    let run = |program: &str, arguments: &str| {
        let output =
            Command::new(program).args(arguments.split_whitespace()).current_dir(at).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let seatkeeper = |arguments: &str| run(env!("CARGO_BIN_EXE_seatkeeper"), arguments);
    let (code, out, err) = seatkeeper("vendor catalog sign --key acme.key list.xml -o licenses/releases.xml");
    assert_eq!((code, out.as_str()), (Some(0), "licenses/releases.xml  cad 2 release(s)\n"), "{err}");
    assert_eq!(seatkeeper("vendor sign --key acme.key renewal.xml -o r.xml").0, Some(0));
    assert_eq!(seatkeeper("vendor catalog sign --key acme.key renewal.xml").0, Some(65));
    let (code, out, _) = seatkeeper("vendor verify --trust acme.pub licenses/releases.xml r.xml");
    assert_eq!(code, Some(0));
    assert!(out.contains("licenses/releases.xml: cad 2 release(s): good"), "{out}");
    assert!(out.contains("renews SN 7f3c to 2028-09-15: good"), "{out}");
    assert_eq!(seatkeeper("vendor verify --trust acme.pub list.xml").0, Some(65), "unsigned");
    let (_, out, _) = seatkeeper("vendor inspect licenses/releases.xml r.xml");
    assert!(out.contains("release 1.1        2012-04-01, line of 2012-04-01  faster & new"), "{out}");
    assert!(out.contains("RENEWS             SN=7f3c"), "{out}");
    let (_, json, _) = seatkeeper("vendor inspect --json licenses/releases.xml");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["catalogs"][0]["releases"][0]["release_date"], "2012-05-02");
    assert_eq!(json["catalogs"][0]["key_id"], "acme");
    let flags = "--licenses licenses --trust acme.pub --state state --listen 127.0.0.1:0 --http off --check";
    let (code, out, err) = run(env!("CARGO_BIN_EXE_seatkeeperd"), flags);
    assert_eq!(code, Some(0), "{out}{err}");
    let line = "+ cad (ACME): 2 release(s), the newest 1.1 of 2012-04-01 (releases.xml:3:3)";
    assert!(out.contains(line), "{out}");
}

#[test]
fn inspecting_shows_templates_of_catalogs_and_what_is_wrong_with_them() {
    let text = catalog(r#"<RELEASE VERSION="1.0" RELEASE_DATE="x"/>"#);
    let inspection = inspect(&[("t.xml".to_owned(), text.into_bytes())]);
    assert_eq!((inspection.catalogs.len(), inspection.problems.len()), (1, 1));
    assert!(inspection.to_string().contains("nothing"), "{inspection}");
}
