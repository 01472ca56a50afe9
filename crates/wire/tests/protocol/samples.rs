//! The messages that the vectors hold: each once with everything empty and once full, and integers on
//! both sides of every border of the layout.

use wire::request::{Candidate, Facts, HostId, Item, Secret};
use wire::{Answer, Event, Extra, Request, answer, event, request};

use crate::Any;

/// The one secret of all samples, because a secret does not print itself.
pub(crate) const SECRET: [u8; 16] = *b"\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87\x78\x69\x5a\x4b\x3c\x2d\x1e\x0f";

const KEY: [u8; 16] = [0xff, 0, 1, 2, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 5, 4, 3, 2, 1, 0, 0xff];

/// Name, call, message.
pub(crate) type Sample = (String, u32, Any);

fn extras() -> Vec<Extra> {
    vec![Extra { tag: 2, bytes: vec![] }, Extra { tag: 500, bytes: vec![0, 0xff, 0x80] }]
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn items() -> Vec<Item> {
    vec![
        Item { vendor: text("ACME"), feature: "cad".into(), count: 2 },
        Item { vendor: None, feature: "cad-export".into(), count: 2_147_483_647 },
    ]
}

fn facts() -> Facts {
    Facts {
        user: "ann".into(),
        host: "ws7.example.com".into(),
        pid: 4711,
        platform: "linux-x86_64".into(),
        offset_minutes: -570,
        display: text(":0"),
        project: text("Brücke \"Süd\" \\ 桥"),
        release_version: text("4.2.0.1"),
        release_date: text("2030-05-02"),
        line_date: text("2030-02-28"),
        host_ids: vec![
            HostId { kind: "MACHINEID".into(), value: "0123456789abcdef0123456789abcdef".into() },
            HostId { kind: "CUSTOM".into(), value: "rack 4".into() },
        ],
    }
}

fn update_check() -> request::UpdateCheck {
    let candidate = |version: &str, date: Option<&str>, line: Option<&str>| Candidate {
        version: version.into(),
        date: date.map(str::to_owned),
        line: line.map(str::to_owned),
    };
    request::UpdateCheck {
        vendor: text("ACME"),
        feature: "cad".into(),
        installed: Some(candidate("1.0", None, None)),
        candidates: vec![
            candidate("1.0.1", Some("2012-05-02"), Some("2011-03-01")),
            candidate("1.1", Some("2012-04-01"), None),
        ],
        extras: extras(),
    }
}

fn grants() -> Vec<answer::Grant> {
    let license = answer::SignedLicense { canonical: vec![0, 0xfe, 0x0a], key: "ed25519:acme:AAAA".into() };
    vec![
        answer::Grant {
            session: 17,
            vendor: "ACME".into(),
            feature: "cad".into(),
            count: 2,
            version: text("4.2"),
            license_ends: Some(1_909_087_200),
            soft_limit: true,
            notice: text("released 3 days after maintenance ended; allowed until renewed"),
            license: Some(license),
        },
        answer::Grant {
            session: u64::MAX,
            vendor: String::new(),
            feature: "cad-export".into(),
            count: 2_147_483_647,
            version: None,
            license_ends: None,
            soft_limit: false,
            notice: None,
            license: None,
        },
    ]
}

/// What a server says of the two sessions of [`grants`].
pub(crate) const GRACE: [answer::Grace; 2] =
    [answer::Grace { session: 17, hours: 24 }, answer::Grace { session: u64::MAX, hours: 168 }];

fn grace() -> Vec<Extra> {
    vec![answer::Grace::extra(&GRACE)]
}

/// What a server lends of the first session of [`grants`].
pub(crate) fn loans() -> Vec<answer::Loan> {
    vec![answer::Loan { session: 17, ends_at: 1_893_456_000, token: vec![0x73, 0, 0xff] }]
}

fn requests() -> Vec<(&'static str, Request)> {
    let checkout = request::Checkout {
        request_key: KEY,
        secret: Secret(SECRET),
        items: items(),
        facts: facts(),
        share: text("render"),
        reservation_token: text("b-77"),
        wait_seconds: Some(600),
        extras: extras(),
    };
    let tried = request::Try {
        items: items(),
        facts: facts(),
        share: text("render"),
        reservation_token: text("b-77"),
        wait_seconds: Some(0),
        extras: extras(),
    };
    let least = request::Checkout { secret: Secret(SECRET), ..Default::default() };
    let resume = request::Resume { bundle: 9, secret: Secret(SECRET), facts: facts(), extras: extras() };
    let least_resume = request::Resume { secret: Secret(SECRET), ..Default::default() };
    vec![
        ("least", Request::Hello(Default::default())),
        (
            "full",
            Request::Hello(request::Hello {
                lowest: 1,
                highest: 300,
                install_id: KEY,
                program: "acme-cad".into(),
                program_version: "4.2".into(),
                extras: extras(),
                ..Default::default()
            }),
        ),
        ("least", Request::Checkout(least)),
        ("full", Request::Checkout(checkout)),
        (
            "borrow",
            Request::Checkout(request::Checkout {
                request_key: KEY,
                secret: Secret(SECRET),
                items: items(),
                facts: facts(),
                extras: vec![request::Hours { hours: 300 }.extra()],
                ..Default::default()
            }),
        ),
        ("least", Request::Checkin(Default::default())),
        ("full", Request::Checkin(request::Checkin { session: 17, count: 1, extras: extras() })),
        ("least", Request::Heartbeat(Default::default())),
        ("full", Request::Heartbeat(request::Heartbeat { idle_seconds: Some(300), extras: extras() })),
        ("least", Request::Resume(least_resume)),
        ("full", Request::Resume(resume)),
        ("least", Request::Report(Default::default())),
        (
            "full",
            Request::Report(request::Report {
                what: "explain".into(),
                feature: text("cad"),
                vendor: text("ACME"),
                cursor: "p2".into(),
                limit: 1000,
                extras: extras(),
            }),
        ),
        ("least", Request::Try(Default::default())),
        ("full", Request::Try(tried)),
        (
            "borrow",
            Request::Try(request::Try {
                items: items(),
                facts: facts(),
                extras: vec![request::Hours { hours: 1 }.extra()],
                ..Default::default()
            }),
        ),
        ("least", Request::Watch(Default::default())),
        ("full", Request::Watch(request::Watch { totals: true, extras: extras() })),
        ("least", Request::Goodbye(Default::default())),
        ("full", Request::Goodbye(request::Goodbye { extras: extras() })),
        ("least", Request::Why(Default::default())),
        (
            "full",
            Request::Why(request::Why {
                vendor: text("ACME"),
                feature: "cad".into(),
                count: 2,
                facts: facts(),
                share: text("render"),
                address: text("2001:db8::7"),
                asker_user: "root".into(),
                asker_host: "lic01".into(),
                extras: extras(),
            }),
        ),
        ("least", Request::Confirm(Default::default())),
        ("full", Request::Confirm(request::Confirm { bundle: 9, extras: extras() })),
        ("least", Request::GiveUp(Default::default())),
        ("full", Request::GiveUp(request::GiveUp { waiter: 300, extras: extras() })),
        ("least", Request::Cancel(request::Cancel { secret: Secret(SECRET), ..Default::default() })),
        (
            "full",
            Request::Cancel(request::Cancel { request_key: KEY, secret: Secret(SECRET), extras: extras() }),
        ),
        ("least", Request::UpdateCheck(Default::default())),
        ("full", Request::UpdateCheck(update_check())),
        ("least", Request::Events(Default::default())),
        (
            "full",
            Request::Events(request::Events {
                after: Some(300),
                cursor: "ab12:299".into(),
                limit: 1000,
                follow_ms: 30_000,
                features: vec![
                    request::FeatureName { vendor: text("ACME"), feature: "cad".into() },
                    request::FeatureName { vendor: None, feature: "cam".into() },
                ],
                extras: extras(),
            }),
        ),
        ("least", Request::Reload(Default::default())),
        ("full", Request::Reload(request::Reload { extras: extras() })),
        ("least", Request::Release(Default::default())),
        (
            "full",
            Request::Release(request::Release {
                session: 17,
                bar_seconds: Some(600),
                reason: "needed for the exam".into(),
                extras: extras(),
            }),
        ),
        ("least", Request::Shutdown(Default::default())),
        ("full", Request::Shutdown(request::Shutdown { extras: extras() })),
        ("least", Request::HostIds(Default::default())),
        ("full", Request::HostIds(request::HostIds { explain: text("cad"), extras: extras() })),
        ("least", Request::Book(Default::default())),
        (
            "full",
            Request::Book(request::Book {
                token: "0123456789abcdef0123456789abcdef".into(),
                items: items(),
                seconds: 600,
                facts: facts(),
                extras: extras(),
            }),
        ),
        ("least", Request::Unbook(Default::default())),
        (
            "full",
            Request::Unbook(request::Unbook {
                token: "0123456789abcdef0123456789abcdef".into(),
                extras: extras(),
            }),
        ),
        ("least", Request::WriteOff(Default::default())),
        (
            "full",
            Request::WriteOff(request::WriteOff {
                borrow: 17,
                reason: "the laptop was stolen".into(),
                extras: extras(),
            }),
        ),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    let ended = answer::Ended {
        session: 18,
        code: "already_removed".into(),
        message: "the seat was given to bob on ws8".into(),
        at: 1_893_456_000,
    };
    vec![
        ("least", Answer::Hello(Default::default())),
        (
            "full",
            Answer::Hello(answer::Hello {
                version: 1,
                server_name: "lic01".into(),
                server_version: "0.1.0".into(),
                instance: KEY,
                heartbeat_ms: 30_000,
                lease_ms: 120_000,
                client_frame_bytes_max: 65_536,
                sessions_max: 10_000,
                extras: extras(),
            }),
        ),
        ("least", Answer::Granted(Default::default())),
        (
            "full",
            Answer::Granted(answer::Granted {
                bundle: 9,
                sessions: grants(),
                replayed: true,
                heartbeat_ms: 30_000,
                lease_ms: 120_000,
                extras: extras(),
            }),
        ),
        (
            "grace",
            Answer::Granted(answer::Granted {
                bundle: 9,
                sessions: grants(),
                extras: grace(),
                ..Default::default()
            }),
        ),
        (
            "borrow",
            Answer::Granted(answer::Granted {
                bundle: 9,
                sessions: grants(),
                extras: vec![answer::Loan::extra(&loans())],
                ..Default::default()
            }),
        ),
        ("least", Answer::Checkin(Default::default())),
        ("full", Answer::Checkin(answer::Checkin { session: 17, count: 3, remaining: 7, extras: extras() })),
        ("least", Answer::Heartbeat(Default::default())),
        ("full", Answer::Heartbeat(answer::Heartbeat { sessions: 2, extras: extras() })),
        ("least", Answer::Resume(Default::default())),
        (
            "full",
            Answer::Resume(answer::Resume {
                bundle: 9,
                sessions: grants(),
                ended: vec![ended],
                extras: extras(),
            }),
        ),
        (
            "grace",
            Answer::Resume(answer::Resume {
                bundle: 9,
                sessions: grants(),
                extras: grace(),
                ..Default::default()
            }),
        ),
        (
            "borrow",
            Answer::Resume(answer::Resume {
                bundle: 9,
                sessions: grants(),
                extras: vec![answer::Loan::extra(&loans())],
                ..Default::default()
            }),
        ),
        ("least", Answer::Report(Default::default())),
        (
            "full",
            Answer::Report(answer::Report {
                json: "{\"schema\":1,\"features\":[]}".into(),
                next: "p3".into(),
                extras: extras(),
            }),
        ),
        ("least", Answer::Try(Default::default())),
        ("full", Answer::Try(answer::Try { details: "{\"total\":16,\"free\":13}".into(), extras: extras() })),
        ("least", Answer::Watch(Default::default())),
        ("full", Answer::Watch(answer::Watch { extras: extras() })),
        ("least", Answer::Goodbye(Default::default())),
        ("full", Answer::Goodbye(answer::Goodbye { extras: extras() })),
        ("least", Answer::Why(Default::default())),
        (
            "full",
            Answer::Why(answer::Why { json: "{\"schema\":1,\"granted\":true}".into(), extras: extras() }),
        ),
        ("least", Answer::Confirm(Default::default())),
        ("full", Answer::Confirm(answer::Confirm { bundle: 9, extras: extras() })),
        ("least", Answer::GiveUp(Default::default())),
        ("full", Answer::GiveUp(answer::GiveUp { waiter: 300, extras: extras() })),
        ("least", Answer::Cancel(Default::default())),
        ("full", Answer::Cancel(answer::Cancel { extras: extras() })),
        ("least", Answer::UpdateCheck(Default::default())),
        (
            "full",
            Answer::UpdateCheck(answer::UpdateCheck {
                json: "{\"schema\":1,\"advice\":\"up_to_date\"}".into(),
                extras: extras(),
            }),
        ),
        ("least", Answer::Events(Default::default())),
        (
            "full",
            Answer::Events(answer::Events {
                json: "{\"schema\":1,\"events\":[]}".into(),
                next: "ab12:300".into(),
                extras: extras(),
            }),
        ),
        ("least", Answer::Waiting(Default::default())),
        ("full", Answer::Waiting(answer::Waiting { waiter: 300, before: 2, extras: extras() })),
        ("least", Answer::Reload(Default::default())),
        ("full", Answer::Reload(answer::Reload { json: "{\"schema\":1}".into(), extras: extras() })),
        ("least", Answer::Release(Default::default())),
        ("full", Answer::Release(answer::Release { session: 17, extras: extras() })),
        ("least", Answer::Shutdown(Default::default())),
        ("full", Answer::Shutdown(answer::Shutdown { extras: extras() })),
        ("least", Answer::HostIds(Default::default())),
        ("full", Answer::HostIds(answer::HostIds { json: "{\"schema\":1}".into(), extras: extras() })),
        ("least", Answer::Book(Default::default())),
        ("full", Answer::Book(answer::Book { until: 1_893_456_000, extras: extras() })),
        ("least", Answer::Unbook(Default::default())),
        ("full", Answer::Unbook(answer::Unbook { bookings: 2, extras: extras() })),
        ("least", Answer::WriteOff(Default::default())),
        ("full", Answer::WriteOff(answer::WriteOff { borrow: 17, ends_at: 1_893_456_000, extras: extras() })),
        ("least", Answer::Refused(Default::default())),
        (
            "full",
            Answer::Refused(answer::Refused {
                code: "no_seats".into(),
                message: "All 16 seats of cad are in use.".into(),
                details: "{\"total\":16,\"used\":16}".into(),
                extras: extras(),
            }),
        ),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("least", Event::Expired(Default::default())),
        (
            "full",
            Event::Expired(event::Expired {
                session: 17,
                feature: "cad".into(),
                license_ends: 1_909_087_200,
                extras: extras(),
            }),
        ),
        ("least", Event::SessionEnded(Default::default())),
        (
            "full",
            Event::SessionEnded(event::SessionEnded {
                session: 17,
                code: "already_removed".into(),
                message: "removed by root: needed for the exam".into(),
                at: 1_893_456_000,
                extras: extras(),
            }),
        ),
        ("least", Event::ResumedElsewhere(Default::default())),
        ("full", Event::ResumedElsewhere(event::ResumedElsewhere { bundle: 9, extras: extras() })),
        ("least", Event::Stopping(Default::default())),
        ("full", Event::Stopping(event::Stopping { extras: extras() })),
        ("least", Event::PoolChanged(Default::default())),
        (
            "full",
            Event::PoolChanged(event::PoolChanged {
                vendor: "ACME".into(),
                feature: "cad".into(),
                old_total: Some(16),
                new_total: Some(10),
                reason: "the upgrade UP-7 has ended".into(),
                extras: extras(),
            }),
        ),
        ("least", Event::SeatWanted(Default::default())),
        (
            "full",
            Event::SeatWanted(event::SeatWanted {
                session: 17,
                feature: "cad".into(),
                seconds: 30,
                extras: extras(),
            }),
        ),
        ("least", Event::Served(Default::default())),
        (
            "full",
            Event::Served(event::Served { waiter: 300, bundle: 9, sessions: grants(), extras: extras() }),
        ),
        (
            "grace",
            Event::Served(event::Served { waiter: 300, bundle: 9, sessions: grants(), extras: grace() }),
        ),
        ("least", Event::WaitEnded(Default::default())),
        (
            "full",
            Event::WaitEnded(event::WaitEnded {
                waiter: 300,
                code: "queue_timeout".into(),
                message: "no seat came free in the time it was to wait".into(),
                at: 1_893_456_000,
                extras: extras(),
            }),
        ),
    ]
}

/// Both sides of every border: u64 and u32 in a checkin, u16 in the versions of a hello, i64 in a date, i16 in an offset,
/// lengths in a text. A u16 has no border at 65536, an i16 none at 32768.
fn borders() -> Vec<Sample> {
    let mut samples = Vec::new();
    for session in [250, 251, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        let count = u32::try_from(session).unwrap_or(u32::MAX);
        let checkin = request::Checkin { session, count, extras: vec![] };
        samples.push((format!("border-{session}"), u32::MAX, Any::Request(Request::Checkin(checkin))));
    }
    let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    let dates = [-1, -125, -126, 125, 126, -32_768, -32_769, 32_767, 32_768];
    for n in dates.into_iter().chain([low, low - 1, high, high + 1, i64::MIN, i64::MAX]) {
        let expired = event::Expired { license_ends: n, ..Default::default() };
        let name = if n < 0 { format!("border-minus-{}", n.unsigned_abs()) } else { format!("border-{n}") };
        samples.push((name, 0, Any::Event(Event::Expired(expired))));
    }
    for n in [i16::MIN, -126, -125, 125, 126, 840, i16::MAX] {
        let facts = Facts { offset_minutes: n, pid: u32::MAX, ..Default::default() };
        let tried = request::Try { facts, ..Default::default() };
        let name = if n < 0 { format!("border-minus-{}", n.unsigned_abs()) } else { format!("border-{n}") };
        samples.push((name, 250, Any::Request(Request::Try(tried))));
    }
    for n in [250, 251, u16::MAX] {
        let hello = request::Hello { lowest: n, highest: n, ..Default::default() };
        samples.push((format!("border-{n}"), 1, Any::Request(Request::Hello(hello))));
    }
    for n in [250, 251] {
        let release = request::Release { reason: "x".repeat(n), ..Default::default() };
        samples.push((format!("border-{n}"), 7, Any::Request(Request::Release(release))));
    }
    samples
}

/// Everything.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    samples.extend(requests().into_iter().map(|(name, m)| (name.to_owned(), 7, Any::Request(m))));
    samples.extend(answers().into_iter().map(|(name, m)| (name.to_owned(), 7, Any::Answer(m))));
    samples.extend(events().into_iter().map(|(name, m)| (name.to_owned(), 0, Any::Event(m))));
    samples.extend(borders());
    samples
}
