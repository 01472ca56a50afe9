//! What each rule of a policy is good for on this server: for `seatkeeperd --check` (issue 3, point 2).
//!
//! A pure function of rules, licenses and a day. What it warns of is allowed: a license may come tomorrow, and a group
//! may be filled. So a policy with warnings is served.

mod reach;
mod seats;
mod shadow;

use std::fmt;
use std::sync::Arc;

use ::seats::catalog::Catalog;
use ::seats::policy::{GroupId, Members, RuleId, RulePlace, RuleSet};
use ::seats::request::NameRules;
use chrono::NaiveDate;

use self::reach::Features;
pub use self::reach::Reach;

/// How many lines of rules that together hide another are named.
const LINES_TOLD: usize = 5;

/// What a policy comes to on this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// For each rule what it can match, in file order.
    pub reaches: Vec<(RulePlace, Reach)>,
    /// How many groups there are.
    pub groups: usize,
    /// What is probably not meant so: about rules in file order, then about groups, then about licenses.
    pub warnings: Vec<Warning>,
}

/// Something in a policy that has no effect, or another one than it seems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// File, line and column; `None` where it is about a license that the policy says nothing of.
    pub place: Option<(Arc<str>, u32, u32)>,
    /// What is so; what to do about it.
    pub message: String,
}

impl Warning {
    fn at(place: &RulePlace, message: String) -> Warning {
        Warning { place: Some((place.file.clone(), place.line, place.column)), message }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line, column)) = &self.place {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Looks at every rule, group and license. `names`: how users and hosts are compared; `day`: for the totals.
pub fn analyze(rules: &RuleSet, names: NameRules, catalog: &Catalog, day: NaiveDate) -> Analysis {
    let features = Features::new(catalog);
    let mut warnings = Vec::new();
    let mut reaches = Vec::with_capacity(rules.rules.len());
    for rule in &rules.rules {
        let reach = reach::of(rule, rules, &features);
        warnings
            .extend(reach::warning(rule, rules, &reach, catalog).map(|text| Warning::at(&rule.place, text)));
        reaches.push((rule.place.clone(), reach));
    }
    let place = |id: RuleId| &rules.rules[id.0 as usize].place;
    let (shadows, is_whole) = shadow::find(rules, names);
    for (rule, by) in shadows {
        // Said once: a rule that matches nothing is not also hidden.
        if reaches[rule.0 as usize].1.is_possible() {
            let text = match &by[..] {
                [one] => {
                    let by = place(*one);
                    format!("never decides: line {} comes first, \"{}\"", by.line, by.text)
                }
                several => {
                    let mut lines: Vec<String> =
                        several.iter().take(LINES_TOLD).map(|by| place(*by).line.to_string()).collect();
                    if several.len() > LINES_TOLD {
                        lines.push(format!("{} more", several.len() - LINES_TOLD));
                    }
                    let last = lines.pop().unwrap_or_default();
                    format!(
                        "never decides: lines {} and {last} come first, each for some of those it is for",
                        lines.join(", ")
                    )
                }
            };
            warnings.push(Warning::at(place(rule), text));
        }
    }
    let (about_rules, about_licenses) = seats::warnings(rules, catalog, day);
    warnings.extend(about_rules.into_iter().map(|(rule, text)| Warning::at(place(rule), text)));
    warnings.sort_by_key(|warning| warning.place.as_ref().map(|(_, line, column)| (*line, *column)));
    warnings.extend(groups(rules));
    if !is_whole {
        let message =
            "there are too many rules to look at each pair: of rules that never decide, some may not be told";
        warnings.push(Warning { place: None, message: message.to_owned() });
    }
    warnings.extend(about_licenses.into_iter().map(|message| Warning { place: None, message }));
    Analysis { reaches, groups: rules.groups.len(), warnings }
}

/// Groups that do nothing.
fn groups(rules: &RuleSet) -> Vec<Warning> {
    let mut used = vec![false; rules.groups.len()];
    for group in rules.rules.iter().flat_map(|rule| &rule.who.groups) {
        used[group.0 as usize] = true;
    }
    let mut warnings = Vec::new();
    for (group, used) in rules.groups.iter().zip(used) {
        if size(&group.members) == 0 {
            warnings.push(Warning::at(&group.place, format!("group {} is empty", group.name)));
        }
        if !used {
            warnings.push(Warning::at(&group.place, format!("group {} is named by no rule", group.name)));
        }
    }
    warnings
}

/// How many members are listed.
fn size(members: &Members) -> usize {
    match members {
        Members::Users(names) | Members::Hosts(names) | Members::Projects(names) => names.len(),
        Members::Addresses(networks) => networks.len(),
    }
}

/// The members of the groups that a rule names.
fn members<'a>(rules: &'a RuleSet, groups: &'a [GroupId]) -> impl Iterator<Item = &'a Members> {
    groups.iter().map(|id| &rules.groups[id.0 as usize].members)
}

impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rule(s), {} group(s)", self.reaches.len(), self.groups)?;
        for (place, reach) in &self.reaches {
            writeln!(f, "  {}:{}  {}", place.file, place.line, place.text)?;
            writeln!(f, "      {reach}")?;
        }
        write!(f, "{} warning(s)", self.warnings.len())?;
        for warning in &self.warnings {
            write!(f, "\n{warning}")?;
        }
        Ok(())
    }
}
