//! What applications use: ask for seats, have them, give them back.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use wire::answer;
use wire::codes;
use wire::request::{Checkout, Facts, Item, Secret, Try};

use crate::activity::Activity;
use crate::again;
use crate::connection::Connection;
use crate::error::{CallError, CheckoutError};
use crate::event::{Event, Subscribers, subscribe};
use crate::giving::DROP_TIMEOUT;
use crate::grace::clock::{Clock, SystemClock};
use crate::grace::{Grace, Signal};
use crate::link::Link;
use crate::seats::{Place, Seats};
use crate::wait::{Cancel, checkout_or_wait};
use crate::{Options, Release, facts};

/// What to ask for: one or more features, all of them or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The features, 1 to 64.
    pub items: Vec<Item>,
    /// Who asks; [`facts::here`] to begin with.
    pub facts: Facts,
    /// The string that processes sharing a seat have in common (L60).
    pub share: Option<String>,
    /// The token of a booking whose seats this draws on (S52).
    pub token: Option<String>,
    /// Whether to ask anew when all of it was given away (S23); `false` to begin with. See [`Want::again`].
    pub again: bool,
    /// How long to wait in the queue where there are no seats; zero, to begin with: not at all. See [`Want::wait`].
    pub wait: Duration,
}

impl Want {
    /// One seat of one feature, for this process.
    pub fn feature(name: &str) -> Want {
        Want::features([name])
    }

    /// One seat of each of these features.
    pub fn features<'a>(names: impl IntoIterator<Item = &'a str>) -> Want {
        let item = |name: &str| Item { vendor: None, feature: name.to_owned(), count: 1 };
        Want {
            items: names.into_iter().map(item).collect(),
            facts: facts::here(),
            share: None,
            token: None,
            again: false,
            wait: Duration::ZERO,
        }
    }

    /// So many seats of each feature.
    #[must_use]
    pub fn count(mut self, count: u32) -> Want {
        self.items.iter_mut().for_each(|item| item.count = count);
        self
    }

    /// If the server gives the seats away, because somebody needed them while this machine slept or its network was gone, they
    /// are asked for anew (S23): from the first server of the list, with growing pauses as long as there are none, until
    /// [`Event::TakenAgain`], a denial without hope, or the [`Seats`] are dropped. Meanwhile [`Seats::sessions`] is empty.
    #[must_use]
    pub fn again(mut self) -> Want {
        self.again = true;
        self
    }

    /// Draws on seats that were booked under this token (S52). When they are asked for anew, it is without it: the booking may
    /// have ended.
    #[must_use]
    pub fn token(mut self, token: &str) -> Want {
        self.token = Some(token.to_owned());
        self
    }

    /// Waits for seats where there are none, at most so long, in whole seconds (S30). [`Client::checkout`] then blocks until
    /// the seats are there, the time is over (denied, `queue_timeout`), the server says no, or
    /// [`Client::checkout_or_cancel`] is cancelled. [`Event::Waiting`] tells the place.
    ///
    /// The place is kept over lost connections and restarts of the server. With several servers all are asked for free
    /// seats first, then it waits at the first that lets it, and at the next once that one cannot be reached for a
    /// lease.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use seatkeeper_client::{CheckoutError, Client, Options, Want, codes};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::new(Options::from_environment("acme-cad", "4.2")?);
    /// match client.checkout(Want::feature("cad").wait(Duration::from_secs(600))) {
    ///     Ok(seats) => println!("{:?}", seats.sessions()),
    ///     Err(CheckoutError::Denied(no)) if no.code == codes::QUEUE_TIMEOUT => println!("not today"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Want {
        self.wait = wait;
        self
    }

    /// The program's version: `4.2`, or up to four numbers.
    #[must_use]
    pub fn version(mut self, version: &str) -> Want {
        self.facts.release_version = Some(version.to_owned());
        self
    }

    /// The day of the program's build, `YYYY-MM-DD`.
    #[must_use]
    pub fn released(mut self, date: &str) -> Want {
        self.facts.release_date = Some(date.to_owned());
        self
    }

    /// The day on which the MAJOR.MINOR of the program's version was first published, `YYYY-MM-DD`; not after that of its build.
    #[must_use]
    pub fn line(mut self, date: &str) -> Want {
        self.facts.line_date = Some(date.to_owned());
        self
    }

    /// With what the program says of its release once and for all, where this says nothing of it.
    pub(crate) fn completed(mut self, release: Option<&Release>) -> Want {
        let facts = &mut self.facts;
        let is_silent =
            (&facts.release_version, &facts.release_date, &facts.line_date) == (&None, &None, &None);
        if let Some(release) = release.filter(|_| is_silent) {
            facts.release_version = Some(release.version.clone());
            facts.release_date.clone_from(&release.date);
            facts.line_date.clone_from(&release.line);
        }
        self
    }
}

/// Takes seats from the first server of a list that has them (S26). It connects when it is first asked.
pub struct Client {
    pub(crate) grace: Arc<Grace>,
    subscribers: Arc<Subscribers>,
    activity: Arc<Activity>,
    pub(crate) options: Arc<Options>,
}

impl Client {
    /// A client of these servers. Nothing is sent yet.
    pub fn new(options: Options) -> Client {
        Client::with_clock(options, Arc::new(SystemClock::new()))
    }

    /// Tests alone have another clock.
    pub(crate) fn with_clock(options: Options, clock: Arc<dyn Clock>) -> Client {
        let options = Arc::new(options);
        let subscribers = Arc::new(Mutex::default());
        let activity = Arc::new(Activity::default());
        let signal = Arc::new(Signal::default());
        let link = |(index, address): (usize, &crate::Address)| {
            let (options, subscribers) = (Arc::clone(&options), Arc::clone(&subscribers));
            let (activity, signal) = (Arc::clone(&activity), Arc::clone(&signal));
            let link =
                Link::new(index, address.clone(), options, subscribers, activity, signal, Arc::clone(&clock));
            link.enter();
            link
        };
        let links = options.servers.iter().enumerate().map(link).collect();
        let directory = options.grace_directory.as_deref();
        let grace = Grace::new(directory, clock, links, Arc::clone(&subscribers), signal);
        grace.enter();
        Client { grace, subscribers, activity, options }
    }

    /// The user did something just now. Cheap enough to be called at every key.
    ///
    /// From the first call on the servers are told with each heartbeat how long the user has been idle, and may give a seat
    /// that is idle for as long as their administrator says to somebody who needs it (S50); before that
    /// [`Event::SeatWanted`] comes, and a call after it keeps the seat. An application that never calls this, nor
    /// [`Client::set_idle_source`], loses no seat for being idle.
    ///
    /// ```no_run
    /// # use seatkeeper_client::{Client, Event, Options};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::new(Options::from_environment("acme-cad", "4.2")?);
    /// let events = client.subscribe();
    /// // On the thread of the user interface, at each key and click:
    /// client.report_activity();
    /// // On another:
    /// for event in events {
    ///     if let Event::SeatWanted { feature, seconds, .. } = event {
    ///         println!("{feature} is idle and wanted: work on within {seconds} s to keep it");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_activity(&self) {
        if self.activity.report() {
            self.grace.links().iter().for_each(|link| link.hurry());
        }
    }

    /// Asks `idle` how long the user has been idle, before each heartbeat and once a second while a seat is wanted; `None`:
    /// it cannot tell. For systems that know it, and computations that count as activity. Activity reported by
    /// [`Client::report_activity`] counts too. `idle` runs on a thread of this library, which it must not keep long.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn seconds_since_last_input() -> u64 { 0 }
    /// # fn use_it(client: &seatkeeper_client::Client) {
    /// client.set_idle_source(|| Some(Duration::from_secs(seconds_since_last_input())));
    /// # }
    /// ```
    pub fn set_idle_source(&self, idle: impl Fn() -> Option<Duration> + Send + Sync + 'static) {
        self.activity.ask(Arc::new(idle));
    }

    /// What happens to the seats of this client from now on. Who does not read them any more drops the receiver; of who is a
    /// thousand events behind, further ones are counted only ([`Event::Missed`]).
    pub fn subscribe(&self) -> mpsc::Receiver<Event> {
        subscribe(&self.subscribers)
    }

    /// Takes seats, all that are asked for or none. Waits for the servers' answers, at most a few time-outs each.
    ///
    /// The next server of the list is tried when one cannot be reached, or denies for want of the feature, of seats or of time;
    /// the first denial is reported (S26). If none of them answers at all and the license gives grace, the seats are good for its
    /// hours (L65): [`Seats::is_in_grace`]. The client goes on asking then, and takes them from the first server that is back.
    ///
    /// # Errors
    ///
    /// [`CheckoutError`].
    pub fn checkout(&self, want: Want) -> Result<Seats, CheckoutError> {
        self.checkout_or_cancel(want, &Cancel::new())
    }

    /// As [`Client::checkout`], for a [`Want::wait`] that another thread may end by `cancel`. The place in the queue is given
    /// up then, and seats that came in the same moment go back.
    ///
    /// # Errors
    ///
    /// [`CheckoutError`]; [`CheckoutError::Cancelled`] if it was ended.
    pub fn checkout_or_cancel(&self, want: Want, cancel: &Cancel) -> Result<Seats, CheckoutError> {
        let want = want.completed(self.options.release.as_ref());
        let (is_again, wait) = (want.again, want.wait);
        let ask = Checkout {
            request_key: draw()?,
            secret: Secret(draw()?),
            items: want.items,
            facts: want.facts,
            share: want.share,
            reservation_token: want.token,
            ..Checkout::default()
        };
        let asked = Instant::now();
        let answer = if wait.is_zero() {
            checkout(&self.grace, &ask, is_again)
        } else {
            checkout_or_wait(&self.grace, &ask, is_again, wait, cancel)
        };
        let place = match answer {
            Ok((link, bundle)) => Place::on(&link, bundle),
            Err(CheckoutError::NoServer(mut reasons)) => {
                self.grace.take(&ask, is_again, asked).map_err(|no_grace| {
                    reasons.extend(no_grace.map(|why| format!("no grace: {why}")));
                    CheckoutError::NoServer(reasons)
                })?
            }
            Err(error) => return Err(error),
        };
        if is_again {
            again::enlist(&self.grace, &place, &ask);
        }
        Ok(Seats::new(place, &self.grace))
    }

    /// What a checkout would say now; takes nothing (S5). The numbers, as JSON.
    ///
    /// # Errors
    ///
    /// As for [`Client::checkout`].
    pub fn would_grant(&self, want: &Want) -> Result<String, CheckoutError> {
        let want = want.clone().completed(self.options.release.as_ref());
        let ask = Try {
            items: want.items,
            facts: want.facts,
            share: want.share,
            reservation_token: want.token,
            ..Try::default()
        };
        first(self.grace.links(), another_may_grant, |link| {
            let no_server = |reason: String| CheckoutError::NoServer(vec![reason]);
            let (_, connection) = link.connection().map_err(|e| no_server(e.to_string()))?;
            connection.call(&ask).map(|answer: answer::Try| answer.details).map_err(|error| match error {
                CallError::Refused(refusal) => CheckoutError::Denied(refusal),
                CallError::Protocol(what) => CheckoutError::Protocol(what),
                CallError::TooLong(error) => CheckoutError::Request(error.to_string()),
                CallError::TimedOut(_) | CallError::Lost(_) => no_server(error.to_string()),
            })
        })
    }

    /// Who is to be told what happens.
    #[cfg(feature = "borrow")]
    pub(crate) fn subscribers(&self) -> Arc<Subscribers> {
        Arc::clone(&self.subscribers)
    }

    /// A connection of its own to the first server that answers, for questions.
    ///
    /// # Errors
    ///
    /// [`ConnectError`](crate::ConnectError) of the last server, if none answers.
    pub fn ask(&self) -> Result<Connection, crate::ConnectError> {
        let mut last = None;
        for address in &self.options.servers {
            match Connection::open(address, &self.options, |_| {}) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(crate::ConnectError::Ended {
            address: crate::Address::default(),
            what: "the list of servers is empty".to_owned(),
        }))
    }
}

impl Drop for Client {
    /// Seats that are still there keep what they need. Else the connections are closed and the threads end; what could not be
    /// given back yet is tried for two seconds more, and in the background for ten.
    fn drop(&mut self) {
        let until = Instant::now() + DROP_TIMEOUT;
        self.grace.links().iter().for_each(|link| link.leave());
        self.grace.links().iter().for_each(|link| link.settle(until));
        self.grace.leave();
    }
}

/// Takes seats from the first server that grants them, and remembers what its license says of grace. A denial of any server is
/// remembered too.
pub(crate) fn checkout(
    grace: &Arc<Grace>,
    ask: &Checkout,
    again: bool,
) -> Result<(Arc<Link>, u64), CheckoutError> {
    let granted = first(grace.links(), another_may_grant, |link| {
        let answer = link.checkout(ask, again);
        if let Err(CheckoutError::Denied(refusal)) = &answer {
            grace.denied(&ask.items, &refusal.code);
        }
        Ok((Arc::clone(link), answer?))
    });
    if let Ok((link, bundle)) = &granted {
        grace.learn(link, *bundle);
    }
    granted
}

/// Asks one server after the other until one grants, or denies where no other may grant. Of several denials the first is
/// reported (S26), unless it is about a server that could not serve and another was about seats.
pub(crate) fn first<T>(
    links: &[Arc<Link>],
    lets_another: impl Fn(&str) -> bool,
    mut ask: impl FnMut(&Arc<Link>) -> Result<T, CheckoutError>,
) -> Result<T, CheckoutError> {
    let (mut denial, mut unable, mut breach) = (None, None, None);
    let mut silent = Vec::new();
    for link in links {
        match ask(link) {
            Err(CheckoutError::NoServer(reasons)) => silent.extend(reasons),
            Err(CheckoutError::Protocol(what)) => breach = breach.or(Some(what)),
            Err(CheckoutError::Denied(refusal)) if cannot_serve(&refusal.code) => {
                unable = unable.or(Some(refusal));
            }
            Err(CheckoutError::Denied(refusal)) => {
                let is_last = !lets_another(&refusal.code);
                denial = denial.or(Some(refusal));
                if is_last {
                    break;
                }
            }
            decided => return decided,
        }
    }
    match (denial.or(unable), breach) {
        (Some(refusal), _) => Err(CheckoutError::Denied(refusal)),
        (None, Some(what)) => Err(CheckoutError::Protocol(what)),
        (None, None) => Err(CheckoutError::NoServer(silent)),
    }
}

/// Denials after which another server of the list is asked (S26): for want of the feature, of seats (`no_covered_seat` is
/// `no_seats` for this release) or of a license in its days. Not `maintenance_expired`: it is about the release that asks, the
/// license is in force, and the way out is an older release or a renewal, not another server.
pub(crate) fn another_may_grant(code: &str) -> bool {
    matches!(
        code,
        codes::UNKNOWN_FEATURE
            | codes::NO_SEATS
            | codes::NO_COVERED_SEAT
            | codes::EXPIRED
            | codes::EVALUATION_EXPIRED
            | codes::SUBSCRIPTION_EXPIRED
    )
}

/// Codes of a server that cannot serve now, whoever asks and for whatever: as good as one that cannot be reached (S26).
pub(crate) fn cannot_serve(code: &str) -> bool {
    matches!(
        code,
        codes::SHUTTING_DOWN
            | codes::NOT_LEADER
            | codes::BUSY
            | codes::INTERNAL
            | codes::CLOCK_SUSPECT
            | codes::CLIENT_TOO_OLD
            | codes::SERVER_TOO_OLD
    )
}

/// Sixteen random bytes.
pub(crate) fn draw() -> Result<[u8; 16], CheckoutError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| CheckoutError::Request(format!("the system has no random numbers: {e}")))?;
    Ok(bytes)
}
