//! A client's connection: its hello, its calls and their answers, by `wire` alone.

use std::collections::BTreeMap;

use wire::frame::{SERVER_FRAME_BYTES_MAX, first};
use wire::message::{Answer, Event, Request};
use wire::request::Hello;

use crate::world::World;

/// What a call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Hello,
    /// A heartbeat, or something else whose answer changes nothing.
    Nothing,
    Checkout(u32),
    Checkin(u32, u64),
    Resume(u32),
    Confirm(u32),
    GiveUp(u32),
    Cancel(u32),
    Book,
    Unbook,
    Report,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Told {
    Answer(About, Answer),
    Event(Event),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) conn: usize,
    pub(crate) is_greeted: bool,
    read: usize,
    calls: BTreeMap<u32, (About, u64)>,
    next_call: u32,
    pub(crate) sent_at: u64,
}

impl Link {
    /// Over a connection that was just made: says hello.
    pub(crate) fn greet(conn: usize, install_id: [u8; 16], world: &mut World) -> Link {
        let mut link = Link {
            conn,
            is_greeted: false,
            read: 0,
            calls: BTreeMap::new(),
            next_call: 1,
            sent_at: world.now,
        };
        let hello = Hello { install_id, program: "sim".into(), ..Hello::default() };
        link.send(About::Hello, &Request::Hello(hello), world);
        link
    }

    pub(crate) fn send(&mut self, about: About, request: &Request, world: &mut World) {
        let call = self.next_call;
        self.next_call += 1;
        self.calls.insert(call, (about, world.now));
        self.sent_at = world.now;
        let mut bytes = Vec::new();
        request.append(&mut bytes, call).expect("a request that fits a frame");
        world.send(self.conn, &bytes);
    }

    /// Since when the oldest call waits for its answer.
    pub(crate) fn oldest_call(&self) -> Option<u64> {
        self.calls.values().map(|(_, at)| *at).min()
    }

    /// Everything that has arrived since the last time.
    ///
    /// # Errors
    /// The server broke the protocol: a sentence.
    pub(crate) fn receive(&mut self, world: &World) -> Result<Vec<Told>, String> {
        let cable = &world.cables[self.conn];
        let mut all = Vec::new();
        while let Some(frame) = first(&cable.told[self.read..cable.received], SERVER_FRAME_BYTES_MAX)
            .map_err(|error| error.to_string())?
        {
            self.read += frame.bytes;
            if frame.head.call == 0 && frame.head.number >= 0xc000 {
                let event = Event::decode(frame.head.number, frame.body).map_err(|e| e.to_string())?;
                all.push(Told::Event(event));
                continue;
            }
            let answer = Answer::decode(frame.head.number, frame.body).map_err(|e| e.to_string())?;
            let Some((about, _)) = self.calls.remove(&frame.head.call) else {
                return Err(format!("an answer to call {}, which was not made: {answer:?}", frame.head.call));
            };
            if about == About::Hello {
                self.is_greeted = matches!(answer, Answer::Hello(_));
            }
            all.push(Told::Answer(about, answer));
        }
        Ok(all)
    }
}
