//! What must not make a difference, and what may only help, whatever the right answer is.

#[path = "model/bridge.rs"]
mod bridge;
mod driver;
#[path = "model/naive/mod.rs"]
mod naive;
#[path = "model/random.rs"]
mod random;

use std::sync::Arc;

use bridge::{catalog, checkout, day, policy};
use driver::{LEASE_MS, Server, dump};
use naive::{Kind, Members, Per, Policy, SEATS_MAX, Says, Sold, UNLIMITED};
use random::{FEATURES, Random};
use seats::change::SessionId;
use seats::denial::Denial;
use seats::ledger::{CheckoutOutcome, ConnectionId, Ledger, Patience};
use seats::request::NameRules;

const SEEDS: std::ops::Range<u64> = 7_000..7_100;

/// Everything of a denial but its words, which name files and groups.
fn facts_of(denial: &Denial) -> String {
    let subject = denial.subject.as_ref().map(|s| {
        let others: Vec<_> = s.others.iter().map(|o| (&o.kind, o.code)).collect();
        format!(
            "{:?} {:?} {:?} {} {others:?} {:?}",
            s.numbers,
            s.due,
            s.needed_by,
            s.wanted,
            s.limit.is_some()
        )
    });
    format!("{} {subject:?}", denial.code)
}

/// Loads licenses and rules into one of two servers.
type Differ<'a> = &'a dyn Fn(&mut Server, &[Sold], &Policy, usize, &mut Random);

/// The same history on two servers that differ in what `differ` gives them and nothing else: they answer alike and keep
/// the same state, bit for bit. How many grants there were.
fn two_servers_agree(seed: u64, differ: Differ<'_>) -> usize {
    let mut random = Random::new(seed);
    let mut servers = [Server::new(day(0), LEASE_MS), Server::new(day(0), LEASE_MS)];
    let (mut sold, mut rules): (Vec<Sold>, Policy) = Default::default();
    let mut granted = 0;
    for step in 0..40 {
        if step % 13 == 0 {
            sold = random::licenses(&mut random, step / 4);
            rules = random::policy(&mut random);
        }
        let request = random::request(&mut random, u64::from(step.unsigned_abs()) + 1, &[]);
        let (idle, back) = (random.below(200_000), random.below(u64::from(step.unsigned_abs()) + 1));
        let answers = [0, 1].map(|which| {
            let server = &mut servers[which];
            if step % 13 == 0 || step % 5 == 0 {
                differ(server, &sold, &rules, which, &mut random);
            }
            if step % 4 == 0 {
                server.begin_day(day(step / 4));
            }
            let swept = if step % 3 == 0 { server.sweep(2) } else { Vec::new() };
            server.pass(7_000, &|_| true);
            let on = if server.is_open(ConnectionId(1)) { ConnectionId(1) } else { server.connect() };
            server.beat(on, Some(idle));
            let (changes, outcome) = server.checkout(&checkout(&request), on);
            granted += usize::from(matches!(outcome, Ok(CheckoutOutcome::Grant { .. })));
            let given = server.checkin(SessionId(back), None, on).map_err(|denial| denial.code);
            format!("{swept:?} {changes:?} {:?} {given:?}", outcome.map_err(|denial| facts_of(&denial)))
        });
        assert_eq!(answers[0], answers[1], "seed {seed}, step {step}");
        servers.iter_mut().for_each(|server| drop(server.sweep(9)));
        let [one, other] = servers.each_ref().map(|server| dump(server.ledger.state()));
        assert_eq!(one, other, "seed {seed}, step {step}");
        let [one, other] = servers.each_ref().map(|server| server.ledger.counters());
        assert_eq!(one, other, "seed {seed}, step {step}");
    }
    granted
}

/// L6: license files split, joined, reordered and renamed while the server runs.
#[test]
fn how_licenses_lie_in_files_changes_nothing() {
    let granted: usize = SEEDS
        .map(|seed| {
            two_servers_agree(seed, &|server, sold, rules, _, random| {
                server.load_catalog(catalog(sold, random));
                server.rules(Arc::new(policy(rules)));
            })
        })
        .sum();
    assert!(granted > 600, "{granted} grants are too few to tell anything");
}

/// S50: groups renamed and in another order, their members in another order, and those a rule is for as well. (Not the
/// groups of a limit per group: seats count for the first of them that one is in.)
#[test]
fn how_groups_are_called_and_ordered_changes_nothing() {
    let granted: usize = SEEDS
        .map(|seed| {
            two_servers_agree(seed, &|server, sold, rules, which, random| {
                // Each server draws as often as the other, so that the history stays the same.
                let other = reordered(rules, random);
                server.load_catalog(catalog(sold, random));
                server.rules(Arc::new(policy(if which == 0 { rules } else { &other })));
            })
        })
        .sum();
    assert!(granted > 600, "{granted} grants are too few to tell anything");
}

fn reordered(rules: &Policy, random: &mut Random) -> Policy {
    let mut other = rules.clone();
    for group in &mut other.groups {
        group.name = format!("the {} ones", group.name);
        match &mut group.members {
            Members::Users(names) | Members::Hosts(names) | Members::Projects(names) => random.shuffle(names),
            Members::Networks(networks) => random.shuffle(networks),
        }
    }
    random.shuffle(&mut other.groups);
    for rule in &mut other.rules {
        let who = &mut rule.who;
        who.groups.iter_mut().for_each(|name| *name = format!("the {name} ones"));
        if !matches!(rule.says, Says::Limit(_, Per::Group)) {
            random.shuffle(&mut who.groups);
        }
        random.shuffle(&mut who.users);
        random.shuffle(&mut who.hosts);
        random.shuffle(&mut rule.features);
    }
    other
}

/// The same licenses with a seat more in each that has a number of its own.
fn with_a_seat_more(sold: &[Sold]) -> Vec<Sold> {
    let mut more = sold.to_vec();
    for license in more.iter_mut().filter(|s| matches!(s.kind, Kind::Exclusive | Kind::Additive)) {
        license.count = license.count.map(|n| if n == UNLIMITED { n } else { n + 1 });
        license.key.push('+');
    }
    more
}

/// Whoever is granted something would be granted it if every exclusive and additive license had a seat more: asked of the
/// same sessions, held seats and rules.
///
/// It does not hold for everything, and should not. Near 2147483647 a seat more can push an upgrade out (L35). A
/// reservation larger than the total keeps the new seat for those it names (S51), also where the new seat is in a pool
/// that the request may not use. And of two seats wanted at once, by two items or by a token, the first may now come out
/// of the pool that only the second could use. So: no such counts, no reservations, one feature a request, no tokens.
#[test]
fn a_seat_more_never_denies_what_was_granted() {
    let (mut granted, mut gained) = (0, 0);
    for seed in SEEDS {
        let mut random = Random::new(seed);
        let mut server = Server::new(day(0), LEASE_MS);
        let mut sold = random::licenses(&mut random, 0);
        sold.retain(|s| s.kind != Kind::Token && s.count.is_none_or(|n| n < SEATS_MAX / 2 || n == UNLIMITED));
        let more = with_a_seat_more(&sold);
        let mut rules = random::policy(&mut random);
        rules.rules.retain(|rule| !matches!(rule.says, Says::Reserve(_)));
        let rules = Arc::new(policy(&rules));
        server.load_catalog(catalog(&sold, &mut random));
        server.rules(rules.clone());
        for step in 0..40 {
            let mut request = random::request(&mut random, step + 1, &[]);
            request.wanted.truncate(1);
            let request = checkout(&request);
            server.pass(5_000, &|_| true);
            let state = server.read_from_disk().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            let mut richer = Server::new(server.now.day, LEASE_MS);
            richer.now = server.now;
            richer.ledger =
                Ledger::new(state, server.now.tick, Patience::with_lease(LEASE_MS), NameRules::default());
            richer.rules(rules.clone());
            richer.load_catalog(catalog(&more, &mut random));
            richer.refresh(FEATURES);
            let on = server.connect();
            let poorer = server.checkout(&request, on).1;
            let richer = richer.ledger.decide_checkout(&request, richer.now);
            granted += u64::from(poorer.is_ok());
            gained += u64::from(poorer.is_err() && richer.is_ok());
            assert!(poorer.is_err() || richer.is_ok(), "seed {seed}, step {step}: {request:?}, {richer:?}");
            if random.percent(25) {
                let _ = server.release(SessionId(random.below(step + 2)), "root", "test");
            }
            if step % 8 == 7 {
                server.begin_day(server.now.day.succ_opt().expect("a day"));
            }
        }
    }
    assert!(granted > 300 && gained > 50, "{granted} and {gained} are too few to tell anything");
}

/// A whole history again with a seat more in each license: every grant stays a grant.
///
/// What the richer server grants beside has to be given up again for it: as long as each checkout is of one seat in one
/// pool, that nobody shares, holds or limits, the richer server is never ahead by more than the one seat it has more. With
/// two seats at once that is lost: of one seat a checkout of two is denied and one of one granted; of two it is the other
/// way round. A limit counts what the richer server granted beside, HOLD binds a seat to its client only where he has no
/// other, and a share group lives as long as its last member. So: exclusives and upgrades without these, no rules.
#[test]
fn a_history_of_single_seats_with_a_seat_more_grants_all_it_granted() {
    let (mut granted, mut gained) = (0, 0);
    for seed in SEEDS {
        let mut random = Random::new(seed);
        let mut sold = random::licenses(&mut random, 0);
        sold.retain(|s| s.is_plain() && s.count.is_none_or(|n| n < SEATS_MAX / 2 || n == UNLIMITED));
        let all = [sold.clone(), with_a_seat_more(&sold)];
        let mut servers = [Server::new(day(0), LEASE_MS), Server::new(day(0), LEASE_MS)];
        for (server, sold) in servers.iter_mut().zip(&all) {
            server.load_catalog(catalog(sold, &mut random));
        }
        // The sessions of each request on either server.
        let mut sessions: Vec<[Option<SessionId>; 2]> = Vec::new();
        for step in 0..80 {
            if random.percent(30) && !sessions.is_empty() {
                let at = random.below(sessions.len() as u64) as usize;
                for (server, session) in servers.iter_mut().zip(sessions.swap_remove(at)) {
                    session.map(|session| server.checkin(session, None, ConnectionId(1)));
                }
                continue;
            }
            if random.percent(10) {
                let tomorrow = servers[0].now.day.succ_opt().expect("a day");
                servers.iter_mut().for_each(|server| server.begin_day(tomorrow));
            }
            let mut request = random::request(&mut random, step + 1, &[]);
            request.wanted.truncate(1);
            request.wanted.iter_mut().for_each(|wanted| wanted.count = 1);
            let request = checkout(&request);
            let given = servers.each_mut().map(|server| {
                server.pass(1_000, &|_| true);
                let on = if server.is_open(ConnectionId(1)) { ConnectionId(1) } else { server.connect() };
                match server.checkout(&request, on).1 {
                    Ok(CheckoutOutcome::Grant { granted, .. }) => Ok(granted.bundle),
                    other => Err(other),
                }
            });
            granted += u64::from(given[0].is_ok());
            gained += u64::from(given[0].is_err() && given[1].is_ok());
            assert!(
                given[0].is_err() || given[1].is_ok(),
                "seed {seed}, step {step}: {request:?}, {:?}",
                given[1]
            );
            sessions.push(given.map(|given| given.ok()));
        }
    }
    assert!(granted > 600 && gained > 20, "{granted} and {gained} are too few to tell anything");
}
