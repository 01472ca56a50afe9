//! `usage`: what was used in some days, from the history (docs/HISTORY.md).
//!
//! A question may take seconds. It runs on a thread that may wait, and one at a time whoever asks and from wherever: the
//! others wait a while and are told to come again. A question whose asker has gone is interrupted. For the wire its answer is
//! kept for a moment, so that the parts of one report fit together and cost it once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::InterruptHandle;
use seats::denial::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::{Page, Piece, Reader, Refusal, Report, bad, no, number};
use crate::clock::Stopwatch;
use crate::history::store::HistoryError;
use crate::history::usage::{self, By, Question};
use crate::report;
use crate::server::Server;
use crate::server::connection::Origin;

/// How long one question may take.
const TIME: Duration = Duration::from_secs(20);
/// How long a question waits for those before it.
const TURN: Duration = Duration::from_secs(5);
/// For how long an answer is kept for its later parts.
const KEPT: Duration = Duration::from_secs(30);

/// Where the history is, and the last answer made of it.
#[derive(Debug)]
pub struct Past {
    path: PathBuf,
    turn: Arc<Semaphore>,
    last: Mutex<Option<(Question, Stopwatch, Arc<report::Usage>)>>,
}

impl Past {
    /// The history in this file, which need not be there yet.
    pub fn new(path: PathBuf) -> Past {
        Past { path, turn: Arc::new(Semaphore::new(1)), last: Mutex::default() }
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let busy = "other questions about the history are being answered: ask again later";
        let turn = timeout(TURN, self.turn.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| no(Code::Busy, busy))
    }

    fn kept(&self, question: &Question) -> Option<Arc<report::Usage>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, since, usage) = last.as_ref()?;
        (of == question && since.elapsed() < KEPT).then(|| usage.clone())
    }
}

/// Whether a report is of the history.
pub fn is_asked(question: &super::Question) -> bool {
    question.what.split(':').next() == Some("usage")
}

impl Reader<'_> {
    /// `usage`, `usage:user`, `usage:host:2030-06-01:2030-06-30`.
    pub(super) async fn usage(&self) -> Result<Piece, Refusal> {
        let question = self.question()?;
        may_ask(self.origin, question.by)?;
        let past = past(self.server)?;
        let from = usize::try_from(number(&self.message.cursor)?).unwrap_or(usize::MAX);
        let kept = (from > 0).then(|| past.kept(&question)).flatten();
        let usage = match kept {
            Some(usage) => usage,
            None => {
                let answer = whole(self.server, self.origin, question.clone(), |usage| usage);
                let usage = Arc::new(answer.await?);
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
}

/// Answers a question whole, for a reader, and makes what is wanted of the answer where it may take its time.
///
/// # Errors
/// [`Refusal`]: what the reader may not see, days the wrong way round, no history, too much at once.
pub async fn whole<T: Send + 'static>(
    server: &Server,
    origin: &Origin,
    question: Question,
    make: impl FnOnce(report::Usage) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let (zone, now) = (server.context.clock.zone().clone(), server.context.clock.unix_ms());
    ask(server, origin, question.by, move |reader| reader.usage(&question, &zone, now).map(make)).await
}

/// Whether this reader may ask that (S84).
fn may_ask(origin: &Origin, by: By) -> Result<(), Refusal> {
    let text = if !origin.sees_counts {
        "usage is for the administrator here (S84): ask over the admin socket"
    } else if by != By::Feature && !origin.sees_all {
        "who used it is for the administrator here (S84): ask over the admin socket, or by feature"
    } else {
        return Ok(());
    };
    Err(no(Code::NotPermitted, text))
}

fn past(server: &Server) -> Result<&Past, Refusal> {
    server.history.as_ref().ok_or_else(|| {
        no(Code::Internal, "this server keeps no history: set enabled in [history] of its configuration")
    })
}

/// Asks the history something; the answer is made where it may take its time. `by`: whom it names.
///
/// # Errors
/// [`Refusal`]: what the reader may not see, no history, too much at once, what the question itself refuses.
pub async fn ask<T: Send + 'static>(
    server: &Server,
    origin: &Origin,
    by: By,
    question: impl FnOnce(&usage::Reader) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Refusal> {
    may_ask(origin, by)?;
    let past = past(server)?;
    // An administrator waits for no client.
    let turn = match origin.admin {
        Some(_) => None,
        None => Some(past.turn().await?),
    };
    let path = past.path.clone();
    let (tell, told) = oneshot::channel();
    // Ends the question when nobody waits for it any more, for whatever reason.
    let _asking = Asking(told);
    let answering = tokio::task::spawn_blocking(move || {
        // Given back when the question is done, not when its asker is gone.
        let _turn = turn;
        let reader = usage::Reader::open(&path)?;
        if tell.send(reader.interrupt_handle()).is_err() {
            return Err(HistoryError::Question("nobody waits for the answer".into()));
        }
        question(&reader)
    });
    let Ok(answer) = timeout(TIME, answering).await else {
        let text = "this takes too long: ask for fewer days, or read the file (docs/HISTORY.md)";
        return Err(no(Code::Busy, text));
    };
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(HistoryError::Question(text))) => Err(bad("what", text)),
        // The path is nobody's business.
        Ok(Err(HistoryError::Io { source, .. })) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(no(Code::Busy, "the history has not begun yet: ask again in a moment"))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the history cannot be read");
            Err(no(Code::Internal, "the history cannot be read; the server's log says why"))
        }
        Err(_) => Err(no(Code::Internal, "the question about the history was not answered")),
    }
}

/// A question that is being answered. Dropped, it is interrupted, if it is not done.
struct Asking(oneshot::Receiver<InterruptHandle>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.close();
        if let Ok(question) = self.0.try_recv() {
            question.interrupt();
        }
    }
}
