//! The same load while `/metrics` of 1,000 features is scraped 100 times a second (issue 6): what it costs the clients.
//!
//! In every round a cell is run without and with the scrapes, in turns first, against one daemon; the ratios are of the two
//! runs of a round. The scraper is a thread of this process and reads every text to its end, on four connections in turn; it takes gzip, as
//! Prometheus does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::daemon::{DAEMON, Start};
use crate::common::{self, Result, hundredths, licenses, median, spread, tenths};
use crate::generator::drive;
use crate::talk::Seats;
use crate::{Options, SEATS, Series};

const FEATURES: usize = 1_000;
const SCRAPES_A_SECOND: u32 = 100;
const CONNECTIONS: usize = 4;

/// What the scraper did in one run.
#[derive(Default)]
struct Scrapes {
    done: usize,
    bytes: usize,
    milliseconds: Vec<f64>,
}

pub(crate) fn measure(options: &Options) -> Result<Value> {
    let home = common::directory()?;
    let machine = common::machine();
    let licenses = licenses::write(home.path(), FEATURES, SEATS, None)?;
    let state = home.path().join("state");
    let program = Path::new(DAEMON);
    let start =
        Start { program, home: home.path(), state: &state, licenses: &licenses, core: options.server_core() };
    let daemon = start.start_with(&["--http", "127.0.0.1:0"])?;
    let http = daemon.http.ok_or("the daemon answers no HTTP")?;
    let mut talk = Seats::new(options.seed, FEATURES);
    let mut cells = Vec::new();
    for shape in &options.cells {
        let mut series = [Series::default(), Series::default()];
        let mut all = Scrapes::default();
        for round in 0..options.rounds {
            // Whatever warms up or wears out does so for both.
            for with in [round % 2 == 1, round % 2 == 0] {
                let is_over = AtomicBool::new(false);
                let (came, spent, scrapes) = std::thread::scope(|scope| -> Result<_> {
                    let scraper = with.then(|| scope.spawn(|| scrape(http, &is_over)));
                    let before = daemon.processor_time()?;
                    let came = drive(daemon.address, *shape, options.length, &mut talk);
                    is_over.store(true, Ordering::Relaxed);
                    let scrapes = scraper.map(|scraper| scraper.join().map_err(|_| "the scraper failed"));
                    Ok((came?, daemon.processor_time()? - before, scrapes.transpose()?.transpose()?))
                })?;
                series[usize::from(with)].add(came, spent);
                if let Some(scrapes) = scrapes {
                    all.done += scrapes.done;
                    all.bytes = scrapes.bytes;
                    all.milliseconds.extend(scrapes.milliseconds);
                }
            }
        }
        let [without, with] = &series;
        let ratios = with.ratios(without);
        let [_, p99, _] = &with.latencies;
        let slower: Vec<f64> =
            p99.iter().zip(&without.latencies[1]).map(|(with, without)| with / without).collect();
        all.milliseconds.sort_by(f64::total_cmp);
        cells.push(json!({
            "connections": shape.connections, "depth": shape.depth, "without": without.told(), "with": with.told(),
            "ratio": hundredths(median(&ratios)), "ratio_spread": spread(&ratios),
            "p99_ratio": hundredths(median(&slower)), "p99_ratio_spread": spread(&slower),
            "scrapes": { "n": all.done, "bytes": all.bytes, "p50_ms": tenths(common::quantile(&all.milliseconds, 0.5)),
                "p99_ms": tenths(common::quantile(&all.milliseconds, 0.99)) },
        }));
    }
    daemon.stop()?;
    Ok(json!({
        "bench": "load", "part": "scrape", "machine": machine, "rounds": options.rounds,
        "seconds": options.length.as_secs_f64(), "pinned": options.is_pinned, "seed": options.seed, "features": FEATURES,
        "scrapes_a_second": SCRAPES_A_SECOND, "cells": cells,
    }))
}

/// Scrapes until it is over, at its pace; one that takes longer than its time delays the next.
fn scrape(http: SocketAddr, is_over: &AtomicBool) -> Result<Scrapes> {
    let connect = || -> Result<TcpStream> {
        let stream = TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(stream)
    };
    let mut streams = (0..CONNECTIONS).map(|_| connect()).collect::<Result<Vec<_>>>()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {http}\r\nAccept-Encoding: gzip\r\n\r\n");
    let (mut scrapes, mut buffer) = (Scrapes::default(), vec![0; 256 << 10]);
    let begun = Instant::now();
    for nth in 0u32.. {
        let due = Duration::from_secs(1) * nth / SCRAPES_A_SECOND;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let asked = Instant::now();
        let stream = &mut streams[nth as usize % CONNECTIONS];
        stream.write_all(request.as_bytes())?;
        scrapes.bytes = read(stream, &mut buffer)?;
        scrapes.done += 1;
        scrapes.milliseconds.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    Ok(scrapes)
}

/// Reads one answer whole; the bytes of its body.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    let (end, length) = loop {
        let read = stream.read(&mut buffer[have..])?;
        have += read;
        if let Some(end) = buffer[..have].windows(4).position(|part| part == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end])?.to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(format!("a scrape was refused: {head}").into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            break (end + 4, length.ok_or("an answer of unknown length")?.trim().parse::<usize>()?);
        }
        if read == 0 || have == buffer.len() {
            return Err("no answer to a scrape".into());
        }
    };
    let mut left = (end + length).saturating_sub(have);
    while left > 0 {
        let read = stream.read(buffer)?;
        if read == 0 {
            return Err("an answer to a scrape was cut off".into());
        }
        left = left.saturating_sub(read);
    }
    Ok(length)
}
