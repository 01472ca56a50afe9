use super::*;
use crate::cli::args::{Cli, Command};
use crate::report::{Denial, Due, HeldSeats, Holder, Numbers};
use clap::Parser as _;

fn ask(words: &str) -> args::Why {
    let words = ["seatkeeper", "why"].into_iter().chain(words.split_whitespace());
    let Ok(Cli { command: Command::Why(ask) }) = Cli::try_parse_from(words) else { panic!() };
    ask
}

fn told(why: &Why, words: &str) -> String {
    text(why, &ask(words), &Here::of("Europe/Berlin"))
}

fn rule(line: u32, text: &str) -> Place {
    Place { file: "policy.toml".into(), line, text: Some(text.into()) }
}

fn pool(id: &str, key_type: &str, line: u32, total: u64, used: u64) -> WhyPool {
    let free = Some(total.saturating_sub(used));
    WhyPool {
        id: id.into(),
        key_type: key_type.into(),
        place: Place { file: "cad.xml".into(), line, text: None },
        numbers: Numbers { total: Some(total), used, free, ..Numbers::default() },
        code: None,
        message: None,
    }
}

fn granted() -> Why {
    Why {
        schema: 1,
        feature: "cad".into(),
        vendor: Some("ACME".into()),
        user: "ann".into(),
        host: String::new(),
        granted: true,
        pool: Some("1".into()),
        soft_limit: false,
        code: None,
        message: None,
        details: None,
        rule: None,
        not_stated: vec!["host".into(), "address".into(), "release_date".into()],
        access: "allow".into(),
        access_rule: None,
        limits: vec![],
        reservations: vec![],
        pools: vec![pool("1", "EXCLUSIVE", 3, 10, 4)],
        holders: vec![],
        held: vec![],
    }
}

fn denied() -> Why {
    let refused = |pool: WhyPool, code: &str, message: &str| WhyPool {
        code: Some(code.into()),
        message: Some(message.into()),
        ..pool
    };
    let details = Denial {
        rule: Some(rule(12, "limit 2 per user")),
        limit: Some(Limit { whose: "user ann".into(), seats: 2, used: 2, rule: None }),
        due: Some(Due::InSeconds(35)),
        ..Denial::default()
    };
    Why {
        host: "ws7".into(),
        granted: false,
        pool: None,
        code: Some("limit_user".into()),
        message: Some("ann has 2 of 2 seats of cad".into()),
        details: Some(details),
        not_stated: vec![],
        access_rule: Some(rule(4, "allow group cad")),
        limits: vec![Limit {
            whose: "user ann".into(),
            seats: 2,
            used: 2,
            rule: Some(rule(12, "limit 2 per user")),
        }],
        reservations: vec![
            Reservation {
                rule: Some(rule(9, "reserve 3 for group night")),
                seats: 3,
                honored: 2,
                used: 1,
                for_him: false,
            },
            Reservation { rule: None, seats: 1, honored: 1, used: 0, for_him: true },
        ],
        pools: vec![
            refused(pool("1", "EXCLUSIVE", 3, 10, 10), "limit_user", "ann has 2 of 2 seats of cad"),
            refused(pool("4", "ADDITIVE", 9, 4, 4), "platform", "it is for linux"),
        ],
        holders: vec![Holder {
            session: "h".into(),
            user: "bob".into(),
            host: "ws1".into(),
            count: 2,
            since: Some("2030-06-30T08:00:00Z".into()),
        }],
        held: vec![HeldSeats {
            user: "cy".into(),
            host: "ws2".into(),
            seats: 1,
            free_at: "2030-06-30T08:10:00Z".into(),
        }],
        ..granted()
    }
}

#[test]
fn yes_is_one_line_and_what_was_assumed() {
    let expected = "\
yes: ann would get 1 seat of ACME/cad
  from the pool of cad.xml:3
assumed: no host, address, day of release (nothing that asks for one matches);
  local time is GMT

policy: allow; no rule says otherwise

  POOL       TOTAL  USED  HELD  RESERVED  FREE  LICENSE
  exclusive     10     4     0         0     6  cad.xml:3
";
    assert_eq!(told(&granted(), "ann cad"), expected);
    let soft = Why { soft_limit: true, host: "ws7".into(), ..granted() };
    let text = told(&soft, "ann cad --count 3 --host ws7");
    assert!(
        text.starts_with("yes: ann on ws7 would get 3 seats of ACME/cad, above the soft limit\n"),
        "{text}"
    );
}

#[test]
fn no_says_which_rule_decides_and_everything_around_it() {
    let expected = "\
no: ann has 2 of 2 seats of cad (limit_user)
  rule policy.toml:12: limit 2 per user
  user ann has 2 of at most 2 seats

policy: allowed by policy.toml:4: allow group cad
limits that hold for this user:
  user ann: 2 of 2 in use; policy.toml:12: limit 2 per user
reservations:
  for others: 2 seats (3 wanted, there are no more), 1 in use, 1 left;
    policy.toml:9: reserve 3 for group night
  for this user and others it names: 1 seat, 0 in use, 1 left; a booking

pools, in the order in which they are tried:
  POOL       TOTAL  USED  HELD  RESERVED  FREE  LICENSE
  exclusive     10    10     0         0     0  cad.xml:3
  additive       4     4     0         0     0  cad.xml:9
  cad.xml:3: no: ann has 2 of 2 seats of cad (limit_user)
  cad.xml:9: no: it is for linux (platform)

who has seats of the first pool, the oldest first:
  USER  HOST  SEATS  SINCE                SESSION
  bob   ws1       2  2030-06-30 10:00:00  h

held seats of the first pool; who gave them back may have them at once:
  USER  HOST  SEATS  FREE AT
  cy    ws2       1  2030-06-30 10:10:00

the next seat is due in 35 seconds
";
    assert_eq!(told(&denied(), "ann cad --host ws7 --gmt-offset 1"), expected);
}

#[test]
fn a_term_that_asks_for_what_nobody_said_is_no_plain_no() {
    let of = |code: &str, open: &str, words: &str| {
        let pools = denied().pools.into_iter().take(1).collect();
        let why = Why { code: Some(code.into()), not_stated: vec![open.into()], pools, ..denied() };
        told(&why, words).lines().next().unwrap().to_owned()
    };
    let line = of("platform", "platform", "ann cad");
    assert!(line.starts_with("it depends: ") && line.contains("(platform); say which platform"), "{line}");
    assert!(of("platform", "host", "ann cad").starts_with("no: "), "it was said");
    assert!(of("time_zone", "host", "ann cad").starts_with("it depends: "));
    assert!(of("time_zone", "host", "ann cad --gmt-offset 0").starts_with("no: "));
    assert!(of("release_version_required", "version", "ann cad").starts_with("it depends: "));
    assert!(of("no_seats", "platform", "ann cad").starts_with("no: "));
    // Another pool may have what the nearest one has not.
    let why = Why { not_stated: vec!["platform".into()], ..denied() };
    let text = told(&why, "ann cad");
    let expected = "it depends: ann has 2 of 2 seats of cad (limit_user); for the pool of cad.xml:9\n  say which platform";
    assert!(text.starts_with(expected), "{text}");
    let why = Why { access: "deny".into(), ..why };
    assert!(told(&why, "ann cad").starts_with("no: "), "the policy does not depend on it");
}

#[test]
fn what_a_token_needs_is_told_whole_and_all_of_it_fits_eighty_columns() {
    let details = Denial {
        feature: Some("mesh".into()),
        needed_by: Some("suite".into()),
        holders: Some(vec![Holder { user: "bob".into(), host: "ws1".into(), count: 1, ..Holder::default() }]),
        ..Denial::default()
    };
    let long = "x".repeat(64);
    let mut why = Why {
        details: Some(details),
        user: long.clone(),
        host: long.clone(),
        feature: long.clone(),
        ..denied()
    };
    why.holders[0].user = long.clone();
    why.held[0].host = long.clone();
    why.pools[0].place.file = format!("licenses/{long}.xml");
    why.pools[0].numbers.total = Some(2_147_483_647);
    why.limits[0].whose = format!("user {long}");
    let text = told(&why, "ann cad");
    assert!(
        text.contains("mesh is needed by the token suite") && text.contains("bob on ws1 has 1 seat"),
        "{text}"
    );
    assert_eq!(text.lines().find(|line| line.chars().count() > 80), None, "{text}");
}

#[test]
fn the_question_says_nothing_of_the_machine_it_is_asked_on() {
    let asked = question(&ask("ann ACME/cad")).unwrap();
    let facts = &asked.facts;
    assert_eq!((&*facts.user, &*facts.host, &*facts.platform, facts.offset_minutes), ("ann", "", "", 0));
    assert!(facts.host_ids.is_empty() && facts.display.is_none() && asked.address.is_none());
    assert!(!asked.asker_user.is_empty(), "who asks is said apart");
    assert_eq!((asked.vendor.as_deref(), asked.count), (Some("ACME"), 1));
    assert_eq!(question(&ask("ann ACME/cad --vendor EVIL")).unwrap_err().code, exit::USAGE);
    assert_eq!(question(&ask("ann cad --vendor ACME")).unwrap().vendor.as_deref(), Some("ACME"));
}
