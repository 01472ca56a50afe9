//! `usage`: what was used in some days, from the history (docs/HISTORY.md). A question may take seconds and runs on a thread of
//! its own; its answer is kept for a moment, so that the parts of one report fit together and cost it once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seats::denial::Code;

use super::{Page, Piece, Reader, Refusal, Report, bad, no, number};
use crate::clock::Stopwatch;
use crate::history::store::HistoryError;
use crate::history::usage::{self, By, Question};
use crate::report;

/// How long one question may take.
const TIME: Duration = Duration::from_secs(20);
/// For how long an answer is kept for its later parts.
const KEPT: Duration = Duration::from_secs(30);

/// Where the history is, and the last answer made of it.
#[derive(Debug)]
pub struct Past {
    path: PathBuf,
    last: Mutex<Option<(Question, Stopwatch, Arc<report::Usage>)>>,
}

impl Past {
    /// The history in this file, which need not be there yet.
    pub fn new(path: PathBuf) -> Past {
        Past { path, last: Mutex::default() }
    }

    /// Which file that is.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn kept(&self, question: &Question) -> Option<Arc<report::Usage>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, since, usage) = last.as_ref()?;
        (of == question && since.elapsed() < KEPT).then(|| usage.clone())
    }
}

impl Reader<'_> {
    /// `usage`, `usage:user`, `usage:host:2030-06-01:2030-06-30`.
    pub(super) async fn usage(&self) -> Result<Piece, Refusal> {
        if !self.origin.sees_counts {
            return Err(no(
                Code::NotPermitted,
                "usage is for the administrator here (S84): ask over the admin socket",
            ));
        }
        let question = self.question()?;
        if question.by != By::Feature && !self.origin.sees_all {
            let text =
                "who used it is for the administrator here (S84): ask over the admin socket, or by feature";
            return Err(no(Code::NotPermitted, text));
        }
        let Some(past) = &self.server.history else {
            return Err(no(
                Code::Internal,
                "this server keeps no history: set enabled in [history] of its configuration",
            ));
        };
        let from = usize::try_from(number(&self.message.cursor)?).unwrap_or(usize::MAX);
        let kept = (from > 0).then(|| past.kept(&question)).flatten();
        let usage = match kept {
            Some(usage) => usage,
            None => {
                let usage = Arc::new(self.answer(past.path.clone(), question.clone()).await?);
                let mut last = past.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = Some((question, Stopwatch::start(), usage.clone()));
                usage
            }
        };
        let mut page = Page::new(self.limit);
        let mut next = String::new();
        for (at, row) in usage.usage.iter().enumerate().skip(from) {
            if !page.add(row.clone()) {
                next = at.to_string();
                break;
            }
        }
        let part = report::Usage { usage: page.items, ..usage.without_rows() };
        Ok(Piece { report: Report::Usage(Box::new(part)), next })
    }

    fn question(&self) -> Result<Question, Refusal> {
        let words: Vec<&str> = self.message.what.split(':').collect();
        let word = |at: usize| words.get(at).copied().filter(|word| !word.is_empty());
        let by = match word(1) {
            None | Some("feature") => By::Feature,
            Some("user") => By::User,
            Some("host") => By::Host,
            Some(other) => {
                return Err(bad("what", format!("usage by \"{other}\": say feature, user or host")));
            }
        };
        let day = |at: usize| {
            let day = word(at).map(str::parse).transpose();
            day.map_err(|_| bad("what", format!("\"{}\" is not a day: write YYYY-MM-DD", words[at])))
        };
        if words.len() > 4 {
            return Err(bad("what", "usage has three words at most: usage:BY:FROM:TO"));
        }
        let (vendor, feature) = (self.message.vendor.clone(), self.message.feature.clone());
        Ok(Question { by, from: day(2)?, to: day(3)?, vendor, feature })
    }

    async fn answer(&self, path: PathBuf, question: Question) -> Result<report::Usage, Refusal> {
        let (zone, now) = (self.zone().clone(), self.server.context.clock.unix_ms());
        let (tell, told) = tokio::sync::oneshot::channel();
        let answering = tokio::task::spawn_blocking(move || {
            let reader = usage::Reader::open(&path)?;
            let _ = tell.send(reader.interrupt_handle());
            reader.usage(&question, &zone, now)
        });
        let mut answering = std::pin::pin!(answering);
        let answer = match tokio::time::timeout(TIME, answering.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Ok(handle) = told.await {
                    handle.interrupt();
                }
                let _ = answering.await;
                return Err(no(
                    Code::Busy,
                    "this takes too long: ask for fewer days, or read the file (docs/HISTORY.md)",
                ));
            }
        };
        match answer {
            Ok(Ok(usage)) => Ok(usage),
            Ok(Err(HistoryError::Question(text))) => Err(bad("what", text)),
            // The path is nobody's business.
            Ok(Err(HistoryError::Io { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(no(Code::Internal, "the history has not begun yet: ask again in a moment"))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the history cannot be read");
                Err(no(Code::Internal, "the history cannot be read; the server's log says why"))
            }
            Err(_) => Err(no(Code::Internal, "the question about the history was not answered")),
        }
    }
}
