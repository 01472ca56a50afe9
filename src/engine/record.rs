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

const POOL_SET: u16 = 1;
const GRANTED: u16 = 2;
const CHECKED_IN: u16 = 3;
const ENDED: u16 = 4;
const DAY_SERVED: u16 = 5;
const CLOCK_READ: u16 = 6;
/// From here on only in snapshots.
const SPENT: u16 = 0x4001;
const COUNTERS: u16 = 0x4002;

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

    use seats::change::{Granted, GrantedSession, PoolId, SessionId};
    use seats::license::Fingerprint;
    use seats::request::Facts;

    use super::*;

    /// The bytes of a grant as they were first published: a change here breaks every state directory.
    #[test]
    fn the_layout_of_a_grant_is_for_ever() {
        let facts = Facts {
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
        };
        let session = GrantedSession {
            session: SessionId(7),
            pool: PoolId(2),
            count: 300,
            license: Fingerprint([9; 32]),
        };
        let change = Change::Granted(Granted {
            bundle: SessionId(7),
            key: [2; 16],
            secret: [3; 16],
            facts: Arc::new(facts),
            pid: 4711,
            since: 70_000,
            sessions: vec![session],
        });
        let mut bytes = Vec::new();
        encode(&change, &mut bytes);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, GRANT, "a published kind was changed: give the new layout a new kind");
        assert_eq!(decode(GRANTED, &bytes), Ok(change));
        assert!(matches!(decode(GRANTED, &bytes[1..]), Err(FoldError::Unreadable { .. })));
        bytes.push(0);
        assert!(matches!(decode(GRANTED, &bytes), Err(FoldError::Unreadable { .. })));
        assert_eq!(decode(99, &[]), Err(FoldError::UnknownKind(99)));
    }

    const GRANT: &str = "0702020202020202020202020202020202030303030303030303030303030303030101010101010101010101010101010103616e6e0377733701000a0102030c6c696e75782d7838365f36347700010178000103342e32000000fb6712fc70110100010702fb2c010909090909090909090909090909090909090909090909090909090909090909";
}
