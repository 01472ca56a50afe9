//! Keeps the licenses and the policy: loads them on a thread of its own, hands what is new to the engine, remembers the
//! problems.
//!
//! Reading and verifying a hundred thousand licenses takes a second; nobody waits for it but who asked (L6).

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use chrono::NaiveDate;
use seats::catalog::{Catalog, FeatureLicenses};
use seats::evaluate::{evaluate, lower_successors};
use seats::license::{License, Name, Reason};
use seats::policy::Policy;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

use super::rules::Rules;
use super::stop::Signal;
use super::{Failure, host_name};
use crate::causes::with_causes;
use crate::clock::{Clock, rfc3339};
use crate::engine::ask::Ask;
use crate::engine::thread::Handle;
use crate::events::Hub;
use crate::events::what::{AdminAction, LicensesProblem, LicensesReloaded, PolicyReloaded};
use crate::exit;
use crate::hostid::HostFacts;
use crate::licenses::watch::{RESCAN, Watch, watch};
use crate::licenses::{LicenseSet, Loader, Problem};
use crate::report;
use crate::server::Admin;
use crate::server::reports::Facts;

/// How many new problems of one load are logged each in a line of its own (S83).
const PROBLEMS_TOLD_MAX: usize = 100;

type Then = Box<dyn FnOnce(String) + Send>;

enum Command {
    /// Something may have changed.
    Look,
    /// Somebody asked, and wants to know what came of it.
    Reload(String, Then),
}

/// The loaded licenses, and how to load them again.
pub(super) struct Keeper {
    loader: Loader,
    rules: Rules,
    catalog: Arc<Catalog>,
    set: LicenseSet,
    facts: Arc<KeeperFacts>,
    events: Hub,
}

/// What a keeper starts with.
pub(super) struct Loaded {
    pub(super) loader: Loader,
    pub(super) rules: Rules,
    pub(super) host: HostFacts,
    pub(super) demo_key_trusted: bool,
    pub(super) events: Hub,
}

/// What reports tell beside the ledger.
pub(super) struct KeeperFacts {
    fixed: report::Server,
    problems: ArcSwap<Vec<report::Problem>>,
    /// What is wrong with the state directory, beside them.
    of_state: ArcSwap<Vec<report::Problem>>,
    /// For `hostid --explain`: a loader reads the blocks again from the files.
    host: Mutex<(HostFacts, Loader)>,
}

impl Keeper {
    /// Reads the directory for the first time. `day`: the day used for grants.
    ///
    /// # Errors
    /// The directory cannot be read and nothing is known of what was in it.
    pub(super) fn load(
        loaded: Loaded,
        clock: &Clock,
        day: NaiveDate,
        server_key: &str,
    ) -> Result<(Keeper, Arc<Catalog>), Failure> {
        let Loaded { mut loader, rules, host, demo_key_trusted, events } = loaded;
        let set = loader.load().map_err(|e| Failure::new(exit::CONFIG, with_causes(&e)))?;
        let catalog = catalog(&set);
        let fixed = report::Server {
            name: host_name(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: Some(rfc3339(clock.unix_ms())),
            time_zone: Some(clock.zone().name().to_owned()),
            key: Some(server_key.to_owned()),
            demo_key_trusted,
            ..Default::default()
        };
        let reader = Loader::new(loader.config().clone(), host.clone());
        let facts = Arc::new(KeeperFacts {
            fixed,
            problems: ArcSwap::default(),
            of_state: ArcSwap::default(),
            host: Mutex::new((host, reader)),
        });
        let mut keeper =
            Keeper { loader, rules, catalog: catalog.clone(), set: LicenseSet::default(), facts, events };
        keeper.take_note(set, day);
        Ok((keeper, catalog))
    }

    pub(super) fn facts(&self) -> Arc<KeeperFacts> {
        self.facts.clone()
    }

    /// Starts the thread that loads again, and the watch that wakes it.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(self, engine: Handle, directory: &Path) -> Result<Reloader, Failure> {
        let failed =
            |e: std::io::Error| Failure::new(exit::INTERNAL, format!("no thread can be started: {e}"));
        let (commands, received) = channel();
        let wake = commands.clone();
        let watch = watch(directory, RESCAN, move || {
            let _ = wake.send(Command::Look);
        })
        .map_err(failed)?;
        let run = move || self.run(&received, &engine);
        std::thread::Builder::new().name("licenses".into()).spawn(run).map_err(failed)?;
        Ok(Reloader { commands, _watch: Arc::new(watch) })
    }

    fn run(mut self, commands: &Receiver<Command>, engine: &Handle) {
        while let Ok(command) = commands.recv() {
            let then = match command {
                Command::Look => None,
                Command::Reload(who, then) => {
                    info!(by = who, "reading licenses and policy again");
                    self.events.publish(AdminAction {
                        action: "reload".into(),
                        by: who,
                        ..Default::default()
                    });
                    Some(then)
                }
            };
            let policy = then.as_ref().and_then(|_| self.rules.read_again());
            let is_reload = then.is_some();
            if let Some(refused) = self.rules.refusal().filter(|_| is_reload) {
                self.events.publish(refused);
            }
            let Some(day) = day_served(engine) else { return };
            let set = match self.loader.load() {
                Ok(set) => set,
                Err(error) => {
                    // Only where nothing was ever loaded from there: what there is stays in force.
                    error!(error = with_causes(&error), "licenses cannot be read");
                    let answer = then.map(|then| (then, self.reloaded(&self.catalog, day)));
                    if !self.take_policy(engine, policy, told(answer)) {
                        return;
                    }
                    continue;
                }
            };
            let before = self.catalog.clone();
            let is_changed = set.licenses != self.set.licenses || set.releases != self.set.releases;
            if is_changed {
                self.catalog = catalog(&set);
            }
            let is_news = is_changed || is_reload || set.problems != self.set.problems;
            if is_news {
                self.take_note(set, day);
            }
            let answer = then.map(|then| (then, self.reloaded(&before, day)));
            let catalog = self.catalog.clone();
            let taken = self.told_of(is_news, told(answer));
            if is_changed {
                // Whoever hears that the licenses are in force hears it of the policy too: it was taken before.
                if !self.take_policy(engine, policy, Box::new(|()| ())) {
                    return;
                }
                info!(
                    licenses = self.set.licenses.len(),
                    release_lists = self.set.releases.len(),
                    problems = self.set.problems.len(),
                    "licenses changed"
                );
                if engine.ask_patiently(Ask::Catalog(catalog, taken)).is_err() {
                    return;
                }
            } else if !self.take_policy(engine, policy, taken) {
                return;
            }
        }
    }

    /// Remembers a set and says what is new about its problems.
    fn take_note(&mut self, set: LicenseSet, today: NaiveDate) {
        let known: HashSet<String> = self.set.problems.iter().map(ToString::to_string).collect();
        let mut new = set.problems.iter().filter(|p| !known.contains(&p.to_string()));
        for problem in new.by_ref().take(PROBLEMS_TOLD_MAX) {
            warn!("{problem}");
            self.events.publish(in_event(problem));
        }
        let untold = new.count();
        if untold > 0 {
            warn!(problems = untold, "and more problems in license files; `seatkeeper status` shows them");
        }
        let mut problems: Vec<report::Problem> = set.problems.iter().map(shown).collect();
        for feature in self.catalog.features() {
            for warning in lower_successors(feature, today) {
                let problem = lower_total(feature, &warning);
                warn!("{}", problem.message);
                problems.push(problem);
            }
            for problem in token_faults(feature).chain(not_lent(feature)) {
                warn!("{}", problem.message);
                problems.push(problem);
            }
        }
        problems.extend(self.rules.problems());
        self.facts.problems.store(Arc::new(problems));
        self.set = set;
    }

    /// As `taken`, and the event that what was read is in force: after those of the totals that it changed.
    fn told_of(&self, is_news: bool, taken: Box<dyn FnOnce(()) + Send>) -> Box<dyn FnOnce(()) + Send> {
        if !is_news {
            return taken;
        }
        let reloaded = LicensesReloaded {
            files: self.files(),
            licenses: self.set.licenses.len() as u64,
            problems: self.facts.problems.load().len() as u64,
        };
        let events = self.events.clone();
        Box::new(move |()| {
            events.publish(reloaded);
            taken(());
        })
    }

    /// Hands a new policy to the engine, which calls `taken` when it is in force; without one it is called at once.
    /// `false`: the engine has stopped.
    fn take_policy(
        &self,
        engine: &Handle,
        policy: Option<Arc<Policy>>,
        taken: Box<dyn FnOnce(()) + Send>,
    ) -> bool {
        let Some(policy) = policy else {
            taken(());
            return true;
        };
        let rules = policy.rule_set();
        let (rules, groups) = (rules.rules.len() as u64, rules.groups.len() as u64);
        let events = self.events.clone();
        let taken = Box::new(move |()| {
            events.publish(PolicyReloaded { rules, groups });
            taken(());
        });
        engine.ask_patiently(Ask::Policy(policy, taken)).is_ok()
    }

    /// How many files the licenses and release lists are from.
    fn files(&self) -> u64 {
        let places = self.set.licenses.iter().map(|license| &license.place);
        let places = places.chain(self.set.releases.iter().map(|list| &list.place));
        let files: HashSet<&str> = places.map(|place| &*place.file).collect();
        files.len() as u64
    }

    /// What a reload came to, for who asked.
    fn reloaded(&self, before: &Catalog, today: NaiveDate) -> String {
        let reload = report::Reload {
            schema: report::SCHEMA,
            files: self.files(),
            licenses: self.set.licenses.len() as u64,
            changes: total_changes(before, &self.catalog, today),
            problems: self.facts.problems.load().to_vec(),
        };
        serde_json::to_string(&reload).unwrap_or_default()
    }
}

/// The licenses of a set, with what vendors signed about their releases.
fn catalog(set: &LicenseSet) -> Arc<Catalog> {
    Arc::new(Catalog::new(set.licenses.clone()).with_releases(set.releases.clone()))
}

/// Tells who asked for a reload what came of it.
fn told(answer: Option<(Then, String)>) -> Box<dyn FnOnce(()) + Send> {
    Box::new(move |()| {
        if let Some((then, json)) = answer {
            then(json);
        }
    })
}

/// The day used for grants, which the wall clock alone does not tell (S71). `None`: the engine has stopped.
fn day_served(engine: &Handle) -> Option<NaiveDate> {
    let (give, take) = channel();
    let ask = Ask::Picture(Box::new(move |picture| {
        let _ = give.send(picture.day);
    }));
    engine.ask_patiently(ask).ok()?;
    take.recv().ok()
}

/// The features whose total differs between two sets, today.
fn total_changes(before: &Catalog, after: &Catalog, today: NaiveDate) -> Vec<report::TotalChange> {
    let total = |catalog: &Catalog, vendor: &Name, feature: &Name| {
        catalog
            .index_of(vendor, feature)
            .map_or(Some(0), |at| evaluate(&catalog.features()[at], today).seats_in_all())
    };
    let gone = before.features().iter().filter(|f| after.index_of(&f.vendor, &f.feature).is_none());
    let mut changes = Vec::new();
    for feature in after.features().iter().chain(gone) {
        let old = total(before, &feature.vendor, &feature.feature);
        let new = total(after, &feature.vendor, &feature.feature);
        if old != new {
            changes.push(report::TotalChange {
                vendor: feature.vendor.as_str().into(),
                feature: feature.feature.as_str().into(),
                old_total: old,
                new_total: new,
                reason: "licenses changed".into(),
            });
        }
    }
    changes
}

/// A problem as an event tells of it.
fn in_event(problem: &Problem) -> LicensesProblem {
    let report::Problem { file, line, column, feature, sn, reason, message } = shown(problem);
    LicensesProblem { file: file.unwrap_or_default(), line, column, feature, sn, reason, message }
}

/// A problem as reports show it.
pub(super) fn shown(problem: &Problem) -> report::Problem {
    report::Problem {
        file: Some(problem.file.to_string()),
        line: problem.line,
        column: problem.column,
        feature: problem.feature.clone(),
        sn: problem.sn.clone(),
        reason: problem.reason.as_str().into(),
        message: problem.message.clone(),
    }
}

/// L31: a successor takes over while the older license is still valid, and grants less.
pub(super) fn lower_total(
    feature: &FeatureLicenses,
    warning: &seats::evaluate::LowerSuccessor,
) -> report::Problem {
    let (older, successor) = (&feature.licenses[warning.older], &feature.licenses[warning.successor]);
    report::Problem {
        file: Some(successor.place.file.to_string()),
        line: Some(successor.place.line),
        column: Some(successor.place.column),
        feature: Some(feature.feature.as_str().into()),
        sn: successor.sn.as_ref().map(|sn| sn.to_string()),
        reason: "superseded".into(),
        message: format!(
            "from {} on it grants {} in place of {}, while the license in {} would still be valid (L31): \
             ask the vendor whether that is meant",
            warning.day, warning.total, warning.total_without, older.place
        ),
    }
}

/// S40: licenses that say BORROW and lend nothing. They serve as any other.
pub(super) fn not_lent(feature: &FeatureLicenses) -> impl Iterator<Item = report::Problem> + '_ {
    let asks = |l: &&Arc<License>| l.refusal.is_none() && l.carried.borrow_hours.is_some();
    feature.licenses.iter().filter(asks).filter_map(|license| {
        let why = license.lends().err()?;
        Some(report::Problem {
            file: Some(license.place.file.to_string()),
            line: Some(license.place.line),
            column: Some(license.place.column),
            feature: Some(license.feature.as_str().into()),
            sn: license.sn.as_ref().map(|sn| sn.to_string()),
            reason: Reason::SettingNotAllowed.as_str().into(),
            message: format!("it is served without borrowing: it {} (S40)", why.as_text()),
        })
    })
}

/// Tokens that never work, whatever the day (L51): the files are well as far as each can be read alone.
pub(super) fn token_faults(feature: &FeatureLicenses) -> impl Iterator<Item = report::Problem> + '_ {
    feature.licenses.iter().enumerate().filter_map(|(at, license)| {
        let fault = feature.token_fault(at)?;
        Some(report::Problem {
            file: Some(license.place.file.to_string()),
            line: Some(license.place.line),
            column: Some(license.place.column),
            feature: Some(license.feature.as_str().into()),
            sn: license.sn.as_ref().map(|sn| sn.to_string()),
            reason: fault.reason.as_str().into(),
            message: fault.message.clone(),
        })
    })
}

impl KeeperFacts {
    /// The server's name.
    pub(super) fn name(&self) -> String {
        self.fixed.name.clone()
    }

    /// Remembers what is wrong with the state directory.
    pub(super) fn note_state(&self, problems: Vec<report::Problem>) {
        self.of_state.store(Arc::new(problems));
    }
}

impl Facts for KeeperFacts {
    fn server(&self) -> report::Server {
        self.fixed.clone()
    }

    fn problems(&self) -> Arc<Vec<report::Problem>> {
        let (of_state, of_files) = (self.of_state.load(), self.problems.load_full());
        if of_state.is_empty() {
            return of_files;
        }
        Arc::new(of_state.iter().chain(of_files.iter()).cloned().collect())
    }
}

/// Asks for the licenses to be read again. Clones ask the same keeper.
#[derive(Clone)]
pub(super) struct Reloader {
    commands: Sender<Command>,
    /// The watch lives as long as somebody may ask.
    _watch: Arc<Watch>,
}

impl Reloader {
    /// `then` gets the JSON of what came of it when every pool is up to date.
    pub(super) fn ask(&self, who: &str, then: Then) {
        let _ = self.commands.send(Command::Reload(who.to_owned(), then));
    }
}

/// What administrators can do beside sessions (S80).
pub(super) struct Administration {
    reloader: Reloader,
    stop: UnboundedSender<Signal>,
    facts: Arc<KeeperFacts>,
    events: Hub,
}

impl Administration {
    pub(super) fn new(
        reloader: Reloader,
        stop: UnboundedSender<Signal>,
        facts: Arc<KeeperFacts>,
        events: Hub,
    ) -> Administration {
        Administration { reloader, stop, facts, events }
    }
}

impl Admin for Administration {
    fn reload(&self, by: &str, then: Then) {
        self.reloader.ask(by, then);
    }

    fn shut_down(&self, by: &str) {
        let (action, by_whom) = ("shutdown".into(), by.to_owned());
        self.events.publish(AdminAction { action, by: by_whom, ..Default::default() });
        let _ = self.stop.send(Signal::Stop(by.to_owned()));
    }

    fn host_ids(&self, explain: Option<&str>) -> String {
        let host = self.facts.host.lock().unwrap_or_else(PoisonError::into_inner);
        let (facts, loader) = &*host;
        let entry = |kind: &str, value: Option<String>, note: Option<String>| report::HostId {
            kind: kind.into(),
            value,
            note,
        };
        let mut host_ids: Vec<report::HostId> =
            facts.facts.iter().map(|f| entry(f.kind.as_str(), Some(f.value.clone()), None)).collect();
        host_ids
            .extend(facts.unreadable.iter().map(|u| entry(u.kind.as_str(), None, Some(u.message.clone()))));
        let licenses = explain
            .and_then(Name::new)
            .map(|feature| loader.explain_host_ids(&feature).iter().map(host_match).collect());
        let answer = report::HostIds { schema: report::SCHEMA, host_ids, licenses };
        serde_json::to_string(&answer).unwrap_or_default()
    }
}

fn host_match(license: &crate::licenses::HostExplanation) -> report::HostMatch {
    let entry = |e: &crate::hostid::EntryMatch| report::HostEntry {
        kind: e.entry.kind.as_str().into(),
        value: e.entry.value.clone(),
        matches: e.matched,
    };
    report::HostMatch {
        sn: license.sn.as_ref().map(|sn| sn.to_string()),
        file: Some(license.place.file.to_string()),
        line: Some(license.place.line),
        matches: license.found.matched,
        match_rate: license.match_rate.into(),
        blocks: license.found.blocks.iter().map(|b| b.entries.iter().map(entry).collect()).collect(),
    }
}
