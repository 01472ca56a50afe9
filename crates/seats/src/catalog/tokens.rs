//! Tokens and what they depend on, over all features of a vendor (L51).
//!
//! [`judge`] finds the tokens that can never work, whatever the day: over all accepted licenses, whatever their dates.
//! [`Catalog::token_needs`] says what one token takes on a day. Whether it is to be had is the ledger's to say.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use chrono::NaiveDate;

use super::Catalog;
use crate::evaluate::{pool_kind, token_alone};
use crate::license::{Count, KeyType, License, LicenseVersion, Name, Reason, Refusal};

/// The longest chain of tokens: a token that takes seats alone is one deep (L51).
pub const TOKEN_DEPTH_MAX: u32 = 16;
/// The most features and versions that one token takes from, through all tokens below it. Each is a session of its own
/// in the journal, in one record.
pub const TOKEN_NEEDS_MAX: usize = 1_000;
/// The most names of a loop that are told.
const NAMES_MAX: usize = 5;

/// What one token takes of one feature: a dependency, flattened through tokens of tokens and merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenNeed {
    /// Index in [`Catalog::features`]; `None`: no license of it is on this server.
    pub feature: Option<usize>,
    /// Which feature, of the token's own vendor.
    pub name: Name,
    /// The version that a license of it must cover.
    pub version: LicenseVersion,
    /// How many for one token, 1 to [`Count::MAX`], summed over all ways that lead to it.
    pub count: u64,
    /// It is a token itself on that day, and what it takes stands in the list too.
    pub is_token: bool,
}

impl Catalog {
    /// What one token of a license takes on a day, by name, then version; `None`: the license is no token, or never
    /// works. Both indexes are as in [`Catalog::features`].
    ///
    /// A dependency takes seats of a feature that has a pool with seats on that day; else it goes through the feature's
    /// token in force; if it has neither, it stands in the list as it is. Of a feature that several ways lead to with
    /// the same version there is one entry. At most [`TOKEN_NEEDS_MAX`] entries. Costs as much as the dependencies
    /// there are to look at, however many ways lead to them.
    pub fn token_needs(&self, feature: usize, license: usize, day: NaiveDate) -> Option<Vec<TokenNeed>> {
        let of = self.features.get(feature)?;
        of.licenses.get(license).filter(|l| l.key_type == KeyType::Token)?;
        if !of.can_count(license) {
            return None;
        }
        let (mut seen, mut order) = (BTreeMap::new(), Vec::new());
        self.expand(feature, license, day, &mut seen, &mut order);
        // What takes comes before what is taken, so each count is whole when it is multiplied.
        let mut times: BTreeMap<usize, u64> = [(feature, 1)].into();
        let mut needs: BTreeMap<(&Name, LicenseVersion), TokenNeed> = BTreeMap::new();
        for (feature, license) in order.into_iter().rev() {
            let each = times.get(&feature).copied().unwrap_or(1);
            let token = &self.features[feature].licenses[license];
            for dependency in token.token_dependencies() {
                let count = each.saturating_mul(u64::from(dependency.count));
                let at = self.index_of(&token.vendor, &dependency.feature);
                let is_token = at.is_some_and(|at| seen.get(&at).copied().flatten().is_some());
                if let Some(at) = at.filter(|_| is_token) {
                    let sum = times.entry(at).or_insert(0);
                    *sum = sum.saturating_add(count);
                }
                let need = needs.entry((&dependency.feature, dependency.version)).or_insert_with(|| {
                    let (name, version) = (dependency.feature.clone(), dependency.version);
                    TokenNeed { feature: at, name, version, count: 0, is_token }
                });
                need.count = need.count.saturating_add(count);
            }
        }
        Some(needs.into_values().collect())
    }

    /// Tokens in an order in which each comes after all that it takes. No deeper than [`TOKEN_DEPTH_MAX`]: what is
    /// deeper, or in a loop, is never in force.
    fn expand(
        &self,
        feature: usize,
        license: usize,
        day: NaiveDate,
        seen: &mut BTreeMap<usize, Option<usize>>,
        order: &mut Vec<(usize, usize)>,
    ) {
        let token = &self.features[feature].licenses[license];
        for dependency in token.token_dependencies() {
            let Some(at) = self.index_of(&token.vendor, &dependency.feature) else { continue };
            if seen.contains_key(&at) {
                continue;
            }
            let below = token_alone(&self.features[at], day);
            seen.insert(at, below);
            if let Some(below) = below {
                self.expand(at, below, day, seen, order);
            }
        }
        order.push((feature, license));
    }
}

/// What is known of everything below a license, or of the worst of a feature's tokens. All saturate.
#[derive(Clone, Default)]
struct Below {
    /// Tokens in the longest chain, itself included.
    depth: u32,
    /// Seats and tokens that one takes in all.
    seats: u64,
    /// Dependencies, counted once for each way that leads there.
    ways: u64,
    /// The first feature by name that shares its seats.
    sharing: Option<Name>,
}

/// Licenses of tokens, and features that have any, as one graph: license to the features it depends on, feature to its
/// licenses.
struct Graph<'c> {
    catalog: &'c Catalog,
    /// Feature and license.
    tokens: Vec<(usize, usize)>,
    /// Features that have a token, and where they stand among the nodes: after the tokens.
    features: BTreeMap<usize, usize>,
    /// Features whose seats, or tokens, are shared by any license of theirs.
    sharing: BTreeSet<usize>,
    edges: Vec<Vec<usize>>,
}

/// The tokens that can never work: feature, license, and why not.
pub(super) fn judge(catalog: &Catalog) -> Vec<(usize, usize, Refusal)> {
    let graph = Graph::new(catalog);
    let mut below: Vec<Option<Below>> = vec![None; graph.edges.len()];
    let mut found = Vec::new();
    // What a token takes comes before the token.
    for component in components(&graph.edges) {
        let is_loop = component.len() > 1;
        // What is shared below a loop is below whatever leads into it; nothing else goes through a loop.
        let shared_in_loop = if is_loop { graph.shared_below(&component, &below) } else { None };
        for node in component.iter().copied().filter(|node| *node < graph.tokens.len()) {
            let (feature, license) = graph.tokens[node];
            if is_loop {
                found.push((feature, license, graph.loop_fault(&component)));
                continue;
            }
            let of_license = graph.below(node, &below);
            found.extend(graph.fault(node, &of_license).map(|fault| (feature, license, fault)));
            below[node] = Some(of_license);
        }
        for node in component.iter().copied().filter(|node| *node >= graph.tokens.len()) {
            let worst = graph.edges[node].iter().filter_map(|token| below[*token].as_ref());
            let mut worst = worst.fold(Below::default(), Below::worse);
            worst.sharing = first(worst.sharing, shared_in_loop.as_ref());
            below[node] = Some(worst);
        }
    }
    found
}

impl Below {
    fn worse(self, other: &Below) -> Below {
        Below {
            depth: self.depth.max(other.depth),
            seats: self.seats.max(other.seats),
            ways: self.ways.max(other.ways),
            sharing: first(self.sharing, other.sharing.as_ref()),
        }
    }
}

/// The first by name.
fn first(one: Option<Name>, other: Option<&Name>) -> Option<Name> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other.clone())),
        (one, other) => one.or_else(|| other.cloned()),
    }
}

impl<'c> Graph<'c> {
    fn new(catalog: &'c Catalog) -> Graph<'c> {
        let (mut tokens, mut sharing) = (Vec::new(), BTreeSet::new());
        for (number, feature) in catalog.features.iter().enumerate() {
            for (at, license) in feature.licenses.iter().enumerate() {
                if license.refusal.is_some() || feature.is_duplicate(at) {
                    continue;
                }
                if license.key_type == KeyType::Token {
                    tokens.push((number, at));
                }
                if license.share.is_sharing() && pool_kind(license).is_some() {
                    sharing.insert(number);
                }
            }
        }
        let mut features = BTreeMap::new();
        for (feature, _) in &tokens {
            let next = tokens.len() + features.len();
            features.entry(*feature).or_insert(next);
        }
        let mut edges = vec![Vec::new(); tokens.len() + features.len()];
        for (node, (feature, license)) in tokens.iter().enumerate() {
            edges[features[feature]].push(node);
            let token = &catalog.features[*feature].licenses[*license];
            let on = token.token_dependencies().iter();
            let on = on.filter_map(|d| features.get(&catalog.index_of(&token.vendor, &d.feature)?));
            edges[node] = on.copied().collect::<BTreeSet<usize>>().into_iter().collect();
        }
        Graph { catalog, tokens, features, sharing, edges }
    }

    fn license(&self, node: usize) -> &'c License {
        let (feature, license) = self.tokens[node];
        &self.catalog.features[feature].licenses[license]
    }

    /// Sums what one token takes.
    fn below(&self, node: usize, known: &[Option<Below>]) -> Below {
        let token = self.license(node);
        let mut sum = Below { depth: 1, ..Below::default() };
        for dependency in token.token_dependencies() {
            let at = self.catalog.index_of(&token.vendor, &dependency.feature);
            let further = at.and_then(|at| known[*self.features.get(&at)?].clone()).unwrap_or_default();
            let shares = at.is_some_and(|at| self.sharing.contains(&at)).then_some(&dependency.feature);
            let seats = further.seats.saturating_add(1).saturating_mul(u64::from(dependency.count));
            sum.depth = sum.depth.max(further.depth.saturating_add(1));
            sum.seats = sum.seats.saturating_add(seats);
            sum.ways = sum.ways.saturating_add(further.ways).saturating_add(1);
            sum.sharing = first(first(sum.sharing, shares), further.sharing.as_ref());
        }
        sum
    }

    /// The first feature by name that shares, of those that the tokens of a loop lead to.
    fn shared_below(&self, component: &[usize], known: &[Option<Below>]) -> Option<Name> {
        let tokens = component.iter().filter(|node| **node < self.tokens.len());
        tokens.fold(None, |shared, node| first(shared, self.below(*node, known).sharing.as_ref()))
    }

    fn fault(&self, node: usize, below: &Below) -> Option<Refusal> {
        let refuse = |reason, message: String| Some(Refusal { reason, message });
        if below.depth > TOKEN_DEPTH_MAX {
            let message = format!(
                "the tokens it depends on are {} deep, at most {TOKEN_DEPTH_MAX} are allowed: ask the vendor for one \
                 that takes its seats directly (L51)",
                below.depth
            );
            return refuse(Reason::TokenLoop, message);
        }
        if let Some(name) = below.sharing.as_ref().filter(|_| self.license(node).share.is_sharing()) {
            let message = format!(
                "it has SHARE and so has {name}, which it depends on: only one of them may share; ask the vendor for \
                 one without (L51)"
            );
            return refuse(Reason::TokenSharing, message);
        }
        if below.seats > u64::from(Count::MAX) {
            let message = format!(
                "one token takes more than {} seats in all: ask the vendor for one that takes less",
                Count::MAX
            );
            return refuse(Reason::CountOverflow, message);
        }
        if below.ways > TOKEN_NEEDS_MAX as u64 && self.has_too_many_needs(node) {
            let message = format!(
                "it takes seats of more than {TOKEN_NEEDS_MAX} features and versions, through the tokens it depends \
                 on: ask the vendor for one that takes less"
            );
            return refuse(Reason::BadValue, message);
        }
        None
    }

    /// Whether more features and versions than [`TOKEN_NEEDS_MAX`] are below a token, over all licenses of those below.
    fn has_too_many_needs(&self, node: usize) -> bool {
        let (mut seen, mut needs, mut waiting) = (BTreeSet::from([node]), BTreeSet::new(), vec![node]);
        while let Some(node) = waiting.pop() {
            let dependencies = self.license(node).token_dependencies();
            needs.extend(dependencies.iter().map(|d| (&d.feature, d.version)));
            if needs.len() > TOKEN_NEEDS_MAX {
                return true;
            }
            let further = self.edges[node].iter().flat_map(|feature| &self.edges[*feature]).copied();
            waiting.extend(further.filter(|token| seen.insert(*token)));
        }
        false
    }

    fn loop_fault(&self, component: &[usize]) -> Refusal {
        let tokens = component.iter().filter(|node| **node < self.tokens.len());
        let names: BTreeSet<&Name> = tokens.map(|node| &self.license(*node).feature).collect();
        let told: Vec<String> = names.iter().take(NAMES_MAX).map(ToString::to_string).collect();
        let more = if names.len() > told.len() { " and more" } else { "" };
        let message = match &told[..] {
            [one] => format!("{one} depends on itself: ask the vendor for one that does not (L51)"),
            _ => format!(
                "{}{more} depend on each other in a loop: ask the vendor for tokens that do not (L51)",
                told.join(", ")
            ),
        };
        Refusal { reason: Reason::TokenLoop, message }
    }
}

/// The strongly connected components of a graph, each after all that it leads to; Tarjan's way, on a stack of its own
/// since chains may be as long as there are licenses.
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let (mut number, mut low) = (vec![UNSEEN; edges.len()], vec![0; edges.len()]);
    let mut is_open = vec![false; edges.len()];
    let (mut next, mut open, mut done) = (0, Vec::new(), Vec::new());
    for root in 0..edges.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if number[root] == UNSEEN {
            path.push((root, 0));
        }
        while let Some((node, edge)) = path.pop() {
            if edge == 0 {
                (number[node], low[node], is_open[node]) = (next, next, true);
                next += 1;
                open.push(node);
            } else {
                low[node] = low[node].min(low[edges[node][edge - 1]]);
            }
            let mut at = edge;
            let mut below = None;
            while let Some(to) = edges[node].get(at).copied() {
                at += 1;
                if number[to] == UNSEEN {
                    below = Some(to);
                    break;
                }
                if is_open[to] {
                    low[node] = low[node].min(number[to]);
                }
            }
            if let Some(to) = below {
                path.push((node, at));
                path.push((to, 0));
                continue;
            }
            if low[node] == number[node] {
                let first = open.iter().rposition(|n| *n == node).unwrap_or(0);
                let component = open.split_off(first);
                component.iter().for_each(|n| is_open[*n] = false);
                done.push(component);
            }
        }
    }
    done
}
