//! From an event to what is stored of it: a row of `events`, and what it does to `spans`.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::events::what::{
    self, Numbers, Release, Seats, SessionDenied, SessionEnded, SessionGranted, Wanted, What, Who,
};

/// The members that have a column of their own.
const IN_COLUMNS: [&str; 12] = [
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
pub(super) fn rest(what: &What) -> Result<String, serde_json::Error> {
    // Nearly all events are of these kinds: sorting the members of a whole object out takes as long as writing its row.
    match what {
        What::SessionGranted(granted) => {
            let SessionGranted { of, until, waiter, above_soft_limit, notice } = granted;
            let above_soft_limit = Some(*above_soft_limit);
            let (until, waiter, notice) = (until.as_deref(), waiter.as_deref(), notice.as_deref());
            serde_json::to_string(&Rest { until, waiter, above_soft_limit, notice, ..Rest::of_seats(of) })
        }
        What::SessionEnded(ended) => {
            let SessionEnded { of, cause: _, since, held_ms, by, reason } = ended;
            let (since, held_ms) = (Some(since.as_deref()), Some(*held_ms));
            let (by, reason) = (by.as_deref(), reason.as_deref());
            serde_json::to_string(&Rest { since, held_ms, by, reason, ..Rest::of_seats(of) })
        }
        What::SessionDenied(denied) => {
            let SessionDenied {
                code: _,
                message,
                vendor: _,
                feature: _,
                wanted,
                borrow,
                numbers,
                release,
                who,
            } = denied;
            let Release { release_version: _, release_date: _ } = release;
            let (message, wanted, borrow) = (message.as_deref(), Some(*wanted), Some(*borrow));
            serde_json::to_string(&Rest {
                message,
                wanted,
                borrow,
                numbers: numbers.as_ref(),
                ..Rest::of_who(who)
            })
        }
        other => rest_of_any(other),
    }
}

/// The members without a column of the kinds there are most of, in the order of their names.
#[derive(Default, Serialize)]
struct Rest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    above_soft_limit: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    borrow: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<&'a Numbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Null where it is not known, and absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<u64>,
}

impl<'a> Rest<'a> {
    // Each field is named, so that one that comes is not forgotten.
    fn of_seats(of: &'a Seats) -> Rest<'a> {
        let Seats {
            session: _,
            bundle: _,
            vendor: _,
            feature: _,
            key_type,
            sn,
            seats: _,
            token,
            borrow,
            release,
            who,
        } = of;
        let Release { release_version: _, release_date: _ } = release;
        let (sn, token) = (sn.as_deref(), token.as_deref());
        Rest { key_type: Some(key_type), sn, token, borrow: Some(*borrow), ..Rest::of_who(who) }
    }

    fn of_who(who: &'a Who) -> Rest<'a> {
        let Who { user: _, host: _, address, pid, project } = who;
        Rest { address: address.as_deref(), pid: *pid, project: project.as_deref(), ..Rest::default() }
    }
}

/// The same of any kind.
fn rest_of_any(what: &What) -> Result<String, serde_json::Error> {
    let mut all: Map<String, Value> = match serde_json::to_value(what)? {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    // `seats` of maintenance are those of a license, and have no column.
    let has_seats = Columns::of(what).seats.is_some();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_the_usual_kinds_is_what_is_left_of_any() {
        let text = |of: &str| Some(of.to_owned());
        let who = Who {
            user: text("ann"),
            host: text("ws1"),
            address: text("192.0.2.1"),
            pid: Some(7),
            project: text("p"),
        };
        let release = Release { release_version: text("4.2"), release_date: text("2030-05-02") };
        let of = Seats {
            session: "s".into(),
            bundle: "b".into(),
            vendor: "ACME".into(),
            feature: "cad".into(),
            key_type: "ADDITIVE".into(),
            sn: text("sn"),
            seats: 3,
            token: text("t"),
            borrow: true,
            release: release.clone(),
            who: who.clone(),
        };
        let (message, vendor, numbers) =
            (text("\"no\", }"), text("ACME"), Some(Numbers { used: 4, ..Numbers::default() }));
        let events: [What; 6] = [
            SessionGranted {
                of: of.clone(),
                until: text("u"),
                waiter: text("w"),
                above_soft_limit: true,
                notice: text("n"),
            }
            .into(),
            SessionEnded {
                of,
                cause: "released".into(),
                since: text("s"),
                held_ms: 5,
                by: text("root"),
                reason: text("é\n"),
            }
            .into(),
            SessionDenied {
                code: "no_seats".into(),
                message,
                vendor,
                feature: "cad".into(),
                wanted: 2,
                borrow: true,
                numbers,
                release,
                who,
            }
            .into(),
            SessionGranted::default().into(),
            SessionEnded::default().into(),
            SessionDenied::default().into(),
        ];
        for what in events {
            let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
            assert_eq!(read(rest(&what).unwrap()), read(rest_of_any(&what).unwrap()));
        }
    }
}
