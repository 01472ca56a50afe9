//! A server with one of each: what the golden files show.

use seatkeeper::clock::Zone;
use seatkeeper::compat::{Picture, Place};
use seatkeeper::report::Status;
use serde_json::{Value, json};

/// What passes between the parts of a day that is told: `now`, and when two clients checked out.
pub(crate) struct Times {
    pub(crate) now: &'static str,
    pub(crate) early: &'static str,
    pub(crate) late: &'static str,
}

fn feature(name: &str, more: &Value) -> Value {
    let mut whole = json!({"vendor":"ACME","name":name,"version":"4.2","total":10,"base":10,"upgrades":0,"unlimited":false,
        "used":0,"active":0,"suspect":0,"borrowed":0,"held":0,"reserved":0,"free":10,"over":0,"queued":0,"soft_limit":null,
        "share":[],"start":null,"end":"2031-12-31","ends_at":null,"maintenance_ends":null,"denials_24h":null,"pools":[]});
    for (member, value) in more.as_object().expect("members") {
        whole[member] = value.clone();
    }
    whole
}

fn pool(id: &str, key_type: &str, more: &Value) -> Value {
    let count = &more["total"];
    json!({"id":id,"key_type":key_type,"sn":null,"version":more["version"],"total":count,"unlimited":count.is_null(),
        "used":0,"suspect":0,"borrowed":0,"held":0,"reserved":0,"free":null,"over":0,"share":more["share"],
        "licenses":[{"sn":null,"key_type":key_type,"count":count,"unlimited":count.is_null(),"version":more["version"],
            "start":null,"end":more["end"],"state":"in_force","reason":null,"file":null}]})
}

fn session(id: &str, feature: &str, pool: &str, who: (&str, &str), since: &str, more: &Value) -> Value {
    let mut whole = json!({"id":id,"bundle":"b","vendor":"ACME","feature":feature,"pool":pool,"count":1,"version":"4.1",
        "release_date":null,"user":who.0,"host":who.1,"display":null,"pid":4711,"address":"10.1.2.3","state":"active",
        "since":since,"last_seen":null,"suspect_since":null,"free_at":null,"reaped_at":null,"borrowed_until":null,
        "token":null,"shared":false,"share":null,"above_soft_limit":false});
    for (member, value) in more.as_object().expect("members") {
        whole[member] = value.clone();
    }
    whole
}

/// Everything that a reader who sees all is told.
fn status(times: &Times) -> Value {
    let (early, late) = (times.early, times.late);
    let features = [
        feature(
            "both",
            &json!({"total":16,"used":9,"held":1,"reserved":2,"queued":1,"denials_24h":3,"start":"2025-01-01",
            "pools":[pool("1","EXCLUSIVE",&json!({"total":10,"version":"4.2","end":"2031-12-31","share":[]})),
                pool("2","ADDITIVE",&json!({"total":6,"version":"5.0","end":null,"share":[]})),
                pool("3","ADDITIVE",&json!({"total":0,"version":"5.1","end":null,"share":[]}))]}),
        ),
        feature(
            "forever",
            &json!({"used":2,"end":null,"share":["CUSTOM","VIRTUAL"],
            "pools":[pool("4","EXCLUSIVE",&json!({"total":10,"version":"4.2","end":null,"share":["CUSTOM","VIRTUAL"]}))]}),
        ),
        feature(
            "idle",
            &json!({"total":1,"pools":[pool("5","EXCLUSIVE",
            &json!({"total":1,"version":"4.2","end":"2028-02-29","share":[]}))],"end":"2028-02-29"}),
        ),
        feature(
            "over",
            &json!({"total":2,"used":3,"over":1,
            "pools":[pool("6","EXCLUSIVE",&json!({"total":2,"version":"4.2","end":"2028-02-29","share":[]}))],"end":"2028-02-29"}),
        ),
        feature(
            "suite",
            &json!({"total":0,"tokens":2,
            "pools":[pool("7","TOKEN",&json!({"total":null,"version":"1.0","end":null,"share":[]}))],"version":"1.0","end":null}),
        ),
        feature(
            "unbounded",
            &json!({"total":null,"unlimited":true,"used":1,"free":null,
            "pools":[pool("8","EXCLUSIVE",&json!({"total":null,"version":null,"end":null,"share":[]}))],"version":null,"end":null}),
        ),
        feature(
            "both",
            &json!({"vendor":"OTHER","total":1,"used":0,"end":"2030-01-05",
            "pools":[pool("9","EXCLUSIVE",&json!({"total":1,"version":"4.2","end":"2030-01-05","share":[]}))]}),
        ),
        feature("unsigned", &json!({"vendor":"","total":1})),
    ];
    let none = json!({});
    let sessions = [
        session("35", "both", "1", ("ann", "ws7"), early, &json!({"count":5,"display":":0.0"})),
        session(
            "36",
            "both",
            "1",
            ("bob", "laptop.example"),
            late,
            &json!({"state":"borrowed","borrowed_until":"2032-01-02T12:00:00Z","count":2}),
        ),
        session(
            "37",
            "both",
            "2",
            ("John Doe", "ws 8"),
            late,
            &json!({"address":"2001:db8::7","version":"5.0.3"}),
        ),
        session(
            "38",
            "both",
            "2",
            ("王小明", "工作站"),
            early,
            &json!({"address":null,"since":null,"version":null}),
        ),
        session(
            "39",
            "forever",
            "4",
            ("ann", "ws7"),
            early,
            &json!({"shared":true,"share":"job <7> & more"}),
        ),
        session("3a", "forever", "4", ("bob", "ws8"), late, &json!({"shared":true,"share":"job <7> & more"})),
        session("3b", "over", "6", ("cy", "ws9"), early, &json!({"count":3,"state":"suspect"})),
        session("3c", "suite", "7", ("ann", "ws7"), late, &json!({"count":2})),
        session("3d", "unbounded", "8", ("ann", "ws7"), late, &none),
    ];
    json!({"schema":1,"server":{"name":"lic01","version":"9.8.7","started_at":"2028-02-28T10:00:00Z","time_zone":"Europe/Berlin"},
        "features":features,"sessions":sessions,
        "queue":[{"id":"7z","features":[{"vendor":null,"feature":"BOTH","count":2}],"place":1,"state":"waiting",
                "since":early,"until":times.now,"user":"dora","host":"ws10","pid":1},
            {"id":"7y","features":[{"vendor":"OTHER","feature":"both","count":1}],"place":1,"state":"served",
                "since":early,"until":times.now,"user":"emil","host":"ws11","pid":1}]})
}

pub(crate) fn unix_ms(at: &str) -> i64 {
    let at = chrono::NaiveDateTime::parse_from_str(at, "%Y-%m-%dT%H:%M:%SZ").expect("an instant");
    at.and_utc().timestamp_millis()
}

pub(crate) fn place() -> Place {
    Place { host: "lic01.example".into(), port: 6200 }
}

/// As Berlin sees it; `sees_all`: or the counts alone (S84).
pub(crate) fn picture(times: &Times, sees_all: bool) -> Picture {
    let mut whole: Status = serde_json::from_value(status(times)).expect("a status");
    if !sees_all {
        (whole.sessions, whole.queue) = (None, None);
        whole.features.iter_mut().flatten().for_each(|f| f.pools.clear());
    }
    let queue = whole.queue.take().unwrap_or_default();
    let berlin = Zone::named("Europe/Berlin").expect("tzdata");
    Picture::new(&whole, &queue, place(), unix_ms(times.now), &berlin)
}
