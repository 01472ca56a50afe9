//! Which versions run, and until when (rules 3): the vectors and the table of the rules page, and properties of random licenses.

mod driver;

use std::sync::Arc;

use chrono::{Datelike as _, NaiveDate};
use driver::{Server, date, exclusive, facts, request, sealed};
use seats::catalog::Catalog;
use seats::ledger::CheckoutOutcome;
use seats::license::{
    Carried, Count, KeyType, License, LicenseType, LicenseVersion, Maintenance, Patches, Period, Replaces,
    StartTrigger, Updates,
};
use seats::maintenance::{
    Basis, Plan, Release, Reminder, State, THRESHOLDS, UNLIMITED, add, decide, due, renewed, sentence,
};
use seats::request::Facts;

const VECTORS: &str = include_str!("maintenance/vectors.txt");
const TABLE: &str = include_str!("maintenance/table.txt");
const L1: &str = "VERSION=2.0, MAINTENANCE_START=2026-04-01, MAINTENANCE_END=2027-03-31";
const FIRST_CHECKOUT: &str = "VERSION=2.0, ISSUED=2026-01-10, MAINTENANCE_PERIOD=P1Y, MAINTENANCE_START_TRIGGER=FIRST_CHECKOUT, MAINTENANCE_START_BY=2026-12-31";

/// The lines of one letter: the number, and the cells after it.
fn vectors(letter: char) -> Vec<(&'static str, Vec<&'static str>)> {
    let lines = VECTORS.lines().filter(|line| line.starts_with(letter));
    let all: Vec<_> = lines
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            (cells.next().expect("a number"), cells.collect())
        })
        .collect();
    assert!(!all.is_empty(), "there are vectors {letter}");
    all
}

/// A date, or UNLIMITED.
fn end(text: &str) -> NaiveDate {
    if text == "UNLIMITED" { UNLIMITED } else { date(text) }
}

fn numbers(text: &str) -> Vec<u32> {
    text.split('.').map(|n| n.parse().expect("a number")).collect()
}

/// A license and its renewals, as `NAME=VALUE, …, renewal FROM..TO`.
fn license(text: &str) -> (License, Vec<Arc<License>>) {
    let mut license = License { version: None, ..exclusive("cad", 5) };
    let mut maintenance = Maintenance::default();
    let mut renewals = Vec::new();
    let text = text.replacen("L1", L1, 1);
    for setting in text.split(", ") {
        if let Some(window) = setting.strip_prefix("renewal ") {
            let (from, to) = window.split_once("..").expect("a window");
            let start = (from != "any time").then(|| date(from));
            let given = Maintenance { start, ..Maintenance::default() };
            let maintenance = Some(Box::new(given));
            let carried = Carried { maintenance_end: Some(end(to)), maintenance, ..Carried::default() };
            renewals.push(Arc::new(License { carried, ..exclusive("cad", 1) }));
            continue;
        }
        let (name, value) = setting.split_once('=').expect("NAME=VALUE");
        match name {
            "VERSION" => {
                let [major, minor] = numbers(value)[..] else { panic!("{value}") };
                license.version = Some(LicenseVersion { major, minor });
            }
            "START" => license.start = Some(date(value)),
            "END" => license.end = Some(date(value)),
            "ISSUED" => license.issued = Some(date(value)),
            "LICENSE_TYPE" => {
                license.license_type = match value {
                    "PERPETUAL" => LicenseType::Perpetual,
                    "SUBSCRIPTION" => LicenseType::Subscription,
                    _ => LicenseType::Evaluation,
                }
            }
            "MAINTENANCE_START" => maintenance.start = Some(date(value)),
            "MAINTENANCE_END" => license.carried.maintenance_end = Some(end(value)),
            "MAINTENANCE_PERIOD" => maintenance.period = Some(value.parse().expect("a period")),
            "MAINTENANCE_START_TRIGGER" => maintenance.trigger = StartTrigger::FirstCheckout,
            "MAINTENANCE_START_BY" => maintenance.start_by = Some(date(value)),
            "MAINTENANCE_UPDATES" => {
                maintenance.updates = match value {
                    "NONE" => Updates::None,
                    "MINOR" => Updates::Minor,
                    _ => Updates::Major,
                }
            }
            "MAINTENANCE_PATCHES" => {
                maintenance.patches = if value == "DATE" { Patches::Date } else { Patches::Line };
            }
            "MAINTENANCE_GRACE_DAYS" => maintenance.grace_days = value.parse().expect("days"),
            "MAX_VERSION" => maintenance.max_version = Some(numbers(value)),
            "FALLBACK_VERSION" => maintenance.fallback_version = Some(numbers(value)),
            _ => panic!("{name}"),
        }
    }
    license.carried.maintenance = Some(Box::new(maintenance));
    (license, renewals)
}

/// What a license says to a release on a day: `GRANT (REASON)`, or a code.
fn outcome(
    (license, renewals): &(License, Vec<Arc<License>>),
    first: Option<NaiveDate>,
    today: NaiveDate,
    release: Release<'_>,
) -> String {
    let plan = Plan::of(license, renewals, first, today);
    match decide(&plan, today, release) {
        Ok(reason) => format!("GRANT ({})", reason.as_str()),
        Err(refused) => {
            let text = sentence("cad", license, &plan, &refused, None);
            assert!(!text.is_empty() && !text.contains("license expired"), "{text}");
            refused.code().as_str().to_owned()
        }
    }
}

#[test]
fn periods_are_added_as_the_vectors_say() {
    for (number, cells) in vectors('A') {
        let [input, expected] = cells[..] else { panic!("{number}") };
        if let Some(period) = input.strip_prefix("period ") {
            assert_eq!(expected, "rejected");
            assert!(period.trim_matches('"').parse::<Period>().is_err(), "{number}");
            continue;
        }
        let (start, period) = input.split_once(" + ").expect("a sum");
        assert_eq!(add(date(start), period.parse().expect("a period"), 1), date(expected), "{number}");
    }
}

#[test]
fn renewals_end_when_the_vectors_say() {
    for (number, cells) in vectors('B') {
        let [input, expected] = cells[..] else { panic!("{number}") };
        let [basis, start, period, old_end, today] = input.split(", ").collect::<Vec<_>>()[..] else {
            panic!("{number}")
        };
        let basis = match basis {
            "FROM_NOW" => Basis::FromNow,
            "FROM_EXPIRY" => Basis::FromExpiry,
            _ => Basis::FromNowIfExpired,
        };
        let after = |text: &'static str| date(text.rsplit_once(' ').expect("a day").1);
        let period = period.parse().expect("a period");
        let new = renewed(basis, after(start), period, 1, after(old_end), after(today));
        assert_eq!(new, date(expected), "{number}");
    }
}

/// G: today is 2027-09-01, and both licenses own 2.0.
#[test]
fn seats_come_from_the_pool_that_the_vectors_say() {
    for (number, cells) in vectors('G') {
        let [input, expected] = cells[..] else { panic!("{number}") };
        let (pools, build) = input.rsplit_once(", ").expect("pools, and a build");
        let words: Vec<&str> = build.split(' ').collect();
        let [.., version, "of", released] = words[..] else { panic!("{number}: {build}") };
        let mut server = Server::new(date("2027-09-01"), 120_000);
        let mut licenses = Vec::new();
        let mut taken = Vec::new();
        for (nth, pool) in pools.split("pool ").filter(|pool| !pool.is_empty()).enumerate() {
            let (name, terms) = pool.trim_end_matches(", ").split_once(" (").expect("a name and terms");
            let (terms, free) = terms.rsplit_once(')').expect("terms");
            let settings = match terms.rsplit_once(' ') {
                Some(("end", end)) => format!("VERSION=2.0, MAINTENANCE_END={end}"),
                Some(("minor updates, to", end)) => {
                    format!("VERSION=2.0, MAINTENANCE_END={end}, MAINTENANCE_UPDATES=MINOR")
                }
                _ => "VERSION=2.0".to_string(),
            };
            let key_type = if nth == 0 { KeyType::Exclusive } else { KeyType::Additive };
            // Without a number all are free; none is: the one there is, is taken.
            let free: u32 = free.trim().strip_suffix(" free").map_or(1, |free| free.parse().expect("seats"));
            let count = Some(Count::Limited(free.max(1)));
            licenses.push(License { key_type, count, sn: Some(name.into()), ..license(&settings).0 });
            taken.extend((free == 0).then_some(()));
        }
        server.load(licenses);
        server.sweep(100);
        let on = server.connect();
        let mut outcome = None;
        // An owned build takes the seat of the pool that covers least; then the build that is asked about.
        let fillers = taken.iter().map(|()| ("2.0", "2025-01-01"));
        for (key, (version, released)) in fillers.chain([(version, released)]).enumerate() {
            let facts = Facts {
                release_version: Some(version.into()),
                release_date: Some(released.into()),
                ..facts("ann", "ws7")
            };
            let (_, result) = server.checkout(&request(key as u64 + 1, facts, &[("cad", 1)]), on);
            outcome = Some(result);
        }
        let found = match outcome.expect("a checkout") {
            Ok(CheckoutOutcome::Grant { granted, .. }) => {
                let pool = server.ledger.state().pool(granted.sessions[0].pool).expect("its pool");
                format!("pool {}", pool.sources[0].sn.as_deref().unwrap_or(""))
            }
            Ok(other) => panic!("{number}: {other:?}"),
            Err(denial) => format!("none: {}", denial.code),
        };
        assert_eq!(found, expected, "{number}");
    }
}

/// 6.3: chained from each clamped end, 29 February and the 31st would be lost for ever.
#[test]
fn a_chain_of_renewals_stays_on_the_grid_of_its_start() {
    for (start, period, expected) in [
        ("2024-02-29", "P1Y", ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]),
        ("2026-01-31", "P1M", ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
    ] {
        let (start, period) = (date(start), period.parse().expect("a period"));
        let mut ends = vec![add(start, period, 1)];
        for _ in 0..3 {
            let old = *ends.last().expect("an end");
            ends.push(renewed(Basis::FromExpiry, start, period, 1, old, old));
        }
        assert_eq!(ends, expected.map(date));
    }
}

#[test]
fn checkouts_are_decided_as_the_vectors_say() {
    for (number, cells) in vectors('C') {
        let [text, today, version, released, line, expected] = cells[..] else { panic!("{number}") };
        let sent = |text: &'static str| (!text.is_empty() && text != "none sent").then_some(text);
        let release = Release { version: sent(version), date: sent(released), line: sent(line) };
        assert_eq!(outcome(&license(text), None, date(today), release), expected, "{number}");
    }
}

#[test]
fn maintenance_that_begins_with_the_first_checkout_begins_as_the_vectors_say() {
    let sold = license(FIRST_CHECKOUT);
    let expected = |number: &str| {
        let found = vectors('D').into_iter().find(|(n, _)| *n == number).expect("the vector");
        *found.1.last().expect("an outcome")
    };
    let plan = |first, today| Plan::of(&sold.0, &[], first, date(today));
    assert_eq!(plan(None, "2026-05-01").state(date("2026-05-01")).as_str(), expected("D01"));
    let first = Some(date("2026-06-10"));
    let asked = |first, today, version, released| {
        let release = Release { version: Some(version), date: Some(released), line: None };
        outcome(&sold, first, date(today), release)
    };
    assert_eq!(asked(None, "2026-06-10", "2.4", "2026-06-01"), expected("D02"));
    assert_eq!(asked(first, "2027-09-01", "2.9", "2027-06-10"), expected("D04"));
    assert_eq!(asked(first, "2027-09-01", "2.9", "2027-06-11"), expected("D05"));
    assert_eq!(plan(None, "2027-03-01").effective_end(), Some(date(expected("D07"))));
    let anew = plan(Some(date("2027-03-01")), "2027-03-01");
    assert_eq!(anew.effective_end(), Some(date(expected("D08"))));
    assert_eq!(vectors('D').len(), 6, "all of them are here");
}

#[test]
fn reminders_are_due_as_the_vectors_say() {
    for (number, cells) in vectors('F') {
        let [input, expected] = cells[..] else { panic!("{number}") };
        let mut parts = input.splitn(3, ", ");
        let end = date(&parts.next().expect("an end")[4..]);
        let second = parts.next().expect("a second part");
        let Some(today) = second.strip_prefix("today ") else {
            let days = second.split(' ').next().and_then(|n| n.parse().ok()).expect("days before");
            let said: Vec<_> =
                THRESHOLDS.iter().filter(|t| **t > days).map(|t| Reminder::Within(*t)).collect();
            assert_eq!(
                due(end, date(expected), &said, &THRESHOLDS),
                Some(Reminder::Within(days)),
                "{number}"
            );
            let before = date(expected).pred_opt().expect("a day");
            assert_eq!(due(end, before, &said, &THRESHOLDS), None, "{number}, a day before");
            continue;
        };
        let said = parts.next().and_then(|text| text.strip_prefix("sent [")).unwrap_or("]");
        let said = said.trim_end_matches(']').split(", ").filter(|word| !word.is_empty());
        let said: Vec<Reminder> = said
            .map(|word| match word {
                "ENDED" => Reminder::Ended,
                days => Reminder::Within(days.parse().expect("days")),
            })
            .collect();
        let expected = (expected != "nothing").then(|| Reminder::Within(expected.parse().expect("days")));
        assert_eq!(due(end, date(today), &said, &THRESHOLDS), expected, "{number}");
    }
    assert_eq!(due(date("2027-03-31"), date("2027-04-30"), &[], &THRESHOLDS), Some(Reminder::Ended));
    assert_eq!(due(date("2027-03-31"), date("2027-05-01"), &[], &THRESHOLDS), None);
    assert_eq!(due(UNLIMITED, date("9999-12-01"), &[], &THRESHOLDS), None);
}

/// 6.5, from the code, compared with the page.
#[test]
fn the_decision_table_is_that_of_the_page() {
    let today = date("2027-09-01");
    let mut page = String::new();
    for kind in ["PERPETUAL", "SUBSCRIPTION"] {
        for updates in ["MAJOR", "MINOR", "NONE"] {
            let lasts = if kind == "SUBSCRIPTION" { " while it lasts" } else { "" };
            page += &format!("**{kind}{lasts}, MAINTENANCE_UPDATES={updates}**\n\n");
            page += "| Maintenance | same | patch | minor | major | fix of newer line |\n| --- | --- | --- | --- | --- | --- |\n";
            // Name, settings, the day of an update, and of the line of a fix.
            let rows = [
                ("NONE", "", "2027-03-01", "2027-02-01"),
                (
                    "NOT STARTED",
                    "MAINTENANCE_START=2027-10-01, MAINTENANCE_END=2028-09-30",
                    "2027-03-01",
                    "2027-02-01",
                ),
                ("ACTIVE", "MAINTENANCE_END=2028-03-31", "2027-03-01", "2027-02-01"),
                (
                    "EXPIRED, release dated on or before the end",
                    "MAINTENANCE_END=2027-03-31",
                    "2027-03-31",
                    "2027-02-01",
                ),
                (
                    "EXPIRED, release dated after the end",
                    "MAINTENANCE_END=2027-03-31",
                    "2027-04-01",
                    "2027-02-01",
                ),
                ("UNLIMITED", "MAINTENANCE_END=UNLIMITED", "2027-03-01", "2027-02-01"),
            ];
            for (row, settings, released, line) in rows {
                let comma = if settings.is_empty() { "" } else { ", " };
                let text = format!(
                    "VERSION=2.0, LICENSE_TYPE={kind}, START=2026-01-01, END=2099-12-31, MAINTENANCE_UPDATES={updates}{comma}{settings}"
                );
                let sold = license(&text);
                let columns = [
                    ("2.0", released, None),
                    ("2.0.9", released, None),
                    ("2.1", released, None),
                    ("3.0", released, None),
                    ("2.3.5", released, Some(line)),
                ];
                let cells = columns.map(|(version, released, line)| {
                    outcome(
                        &sold,
                        None,
                        today,
                        Release { version: Some(version), date: Some(released), line },
                    )
                });
                page += &format!("| {row} | {} |\n", cells.join(" | "));
            }
            page += "\n";
        }
    }
    assert_eq!(page.trim_end(), TABLE.trim_end());
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(n)).expect("below n")
    }

    fn percent(&mut self, n: u32) -> bool {
        self.below(100) < n
    }

    fn day(&mut self) -> NaiveDate {
        date("2025-01-01") + chrono::Days::new(self.below(1_500).into())
    }

    fn window(&mut self) -> String {
        let (from, to) = (self.day(), self.day());
        let (from, to) = (from.min(to), from.max(to));
        let from = if self.percent(50) { "any time".to_owned() } else { from.to_string() };
        if self.percent(5) { format!("{from}..UNLIMITED") } else { format!("{from}..{to}") }
    }

    /// A perpetual license without START, which may have everything else.
    fn perpetual(&mut self) -> String {
        let mut text = format!("VERSION={}.{}", self.below(3), self.below(4));
        match self.below(5) {
            0 => {}
            1 => text += &format!(", MAINTENANCE_END={}", self.day()),
            2 => text += ", MAINTENANCE_END=UNLIMITED",
            3 => text += &format!(", ISSUED={}, MAINTENANCE_PERIOD=P{}M", self.day(), 1 + self.below(30)),
            _ => {
                text += &format!(
                    ", MAINTENANCE_PERIOD=P{}W, MAINTENANCE_START_TRIGGER=FIRST_CHECKOUT, MAINTENANCE_START_BY={}",
                    1 + self.below(80),
                    self.day()
                );
            }
        }
        if self.percent(30) {
            text += &format!(", MAINTENANCE_UPDATES={}", ["NONE", "MINOR", "MAJOR"][self.below(3) as usize]);
        }
        if self.percent(20) {
            text += ", MAINTENANCE_PATCHES=DATE";
        }
        if self.percent(20) {
            text += &format!(", MAINTENANCE_GRACE_DAYS={}", self.below(91));
        }
        if self.percent(20) {
            text += &format!(", MAX_VERSION={}.{}", 2 + self.below(3), self.below(4));
        }
        text
    }
}

/// 6.4's invariant: under a perpetual license, what is granted on one day is granted on every later day, and after any renewal.
#[test]
fn what_is_granted_once_is_granted_for_ever() {
    let seed = std::env::var("SEATKEEPER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_300_101);
    println!("seed: SEATKEEPER_SEED={seed}");
    let mut random = Random(seed);
    let mut grants = 0;
    for case in 0..20_000 {
        let mut text = random.perpetual();
        let sold = license(&text);
        let version = format!("{}.{}.{}", random.below(5), random.below(5), random.below(3));
        let (built, line) = (random.day(), random.day());
        let (built, line) = (built.max(line).to_string(), built.min(line).to_string());
        let release = Release {
            version: Some(&version),
            date: random.percent(90).then_some(&built),
            line: random.percent(40).then_some(&line),
        };
        let today = random.day();
        let granted = outcome(&sold, None, today, release);
        if !granted.starts_with("GRANT") {
            continue;
        }
        grants += 1;
        // A grant is a first checkout.
        let first = Some(today);
        for _ in 0..4 {
            if random.percent(50) {
                text += &format!(", renewal {}", random.window());
            }
            let later = today + chrono::Days::new(random.below(2_000).into());
            let again = outcome(&license(&text), first, later, release);
            assert!(
                again.starts_with("GRANT"),
                "case {case}: {text}: {release:?} {today}: {granted}, {later}: {again}"
            );
        }
    }
    assert!(grants > 4_000, "only {grants} were granted");
}

/// A second calendar: days counted one by one, months by the lengths that a child learns.
fn add_slowly(start: NaiveDate, period: Period) -> Option<(i32, u32, u32)> {
    let leap = |year: i32| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = |year: i32, month: u32| match month {
        2 => 28 + u32::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (mut year, mut month, mut day) = (start.year(), start.month(), start.day());
    for _ in 0..period.months {
        month += 1;
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    day = day.min(length(year, month));
    for _ in 0..period.days {
        day += 1;
        if day > length(year, month) {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    (year <= 9999).then_some((year, month, day))
}

#[test]
fn sums_are_those_of_a_second_calendar() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let start = date("1890-01-01") + chrono::Days::new(random.below(120_000).into());
        let period = Period { months: random.below(200), days: random.below(900) };
        let (year, month, day) = add_slowly(start, period).expect("before the end of time");
        let expected = NaiveDate::from_ymd_opt(year, month, day).expect("a day");
        assert_eq!(add(start, period, 1), expected, "{start} + {period:?}");
    }
    let far = date("9998-06-01");
    assert_eq!(add(far, Period { months: 24, days: 0 }, 1), UNLIMITED);
    assert_eq!(add(far, Period { months: u32::MAX, days: u32::MAX }, u32::MAX), UNLIMITED);
}

#[test]
fn how_maintenance_stands_is_shown_by_the_day() {
    let today = date("2027-09-01");
    let state = |text: &str| {
        let (license, renewals) = license(text);
        Plan::of(&license, &renewals, None, today).state(today)
    };
    assert_eq!(state("VERSION=2.0"), State::None);
    assert_eq!(
        state("LICENSE_TYPE=EVALUATION, END=2027-12-31, VERSION=2.0, MAINTENANCE_END=2027-12-31"),
        State::None
    );
    assert_eq!(state("VERSION=2.0, MAINTENANCE_END=2027-08-31"), State::Expired);
    assert_eq!(state("VERSION=2.0, MAINTENANCE_END=2027-09-01"), State::Active);
    assert_eq!(
        state("VERSION=2.0, MAINTENANCE_START=2027-09-02, MAINTENANCE_END=2028-09-01"),
        State::NotStarted
    );
    assert_eq!(
        state("VERSION=2.0, MAINTENANCE_END=2027-08-31, renewal 2027-10-01..2028-10-01"),
        State::Expired
    );
    assert_eq!(
        state("VERSION=2.0, MAINTENANCE_END=2027-08-31, renewal any time..UNLIMITED"),
        State::Unlimited
    );
}

/// 6.9, L6: renewals are found whatever the order of the files, and however often the same one is there.
#[test]
fn the_order_of_files_leaves_no_trace_in_what_is_covered() {
    let seed = std::env::var("SEATKEEPER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_300_102);
    println!("seed: SEATKEEPER_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..300 {
        let mut licenses = Vec::new();
        for nth in 0..1 + random.below(4) {
            let issued = Some(date("2026-01-01") + chrono::Days::new(random.below(400).into()));
            let (mut sold, _) = license(&format!("VERSION=1.0, MAINTENANCE_END=20{}-03-31", 27 + nth));
            sold.sn = Some(format!("s{nth}").into());
            sold.issued = issued;
            sold.key_type = if random.below(2) == 0 { KeyType::Exclusive } else { KeyType::Additive };
            if random.below(3) == 0 {
                let sn = format!("s{}", random.below(5));
                sold.carried.special.get_or_insert_default().replaces = Some(Replaces::Sn(sn.into()));
            }
            licenses.push(sold);
        }
        for nth in 0..random.below(5) {
            let (_, renewals) =
                license(&format!("VERSION=1.0, renewal any time..20{}-06-30", 28 + random.below(9)));
            let mut renewal = (*renewals[0]).clone();
            renewal.key_type = KeyType::Maintenance;
            renewal.count = None;
            renewal.sn = Some(format!("r{nth}").into());
            let parent = format!("s{}", random.below(5));
            renewal.carried.special.get_or_insert_default().renews = Some(parent.into());
            licenses.push(renewal);
        }
        let covered = |licenses: &[License]| {
            let all: Vec<_> = licenses.iter().map(|l| Arc::new(sealed(l.clone()))).collect();
            let catalog = Catalog::new(all);
            let mut ends = Vec::new();
            for of in catalog.features() {
                for at in (0..of.licenses.len()).filter(|at| of.can_count(*at)) {
                    let plan = of.plan(at, None, date("2027-01-01"));
                    ends.push((of.licenses[at].sn.clone(), plan.effective_end(), of.renewed_by(at).len()));
                }
            }
            ends
        };
        let expected = covered(&licenses);
        // Twice in the directory, and in another order.
        licenses.push(licenses[random.below(u32::try_from(licenses.len()).unwrap()) as usize].clone());
        for at in (1..licenses.len()).rev() {
            licenses.swap(at, random.below(u32::try_from(at).unwrap() + 1) as usize);
        }
        assert_eq!(covered(&licenses), expected, "{licenses:?}");
    }
}
