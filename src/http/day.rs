//! `/api/v1/usage/day`: the last day's use of one feature, from the history (docs/HISTORY.md), for the page's chart.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::Http;
use super::routes::{refused, text, with_type};
use super::usage::without_history;
use crate::answer::check_text;
use crate::history::store::HistoryError;
use crate::history::usage::By;
use crate::server::reports::usage::ask;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    feature: Option<String>,
    vendor: Option<String>,
}

pub(super) async fn day(
    State(http): State<Arc<Http>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let bad = |why: String| text(StatusCode::BAD_REQUEST, format!("{why}\n"));
    let Query(Asked { feature, vendor }) = match asked {
        Ok(asked) => asked,
        Err(error) => return bad(format!("{error}: {}", error.body_text())),
    };
    for (name, stated) in [("feature", &feature), ("vendor", &vendor)] {
        if let Err(fault) = check_text(name, stated.as_deref().unwrap_or("")) {
            return bad(fault.message);
        }
    }
    let Some(feature) = feature else { return bad("the day of which feature? ?feature=NAME".into()) };
    if let Some(none) = without_history(&http) {
        return none;
    }
    let (reader, now) = (http.access.reader(), http.server.context.clock.unix_ms());
    let made = ask(&http.server, &reader, By::Feature, move |history| {
        let day = history.day(vendor.as_deref(), &feature, now)?;
        serde_json::to_vec(&day).map_err(|error| HistoryError::Question(error.to_string()))
    });
    match made.await {
        Ok(json) => with_type(StatusCode::OK, "application/json", json),
        Err(refusal) => refused(&refusal),
    }
}
