//! The dashboard at `/`: files that are part of the program, the same on every server, and tell nothing about this one. What it
//! shows it asks for like any other reader (S84).
//!
//! The browser is told to load nothing from elsewhere, to run no script that is not one of these files, and to let no
//! script make HTML out of text. So a user who calls himself `<script>` is a user with an odd name.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::routes::{NOTHING_HERE, text, with_type};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const PLAIN: &str = "text/plain; charset=utf-8";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// One file of the page.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    /// Of these bytes: a browser that has them is told so and gets no others.
    tag: String,
}

macro_rules! files {
    ($($name:literal, $path:literal, $content_type:expr;)*) => {
        [$((
            $name,
            $content_type,
            include_bytes!(concat!("page/", $path)).as_slice(),
        )),*]
    };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let files = files! {
        "index.html", "index.html", HTML;
        "style.css", "style.css", STYLE;
        "favicon.svg", "favicon.svg", SVG;
        "app.js", "app.js", SCRIPT;
        "api.js", "api.js", SCRIPT;
        "live.js", "live.js", SCRIPT;
        "words.js", "words.js", SCRIPT;
        "seats.js", "seats.js", SCRIPT;
        "dom.js", "dom.js", SCRIPT;
        "table.js", "table.js", SCRIPT;
        "features.js", "features.js", SCRIPT;
        "detail.js", "detail.js", SCRIPT;
        "lists.js", "lists.js", SCRIPT;
        "chart.js", "chart.js", SCRIPT;
        "uplot.js", "uplot/uPlot.iife.min.js", SCRIPT;
        "uplot.css", "uplot/uPlot.min.css", STYLE;
        "uplot-license.txt", "uplot/LICENSE", PLAIN;
    };
    let file = |(name, content_type, bytes): (&'static str, &'static str, &'static [u8])| {
        let mut tag = String::from("\"");
        for byte in &Sha256::digest(bytes)[..12] {
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        File { name, content_type, bytes, tag }
    };
    files.into_iter().map(file).collect()
});

/// The page itself.
pub(super) async fn index(headers: HeaderMap) -> Response {
    answer("index.html", &headers)
}

/// What it is made of.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(&name, &headers)
}

fn answer(name: &str, asked: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return text(StatusCode::NOT_FOUND, NOTHING_HERE);
    };
    let mut answer = if has(asked, &file.tag) {
        let mut same = Response::default();
        *same.status_mut() = StatusCode::NOT_MODIFIED;
        same
    } else {
        with_type(StatusCode::OK, file.content_type, file.bytes)
    };
    let headers = answer.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&file.tag) {
        headers.insert(header::ETAG, tag);
    }
    // Kept, and asked about each time: a new version of the program has a new page at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    answer
}

/// Whether the asker has this already: `If-None-Match` is a list, or a star.
fn has(asked: &HeaderMap, tag: &str) -> bool {
    let stated = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    stated
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}
