//! The administrator, over the socket that is his: books seats and gives bookings up, takes sessions away, reads reports.

use wire::codes;
use wire::message::{Answer, Request};
use wire::request::{Book, Item, Release, Report, Unbook};

use crate::licenses::FEATURES;
use crate::link::{About, Link, Told};
use crate::plan::Dice as _;
use crate::want::facts;
use crate::world::World;

/// The number under which the administrator stands among the clients.
pub(crate) const ADMIN: usize = usize::MAX;
/// The reports that there are, but for those that need more than a name.
const REPORTS: [&str; 6] = ["status", "features", "sessions", "queue", "licenses", "problems"];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    link: Option<Link>,
    act_at: u64,
    is_ending: bool,
}

impl Admin {
    pub(crate) fn conn(&self) -> Option<usize> {
        self.link.as_ref().map(|link| link.conn)
    }

    pub(crate) fn end(&mut self) {
        self.is_ending = true;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_ending && self.link.is_none()
    }

    /// His connection is gone.
    pub(crate) fn lost(&mut self, world: &mut World) {
        if let Some(link) = self.link.take() {
            world.give_up(link.conn);
        }
    }

    /// Does what is to be done now; when it is to be looked at again.
    pub(crate) fn act(&mut self, world: &mut World) -> Result<u64, String> {
        let now = world.now;
        if let Some(link) = &mut self.link {
            for told in link.receive(world)? {
                took(told)?;
            }
            if self.is_ending || world.cables[link.conn].is_given_up {
                self.lost(world);
            }
        }
        if self.is_ending {
            return Ok(now + 1_000);
        }
        if now >= self.act_at {
            self.act_at = now + world.random.ms(1_000, 20_000);
            match &mut self.link {
                None => {
                    if let Some(conn) = world.connect(ADMIN, true) {
                        self.link = Some(Link::greet(conn, [9; 16], world));
                    }
                }
                Some(link) if link.is_greeted => {
                    let (about, request) = order(world);
                    link.send(about, &request, world);
                }
                Some(_) => {}
            }
        }
        Ok(self.act_at)
    }
}

fn order(world: &mut World) -> (About, Request) {
    let now = world.now;
    match world.random.below(10) {
        0..=2 => {
            let seconds = world.random.count(5, 60);
            let token = format!("token-{}", world.random.bits());
            let feature = world.random.below(FEATURES.len());
            let count = world.random.count(1, 2);
            let items = vec![Item { vendor: None, feature: FEATURES[feature].into(), count }];
            world.tokens.push(token.clone());
            let facts = facts(99);
            (About::Book, Request::Book(Book { token, items, seconds, facts, extras: vec![] }))
        }
        3 if !world.tokens.is_empty() => {
            let token = world.random.one_of(&world.tokens).clone();
            (About::Unbook, Request::Unbook(Unbook { token, extras: vec![] }))
        }
        4 | 5 => {
            let sessions: Vec<u64> = world.a_session_or_waiter();
            let session = if sessions.is_empty() { 1 } else { *world.random.one_of(&sessions) };
            let bar_seconds = world.random.percent(30).then(|| world.random.count(1, 20));
            let reason = "the simulation".into();
            world.trace.say(now, format!("admin: takes {session} away"));
            (About::Nothing, Request::Release(Release { session, bar_seconds, reason, extras: vec![] }))
        }
        6 => {
            let feature = Some((*world.random.one_of(&FEATURES)).to_owned());
            let report = Report { what: "explain".into(), feature, ..Report::default() };
            (About::Report, Request::Report(report))
        }
        _ => {
            let what = (*world.random.one_of(&REPORTS)).to_owned();
            let limit = world.random.count(0, 3);
            (About::Report, Request::Report(Report { what, limit, ..Report::default() }))
        }
    }
}

/// What may come back.
fn took(told: Told) -> Result<(), String> {
    match told {
        Told::Answer(About::Report, Answer::Report(report)) => {
            let json: serde_json::Value = serde_json::from_str(&report.json).map_err(|e| e.to_string())?;
            if json["schema"] == 1 { Ok(()) } else { Err(format!("a report without a schema: {json}")) }
        }
        Told::Answer(About::Book, Answer::Refused(no))
            if no.code != codes::NO_SEATS && no.code != codes::BUSY =>
        {
            Err(format!("a booking was refused with {}: {}", no.code, no.message))
        }
        Told::Answer(_, Answer::Refused(no)) if no.code == codes::INTERNAL => Err(no.message),
        _ => Ok(()),
    }
}
