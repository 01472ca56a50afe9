//! What the heartbeats of a hundred thousand sessions cost: ten sessions to a connection, beating as often as the server says.

use std::time::{Duration, Instant};

use serde_json::json;
use wire::answer;

use crate::common::daemon::{DAEMON, Daemon, Start};
use crate::common::licenses::write;
use crate::common::{Result, directory, hundredths, median, spread, tenths};
use crate::peers::{Peer, raise_limit, with_all};
use crate::{Scale, say};

/// Sessions of a connection.
const SESSIONS: usize = 10;
/// How often a program beats that was told nothing else (S12).
const INTERVAL: Duration = Duration::from_secs(30);

pub(crate) fn run(scale: &Scale) -> Result<()> {
    raise_limit()?;
    let clients = if scale.is_short { 100 } else { 10_000 };
    let length = Duration::from_secs(if scale.is_short { 1 } else { 10 });
    let home = directory()?;
    let licenses = write(home.path(), SESSIONS, 10_000_000, None)?;
    let state = home.path().join("state");
    let (program, home) = (DAEMON.as_ref(), home.path());
    let daemon = Start { program, home, state: &state, licenses: &licenses, core: None }.start()?;
    let mut peers: Vec<Peer> = (0..clients).map(Peer::new).collect();
    let address = daemon.address;
    with_all(&mut peers, |some| some.iter_mut().try_for_each(|peer| peer.check_out(address, 0..SESSIONS)))?;
    let (mut idle, mut paced, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        idle.push(share(&daemon, || {
            std::thread::sleep(length);
            Ok(())
        })?);
        paced.push(share(&daemon, || beat_in_turn(&mut peers, length))?);
        let before = daemon.processor_time()?;
        with_all(&mut peers, |some| {
            some.iter_mut().try_for_each(Peer::beat)?;
            some.iter_mut().try_for_each(|peer| {
                let beat: answer::Heartbeat = peer.answer()?;
                if beat.sessions as usize == SESSIONS { Ok(()) } else { Err("a session is missing".into()) }
            })
        })?;
        each.push((daemon.processor_time()? - before).as_secs_f64() * 1e6 / clients as f64);
    }
    daemon.stop()?;
    say(&json!({
        "bench": "heartbeats", "sessions": clients * SESSIONS, "connections": clients,
        "beats_a_second": tenths(clients as f64 / INTERVAL.as_secs_f64()), "n": scale.rounds,
        "idle_percent_of_a_core": hundredths(median(&idle)), "idle_spread": spread(&idle),
        "beating_percent_of_a_core": hundredths(median(&paced)), "beating_spread": spread(&paced),
        "all_at_once_us_each": hundredths(median(&each)), "each_spread": spread(&each),
    }))
}

/// Processor time of the daemon over the time that passed meanwhile, percent.
fn share(daemon: &Daemon, what: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (begun, before) = (Instant::now(), daemon.processor_time()?);
    what()?;
    Ok((daemon.processor_time()? - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
}

/// Each program in turn, so many a second that each would come again after [`INTERVAL`].
fn beat_in_turn(peers: &mut [Peer], length: Duration) -> Result<()> {
    let begun = Instant::now();
    let pause = INTERVAL / u32::try_from(peers.len())?;
    let mut sent = 0;
    while begun.elapsed() < length {
        let peer = &mut peers[sent as usize % peers.len()];
        peer.beat()?;
        peer.answer::<answer::Heartbeat>()?;
        sent += 1;
        std::thread::sleep((begun + pause * sent).saturating_duration_since(Instant::now()));
    }
    Ok(())
}
