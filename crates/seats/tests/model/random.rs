//! Seeded random histories: which licenses, which requests, which accidents.
//!
//! Small numbers and few names, so that things meet: copies, gaps of one day, full pools, clients that come back.
#![allow(dead_code, unreachable_pub, reason = "a module of two test programs")]

use super::naive::{Kind, Program, Request, SEATS_MAX, Sold, UNLIMITED, Wanted};

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
pub const FEATURES: [&str; 3] = ["cad", "cam", "cae"];

/// A set of licenses around a day: now and then strange ones.
pub fn licenses(random: &mut Random, day: i32) -> Vec<Sold> {
    let mut all = Vec::new();
    for feature in FEATURES {
        for vendor in VENDORS {
            if random.percent(if vendor == "ACME" { 3 } else { 88 }) {
                continue;
            }
            for _ in 0..*random.one_of(&[0, 1, 1, 1, 2, 2, 3, 3]) {
                all.push(sold(random, vendor, feature, Kind::Exclusive, day));
            }
            for _ in 0..random.below(5) {
                all.push(sold(random, vendor, feature, Kind::Upgrade, day));
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

fn sold(random: &mut Random, vendor: &str, feature: &str, kind: Kind, day: i32) -> Sold {
    let is_base = kind == Kind::Exclusive;
    let near = |random: &mut Random| day - 6 + random.below(22) as i32;
    let start = random.percent(40).then(|| near(random) - if is_base { 6 } else { 3 });
    let end = random.percent(if is_base { 35 } else { 75 }).then(|| near(random));
    let mut sold = Sold {
        vendor: vendor.into(),
        feature: if random.percent(20) { feature.to_uppercase() } else { feature.into() },
        kind,
        count: Some(1 + random.below(if is_base { 10 } else { 5 })),
        version: (is_base && random.percent(30))
            .then(|| (1 + random.below(3) as u32, random.below(3) as u32)),
        start,
        end: match (start, end) {
            (Some(start), Some(end)) => Some(start.max(end)),
            _ => end,
        },
        issued: random.percent(60).then(|| day - random.below(4) as i32),
        sn: format!("s{}", random.below(5)),
        hal: random.percent(6),
        systems: if is_base && random.percent(5) { vec!["linux".into()] } else { Vec::new() },
        hours: if is_base && random.percent(5) { vec![-1, 0, 1] } else { Vec::new() },
        hosts: if is_base && random.percent(5) { vec!["ws1".into(), "WS2.x".into()] } else { Vec::new() },
        is_refused: random.percent(6),
        key: String::new(),
    };
    match random.below(100) {
        0..4 => sold.count = Some(UNLIMITED),
        4..8 => sold.count = Some(SEATS_MAX - random.below(6)),
        8..10 if is_base => sold.count = None,
        _ => {}
    }
    // As a signature: the same for the same content, the name compared without case, and otherwise not.
    sold.key = format!("{:?}", Sold { feature: feature.into(), ..sold.clone() });
    sold
}

pub fn program(random: &mut Random) -> Program {
    let who = random.below(6);
    Program {
        install: who,
        user: format!("user{who}"),
        host: format!("ws{who}"),
        system: (*random.one_of(&["linux-x86_64", "linux-x86_64", "linux-x86_64", "windows-x86_64"])).into(),
        minutes: *random.one_of(&[0, 0, 0, 60, 119, 120, -60, -61, 330, 840]),
        version: match random.below(30) {
            0..10 => None,
            10 => Some(None),
            _ => Some(Some((random.below(4) as u32, random.below(4) as u32, random.below(2) as u32))),
        },
    }
}

pub fn request(random: &mut Random, key: u64) -> Request {
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
                3..40 => 1,
                _ => 1 + random.below(8),
            },
        }
    });
    let wanted = wanted.collect();
    Request { key, secret: key * 7 + 1, wanted, program: program(random) }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Checkout,
    Retry,
    Try,
    Checkin,
    Disconnect,
    Silence,
    Resume,
    Pass,
    Midnight,
    Sweep,
    Reload,
    Release,
    Restart,
}

pub fn step(random: &mut Random) -> Step {
    match random.below(100) {
        0..32 => Step::Checkout,
        32..38 => Step::Retry,
        38..41 => Step::Try,
        41..53 => Step::Checkin,
        53..58 => Step::Disconnect,
        58..62 => Step::Silence,
        62..70 => Step::Resume,
        70..79 => Step::Pass,
        79..88 => Step::Midnight,
        88..91 => Step::Sweep,
        91..95 => Step::Reload,
        95..97 => Step::Release,
        _ => Step::Restart,
    }
}
