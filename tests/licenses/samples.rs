//! The samples of licenses/ and the commands of its README, as a newcomer meets them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use seatkeeper::licenses::{Signatures, TrustedKey, read_files};
use seatkeeper::vendor::keygen;
use seats::license::{Count, KeyType};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn demo() -> TrustedKey {
    TrustedKey::read(&root().join("licenses/vendor-demo/demo-2026.pub")).unwrap()
}

fn seatkeeper(arguments: &[&str], directory: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_seatkeeper");
    Command::new(program).args(arguments).current_dir(directory).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_samples_are_good_for_decades() {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("licenses")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            files.push((path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()));
        }
    }
    assert!(demo().is_demo());
    let set = read_files(&files, &[demo()], Signatures::Required);
    assert_eq!(set.problems, []);
    let mut found: Vec<_> = set
        .licenses
        .iter()
        .map(|l| {
            assert_eq!((l.feature.as_str(), l.version), ("cad", None));
            let day = |date: Option<chrono::NaiveDate>| date.map(|date| date.to_string()).unwrap_or_default();
            (l.key_type, l.count, day(l.start), day(l.end))
        })
        .collect();
    found.sort();
    let row = |kind, seats, start: &str, end: &str| {
        (kind, Some(Count::Limited(seats)), start.to_owned(), end.to_owned())
    };
    assert_eq!(
        found,
        [
            row(KeyType::Exclusive, 10, "", "2099-12-31"),
            row(KeyType::Upgrade, 4, "2020-01-01", "2020-12-31"),
            row(KeyType::Upgrade, 6, "2026-01-01", "2089-12-31"),
            row(KeyType::Upgrade, 8, "2090-01-01", "2099-12-31"),
        ]
    );
}

#[test]
fn the_readme_sells_six_more_seats() {
    let readme = fs::read_to_string(root().join("licenses/README.md")).unwrap();
    let work = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(root().join("licenses")).arg(work.path()).status().unwrap();
    assert!(copied.success());
    let scripts: Vec<&str> =
        readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(scripts.len() >= 3, "{readme}");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_seatkeeper"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for script in &scripts {
        let output = Command::new("sh")
            .args(["-e", "-c", script])
            .current_dir(work.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}\n{}{}", text(&output.stdout), text(&output.stderr));
    }
    let made = work.path().join("licenses/cad-six-more.xml");
    let set = read_files(&[("new.xml".to_owned(), fs::read(made).unwrap())], &[demo()], Signatures::Required);
    assert_eq!((set.problems.len(), set.licenses[0].key_type), (0, KeyType::Upgrade));
    assert_eq!(set.licenses[0].count, Some(Count::Limited(6)));
}

/// docs/LICENSES.md: an example that a reader copies is read without a word.
#[test]
fn the_examples_of_the_page_are_good_features() {
    let page = fs::read_to_string(root().join("docs/LICENSES.md")).unwrap();
    let examples: Vec<String> = (page.split("```xml\n").skip(1))
        .filter_map(|rest| rest.split("```").next())
        .filter_map(|text| match text.split_whitespace().next()? {
            "<FEATURE" => Some(text.to_owned()),
            "<CLIENT_HOSTID><SETTING" => Some(format!("<FEATURE NAME=\"cad\">{text}</FEATURE>")),
            _ => None,
        })
        .collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let root = if example.contains("<RELEASE ") { "RELEASES" } else { "LICENSEFILE" };
        let file = format!("<{root}>{example}</{root}>");
        let set = read_files(&[("x.xml".to_owned(), file.into_bytes())], &[], Signatures::Optional);
        let read = set.licenses.len() + set.releases.len();
        assert_eq!((set.problems.as_slice(), read), (&[][..], 1), "{example}");
    }
}

#[test]
fn the_smallest_upgrade_is_a_name_a_count_a_keytype_and_an_end() {
    let work = root().join("licenses");
    let output = seatkeeper(
        &[
            "vendor",
            "sign",
            "--key",
            "vendor-demo/demo-2026.key",
            "--base",
            "cad.xml",
            "vendor-demo/smallest-upgrade.xml",
        ],
        &work,
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "nothing to warn of");
    let set = read_files(&[("s.xml".to_owned(), output.stdout)], &[demo()], Signatures::Required);
    assert_eq!(set.licenses[0].count, Some(Count::Limited(1)));
}

#[test]
fn exit_statuses_tell_what_went_wrong() {
    let work = tempfile::tempdir().unwrap();
    let status = |arguments: &[&str]| seatkeeper(arguments, work.path()).status.code();
    assert_eq!(status(&["vendor", "keygen", "--vendor", "ACME", "--id", "a"]), Some(0));
    assert_eq!(status(&["vendor", "keygen", "--vendor", "ACME", "--id", "a"]), Some(73), "never overwritten");
    fs::write(work.path().join("t.xml"), "<LICENSEFILE><FEATURE NAME=\"x\"/></LICENSEFILE>").unwrap();
    fs::write(work.path().join("bad.xml"), "<LICENSEFILE>").unwrap();
    assert_eq!(status(&["vendor", "sign", "--key", "a.key", "t.xml", "-o", "x.xml"]), Some(0));
    assert_eq!(status(&["vendor", "sign", "--key", "a.key", "bad.xml", "-o", "y.xml"]), Some(65));
    assert!(!work.path().join("y.xml").exists());
    assert_eq!(status(&["vendor", "sign", "--key", "none.key", "t.xml"]), Some(66));
    assert_eq!(status(&["vendor", "verify", "--trust", "a.pub", "x.xml"]), Some(0));
    assert_eq!(status(&["vendor", "verify", "--trust", "a.pub", "t.xml"]), Some(65), "unsigned");
    assert_eq!(status(&["vendor", "inspect", "--json", "x.xml"]), Some(0));
    assert_eq!(status(&["vendor", "verify", "x.xml"]), Some(64), "usage");
    assert_eq!(status(&["--help"]), Some(0));
}

#[test]
fn openssl_reads_the_private_key() {
    let Ok(version) = Command::new("openssl").arg("version").output() else {
        assert!(std::env::var_os("SEATKEEPER_CI").is_none(), "openssl is needed");
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let made = keygen("ACME", "a", work.path()).unwrap();
    for key in [made.private, root().join("licenses/vendor-demo/demo-2026.key")] {
        let output = Command::new("openssl").args(["pkey", "-noout", "-in"]).arg(&key).output().unwrap();
        assert!(output.status.success(), "{}: {}", text(&version.stdout), text(&output.stderr));
    }
}
