//! Which path gives what. Everything is a GET; nothing here changes anything.
//!
//! What tells anything about this server stands before the layer `admit` in `router`. The page stands after it: it is the
//! same text on every server, and somebody must be able to type a token into it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::get;
use seats::denial::Code;
use serde::Deserialize;
use tokio::time::timeout;

use super::access::Stranger;
use super::connections::REQUEST_TIME;
use super::metrics::Scraped;
use super::{Http, day, events, page, status, usage};
use crate::server::reports::{self, Question, Refusal};

/// How long the engine may take to give a picture before the daemon counts as not ready.
const ENGINE_TIME: Duration = Duration::from_secs(2);
const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const NOTHING_HERE: &str = "nothing is here; there are / (a page for people), /metrics, /healthz, /readyz, /api/v1/status, \
    /api/v1/queue, /api/v1/explain, /api/v1/events, /api/v1/denials, /api/v1/usage and /api/v1/usage/day\n";

/// Every path.
pub(super) fn router(http: Arc<Http>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(async |http, asked| report("status", http, asked).await))
        .route("/api/v1/queue", get(async |http, asked| report("queue", http, asked).await))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/events", get(events::follow))
        .route("/api/v1/denials", get(events::denials))
        .route("/api/v1/usage", get(usage::usage))
        .route("/api/v1/usage/day", get(day::day))
        .layer(from_fn_with_state(http.clone(), admit))
        // Whoever reaches the port may know that somebody is there.
        .route("/healthz", get(async || text(StatusCode::OK, "alive\n")))
        .route("/", get(page::index))
        .route("/page/{name}", get(page::file))
        .fallback(async || text(StatusCode::NOT_FOUND, NOTHING_HERE))
        .method_not_allowed_fallback(async || {
            text(StatusCode::METHOD_NOT_ALLOWED, "HTTP only reads here: ask with GET\n")
        })
        .layer(map_response(for_nobody_else))
        .with_state(http)
}

/// Answers are of the moment, and are what they say they are.
async fn for_nobody_else(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Who may come in, and for how long an answer may be made.
async fn admit(State(http): State<Arc<Http>>, request: Request, next: Next) -> Response {
    match http.access.admit(request.headers()) {
        Ok(()) => {}
        Err(Stranger::NoToken) => {
            let mut no = text(
                StatusCode::UNAUTHORIZED,
                "a token is needed here: Authorization: Bearer, with that of http_token_file\n",
            );
            no.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return no;
        }
        Err(Stranger::OtherHost) => {
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "without a token this answers only under an address or as localhost; behind a proxy set http_token_file\n",
            );
        }
    }
    match timeout(REQUEST_TIME, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "this took too long: ask again later\n"),
    }
}

async fn metrics(State(http): State<Arc<Http>>, headers: HeaderMap) -> Response {
    if !http.access.reader().sees_counts {
        return text(
            StatusCode::FORBIDDEN,
            "metrics are for the administrator here (S84): readers = \"admin\"\n",
        );
    }
    match http.metrics.scrape(&http, takes_gzip(&headers)).await {
        Ok(Scraped { body, is_gzip }) => {
            let mut answer = with_type(StatusCode::OK, super::text::CONTENT_TYPE, body);
            answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
            if is_gzip {
                answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            answer
        }
        Err(refusal) => refused(&refusal),
    }
}

/// Whether an answer may be compressed by gzip (RFC 9110, 12.5.3): it is named, and not with the weight of nothing.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches(['q', 'Q']).trim_start_matches('=');
        name.trim().eq_ignore_ascii_case("gzip") && !weight.parse().is_ok_and(|weight: f32| weight <= 0.0)
    })
}

/// Whether clients are served; the reason where they are not.
async fn ready(State(http): State<Arc<Http>>) -> Response {
    let not = |why: String| text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n"));
    match timeout(ENGINE_TIME, http.pictures.latest(&http.server)).await {
        Err(_) => not(format!("the engine has not answered for {} s", ENGINE_TIME.as_secs())),
        Ok(Err(refusal)) => not(refusal.message),
        Ok(Ok(picture)) => match &picture.no_room {
            Some((cause, left)) => not(format!(
                "no room for the journal ({cause}), {left} bytes are left: checkouts are refused"
            )),
            None if picture.catalog.features().is_empty() => not("no license is loaded".into()),
            None if !picture.is_complete => not("new licenses are being taken in".into()),
            None => text(StatusCode::OK, "ready\n"),
        },
    }
}

/// What may be asked of a report.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    feature: Option<String>,
    vendor: Option<String>,
    /// With one of these two a part is answered and not the whole; the header `Link` leads to the next.
    cursor: Option<String>,
    limit: Option<u32>,
}

/// A report of the wire that may be asked of here.
async fn report(
    what: &str,
    State(http): State<Arc<Http>>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let is_part = asked.as_ref().is_ok_and(|Query(asked)| asked.cursor.is_some() || asked.limit.is_some());
    let question = match question(what, asked) {
        Ok(question) => question,
        Err(answer) => return *answer,
    };
    let answered =
        if is_part { status::part(&http, question).await } else { status::whole(http, question).await };
    answered.unwrap_or_else(|refusal| refused(&refusal))
}

async fn explain(
    State(http): State<Arc<Http>>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    match question("explain", asked) {
        Ok(question) => status::explain(&http, question).await.unwrap_or_else(|refusal| refused(&refusal)),
        Err(answer) => *answer,
    }
}

fn question(
    what: &str,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Question, Box<Response>> {
    let Query(asked) = asked.map_err(|error| {
        Box::new(text(StatusCode::BAD_REQUEST, format!("{}: {}\n", error, error.body_text())))
    })?;
    Ok(Question {
        what: what.into(),
        feature: asked.feature,
        vendor: asked.vendor,
        cursor: asked.cursor.unwrap_or_default(),
        limit: asked.limit.unwrap_or_default(),
    })
}

pub(super) fn text(status: StatusCode, text: impl Into<Body>) -> Response {
    with_type(status, TEXT, text)
}

pub(super) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(super) fn refused(refusal: &reports::Refusal) -> Response {
    let Refusal { code, message, .. } = refusal;
    let status = match code {
        Code::BadRequest | Code::AmbiguousVendor => StatusCode::BAD_REQUEST,
        Code::UnknownFeature => StatusCode::NOT_FOUND,
        Code::NotPermitted => StatusCode::FORBIDDEN,
        Code::ShuttingDown | Code::Busy => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(status, format!("{message}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accepts, takes) in [
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, br", false),
            ("x-gzip, br", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            assert_eq!(takes_gzip(&headers), takes, "{accepts}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
