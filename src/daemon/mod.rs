//! The daemon: puts the parts together, runs until it is told to stop, and says with its exit code how it ended.
//!
//! The order at the start is that of trust: configuration, state (locked and replayed), policy, licenses, and only
//! when every pool is up to date, sockets. At the end the order is that of promises: no new checkouts, the last
//! batch synced, connections flushed (S64).

mod check;
mod failure;
mod guard;
mod keeper;
mod rules;
mod sockets;
mod stop;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use seats::ledger::{Ledger, Patience, QueueLimits};
use seats::request::NameRules;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

pub use self::failure::Failure;
use self::guard::Guard;
use self::keeper::Keeper;
use self::rules::Rules;
use self::stop::{Signal, Stop};
use crate::answer::Context;
use crate::causes::with_causes;
use crate::clock::{Clock, Ticks, tzdata_version};
use crate::config::{Config, Flags, Readers, Surroundings};
use crate::counts::{Counting, Counts, Watching};
use crate::engine::Engine;
use crate::engine::ask::Ask;
use crate::engine::record::StateFold;
use crate::engine::thread::{self as engine_thread, Handle};
use crate::events::Hub;
use crate::events::what::{ServerStarted, ServerStopping};
use crate::exit;
use crate::history::{self, History};
use crate::hook::Hook;
use crate::hostid::HostFacts;
use crate::http;
use crate::journal::{Options, RealDisk};
use crate::licenses::{Loader, LoaderConfig};
use crate::notify::{Notifier, Watchdog};
use crate::server::Server;
use crate::server::listener::{AdminSocket, ClientPort, listen};
use crate::server::reports::usage::Past;
use crate::state::StateDir;

/// How long the last sync may take at a stop; the whole must end within 5 s (S64).
const LAST_SYNC: Duration = Duration::from_millis(2_500);
/// How long telling of the last events may take, each of its two steps.
const LAST_EVENTS: Duration = Duration::from_millis(100);
/// How long connections may take to be flushed (S64).
const LAST_FLUSH: Duration = Duration::from_millis(2_100);

/// `seatkeeperd`: everything from the command line to the exit code.
pub fn main() -> ExitCode {
    // From here on SIGTERM ends the program with 0, however far it has come (S64).
    let stop = match Stop::install() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("seatkeeperd: signals cannot be taken: {error}");
            return exit::INTERNAL.into();
        }
    };
    let flags = match Flags::of_process() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let config = match Surroundings::of_process() {
        Ok(around) => Config::load(&flags, &around),
        Err(error) => {
            eprintln!("seatkeeperd: there is no working directory: {error}");
            return exit::CONFIG.into();
        }
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            eprint!("{}", error.render(std::io::IsTerminal::is_terminal(&std::io::stderr())));
            return exit::CONFIG.into();
        }
    };
    if flags.check {
        return check::run(&config).into();
    }
    if let Err(error) = crate::logging::start(config.log_format) {
        eprintln!("seatkeeperd: {error}");
        return exit::CONFIG.into();
    }
    match run(&config, flags.accept_loss, stop) {
        Ok(()) => {
            info!("stopped; sessions are kept");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            error!(exit = failure.code, "{}", failure.text);
            // Where the log goes to the journal, the terminal still sees why.
            ExitCode::from(failure.code)
        }
    }
}

fn run(config: &Config, accept_loss: bool, mut stop: Stop) -> Result<(), Failure> {
    let notifier = Notifier::from_environment().map_err(|e| Failure::new(exit::CONFIG, e.to_string()))?;
    say_hello(config);
    let connections_max = sockets::raise_descriptor_limit(config.limits.connections);
    let mut state = StateDir::open(&config.state, accept_loss).map_err(|e| failure::of_state(&e))?;
    let mut fold = StateFold::default();
    let options = Options { accept_loss, ..Options::default() };
    let opened = state.open_journal(options, &mut fold).map_err(|e| failure::of_state(&e))?;
    say_replayed(&opened, &fold);
    let clock = Clock::system(config.zone.clone(), Ticks(opened.tick));
    let server_key = state.identity().fingerprint();
    let host = HostFacts::collect(Some(&server_key), &config.host_ids);
    let mut instance = [0; 16];
    getrandom::fill(&mut instance)
        .map_err(|e| Failure::new(exit::INTERNAL, format!("no random numbers: {e}")))?;
    let counts = Arc::new(Counts::new(clock.clone()));
    let events = start_events(instance, &clock, config, &fold, &counts)?;
    // Dropped at the very end, and when the start fails.
    let _hook = start_hook(config, &events)?;
    // A clock that was set back does not bring an older day back (S71).
    let today = clock.now().today;
    let day = fold.state.day().map_or(today, |served| served.max(today));
    let names = NameRules { fqdn: config.fqdn };
    let rules = Rules::load(config.policy.clone(), names)?;
    let policy = rules.current();
    let loaded = keeper::Loaded {
        loader: loader(config, &server_key, true)?,
        rules,
        host,
        demo_key_trusted: demo_key_trusted(config)?,
        events: events.clone(),
    };
    let (keeper, catalog) = Keeper::load(loaded, &clock, day, &server_key)?;
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let patience = Patience {
        lease_ms: millis(config.lease),
        resume_window_ms: millis(config.resume_window),
        reap_after_ms: millis(config.reap_after),
    };
    let mut ledger = Ledger::new(fold.state, opened.tick, patience, names);
    ledger.serve_as(server_key.as_str().into());
    ledger.limit_queue(QueueLimits {
        per_feature: config.limits.waiters_per_feature,
        per_client: config.limits.waiters_per_client,
    });
    let mut engine = Engine::new(ledger, opened.journal, config.limits.sessions_per_connection)
        .in_zone(config.zone.clone())
        .with_reminders(config.reminder_days.clone())
        .with_events(Arc::new(Counting::new(counts.clone(), events.clone())))
        .timing_syncs(counts.journal_sync.clone());
    if opened.lost.is_some() {
        engine.close_borrowing(clock.now()).map_err(|e| failure::of_journal(&e))?;
    }
    bring_up_to_date(&mut engine, catalog, policy, &clock)?;

    let sockets = sockets::bind(config)?;
    let (handle, asks) = engine_thread::queue(config.limits.queue_length as usize);
    let ended = start_engine(engine, asks, &clock, &notifier)?;
    let _history = start_history(config, &clock, &events, &handle)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(exit::INTERNAL, format!("the runtime cannot be started: {e}")))?;
    let keeper_facts = keeper.facts();
    let reload = keeper.start(handle.clone(), &config.licenses)?;
    let millis = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
    let context = Context {
        clock: clock.clone(),
        heartbeat_ms: millis(config.heartbeat),
        lease_ms: millis(config.lease),
        identity: Some(state.identity().clone()),
    };
    let admin = Arc::new(keeper::Administration::new(
        reload.clone(),
        stop.asker(),
        keeper_facts.clone(),
        events.clone(),
    ));
    let server = Server::new(
        handle.clone(),
        context,
        config.limits.clone(),
        keeper_facts.clone(),
        admin,
        instance,
        keeper_facts.name(),
        events,
        connections_max,
    );
    let mut server = server.counting(counts);
    if config.history.enabled {
        server.history = Some(Past::new(config.state.join(history::FILE_NAME)));
    }
    let server = Arc::new(server);
    let start_http = |(listener, access)| http::start(listener, server.clone(), access);
    let http: Vec<http::Running> = (sockets.http.into_iter().map(start_http).collect::<Result<_, _>>())
        .map_err(|e| Failure::new(exit::INTERNAL, format!("HTTP cannot be answered: {e}")))?;
    let (new_admins, admins) = mpsc::unbounded_channel();
    let doors = Doors { clients: sockets.clients, admin: sockets.admin, again: admins };
    let guard = Guard::start(state, sockets.admin_place, new_admins, keeper_facts)?;
    let outcome = runtime.block_on(serve(doors, server, handle, ended, &mut stop, &reload, &notifier));
    if outcome.is_ok() {
        guard.remove_admin_socket();
    }
    drop(http);
    // Reports that are being made end by themselves; nobody waits for them.
    runtime.shutdown_timeout(Duration::from_millis(100));
    drop(reload);
    outcome
}

/// Where clients and administrators come in.
struct Doors {
    clients: Vec<(TcpListener, Readers)>,
    admin: UnixListener,
    /// Administrators' sockets that take the place of the first.
    again: mpsc::UnboundedReceiver<UnixListener>,
}

/// Serves until told to stop, or until the engine fails.
async fn serve(
    mut doors: Doors,
    server: Arc<Server>,
    engine: Handle,
    mut ended: mpsc::UnboundedReceiver<Result<(), Failure>>,
    stop: &mut Stop,
    reload: &keeper::Reloader,
    notifier: &Notifier,
) -> Result<(), Failure> {
    let tasks = TaskTracker::new();
    for (listener, readers) in doors.clients {
        let address = listener.local_addr().map_or_else(|_| String::new(), |a| a.to_string());
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(|e| Failure::new(exit::INTERNAL, format!("{address}: cannot be served: {e}")))?;
        info!(%address, "listening for clients");
        tasks.spawn(listen(ClientPort { listener, readers }, server.clone(), tasks.clone()));
    }
    let mut admin = listen_for_administrators(doors.admin, &server, &tasks)?;
    // Before READY: who was told that it serves may stop it in order at once.
    let mut signals = stop.started();
    notifier.ready("serving");
    loop {
        tokio::select! {
            biased;
            failed = ended.recv() => return failed.unwrap_or_else(|| Err(Failure::new(exit::INTERNAL, "the engine is gone"))),
            signal = signals.recv() => match signal {
                Some(Signal::Reload(who)) => {
                    notifier.reloading();
                    let notifier = notifier.clone();
                    reload.ask(&who, Box::new(move |_| notifier.ready("serving")));
                }
                Some(Signal::Stop(who)) => {
                    info!(by = who, "stopping");
                    server.events.publish(ServerStopping { by: Some(who) });
                    break;
                }
                None => break,
            },
            Some(listener) = doors.again.recv() => {
                // Nobody can reach the old one any more; who is connected over it stays so.
                admin.abort();
                admin = listen_for_administrators(listener, &server, &tasks)?;
            }
        }
    }
    notifier.stopping();
    stop_serving(&server, &engine, &tasks, &mut ended).await
}

/// Serves the administrator's socket in a task of its own.
fn listen_for_administrators(
    listener: UnixListener,
    server: &Arc<Server>,
    tasks: &TaskTracker,
) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let path = listener.local_addr().ok().and_then(|a| a.as_pathname().map(std::path::Path::to_owned));
    let listener = tokio::net::UnixListener::from_std(listener)
        .map_err(|e| Failure::new(exit::INTERNAL, format!("the admin socket cannot be served: {e}")))?;
    info!(path = %path.unwrap_or_default().display(), "listening for administrators");
    Ok(tasks.spawn(listen(AdminSocket(listener), server.clone(), tasks.clone())))
}

/// S64: no new checkouts, the last batch synced, buffers flushed; within five seconds in all.
async fn stop_serving(
    server: &Server,
    engine: &Handle,
    tasks: &TaskTracker,
    ended: &mut mpsc::UnboundedReceiver<Result<(), Failure>>,
) -> Result<(), Failure> {
    let (done, is_done) = tokio::sync::oneshot::channel();
    let last = async {
        let stop = Ask::Stop(Box::new(move |()| {
            let _ = done.send(());
        }));
        if engine.ask_soon(stop).await.is_ok() {
            let _ = is_done.await;
        }
        ended.recv().await.unwrap_or(Ok(()))
    };
    match tokio::time::timeout(LAST_SYNC, last).await {
        Ok(outcome) => outcome?,
        Err(_) => {
            return Err(Failure::new(exit::DISK, "the last sync has not returned: the disk does not answer"));
        }
    }
    tell_last_events(server).await;
    server.closing.cancel();
    tasks.close();
    if tokio::time::timeout(LAST_FLUSH, tasks.wait()).await.is_err() {
        warn!("some clients did not take what was sent to them last");
    }
    Ok(())
}

/// Who follows events hears of the stop before the connection ends.
async fn tell_last_events(server: &Server) {
    let events = server.events.clone();
    let settled = tokio::task::spawn_blocking(move || events.settle(LAST_EVENTS));
    let _ = settled.await;
    server.events.close();
    let _ = tokio::time::timeout(LAST_EVENTS, server.followers_told()).await;
}

/// Where everything that happens comes together; the start of the daemon is the first of it.
fn start_events(
    instance: [u8; 16],
    clock: &Clock,
    config: &Config,
    state: &StateFold,
    counts: &Arc<Counts>,
) -> Result<Hub, Failure> {
    let (events, intake) = Hub::new(instance, clock.clone());
    let intake = intake.observed_by(Watching::new(counts.clone()));
    intake.start().map_err(|e| Failure::new(exit::INTERNAL, format!("no thread can be started: {e}")))?;
    events.publish(ServerStarted {
        name: host_name(),
        version: env!("CARGO_PKG_VERSION").into(),
        time_zone: config.zone.name().into(),
        sessions: state.state.session_count() as u64,
    });
    Ok(events)
}

/// The notify command, if there is one.
fn start_hook(config: &Config, events: &Hub) -> Result<Option<Hook>, Failure> {
    let start = |notify: &crate::config::Notify| Hook::start(notify.clone(), events);
    let hook = config.notify.as_ref().map(start).transpose();
    hook.map_err(|e| Failure::new(exit::INTERNAL, format!("no thread can be started: {e}")))
}

/// What happens, on disk, if it is to be.
fn start_history(
    config: &Config,
    clock: &Clock,
    events: &Hub,
    engine: &Handle,
) -> Result<Option<History>, Failure> {
    if !config.history.enabled {
        return Ok(None);
    }
    let path = config.state.join(history::FILE_NAME);
    let sessions = history::sessions_of(engine.clone());
    let started = History::start(path, config.history.clone(), clock.clone(), events, sessions);
    started.map(Some).map_err(|e| Failure::new(exit::INTERNAL, format!("no thread can be started: {e}")))
}

fn say_hello(config: &Config) {
    let file = config.file.as_ref().map_or_else(|| "flags alone".into(), |f| f.display().to_string());
    let tzdata = tzdata_version().unwrap_or_else(|| "unknown".into());
    info!(
        version = env!("CARGO_PKG_VERSION"),
        config = file,
        zone = config.zone.name(),
        tzdata,
        "seatkeeperd"
    );
}

fn say_replayed(opened: &crate::journal::Opened<RealDisk>, fold: &StateFold) {
    let sessions = fold.state.session_count();
    info!(sessions, records = opened.records, tick = opened.tick, "state read");
    if let Some(dropped) = &opened.dropped {
        warn!(
            segment = %dropped.path.display(), offset = dropped.offset, bytes = dropped.bytes,
            "the last batch was cut off and is dropped (S62): cut off by a crash or a power cut it was told to nobody"
        );
    }
    if let Some(lost) = &opened.lost {
        error!(
            damage = %lost.damage, last_kept = lost.last_kept, bytes = lost.bytes, files = ?lost.files, sessions,
            "part of the journal was given up (--accept-loss): sessions granted after the last record kept are lost"
        );
    }
}

/// The loader of the license directory, with the keys and the host it is judged by.
fn loader(config: &Config, server_key: &str, keeps_last_good: bool) -> Result<Loader, Failure> {
    let facts = HostFacts::collect(Some(server_key), &config.host_ids);
    let loader = LoaderConfig {
        directory: config.licenses.clone(),
        trusted: trusted(config)?,
        signatures: signatures(config),
        last_good: keeps_last_good.then(|| config.state.join("licenses")),
    };
    Ok(Loader::new(loader, facts))
}

fn signatures(config: &Config) -> crate::licenses::Signatures {
    match config.signatures {
        crate::config::Signatures::Required => crate::licenses::Signatures::Required,
        crate::config::Signatures::Optional => {
            warn!("signatures = \"optional\": unsigned licenses are served; for trials only (L11)");
            crate::licenses::Signatures::Optional
        }
    }
}

fn trusted(config: &Config) -> Result<Vec<crate::licenses::trust::TrustedKey>, Failure> {
    let read = |path: &std::path::PathBuf| {
        crate::licenses::trust::TrustedKey::read(path)
            .map_err(|e| Failure::new(exit::CONFIG, with_causes(&e)))
    };
    config.trusted_vendors.iter().map(read).collect()
}

fn demo_key_trusted(config: &Config) -> Result<bool, Failure> {
    let is_demo = trusted(config)?.iter().any(|key| key.is_demo());
    if is_demo {
        warn!("demo key trusted: anybody can sign licenses for this server; for trials only");
    }
    Ok(is_demo)
}

/// The policy is in force and every pool has today's total before the first client is let in.
fn bring_up_to_date(
    engine: &mut Engine<RealDisk>,
    catalog: Arc<seats::catalog::Catalog>,
    policy: Arc<seats::policy::Policy>,
    clock: &Clock,
) -> Result<(), Failure> {
    let mut asks = vec![Ask::Policy(policy, Box::new(|()| ())), Ask::Catalog(catalog, Box::new(|()| ()))];
    loop {
        engine.step(&mut asks, clock.now()).map_err(|e| failure::of_journal(&e))?;
        if !engine.has_background_work() {
            return Ok(());
        }
    }
}

/// Starts the engine's thread, and one that waits for it to end and says how.
fn start_engine(
    engine: Engine<RealDisk>,
    asks: Receiver<Ask>,
    clock: &Clock,
    notifier: &Notifier,
) -> Result<mpsc::UnboundedReceiver<Result<(), Failure>>, Failure> {
    let no_thread =
        |e: std::io::Error| Failure::new(exit::INTERNAL, format!("no thread can be started: {e}"));
    let mut watchdog = Watchdog::from_environment(notifier.clone());
    let beat = move |tick| watchdog.ping_if_due(Ticks(tick));
    let thread = engine_thread::start(engine, asks, clock.clone(), beat).map_err(no_thread)?;
    let (tell, ended) = mpsc::unbounded_channel();
    let wait = move || {
        let outcome = match thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failure::of_journal(&error)),
            Err(_) => {
                Err(Failure::new(exit::INTERNAL, "the engine has failed; start again: the journal is whole"))
            }
        };
        let _ = tell.send(outcome);
    };
    std::thread::Builder::new().name("engine-end".into()).spawn(wait).map_err(no_thread)?;
    Ok(ended)
}

/// The server's name: that of the host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
