//! Errors planted on purpose, each of which the checks find: a check that cannot fail shows nothing.
//!
//! The seeds are the same at each run, so a test here fails only when somebody has changed something.

use crate::check::Check;
use crate::plan::Flaw;
use crate::world::play;

/// In so many histories one at least must show the error.
const SEEDS: u64 = 100;

/// Plays histories with an error in them until this check finds it. It may show to `others` too.
fn finds(flaw: Flaw, check: Check, others: &[Check]) {
    let mut played = Vec::new();
    for seed in 1..=SEEDS {
        let fault = play(seed, flaw).fault;
        played.push(fault.as_ref().map(|fault| fault.check));
        let Some(fault) = fault else { continue };
        if fault.check == check {
            println!("{flaw:?}: found in seed {seed}, after {played:?}");
            return;
        }
        let text = &fault.text;
        assert!(
            others.contains(&fault.check),
            "seed {seed}: {:?} is found for {flaw:?}: {text}",
            fault.check
        );
    }
    panic!("{flaw:?} was not found in {SEEDS} histories: {played:?}");
}

#[test]
fn a_disk_that_forgets_what_it_has_synced() {
    finds(Flaw::DiskForgets, Check::NotOnDisk, &[]);
}

#[test]
fn a_replay_that_leaves_a_grant_out() {
    finds(Flaw::ReplayForgets, Check::NotOnDisk, &[]);
}

#[test]
fn a_client_that_asks_again_under_another_key() {
    finds(Flaw::NewKeyOnRetry, Check::TwoSeats, &[Check::LeftBehind]);
}

/// The queue that kept waiters for nobody, behind hundreds of cuts, was this.
#[test]
fn a_client_that_does_not_cancel_what_it_gives_up_in_doubt() {
    finds(Flaw::NeverCancels, Check::LeftBehind, &[]);
}

#[test]
fn a_server_that_grants_more_than_was_sold() {
    finds(Flaw::SellsOneMore, Check::Oversold, &[]);
}

#[test]
fn a_server_that_keeps_seats_back() {
    finds(Flaw::SellsOneLess, Check::WrongRefusal, &[Check::NotServed]);
}

#[test]
fn a_server_that_gives_seats_away_as_soon_as_a_socket_closes() {
    finds(Flaw::NoResumeWindow, Check::LostSeat, &[]);
}

#[test]
fn a_server_that_never_reaps() {
    finds(Flaw::NeverReaps, Check::LeftBehind, &[]);
}

#[test]
fn a_history_that_lacks_a_session() {
    finds(Flaw::HistoryLosesASession, Check::LostSeat, &[Check::NotOnDisk]);
}

#[test]
fn an_engine_that_does_not_hear_of_sockets_that_close() {
    finds(Flaw::DeafToCloses, Check::NotServed, &[Check::WrongRefusal]);
}

#[test]
fn a_server_that_reaps_what_is_lent_as_it_does_silent_sessions() {
    finds(Flaw::ForgetsLoans, Check::LostSeat, &[]);
}

#[test]
fn a_server_that_takes_back_what_is_lent_too_early() {
    finds(Flaw::LendsForAnHour, Check::LostSeat, &[]);
}

#[test]
fn a_server_that_takes_back_what_is_lent_too_late() {
    finds(Flaw::LendsAnHourMore, Check::Lent, &[Check::WrongRefusal]);
}
