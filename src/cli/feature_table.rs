//! The table of features: what each has, what it comes to next, and whatever is unusual about it.

use chrono::NaiveDate;
use unicode_width::UnicodeWidthStr as _;

use super::paint::{Paint, Tone};
use super::show::name;
use super::table::{COLUMNS, Lines, seats};
use crate::report::{Feature, Pool};

/// Below this part of its total, the free seats of a feature are few.
const FEW_FREE: u64 = 10;
/// So many days ahead a loss of seats is soon.
const SOON_DAYS: i64 = 30;

/// What is seldom anything but zero.
type Rare = (&'static str, fn(&Feature) -> u64, Tone);

const RARE: [Rare; 6] = [
    (">OVER", |f| f.over, Tone::Trouble),
    (">HELD", |f| f.held, Tone::Plain),
    (">RESERVED", |f| f.reserved, Tone::Plain),
    (">BORROWED", |f| f.borrowed, Tone::Plain),
    (">QUEUED", |f| f.queued, Tone::Warning),
    (">DENIED", |f| f.denials_24h.unwrap_or_default(), Tone::Warning),
];

struct Row {
    name: String,
    is_pool: bool,
    f: Feature,
    next: (String, Tone),
}

/// One row a feature, and below it one for each of its pools where there are several. Columns that would be all zeros are left
/// out; where those that are left do not fit beside each other, they make a table of their own below, of the rows that have
/// any. `today`: what changes soon after it is marked.
pub(super) fn feature_table(features: &[Feature], today: Option<NaiveDate>, paint: Paint) -> String {
    let rows: Vec<Row> = features.iter().flat_map(|f| rows(f, today)).collect();
    let rare: Vec<Rare> =
        RARE.into_iter().filter(|(_, of, _)| rows.iter().any(|row| of(&row.f) > 0)).collect();
    let has_tokens = rows.iter().any(|row| row.f.tokens.is_some());
    let whole: Vec<_> = rows.iter().map(|row| row.cells(&rare, has_tokens)).collect();
    let titles = headers(&rare, has_tokens);
    if fits(&titles, &whole) {
        return lines(&titles, whole, paint);
    }
    let cells = rows.iter().map(|row| row.cells(&[], has_tokens)).collect();
    let text = lines(&headers(&[], has_tokens), cells, paint);
    if rare.is_empty() {
        return text;
    }
    let has_any = |row: &&Row| rare.iter().any(|(_, of, _)| of(&row.f) > 0);
    let cells = rows.iter().filter(has_any).map(|row| row.rare_cells(&rare)).collect();
    let titles: Vec<&str> = ["FEATURE"].into_iter().chain(rare.iter().map(|(title, ..)| *title)).collect();
    format!("{text}\n{}", lines(&titles, cells, paint))
}

fn rows(f: &Feature, today: Option<NaiveDate>) -> impl Iterator<Item = Row> {
    let pools = if f.pools.len() > 1 { &*f.pools } else { &[] };
    let of_pool = |pool: &Pool| Row {
        name: format!("  {}", pool_name(pool)),
        is_pool: true,
        f: of_pool(pool),
        next: (last_day(pool), Tone::Quiet),
    };
    let feature =
        Row { name: name(Some(&f.vendor), &f.name), is_pool: false, f: f.clone(), next: next(f, today) };
    std::iter::once(feature).chain(pools.iter().map(of_pool))
}

fn headers(rare: &[Rare], has_tokens: bool) -> Vec<&'static str> {
    let mut headers = vec!["FEATURE", ">TOTAL", ">USED", ">FREE", ">SUSPECT"];
    headers.extend(rare.iter().map(|(title, ..)| *title));
    headers.extend(has_tokens.then_some(">TOKENS"));
    headers.push("NEXT TOTAL");
    headers
}

/// Whether no cell need be wrapped.
fn fits(headers: &[&str], cells: &[Vec<(String, Tone)>]) -> bool {
    let width = |(at, header): (usize, &&str)| {
        let header = header.trim_start_matches('>').width();
        cells.iter().map(|row| row[at].0.width()).max().unwrap_or(0).max(header)
    };
    let between = 2 * headers.len().saturating_sub(1);
    headers.iter().enumerate().map(width).sum::<usize>() + between <= usize::from(COLUMNS)
}

fn lines(headers: &[&str], cells: Vec<Vec<(String, Tone)>>, paint: Paint) -> String {
    let mut table = Lines::painted(headers, paint);
    cells.into_iter().for_each(|row| table.painted_row(row));
    table.text()
}

impl Row {
    fn cells(&self, rare: &[Rare], has_tokens: bool) -> Vec<(String, Tone)> {
        let f = &self.f;
        let free = match f.free {
            _ if self.is_token_alone() => Tone::Plain,
            Some(0) if is_full(f) || f.total == Some(0) => Tone::Trouble,
            Some(free) if f.total.is_some_and(|total| free.saturating_mul(FEW_FREE) <= total) => {
                Tone::Warning
            }
            _ => Tone::Plain,
        };
        let mut cells = vec![
            (self.name.clone(), self.tone(Tone::Plain)),
            (self.seat(seats(f.total, f.unlimited)), self.tone(Tone::Plain)),
            self.count(f.used, Tone::Plain),
            (self.seat(if f.unlimited { "-".into() } else { seats(f.free, false) }), self.tone(free)),
            self.count(f.suspect, Tone::Warning),
        ];
        cells.extend(rare.iter().map(|(_, of, marked)| self.count(of(f), *marked)));
        let tokens = || f.tokens.map_or_else(|| "-".into(), |tokens| tokens.to_string());
        cells.extend(has_tokens.then(|| (tokens(), self.tone(Tone::Plain))));
        cells.push(self.next.clone());
        cells
    }

    fn rare_cells(&self, rare: &[Rare]) -> Vec<(String, Tone)> {
        let name = (self.name.clone(), self.tone(Tone::Plain));
        let counts = rare.iter().map(|(_, of, marked)| self.count(of(&self.f), *marked));
        std::iter::once(name).chain(counts).collect()
    }

    /// A token has no seats: noughts would say that they are all taken.
    fn is_token_alone(&self) -> bool {
        self.f.tokens.is_some() && self.f.total == Some(0) && self.f.used == 0
    }

    fn seat(&self, text: String) -> String {
        if self.is_token_alone() { "-".to_owned() } else { text }
    }

    fn count(&self, n: u64, marked: Tone) -> (String, Tone) {
        (self.seat(n.to_string()), self.tone(if n > 0 { marked } else { Tone::Plain }))
    }

    /// What is of a pool is told by the row of its feature already.
    fn tone(&self, tone: Tone) -> Tone {
        if self.is_pool { Tone::Quiet } else { tone }
    }
}

/// Somebody has its seats, and nobody gets one.
pub(super) fn is_full(f: &Feature) -> bool {
    f.free == Some(0) && f.used + f.held + f.reserved > 0
}

/// What the total comes to, and from which day on, or that it has come to nothing.
fn next(f: &Feature, today: Option<NaiveDate>) -> (String, Tone) {
    let Some(next) = &f.next_change else {
        return match (f.end, today) {
            (Some(end), Some(today)) if f.total == Some(0) && end < today => {
                (format!("ended {end}"), Tone::Trouble)
            }
            // What a token takes is counted elsewhere; it has its own end.
            _ if f.tokens.is_some() && f.end.is_some() => {
                (f.end.map_or_else(String::new, |end| format!("to {end}")), Tone::Plain)
            }
            // Without seats there is nothing that could stay.
            _ if f.total == Some(0) && f.tokens.is_none() => ("-".into(), Tone::Plain),
            _ => ("stays".into(), Tone::Plain),
        };
    };
    let text = format!("{} from {}", seats(next.total, next.total.is_none()), next.day);
    // Unlimited is more than any number.
    let is_less = next.total.unwrap_or(u64::MAX) < f.total.unwrap_or(u64::MAX);
    let is_soon = today.is_some_and(|today| (next.day - today).num_days() <= SOON_DAYS);
    (text, if is_less && is_soon { Tone::Warning } else { Tone::Plain })
}

/// The last day of the license whose terms hold for a pool.
fn last_day(pool: &Pool) -> String {
    let end = pool.licenses.first().and_then(|license| license.end);
    end.map_or_else(String::new, |end| format!("to {end}"))
}

fn pool_name(pool: &Pool) -> String {
    let sn = pool.sn.as_ref().map_or_else(String::new, |sn| format!(" {sn}"));
    let version = pool.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
    format!("{}{version}{sn}", pool.key_type.to_lowercase())
}

/// A pool's row has the same columns.
fn of_pool(pool: &Pool) -> Feature {
    let (n, is_token) = (&pool.numbers, pool.key_type == "TOKEN");
    let seats = |count: u64| if is_token { 0 } else { count };
    Feature {
        total: if is_token { Some(0) } else { n.total },
        unlimited: n.unlimited && !is_token,
        used: seats(n.used),
        free: n.free,
        suspect: seats(n.suspect),
        over: n.over,
        held: n.held,
        reserved: n.reserved,
        borrowed: pool.numbers.borrowed,
        tokens: is_token.then_some(n.used),
        ends_at: pool.ends_at.clone(),
        ..Feature::default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::{License, NextChange, Numbers};

    /// More in use than there is.
    pub(in crate::cli) fn feature() -> Feature {
        Feature {
            vendor: "ACME".into(),
            name: "cad".into(),
            total: Some(5),
            free: Some(0),
            used: 8,
            ..Feature::default()
        }
    }

    #[test]
    fn a_feature_is_one_row_and_over_is_shown_where_it_occurs() {
        let plain = feature_table(&[feature()], None, Paint::Plain);
        assert!(plain.lines().count() == 2 && !plain.contains("OVER"), "{plain}");
        let over = feature_table(&[Feature { over: 3, ..feature() }], None, Paint::Plain);
        let row: Vec<&str> = over.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["ACME/cad", "5", "8", "0", "0", "3", "stays"], "{over}");
    }

    #[test]
    fn several_pools_stand_below_their_feature_and_tokens_apart() {
        let pool = |key_type: &str, sn: Option<&str>, total, used| Pool {
            key_type: key_type.into(),
            sn: sn.map(str::to_owned),
            numbers: Numbers { total, used, free: total.map(|t: u64| t - used), ..Numbers::default() },
            ..Pool::default()
        };
        let until = License { end: NaiveDate::from_ymd_opt(2030, 6, 30), ..License::default() };
        let pools = vec![
            Pool { version: Some("4.2".into()), ..pool("EXCLUSIVE", None, Some(10), 8) },
            Pool { licenses: vec![until], ..pool("ADDITIVE", Some("7f3c"), Some(4), 1) },
        ];
        let cad = Feature { total: Some(14), used: 9, free: Some(5), pools, ..feature() };
        let suite = Feature {
            name: "suite".into(),
            total: Some(0),
            used: 0,
            tokens: Some(3),
            pools: vec![pool("TOKEN", None, None, 3)],
            ..feature()
        };
        let expected = "\
FEATURE          TOTAL  USED  FREE  SUSPECT  TOKENS  NEXT TOTAL
ACME/cad            14     9     5        0       -  stays
  exclusive 4.2     10     8     2        0       -
  additive 7f3c      4     1     3        0       -  to 2030-06-30
ACME/suite           -     -     -        -       3  stays
";
        assert_eq!(feature_table(&[cad.clone(), suite], None, Paint::Plain), expected);
        let alone = Feature { pools: vec![cad.pools[0].clone()], ..cad };
        assert_eq!(feature_table(&[alone], None, Paint::Plain).lines().count(), 2, "one pool is the feature");
    }

    #[test]
    fn the_widest_features_fit_eighty_columns() {
        let long = "x".repeat(64);
        let day = NaiveDate::from_ymd_opt(2030, 6, 30).unwrap();
        let feature = Feature {
            vendor: long.clone(),
            name: long.clone(),
            over: 1,
            held: 1,
            reserved: 1,
            borrowed: 1,
            queued: 1,
            tokens: Some(1),
            pools: vec![Pool { sn: Some(long.clone()), ..Pool::default() }, Pool::default()],
            denials_24h: Some(1),
            next_change: Some(NextChange { day, total: Some(2_147_483_646), ..NextChange::default() }),
            total: Some(2_147_483_647),
            used: 2_147_483_647,
            ..feature()
        };
        let text = feature_table(&[feature], Some(day), Paint::Plain);
        assert_eq!(text.lines().find(|line| line.chars().count() > 80), None, "{text}");
    }

    /// `(total, what it is next, from which day on)`, seen on 2030-06-01.
    #[test]
    fn what_comes_next_is_a_total_and_a_day() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = Some(date("2030-06-01"));
        let of = |total: Option<u64>, next: Option<(Option<u64>, &str)>| Feature {
            total,
            next_change: next.map(|(total, day)| NextChange { day: date(day), total, at: String::new() }),
            ..Feature::default()
        };
        for (feature, text, tone) in [
            (of(Some(16), Some((Some(10), "2030-07-01"))), "10 from 2030-07-01", Tone::Warning),
            (of(Some(16), Some((Some(10), "2030-07-02"))), "10 from 2030-07-02", Tone::Plain),
            (of(Some(16), Some((None, "2030-06-02"))), "unlimited from 2030-06-02", Tone::Plain),
            (of(None, Some((Some(3), "2030-06-02"))), "3 from 2030-06-02", Tone::Warning),
            (of(None, None), "stays", Tone::Plain),
            (of(Some(0), None), "-", Tone::Plain),
            (
                Feature { end: Some(date("2030-05-31")), ..of(Some(0), None) },
                "ended 2030-05-31",
                Tone::Trouble,
            ),
            (Feature { end: Some(date("2030-06-01")), ..of(Some(0), None) }, "-", Tone::Plain),
        ] {
            assert_eq!(next(&feature, today), (text.to_owned(), tone));
        }
    }

    /// Six columns beside the others leave no room for names.
    #[test]
    fn what_does_not_fit_beside_stands_below() {
        let all = Feature {
            over: 1,
            held: 2,
            reserved: 3,
            borrowed: 4,
            queued: 5,
            denials_24h: Some(6),
            ..feature()
        };
        let plain = Feature { name: "fea".into(), total: Some(9), used: 1, free: Some(8), ..feature() };
        let expected = "\
FEATURE   TOTAL  USED  FREE  SUSPECT  NEXT TOTAL
ACME/cad      5     8     0        0  stays
ACME/fea      9     1     8        0  stays

FEATURE   OVER  HELD  RESERVED  BORROWED  QUEUED  DENIED
ACME/cad     1     2         3         4       5       6
";
        assert_eq!(feature_table(&[all, plain], None, Paint::Plain), expected);
    }
}
