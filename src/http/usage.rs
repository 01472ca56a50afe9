//! `/api/v1/usage`: what was used in some days, from the history, as JSON or CSV (docs/HISTORY.md). The question and the
//! making of its text run on the thread beside the one that answers: a scrape does not wait for them.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use chrono::NaiveDate;
use seats::denial::Code;
use serde::Deserialize;

use super::Http;
use super::routes::{refused, text, with_type};
use crate::answer::check_text;
use crate::history::usage::{By, Question};
use crate::report::Usage;
use crate::server::reports::Refusal;
use crate::server::reports::usage::whole;

const JSON: &str = "application/json";
const CSV: &str = "text/csv; charset=utf-8; header=present";

/// What may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    by: By,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    feature: Option<String>,
    vendor: Option<String>,
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Csv,
}

pub(super) async fn usage(
    State(http): State<Arc<Http>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}: {}\n", error.body_text())),
    };
    for (field, value) in [("feature", &asked.feature), ("vendor", &asked.vendor)] {
        if let Err(error) = check_text(field, value.as_deref().unwrap_or_default()) {
            return text(StatusCode::BAD_REQUEST, format!("{}: {}\n", error.field, error.message));
        }
    }
    if let Some(none) = without_history(&http) {
        return none;
    }
    let Asked { by, from, to, feature, vendor, format } = asked;
    let format = format.unwrap_or_else(|| preferred(&headers));
    let question = Question { by, from, to, vendor, feature };
    let reader = http.access.reader();
    let mut answer = match whole(&http.server, &reader, question, move |usage| made(&usage, format)).await {
        Ok(Ok((name, body))) if format == Format::Csv => {
            let mut answer = with_type(StatusCode::OK, CSV, body);
            if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
                answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            }
            answer
        }
        Ok(Ok((_, body))) => with_type(StatusCode::OK, JSON, body),
        Ok(Err(error)) => {
            let message = format!("the report cannot be written: {error}");
            refused(&Refusal { code: Code::Internal, message, field: None })
        }
        Err(refusal) => refused(&refusal),
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    answer
}

/// What those hear who ask a server that keeps no history.
pub(super) fn without_history(http: &Http) -> Option<Response> {
    let why = "this server keeps no history: set enabled in [history] of its configuration\n";
    http.server.history.is_none().then(|| text(StatusCode::NOT_FOUND, why))
}

/// The text, and a name for a file with it.
fn made(usage: &Usage, format: Format) -> Result<(String, Vec<u8>), serde_json::Error> {
    let body = match format {
        Format::Json => serde_json::to_vec(usage)?,
        Format::Csv => usage.csv().into_bytes(),
    };
    Ok((format!("usage-{}-{}-{}.csv", usage.by, usage.from, usage.to), body))
}

/// CSV for who asks for that and not for JSON too.
fn preferred(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let types: Vec<&str> = accepted
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next().map(str::trim))
        .collect();
    let names = |wanted: &str| types.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    if names("text/csv") && !names(JSON) { Format::Csv } else { Format::Json }
}
