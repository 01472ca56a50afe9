//! The table of `seatkeeper status`, whose cells are wrapped where they do not fit into 80 columns.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Differences, Local, features, is_token, text};
use crate::outputs::Told;

/// Cells by the name of their column.
pub(crate) type Row = BTreeMap<String, String>;

/// The columns, and the member that each shows.
const NUMBERS: [(&str, &str); 10] = [
    ("TOTAL", "total"),
    ("USED", "used"),
    ("FREE", "free"),
    ("SUSPECT", "suspect"),
    ("OVER", "over"),
    ("HELD", "held"),
    ("RESERVED", "reserved"),
    ("BORROWED", "borrowed"),
    ("QUEUED", "queued"),
    ("DENIED", "denials_24h"),
];

/// What the rows must say: a feature, and below it its pools where there are several.
pub(crate) fn expected(told: &Told) -> Vec<Row> {
    let mut rows = Vec::new();
    let today = text(&told.status["server"], "today");
    for f in features(told) {
        let name = [text(f, "vendor"), text(f, "name")].join("/");
        let of_feature = row(name.trim_start_matches('/'), f, is_token(f), f["tokens"].as_u64());
        rows.push(with_next(of_feature, next_total(f, today)));
        let pools: Vec<&Value> = f["pools"].as_array().into_iter().flatten().collect();
        for pool in pools.iter().filter(|_| pools.len() > 1) {
            let kind = text(pool, "key_type").to_lowercase();
            let words = [Some(kind.as_str()), pool["version"].as_str(), pool["sn"].as_str()];
            let name = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
            let is_token = kind == "token";
            let of_pool = row(&name, pool, is_token, pool["used"].as_u64().filter(|_| is_token));
            let end = pool["licenses"][0]["end"].as_str();
            rows.push(with_next(of_pool, end.map_or_else(String::new, |end| format!("to {end}"))));
        }
    }
    rows
}

fn row(name: &str, of: &Value, is_token: bool, tokens: Option<u64>) -> Row {
    let mut row = Row::from([("FEATURE".to_owned(), name.to_owned())]);
    for (column, member) in NUMBERS {
        let cell = match of[member].as_u64() {
            _ if is_token => "-".to_owned(),
            None if member == "total" => "unlimited".to_owned(),
            None if member == "free" => "-".to_owned(),
            // A pool has no queue of its own.
            None => "0".to_owned(),
            Some(n) => n.to_string(),
        };
        row.insert(column.to_owned(), cell);
    }
    row.insert("TOKENS".to_owned(), tokens.map_or_else(|| "-".into(), |tokens| tokens.to_string()));
    row
}

fn with_next(mut row: Row, next: String) -> Row {
    row.insert("NEXTTOTAL".to_owned(), next);
    row
}

/// What the seats of a feature come to next, or what they have come to. Days in this form are in order as texts are.
fn next_total(f: &Value, today: &str) -> String {
    let (next, end) = (&f["next_change"], f["end"].as_str());
    match (next["day"].as_str(), end) {
        (Some(day), _) => match next["total"].as_u64() {
            Some(total) => format!("{total} from {day}"),
            None => format!("unlimited from {day}"),
        },
        (None, Some(end)) if f["total"] == 0 && end < today => format!("ended {end}"),
        (None, Some(end)) if !f["tokens"].is_null() => format!("to {end}"),
        (None, _) if f["total"] == 0 && f["tokens"].is_null() => "-".to_owned(),
        (None, _) => "stays".to_owned(),
    }
}

pub(crate) fn compare(told: &Told, out: &str, local: &Local, found: &mut Differences) -> Result<(), String> {
    let server = &told.status["server"];
    let squeezed = squeezed(out);
    for (what, of) in
        [("name", ""), ("version", "seatkeeperd "), ("today", "today is "), ("time_zone", "in ")]
    {
        found.same(what, &true, &squeezed.contains(&format!("{of}{}", text(server, what))));
    }
    for (what, of) in [("started_at", "since "), ("next_midnight", "until ")] {
        found.same(what, &true, &squeezed.contains(&format!("{of}{}", local.told(text(server, what)))));
    }
    let mut here = table(out)?;
    let there = expected(told);
    found.same("how many rows", &there.len(), &here.len());
    // A column that would be all noughts is left out, and those that do not fit stand in a table below, of rows that have any.
    let columns: Vec<String> = here.first().into_iter().flat_map(Row::keys).cloned().collect();
    let below = match out.split("\n\n").find(|part| part.starts_with("FEAT") && !part.contains(" USED ")) {
        Some(part) => rows(part.lines())?,
        None => Vec::new(),
    };
    let mut at = here.iter_mut();
    for more in below {
        let row = at.find(|row| row["FEATURE"] == more["FEATURE"]);
        row.ok_or_else(|| format!("{} stands below alone", more["FEATURE"]))?.extend(more);
    }
    for (there, here) in there.iter().zip(&here) {
        for (column, cell) in there {
            match here.get(column) {
                // Cells of text are cut where they are full.
                Some(found_cell) => {
                    let plain = |text: &str| text.replace(' ', "");
                    found.same(&format!("{}: {column}", there["FEATURE"]), &plain(cell), &plain(found_cell));
                }
                None => {
                    let is_nought = ["0", "-"].contains(&cell.as_str()) && !columns.contains(column);
                    found.same(&format!("{}: {column} is left out", there["FEATURE"]), &true, &is_nought);
                }
            }
        }
    }
    let problems = told.status["problems"].as_array().map_or(0, Vec::len);
    let said = out.lines().find_map(|line| {
        line.strip_suffix(" problems:").or_else(|| line.strip_suffix(" problem:"))?.parse::<usize>().ok()
    });
    found.same("problems", &problems, &said.unwrap_or(0));
    Ok(())
}

/// A text as one line.
fn squeezed(out: &str) -> String {
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The table taken apart: columns are where the header's words begin and no line has anything but blanks between them; a row
/// goes on in the next line where that has nothing under USED, or below the only number.
pub(crate) fn table(out: &str) -> Result<Vec<Row>, String> {
    rows(out.lines().skip_while(|line| !(line.starts_with("FEAT") && line.contains(" USED "))))
}

fn rows<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Row>, String> {
    let lines: Vec<Vec<char>> =
        lines.take_while(|line| !line.is_empty()).map(|line| line.chars().collect()).collect();
    let width = lines.iter().map(Vec::len).max().ok_or("no table")?;
    let is_blank = |at: usize| lines.iter().all(|line| line.get(at).is_none_or(|c| *c == ' '));
    let mut columns: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while at < width {
        // One blank may stand in a cell; between columns there are two.
        let mut end = at;
        while end < width && !(is_blank(end) && is_blank(end + 1)) {
            end += 1;
        }
        if end > at {
            columns.push((at, end));
        }
        at = end + 1;
    }
    let cell = |line: &[char], (from, to): (usize, usize)| -> String {
        line.iter().skip(from).take(to - from).collect::<String>().trim().to_owned()
    };
    // Words that are cut are put together again: no cell here has a blank that matters but in the first column.
    let mut rows: Vec<Vec<String>> = Vec::new();
    let used = columns.get(2).or(columns.get(1)).copied().ok_or("two columns at least")?;
    for (nth, line) in lines.iter().enumerate() {
        if nth == 0 || !cell(line, used).is_empty() {
            rows.push(vec![String::new(); columns.len()]);
        }
        let row = rows.last_mut().ok_or("no row")?;
        for (whole, column) in row.iter_mut().zip(&columns) {
            whole.push_str(&cell(line, *column));
        }
    }
    let mut rows = rows.into_iter();
    let header: Vec<String> =
        rows.next().ok_or("no header")?.iter().map(|words| words.replace(' ', "")).collect();
    Ok(rows.map(|row| header.iter().cloned().zip(row).collect()).collect())
}
