//! The last day of one feature in steps: for a chart, which has so many points and no more however much happened.

use rusqlite::named_params;

use super::store::HistoryError;
use super::usage::Reader;
use crate::clock::rfc3339_ms;
use crate::report::{Missing, SCHEMA, UsageDay};

/// One step, in milliseconds.
pub const STEP_MS: i64 = 300_000;
/// Steps of a day.
pub const STEPS: usize = 288;
/// The most gaps that are told.
const MISSING_MAX: i64 = 20;

/// Where seats were taken and given back: the spans are cut to the day, and an end comes before a beginning of the same
/// millisecond.
const STEPS_SQL: &str = "WITH pieces AS MATERIALIZED (
        SELECT seats, max(since, :since) AS since, min(coalesce(until, :now), :until) AS until
        FROM spans
        WHERE since < :until AND (until IS NULL OR until > :since) AND coalesce(until, :now) > since
            AND (:vendor IS NULL OR vendor = :vendor) AND feature = :feature
    )
    SELECT since AS at, seats AS change FROM pieces
    UNION ALL
    SELECT until, -seats FROM pieces
    ORDER BY at, change";

impl Reader {
    /// The most seats that were in use in each of [`STEPS`] steps, the last being that of `now` (Unix milliseconds). Names are
    /// compared without case.
    ///
    /// # Errors
    /// SQLite.
    pub fn day(&self, vendor: Option<&str>, feature: &str, now: i64) -> Result<UsageDay, HistoryError> {
        let until = (now.div_euclid(STEP_MS) + 1) * STEP_MS;
        let since = until - i64::try_from(STEPS).unwrap_or(i64::MAX).saturating_mul(STEP_MS);
        let path = self.connection.path().unwrap_or_default().to_owned();
        let (peaks, missing) = self
            .peaks(vendor, feature, since, until, now)
            .map_err(|source| HistoryError::Sqlite { path: path.into(), source })?;
        Ok(UsageDay {
            schema: SCHEMA,
            vendor: vendor.map(str::to_owned),
            feature: feature.into(),
            since: rfc3339_ms(since),
            step_seconds: u32::try_from(STEP_MS / 1_000).unwrap_or(u32::MAX),
            peaks,
            missing,
        })
    }

    fn peaks(
        &self,
        vendor: Option<&str>,
        feature: &str,
        since: i64,
        until: i64,
        now: i64,
    ) -> rusqlite::Result<(Vec<Option<u64>>, Vec<Missing>)> {
        // One transaction: all of it is of one moment.
        let snapshot = self.connection.unchecked_transaction()?;
        let kept_from: i64 = snapshot.query_row("SELECT kept_from FROM state", [], |row| row.get(0))?;
        let mut steps = Steps { since, peaks: vec![0; STEPS], level: 0, at: since };
        let mut changes = snapshot.prepare(STEPS_SQL)?;
        let mut found = changes.query(named_params! {
            ":since": since, ":until": until, ":now": now, ":vendor": vendor, ":feature": feature,
        })?;
        while let Some(row) = found.next()? {
            steps.change(row.get(0)?, row.get(1)?);
        }
        let missing = "SELECT since, until, events, reason FROM gaps WHERE until >= ? AND since < ? ORDER BY id DESC LIMIT ?";
        let missing = snapshot
            .prepare(missing)?
            .query_map((since, until, MISSING_MAX), |row| {
                let events: Option<i64> = row.get(2)?;
                Ok(Missing {
                    since: rfc3339_ms(row.get(0)?),
                    until: rfc3339_ms(row.get(1)?),
                    events: events.map(|events| u64::try_from(events).unwrap_or(0)),
                    reason: row.get(3)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        let known = |(step, peak): (usize, i64)| {
            let ends = since + i64::try_from(step + 1).unwrap_or(i64::MAX).saturating_mul(STEP_MS);
            (ends > kept_from).then(|| u64::try_from(peak).unwrap_or(0))
        };
        Ok((steps.peaks.into_iter().enumerate().map(known).collect(), missing))
    }
}

/// Goes through the changes in order.
struct Steps {
    since: i64,
    peaks: Vec<i64>,
    level: i64,
    /// Since when it is that.
    at: i64,
}

impl Steps {
    /// The level was what it was until `at`, excluded.
    fn change(&mut self, at: i64, change: i64) {
        if at > self.at {
            let step = |at: i64| usize::try_from((at - self.since) / STEP_MS).unwrap_or(0);
            let (first, last) = (step(self.at), step(at - 1).min(STEPS - 1));
            if first <= last {
                for peak in &mut self.peaks[first..=last] {
                    *peak = (*peak).max(self.level);
                }
            }
            self.at = at;
        }
        self.level += change;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_counts_in_each_step_that_it_lasts_in() {
        let mut steps = Steps { since: 1_000, peaks: vec![0; STEPS], level: 0, at: 1_000 };
        let at = |step: i64, ms: i64| 1_000 + step * STEP_MS + ms;
        // Three seats from the beginning, all back within the third step.
        steps.change(at(0, 0), 3);
        steps.change(at(2, 1), -3);
        // A session that ends as another begins is not two.
        steps.change(at(4, 5), 1);
        steps.change(at(4, 9), -1);
        steps.change(at(4, 9), 1);
        // Up to the border of a step, which is not in it.
        steps.change(at(6, 0), -1);
        // To the very end.
        steps.change(at(287, 0), 7);
        steps.change(at(288, 0), -7);
        let expected = [3, 3, 3, 0, 1, 1, 0];
        assert_eq!(steps.peaks[..7], expected);
        assert_eq!((steps.peaks[286], steps.peaks[287], steps.level), (0, 7, 0));
    }
}
