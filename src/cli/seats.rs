//! `checkout` keeps seats until it is told to stop; `run` has them while a command runs.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use seatkeeper_client::{
    BorrowedSeats, Cancel, CheckinError, CheckoutError, Client, Event, GraceEnd, Grant, Item, OpenError,
    Refusal, Seats, facts,
};
use seats::change::SessionId;
use serde_json::{Value, json};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use super::Failure;
use super::args::{self, Want};
use super::denial;
use super::here::Here;
use super::offline;
use super::server::{self, refusal_code};
use super::table::{clean, plural};
use crate::clock::{Stopwatch, rfc3339};
use crate::exit;
use crate::report::SCHEMA;

/// How often a program that waits for seats looks for signals and for what it is told.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What to do where no server answers.
pub(super) const NO_SERVER_HINT: &str = "`seatkeeper doctor` looks for the cause";
/// The signals that end a wait.
const ENDING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// Seats of a server, or seats that were borrowed before.
enum Held {
    Online(Seats),
    Borrowed(BorrowedSeats),
}

/// What wakes the waiting main thread.
enum Wake {
    /// A signal, and whether the kernel sent it: then the whole process group has it already.
    Signal {
        number: i32,
        is_from_terminal: bool,
    },
    Event(Event),
}

/// `seatkeeper checkout`. Exits with 0 after a signal or `--for`, and with 75 if the seats are taken away.
///
/// # Errors
///
/// 75 denied, 69 no server, 77 not permitted; with `--json` the denial is on `out`.
pub fn checkout(ask: &args::Checkout, out: &mut impl Write) -> Result<u8, Failure> {
    let client = client(&ask.want)?;
    let (taken, wakes) = take(&client, &ask.want, &[SIGINT, SIGTERM, SIGHUP])?;
    let seats = taken.map_err(|error| match error {
        CheckoutError::Denied(refusal) if ask.json => match print_denial(&refusal, out) {
            Ok(()) => denied(&refusal),
            Err(failure) => failure,
        },
        error => no_seats(error, &client, &ask.want),
    })?;
    tell_grace(&seats);
    print_grant(&seats, ask.json, out)?;
    let held = Stopwatch::start();
    let keep = ask.keep.map(|seconds| Duration::from_secs(seconds.into()));
    let code = loop {
        match next(&wakes, keep.map(|keep| keep.saturating_sub(held.elapsed()))) {
            None | Some(Wake::Signal { .. }) => break exit::OK,
            Some(Wake::Event(event)) => {
                report_event(&event);
                if seats.are_gone() {
                    break exit::TEMPORARY;
                }
            }
        }
    };
    give_back(seats)?;
    Ok(code)
}

/// `seatkeeper run`. Returns the command's status, 128 + n if signal n ended it, 127 if there is no such command.
///
/// # Errors
///
/// As [`checkout`]; the command is then not run.
pub fn run(ask: &args::Run) -> Result<u8, Failure> {
    let client = client(&ask.want)?;
    let signals = [SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
    let (taken, wakes) = take(&client, &ask.want, &signals)?;
    let seats = taken.map_err(|error| no_seats(error, &client, &ask.want))?;
    tell_grace(&seats);
    let (program, arguments) = ask.command.split_first().unwrap_or_else(|| unreachable!("clap requires it"));
    let started = Command::new(program).args(arguments).spawn();
    let status = match started {
        Ok(child) => wait_for(child, &wakes),
        Err(error) => {
            // As shells have it.
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            Err(Failure::new(code, format!("{}: {error}", program.to_string_lossy())))
        }
    };
    // The command's status is the answer, whatever becomes of the seats.
    if let Err(failure) = give_back(seats) {
        eprintln!("seatkeeper: {}", failure.message);
    }
    Ok(exit_code(status?))
}

impl Held {
    /// Nothing is left of them.
    fn are_gone(&self) -> bool {
        match self {
            Held::Online(seats) => seats.sessions().is_empty(),
            Held::Borrowed(seats) => seats.check().is_err(),
        }
    }
}

/// Takes the seats: those that are borrowed here first, where there is a key to verify them by. While it waits for them, a signal that ends programs gives up. What wakes the program afterwards is caught
/// before the grant is shown: who sees it may send a signal at once.
fn take(
    client: &Client,
    ask: &Want,
    signals: &[i32],
) -> Result<(Result<Held, CheckoutError>, mpsc::Receiver<Wake>), Failure> {
    let events = client.subscribe();
    let not_open = match ask.trust.is_empty() {
        true => None,
        false => match client.open_borrowed(&want(ask)) {
            Ok(seats) => return Ok((Ok(Held::Borrowed(seats)), wakes(signals, events)?)),
            Err(error) => Some(error),
        },
    };
    // Who relies on what is borrowed must hear why it is not used.
    if let Some(error) = not_open.filter(|error| !matches!(error, OpenError::NotBorrowed { .. })) {
        eprintln!("seatkeeper: {}; asking a license server instead", clean(&error.to_string()));
    }
    if ask.wait.is_none() {
        let taken = client.checkout(want(ask)).map(Held::Online);
        return Ok((taken, wakes(signals, events)?));
    }
    let wakes = wakes(signals, events)?;
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let (sender, done) = mpsc::channel();
        let cancelled = cancel.clone();
        let want = want(ask);
        scope.spawn(move || {
            // The other end waits for it.
            let _ = sender.send(client.checkout_or_cancel(want, &cancelled));
        });
        let mut given_up_by = None;
        let mut is_told = false;
        loop {
            match done.recv_timeout(LOOK_EVERY) {
                // The seats came at the same moment: nobody wants them any more.
                Ok(Ok(seats)) if given_up_by.is_some() => drop(seats),
                Ok(taken) if given_up_by.is_none() => return Ok((taken.map(Held::Online), wakes)),
                Ok(_) => {}
                Err(_) => {
                    while let Ok(wake) = wakes.try_recv() {
                        match wake {
                            Wake::Signal { number, .. } if ENDING.contains(&number) => {
                                given_up_by = Some(number);
                                cancel.cancel();
                            }
                            Wake::Signal { .. } => {}
                            Wake::Event(Event::Waiting { server, before, .. }) => {
                                if !std::mem::replace(&mut is_told, true) {
                                    eprintln!("seatkeeper: {}", clean(&waits(&server, before)));
                                }
                            }
                            Wake::Event(event) => report_event(&event),
                        }
                    }
                    continue;
                }
            }
            let code = given_up_by.and_then(|signal| u8::try_from(128 + signal).ok());
            return Err(Failure::new(code.unwrap_or(exit::INTERNAL), "gave up waiting"));
        }
    })
}

fn waits(server: &str, before: u64) -> String {
    let before = match before {
        0 => "nobody came before".to_owned(),
        n => format!("{n} came before"),
    };
    format!("waits for seats in the queue of {server}; {before}")
}

fn wait_for(mut child: Child, wakes: &mpsc::Receiver<Wake>) -> Result<ExitStatus, Failure> {
    // Taken once: the number is the child's until `try_wait` has reaped it, which happens in this thread only.
    let pid = Pid::from_child(&child);
    loop {
        let ended = child.try_wait();
        if let Some(status) = ended.map_err(|e| Failure::new(exit::INTERNAL, e.to_string()))? {
            return Ok(status);
        }
        match next(wakes, None) {
            Some(Wake::Signal { number, is_from_terminal }) => {
                if number != SIGCHLD && !is_from_terminal {
                    pass_on(pid, number);
                }
            }
            Some(Wake::Event(event)) => report_event(&event),
            // Nobody sends any more; there is still a child to wait for.
            None => return child.wait().map_err(|e| Failure::new(exit::INTERNAL, e.to_string())),
        }
    }
}

fn pass_on(pid: Pid, number: i32) {
    if let Some(signal) = Signal::from_named_raw(number) {
        // It may have ended in this moment: SIGCHLD is on its way.
        let _ = kill_process(pid, signal);
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::INTERNAL)
}

/// A client of the servers that are named, which trusts the vendors that are named.
///
/// # Errors
///
/// 64 for a list of servers or a key that is none.
pub(super) fn client(want: &Want) -> Result<Client, Failure> {
    let mut options = server::options(server::addresses(want.server.as_deref())?);
    options.vendor_keys = offline::vendor_keys(&want.trust)?;
    Ok(Client::new(options))
}

/// What is asked for.
pub(super) fn want(ask: &Want) -> seatkeeper_client::Want {
    let item = |name: &args::FeatureName| Item {
        vendor: name.vendor.clone(),
        feature: name.feature.clone(),
        count: ask.count,
    };
    let facts = seatkeeper_client::Facts {
        project: ask.project.clone(),
        release_version: ask.version.clone(),
        release_date: ask.released.map(|day| day.to_string()),
        line_date: ask.line_date.map(|day| day.to_string()),
        host_ids: facts::host_ids(),
        ..facts::here()
    };
    seatkeeper_client::Want {
        items: ask.features.iter().map(item).collect(),
        facts,
        share: ask.share.clone(),
        token: ask.token.clone(),
        again: false,
        wait: Duration::from_secs(ask.wait.unwrap_or(0).into()),
    }
}

fn no_seats(error: CheckoutError, client: &Client, ask: &Want) -> Failure {
    match error {
        CheckoutError::Denied(refusal) => denied(&refusal),
        CheckoutError::NoServer(_) => {
            let hint = offline::trust_hint(client, ask).unwrap_or(NO_SERVER_HINT);
            Failure::new(exit::UNAVAILABLE, format!("{error}; {hint}"))
        }
        CheckoutError::Protocol(_) => Failure::new(exit::INTERNAL, error.to_string()),
        CheckoutError::Cancelled => Failure::new(exit::TEMPORARY, error.to_string()),
        CheckoutError::Request(_) => Failure::new(exit::USAGE, error.to_string()),
    }
}

/// As an exit code and a sentence.
pub(super) fn denied(refusal: &Refusal) -> Failure {
    Failure::new(refusal_code(refusal), denial::text(refusal, &Here::terminal()))
}

/// A denial as one line of JSON.
pub(super) fn print_denial(refusal: &Refusal, out: &mut impl Write) -> Result<(), Failure> {
    let details = serde_json::from_str(&refusal.details).unwrap_or(Value::Null);
    let line = json!({
        "schema": SCHEMA, "granted": false,
        "code": refusal.code, "message": refusal.message, "details": details,
    });
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn print_grant(held: &Held, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let seats = match held {
        Held::Online(seats) => seats,
        Held::Borrowed(seats) => return offline::print(seats.seats(), json, out),
    };
    let sessions = seats.sessions();
    if json {
        let line = json!({
            "schema": SCHEMA, "granted": true,
            "bundle": SessionId(seats.bundle()).to_string(),
            "sessions": sessions.iter().map(session_json).collect::<Vec<_>>(),
            "grace_ends_at": seats.grace_ends().map(instant),
        });
        writeln!(out, "{line}")?;
    } else {
        for grant in &sessions {
            writeln!(out, "{}", clean(&sentence(grant)))?;
        }
    }
    Ok(out.flush()?)
}

fn session_json(grant: &Grant) -> Value {
    json!({
        "session": SessionId(grant.session).to_string(),
        "vendor": grant.vendor,
        "feature": grant.feature,
        "count": grant.count,
        "version": grant.version,
        "ends_at": grant.license_ends.map(instant),
        "soft_limit": grant.soft_limit,
        "notice": grant.notice,
        "signed": grant.license.is_some(),
    })
}

fn sentence(grant: &Grant) -> String {
    let until = grant.license_ends.map_or_else(
        || "the license never ends".to_owned(),
        |at| format!("the license ends at {}", Here::terminal().seconds(at)),
    );
    let soft = if grant.soft_limit { "; above the soft limit" } else { "" };
    let notice = grant.notice.as_ref().map_or_else(String::new, |notice| format!("; {notice}"));
    format!(
        "{}: {}, session {}; {until}{soft}{notice}",
        super::show::name(Some(&grant.vendor), &grant.feature),
        plural(grant.count.into(), "seat"),
        SessionId(grant.session)
    )
}

/// RFC 3339 in UTC, for programs.
pub(super) fn instant(unix_seconds: i64) -> String {
    rfc3339(unix_seconds.saturating_mul(1000))
}

fn give_back(held: Held) -> Result<(), Failure> {
    let Held::Online(seats) = held else { return Ok(()) };
    seats.checkin().map_err(|error| match error {
        CheckinError::NoServer(_) => Failure::new(
            exit::UNAVAILABLE,
            format!("{error}; the server takes them back by itself when somebody needs them"),
        ),
        CheckinError::Denied(refusal) => denied(&refusal),
        CheckinError::Protocol(_) => Failure::new(exit::INTERNAL, error.to_string()),
    })
}

fn grace(features: &[String], ends_at: i64) -> String {
    format!(
        "no license server answers; the license of {} allows to go on until {}",
        features.join(", "),
        Here::terminal().seconds(ends_at)
    )
}

/// A checkout without a server says so before anything else: a short command would be over before the event is read.
fn tell_grace(held: &Held) {
    let Held::Online(seats) = held else { return };
    if let Some(ends_at) = seats.grace_ends() {
        let features: Vec<String> = seats.sessions().into_iter().map(|grant| grant.feature).collect();
        eprintln!("seatkeeper: {}", clean(&grace(&features, ends_at)));
    }
}

/// What happens to the seats, for a person; stderr, so that it does not mix with a command's output.
fn report_event(event: &Event) {
    let text = match event {
        Event::Expired { session, feature, license_ends } => format!(
            "the license of {feature} (session {}) has ended at {}; the seat is kept",
            SessionId(*session),
            Here::terminal().seconds(*license_ends)
        ),
        Event::GivenAway { session, code, message, at, .. } => {
            let since = at.map_or_else(String::new, |at| format!(", at {}", Here::terminal().seconds(at)));
            format!("session {} has lost its seats: {message} ({code}{since})", SessionId(*session))
        }
        Event::ResumedElsewhere { bundle } => {
            format!("bundle {} was resumed by another process", SessionId(*bundle))
        }
        Event::ShuttingDown => "the server stops; the seats are kept and resumed when it is back".to_owned(),
        Event::Lost { message } => format!("{message}; trying to get back to the server"),
        Event::SeatWanted { session, feature, seconds } => format!(
            "warning: somebody needs {feature} and session {} is idle; its seats are given away in {} unless it is \
             used",
            SessionId(*session),
            plural((*seconds).into(), "second")
        ),
        // Of a checkout in grace it has been said at once.
        Event::GraceBegan { bundle: 0, .. } => return,
        Event::GraceBegan { features, ends_at, .. } => grace(features, *ends_at),
        Event::GraceEnded { features, reason, .. } => {
            let features = features.join(", ");
            match reason {
                GraceEnd::Back => {
                    format!("grace for {features} is over: a license server is back, with the seats")
                }
                GraceEnd::Over => {
                    format!("grace for {features} is over, and no license server answers: save your work")
                }
                GraceEnd::Denied { message } => format!("grace for {features} is over: {message}"),
                GraceEnd::Answered { server } => {
                    format!("grace for {features} is over: {server} answers, so check out anew")
                }
                _ => format!("grace for {features} is over"),
            }
        }
        Event::NoGrace { features, message, .. } => {
            format!("no license server answers, and there is no grace for {}: {message}", features.join(", "))
        }
        Event::BorrowEnded { feature, ends_at, .. } => format!(
            "the time for which {feature} was borrowed ended at {}: save your work",
            Here::terminal().seconds(*ends_at)
        ),
        Event::Resumed { bundle, .. } => format!("back; bundle {} is resumed", SessionId(*bundle)),
        _ => return,
    };
    eprintln!("seatkeeper: {}", clean(&text));
}

/// Signals and events in one queue.
fn wakes(signals: &[i32], events: mpsc::Receiver<Event>) -> Result<mpsc::Receiver<Wake>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let mut signals = SignalsInfo::<WithOrigin>::new(signals)
        .map_err(|e| Failure::new(exit::INTERNAL, format!("signals cannot be caught: {e}")))?;
    let to = sender.clone();
    thread::spawn(move || {
        for origin in signals.forever() {
            let number = origin.signal;
            let is_from_terminal = origin.cause == Cause::Kernel && matches!(number, SIGINT | SIGQUIT);
            if to.send(Wake::Signal { number, is_from_terminal }).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || events.into_iter().try_for_each(|event| sender.send(Wake::Event(event))));
    Ok(receiver)
}

fn next(wakes: &mpsc::Receiver<Wake>, most: Option<Duration>) -> Option<Wake> {
    match most {
        // No time left, or nobody who could send.
        Some(most) => wakes.recv_timeout(most).ok(),
        None => wakes.recv().ok(),
    }
}
