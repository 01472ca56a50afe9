//! Small cases worked out by hand, in `cases/*.txt`: what is set up, what happens, what must come of it.
//!
//! They are data, so that the same lines are put to the naive model and to the ledger. The words are explained in
//! `cases/README.md`. Nothing is decided here.
#![allow(dead_code, unreachable_pub, reason = "a module of several test programs")]

use std::collections::BTreeMap;

use crate::naive::{
    Based, Dependency, Group, Kind, Members, Numbers, Per, Policy, Program, Replaces, Request, Rule, Says,
    Share, Sold, UNLIMITED, Wanted, Who,
};

/// What a case is put to.
pub trait Subject {
    fn load(&mut self, licenses: &[Sold]);
    fn rules(&mut self, policy: &Policy);
    /// A connection that is open from now on.
    fn connect(&mut self) -> u64;
    fn disconnect(&mut self, connection: u64);
    /// Its client is not heard from now on.
    fn fall_silent(&mut self, connection: u64);
    /// So long, in milliseconds, nobody did anything there.
    fn beat(&mut self, connection: u64, idle: Option<u64>);
    /// The answer in words: `ok` or a code, and what more is expected of it.
    fn checkout(&mut self, request: &Request, on: u64) -> String;
    /// The same, waiting for so many milliseconds where there is no seat now: `waits as N`.
    fn wait(&mut self, request: &Request, ms: u64, on: u64) -> String;
    fn confirm(&mut self, bundle: u64);
    fn give_up(&mut self, waiter: u64);
    /// The numbers of those who wait and have no seats, in the order in which they came.
    fn waiting(&mut self) -> Vec<u64>;
    /// S33: for one feature, and of one installation.
    fn may_wait(&mut self, limits: [u64; 2]);
    /// What became of those who wait since it was asked last.
    fn happened(&mut self) -> Vec<String>;
    fn look(&mut self, request: &Request) -> String;
    fn checkin(&mut self, session: u64, count: Option<u64>, on: u64) -> String;
    fn release(&mut self, session: u64) -> String;
    fn resume(&mut self, bundle: u64, secret: u64, program: &Program, on: u64) -> String;
    fn pass(&mut self, ms: u64);
    fn begin_day(&mut self, day: i32);
    /// The wall clock shows this day, far behind; `None`: it is right.
    fn set_clock(&mut self, day: Option<i32>);
    fn restart(&mut self);
    fn book(&mut self, token: u64, feature: &str, count: u64, ms: u64);
    fn numbers(&mut self, feature: &str) -> Numbers;
    /// Of one pool: `exclusive`, `token`, or the SN of an additive.
    fn pool(&mut self, feature: &str, which: &str) -> Numbers;
    /// The sessions that live, with the pool that each is in, as `1 cad exclusive 2` (number, feature, pool, seats).
    fn sessions(&mut self) -> Vec<String>;
    /// The sessions that live and whose client is warned that its idle seat is wanted.
    fn warned(&mut self) -> Vec<u64>;
    /// The pools that grant today, in the order of trial.
    fn order(&mut self, feature: &str) -> Vec<String>;
}

const FILES: [(&str, &str); 8] = [
    ("licenses", include_str!("cases/licenses.txt")),
    ("counting", include_str!("cases/counting.txt")),
    ("policy", include_str!("cases/policy.txt")),
    ("idle", include_str!("cases/idle.txt")),
    ("queue", include_str!("cases/queue.txt")),
    ("tokens", include_str!("cases/tokens.txt")),
    ("suspects", include_str!("cases/suspects.txt")),
    ("clock", include_str!("cases/clock.txt")),
];

/// Runs every case, each on a subject of its own; the number of cases.
pub fn run_all<S: Subject>(mut fresh: impl FnMut() -> S) -> usize {
    let (mut count, mut wrong) = (0, Vec::new());
    for (file, text) in FILES {
        let mut case: Option<Case<S>> = None;
        for (at, line) in text.lines().enumerate() {
            let place = format!("cases/{file}.txt:{}", at + 1);
            let line = line.split('#').next().unwrap_or("").trim();
            if let Some(title) = line.strip_prefix("== ") {
                count += 1;
                case = Some(Case::new(fresh(), title));
            } else if let Some(open) = case.as_mut().filter(|_| !line.is_empty())
                && let Err(why) = open.line(line, &place)
            {
                // What comes after in this case tells nothing any more.
                wrong.push(why);
                case = None;
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {count} cases are wrong", wrong.join("\n"), wrong.len());
    count
}

/// Runs one case; what its last line came to.
pub fn run_one<S: Subject>(subject: S, title: &str, text: &str) -> String {
    let mut case = Case::new(subject, title);
    let (before, last) = text.trim_end().rsplit_once('\n').expect("more than one line");
    for line in before.lines().filter(|line| !line.is_empty()) {
        case.line(line, title).unwrap_or_else(|why| panic!("{why}\nof\n{text}"));
    }
    case.make_ready();
    case.act(&last.split_whitespace().collect::<Vec<_>>())
}

struct Case<'a, S> {
    subject: S,
    title: &'a str,
    licenses: Vec<Sold>,
    policy: Policy,
    is_loaded: bool,
    has_rules: bool,
    connections: BTreeMap<String, u64>,
    programs: BTreeMap<String, Program>,
    next_key: u64,
    /// By the number of the bundle: its secret and its program.
    granted: BTreeMap<u64, (u64, String)>,
    /// Who waits, and for what.
    waiters: BTreeMap<u64, (Request, String)>,
}

impl<'a, S: Subject> Case<'a, S> {
    fn new(subject: S, title: &'a str) -> Case<'a, S> {
        Case {
            subject,
            title,
            licenses: Vec::new(),
            policy: Policy::default(),
            is_loaded: false,
            has_rules: true,
            connections: BTreeMap::new(),
            programs: BTreeMap::new(),
            next_key: 1,
            granted: BTreeMap::new(),
            waiters: BTreeMap::new(),
        }
    }

    fn line(&mut self, line: &str, place: &str) -> Result<(), String> {
        let (what, expected) = match line.split_once("->") {
            Some((what, expected)) => (what.trim(), Some(expected.trim())),
            None => (line, None),
        };
        let words: Vec<&str> = what.split_whitespace().collect();
        match words[0] {
            "license" => {
                self.licenses.push(license(&words[1..]));
                self.is_loaded = false;
                return Ok(());
            }
            "reload" => {
                self.licenses.clear();
                self.is_loaded = false;
                return Ok(());
            }
            "group" => {
                self.policy.groups.push(group(&words[1..]));
                self.has_rules = false;
                return Ok(());
            }
            "rule" => {
                self.policy.rules.push(rule(&words[1..]));
                self.has_rules = false;
                return Ok(());
            }
            "norules" => {
                self.policy = Policy::default();
                self.has_rules = false;
                return Ok(());
            }
            _ => {}
        }
        self.make_ready();
        let given = self.act(&words);
        let expected = expected.unwrap_or(if given.is_empty() { "" } else { "ok" });
        let is_right = match words[0] {
            "numbers" | "pool" => has_fields(&given, expected),
            _ => given == expected,
        };
        if is_right {
            return Ok(());
        }
        Err(format!("{place}: {}\n{line}\n  given:    {given}\n  expected: {expected}", self.title))
    }

    /// What is set up takes effect.
    fn make_ready(&mut self) {
        if !self.is_loaded {
            self.subject.load(&self.licenses);
            self.is_loaded = true;
        }
        if !self.has_rules {
            self.subject.rules(&self.policy);
            self.has_rules = true;
        }
    }

    fn act(&mut self, words: &[&str]) -> String {
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        match words[0] {
            "gone" => {
                let connection = self.connections.remove(words[1]).expect("it is open");
                self.subject.disconnect(connection);
            }
            "silent" => self.subject.fall_silent(self.connections[words[1]]),
            "beat" => {
                let idle = words.get(2).map(|w| time(w.strip_prefix("idle=").expect("idle=")));
                self.subject.beat(self.connections[words[1]], idle);
            }
            "pass" => self.subject.pass(time(words[1])),
            "day" => self.subject.begin_day(words[1].parse().expect("a day")),
            "clock" => self.subject.set_clock(words[1].parse().ok()),
            "restart" => {
                self.subject.restart();
                self.connections.clear();
            }
            "book" => self.subject.book(number(1), words[2], number(3), time(words[4])),
            "checkin" => {
                let count =
                    words.get(2).filter(|w| !w.starts_with("on=")).map(|w| w.parse().expect("a count"));
                let on = match words.iter().find_map(|w| w.strip_prefix("on=")) {
                    Some(name) => self.connections[name],
                    None => {
                        let bundle = *self.granted.range(..=number(1)).next_back().expect("granted").0;
                        self.connections.get(&self.granted[&bundle].1).copied().unwrap_or(0)
                    }
                };
                return self.subject.checkin(number(1), count, on);
            }
            "release" => return self.subject.release(number(1)),
            "back" => {
                let (secret, name) = self.granted[&number(1)].clone();
                let on = self.connection(&name);
                let program = self.programs[&name].clone();
                return self.subject.resume(number(1), secret, &program, on);
            }
            "confirm" => self.subject.confirm(number(1)),
            "giveup" => self.subject.give_up(number(1)),
            "waiters" => self.subject.may_wait([number(1), number(2)]),
            "waiting" => {
                let waiting = self.subject.waiting();
                return waiting.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            }
            "queue" => {
                let happened = self.subject.happened();
                self.remember_served(&happened);
                return happened.join(", ");
            }
            "again" => {
                let (request, name) = self.waiters[&number(1)].clone();
                let on = self.connection(&name);
                return self.subject.wait(&request, 1, on);
            }
            "wait" => {
                let (request, name) = self.request(&words[2..]);
                let on = self.connection(&name);
                let before = self.subject.sessions();
                let given = self.subject.wait(&request, time(words[1]), on);
                self.remember_waiter(&given, &request, &name);
                self.remember_granted(&given, &before, &request, name);
                return given;
            }
            "numbers" => return show(&self.subject.numbers(words[1])),
            "pool" => return show(&self.subject.pool(words[1], words[2])),
            "order" => return self.subject.order(words[1]).join(" "),
            "sessions" => return self.subject.sessions().join(", "),
            "warned" => {
                let warned = self.subject.warned();
                return warned.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            }
            "try" => {
                let (request, _) = self.request(&words[1..]);
                return self.subject.look(&request);
            }
            _ => {
                let (request, name) = self.request(words);
                let on = self.connection(&name);
                let before = self.subject.sessions();
                let given = self.subject.checkout(&request, on);
                self.remember_granted(&given, &before, &request, name);
                return given;
            }
        }
        String::new()
    }

    fn remember_waiter(&mut self, given: &str, request: &Request, name: &str) {
        if let Some(number) = given.strip_prefix("waits as ") {
            self.waiters.insert(number.parse().expect("a number"), (request.clone(), name.into()));
        }
    }

    fn remember_granted(&mut self, given: &str, before: &[String], request: &Request, name: String) {
        let sessions = self.subject.sessions();
        let first = sessions.iter().find(|session| !before.contains(session));
        if let Some(first) = first.filter(|_| given.starts_with("ok")) {
            let bundle = first.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            self.granted.insert(bundle, (request.secret, name));
        }
    }

    /// Whoever is served has the bundle from now on.
    fn remember_served(&mut self, happened: &[String]) {
        for one in happened {
            if let Some((waiter, bundle)) = one.split_once(" served ") {
                let (request, name) = &self.waiters[&waiter.parse().expect("a number")];
                let bundle = bundle.parse().expect("a number");
                self.granted.insert(bundle, (request.secret, name.clone()));
            }
        }
    }

    fn connection(&mut self, name: &str) -> u64 {
        if let Some(open) = self.connections.get(name) {
            return *open;
        }
        let new = self.subject.connect();
        self.connections.insert(name.to_string(), new);
        new
    }

    /// `user@host: feature*count … key=value …`
    fn request(&mut self, words: &[&str]) -> (Request, String) {
        let name = words[0].strip_suffix(':').expect("who: what").to_string();
        let (user, host) = name.split_once('@').expect("user@host");
        let mut program = Program {
            user: user.into(),
            host: host.into(),
            system: "linux-x86_64".into(),
            install: name.bytes().map(u64::from).fold(7, |sum, byte| sum * 31 % 1_000_003 + byte),
            ..Program::default()
        };
        let mut request = Request { key: self.next_key, secret: self.next_key + 1_000, ..Request::default() };
        self.next_key += 1;
        for word in &words[1..] {
            match word.split_once('=') {
                None => request.wanted.push(wanted(word)),
                Some(("version", text)) => program.version = Some(version_of(text)),
                Some(("address", text)) => program.address = Some(address(text)),
                Some(("project", text)) => program.project = Some(text.into()),
                Some(("share", text)) => program.share = Some(text.into()),
                Some(("released", _)) => program.has_bad_date = true,
                Some(("system", text)) => program.system = text.into(),
                Some(("minutes", text)) => program.minutes = text.parse().expect("minutes"),
                Some(("booking", text)) => request.booking = Some(text.parse().expect("a token")),
                Some(("key", text)) => request.key = text.parse().expect("a key"),
                Some((other, _)) => panic!("{other} is no fact of a program"),
            }
        }
        self.programs.insert(name.clone(), program.clone());
        request.program = program;
        (request, name)
    }
}

fn show(n: &Numbers) -> String {
    let total = if n.total == UNLIMITED { "unlimited".to_string() } else { n.total.to_string() };
    let free = if n.free == UNLIMITED { "unlimited".to_string() } else { n.free.to_string() };
    format!(
        "total {total} used {} suspect {} held {} reserved {} free {free} over {}",
        n.used, n.suspect, n.held, n.reserved, n.over
    )
}

/// Whether each pair of words that is expected is among those given.
fn has_fields(given: &str, expected: &str) -> bool {
    let pairs = |text: &str| -> Vec<(String, String)> {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.chunks(2).map(|pair| (pair[0].to_string(), pair[1].to_string())).collect()
    };
    let given = pairs(given);
    pairs(expected).iter().all(|pair| given.contains(pair))
}

fn wanted(word: &str) -> Wanted {
    let (name, count) = match word.split_once('*') {
        Some((name, count)) => (name, count.parse().expect("a count")),
        None => (word, 1),
    };
    match name.split_once('/') {
        Some((vendor, feature)) => Wanted { vendor: Some(vendor.into()), feature: feature.into(), count },
        None => Wanted { vendor: None, feature: name.into(), count },
    }
}

/// Seconds, or with `ms` milliseconds.
fn time(word: &str) -> u64 {
    match word.strip_suffix("ms") {
        Some(ms) => ms.parse().expect("milliseconds"),
        None => word.strip_suffix('s').expect("seconds").parse::<u64>().expect("seconds") * 1000,
    }
}

fn pair(text: &str) -> (u32, u32) {
    let (major, minor) = text.split_once('.').expect("MAJOR.MINOR");
    (major.parse().expect("a number"), minor.parse().expect("a number"))
}

fn version_of(text: &str) -> Option<(u32, u32, u32)> {
    let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
    match parts.ok()?[..] {
        [major, minor] => Some((major, minor, 0)),
        [major, minor, patch] => Some((major, minor, patch)),
        _ => None,
    }
}

fn address(text: &str) -> [u8; 4] {
    let parts: Vec<u8> = text.split('.').map(|p| p.parse().expect("a byte")).collect();
    parts.try_into().expect("four bytes")
}

/// `feature count KEY=value …`; a count of `-` is none, `UNLIMITED` is that.
fn license(words: &[&str]) -> Sold {
    let mut sold =
        Sold { vendor: "ACME".into(), feature: words[0].into(), sn: words.join(" "), ..Sold::default() };
    sold.count = match words[1] {
        "-" => None,
        "UNLIMITED" => Some(UNLIMITED),
        n => Some(n.parse().expect("a count")),
    };
    for word in &words[2..] {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u64>().expect("a number");
        let day = || Some(value.parse::<i32>().expect("a day"));
        let based = || Some(if value == "ALL" { Based::All } else { Based::Seats(number()) });
        match key {
            "UPGRADE" => sold.kind = Kind::Upgrade,
            "ADDITIVE" => sold.kind = Kind::Additive,
            "TOKEN" => sold.kind = Kind::Token,
            "VENDOR" => sold.vendor = value.into(),
            "VERSION" => sold.version = Some(pair(value)),
            "START" => sold.start = day(),
            "END" => sold.end = day(),
            "ISSUED" => sold.issued = day(),
            "SN" => sold.sn = value.into(),
            "SHARE" => {
                sold.share = Share {
                    host: value.contains("HOST"),
                    user: value.contains("USER"),
                    custom: value.contains("CUSTOM"),
                }
            }
            "SOFTLIMIT" => sold.soft = Some(number()),
            "HOLD" => sold.hold = Some(number()),
            "MIN_CHECKOUT" => sold.least = Some(number()),
            "USERBASED" => sold.user_based = based(),
            "HOSTBASED" => sold.host_based = based(),
            "HOSTS" => sold.hosts = value.split(',').map(String::from).collect(),
            "PLATFORMS" => sold.systems = value.split(',').map(String::from).collect(),
            "TIME_ZONES" => sold.hours = value.split(',').map(|h| h.parse().expect("an hour")).collect(),
            "REPLACES" => {
                sold.replaces = Some(match value.split_once(':').expect("what:which") {
                    ("FEATURE", name) => Replaces::Feature(name.into()),
                    ("SN", sn) => Replaces::Sn(sn.into()),
                    ("KEY", key) => Replaces::Key(key.into()),
                    (other, _) => panic!("REPLACES {other}"),
                })
            }
            "NEEDS" => {
                let parts: Vec<&str> = value.split(':').collect();
                sold.depends.push(Dependency {
                    feature: parts[0].into(),
                    version: pair(parts[1]),
                    count: parts[2].parse().expect("a count"),
                });
            }
            "KEY" => sold.key = value.into(),
            "REFUSED" => sold.is_refused = true,
            other => panic!("{other} is no setting"),
        }
    }
    if sold.key.is_empty() {
        sold.key = format!("{:?}", Sold { feature: sold.feature.to_lowercase(), ..sold.clone() });
    }
    sold
}

/// `name users a b c`.
fn group(words: &[&str]) -> Group {
    let texts = || words[2..].iter().map(ToString::to_string).collect();
    let members = match words[1] {
        "users" => Members::Users(texts()),
        "hosts" => Members::Hosts(texts()),
        "projects" => Members::Projects(texts()),
        "networks" => Members::Networks(words[2..].iter().map(|w| network(w)).collect()),
        other => panic!("a group of {other}"),
    };
    Group { name: words[0].into(), members }
}

fn network(text: &str) -> ([u8; 4], u32) {
    let (address_text, bits) = text.split_once('/').expect("address/bits");
    (address(address_text), bits.parse().expect("bits"))
}

/// `deny of cad cam for user:ann group:lab`; `of *` is all features, no `for` is everybody.
fn rule(words: &[&str]) -> Rule {
    let of = words.iter().position(|w| *w == "of").expect("of");
    let is_for = words.iter().position(|w| *w == "for").unwrap_or(words.len());
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let says = match words[0] {
        "allow" => Says::Allow,
        "deny" => Says::Deny,
        "reserve" => Says::Reserve(number(1)),
        "idle" => Says::Idle(time(words[1])),
        "fast_queue" => Says::FastQueue,
        "limit" => Says::Limit(
            number(1),
            match words[3] {
                "user" => Per::User,
                "host" => Per::Host,
                "group" => Per::Group,
                "project" => Per::Project,
                other => panic!("a limit per {other}"),
            },
        ),
        other => panic!("a rule that says {other}"),
    };
    let features = words[of + 1..is_for].iter().filter(|w| **w != "*").map(|w| match w.split_once('/') {
        Some((vendor, feature)) => (Some(vendor.to_string()), feature.to_string()),
        None => (None, w.to_string()),
    });
    let mut who = Who::default();
    for word in words.iter().skip(is_for + 1) {
        let (kind, name) = word.split_once(':').expect("kind:name");
        match kind {
            "user" => who.users.push(name.into()),
            "host" => who.hosts.push(name.into()),
            "network" => who.networks.push(network(name)),
            "project" => who.projects.push(name.into()),
            "group" => who.groups.push(name.into()),
            other => panic!("{other} is nobody"),
        }
    }
    Rule { says, features: features.collect(), who }
}
