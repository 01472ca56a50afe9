//! `lmutil lmstat -a` and `-i`.

use chrono::NaiveDate;
use seats::change::SessionId;
use serde_json::Value;

use super::{
    Differences, Local, between, features, in_use, number, sessions, text, total, unix, vendor, version, word,
};
use crate::outputs::Told;

/// `Users of NAME` and what stands below it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    name: String,
    /// Issued and in use; `None`: uncounted.
    numbers: Option<(String, String)>,
    blocks: Vec<Block>,
}

/// The users of one pool.
#[derive(Clone, Debug, Default, PartialEq)]
struct Block {
    name: String,
    version: String,
    vendor: String,
    expiry: String,
    is_counted: bool,
    /// Seats, and the server.
    reserved: Option<(String, String)>,
    uses: Vec<Use>,
    queue: Vec<Use>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Use {
    user: String,
    host: String,
    /// Of who waits the `0.0` belongs to it.
    display: String,
    version: String,
    /// HOST/PORT, as every line names the server.
    server: String,
    handle: String,
    /// `None`: it waits.
    start: Option<String>,
    count: String,
    /// Seconds left and in all.
    linger: Option<(String, String)>,
}

fn handle(id: &str) -> String {
    id.parse::<SessionId>().expect("a session's number").0.to_string()
}

fn day(day: &Value) -> Option<String> {
    let day = NaiveDate::parse_from_str(day.as_str()?, "%Y-%m-%d").expect("a day");
    Some(day.format("%-d-%b-%Y").to_string().to_lowercase())
}

fn expected(told: &Told, local: &Local, server: &str) -> Vec<Shown> {
    let started = text(&told.status["server"], "started_at");
    let one = |s: &Value, pool: &Value| {
        let since = s["since"].as_str().unwrap_or(started);
        let linger = s["borrowed_until"].as_str().map(|until| {
            let left =
                local.now.as_ref().map_or_else(|| "?".into(), |now| (unix(until) - unix(now)).to_string());
            (left, (unix(until) - unix(since)).to_string())
        });
        Use {
            user: word(text(s, "user"), '_', false),
            host: word(text(s, "host"), '-', true),
            display: s["display"].as_str().map_or_else(|| "/dev/tty".into(), |d| word(d, '_', false)),
            version: version(if s["version"].is_null() { &pool["version"] } else { &s["version"] }),
            server: server.into(),
            handle: handle(text(s, "id")),
            start: Some(local.civil(since).format("%a %-m/%-d %-H:%M").to_string()),
            count: number(s, "count").to_string(),
            linger,
        }
    };
    let block = |f: &Value, pool: &Value| {
        let licenses = pool["licenses"].as_array().into_iter().flatten();
        let own = licenses.clone().find(|l| l["key_type"] == pool["key_type"]);
        let end = own.map_or(&f["end"], |license| &license["end"]);
        Block {
            name: text(f, "name").into(),
            // Without a license that grants, those of the one that ended last.
            version: version(if pool["version"].is_null() && own.is_none() {
                &f["version"]
            } else {
                &pool["version"]
            }),
            vendor: vendor(f).into(),
            expiry: day(end).unwrap_or_else(|| "permanent(no expiration date)".into()),
            is_counted: total(f).is_some(),
            uses: sessions(told, f).filter(|s| s["pool"] == pool["id"]).map(|s| one(s, pool)).collect(),
            ..Block::default()
        }
    };
    let of = |f: &Value| {
        let queue = told.queue["queue"].as_array().expect("a queue").iter();
        let waits: Vec<Use> = queue
            .filter(|w| w["state"] != "served")
            .filter_map(|w| {
                let wanted = w["features"].as_array()?.iter().find(|wanted| {
                    text(wanted, "feature").eq_ignore_ascii_case(text(f, "name"))
                        && (wanted["vendor"].is_null() || wanted["vendor"] == f["vendor"])
                })?;
                Some(Use {
                    user: word(text(w, "user"), '_', false),
                    host: word(text(w, "host"), '-', true),
                    display: "/dev/tty 0.0".into(),
                    version: String::new(),
                    server: server.into(),
                    handle: handle(text(w, "id")),
                    count: number(wanted, "count").to_string(),
                    ..Use::default()
                })
            })
            .collect();
        let is_shown = |pool: &&Value| {
            pool["licenses"].as_array().is_some_and(|l| !l.is_empty())
                || sessions(told, f).any(|s| s["pool"] == pool["id"])
        };
        let pools = f["pools"].as_array().into_iter().flatten().filter(is_shown);
        let mut blocks: Vec<Block> = pools.map(|pool| block(f, pool)).collect();
        if blocks.is_empty() {
            blocks.push(Block {
                name: text(f, "name").into(),
                version: version(&f["version"]),
                vendor: vendor(f).into(),
                expiry: day(&f["end"]).unwrap_or_else(|| "permanent(no expiration date)".into()),
                is_counted: total(f).is_some(),
                ..Block::default()
            });
        }
        let reserved = number(f, "reserved");
        blocks[0].reserved = (reserved > 0).then(|| (reserved.to_string(), server.into()));
        blocks[0].queue = waits;
        let Block { version, queue, .. } = &mut blocks[0];
        queue.iter_mut().for_each(|waiter| waiter.version.clone_from(version));
        // The first, and those that somebody has seats of; none where there is nothing to tell.
        let mut nth = 0;
        blocks.retain(|block| (std::mem::replace(&mut nth, 1) == 0) || !block.uses.is_empty());
        let is_idle = in_use(f) == 0
            && reserved == 0
            && blocks.iter().all(|block| block.uses.is_empty() && block.queue.is_empty());
        if is_idle {
            blocks.clear();
        }
        let numbers = total(f).map(|total| (total.to_string(), in_use(f).to_string()));
        Shown { name: text(f, "name").into(), numbers, blocks }
    };
    features(told).map(of).collect()
}

pub(crate) fn compare_usage(
    told: &Told,
    out: &str,
    local: &Local,
    found: &mut Differences,
) -> Result<(), String> {
    let (head, usage) = out.split_once("Feature usage info:\n\n").ok_or("no usage")?;
    let version = text(&told.status["server"], "version");
    found.same("the server", &true, &head.contains(&format!(": license server UP (MASTER) v{version}\n")));
    let mut vendors: Vec<&str> = features(told).map(vendor).collect();
    vendors.sort_unstable();
    vendors.dedup();
    let daemons: Vec<&str> = head
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(&format!(": UP v{version}")))
        .collect();
    found.same("vendors", &vendors, &daemons);
    if let Some(now) = &local.now {
        let now = local.civil(now).format("status on %a %-m/%-d/%Y %-H:%M\n").to_string();
        found.same("now", &true, &head.contains(&now));
    }
    let parts = usage.split("Users of ").skip(1);
    let here: Vec<Shown> = parts.map(feature_of).collect::<Result<_, _>>()?;
    let place = head.lines().find_map(|line| line.strip_prefix("License server status: ")?.split_once('@'));
    let (port, host) = place.ok_or("no server")?;
    let there = expected(told, local, &format!("{host}/{port}"));
    found.same("how many features", &there.len(), &here.len());
    for (there, mut here) in there.into_iter().zip(here) {
        if local.now.is_none() {
            // How long a borrow lasts is reckoned from now.
            let lent = here.blocks.iter_mut().flat_map(|block| &mut block.uses);
            lent.filter_map(|one| one.linger.as_mut()).for_each(|linger| linger.0 = "?".into());
        }
        found.same(&format!("Users of {}", there.name), &there, &here);
    }
    Ok(())
}

fn feature_of(part: &str) -> Result<Shown, String> {
    let mut rest = part;
    let rest = &mut rest;
    let name = between(rest, "", ":  ")?.to_owned();
    let numbers = if rest.starts_with("(Uncounted") {
        between(rest, "(Uncounted, node-locked)", "\n\n")?;
        None
    } else {
        let issued = between(rest, "(Total of ", " licenses issued;  ")?;
        Some((issued.to_owned(), between(rest, "Total of ", " licenses in use)\n\n")?.to_owned()))
    };
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let mut block = Block {
            name: between(rest, "  \"", "\" v")?.into(),
            version: between(rest, "", ", vendor: ")?.into(),
            vendor: between(rest, "", ", expiry: ")?.into(),
            expiry: between(rest, "", "\n")?.into(),
            is_counted: between(rest, "  ", "\n\n")? == "floating license",
            ..Block::default()
        };
        // A pool without users ends at once.
        let lines =
            if rest.starts_with('\n') { between(rest, "", "\n")? } else { between(rest, "", "\n\n")? };
        for line in lines.lines() {
            if let Some(reserved) = line.strip_prefix('\t') {
                let (seats, words) = reserved.split_once(" RESERVATION").ok_or("no reservation")?;
                let is_one = words.starts_with(" for GROUP policy (");
                if is_one != (seats == "1") {
                    return Err(format!("{reserved}: one or several?"));
                }
                let server = words.split(['(', ')']).nth(1).ok_or("no server")?;
                block.reserved = Some((seats.into(), server.into()));
            } else {
                let one = user_of(line).ok_or_else(|| format!("no user: {line:?}"))?;
                if one.start.is_some() { block.uses.push(one) } else { block.queue.push(one) }
            }
        }
        blocks.push(block);
    }
    Ok(Shown { name, numbers, blocks })
}

/// `    USER HOST DISPLAY (vVERSION) (SERVER/PORT HANDLE), start DAY DATE TIME, N licenses  (linger: N / N)`, or one who waits.
fn user_of(line: &str) -> Option<Use> {
    let (who, rest) = line.strip_prefix("    ")?.split_once(" (v")?;
    let mut words = who.splitn(3, ' ');
    let (user, host, display) = (words.next()?, words.next()?, words.next()?);
    let (version, rest) = rest.split_once(") (")?;
    let (server, rest) = rest.split_once(')')?;
    let (server, handle) = server.rsplit_once(' ')?;
    let mut one = Use {
        user: user.into(),
        host: host.into(),
        display: display.into(),
        version: version.into(),
        server: server.into(),
        handle: handle.into(),
        count: "1".into(),
        ..Use::default()
    };
    if let Some(queued) = rest.strip_prefix(" queued for ") {
        one.count = queued.split(' ').next()?.into();
        return Some(one);
    }
    let mut rest = rest.strip_prefix(", start ")?;
    if let Some((before, linger)) = rest.split_once("  (linger: ") {
        let (left, whole) = linger.strip_suffix(')')?.split_once(" / ")?;
        one.linger = Some((left.into(), whole.into()));
        rest = before;
    }
    if let Some((before, count)) = rest.split_once(", ") {
        one.count = count.strip_suffix(" licenses")?.into();
        rest = before;
    }
    one.start = Some(rest.into());
    Some(one)
}

pub(crate) fn compare_inventory(told: &Told, out: &str, found: &mut Differences) -> Result<(), String> {
    let (_, rows) = out.split_once("______\n").ok_or("no table")?;
    let row = |line: &str| -> Vec<String> { line.split_whitespace().map(Into::into).collect() };
    let here: Vec<Vec<String>> = rows.lines().map(row).collect();
    let mut there: Vec<Vec<String>> = Vec::new();
    for f in features(told) {
        let is_shown = |pool: &&Value| {
            pool["licenses"].as_array().is_some_and(|l| !l.is_empty())
                || sessions(told, f).any(|s| s["pool"] == pool["id"])
        };
        let mut add = |version: String, count: u64, end: &Value| {
            let end = day(end).unwrap_or_else(|| "permanent".into());
            there.push(vec![text(f, "name").into(), version, count.to_string(), end, vendor(f).into()]);
        };
        let pools: Vec<&Value> = f["pools"].as_array().into_iter().flatten().filter(is_shown).collect();
        for pool in &pools {
            for l in pool["licenses"].as_array().into_iter().flatten() {
                let of = if l["version"].is_null() { &pool["version"] } else { &l["version"] };
                // 0 stands for uncounted.
                add(
                    version(of),
                    l["count"].as_u64().filter(|_| l["unlimited"] == false).unwrap_or(0),
                    &l["end"],
                );
            }
        }
        if pools.is_empty() {
            add(version(&f["version"]), total(f).unwrap_or(0), &f["end"]);
        }
    }
    found.same("licenses", &there, &here);
    Ok(())
}
