//! `lmxendutil …` and `lmutil lmstat …`: asks a server and answers as those tools do; what they look like is in
//! [`compat`](crate::compat).

use std::io::{self, Write};
use std::path::PathBuf;

use super::Failure;
use super::args::Read;
use super::server;
use crate::clock::{Clock, Ticks, Zone};
use crate::compat::words::{Lmstat, Lmx, Tool};
use crate::compat::{Picture, Place, flexnet, lmx, lmx_xml};
use crate::exit;
use crate::report::Status;

/// Runs one of the tools and returns the exit code: 0, 64 for wrong words, 69 where no server answers, 77 where this one
/// tells nothing. Why there is no answer stands on standard output, where the programs that read it look.
///
/// # Errors
///
/// Standard output is closed or full.
pub fn run(tool: Result<Tool, String>, out: &mut impl Write) -> Result<u8, Failure> {
    match tool {
        Ok(Tool::Lmx(asked)) => licstat(&asked, out),
        Ok(Tool::Lmstat(asked)) => lmstat(&asked, out),
        Ok(Tool::Help(text)) => {
            out.write_all(text.as_bytes())?;
            Ok(exit::OK)
        }
        Err(message) => Err(Failure::new(exit::USAGE, message)),
    }
}

fn licstat(asked: &Lmx, out: &mut impl Write) -> Result<u8, Failure> {
    let answer = ask(asked.place.as_slice());
    if asked.xml {
        // First, and with an empty line: programs that read both streams as one cut off three lines. A closed stderr is
        // no reason for another answer.
        let _ = writeln!(io::stderr(), "{}", lmx::BANNER);
    }
    let (code, text) = match answer {
        Ok(picture) => {
            let picture = picture.only(asked.feature.as_deref(), asked.vendor.as_deref());
            (exit::OK, if asked.xml { lmx_xml::text(&picture) } else { lmx::text(&picture) })
        }
        Err(no) => {
            let text = if asked.xml { lmx_xml::no_server } else { lmx::no_server };
            (no.failure.code, text(&no.place, &no.failure.message))
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(code)
}

fn lmstat(asked: &Lmstat, out: &mut impl Write) -> Result<u8, Failure> {
    let (code, text) = match ask(&asked.places) {
        Ok(picture) => (exit::OK, flexnet::text(&picture, asked)),
        Err(no) => (no.failure.code, flexnet::no_server(&no.place, &no.failure.message, no.now)),
    };
    out.write_all(text.as_bytes())?;
    Ok(code)
}

struct NoAnswer {
    place: Place,
    failure: Failure,
    now: chrono::NaiveDateTime,
}

/// The picture of the first of these that answers; of none: what SEATKEEPER_ADMIN names, else SEATKEEPER_SERVER, else the
/// default.
fn ask(places: &[Place]) -> Result<Picture, NoAnswer> {
    let targets: Vec<(Place, Read)> = match places {
        [] => {
            targets().map_err(|failure| no_answer(Place { host: "127.0.0.1".into(), port: 6200 }, failure))?
        }
        places => places.iter().map(|place| (place.clone(), tcp(place))).collect(),
    };
    let mut first = None;
    for (place, read) in targets {
        match picture(&place, &read) {
            Ok(picture) => return Ok(picture),
            // Of several the first is named, as the one that is meant to answer.
            Err(failure) => first = first.or(Some((place, failure))),
        }
    }
    let (place, failure) = first.unwrap_or_else(|| {
        (Place { host: "127.0.0.1".into(), port: 6200 }, Failure::new(exit::USAGE, "no server is named"))
    });
    Err(no_answer(place, failure))
}

fn no_answer(place: Place, failure: Failure) -> NoAnswer {
    let (unix_ms, zone) = now(None);
    // An empty picture knows what a clock on the wall shows.
    let now = Picture::new(&Status::default(), &[], place.clone(), unix_ms, &zone).now;
    NoAnswer { place, failure, now }
}

fn targets() -> Result<Vec<(Place, Read)>, Failure> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    if let Some(socket) = variable("SEATKEEPER_ADMIN") {
        let read = Read { server: None, admin: Some(PathBuf::from(socket)), json: true };
        return Ok(vec![(Place { host: "localhost".into(), port: 6200 }, read)]);
    }
    let servers = variable("SEATKEEPER_SERVER").map(|v| v.to_string_lossy().into_owned());
    let addresses = server::addresses(servers.as_deref())?;
    let places = addresses.into_iter().filter_map(|address| match address {
        seatkeeper_client::Address::Tcp { host, port } => Some(Place { host, port }),
        seatkeeper_client::Address::Unix(_) => None,
    });
    Ok(places.map(|place| (place.clone(), tcp(&place))).collect())
}

fn tcp(place: &Place) -> Read {
    let Place { host, port } = place;
    let server = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    Read { server: Some(server), admin: None, json: true }
}

fn picture(place: &Place, read: &Read) -> Result<Picture, Failure> {
    let list = |what| -> Result<Status, Failure> {
        let whole = server::report(read, what, None)?;
        serde_json::from_value(whole).map_err(|e| server::unreadable(what, &e))
    };
    let status = list("status")?;
    if status.features.is_none() {
        return Err(Failure::new(exit::NOT_PERMITTED, "this server tells features to administrators only"));
    }
    // Nobody waits, or this reader may not know who: neither is a reason to tell nothing.
    let is_queued = status.features.iter().flatten().any(|f| f.queued > 0);
    let queue = if is_queued { list("queue").ok().and_then(|q| q.queue) } else { None };
    let (unix_ms, zone) = now(status.server.as_ref().and_then(|s| s.time_zone.as_deref()));
    Ok(Picture::new(&status, &queue.unwrap_or_default(), place.clone(), unix_ms, &zone))
}

/// Now, and the zone that times are shown in: this computer's, as the tools do; else the server's.
fn now(server_zone: Option<&str>) -> (i64, Zone) {
    let of_server = || server_zone.and_then(|name| Zone::named(name).ok());
    let zone = Zone::system().ok().or_else(of_server).unwrap_or_else(Zone::utc);
    (Clock::system(zone.clone(), Ticks(0)).unix_ms(), zone)
}
