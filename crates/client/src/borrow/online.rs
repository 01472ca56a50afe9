//! Borrowing from a server, and giving back. One program at a time does this (`borrow.turn`), over connections of its own:
//! nothing here needs heartbeats.
//!
//! A borrow outlives everything, so no step may lose one:
//!
//! - The request is on disk before it is sent. Whatever happens to the answer, asking for the same again sends the same
//!   request, and the server answers with the same tokens (S2). One that nobody wants any more is cancelled.
//! - The token is on disk before the application hears of it.
//! - What is given back is marked on disk as good for nothing before the server is told, and forgotten when the server has
//!   answered. In between it can be given back again: `already_removed` is an answer too.

use std::thread;

use wire::answer::{Granted, Loan};
use wire::borrow::{BorrowToken, Lent};
use wire::request::{self, Checkout, Secret};
use wire::{answer, codes};

use super::Borrowed;
use super::error::{BorrowError, ReturnError};
use super::record::{Kept, Record, State};
use super::store::Store;
use super::verify::{Asker, CLOCK_TOLERANCE_SECONDS, NotValid, fingerprint, in_time, verify};
use crate::Options;
use crate::address::Address;
use crate::client::{Want, another_may_grant, cannot_serve, draw};
use crate::connection::Connection;
use crate::error::{CallError, ConnectError, Refusal};
use crate::grace::clock::Clock;
use crate::link::TRIES;

/// How long a borrow that is over is still listed, by a server's clock. The server has its seats back by then.
const KEPT_AFTER_END_SECONDS: i64 = 86_400;

/// What it takes to speak with a server about borrows.
pub(super) struct Online<'a> {
    pub(super) options: &'a Options,
    pub(super) store: &'a Store,
    pub(super) clock: &'a dyn Clock,
}

/// What came of sending one request to one server.
enum Asked {
    Granted(Connection, Granted),
    /// The server has said no. In doubt: a copy of the request may still arrive, and be granted.
    Denied {
        refusal: Refusal,
        in_doubt: bool,
    },
    /// No answer.
    Silent {
        reason: String,
        in_doubt: bool,
    },
    Other(BorrowError),
}

impl Online<'_> {
    /// Borrows what is wanted, for so many hours, from the first server that lends it (S26).
    pub(super) fn lend(&self, want: &Want, hours: u32) -> Result<Vec<Borrowed>, BorrowError> {
        let hours = request::Hours { hours };
        let (records, _) = self.store.list().map_err(BorrowError::Store)?;
        let is_same = |record: &&Record| {
            record.state == State::Asked
                && is_same(want, hours, &record.checkout)
                && self.is_listed(&record.server)
        };
        let unanswered = records.iter().find(is_same).cloned();
        let unanswered_key = unanswered.as_ref().map(|record| record.checkout.request_key);
        let of_another = |record: &&Record| Some(record.checkout.request_key) != unanswered_key;
        for record in records.iter().filter(|r| r.state == State::Asked).filter(of_another) {
            // Where it cannot be settled now, it is another time.
            let _ = self.cancel(record);
        }
        if let Some(record) = unanswered {
            match self.ask(&record, true)? {
                // Its time as a request is over: as if it had never been sent.
                Asked::Denied { refusal, .. } if refusal.code == codes::ALREADY_REMOVED => {
                    self.store.forget(&record).map_err(BorrowError::Store)?;
                }
                Asked::Silent { reason, .. } => return Err(in_doubt(&record, reason)),
                asked => return self.settle(record, asked),
            }
        }

        let (mut denial, mut silent) = (None, Vec::new());
        for server in &self.options.servers {
            let record = Record {
                state: State::Asked,
                server: server.clone(),
                bundle: 0,
                checkout: checkout(want, hours)?,
                tokens: Vec::new(),
            };
            match self.ask(&record, false)? {
                Asked::Silent { reason, in_doubt: false } => silent.push(reason),
                Asked::Denied { refusal, in_doubt: false } if lets_another(&refusal.code) => {
                    self.store.forget(&record).map_err(BorrowError::Store)?;
                    let is_about_seats = |r: &Refusal| !cannot_serve(&r.code);
                    if denial.as_ref().is_none_or(|d| !is_about_seats(d) && is_about_seats(&refusal)) {
                        denial = Some(refusal);
                    }
                }
                Asked::Silent { reason, .. } => return Err(in_doubt(&record, reason)),
                asked => return self.settle(record, asked),
            }
        }
        Err(denial.map_or(BorrowError::NoServer(silent), BorrowError::Denied))
    }

    /// Sends a request, again where its answer is lost.
    fn ask(&self, record: &Record, was_sent: bool) -> Result<Asked, BorrowError> {
        let mut in_doubt = was_sent;
        let mut is_kept = was_sent;
        let mut reason = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(self.options.backoff.delay(attempt - 1));
            }
            let connection = match Connection::open(&record.server, self.options, |_| {}) {
                Ok(connection) => connection,
                Err(ConnectError::Refused { refusal, .. }) if !in_doubt => {
                    return Ok(Asked::Denied { refusal, in_doubt });
                }
                Err(error) => {
                    reason = error.to_string();
                    if in_doubt {
                        continue;
                    }
                    break;
                }
            };
            if !is_kept {
                self.store.keep(record).map_err(BorrowError::Store)?;
                is_kept = true;
            }
            match connection.call(&record.checkout) {
                Ok(granted) => return Ok(Asked::Granted(connection, granted)),
                Err(CallError::Refused(refusal)) => return Ok(Asked::Denied { refusal, in_doubt }),
                Err(CallError::TooLong(error)) => {
                    self.store.forget(record).map_err(BorrowError::Store)?;
                    return Ok(Asked::Other(BorrowError::Request(error.to_string())));
                }
                Err(CallError::Protocol(what)) => return Ok(Asked::Other(BorrowError::Protocol(what))),
                Err(error @ (CallError::TimedOut(_) | CallError::Lost(_))) => {
                    in_doubt = true;
                    reason = format!("{}: {error}", record.server);
                }
            }
        }
        Ok(Asked::Silent { reason, in_doubt })
    }

    /// What an answer comes to.
    fn settle(&self, mut record: Record, asked: Asked) -> Result<Vec<Borrowed>, BorrowError> {
        let (connection, granted) = match asked {
            Asked::Granted(connection, granted) => (connection, granted),
            Asked::Denied { refusal, in_doubt } => {
                // A late copy may still be granted: then the request must be known, to be cancelled.
                if !in_doubt {
                    self.store.forget(&record).map_err(BorrowError::Store)?;
                }
                return Err(BorrowError::Denied(refusal));
            }
            Asked::Silent { reason, .. } => return Err(BorrowError::NoServer(vec![reason])),
            Asked::Other(error) => return Err(error),
        };
        let kept = self.tokens(&record.checkout, &granted).and_then(|tokens| {
            record.state = State::Lent;
            record.bundle = granted.bundle;
            record.tokens = tokens.into_iter().map(|token| Kept { token, is_returning: false }).collect();
            self.store.keep(&record).map_err(BorrowError::Store)
        });
        if let Err(error) = kept {
            // Useless here, so it must not stay taken there. If that cannot be done now, the request is still on disk.
            let returned = granted.sessions.iter().all(|grant| {
                let ask = request::Checkin { session: grant.session, ..request::Checkin::default() };
                connection.call(&ask).is_ok()
            });
            if returned {
                let _ = self.store.forget(&record);
            }
            return Err(error);
        }
        if !granted.replayed {
            self.note_time(&record).map_err(BorrowError::Store)?;
        }
        connection.close();
        Ok(record.tokens.iter().map(|kept| Borrowed::of(&record, kept)).collect())
    }

    /// The tokens of a grant, in the order of its sessions, if they are what was asked for.
    fn tokens(&self, ask: &Checkout, granted: &Granted) -> Result<Vec<BorrowToken>, BorrowError> {
        let breach = |what: &str| BorrowError::Protocol(what.to_owned());
        let loans = Loan::among(&granted.extras);
        if granted.sessions.is_empty() || granted.sessions.len() != ask.items.len() {
            return Err(breach("it lent something else than was asked for"));
        }
        let now = self.clock.unix_seconds();
        let token = |(grant, item): (&answer::Grant, &request::Item)| {
            let loan = loans.iter().find(|loan| loan.session == grant.session);
            let loan = loan.ok_or_else(|| breach("it granted seats and lent none"))?;
            let token = BorrowToken::from_bytes(&loan.token)
                .map_err(|error| BorrowError::NotValid(NotValid::Damaged(error)))?;
            let Lent { borrow, bundle, feature, count, install_id, .. } = &token.lent;
            let is_ours = (*borrow, *bundle) == (grant.session, granted.bundle)
                && feature.eq_ignore_ascii_case(&item.feature)
                && *count == item.count
                && *install_id == self.options.install_id.0;
            if !is_ours {
                return Err(breach("its token is for something else than was asked for"));
            }
            if !self.options.vendor_keys.is_empty() {
                let asker = Asker::new(self.options, &ask.facts, now);
                let verified = verify(&loan.token, asker);
                verified.and_then(|lent| in_time(&lent, now, 0)).map_err(BorrowError::NotValid)?;
            }
            Ok(token)
        };
        granted.sessions.iter().zip(&ask.items).map(token).collect()
    }

    /// A server has just said what time it is. So a mark that a wrong clock had left is set right, and what has long been over is
    /// forgotten.
    fn note_time(&self, record: &Record) -> Result<(), String> {
        let now = self.clock.unix_seconds();
        let told = record.tokens.iter().map(|kept| kept.token.lent.granted_at).max().unwrap_or(now);
        let (records, _) = self.store.list()?;
        let is_over = |kept: &Kept| kept.token.lent.ends_at.saturating_add(KEPT_AFTER_END_SECONDS) < told;
        for over in records.iter().filter(|r| r.state == State::Lent && r.tokens.iter().all(is_over)) {
            self.store.forget(over)?;
        }
        self.store.locked(|| {
            let seen = now.max(told);
            if self.store.mark()? > seen.saturating_add(CLOCK_TOLERANCE_SECONDS) {
                self.store.set_mark(seen)
            } else {
                self.store.raise_mark(now)
            }
        })
    }

    fn is_listed(&self, server: &Address) -> bool {
        self.options.servers.contains(server)
    }

    /// Gives up a request whose answer never came: the server takes back what it had lent, and a copy of the request that arrives
    /// later takes nothing (S26).
    pub(super) fn cancel(&self, record: &Record) -> Result<(), ReturnError> {
        let silent = |reason: String| ReturnError::NoServer(vec![reason]);
        let connection = Connection::open(&record.server, self.options, |_| {})
            .map_err(|error| silent(error.to_string()))?;
        let Checkout { request_key, secret, .. } = record.checkout;
        match connection.call(&request::Cancel { request_key, secret, extras: Vec::new() }) {
            Ok(_) => {}
            Err(CallError::Refused(refusal)) if cannot_serve(&refusal.code) => {
                return Err(ReturnError::Denied(refusal));
            }
            // It is another's: nothing of ours is there.
            Err(CallError::Refused(_)) => {}
            Err(error) => return Err(silent(format!("{}: {error}", record.server))),
        }
        connection.close();
        self.store.forget(record).map_err(ReturnError::Store)
    }

    /// Gives back the seats of one borrow (S42).
    pub(super) fn give_back(&self, borrowed: &Borrowed) -> Result<(), ReturnError> {
        let (records, _) = self.store.list().map_err(ReturnError::Store)?;
        let is_it = |record: &Record| record.checkout.request_key == borrowed.key;
        let Some(mut record) = records.into_iter().find(is_it) else { return Err(not_kept(borrowed)) };
        let Some(kept) = find(&record, borrowed.borrow) else { return Err(not_kept(borrowed)) };
        let server_key = fingerprint(&kept.token.lent.server_key);
        self.must_be_unused(&record, borrowed)?;

        let mut reasons = Vec::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(self.options.backoff.delay(attempt - 1));
            }
            reasons.clear();
            let others = self.options.servers.iter().filter(|server| **server != record.server);
            let servers: Vec<Address> = [&record.server].into_iter().chain(others).cloned().collect();
            let mut was_cut = false;
            for server in servers {
                let connection = match Connection::open(&server, self.options, |_| {}) {
                    Ok(connection) => connection,
                    Err(error) => {
                        reasons.push(error.to_string());
                        continue;
                    }
                };
                // Another server may have given out the same number, and would say that it is gone.
                if !shows(&connection, &server_key) {
                    reasons.push(format!("{server}: this is not the server that lent it"));
                    continue;
                }
                match self.give_back_over(&connection, &mut record, borrowed) {
                    Ok(()) => {
                        connection.close();
                        return self.store_without(record, borrowed.borrow);
                    }
                    Err(ReturnError::NoServer(what)) => {
                        reasons.extend(what.into_iter().map(|what| format!("{server}: {what}")));
                        was_cut = true;
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if !was_cut {
                break;
            }
        }
        Err(ReturnError::NoServer(reasons))
    }

    /// `Ok`: the server has them, or had them before. [`ReturnError::NoServer`]: it may be tried again.
    fn give_back_over(
        &self,
        connection: &Connection,
        record: &mut Record,
        borrowed: &Borrowed,
    ) -> Result<(), ReturnError> {
        let checkout = &record.checkout;
        let (secret, facts) = (checkout.secret, checkout.facts.clone());
        let resume = request::Resume { bundle: record.bundle, secret, facts, extras: vec![] };
        match connection.call(&resume) {
            Ok(resumed) if resumed.sessions.iter().any(|grant| grant.session == borrowed.borrow) => {}
            Ok(_) => return Ok(()),
            Err(error) => return ended(error),
        }
        self.set_returning(record, borrowed, true)?;
        let ask = request::Checkin { session: borrowed.borrow, ..request::Checkin::default() };
        match connection.call(&ask) {
            Ok(_) => Ok(()),
            // A late resume of ours has it.
            Err(CallError::Refused(refusal))
                if matches!(&*refusal.code, codes::RESUMED_ELSEWHERE | codes::UNKNOWN_SESSION) =>
            {
                Err(ReturnError::NoServer(vec![refusal.to_string()]))
            }
            Err(error) => {
                let ended = ended(error);
                if let Err(ReturnError::Denied(_)) = &ended {
                    // It was heard and not done, so the seats are still here.
                    self.set_returning(record, borrowed, false)?;
                }
                ended
            }
        }
    }

    /// From here on nobody opens it; or again, where the server would not have it.
    fn set_returning(
        &self,
        record: &mut Record,
        borrowed: &Borrowed,
        is_returning: bool,
    ) -> Result<(), ReturnError> {
        if let Some(kept) = record.tokens.iter_mut().find(|kept| kept.token.lent.borrow == borrowed.borrow) {
            kept.is_returning = is_returning;
        }
        // In one go: nobody may open it after the look.
        let is_used = self.store.locked(|| {
            if is_returning && self.store.in_use(record, borrowed.borrow)? > 0 {
                return Ok(true);
            }
            self.store.put(record).map(|()| false)
        });
        match is_used {
            Ok(false) => Ok(()),
            Ok(true) => Err(ReturnError::InUse { feature: borrowed.feature.clone() }),
            Err(error) => Err(ReturnError::Store(error)),
        }
    }

    fn must_be_unused(&self, record: &Record, borrowed: &Borrowed) -> Result<(), ReturnError> {
        let used = self.store.locked(|| self.store.in_use(record, borrowed.borrow));
        match used.map_err(ReturnError::Store)? {
            0 => Ok(()),
            _ => Err(ReturnError::InUse { feature: borrowed.feature.clone() }),
        }
    }

    fn store_without(&self, mut record: Record, borrow: u64) -> Result<(), ReturnError> {
        record.tokens.retain(|kept| kept.token.lent.borrow != borrow);
        let kept =
            if record.tokens.is_empty() { self.store.forget(&record) } else { self.store.keep(&record) };
        kept.map_err(ReturnError::Store)
    }
}

/// Whether a server is the one with this key, as it says itself: its status names the key. A liar could only make the client
/// forget a seat that it wants to be rid of.
fn shows(connection: &Connection, server_key: &str) -> bool {
    let status = connection.report("status", None, None);
    status.is_ok_and(|parts| parts.iter().any(|part| part.contains(server_key)))
}

/// What an error of the server says of a session that is to be given back.
fn ended(error: CallError) -> Result<(), ReturnError> {
    match error {
        CallError::Refused(refusal) if refusal.code == codes::ALREADY_REMOVED => Ok(()),
        CallError::Refused(refusal) => Err(ReturnError::Denied(refusal)),
        CallError::Protocol(what) => Err(ReturnError::Protocol(what)),
        error => Err(ReturnError::NoServer(vec![error.to_string()])),
    }
}

fn find(record: &Record, borrow: u64) -> Option<&Kept> {
    record.tokens.iter().find(|kept| kept.token.lent.borrow == borrow)
}

fn not_kept(borrowed: &Borrowed) -> ReturnError {
    ReturnError::NotKept { feature: borrowed.feature.clone() }
}

fn in_doubt(record: &Record, reason: String) -> BorrowError {
    BorrowError::InDoubt { server: record.server.to_string(), reason }
}

fn lets_another(code: &str) -> bool {
    another_may_grant(code) || cannot_serve(code)
}

fn checkout(want: &Want, hours: request::Hours) -> Result<Checkout, BorrowError> {
    let draw = || draw().map_err(|error| BorrowError::Request(error.to_string()));
    Ok(Checkout {
        request_key: draw()?,
        secret: Secret(draw()?),
        items: want.items.clone(),
        facts: want.facts.clone(),
        share: want.share.clone(),
        reservation_token: want.token.clone(),
        extras: vec![hours.extra()],
        ..Checkout::default()
    })
}

/// Whether a request that was never answered is what is wanted now. The process may be another one.
fn is_same(want: &Want, hours: request::Hours, asked: &Checkout) -> bool {
    let facts = request::Facts { pid: asked.facts.pid, ..want.facts.clone() };
    want.items == asked.items
        && facts == asked.facts
        && want.share == asked.share
        && want.token == asked.reservation_token
        && asked.extras == [hours.extra()]
}
