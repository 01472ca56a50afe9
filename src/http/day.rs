//! `/api/v1/usage/day`: the last day's use of one feature, from the history (docs/HISTORY.md), for the page's chart.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use rusqlite::InterruptHandle;
use serde::Deserialize;
use tokio::time::timeout;
use tracing::warn;

use super::Http;
use super::routes::{text, with_type};
use crate::answer::check_text;
use crate::history::store::HistoryError;
use crate::history::usage::Reader;

/// How long one question may take: such questions come one after the other.
const TIME: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    feature: Option<String>,
    vendor: Option<String>,
}

/// Ends a question whose reader is gone or has waited for too long.
struct Ended(Option<InterruptHandle>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(question) = &self.0 {
            question.interrupt();
        }
    }
}

pub(super) async fn day(
    State(http): State<Arc<Http>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let bad = |why: String| text(StatusCode::BAD_REQUEST, format!("{why}\n"));
    if !http.access.reader().sees_counts {
        return text(
            StatusCode::FORBIDDEN,
            "what was used is for the administrator here (S84): readers = \"admin\"\n",
        );
    }
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
    let Some(past) = &http.server.history else {
        return text(
            StatusCode::NOT_FOUND,
            "this server keeps no history: set enabled in [history] of its configuration\n",
        );
    };
    let (path, now) = (past.path().to_owned(), http.server.context.clock.unix_ms());
    let (tell, told) = tokio::sync::oneshot::channel();
    let answering = tokio::task::spawn_blocking(move || {
        let reader = Reader::open(&path)?;
        // Nobody is there to be answered any more.
        if tell.send(reader.interrupt_handle()).is_err() {
            return Err(HistoryError::Question("nobody asks any more".into()));
        }
        let day = reader.day(vendor.as_deref(), &feature, now)?;
        serde_json::to_vec(&day).map_err(|error| HistoryError::Question(error.to_string()))
    });
    let answer = timeout(TIME, async {
        let _ended = Ended(told.await.ok());
        answering.await
    });
    match answer.await {
        Ok(Ok(Ok(json))) => with_type(StatusCode::OK, "application/json", json),
        Ok(Ok(Err(HistoryError::Question(why)))) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        // The path is nobody's business.
        Ok(Ok(Err(HistoryError::Io { source, .. }))) if source.kind() == std::io::ErrorKind::NotFound => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the history has not begun yet: ask again in a moment\n")
        }
        Ok(Ok(Err(error))) => {
            warn!(%error, "the history cannot be read");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the history cannot be read; the server's log says why\n")
        }
        Ok(Err(_)) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, "the question about the history was not answered\n")
        }
        Err(_) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "this takes too long: the feature's day is too full\n")
        }
    }
}
