//! The days of the file: entered when they begin, summed when they are over, taken away when they are too old.

use chrono::NaiveDate;
use rusqlite::{Transaction, params};

use crate::clock::Zone;

/// The most events and spans that go in one transaction of pruning: it must not hold up writing.
const PRUNED_AT_ONCE: i64 = 2_000;

/// Enters the day of an instant, and those since the last one that is there.
pub(super) fn note_day(
    transaction: &Transaction<'_>,
    zone: &Zone,
    known: &mut (i64, i64),
    at: i64,
) -> rusqlite::Result<()> {
    if (known.0..known.1).contains(&at) {
        return Ok(());
    }
    let day = zone.day_of(at);
    let last: Option<String> = transaction.query_row("SELECT max(day) FROM days", [], |row| row.get(0))?;
    let last = last.and_then(|last| last.parse::<NaiveDate>().ok());
    let mut next = last.and_then(|last| last.succ_opt()).filter(|next| *next < day).unwrap_or(day);
    let insert = "INSERT OR IGNORE INTO days (day, starts, ends) VALUES (?, ?, ?)";
    // A clock set back before all that is known enters days that spans have passed already.
    let passed = "INSERT OR IGNORE INTO overnight SELECT ?1, id FROM spans
        WHERE until > ?1 AND +since < ?1
        UNION ALL SELECT ?1, id FROM spans WHERE until IS NULL AND +since < ?1";
    loop {
        let starts = zone.start_of_day(next);
        let values = params![next.to_string(), starts, zone.end_instant(next)];
        if transaction.prepare_cached(insert)?.execute(values)? > 0 {
            transaction.prepare_cached(passed)?.execute([starts])?;
        }
        match next.succ_opt() {
            Some(after) if next < day => next = after,
            _ => break,
        }
    }
    // After a clock was set back, days come that are there already.
    let running = "INSERT OR IGNORE INTO overnight
        SELECT d.starts, s.id FROM spans s CROSS JOIN days d ON d.starts > s.since
        WHERE s.until IS NULL AND d.starts <= ?1 AND d.starts > (SELECT written_until FROM state)";
    transaction.prepare_cached(running)?.execute([zone.start_of_day(day)])?;
    *known = (zone.start_of_day(day), zone.end_instant(day));
    Ok(())
}

/// Sums the days that were over at `until`, the last one there is never. One that something is changed in later is no longer
/// summed (schema.sql).
pub(super) fn sum(transaction: &Transaction<'_>, until: i64) -> rusqlite::Result<()> {
    // By a clock that was ahead, some were over that are not.
    transaction
        .prepare_cached("UPDATE days SET summed = 0 WHERE summed = 1 AND ends > ?")?
        .execute([until])?;
    let days =
        "SELECT day FROM days WHERE summed = 0 AND ends <= ?1 AND starts < (SELECT max(starts) FROM days)";
    if !transaction.prepare_cached(days)?.exists([until])? {
        return Ok(());
    }
    for (sums, of) in [("feature_sums", "feature_days"), ("user_sums", "user_days")] {
        transaction
            .execute(&format!("INSERT INTO {sums} SELECT * FROM {of} WHERE day IN ({days})"), [until])?;
    }
    transaction.execute(&format!("UPDATE days SET summed = 1 WHERE day IN ({days})"), [until])?;
    Ok(())
}

/// Takes away what happened before `oldest`, or where it is too much, the oldest; some of it. `true`: there may be more.
pub(super) fn prune(
    transaction: &Transaction<'_>,
    oldest: i64,
    is_too_large: bool,
) -> rusqlite::Result<bool> {
    let mut kept_from = oldest;
    // By number and not by time, so that a clock that was set back leaves no hole.
    let mut last = None;
    {
        let mut look = transaction.prepare_cached("SELECT id, at FROM events ORDER BY id LIMIT ?")?;
        let mut rows = look.query([PRUNED_AT_ONCE])?;
        while let Some(row) = rows.next()? {
            let (id, at): (i64, i64) = (row.get(0)?, row.get(1)?);
            if at >= oldest && !is_too_large {
                break;
            }
            last = Some(id);
            kept_from = kept_from.max(at);
        }
    }
    let mut taken = match last {
        Some(last) => transaction.prepare_cached("DELETE FROM events WHERE id <= ?")?.execute([last])?,
        None => 0,
    };
    // Where no events are left, the oldest spans go for the room.
    let spans = if is_too_large && last.is_none() {
        let some = "DELETE FROM spans WHERE id IN (SELECT id FROM spans WHERE until IS NOT NULL ORDER BY until LIMIT ?)";
        transaction.prepare_cached(some)?.execute([PRUNED_AT_ONCE])?
    } else {
        let old =
            "DELETE FROM spans WHERE id IN (SELECT id FROM spans WHERE until < ? ORDER BY until LIMIT ?)";
        transaction.prepare_cached(old)?.execute(params![kept_from, PRUNED_AT_ONCE])?
    };
    taken += spans;
    if taken > 0 {
        transaction.execute("DELETE FROM gaps WHERE until < ?", [kept_from])?;
        transaction.execute("DELETE FROM days WHERE ends <= ?", [kept_from])?;
        transaction.execute("UPDATE state SET kept_from = max(kept_from, ?)", [kept_from])?;
    }
    Ok(taken > 0)
}
