//! `seatkeeperd --check`: what would be served, and every problem, without serving (interfaces.md 2).

use seats::catalog::Catalog;
use seats::evaluate::{State, evaluate, explain, forecast, lower_successors};
use seats::request::NameRules;

use super::keeper::{lower_total, shown};
use super::loader;
use crate::causes::with_causes;
use crate::clock::{Clock, Ticks};
use crate::config::Config;
use crate::exit;
use crate::policy::analysis::analyze;
use crate::state::Identity;

/// How many days of change are shown for a feature.
const CHANGES_MAX: usize = 5;

/// Prints to standard output; the exit code is 0 when nothing is wrong, else 78.
pub(super) fn run(config: &Config) -> u8 {
    // The key of a state that was never used does not exist yet: SERVERKEY then matches nothing.
    let server_key = match Identity::load(&config.state) {
        Ok(identity) => identity.map(|i| i.fingerprint()).unwrap_or_default(),
        Err(error) => {
            println!("state: {}", with_causes(&error));
            return exit::CONFIG;
        }
    };
    let set = match loader(config, &server_key, false)
        .and_then(|mut loader| loader.load().map_err(|e| super::Failure::new(exit::CONFIG, with_causes(&e))))
    {
        Ok(set) => set,
        Err(failure) => {
            println!("{}", failure.text);
            return exit::CONFIG;
        }
    };
    let clock = Clock::system(config.zone.clone(), Ticks(0));
    let today = clock.now().today;
    let catalog = Catalog::new(set.licenses).with_releases(set.releases);
    let file = config.file.as_ref().map_or_else(|| "flags alone".into(), |f| f.display().to_string());
    println!("configuration: {file}");
    println!("licenses:      {}", config.licenses.display());
    println!("today:         {today} in {}", config.zone.name());
    let mut problems: Vec<_> = set.problems.iter().map(shown).collect();
    for feature in catalog.features() {
        let evaluation = evaluate(feature, today);
        let vendor = feature.vendor.as_str();
        println!(
            "\n{}{}: {} seats today",
            feature.feature,
            if vendor.is_empty() { String::new() } else { format!(" ({vendor})") },
            evaluation.total
        );
        for pool in evaluation.pools.iter().filter(|pool| evaluation.base != Some(pool.license)) {
            let license = &feature.licenses[pool.license];
            let seats = match license.key_type {
                seats::license::KeyType::Token => String::new(),
                _ => format!(": {} seats beside them", pool.total),
            };
            println!("  {} SN {}{seats}", license.key_type.as_str(), license.sn.as_deref().unwrap_or("-"));
        }
        for (at, license) in feature.licenses.iter().enumerate() {
            let standing = evaluation.standings[at];
            let sign = if standing.state == State::InForce { "+" } else { " " };
            let count = match license.count {
                Some(count) => seats::evaluate::Total::from(count).to_string(),
                None if license.key_type == seats::license::KeyType::Token => "-".into(),
                None => "local".into(),
            };
            let sn = license.sn.as_deref().unwrap_or("-");
            println!("  {sign} {count:>10}  {} SN {sn} ({})", license.key_type.as_str(), license.place);
            if let Some(why) = explain(feature, &evaluation, at) {
                println!("                {}: {why}", standing.reason.map_or("", |r| r.as_str()));
            }
        }
        for change in forecast(feature, today, CHANGES_MAX) {
            let pools = change.pools.iter().filter(|pool| pool.kind != seats::change::PoolKind::Exclusive);
            let beside: Vec<String> = pools
                .filter(|pool| pool.kind != seats::change::PoolKind::Token)
                .map(|pool| format!(" + {}", pool.total))
                .collect();
            println!("    from {}: {}{} seats", change.day, change.total, beside.concat());
        }
        problems.extend(lower_successors(feature, today).iter().map(|w| lower_total(feature, w)));
        problems.extend(super::keeper::token_faults(feature));
        problems.extend(super::keeper::not_lent(feature));
    }
    release_lists(&catalog);
    let is_policy_good = check_policy(config, &catalog, today);
    println!("\n{} problem(s)", problems.len());
    for p in &problems {
        let place = match (p.line, p.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        println!("{}{place}: {} ({})", p.file.as_deref().unwrap_or(""), p.message, p.reason);
    }
    if problems.is_empty() && is_policy_good { exit::OK } else { exit::CONFIG }
}

/// How many releases of which feature each list has (rules 3, amendments).
fn release_lists(catalog: &Catalog) {
    for (nth, (list, counts)) in catalog.release_lists().enumerate() {
        if nth == 0 {
            println!("\nreleases:");
        }
        let sign = if counts { "+" } else { " " };
        let vendor = list.vendor.as_str();
        let vendor = if vendor.is_empty() { String::new() } else { format!(" ({vendor})") };
        let newest = match list.releases.last() {
            Some(newest) => format!(", the newest {} of {}", newest.version, newest.date),
            None => String::new(),
        };
        let many = list.releases.len();
        println!("  {sign} {}{vendor}: {many} release(s){newest} ({})", list.feature, list.place);
        match &list.refusal {
            Some(refusal) => println!("      {}: {}", refusal.reason, refusal.message),
            None if !counts => println!("      another list of this feature counts in its place"),
            None => {}
        }
    }
}

/// What the policy comes to with these licenses, or every error of it; whether it can be served. Warnings do not hinder.
fn check_policy(config: &Config, catalog: &Catalog, today: chrono::NaiveDate) -> bool {
    let Some(path) = &config.policy else { return true };
    match crate::policy::read_file(path) {
        Ok(rules) => {
            let names = NameRules { fqdn: config.fqdn };
            println!("\npolicy: {}", analyze(&rules, names, catalog, today));
            true
        }
        Err(errors) => {
            println!("\npolicy: {} error(s), nothing of it is served", errors.len());
            errors.iter().for_each(|error| println!("{error}"));
            false
        }
    }
}
