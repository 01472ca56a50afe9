//! The log: fields to the journal under systemd, else lines on stderr.
//!
//! What is logged is set by `SEATKEEPER_LOG` (default `info`), a filter of tracing's: `debug`, or
//! `info,seatkeeper::engine=trace`. Control characters in what a peer sent are escaped on the way out.

use std::io::{self, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;

use tracing::Subscriber;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::LogFormat;

/// The variable that says what is logged.
pub const FILTER_VARIABLE: &str = "SEATKEEPER_LOG";

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// systemd's journal, with fields.
    Journal,
    /// stderr, a line each.
    Stderr,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error(
        "{FILTER_VARIABLE}=\"{text}\" is not a filter: write a level such as \"debug\", or \"info,seatkeeper=trace\""
    )]
    Filter {
        /// As it was set.
        text: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// It was started before.
    #[error("the log is already running")]
    Running(#[source] TryInitError),
}

/// Starts the log of this process and says where it goes.
///
/// # Errors
/// A bad filter, or a second call.
pub fn start(format: LogFormat) -> Result<Destination, LogError> {
    let text = std::env::var_os(FILTER_VARIABLE).map(|text| text.to_string_lossy().into_owned());
    let filter = filter(text.as_deref())?;
    let journal = if stderr_is_the_journal() { journal() } else { None };
    let (layer, destination) = match journal {
        Some(layer) => (layer, Destination::Journal),
        None => (lines(format, io::stderr().is_terminal(), io::stderr), Destination::Stderr),
    };
    Registry::default().with(layer.with_filter(filter)).try_init().map_err(LogError::Running)?;
    Ok(destination)
}

/// Reads a filter; none or an empty one is `info`.
///
/// # Errors
/// [`LogError::Filter`].
pub fn filter(text: Option<&str>) -> Result<EnvFilter, LogError> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("info");
    EnvFilter::try_new(text).map_err(|source| LogError::Filter { text: text.to_owned(), source })
}

/// A log of lines to any writer, unfiltered; for tests too.
pub fn lines<S, W>(format: LogFormat, colors: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => layer.with_ansi(colors).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

fn journal<S>() -> Option<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    // Where the journal's socket is out of reach (a container), stderr leads to it all the same.
    let layer = tracing_journald::layer().ok()?;
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let layer = layer
        .with_syslog_identifier("seatkeeperd".to_owned())
        // A prefix of our own, so that no field can pass for one of the journal's.
        .with_field_prefix(Some("SEATKEEPER".to_owned()))
        .with_priority_mappings(priorities);
    Some(layer.boxed())
}

/// systemd names the device and inode of the journal it has connected us to. Comparing them, as systemd asks for,
/// tells a redirected stderr apart, and a shell started from a service.
fn stderr_is_the_journal() -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| named.to_string_lossy() == format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, write: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let layer = lines(format, false, move || writer.clone()).with_filter(filter(None).unwrap());
        tracing::subscriber::with_default(Registry::default().with(layer), write);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_peer_cannot_write_a_second_line_or_color_the_terminal() {
        let text = logged(LogFormat::Text, || {
            tracing::info!(user = "ann\nERROR all seats lost \x1b[31m", "checked out");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("checked out") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line_with_the_fields_beside_the_message() {
        let text = logged(LogFormat::Json, || tracing::info!(seats = 3, "checked \"out\""));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["seats"], &line["message"]), (&3.into(), &"checked \"out\"".into()));
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn info_is_logged_and_debug_is_not_unless_asked_for() {
        assert_eq!(logged(LogFormat::Text, || tracing::debug!("a client did something")), "");
        assert!(filter(Some("")).is_ok() && filter(Some("info,seatkeeper::engine=trace")).is_ok());
        let error = filter(Some("info,=loud=")).unwrap_err().to_string();
        assert!(error.starts_with("SEATKEEPER_LOG=\"info,=loud=\" is not a filter"), "{error}");
    }
}
