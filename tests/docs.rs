//! Documents and code, held together: what a page names is there, and what README tells to type works.
//! Settings are held in tests/config.rs, the schema in tests/report_schema.rs, the protocol's tables in crates/wire/tests.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The pages for people, from the root.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> =
        ["README.md", "CHANGELOG.md", "licenses/README.md"].map(str::to_owned).to_vec();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    pages
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    for page in pages() {
        let text = text(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") {
                continue;
            }
            let from = root().join(&page);
            let target = if file.is_empty() { from } else { from.parent().unwrap().join(file) };
            assert!(target.exists(), "{page} links to {link}");
            if !anchor.is_empty() {
                let titles: BTreeSet<String> = std::fs::read_to_string(target)
                    .unwrap()
                    .lines()
                    .filter(|l| l.starts_with('#'))
                    .map(slug)
                    .collect();
                assert!(titles.contains(anchor), "{page} links to {link}: {titles:?}");
            }
        }
    }
}

/// A title's anchor, as the places where such pages are read make it.
fn slug(title: &str) -> String {
    let title = title.trim_start_matches('#').trim().to_lowercase();
    title
        .chars()
        .filter(|c| c.is_alphanumeric() || "- _".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_file_that_a_page_names_is_there() {
    const FOLDERS: [&str; 7] = ["crates/", "docs/", "licenses/", "src/", "systemd/", "tests/", "benches/"];
    for page in pages() {
        let text = text(&page);
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = FOLDERS.iter().any(|f| name.starts_with(f))
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            // What licenses/README.md lets the reader make.
            if is_path && name != "licenses/six-more.xml" {
                assert!(root().join(name).exists(), "{page} names {name}");
            }
        }
    }
}

#[test]
fn the_map_has_every_room() {
    let map = text("docs/ARCHITECTURE.md");
    for folder in ["src", "crates"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !["lib.rs", "bin", "exit.rs"].contains(&name.as_str()) {
                assert!(
                    map.contains(&format!("`{folder}/{name}`")),
                    "docs/ARCHITECTURE.md lacks {folder}/{name}"
                );
            }
        }
    }
}

#[test]
fn the_protocol_names_what_the_schema_has() {
    let page = text("docs/PROTOCOL.md");
    let section = page.split("\n## 12. ").nth(1).unwrap().split("\n## ").next().unwrap();
    let schema = |name: &str| -> serde_json::Value {
        serde_json::from_str(&text(&format!("docs/schema/{name}.json"))).expect(name)
    };
    let (status, denial) = (schema("status"), schema("denial"));
    let members = |part: &str| -> BTreeSet<String> {
        let whole = if part == "details" { &denial } else { &status };
        whole["$defs"][part]["properties"].as_object().expect(part).keys().cloned().collect()
    };
    let details = section.split("`details` of a refusal").nth(1).unwrap();
    let named: BTreeSet<String> = details
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split('`').step_by(2).filter(|w| w.starts_with(char::is_alphabetic)))
        .map(str::to_owned)
        .collect();
    let known = members("details");
    assert!(!named.is_empty());
    for member in &named {
        assert!(known.contains(member), "details have no {member}");
    }
    for member in &known {
        assert!(named.contains(member), "docs/PROTOCOL.md, section 12, lacks the detail {member}");
    }
    for (report, part) in [("sessions", "session"), ("licenses", "license"), ("problems", "problem")] {
        let row = section.lines().find(|l| l.starts_with(&format!("| `{report}` |"))).unwrap();
        for member in row.split('|').nth(2).unwrap().rsplit(": ").next().unwrap().split(", ") {
            let word: String =
                member.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            // Values of a member stand in backticks.
            if !word.is_empty() {
                assert!(members(part).contains(&word), "a {part} has no member {word}");
            }
        }
    }
}

#[test]
fn readme_and_manual_install_alike() {
    let block = |text: &str| {
        text.split("```sh\n")
            .filter_map(|rest| rest.split("```").next())
            .find(|block| block.contains("systemd-sysusers"))
            .map(str::to_owned)
            .expect("the commands that install")
    };
    let commands = block(&text("README.md"));
    assert_eq!(commands, block(&text("docs/OPERATIONS.md")));
    for word in commands.split_whitespace().filter(|w| w.starts_with("systemd/")) {
        assert!(root().join(word).exists(), "{word}");
    }
}

/// With the programs of this build and free ports; `.ci/run` runs the same script with cargo and the real ones.
#[test]
fn the_commands_of_readme_do_what_it_says() {
    let programs = Path::new(env!("CARGO_BIN_EXE_seatkeeperd")).parent().unwrap();
    let _ = env!("CARGO_BIN_EXE_seatkeeper");
    // Both are held until both are known; somebody else could take one before the daemon does, but ports are handed
    // out in turn.
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = sockets.each_ref().map(|s| s.local_addr().unwrap().port().to_string());
    drop(sockets);
    let output = Command::new(root().join("tests/readme.sh"))
        .arg(programs)
        .args(&ports)
        .output()
        .expect("tests/readme.sh");
    let shown =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}");
    // What is not installed is said to the reader, who does not see the output of a test that passes.
    for line in shown.lines().filter(|l| l.starts_with("skipped:")) {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}
