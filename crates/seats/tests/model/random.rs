//! Seeded random histories: which licenses, which rules, which requests, which accidents.
//!
//! Small numbers and few names, so that things meet: copies, gaps of one day, full pools, clients that come back.
#![allow(dead_code, unreachable_pub, reason = "a module of two test programs")]

use super::naive::{
    Based, Dependency, Group, Kind, Members, Per, Policy, Program, Replaces, Request, Rule, SEATS_MAX, Says,
    Share, Sold, UNLIMITED, Wanted, Who,
};

/// SplitMix64: one number of state, every seed is good.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `bound`, exclusive.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

pub const VENDORS: [&str; 2] = ["ACME", "BETA"];
/// The last two are mostly tokens, the others seldom.
pub const FEATURES: [&str; 5] = ["cad", "cam", "cae", "suite", "tool"];
const USERS: [&str; 3] = ["ann", "ben", "cat"];
const HOSTS: [&str; 3] = ["ws1", "ws2", "ws3"];
const PROJECTS: [&str; 2] = ["apollo", "gemini"];

/// A set of licenses around a day: now and then strange ones.
pub fn licenses(random: &mut Random, day: i32) -> Vec<Sold> {
    let mut all = Vec::new();
    // Most sets use few of the settings, so that each is seen alone as well as with all others.
    let spice = *random.one_of(&[0, 10, 30, 60]);
    for feature in FEATURES {
        for vendor in VENDORS {
            if random.percent(if vendor == "ACME" { 3 } else { 88 }) {
                continue;
            }
            let is_token = matches!(feature, "suite" | "tool");
            for _ in
                0..if is_token { random.below(10) / 9 } else { *random.one_of(&[0, 1, 1, 1, 1, 2, 2, 3]) }
            {
                all.push(sold(random, vendor, feature, Kind::Exclusive, day, spice));
            }
            for _ in 0..if is_token { random.below(10) / 9 } else { random.below(4) } {
                all.push(sold(random, vendor, feature, Kind::Upgrade, day, spice));
            }
            for _ in 0..if is_token { random.below(10) / 9 } else { *random.one_of(&[0, 0, 0, 1, 1, 2]) } {
                all.push(sold(random, vendor, feature, Kind::Additive, day, spice));
            }
            for _ in 0..if is_token { *random.one_of(&[0, 1, 1, 2]) } else { random.below(12) / 11 } {
                all.push(sold(random, vendor, feature, Kind::Token, day, spice));
            }
        }
    }
    // The same license in another file.
    for _ in 0..random.below(3) {
        if !all.is_empty() {
            let copy = random.one_of(&all).clone();
            all.push(copy);
        }
    }
    all
}

fn sold(random: &mut Random, vendor: &str, feature: &str, kind: Kind, day: i32, spice: u64) -> Sold {
    let has_terms = kind != Kind::Upgrade;
    let near = |random: &mut Random| day - 6 + random.below(22) as i32;
    let start = random.percent(40).then(|| near(random) - if has_terms { 6 } else { 3 });
    let end = random.percent(if has_terms { 35 } else { 75 }).then(|| near(random));
    let mut sold = Sold {
        vendor: vendor.into(),
        feature: if random.percent(20) { feature.to_uppercase() } else { feature.into() },
        kind,
        count: (kind != Kind::Token).then(|| 1 + random.below(if has_terms { 9 } else { 5 })),
        version: (has_terms && random.percent(30)).then(|| version(random)),
        start,
        end: match (start, end) {
            (Some(start), Some(end)) => Some(start.max(end)),
            _ => end,
        },
        issued: random.percent(60).then(|| day - random.below(4) as i32),
        sn: format!("s{}", random.below(5)),
        hal: random.percent(6),
        is_refused: random.percent(6),
        ..Sold::default()
    };
    if has_terms {
        terms(random, &mut sold, spice);
    }
    match random.below(100) {
        0..4 if kind != Kind::Token => sold.count = Some(UNLIMITED),
        4..7 if kind != Kind::Token => sold.count = Some(SEATS_MAX - random.below(6)),
        7..9 if kind == Kind::Exclusive => sold.count = None,
        _ => {}
    }
    sold.key = signed(&sold);
    sold
}

/// The same seats, sold as another kind of license or under another SN.
pub fn sell_otherwise(random: &mut Random, sold: &mut Sold) {
    match sold.kind {
        Kind::Exclusive if sold.count.is_some() => sold.kind = Kind::Additive,
        Kind::Additive if random.percent(50) => sold.kind = Kind::Exclusive,
        _ => sold.sn = format!("s{}", random.below(5)),
    }
    sold.key = signed(sold);
}

/// As a signature: the same for the same content, the name compared without case, and otherwise not.
fn signed(sold: &Sold) -> String {
    let content =
        format!("{:?}", Sold { feature: sold.feature.to_lowercase(), key: String::new(), ..sold.clone() });
    let add = |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", content.bytes().fold(0xcbf2_9ce4_8422_2325, add))
}

fn version(random: &mut Random) -> (u32, u32) {
    (1 + random.below(3) as u32, random.below(3) as u32)
}

/// What only exclusives, additives and tokens may say.
fn terms(random: &mut Random, sold: &mut Sold, spice: u64) {
    let has_seats = sold.kind != Kind::Token;
    if random.percent(5) {
        sold.systems = vec!["linux".into()];
    }
    if random.percent(5) {
        sold.hours = vec![-1, 0, 1];
    }
    if random.percent(5) {
        sold.hosts = vec!["ws1".into(), "WS2.x".into()];
    }
    if random.percent(if has_seats { spice } else { spice / 2 }) {
        let one = |random: &mut Random| random.percent(45);
        sold.share = Share { host: one(random), user: one(random), custom: random.percent(20) };
    }
    if random.percent(spice) {
        sold.hold = Some(*random.one_of(&[1, 30, 60, 150, 300]));
    }
    if random.percent(spice / 2) {
        sold.least = Some(*random.one_of(&[1, 30, 60, 150, 300]));
    }
    let count = sold.count.unwrap_or(1);
    if has_seats && count > 1 && random.percent(spice / 2) {
        sold.soft = Some(1 + random.below(count - 1));
    }
    for based in [&mut sold.user_based, &mut sold.host_based] {
        if has_seats && random.percent(spice / 3) {
            let all = random.percent(30);
            *based = Some(if all { Based::All } else { Based::Seats(1 + random.below(count)) });
        }
    }
    if random.percent(spice / 6) {
        sold.replaces = Some(match random.below(3) {
            0 => Replaces::Sn(format!("s{}", random.below(5))),
            _ => Replaces::Feature((*random.one_of(&FEATURES)).into()),
        });
    }
    if !has_seats {
        for _ in 0..1 + random.below(3) {
            sold.depends.push(Dependency {
                feature: (*random.one_of(&["cad", "cad", "cam", "cam", "cae", "CAD", "suite", "saw"])).into(),
                version: (random.below(3) as u32, random.below(3) as u32),
                count: 1 + random.below(3),
            });
        }
    }
}

/// Rules, now and then none.
pub fn policy(random: &mut Random) -> Policy {
    let mut policy = Policy::default();
    for at in 0..random.below(5) {
        let members = match random.below(5) {
            0 | 1 => Members::Users(some(random, &USERS, 2)),
            2 => Members::Hosts(some(random, &HOSTS, 2)),
            3 => Members::Networks(vec![network(random)]),
            _ => Members::Projects(some(random, &PROJECTS, 1)),
        };
        policy.groups.push(Group { name: format!("g{at}"), members });
    }
    for _ in 0..random.below(8) {
        let rule = rule(random, &policy.groups);
        policy.rules.push(rule);
    }
    policy
}

fn some(random: &mut Random, of: &[&str], most: u64) -> Vec<String> {
    (0..random.below(most + 1)).map(|_| spelled(random, of)).collect()
}

/// A name as somebody else might write it.
fn spelled(random: &mut Random, of: &[&str]) -> String {
    let name = *random.one_of(of);
    match random.below(6) {
        0 if name.starts_with("ws") => format!("{}.acme.example", name.to_uppercase()),
        0 if USERS.contains(&name) => format!("ACME\\{}", name.to_uppercase()),
        _ => name.into(),
    }
}

fn network(random: &mut Random) -> ([u8; 4], u32) {
    ([10, 0, random.below(2) as u8, random.below(4) as u8], *random.one_of(&[0, 8, 24, 24, 31, 32]))
}

fn rule(random: &mut Random, groups: &[Group]) -> Rule {
    let says = match random.below(100) {
        0..8 => Says::Allow,
        8..14 => Says::Deny,
        14..46 => Says::Reserve(random.below(6)),
        46..60 => Says::Limit(random.below(6), Per::User),
        60..69 => Says::Limit(random.below(7), Per::Host),
        69..80 => Says::Limit(random.below(8), Per::Group),
        80..88 => Says::Limit(random.below(7), Per::Project),
        88..93 => Says::FastQueue,
        _ => Says::Idle(*random.one_of(&[60_000, 90_000, 300_000])),
    };
    let mut features = Vec::new();
    if random.percent(75) {
        for _ in 0..1 + random.below(2) {
            let vendor = random.percent(20).then(|| random.one_of(&["acme", "ACME", "beta"]).to_string());
            let feature = *random.one_of(&["cad", "CAD", "cam", "cae", "suite"]);
            features.push((vendor, feature.into()));
        }
    }
    let mut who = Who::default();
    let is_per_group = matches!(says, Says::Limit(_, Per::Group));
    if random.percent(25) {
        who.users = some(random, &USERS, 2);
    }
    if random.percent(15) {
        who.hosts = some(random, &HOSTS, 2);
    }
    if random.percent(8) {
        who.networks.push(network(random));
    }
    if random.percent(8) {
        who.projects = some(random, &PROJECTS, 1);
    }
    for group in groups {
        if random.percent(if is_per_group { 60 } else { 15 }) {
            who.groups.push(group.name.clone());
        }
    }
    Rule { says, features, who }
}

pub fn program(random: &mut Random) -> Program {
    let who = random.below(6);
    let (user, host) = [(0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 2)][who as usize];
    Program {
        install: who,
        user: spelled(random, &USERS[user..=user]),
        host: spelled(random, &HOSTS[host..=host]),
        address: random.percent(70).then(|| [10, 0, random.below(3) as u8, random.below(5) as u8]),
        project: random.percent(40).then(|| (*random.one_of(&PROJECTS)).into()),
        share: random.percent(40).then(|| (*random.one_of(&["x", "X"])).into()),
        system: (*random.one_of(&["linux-x86_64", "linux-x86_64", "linux-x86_64", "windows-x86_64"])).into(),
        minutes: *random.one_of(&[0, 0, 0, 60, 119, 120, -60, -61, 330, 840]),
        version: match random.below(30) {
            0..10 => None,
            10 => Some(None),
            _ => Some(Some((random.below(4) as u32, random.below(4) as u32, random.below(2) as u32))),
        },
        has_bad_date: random.percent(2),
    }
}

/// `bookings`: tokens that may be presented.
pub fn request(random: &mut Random, key: u64, bookings: &[u64]) -> Request {
    let items = match random.below(100) {
        0 => 0,
        1..75 => 1,
        75..92 => 2,
        _ => 3,
    };
    let wanted = (0..items).map(|_| {
        let feature = match random.below(50) {
            0 => "cab",
            1 => "",
            _ => random.one_of(&FEATURES),
        };
        Wanted {
            vendor: match random.below(40) {
                0..22 => Some("acme".into()),
                22..24 => Some("BETA".into()),
                24 => Some("GAMMA".into()),
                _ => None,
            },
            feature: if random.percent(20) { feature.to_uppercase() } else { feature.into() },
            count: match random.below(100) {
                0 => 0,
                1 => SEATS_MAX,
                2 => SEATS_MAX + 1,
                3..60 if feature != "suite" => 1,
                _ => 1 + random.below(6),
            },
        }
    });
    let wanted = wanted.collect();
    let booking = (!bookings.is_empty() && random.percent(40)).then(|| *random.one_of(bookings));
    Request { key, secret: key * 7 + 1, wanted, program: program(random), booking }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Checkout,
    Wait,
    Confirm,
    GiveUp,
    Cancel,
    Retry,
    Try,
    Checkin,
    Disconnect,
    Silence,
    Idle,
    Crash,
    Lunch,
    Resume,
    Pass,
    Midnight,
    Clock,
    Sweep,
    Reload,
    Rules,
    Book,
    Release,
    Restart,
}

pub fn step(random: &mut Random) -> Step {
    match random.below(100) {
        0..20 => Step::Checkout,
        20..27 => Step::Wait,
        27..31 => Step::Confirm,
        31 => Step::GiveUp,
        32..35 => Step::Crash,
        35 => Step::Cancel,
        36..38 => Step::Retry,
        38..41 => Step::Try,
        41..53 => Step::Checkin,
        53..58 => Step::Disconnect,
        58..60 => Step::Silence,
        60..62 => Step::Idle,
        62..64 => Step::Lunch,
        64..69 => Step::Resume,
        69..79 => Step::Pass,
        79..85 => Step::Midnight,
        85..86 => Step::Clock,
        86..88 => Step::Sweep,
        88..92 => Step::Reload,
        92..95 => Step::Rules,
        95..96 => Step::Book,
        96..98 => Step::Release,
        _ => Step::Restart,
    }
}
