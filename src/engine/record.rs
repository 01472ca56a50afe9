//! Changes as journal records: a kind and bytes, for ever (S65).
//!
//! A kind is never reused and the layout of its body never changes: a fact that needs other fields gets
//! another kind. The body is bincode's standard layout of the change's struct, the one docs/PROTOCOL.md
//! describes. The journal knows none of this; the ledger does not either.

use bincode::serde::{decode_from_slice, encode_into_std_write};
use seats::change::Change;
use seats::ledger::State;

use crate::journal::{Fold, FoldError};

const LAYOUT: bincode::config::Configuration = bincode::config::standard();

/// As the first version wrote it: pools of exclusives only, sessions that share with nobody.
const POOL_SET_1: u16 = 1;
const GRANTED_1: u16 = 2;
const CHECKED_IN: u16 = 3;
const ENDED: u16 = 4;
const DAY_SERVED: u16 = 5;
const CLOCK_READ: u16 = 6;
const POOL_SET: u16 = 7;
const GRANTED: u16 = 8;
const HELD: u16 = 9;
const UNHELD: u16 = 10;
const MOVED: u16 = 11;
const BOOKED: u16 = 12;
const BOOKING_ENDED: u16 = 13;
const WAITING: u16 = 15;
const WAIT_ENDED: u16 = 16;
const BARRED: u16 = 17;
/// As it was before a loan carried renewals.
const BORROWED_1: u16 = 14;
const BORROWING_CLOSED: u16 = 18;
const WRITTEN_OFF: u16 = 19;
const CLOCK_RESET: u16 = 20;
const FIRST_CHECKOUT: u16 = 21;
const REMINDED: u16 = 22;
const BORROWED: u16 = 23;
/// From here on only in snapshots.
const SPENT: u16 = 0x4001;
const COUNTERS_1: u16 = 0x4002;
const COUNTERS: u16 = 0x4003;
const VERSION_SEEN: u16 = 0x4004;

/// The kind of a change's record.
pub fn kind(change: &Change) -> u16 {
    match change {
        Change::PoolSet(_) => POOL_SET,
        Change::Granted(_) => GRANTED,
        Change::CheckedIn(_) => CHECKED_IN,
        Change::Ended(_) => ENDED,
        Change::DayServed(_) => DAY_SERVED,
        Change::ClockRead(_) => CLOCK_READ,
        Change::Spent(_) => SPENT,
        Change::Counters(_) => COUNTERS,
        Change::Held(_) => HELD,
        Change::Unheld(_) => UNHELD,
        Change::Moved(_) => MOVED,
        Change::Booked(_) => BOOKED,
        Change::BookingEnded(_) => BOOKING_ENDED,
        Change::Waiting(_) => WAITING,
        Change::WaitEnded(_) => WAIT_ENDED,
        Change::Barred(_) => BARRED,
        Change::ClockReset(_) => CLOCK_RESET,
        Change::BorrowingClosed(_) => BORROWING_CLOSED,
        Change::WrittenOff(_) => WRITTEN_OFF,
        Change::Borrowed(_) => BORROWED,
        Change::FirstCheckout(_) => FIRST_CHECKOUT,
        Change::Reminded(_) => REMINDED,
        Change::VersionSeen(_) => VERSION_SEEN,
    }
}

/// Appends the body of a change's record to `out`.
pub fn encode(change: &Change, out: &mut Vec<u8>) {
    let written = match change {
        Change::PoolSet(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Granted(body) => encode_into_std_write(body, out, LAYOUT),
        Change::CheckedIn(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Ended(body) => encode_into_std_write(body, out, LAYOUT),
        Change::DayServed(body) => encode_into_std_write(body, out, LAYOUT),
        Change::ClockRead(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Spent(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Counters(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Held(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Unheld(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Moved(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Booked(body) => encode_into_std_write(body, out, LAYOUT),
        Change::BookingEnded(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Waiting(body) => encode_into_std_write(body, out, LAYOUT),
        Change::WaitEnded(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Barred(body) => encode_into_std_write(body, out, LAYOUT),
        Change::ClockReset(body) => encode_into_std_write(body, out, LAYOUT),
        Change::BorrowingClosed(body) => encode_into_std_write(body, out, LAYOUT),
        Change::WrittenOff(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Borrowed(body) => encode_into_std_write(body, out, LAYOUT),
        Change::FirstCheckout(body) => encode_into_std_write(body, out, LAYOUT),
        Change::Reminded(body) => encode_into_std_write(body, out, LAYOUT),
        Change::VersionSeen(body) => encode_into_std_write(body, out, LAYOUT),
    };
    written.expect("a vector takes what is written to it, and every change has a layout");
}

/// Reads a record back.
///
/// # Errors
/// An unknown kind, which a newer daemon wrote, or a body that is not that of its kind.
pub fn decode(kind: u16, bytes: &[u8]) -> Result<Change, FoldError> {
    fn body<T: serde::de::DeserializeOwned>(kind: u16, bytes: &[u8]) -> Result<T, FoldError> {
        match decode_from_slice(bytes, LAYOUT) {
            Ok((body, used)) if used == bytes.len() => Ok(body),
            Ok((_, used)) => {
                Err(FoldError::Unreadable { kind, reason: format!("{} bytes too many", bytes.len() - used) })
            }
            Err(error) => Err(FoldError::Unreadable { kind, reason: error.to_string() }),
        }
    }
    match kind {
        POOL_SET_1 => body(kind, bytes).map(|old: first::PoolSet| Change::PoolSet(old.into())),
        GRANTED_1 => body(kind, bytes).map(|old: first::Granted| Change::Granted(old.into())),
        COUNTERS_1 => body(kind, bytes).map(|old: first::Counters| Change::Counters(old.into())),
        BORROWED_1 => body(kind, bytes).map(|old: first::Borrowed| Change::Borrowed(old.into())),
        HELD => body(kind, bytes).map(Change::Held),
        UNHELD => body(kind, bytes).map(Change::Unheld),
        MOVED => body(kind, bytes).map(Change::Moved),
        BOOKED => body(kind, bytes).map(Change::Booked),
        BOOKING_ENDED => body(kind, bytes).map(Change::BookingEnded),
        WAITING => body(kind, bytes).map(Change::Waiting),
        WAIT_ENDED => body(kind, bytes).map(Change::WaitEnded),
        BARRED => body(kind, bytes).map(Change::Barred),
        CLOCK_RESET => body(kind, bytes).map(Change::ClockReset),
        BORROWING_CLOSED => body(kind, bytes).map(Change::BorrowingClosed),
        WRITTEN_OFF => body(kind, bytes).map(Change::WrittenOff),
        BORROWED => body(kind, bytes).map(Change::Borrowed),
        FIRST_CHECKOUT => body(kind, bytes).map(Change::FirstCheckout),
        REMINDED => body(kind, bytes).map(Change::Reminded),
        VERSION_SEEN => body(kind, bytes).map(Change::VersionSeen),
        POOL_SET => body(kind, bytes).map(Change::PoolSet),
        GRANTED => body(kind, bytes).map(Change::Granted),
        CHECKED_IN => body(kind, bytes).map(Change::CheckedIn),
        ENDED => body(kind, bytes).map(Change::Ended),
        DAY_SERVED => body(kind, bytes).map(Change::DayServed),
        CLOCK_READ => body(kind, bytes).map(Change::ClockRead),
        SPENT => body(kind, bytes).map(Change::Spent),
        COUNTERS => body(kind, bytes).map(Change::Counters),
        _ => Err(FoldError::UnknownKind(kind)),
    }
}

/// Records as the first version wrote them: read for ever, written no more (S65).
mod first {
    use std::sync::Arc;

    use chrono::NaiveDate;
    use seats::change::{BundleId, GrantedSession, LentLicense, PoolId, PoolKind, SessionId, Source, Tick};
    use seats::evaluate::Total;
    use seats::license::{Fingerprint, Name, Signed};
    use seats::request::Facts;
    use serde::Deserialize;

    #[derive(Deserialize)]
    pub(super) struct PoolSet {
        pool: PoolId,
        vendor: Name,
        feature: Name,
        total: Total,
        sources: Vec<Source>,
    }

    impl From<PoolSet> for seats::change::PoolSet {
        fn from(old: PoolSet) -> Self {
            let PoolSet { pool, vendor, feature, total, sources } = old;
            Self { pool, vendor, feature, kind: PoolKind::Exclusive, total, sources }
        }
    }

    #[derive(Deserialize)]
    struct Session {
        session: SessionId,
        pool: PoolId,
        count: u32,
        license: Fingerprint,
    }

    #[derive(Deserialize)]
    pub(super) struct Granted {
        bundle: BundleId,
        key: [u8; 16],
        secret: [u8; 16],
        facts: Arc<Facts>,
        pid: u32,
        since: Tick,
        sessions: Vec<Session>,
    }

    impl From<Granted> for seats::change::Granted {
        fn from(old: Granted) -> Self {
            let Granted { bundle, key, secret, facts, pid, since, sessions } = old;
            let session = |s: Session| GrantedSession::plain(s.session, s.pool, s.count, s.license);
            Self {
                bundle,
                key,
                secret,
                facts,
                pid,
                since,
                sessions: sessions.into_iter().map(session).collect(),
            }
        }
    }

    #[derive(Deserialize)]
    pub(super) struct Borrowed {
        bundle: BundleId,
        from: i64,
        until: i64,
        last_day: NaiveDate,
        due: Tick,
        licenses: Vec<Arc<Signed>>,
    }

    impl From<Borrowed> for seats::change::Borrowed {
        /// Its tokens were made without renewals, and are made the same again.
        fn from(old: Borrowed) -> Self {
            let Borrowed { bundle, from, until, last_day, due, licenses } = old;
            let plain = |signed| LentLicense { signed, renewals: Vec::new(), first_checkout: None };
            let licenses = licenses.into_iter().map(plain).collect();
            Self { bundle, from, until, first_day: None, last_day, due, licenses }
        }
    }

    #[derive(Deserialize)]
    pub(super) struct Counters {
        next_session: u64,
        next_pool: u32,
    }

    impl From<Counters> for seats::change::Counters {
        fn from(old: Counters) -> Self {
            Self { next_session: old.next_session, next_pool: old.next_pool, next_hold: 0, next_booking: 0 }
        }
    }
}

/// The durable state as the journal replays and snapshots it.
#[derive(Debug, Default)]
pub struct StateFold {
    /// What the records so far give.
    pub state: State,
}

impl Fold for StateFold {
    fn apply(&mut self, tick: u64, _sequence: u64, kind: u16, bytes: &[u8]) -> Result<(), FoldError> {
        let change = decode(kind, bytes)?;
        self.state
            .check(&change)
            .map_err(|error| FoldError::Unreadable { kind, reason: error.to_string() })?;
        self.state.apply(tick, &change);
        Ok(())
    }

    fn dump(&self, out: &mut dyn FnMut(u16, &[u8])) {
        let mut bytes = Vec::new();
        self.state.dump(&mut |change| {
            bytes.clear();
            encode(&change, &mut bytes);
            out(kind(&change), &bytes);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seats::change::{
        Barred, Booked, BookingEnded, BookingId, Borrowed, BorrowingClosed, Cause, ClockReset, Counters,
        Ended, FirstCheckout, Granted, GrantedSession, Held, HoldId, LentLicense, Moved, MovedSession,
        PoolId, PoolKind, PoolSet, Reminded, SessionId, Unheld, VersionSeen, WaitCause, WaitEnded, Waiting,
        WrittenOff,
    };
    use seats::evaluate::Total;
    use seats::license::{Fingerprint, Name, Signed};
    use seats::maintenance::{Ending, Reminder};
    use seats::request::{Facts, Item};

    use super::*;

    fn facts() -> Facts {
        Facts {
            install_id: [1; 16],
            user: "ann".into(),
            host: "ws7".into(),
            address: Some([10, 1, 2, 3].into()),
            platform: "linux-x86_64".into(),
            offset_minutes: -60,
            display: None,
            project: Some("x".into()),
            share: None,
            release_version: Some("4.2".into()),
            release_date: None,
            line_date: None,
            host_ids: Vec::new(),
        }
    }

    fn signed(byte: u8) -> Arc<Signed> {
        Arc::new(Signed { canonical: [byte; 3].into(), key: "ed25519:acme:AAAA".into() })
    }

    fn lent_without_renewals() -> Borrowed {
        Borrowed {
            bundle: SessionId(7),
            from: 1_909_051_200,
            until: 1_909_054_800,
            first_day: None,
            last_day: "2030-06-30".parse().unwrap(),
            due: 90_000,
            licenses: vec![LentLicense { signed: signed(7), renewals: Vec::new(), first_checkout: None }],
        }
    }

    fn granted(sessions: Vec<GrantedSession>) -> Change {
        Change::Granted(Granted {
            bundle: SessionId(7),
            key: [2; 16],
            secret: [3; 16],
            facts: Arc::new(facts()),
            pid: 4711,
            since: 70_000,
            sessions,
        })
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()).collect()
    }

    /// The bytes as they were first published: a change here breaks every state directory.
    #[test]
    fn the_layout_of_each_record_is_for_ever() {
        let plain = GrantedSession::plain(SessionId(7), PoolId(2), 300, Fingerprint([9; 32]));
        let shared = GrantedSession {
            session: SessionId(8),
            share: Some("host ws7".into()),
            token: Some(0),
            above_soft_limit: true,
            booking: Some(BookingId(4)),
            ..plain.clone()
        };
        let name = |text| Name::new(text).unwrap();
        let set = PoolSet {
            pool: PoolId(2),
            vendor: name("ACME"),
            feature: name("cad"),
            kind: PoolKind::Additive("7f".into()),
            total: Total::Limited(10),
            sources: Vec::new(),
        };
        let held = Held {
            hold: HoldId(5),
            pool: PoolId(2),
            seats: 3,
            user: "ann".into(),
            host: "ws7".into(),
            client: "ann\0ws7".into(),
            until: 90_000,
        };
        let booked = Booked {
            booking: BookingId(4),
            token: [8; 16],
            vendor: name("ACME"),
            feature: name("cad"),
            seats: 2,
            until: 90_000,
            by: "bob".into(),
        };
        let moved = Moved {
            to: PoolId(3),
            sessions: vec![MovedSession { session: SessionId(7), share: Some("user ann".into()) }],
        };
        let counters = Counters { next_session: 300, next_pool: 2, next_hold: 6, next_booking: 5 };
        let reset = ClockReset {
            from: "2099-01-01".parse().unwrap(),
            to: "2030-06-30".parse().unwrap(),
            unix_ms: 1_909_051_200_000,
            by: "uid 0".into(),
            reason: "bios".into(),
        };
        let waiting = Waiting {
            waiter: SessionId(9),
            key: [2; 16],
            secret: [3; 16],
            items: vec![
                Item { vendor: Some("ACME".into()), feature: "cad".into(), count: 300 },
                Item { vendor: None, feature: "cam".into(), count: 1 },
            ],
            facts: Arc::new(facts()),
            pid: 4711,
            booking: Some([8; 16]),
            since: 70_000,
            until: 90_000,
        };
        let barred = Barred {
            vendor: name("ACME"),
            feature: name("cad"),
            client: "ann\0ws7".into(),
            until: 90_000,
            by: "uid 0".into(),
            reason: "backup".into(),
        };
        let borrowed = Borrowed {
            first_day: Some("2030-06-29".parse().unwrap()),
            licenses: vec![LentLicense {
                signed: signed(7),
                renewals: vec![signed(8)],
                first_checkout: Some("2030-06-28".parse().unwrap()),
            }],
            ..lent_without_renewals()
        };
        let written_off = WrittenOff {
            borrow: SessionId(7),
            at: 1_909_051_200,
            by: "uid 0".into(),
            reason: "stolen".into(),
        };
        let first = FirstCheckout {
            vendor: name("ACME"),
            feature: name("cad"),
            license: "7f".into(),
            day: "2030-06-30".parse().unwrap(),
            unix_ms: Some(1_909_051_200_000),
            server: "sk1".into(),
            version: Some("4.1".into()),
        };
        let reminded = |of, what| {
            Change::Reminded(Reminded {
                vendor: name("ACME"),
                feature: name("cad"),
                license: "7f".into(),
                of,
                end: "2030-06-30".parse().unwrap(),
                what,
            })
        };
        let highest = Some(([4, 1, 0, 0], Some("2030-06-30".parse().unwrap())));
        let wait_ended = |cause| Change::WaitEnded(WaitEnded { waiter: SessionId(9), cause });
        for (change, hex) in [
            (Change::Barred(barred), BAR),
            (Change::Borrowed(borrowed), BORROW),
            (Change::WrittenOff(written_off), OFF),
            (Change::BorrowingClosed(BorrowingClosed { from: 1_909_051_200 }), "fc809e93e3"),
            (
                Change::Ended(Ended { session: SessionId(7), cause: Cause::BorrowEnded, at: 90_000 }),
                "0708fc905f0100",
            ),
            (Change::Waiting(waiting), WAIT),
            (wait_ended(WaitCause::Served), "0900"),
            (wait_ended(WaitCause::TimedOut), "0901"),
            (wait_ended(WaitCause::GivenUp), "0902"),
            (wait_ended(WaitCause::Reaped), "0903"),
            (wait_ended(WaitCause::Released), "0904"),
            (granted(vec![plain, shared]), GRANT),
            (Change::PoolSet(set), SET),
            (Change::Held(held), HOLD),
            (Change::Unheld(Unheld { hold: HoldId(5), seats: 3 }), "0503"),
            (Change::Moved(moved), MOVE),
            (Change::Booked(booked), BOOKING),
            (Change::BookingEnded(BookingEnded { booking: BookingId(4) }), "04"),
            (Change::ClockReset(reset), RESET),
            (
                Change::FirstCheckout(first),
                "0441434d45036361640237660a323033302d30362d333001fd0024a3f87803000003736b310103342e31",
            ),
            (
                reminded(Ending::Maintenance, Reminder::Ended),
                "0441434d4503636164023766000a323033302d30362d333000",
            ),
            (
                reminded(Ending::Term, Reminder::Within(60)),
                "0441434d4503636164023766010a323033302d30362d3330013c",
            ),
            (
                Change::VersionSeen(VersionSeen { pool: PoolId(2), highest }),
                "020104010000010a323033302d30362d3330",
            ),
            (Change::Counters(counters), "fb2c01020605"),
        ] {
            let mut bytes = Vec::new();
            encode(&change, &mut bytes);
            let found: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(found, hex, "{change:?} was changed: give the new layout a new kind");
            assert_eq!(decode(kind(&change), &bytes).as_ref(), Ok(&change));
            let cut = decode(kind(&change), &bytes[..bytes.len() - 1]);
            assert!(matches!(cut, Err(FoldError::Unreadable { .. })), "{change:?}: {cut:?}");
            bytes.push(0);
            assert!(matches!(decode(kind(&change), &bytes), Err(FoldError::Unreadable { .. })), "{change:?}");
        }
        assert_eq!(decode(99, &[]), Err(FoldError::UnknownKind(99)));
    }

    #[test]
    fn the_records_of_the_first_version_are_read() {
        let plain = GrantedSession::plain(SessionId(7), PoolId(2), 300, Fingerprint([9; 32]));
        assert_eq!(decode(GRANTED_1, &bytes(FIRST_GRANT)), Ok(granted(vec![plain])));
        let set = decode(POOL_SET_1, &bytes("020441434d4503636164000a00"));
        let Ok(Change::PoolSet(set)) = set else { panic!("{set:?}") };
        assert_eq!((set.kind, set.total), (PoolKind::Exclusive, Total::Limited(10)));
        let counters = Counters { next_session: 300, next_pool: 2, next_hold: 0, next_booking: 0 };
        assert_eq!(decode(COUNTERS_1, &bytes("fb2c0102")), Ok(Change::Counters(counters)));
        assert_eq!(decode(BORROWED_1, &bytes(FIRST_BORROW)), Ok(Change::Borrowed(lent_without_renewals())));
    }

    const FIRST_GRANT: &str = "0702020202020202020202020202020202030303030303030303030303030303030101010101010101010101010101010103616e6e0377733701000a0102030c6c696e75782d7838365f36347700010178000103342e32000000fb6712fc70110100010702fb2c010909090909090909090909090909090909090909090909090909090909090909";
    const GRANT: &str = "0702020202020202020202020202020202030303030303030303030303030303030101010101010101010101010101010103616e6e0377733701000a0102030c6c696e75782d7838365f36347700010178000103342e32000000fb6712fc70110100020702fb2c010909090909090909090909090909090909090909090909090909090909090909000000000802fb2c0109090909090909090909090909090909090909090909090909090909090909090108686f7374207773370100010104";
    const SET: &str = "020441434d450363616401023766000a00";
    const HOLD: &str = "05020303616e6e0377733707616e6e00777337fc905f0100";
    const MOVE: &str = "03010701087573657220616e6e";
    const RESET: &str =
        "0a323039392d30312d30310a323033302d30362d3330fd0024a3f8780300000575696420300462696f73";
    const FIRST_BORROW: &str = "07fc809e93e3fca0ba93e30a323033302d30362d3330fc905f0100010307070711656432353531393a61636d653a41414141";
    const BORROW: &str = "07fc809e93e3fca0ba93e3010a323033302d30362d32390a323033302d30362d3330fc905f0100010307070711656432353531393a61636d653a41414141010308080811656432353531393a61636d653a41414141010a323033302d30362d3238";
    const OFF: &str = "07fc809e93e30575696420300673746f6c656e";
    const BAR: &str = "0441434d450363616407616e6e00777337fc905f0100057569642030066261636b7570";
    const WAIT: &str = "09020202020202020202020202020202020303030303030303030303030303030302010441434d4503636164fb2c01000363616d010101010101010101010101010101010103616e6e0377733701000a0102030c6c696e75782d7838365f36347700010178000103342e32000000fb67120108080808080808080808080808080808fc70110100fc905f0100";
    const BOOKING: &str = "04080808080808080808080808080808080441434d450363616402fc905f010003626f62";
}
