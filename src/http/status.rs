//! `/api/v1/status`, `/api/v1/queue` and `/api/v1/explain`: the reports of the wire. Asked for whole, its parts are made one after the other while the reader takes
//! them and woven into one object, so that a million sessions never lie here at once.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use seats::denial::Code;
use serde::Serialize;

use super::Http;
use super::routes::with_type;
use crate::report::{SCHEMA, Status};
use crate::server::reports::{Piece, Question, Refusal, Report, piece_of};

const JSON: &str = "application/json";

/// One part, as large as the reader wants it; the header `Link` leads to the next.
pub(super) async fn part(http: &Http, question: Question) -> Result<Response, Refusal> {
    let (status, next) = piece(http, &question).await?;
    let json = serde_json::to_vec(&status).map_err(|e| internal(&e))?;
    let mut answer = with_type(StatusCode::OK, JSON, json);
    if !next.is_empty() {
        let mut link = format!("</api/v1/{}?cursor={}", question.what, escaped(&next));
        let named = [("feature", &question.feature), ("vendor", &question.vendor)];
        for (name, value) in named.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            let _ = write!(link, "&{name}={}", escaped(value));
        }
        let _ = write!(link, "&limit={}>; rel=\"next\"", question.limit);
        if let Ok(link) = HeaderValue::from_str(&link) {
            answer.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(answer)
}

/// All parts, as one object.
pub(super) async fn whole(http: Arc<Http>, question: Question) -> Result<Response, Refusal> {
    // What is wrong with the question is said before the answer begins.
    let (first, next) = piece(&http, &question).await?;
    let mut weave = Weave::default();
    let mut bytes = Vec::new();
    weave.add(&mut bytes, first).map_err(|e| internal(&e))?;
    if next.is_empty() {
        weave.end(&mut bytes);
        return Ok(with_type(StatusCode::OK, JSON, bytes));
    }
    let rest = Rest { http, weave, question: Question { cursor: next, ..question }, begun: Some(bytes) };
    let body = Body::from_stream(stream::try_unfold(Some(rest), |rest| async {
        match rest {
            None => Ok(None),
            Some(rest) => rest.next().await.map(Some),
        }
    }));
    Ok(with_type(StatusCode::OK, JSON, body))
}

/// What is still to be made.
struct Rest {
    http: Arc<Http>,
    weave: Weave,
    question: Question,
    /// Made before the body began.
    begun: Option<Vec<u8>>,
}

impl Rest {
    async fn next(mut self) -> Result<(Bytes, Option<Rest>), std::io::Error> {
        if let Some(begun) = self.begun.take() {
            return Ok((begun.into(), Some(self)));
        }
        // The answer has begun: all that can be told now is that it is not whole.
        let (status, next) = piece(&self.http, &self.question)
            .await
            .map_err(|refusal| std::io::Error::other(refusal.message))?;
        let mut bytes = Vec::new();
        self.weave.add(&mut bytes, status)?;
        if next.is_empty() {
            self.weave.end(&mut bytes);
            return Ok((bytes.into(), None));
        }
        self.question.cursor = next;
        Ok((bytes.into(), Some(self)))
    }
}

/// The sum of one feature: its licenses, and the days on which something of it changes.
pub(super) async fn explain(http: &Http, question: Question) -> Result<Response, Refusal> {
    let _place = http.reports.acquire().await;
    match piece_of(&http.server, &http.access.reader(), &question, Some(&http.pictures)).await?.report {
        Report::Explain(explain) => {
            let json = serde_json::to_vec(&explain).map_err(|e| internal(&e))?;
            Ok(with_type(StatusCode::OK, JSON, json))
        }
        Report::Status(_) | Report::Usage(_) => Err(internal(&"an explanation was asked for")),
    }
}

async fn piece(http: &Http, question: &Question) -> Result<(Box<Status>, String), Refusal> {
    let _place = http.reports.acquire().await;
    let reader = http.access.reader();
    let Piece { report, next } = piece_of(&http.server, &reader, question, Some(&http.pictures)).await?;
    match report {
        Report::Status(status) => Ok((status, next)),
        Report::Explain(_) | Report::Usage(_) => Err(internal(&"a status was asked for")),
    }
}

fn internal(error: &dyn std::fmt::Display) -> Refusal {
    Refusal { code: Code::Internal, message: format!("the report cannot be written: {error}"), field: None }
}

/// For a query: what is neither letter, digit nor harmless is written as %XX.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

/// Parts of one object: their lists follow each other, in the order in which the object has them.
#[derive(Default)]
struct Weave {
    has_begun: bool,
    list: Option<&'static str>,
    has_items: bool,
}

impl Weave {
    fn add(&mut self, out: &mut Vec<u8>, status: Box<Status>) -> serde_json::Result<()> {
        // The other lists are none of these (src/report).
        let Status { schema: _, server, features, sessions, queue, problems, .. } = *status;
        if !std::mem::replace(&mut self.has_begun, true) {
            out.extend_from_slice(format!("{{\"schema\":{SCHEMA}").as_bytes());
        }
        if let Some(server) = server {
            out.extend_from_slice(b",\"server\":");
            serde_json::to_writer(&mut *out, &server)?;
        }
        self.list(out, "features", features)?;
        self.list(out, "sessions", sessions)?;
        self.list(out, "queue", queue)?;
        self.list(out, "problems", problems)
    }

    fn list<T: Serialize>(
        &mut self,
        out: &mut Vec<u8>,
        name: &'static str,
        items: Option<Vec<T>>,
    ) -> serde_json::Result<()> {
        let Some(items) = items else { return Ok(()) };
        if self.list != Some(name) {
            self.close(out);
            out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
            (self.list, self.has_items) = (Some(name), false);
        }
        for item in items {
            if std::mem::replace(&mut self.has_items, true) {
                out.push(b',');
            }
            serde_json::to_writer(&mut *out, &item)?;
        }
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.list.take().is_some() {
            out.push(b']');
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Feature, Problem, Server, Session};

    #[test]
    fn parts_are_woven_into_what_they_were_parts_of() {
        let feature = |name: &str| Feature { name: name.into(), ..Default::default() };
        let session = Session { id: "A".into(), ..Default::default() };
        let whole = Status {
            server: Some(Server { name: "lic01".into(), ..Default::default() }),
            features: Some(vec![feature("a"), feature("b"), feature("c")]),
            sessions: Some(vec![session.clone(), session.clone()]),
            problems: Some(Vec::new()),
            ..Default::default()
        };
        let parts = [
            Status {
                server: whole.server.clone(),
                features: Some(vec![feature("a"), feature("b")]),
                ..Default::default()
            },
            Status { features: Some(vec![feature("c")]), ..Default::default() },
            Status { sessions: Some(Vec::new()), ..Default::default() },
            Status { sessions: Some(vec![session.clone(), session]), ..Default::default() },
            Status { problems: Some(vec![] as Vec<Problem>), ..Default::default() },
        ];
        let (mut weave, mut out) = (Weave::default(), Vec::new());
        for part in parts {
            weave.add(&mut out, Box::new(part)).unwrap();
        }
        weave.end(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&whole).unwrap());
    }

    #[test]
    fn a_cursor_and_a_feature_survive_a_link() {
        assert_eq!(escaped("f12"), "f12");
        assert_eq!(escaped("a b&c=é"), "a%20b%26c%3D%C3%A9");
    }
}
