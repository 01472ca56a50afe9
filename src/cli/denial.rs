//! A refusal for people: what, the numbers, who has the seats, when one is due (S4).

use seatkeeper_client::Refusal;

use super::here::Here;
use super::table::{clean, plural, seats, wrap};
use crate::report::{Denial, Due, Numbers, Place};

/// The most holders named.
const HOLDERS_SHOWN: usize = 10;

/// The sentence and its code, then whatever the details add, one fact a line.
pub(super) fn text(refusal: &Refusal, here: &Here) -> String {
    let mut text = format!("denied: {} ({})", refusal.message, refusal.code);
    // Details of a form that this program does not know are no reason to hide the sentence.
    let Ok(details) = serde_json::from_str::<Denial>(&refusal.details) else { return text };
    for line in facts(&details, &refusal.message, here) {
        text.push('\n');
        text.push_str(wrap(&line, 2, 4).trim_end());
    }
    text
}

/// Everything that the details say beside the sentence, one fact a line.
pub(super) fn facts(details: &Denial, sentence: &str, here: &Here) -> Vec<String> {
    let mut lines = decided_by(details, sentence);
    if let Some(numbers) = &details.numbers {
        lines.insert(0, sum(numbers, details.wanted));
    }
    for other in &details.others {
        let message = other.message.as_ref().map_or_else(String::new, |message| format!("{message} "));
        let kind = other.key_type.to_lowercase();
        lines.push(format!("not from the {kind} pool {} either: {message}({})", other.pool, other.code));
    }
    let holders = details.holders.as_deref().unwrap_or_default();
    for holder in holders.iter().take(HOLDERS_SHOWN) {
        let since =
            holder.since.as_ref().map_or_else(String::new, |since| format!(" since {}", here.instant(since)));
        let count = plural(holder.count.into(), "seat");
        lines.push(format!(
            "{} on {} has {count}{since} (session {})",
            holder.user, holder.host, holder.session
        ));
    }
    if holders.len() > HOLDERS_SHOWN {
        lines.push(format!("and {} more", holders.len() - HOLDERS_SHOWN));
    }
    match details.queued_before_you {
        0 => {}
        1 => lines.push("1 waits already; `--wait SECS` joins the queue".into()),
        n => lines.push(format!("{n} wait already; `--wait SECS` joins the queue")),
    }
    lines.extend(details.due.as_ref().map(|at| due(at, here)));
    if let Some(ended) = &details.ended_at {
        lines.push(format!("it ended at {}", here.instant(ended)));
    }
    lines.into_iter().map(|line| clean(&line)).collect()
}

/// Whatever decided: the rule, the limit, the license, the token that needs the feature.
pub(super) fn decided_by(details: &Denial, sentence: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if details.recovering {
        lines.push("the server was restarted a moment ago: seats of clients that have not come back yet count as used".into());
    }
    if let Some(token) = &details.needed_by {
        let feature = details.feature.as_deref().unwrap_or("it");
        lines.push(format!("{feature} is needed by the token {token}"));
    }
    let is_said = |place: &Place| sentence.contains(&format!("{}:{}", place.file, place.line));
    if let Some(rule) = details.rule.as_ref().filter(|rule| !is_said(rule)) {
        let says = rule.text.as_ref().map_or_else(String::new, |text| format!(": {text}"));
        lines.push(format!("rule {}:{}{says}", rule.file, rule.line));
    }
    if let Some(limit) = &details.limit {
        let wanted = details.wanted.map_or_else(String::new, |wanted| format!("; {wanted} wanted"));
        let most = plural(limit.seats.into(), "seat");
        lines.push(format!("{} has {} of at most {most}{wanted}", limit.whose, limit.used));
    }
    if let Some(place) = &details.place {
        lines.push(format!("license {}:{}", place.file, place.line));
    }
    lines
}

/// When to ask again.
pub(super) fn due(due: &Due, here: &Here) -> String {
    match due {
        Due::At(at) => format!("the next seat is due at {}, when a borrow ends", here.instant(at)),
        Due::InSeconds(seconds) => format!("the next seat is due in {}", plural(*seconds, "second")),
        Due::Day(day) => format!("more seats are due on {day}"),
    }
}

fn sum(n: &Numbers, wanted: Option<u64>) -> String {
    let mut parts = vec![format!("{} in all", seats(n.total, n.unlimited)), format!("{} used", n.used)];
    let further = [
        (n.suspect, "of them suspect"),
        (n.borrowed, "of them borrowed"),
        (n.held, "held"),
        (n.reserved, "reserved"),
    ];
    parts.extend(
        further.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")),
    );
    parts.push(format!("{} free", seats(n.free, n.unlimited)));
    parts.extend((n.over > 0).then(|| format!("{} over", n.over)));
    let wanted = wanted.map_or_else(String::new, |wanted| format!("; {wanted} wanted"));
    format!("seats: {}{wanted}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_what_is_needed_to_act_on_it() {
        let details = r#"{"feature":"cad","vendor":"ACME","wanted":2,"total":16,"used":16,"free":0,"suspect":1,
            "held":0,"reserved":0,"over":0,"unlimited":false,"due":{"in_seconds":35},"new_member":1,
            "holders":[{"session":"h","user":"ann\u001b","host":"ws7","count":4,"since":"2030-06-30T08:00:00Z"}]}"#;
        let refusal = Refusal {
            code: "no_seats".into(),
            message: "all 16 seats of cad are taken".into(),
            details: details.into(),
        };
        assert_eq!(
            text(&refusal, &Here::of("Europe/Berlin")),
            "denied: all 16 seats of cad are taken (no_seats)\n  \
             seats: 16 in all, 16 used, 1 of them suspect, 0 free; 2 wanted\n  \
             ann\u{fffd} on ws7 has 4 seats since 2030-06-30 10:00:00 +02:00 (session h)\n  \
             the next seat is due in 35 seconds"
        );
    }

    #[test]
    fn a_denial_by_the_policy_names_rule_limit_token_and_the_other_pools() {
        let details = r#"{"feature":"mesh","wanted":1,"needed_by":"suite","rule":{"file":"policy.toml","line":7,
            "text":"limit 2 per user"},"limit":{"whose":"user ann","seats":2,"used":2},"others":[{"pool":"4",
            "key_type":"ADDITIVE","code":"no_seats","message":"all are taken"},{"pool":"5","key_type":"TOKEN",
            "code":"platform"}]}"#;
        let refusal = Refusal { code: "limit_user".into(), message: "no".into(), details: details.into() };
        assert_eq!(
            text(&refusal, &Here::of("Europe/Berlin")),
            "denied: no (limit_user)\n  mesh is needed by the token suite\n  \
             rule policy.toml:7: limit 2 per user\n  user ann has 2 of at most 2 seats; 1 wanted\n  \
             not from the additive pool 4 either: all are taken (no_seats)\n  \
             not from the token pool 5 either: (platform)"
        );
    }

    #[test]
    fn details_of_another_form_do_not_hide_the_sentence() {
        for details in ["", "[]", "{", r#"{"total":"many","used":-1}"#] {
            let refusal =
                Refusal { code: "busy".into(), message: "later".into(), details: details.to_owned() };
            assert_eq!(text(&refusal, &Here::of("Europe/Berlin")), "denied: later (busy)", "{details}");
        }
    }
}
