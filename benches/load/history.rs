//! The same load with and without the history (docs/HISTORY.md): what writing it costs the clients, on the same machine and disk.
//!
//! Two daemons; in every round a cell is run against both, in turns first, and the ratios are of the two runs of a round. What
//! the history could not write in time is told: where it is not 0, it was spared that work.

use std::path::Path;

use seatkeeper::history::FILE_NAME;
use serde_json::{Value, json};

use crate::common::daemon::{DAEMON, Start};
use crate::common::{self, Result, hundredths, licenses, median, spread};
use crate::generator::drive;
use crate::talk::Seats;
use crate::{FEATURES, Options, SEATS, Series};

pub(crate) fn measure(options: &Options) -> Result<Value> {
    let home = common::directory()?;
    let machine = common::machine();
    let licenses = licenses::write(home.path(), FEATURES, SEATS, None)?;
    let start = |is_kept: bool| -> Result<_> {
        let home = home.path().join(if is_kept { "with" } else { "without" });
        std::fs::create_dir_all(&home)?;
        let (state, licenses, core) = (home.join("state"), &licenses, options.server_core());
        let start = Start { program: Path::new(DAEMON), home: &home, state: &state, licenses, core };
        let daemon = start.start_configured(&[], &format!("[history]\nenabled = {is_kept}\n"))?;
        Ok((daemon, Seats::new(options.seed + u64::from(is_kept), FEATURES)))
    };
    let mut daemons = [start(false)?, start(true)?];
    let mut cells = Vec::new();
    for shape in &options.cells {
        let mut series = [Series::default(), Series::default()];
        for round in 0..options.rounds {
            for at in [round % 2, 1 - round % 2] {
                let (daemon, talk) = &mut daemons[at];
                let before = daemon.processor_time()?;
                let came = drive(daemon.address, *shape, options.length, talk)?;
                series[at].add(came, daemon.processor_time()? - before);
            }
        }
        let [without, with] = &series;
        let ratios = with.ratios(without);
        let [_, p99, _] = &with.latencies;
        let slower: Vec<f64> =
            p99.iter().zip(&without.latencies[1]).map(|(with, without)| with / without).collect();
        cells.push(json!({
            "connections": shape.connections, "depth": shape.depth, "without": without.told(), "with": with.told(),
            "ratio": hundredths(median(&ratios)), "ratio_spread": spread(&ratios),
            "p99_ratio": hundredths(median(&slower)), "p99_ratio_spread": spread(&slower),
        }));
    }
    for (daemon, _) in daemons {
        daemon.stop()?;
    }
    let history = rusqlite::Connection::open(home.path().join("with/state").join(FILE_NAME))?;
    let number = |sql| history.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok(json!({
        "bench": "load", "part": "history", "machine": machine, "rounds": options.rounds,
        "seconds": options.length.as_secs_f64(), "pinned": options.is_pinned, "seed": options.seed, "cells": cells,
        "events": number("SELECT count(*) FROM events")?,
        "missed": number("SELECT coalesce(sum(events), 0) FROM gaps WHERE reason = 'missed'")?,
    }))
}
