//! From an event to what is stored of it: a row of `events`, and what it does to `spans`.

use serde_json::{Map, Value};

use crate::events::what::{Release, Seats, Wanted, What, Who};
use crate::events::{Event, what};

/// The members of an event that have a column of their own, or are in the row of the run.
const IN_COLUMNS: [&str; 15] = [
    "seq",
    "run",
    "at",
    "kind",
    "vendor",
    "feature",
    "user",
    "host",
    "seats",
    "code",
    "cause",
    "session",
    "bundle",
    "release_version",
    "release_date",
];

/// The columns of `events`, where the event has them.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    pub(super) vendor: Option<&'a str>,
    pub(super) feature: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) seats: Option<i64>,
    pub(super) code: Option<&'a str>,
    pub(super) cause: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) release_date: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) bundle: Option<&'a str>,
}

impl<'a> Columns<'a> {
    /// Those of an event.
    pub(super) fn of(what: &'a What) -> Columns<'a> {
        match what {
            What::SessionGranted(granted) => Columns::seats(&granted.of),
            What::SessionEnded(ended) => Columns { cause: Some(&ended.cause), ..Columns::seats(&ended.of) },
            What::SessionReduced(reduced) => Columns::seats(&reduced.of),
            What::BorrowReturned(returned) => {
                Columns { cause: Some(&returned.cause), ..Columns::seats(&returned.of) }
            }
            What::BorrowWrittenOff(written_off) => Columns::seats(&written_off.of),
            What::SessionDenied(denied) => Columns {
                vendor: denied.vendor.as_deref(),
                feature: Some(&denied.feature),
                seats: i64::try_from(denied.wanted).ok(),
                code: Some(&denied.code),
                ..Columns::who(&denied.who, &denied.release)
            },
            What::QueueWaiting(waiting) => {
                Columns::who(&waiting.who, &waiting.release).wanted(&waiting.features)
            }
            What::QueueEnded(ended) => {
                let all = Columns::who(&ended.who, &ended.release).wanted(&ended.features);
                Columns { cause: Some(&ended.cause), ..all }
            }
            What::AdminAction(action) => {
                Columns { session: action.session.as_deref(), ..Columns::default().wanted(&action.features) }
            }
            other => match other.features().as_slice() {
                [(vendor, feature)] => {
                    Columns { vendor: *vendor, feature: Some(feature), ..Columns::default() }
                }
                _ => Columns::default(),
            },
        }
    }

    fn seats(of: &'a Seats) -> Columns<'a> {
        Columns {
            vendor: Some(&of.vendor),
            feature: Some(&of.feature),
            seats: Some(of.seats.into()),
            session: Some(&of.session),
            bundle: Some(&of.bundle),
            ..Columns::who(&of.who, &of.release)
        }
    }

    fn who(who: &'a Who, release: &'a Release) -> Columns<'a> {
        Columns {
            user: who.user.as_deref(),
            host: who.host.as_deref(),
            version: release.release_version.as_deref(),
            release_date: release.release_date.as_deref(),
            ..Columns::default()
        }
    }

    /// One feature has its columns; several stand in the JSON alone.
    fn wanted(self, features: &'a [Wanted]) -> Columns<'a> {
        match features {
            [one] => Columns {
                vendor: one.vendor.as_deref(),
                feature: Some(&one.feature),
                seats: Some(one.seats.into()),
                ..self
            },
            _ => self,
        }
    }
}

/// What has no column, as a JSON object.
pub(super) fn rest(event: &Event) -> Result<String, serde_json::Error> {
    let mut all = match serde_json::to_value(event)? {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    // `seats` of maintenance are those of a license, and have no column.
    let has_seats = Columns::of(&event.what).seats.is_some();
    all.retain(|name, _| !IN_COLUMNS.contains(&name.as_str()) || (name == "seats" && !has_seats));
    serde_json::to_string(&all)
}

/// What an event does to the spans.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// Seats from now on.
    Begins(&'a what::SessionGranted),
    /// Some of them are back.
    Shrinks(&'a what::SessionReduced),
    /// All of them are back.
    Ends(&'a what::SessionEnded),
}

impl<'a> Step<'a> {
    /// That of an event, if it has one.
    pub(super) fn of(what: &'a What) -> Option<Step<'a>> {
        match what {
            What::SessionGranted(granted) => Some(Step::Begins(granted)),
            What::SessionReduced(reduced) => Some(Step::Shrinks(reduced)),
            What::SessionEnded(ended) => Some(Step::Ends(ended)),
            _ => None,
        }
    }
}
