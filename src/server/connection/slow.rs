//! Answers that take long, reports above all: each is made by a task of its own, so that the connection's other requests and its
//! heartbeats go on.

use wire::{answer as told, request as asked};

use super::Connection;
use super::refusal::refuse;
use crate::answer::{self, Code};
use crate::server::{Server, reports};

/// How many reports and other slow answers one connection may wait for (S82): each is a task that holds its request.
const SLOW_ANSWERS_MAX: usize = 16;

impl Connection {
    /// Whether one more answer may be made by a task of its own; a client that asks for more at once is told.
    pub(super) fn has_room_for_slow(&self, call: u32) -> bool {
        let has_room = self.slow.len() < SLOW_ANSWERS_MAX;
        if !has_room {
            let text =
                format!("at most {SLOW_ANSWERS_MAX} reports are made at once for one connection (S82)");
            self.outbox.add(refuse(call, Code::Busy, text, ""));
        }
        has_room
    }

    /// Makes a report off this task, so that the connection's other requests and its heartbeats go on.
    pub(super) fn report(&self, call: u32, message: asked::Report) {
        let asked::Report { what, feature, vendor, cursor, limit, .. } = message;
        let question = reports::Question { what, feature, vendor, cursor, limit };
        let (server, outbox, origin) = (self.server.clone(), self.outbox.clone(), self.origin.clone());
        let turn = self.report_turn.clone();
        self.slow.spawn(async move {
            let _turn = turn.lock().await;
            // An administrator waits for no client, and nobody for questions about the past: those have a turn of their own.
            let _place = match origin.admin {
                Some(_) => None,
                None if reports::usage::is_asked(&question) => None,
                None => server.reports.acquire().await.ok(),
            };
            if outbox.is_over() {
                return;
            }
            let part = reports::part(&server, &origin, question).await;
            outbox.add_and_wake(|buffer| match part {
                Ok(part) => answer::put(
                    buffer,
                    call,
                    &told::Report { json: part.json, next: part.next, extras: Vec::new() },
                ),
                Err(refusal) => put_refusal(&server, buffer, call, refusal),
            });
        });
    }

    /// What happened, or is about to; while it waits, everything else of the connection goes on.
    pub(super) fn events(&self, call: u32, message: asked::Events) {
        let asked::Events { after, cursor, limit, follow_ms, features, .. } = message;
        let features = features.into_iter().map(|name| (name.vendor, name.feature)).collect();
        let question = reports::events::Question { after, cursor, limit, follow_ms, features };
        let (server, outbox, origin) = (self.server.clone(), self.outbox.clone(), self.origin.clone());
        let over = self.over.clone();
        self.slow.spawn(async move {
            let mut following = Some(server.following.token());
            let part = reports::events::part(&server, &origin, question, &over, &mut following).await;
            outbox.add_and_wake(|buffer| match part {
                Ok(part) => answer::put(
                    buffer,
                    call,
                    &told::Events { json: part.json, next: part.next, extras: Vec::new() },
                ),
                Err(refusal) => put_refusal(&server, buffer, call, refusal),
            });
        });
    }

    /// Reads the licenses again, which takes as long as it takes.
    pub(super) fn reload(&self, call: u32) {
        let (then, is_done) = tokio::sync::oneshot::channel();
        let by = self.outbox.peer().admin.clone().unwrap_or_default();
        self.server.admin.reload(&by, Box::new(move |json| drop(then.send(json))));
        let outbox = self.outbox.clone();
        self.slow.spawn(async move {
            let json = is_done.await;
            outbox.add_and_wake(|buffer| match json {
                Ok(json) => answer::put(buffer, call, &told::Reload { json, extras: Vec::new() }),
                Err(_) => refuse(call, Code::ShuttingDown, "the server is stopping", "")(buffer),
            });
        });
    }
}

fn put_refusal(server: &Server, buffer: &mut Vec<u8>, call: u32, refusal: reports::Refusal) {
    if refusal.field.is_some() {
        server.counts.protocol_error("field");
    }
    let details = refusal.field.map_or_else(String::new, answer::field_details);
    answer::append_refusal(buffer, call, refusal.code, &refusal.message, details);
}
