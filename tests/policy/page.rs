//! docs/POLICY.md: every example is a policy, and what every row of its tables says to write is a rule.

use seatkeeper::policy::{ERRORS_MAX, FILE_BYTES_MAX, GROUPS_MAX, NAMES_MAX, RULES_MAX, read};

const PAGE: &str = include_str!("../../docs/POLICY.md");

/// The groups that the rows name.
const GROUPS: &str = "[groups.users]\nstudents = [\"ann\"]\n[groups.hosts]\nlab = [\"lab1\"]\n";

fn accepted(what: &str, text: &str) -> usize {
    match read("POLICY.md", text) {
        Ok(rules) => rules.rules.len(),
        Err(errors) => panic!("{what}:\n{text}\n{errors:#?}"),
    }
}

#[test]
fn every_example_of_the_page_is_a_policy() {
    let blocks: Vec<&str> =
        PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), PAGE.matches("```").count() / 2, "every block is TOML");
    assert!(blocks.len() >= 3);
    for block in blocks {
        assert!(accepted("an example", block) > 0);
    }
}

/// The pieces of code in the second cell of a row, as rules: a new one starts where a second action does.
fn rules_of(cell: &str) -> Vec<String> {
    const ACTIONS: [&str; 8] = ["allow", "deny", "reserve", "limit", "borrow", "idle", "book", "why"];
    let mut rules: Vec<Vec<&str>> = vec![Vec::new()];
    let has = |rule: &[&str], keys: &[&str]| {
        rule.iter().any(|line| keys.contains(&line.split(" = ").next().unwrap()))
    };
    for line in cell.split('`').skip(1).step_by(2).filter(|code| code.contains(" = ")) {
        let key = line.split(" = ").next().unwrap();
        let last = rules.last_mut().unwrap();
        if ACTIONS.contains(&key) && has(last, &ACTIONS) || key == "feature" && !last.is_empty() {
            rules.push(vec![line]);
        } else {
            last.push(line);
        }
    }
    rules.retain(|rule| !rule.is_empty());
    rules
        .iter()
        .map(|rule| {
            let feature = if has(rule, &["feature"]) { "" } else { "feature = \"cad\"\n" };
            format!("[[rule]]\n{feature}{}\n", rule.join("\n"))
        })
        .collect()
}

#[test]
fn every_row_of_the_migration_tables_says_a_rule_or_why_not() {
    let migration = PAGE.split("## Coming from a FlexNet options file").nth(1).unwrap();
    let migration = migration.split("## Bounds").next().unwrap();
    let mut found = 0;
    for row in migration.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [word, here] = cells[..] else { panic!("{row}") };
        if here.trim() == "here" {
            continue;
        }
        let rules = rules_of(here);
        if rules.is_empty() {
            assert!(
                ["none:", "a line under", "lines under", "always so", "not here"]
                    .iter()
                    .any(|w| here.trim().starts_with(w)),
                "{row}"
            );
        }
        for rule in &rules {
            found += accepted(word, &format!("{GROUPS}{rule}"));
        }
    }
    assert!(found >= 25, "{found} rules");
}

#[test]
fn the_page_has_a_row_for_each_word_an_administrator_looks_for() {
    for word in [
        "INCLUDE",
        "EXCLUDE",
        "INCLUDEALL",
        "EXCLUDEALL",
        "RESERVE",
        "MAX",
        "GROUP",
        "HOST_GROUP",
        "LINGER",
        "TIMEOUT",
        "BORROW_LOWWATER",
        "INCLUDE_BORROW",
        "EXCLUDE_BORROW",
        "MAX_BORROW_HOURS",
        "GROUPCASEINSENSITIVE",
        "INTERNET",
        "PROJECT",
        "ALLOW",
        "DENY",
        "LIMIT",
        "RESERVE_USER",
    ] {
        assert!(PAGE.contains(&format!("\n| `{word}`")), "no row for {word}");
    }
}

#[test]
fn the_bounds_on_the_page_are_those_of_the_reader() {
    assert_eq!((FILE_BYTES_MAX, RULES_MAX, GROUPS_MAX), (16 << 20, 100_000, 100_000));
    assert_eq!((NAMES_MAX, ERRORS_MAX), (1_000_000, 100));
}
