//! Ten thousand programs that come back at once after the daemon was killed: how long until all have their seats again,
//! beside as many that connect and only say hello.

use std::time::Instant;

use serde_json::json;
use wire::answer;

use crate::common::daemon::{DAEMON, Start};
use crate::common::licenses::write;
use crate::common::{Result, directory, hundredths, median, spread};
use crate::peers::{Peer, raise_limit, with_all};
use crate::{Scale, say};

/// Features the seats are of.
const FEATURES: usize = 200;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    raise_limit()?;
    let clients = if scale.is_short { 200 } else { 10_000 };
    let home = directory()?;
    let licenses = write(home.path(), FEATURES, 10_000_000, None)?;
    let state = home.path().join("state");
    let start = || {
        Start { program: DAEMON.as_ref(), home: home.path(), state: &state, licenses: &licenses, core: None }
            .start()
    };
    let mut peers: Vec<Peer> = (0..clients).map(Peer::new).collect();
    let daemon = start()?;
    let address = daemon.address;
    with_all(&mut peers, |some| {
        some.iter_mut().enumerate().try_for_each(|(n, peer)| {
            let feature = n % FEATURES;
            peer.check_out(address, feature..feature + 1)
        })
    })?;
    let (mut ready, mut hello, mut resumed) = (Vec::new(), Vec::new(), Vec::new());
    let mut running = daemon;
    for _ in 0..scale.rounds {
        // kill -9: a daemon that is dropped is killed.
        drop(running);
        peers.iter_mut().for_each(Peer::hang_up);
        running = start()?;
        let address = running.address;
        ready.push(running.to_ready.as_secs_f64() * 1e3);
        let begun = Instant::now();
        with_all(&mut peers, |some| {
            some.iter_mut().try_for_each(|peer| peer.say_hello(address))?;
            some.iter_mut().try_for_each(|peer| peer.answer::<answer::Hello>().map(|_| ()))
        })?;
        hello.push(begun.elapsed().as_secs_f64() * 1e3);
        peers.iter_mut().for_each(Peer::hang_up);
        let begun = Instant::now();
        with_all(&mut peers, |some| {
            some.iter_mut().try_for_each(|peer| peer.say_resume(address))?;
            some.iter_mut().try_for_each(|peer| {
                peer.answer::<answer::Hello>()?;
                let resumed: answer::Resume = peer.answer()?;
                if resumed.sessions.len() == 1 { Ok(()) } else { Err("a session is missing".into()) }
            })
        })?;
        resumed.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    running.stop()?;
    let ratio: Vec<f64> = resumed.iter().zip(&hello).map(|(resumed, hello)| resumed / hello).collect();
    say(&json!({
        "bench": "resume-storm", "clients": clients, "n": scale.rounds,
        "restart_to_ready_ms": hundredths(median(&ready)), "ready_spread": spread(&ready),
        "hello_only_ms": hundredths(median(&hello)), "hello_spread": spread(&hello),
        "all_active_ms": hundredths(median(&resumed)), "all_active_spread": spread(&resumed),
        "ratio": hundredths(median(&ratio)), "ratio_spread": spread(&ratio),
    }))
}
