//! How answers read in the stories.

use std::sync::Arc;

use seats::change::PoolKind;
use seats::denial::{Denial, Due, Numbers};
use seats::evaluate::{Evaluation, Standing};
use seats::ledger::PoolChange;
use seats::license::{Count, KeyType, License};

/// `cad 10 → 16: upgrade up1 active`, as the log has it (L22).
pub(crate) fn changed(change: &PoolChange) -> String {
    let told = if change.has_expired { "; its sessions are told `expired`" } else { "" };
    let pool = pool_name(&change.set.feature, &change.set.kind);
    format!("{pool} {} → {}: {}{told}", change.before, change.set.total, change.why)
}

/// `cad`, or `cad (additive a1)`.
pub(crate) fn pool_name(feature: impl std::fmt::Display, kind: &PoolKind) -> String {
    match kind {
        PoolKind::Exclusive => feature.to_string(),
        kind => format!("{feature} ({})", kind_name(kind)),
    }
}

pub(crate) fn kind_name(kind: &PoolKind) -> String {
    match kind {
        PoolKind::Exclusive => "exclusive".into(),
        PoolKind::Additive(sn) if sn.starts_with('#') => "additive without SN".into(),
        PoolKind::Additive(sn) => format!("additive {sn}"),
        PoolKind::Token => "token".into(),
    }
}

pub(crate) fn numbers(n: &Numbers) -> String {
    let free = n.free().map_or_else(|| "unlimited".to_string(), |free| free.to_string());
    let active = n.used - n.suspect - n.borrowed;
    // What stands apart from used and free (S6), and what is lent, is named where there is any.
    let borrowed = if n.borrowed > 0 { format!(", borrowed {}", n.borrowed) } else { String::new() };
    let apart = [("held", n.held), ("reserved", n.reserved)].into_iter().filter(|(_, seats)| *seats > 0);
    let apart: String = apart.map(|(what, seats)| format!("{what} {seats}, ")).collect();
    format!(
        "total {}, used {} (active {active}, suspect {}{borrowed}), {apart}free {free}, over {}",
        n.total,
        n.used,
        n.suspect,
        n.over()
    )
}

pub(crate) fn denied(denial: &Denial) -> Vec<String> {
    let mut lines = vec![format!("denied {}: {}", denial.code, denial.message)];
    let Some(subject) = &denial.subject else { return lines };
    lines.extend(
        subject.needed_by.iter().map(|token| format!("  about {}, needed by {token}", subject.feature)),
    );
    if let Some(n) = &subject.numbers {
        lines.push(format!("  {}", numbers(n)));
    }
    match subject.due {
        Some(Due::Day(day)) => lines.push(format!("  the next seat is due on {day}")),
        Some(Due::BorrowEnds(unix_s)) => {
            lines.push(format!("  the next seat is due {}, when a borrow ends", instant(unix_s)));
        }
        Some(due) => {
            let ms = due.in_ms().unwrap_or_default();
            let why = match due {
                Due::HoldEnds(_) => ", when it is held no longer",
                Due::IdleEnds(_) => ", if it stays idle",
                Due::BarEnds(_) => ", when the bar is over",
                Due::SuspectFree(_) | Due::Day(_) | Due::BorrowEnds(_) => "",
            };
            lines.push(format!("  the next seat is due in {} s{why}", ms / 1000));
        }
        None => {}
    }
    if subject.recovering {
        lines.push("  recovering from a restart".into());
    }
    for h in &subject.holders {
        lines.push(format!("  held by {}@{}: {} (session {})", h.user, h.host, h.count, h.session));
    }
    for other in &subject.others {
        lines.push(format!("  {} is no help, {}: {}", kind_name(&other.kind), other.code, other.message));
    }
    lines
}

/// `2030-06-30 12:00`, in UTC.
pub(crate) fn instant(unix_s: i64) -> String {
    let at = chrono::DateTime::from_timestamp(unix_s, 0).expect("an instant");
    at.format("%Y-%m-%d %H:%M").to_string()
}

/// `10 + 6 = `, or nothing where there is nothing to add.
pub(crate) fn sum(licenses: &[Arc<License>], today: &Evaluation) -> String {
    let in_force = |at: &usize| today.standings[*at].reason.is_none();
    let count = |at: usize| {
        licenses[at].count.map_or(0, |c| match c {
            Count::Limited(n) => n,
            Count::Unlimited => 0,
        })
    };
    let upgrades: Vec<String> = (0..licenses.len())
        .filter(|at| in_force(at) && licenses[*at].key_type == KeyType::Upgrade)
        .map(|at| format!(" + {}", count(at)))
        .collect();
    match today.base {
        Some(base) if !upgrades.is_empty() => format!("{}{} = ", count(base), upgrades.concat()),
        _ => String::new(),
    }
}

pub(crate) fn standing(s: Standing) -> String {
    match s.reason {
        Some(reason) => format!("{}, {reason}", s.state.as_str()),
        None => s.state.as_str().to_string(),
    }
}

pub(crate) fn title(license: &License) -> String {
    let kind = license.key_type.as_str().to_lowercase();
    format!("{kind} {}", license.sn.as_deref().unwrap_or("without SN"))
}

pub(crate) fn described(license: &License) -> String {
    let seats = match license.count {
        Some(Count::Limited(n)) => format!(", {n} seats"),
        Some(Count::Unlimited) => ", unlimited".to_string(),
        None => String::new(),
    };
    let from = license.start.map_or_else(String::new, |d| format!(", from {d}"));
    let until = license.end.map_or_else(String::new, |d| format!(", until {d}"));
    let file = match &*license.place.file {
        "licenses.xml" => String::new(),
        file => format!(" ({file})"),
    };
    format!("{}{file}{seats}{from}{until}", title(license))
}
