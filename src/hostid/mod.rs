//! Facts of this host, and SERVER_HOSTID blocks held against them (L12).
//!
//! The facts are collected once, by [`HostFacts::collect`]; matching is pure. `seatkeeper hostid` prints them
//! ready to paste, `--explain FEATURE` shows a [`HostMatch`].

use std::fmt;
use std::net::IpAddr;

use quick_xml::escape::escape;
use seats::license::{HostIdEntry, HostIdKind, host_ids_needed};
use serde::Serialize;

mod facts;

/// What is known of this host, and why something is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// In the order of the rules; a kind may have several.
    pub facts: Vec<HostIdEntry>,
    /// Kinds that could not be read, and how to mend it.
    pub unreadable: Vec<Unreadable>,
}

/// A kind of host id that this process could not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Which.
    pub kind: HostIdKind,
    /// Why, and what to do.
    pub message: String,
}

impl HostFacts {
    /// Asks the operating system. `server_key` is the fingerprint of the server's own identity key
    /// ([`Identity::fingerprint`](crate::state::Identity::fingerprint)), `custom` the strings of the configuration.
    ///
    /// Never fails: what cannot be read is in [`HostFacts::unreadable`].
    pub fn collect(server_key: Option<&str>, custom: &[String]) -> HostFacts {
        facts::collect(server_key, custom)
    }

    /// Whether one entry of a block is true of this host.
    pub fn matches(&self, entry: &HostIdEntry) -> bool {
        let wanted = entry.kind.comparable(&entry.value);
        self.facts.iter().any(|fact| fact.kind == entry.kind && fact.kind.comparable(&fact.value) == wanted)
    }

    /// Holds a license's SERVER_HOSTID blocks against this host: one matching block is enough, and a block
    /// matches when at least `rate` percent of its entries do, rounded down. No blocks: any host.
    pub fn explain(&self, blocks: &[Vec<HostIdEntry>], rate: u8) -> HostMatch {
        let blocks: Vec<BlockMatch> = blocks.iter().map(|block| self.explain_block(block, rate)).collect();
        HostMatch { matched: blocks.is_empty() || blocks.iter().any(|block| block.matched), blocks }
    }

    fn explain_block(&self, block: &[HostIdEntry], rate: u8) -> BlockMatch {
        let entries: Vec<EntryMatch> = block
            .iter()
            .map(|entry| {
                let matched = self.matches(entry);
                let here = self.facts.iter().filter(|fact| fact.kind == entry.kind);
                let note = self.unreadable.iter().find(|u| u.kind == entry.kind).filter(|_| !matched);
                EntryMatch {
                    entry: entry.clone(),
                    matched,
                    here: here.map(|fact| fact.value.clone()).collect(),
                    note: note.map(|u| u.message.clone()),
                }
            })
            .collect();
        let needed = host_ids_needed(entries.len(), rate);
        let found = entries.iter().filter(|entry| entry.matched).count();
        BlockMatch { matched: !entries.is_empty() && found >= needed, needed, found, entries }
    }
}

/// Ready to paste: one complete block a line.
impl fmt::Display for HostFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fact in &self.facts {
            let (kind, value) = (fact.kind.as_str(), escape(fact.value.as_str()));
            writeln!(f, "<SERVER_HOSTID><SETTING {kind}=\"{value}\"/></SERVER_HOSTID>")?;
        }
        for unreadable in &self.unreadable {
            writeln!(
                f,
                "<!-- {}: {} -->",
                unreadable.kind.as_str(),
                unreadable.message.replace("--", "- -")
            )?;
        }
        Ok(())
    }
}

/// Which SERVER_HOSTID blocks of one license match this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostMatch {
    /// Whether this server may serve the license.
    pub matched: bool,
    /// One for each block; empty where the license is bound to no host.
    pub blocks: Vec<BlockMatch>,
}

/// One block held against this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockMatch {
    /// Whether enough entries match.
    pub matched: bool,
    /// How many have to.
    pub needed: usize,
    /// How many do.
    pub found: usize,
    /// Each entry.
    pub entries: Vec<EntryMatch>,
}

/// One entry held against this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryMatch {
    /// What the license says.
    pub entry: HostIdEntry,
    /// Whether it is true here.
    pub matched: bool,
    /// What this host has of that kind.
    pub here: Vec<String>,
    /// Why the host's own value is not known, where it is not.
    pub note: Option<String>,
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.blocks.is_empty() {
            return writeln!(f, "bound to no host");
        }
        for (number, block) in self.blocks.iter().enumerate() {
            let verdict = if block.matched { "matches" } else { "does not match" };
            writeln!(
                f,
                "block {} {verdict}: {} of {} entries, {} needed",
                number + 1,
                block.found,
                block.entries.len(),
                block.needed
            )?;
            for entry in &block.entries {
                let (mark, kind) = (if entry.matched { "yes" } else { "no " }, entry.entry.kind.as_str());
                write!(f, "  {mark} {kind}=\"{}\"", entry.entry.value)?;
                if !entry.matched {
                    match &entry.note {
                        Some(note) => write!(f, "  ({note})")?,
                        None if entry.here.is_empty() => write!(f, "  (this host has none)")?,
                        None => write!(f, "  (here: {})", entry.here.join(", "))?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// What a host id's value must look like, where it does not; `None` for a good one.
pub fn expected(kind: HostIdKind, value: &str) -> Option<&'static str> {
    match kind {
        HostIdKind::Ethernet => {
            let digits = kind.comparable(value);
            let good = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            (!good).then_some("a network card's address such as 00:1a:2b:3c:4d:5e")
        }
        HostIdKind::IpAddress => value.parse::<IpAddr>().is_err().then_some("an IP address"),
        _ => value.trim().is_empty().then_some("a host id; it is empty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: HostIdKind, value: &str) -> HostIdEntry {
        HostIdEntry { kind, value: value.to_owned() }
    }

    fn host() -> HostFacts {
        HostFacts {
            facts: vec![
                entry(HostIdKind::Hostname, "Lic01"),
                entry(HostIdKind::Ethernet, "00:1a:2b:3c:4d:5e"),
                entry(HostIdKind::IpAddress, "2001:db8::1"),
            ],
            unreadable: vec![Unreadable { kind: HostIdKind::Dmi, message: "root only".to_owned() }],
        }
    }

    #[test]
    fn one_thing_written_two_ways_is_one_thing() {
        for (kind, value) in [
            (HostIdKind::Hostname, "LIC01"),
            (HostIdKind::Ethernet, "00-1A-2B-3C-4D-5E"),
            (HostIdKind::Ethernet, "001a.2b3c.4d5e"),
            (HostIdKind::IpAddress, "2001:0db8:0:0::1"),
        ] {
            assert!(host().matches(&entry(kind, value)), "{value}");
        }
        assert!(!host().matches(&entry(HostIdKind::Username, "Lic01")), "the kind counts too");
    }

    #[test]
    fn the_match_rate_is_rounded_down() {
        let good = entry(HostIdKind::Hostname, "lic01");
        let wrong = entry(HostIdKind::Hostname, "other");
        let block = |good_ones: usize, wrong_ones: usize| {
            vec![[vec![good.clone(); good_ones], vec![wrong.clone(); wrong_ones]].concat()]
        };
        let matched =
            |good_ones, wrong_ones, rate| host().explain(&block(good_ones, wrong_ones), rate).matched;
        // 50 % of three is one and a half: one is enough.
        assert!(matched(1, 2, 50) && !matched(0, 3, 50));
        assert!(matched(2, 1, 99) && !matched(1, 2, 99), "99 % of three is two");
        assert!(matched(3, 0, 100) && !matched(2, 1, 100));
        assert!(matched(0, 1, 0), "at 0 % every block matches");
        assert!(matched(1, 0, 99) && !matched(0, 1, 99), "a rate above 0 needs one at least");
    }

    #[test]
    fn one_matching_block_is_enough_and_no_block_is_any_host() {
        let blocks = [
            vec![entry(HostIdKind::Hostname, "other")],
            vec![entry(HostIdKind::Hostname, "lic01"), entry(HostIdKind::Ethernet, "001a2b3c4d5e")],
        ];
        assert!(host().explain(&blocks, 100).matched);
        assert!(!host().explain(&blocks[..1], 100).matched);
        assert!(host().explain(&[], 100).matched);
    }

    #[test]
    fn the_explanation_says_what_is_here_and_what_could_not_be_read() {
        let block = [vec![entry(HostIdKind::Hostname, "other"), entry(HostIdKind::Dmi, "4c4c")]];
        let text = host().explain(&block, 100).to_string();
        assert!(text.contains("(here: Lic01)") && text.contains("(root only)"), "{text}");
    }

    #[test]
    fn this_machine_knows_its_name_and_prints_it_ready_to_paste() {
        let facts = HostFacts::collect(Some("ab12"), &["rack <7>".to_owned()]);
        let text = facts.to_string();
        assert!(text.contains("<SERVER_HOSTID><SETTING SERVERKEY=\"ab12\"/></SERVER_HOSTID>"), "{text}");
        assert!(text.contains("CUSTOM=\"rack &lt;7&gt;\""), "{text}");
        assert!(facts.facts.iter().any(|fact| fact.kind == HostIdKind::Hostname), "{text}");
        for fact in &facts.facts {
            assert!(facts.matches(fact) && expected(fact.kind, &fact.value).is_none(), "{fact:?}");
        }
    }
}
