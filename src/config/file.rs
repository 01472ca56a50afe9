//! `seatkeeper.toml` as it is written: keys, types and places. Ranges and defaults are filled in by the module above.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use toml::Spanned;

use super::error::{ConfigError, Fault, Place};
use super::flags::Http;
use super::history::HistoryTable;
use super::{LogFormat, Readers, Signatures, duration};

/// The largest configuration read. A real one has a few kilobytes; a wrong path may name anything.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file that was read.
#[derive(Default)]
pub(super) struct Source {
    pub(super) path: Option<PathBuf>,
    pub(super) text: String,
}

/// The keys of the file. What each means stands at the field of `Config`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Option<Spanned<Addresses>>,
    pub(super) http: Option<Spanned<HttpText>>,
    pub(super) http_token_file: Option<Spanned<PathBuf>>,
    pub(super) admin_socket: Option<Spanned<PathBuf>>,
    pub(super) admin_group: Option<Spanned<String>>,
    pub(super) licenses: Option<PathBuf>,
    pub(super) trusted_vendors: Vec<PathBuf>,
    pub(super) state: Option<PathBuf>,
    pub(super) policy: Option<PathBuf>,
    pub(super) time_zone: Option<Spanned<String>>,
    pub(super) signatures: Option<Signatures>,
    pub(super) readers: Option<Readers>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) heartbeat: Option<Spanned<DurationText>>,
    pub(super) lease: Option<Spanned<DurationText>>,
    pub(super) resume_window: Option<Spanned<DurationText>>,
    pub(super) reap_after: Option<Spanned<DurationText>>,
    pub(super) host_ids: Vec<Spanned<String>>,
    pub(super) fqdn: bool,
    pub(super) reminder_days: Option<Spanned<Vec<i64>>>,
    pub(super) notify_command: Vec<Spanned<String>>,
    pub(super) notify_events: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) notify_timeout_seconds: Option<Spanned<i64>>,
    pub(super) history: HistoryTable,
    pub(super) limits: LimitsTable,
}

/// The keys of `[limits]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) connections: Option<Spanned<i64>>,
    pub(super) connections_per_address: Option<Spanned<i64>>,
    pub(super) sessions_per_connection: Option<Spanned<i64>>,
    pub(super) requests_per_second: Option<Spanned<i64>>,
    pub(super) queue_length: Option<Spanned<i64>>,
    pub(super) waiters_per_feature: Option<Spanned<i64>>,
    pub(super) waiters_per_client: Option<Spanned<i64>>,
    pub(super) update_checks_per_minute: Option<Spanned<i64>>,
    pub(super) frame_bytes: Option<Spanned<i64>>,
    pub(super) unread_bytes: Option<Spanned<i64>>,
    pub(super) hello_time: Option<Spanned<DurationText>>,
    pub(super) idle_time: Option<Spanned<DurationText>>,
}

/// Where HTTP is answered, as text: `"127.0.0.1:6199"` or `"off"`.
#[derive(Clone, Copy)]
pub(super) struct HttpText(pub(super) Http);

/// A duration as text, `"30s"`.
pub(super) struct DurationText(pub(super) Duration);

/// One address or a list of them, each with its place in the list. They are read later, so that all wrong ones can be
/// told at once.
pub(super) struct Addresses(Vec<(String, Option<Range<usize>>)>);

impl std::ops::Deref for Addresses {
    type Target = [(String, Option<Range<usize>>)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Reads and parses the file. Ranges are not checked yet.
pub(super) fn read(path: PathBuf) -> Result<(File, Source), ConfigError> {
    let fault =
        |message: String| ConfigError::from(Fault { file: Some(path.clone()), ..Fault::new(message) });
    let unreadable = |error: std::io::Error| fault(format!("the configuration cannot be read: {error}"));
    let size = std::fs::metadata(&path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(fault(format!(
            "{size} bytes are too many for a configuration; at most {FILE_BYTES_MAX}"
        )));
    }
    let text = std::fs::read_to_string(&path).map_err(unreadable)?;
    let source = Source { path: Some(path), text };
    match toml::from_str::<File>(&source.text) {
        Ok(file) => Ok((file, source)),
        Err(error) => {
            let fault = source.fault(error.span(), plain_words(error.message()));
            let fault = match known_keys(error.message()) {
                Some(keys) => fault.help(format!("the keys here are {keys}")),
                None => fault,
            };
            Err(ConfigError::new(vec![fault], source.text))
        }
    }
}

impl Source {
    /// The directory that paths in the file start from.
    pub(super) fn directory<'a>(&'a self, otherwise: &'a Path) -> &'a Path {
        self.path.as_deref().and_then(Path::parent).unwrap_or(otherwise)
    }

    /// A fault at this place of the file, or of the file as a whole.
    pub(super) fn fault(&self, span: Option<Range<usize>>, message: impl Into<String>) -> Fault {
        let fault = Fault { file: self.path.clone(), ..Fault::new(message) };
        let (Some(span), Some(file)) = (span, self.path.clone()) else { return fault };
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let place = Place {
            file,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span,
        };
        Fault { place: Some(place), ..fault }
    }
}

/// serde speaks of fields and lists them all; people have keys.
fn plain_words(message: &str) -> String {
    match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((key, _)) => format!("unknown key \"{key}\""),
        None => message.trim_end().replace('`', "\""),
    }
}

fn known_keys(message: &str) -> Option<String> {
    let (_, keys) = message.strip_prefix("unknown field `")?.split_once("expected ")?;
    Some(keys.trim_start_matches("one of ").replace('`', "").trim_end().to_owned())
}

impl<'de> Deserialize<'de> for HttpText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HttpText, D::Error> {
        String::deserialize(deserializer)?.parse().map(HttpText).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurationText, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = DurationText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration in quotes, such as \"30s\" or \"5m\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DurationText, E> {
                duration::parse(text).map(DurationText).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Addresses;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an address in quotes, such as \"0.0.0.0:6200\", or a list of them")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses(vec![(text.to_owned(), None)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = list.next_element::<Spanned<String>>()? {
                    let span = address.span();
                    addresses.push((address.into_inner(), Some(span)));
                }
                Ok(Addresses(addresses))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}
