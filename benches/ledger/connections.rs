//! What a connection costs that says hello and then nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use wire::frame;
use wire::request;

use crate::common::daemon::{DAEMON, Start};
use crate::common::licenses::write;
use crate::common::{Result, directory, median, spread};
use crate::{Scale, say};

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let connections = if scale.is_short { 200 } else { 5_000 };
    let home = directory()?;
    let licenses = write(home.path(), 1, 10, None)?;
    let mut memory = Vec::new();
    for round in 0..scale.rounds {
        let state = home.path().join(format!("state-{round}"));
        let (program, home) = (DAEMON.as_ref(), home.path());
        let daemon = Start { program, home, state: &state, licenses: &licenses, core: None }.start()?;
        // The first one pays for what all share.
        let _first = connect(daemon.address)?;
        let before = daemon.memory()?;
        let streams = (0..connections).map(|_| connect(daemon.address)).collect::<Result<Vec<_>>>()?;
        memory.push(daemon.memory()?.saturating_sub(before) as f64 / f64::from(connections));
        drop(streams);
        daemon.stop()?;
    }
    say(&json!({
        "bench": "idle-connections", "connections": connections, "n": scale.rounds,
        "bytes_each": median(&memory).round(), "spread": spread(&memory),
    }))
}

fn connect(address: std::net::SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    let mut hello = Vec::new();
    frame::append(&mut hello, 1, &request::Hello { install_id: [9; 16], ..Default::default() })?;
    stream.write_all(&hello)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}
