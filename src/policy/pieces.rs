//! A good policy, read piece by piece.
//!
//! The TOML reader keeps tokens, events and tables of all it reads. Of megabytes that is far more than a processor's
//! caches hold, and most of the time goes into fetching it; of a few kilobytes at a time it is not. So the text is cut
//! before lines that look as if a table or a group began there, and each piece is given to the TOML reader alone.
//!
//! Where to cut is a guess. That all pieces are good proves it right: a line of one piece cannot be inside a
//! text or a list that began in another, or that other one would not be complete. Whatever is not plain, and anything
//! wrong at all, ends it with `None`; then the text is read whole, and what is wrong is found and placed there.
//!
//! Pieces say nothing about each other, so several threads read those of a large file.

use std::sync::Arc;
use std::thread;

use seats::policy::{Group, Rule, RuleSet};
use toml::de::{DeArray, DeTable};

use super::groups::{self, Groups};
use super::source::Source;
use super::{GROUPS_MAX, NAMES_MAX, RULES_MAX, rules};

/// How long pieces are, bytes, unless one group or rule is longer.
pub(super) const PIECE_BYTES: usize = 16 << 10;

/// How many bytes a thread must have to read, or starting it costs more than it saves.
const THREAD_BYTES: usize = 128 << 10;
/// The most threads that read a policy; the machine is for those who check out.
const THREADS_MAX: usize = 4;

/// What a piece holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What stands before the first table: remarks.
    Head,
    /// Groups of one kind, without the line that says of which.
    Groups(&'static str),
    /// Rules, each from its `[[rule]]` on.
    Rules,
}

/// Some lines of the text.
struct Piece<'a> {
    kind: Kind,
    text: &'a str,
    /// How many lines stand before it.
    line: usize,
}

/// Reads a policy in pieces that are at least so many bytes long, where they can be. `None`: this is not the way to read
/// it, or something is wrong with it.
pub(super) fn read(file: &Arc<str>, text: &str, piece_bytes: usize) -> Option<RuleSet> {
    let (of_rules, of_groups): (Vec<_>, Vec<_>) =
        cut(text, piece_bytes)?.into_iter().partition(|piece| piece.kind == Kind::Rules);
    let mut groups = Groups::default();
    let mut rules = Vec::new();
    let mut names = 0;
    for (some, named) in each(&of_groups, |piece| groups_of(file, piece))? {
        names += named;
        for group in some {
            groups.insert(group).ok()?;
        }
    }
    // Rules may stand before the groups that they name.
    for (mut some, named) in each(&of_rules, |piece| rules_of(file, piece, &groups))? {
        names += named;
        rules.append(&mut some);
    }
    let is_good = names <= NAMES_MAX && rules.len() <= RULES_MAX && groups.all.len() <= GROUPS_MAX;
    is_good.then_some(RuleSet { groups: groups.all, rules })
}

/// What each piece says, in their order, read by as many threads as the machine has cores for and the text is worth. `None`:
/// one of them is not good.
fn each<'a, T: Send>(pieces: &[Piece<'a>], read: impl Fn(&Piece<'a>) -> Option<T> + Sync) -> Option<Vec<T>> {
    let bytes: usize = pieces.iter().map(|piece| piece.text.len()).sum();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(THREADS_MAX).min(bytes / THREAD_BYTES).max(1);
    let some = |pieces: &[Piece<'a>]| pieces.iter().map(&read).collect::<Option<Vec<T>>>();
    let mut parts = pieces.chunks(pieces.len().div_ceil(threads).max(1));
    let first = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let others: Vec<_> = parts.map(|part| scope.spawn(move || some(part))).collect();
        let mut all = some(first);
        for other in others {
            // A panic is this thread's own then.
            let said = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all = all.zip(said).map(|(mut all, mut said)| {
                all.append(&mut said);
                all
            });
        }
        all
    })
}

/// The groups of a piece, and how many names it has.
fn groups_of(file: &Arc<str>, piece: &Piece<'_>) -> Option<(Vec<Group>, usize)> {
    let table = DeTable::parse(piece.text).ok()?;
    let Kind::Groups(of) = piece.kind else { return table.get_ref().is_empty().then(Default::default) };
    let mut source = Source::of_lines(file.clone(), piece.text, piece.line);
    let mut found: Vec<_> = table.get_ref().iter().collect();
    found.sort_unstable_by_key(|(name, _)| name.span().start);
    let groups = found.into_iter().map(|(name, members)| groups::group(of, name, members, &mut source));
    let groups: Vec<Group> = groups.collect::<Option<_>>()?;
    source.is_good().then_some((groups, source.names()))
}

/// The rules of a piece, and how many names it has.
fn rules_of(file: &Arc<str>, piece: &Piece<'_>, groups: &Groups) -> Option<(Vec<Rule>, usize)> {
    let table = DeTable::parse(piece.text).ok()?;
    let mut source = Source::of_lines(file.clone(), piece.text, piece.line);
    let array: &DeArray<'_> = match table.get_ref().iter().next() {
        Some((key, value)) if key.get_ref() == "rule" && table.get_ref().len() == 1 => {
            value.get_ref().as_array()?
        }
        _ => return None,
    };
    let rules = rules::read(array, groups, &mut source);
    source.is_good().then_some((rules, source.names()))
}

/// Cuts the text. `None` where a line seems to begin something else than rules or a kind of groups.
fn cut(text: &str, piece_bytes: usize) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut kinds_begun = Vec::new();
    let (mut kind, mut from, mut first_line) = (Kind::Head, 0, 0);
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_long = at - from >= piece_bytes;
        // What comes next and where it starts, if it starts here.
        let next = match line.as_bytes()[0] {
            b'[' if line.starts_with("[[rule]]") => {
                (kind != Kind::Rules || is_long).then_some((Kind::Rules, at, number))
            }
            b'[' => match of_groups(line) {
                Some(of) if kinds_begun.contains(&of) => return None,
                Some(of) => {
                    kinds_begun.push(of);
                    Some((Kind::Groups(of), at + line.len(), number + 1))
                }
                // Perhaps a [rule.for]; otherwise the piece says so when it is read.
                None if kind == Kind::Rules => None,
                None => return None,
            },
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'"' | b'\'' => {
                let is_cut = is_long && matches!(kind, Kind::Groups(_)) && line.contains('=');
                is_cut.then_some((kind, at, number))
            }
            _ => None,
        };
        if let Some((next, next_from, next_line)) = next {
            pieces.push(Piece { kind, text: &text[from..at], line: first_line });
            (kind, from, first_line) = (next, next_from, next_line);
        }
        at += line.len();
    }
    pieces.push(Piece { kind, text: &text[from..], line: first_line });
    Some(pieces)
}

/// The kind of groups that a line begins, by the TOML reader's own word: `[groups.users] # ours`.
fn of_groups(line: &str) -> Option<&'static str> {
    if !line.contains("groups") {
        return None;
    }
    let table = DeTable::parse(line).ok()?;
    let groups = only(table.get_ref()).filter(|(key, _)| *key == "groups")?;
    let (of, members) = only(groups.1)?;
    groups::KINDS.into_iter().find(|kind| *kind == of && members.is_empty())
}

/// The only entry of a table, if that is a table.
fn only<'t, 'a>(table: &'t DeTable<'a>) -> Option<(&'t str, &'t DeTable<'a>)> {
    let mut entries = table.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Some((key.get_ref().as_ref(), value.get_ref().as_table()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_whole;
    use super::*;

    fn both(text: &str, piece_bytes: usize) -> (Option<RuleSet>, Option<RuleSet>) {
        let file: Arc<str> = "p".into();
        (read(&file, text, piece_bytes), read_whole(file, text).ok())
    }

    const GOOD: &str = "# ours\r\n\n[groups.users] # by hand\nann = [\"ann\"]\nall = [\n  \"ann\",\n  \"b=b\",\n]\n\"c d\" = []\n\
        [[rule]]\nfeature = \"cad\"\nlimit = 2\nper = \"user\"\n[rule.for]\ngroups = [\"all\", \"late\"]\n\
        [[rule]] # two\nfeature = [\n\"cam\",\n]\nallow = { groups = [\"c d\"] }\n\
        [ groups . hosts ]\nlate = [\"h\"]\n  [[rule]]\nfeature = \"*\"\nallow = \"everyone\"";

    #[test]
    fn a_good_policy_says_the_same_in_pieces_of_any_length() {
        // The last rule is indented, so to the cutter it is within the groups of hosts: the whole is read instead.
        assert!(both(GOOD, 0).0.is_none());
        let text = GOOD.replace("  [[rule]]", "[[rule]]");
        for piece_bytes in 0..text.len() + 2 {
            let (pieces, whole) = both(&text, piece_bytes);
            assert_eq!(pieces, whole, "pieces of {piece_bytes} bytes");
            assert!(pieces.is_some(), "pieces of {piece_bytes} bytes");
        }
        assert!(cut(&text, 0).unwrap().len() >= 7, "and there are pieces");
    }

    #[test]
    fn what_several_threads_read_is_in_the_order_of_the_file() {
        let group = |n: usize| format!("g{n} = [\"a{n}\", \"b{n}\"]\n");
        let rule = |n: usize| {
            let text = "[[rule]]\nfeature = \"cad\"\nallow = { groups = [\"g";
            format!("{text}{}\"] }}\n", n % 9_000)
        };
        let groups: String = (0..9_000).map(group).collect();
        let rules: String = (0..9_000).map(rule).collect();
        let text = format!("{rules}[groups.users]\n{groups}");
        assert!(
            groups.len() > THREAD_BYTES && rules.len() > 2 * THREAD_BYTES,
            "and it is worth some threads"
        );
        let (pieces, whole) = both(&text, PIECE_BYTES);
        assert!(pieces.is_some() && pieces == whole);
        // Somewhere in the part of another thread than the first.
        let wrong = text.replacen("g8500\"]", "g9500\"]", 1);
        assert!(text != wrong && both(&wrong, PIECE_BYTES).0.is_none());
    }

    #[test]
    fn what_only_looks_like_the_start_of_a_piece_is_none() {
        for text in [
            "[groups.users]\na = '''\n[[rule]]\n'''\n",
            "[groups.users]\na = [\n\"x=y\",\n\"z\",\n]\n",
            "[[rule]]\nfeature = \"\"\"\n[groups.users]\n\"\"\"\nallow = \"everyone\"\n",
            "[[rule]]\nfeature = \"f\"\nallow = \"everyone\"\n[groups.users]\nrule.x = []\n[[rule]]\n",
            "[groups.users]\na = []\n[groups.users]\nb = []\n",
            "[groups.users]\na = []\na = []\n",
            "[groups.users]\na = []\n[groups.hosts]\na = []\n",
            "[groups.users]\na.b = []\n",
            "[groups.users]\n  [[rule]]\nfeature = \"f\"\nallow = \"everyone\"\n",
            "rule = []\n[[rule]]\nfeature = \"f\"\nallow = \"everyone\"\n",
            "[[rule]]\nfeature = \"f\"\nallow = \"everyone\"\n[other]\n",
            "[groups.users]\na = []\n[groups.hosts]#\u{1}\nb = []\n",
        ] {
            assert!(both(text, 0).0.is_none(), "{text}");
        }
    }
}
