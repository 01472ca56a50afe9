//! Words as people type them.

use super::*;
use clap::CommandFactory as _;
use std::time::Duration;

fn parse(words: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("seatkeeper").chain(words.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.command)
}

#[test]
fn the_words_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn a_run_takes_features_then_the_command_with_its_own_flags() {
    let Ok(Command::Run(run)) = parse("run cad ACME/cam --count 2 --version 4.2 --wait 9 -- sleep --for 5")
    else {
        panic!()
    };
    let cam = FeatureName { vendor: Some("ACME".into()), feature: "cam".into() };
    assert_eq!((run.want.features.len(), &run.want.features[1]), (2, &cam));
    assert_eq!((run.want.count, run.want.version.as_deref()), (2, Some("4.2")));
    assert_eq!(run.command, ["sleep", "--for", "5"]);
    assert_eq!(run.want.wait, Some(9));
}

#[test]
fn a_checkout_knows_its_release() {
    let words =
        "checkout cad --released 2030-05-02 --line-date 2030-01-01 --for 0 --share s --project p --json";
    let Ok(Command::Checkout(ask)) = parse(words) else { panic!() };
    assert_eq!((ask.keep, ask.json, ask.want.count), (Some(0), true, 1));
    assert_eq!(ask.want.released.unwrap().to_string(), "2030-05-02");
    assert_eq!((ask.want.share.as_deref(), ask.want.project.as_deref()), (Some("s"), Some("p")));
}

#[test]
fn why_says_what_is_known_of_the_user() {
    let words =
        "why ann ACME/cad --host ws7 --address 192.0.2.7 --count 2 --gmt-offset -3:30 --platform linux";
    let Ok(Command::Why(ask)) = parse(words) else { panic!() };
    assert_eq!((&*ask.user, &*ask.feature.feature, ask.count), ("ann", "cad", 2));
    assert_eq!((ask.gmt_offset, ask.address), (Some(-210), "192.0.2.7".parse().ok()));
    let Ok(Command::Why(ask)) = parse("why ann cad") else { panic!() };
    assert!(ask.host.is_none() && ask.platform.is_none() && ask.gmt_offset.is_none());
    for (text, minutes) in [("+1", 60), ("5:30", 330), ("-12", -720), ("0", 0)] {
        assert_eq!(gmt_offset(text), Ok(minutes), "{text}");
    }
    for text in ["", "+", "15", "1:60", "1:", "+-1", "1.5", "CET", "001"] {
        assert!(gmt_offset(text).is_err(), "{text}");
    }
}

#[test]
fn an_update_check_names_its_feature_in_either_way() {
    for words in ["update-check ACME/cad --version 1.1", "update-check --feature ACME/cad --version 1.1"] {
        let Ok(Command::UpdateCheck(ask)) = parse(words) else { panic!("{words}") };
        let name = ask.feature.or(ask.named).unwrap();
        assert_eq!((name.vendor.as_deref(), &*name.feature), (Some("ACME"), "cad"));
        assert_eq!(ask.version.as_deref(), Some("1.1"));
    }
    assert!(parse("update-check cad").is_ok(), "which is the newest?");
    for words in [
        "update-check",
        "update-check cad --feature cad",
        "update-check cad --version 1.x",
        "update-check cad --version 1",
        "update-check cad --installed 1.1-beta",
        "update-check cad --released 2012-04-01",
        "update-check cad --version 1.1 --released 2012-4-1",
    ] {
        assert!(parse(words).is_err(), "{words}");
    }
}

#[test]
fn a_session_is_released_by_the_name_that_lists_show() {
    let Ok(Command::Release(ask)) = parse("release 3k7 --bar 10m --reason over") else { panic!() };
    assert_eq!((ask.session, ask.bar), (SessionId(3 * 1024 + 19 * 32 + 7), Some(Duration::from_secs(600))));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for words in [
        "",
        "checkout",
        "checkout cad --count 0",
        "checkout cad --count 2147483648",
        "checkout cad --released 2030-2-1",
        "checkout cad --released 2030-02-30",
        "checkout c@d",
        "checkout a/b/c",
        "checkout cad --wait 0",
        "checkout cad --wait 5s",
        "run cad",
        "run -- sleep",
        "release",
        "release u!",
        "release 3k7 --bar 10",
        "release 3k7 --bar 0s",
        "events cad",
        "events --after x",
        "explain",
        "why ann",
        "why ann cad --address ws7",
        "why ann cad --admin a --server b",
        "borrow cad",
        "write-off",
        "write-off u!",
        "state",
        "state clock-reset",
        "state clock-reset --reason",
        "statsu",
    ] {
        let error = parse(words).err();
        let error = error.unwrap_or_else(|| panic!("{words:?} is accepted"));
        let code = crate::exit::from_clap(&error);
        // Without any words clap shows the help, on stderr.
        assert_eq!(code, crate::exit::USAGE, "{words:?}");
    }
    assert_eq!(crate::exit::from_clap(&parse("--help").unwrap_err()), 0);
    assert_eq!(crate::exit::from_clap(&parse("--version").unwrap_err()), 0);
}
