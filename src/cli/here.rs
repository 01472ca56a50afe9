//! Instants for people: in the zone of this terminal, as `ls -l` has them. Days of licenses are the server's and do not come here;
//! programs have UTC, by `--json`.

use chrono::DateTime;

use crate::clock::{Zone, rfc3339};

/// The zone that this program's user reads times in.
pub(super) struct Here(Zone);

impl Here {
    /// This computer's; who cannot say where he is, is told the world's time.
    pub(super) fn terminal() -> Here {
        Here(Zone::system().unwrap_or_else(|_| Zone::utc()))
    }

    #[cfg(test)]
    pub(super) fn of(name: &str) -> Here {
        Here(Zone::named(name).unwrap())
    }

    /// `2030-07-01 00:00:00 +02:00`, of an instant in RFC 3339. What is none stays as it is.
    pub(super) fn instant(&self, at: &str) -> String {
        self.local(at).unwrap_or_else(|| at.to_owned())
    }

    /// As [`Here::instant`], of Unix seconds.
    pub(super) fn seconds(&self, unix_seconds: i64) -> String {
        self.instant(&rfc3339(unix_seconds.saturating_mul(1_000)))
    }

    /// `2030-07-01 00:00:00`: in tables, and where the offset is told beside it.
    pub(super) fn time(&self, at: &str) -> String {
        let local = self.local(at);
        local.as_deref().and_then(|local| local.rsplit_once(' ')).map_or(at, |(time, _)| time).to_owned()
    }

    /// A cell of a table: as [`Here::time`], `-` where there is no instant.
    pub(super) fn cell(&self, at: Option<&String>) -> String {
        at.map_or_else(|| "-".to_owned(), |at| self.time(at))
    }

    fn local(&self, at: &str) -> Option<String> {
        DateTime::parse_from_rfc3339(at).ok().map(|at| self.0.local_text(at.timestamp_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::Here;

    #[test]
    fn an_instant_is_told_in_the_zone_of_who_reads_it() {
        let here = Here::of("Europe/Berlin");
        assert_eq!(here.instant("2030-06-30T22:00:00Z"), "2030-07-01 00:00:00 +02:00");
        assert_eq!(here.time("2030-06-30T22:00:00.250Z"), "2030-07-01 00:00:00");
        assert_eq!(here.seconds(1_909_087_200), "2030-07-01 00:00:00 +02:00");
        assert_eq!((here.instant("soon").as_str(), here.time("soon").as_str()), ("soon", "soon"));
        assert_eq!(
            Here::of("America/St_Johns").instant("2030-01-01T00:00:00Z"),
            "2029-12-31 20:30:00 -03:30"
        );
    }
}
