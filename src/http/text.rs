//! The text format that Prometheus reads, version 0.0.4: six rules, of which the escaping of label values is the one that
//! matters, for a vendor may call a feature what he likes.

use std::fmt::Write as _;

use crate::counts::Histogram;

/// As Prometheus is told what this is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family of numbers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

/// The two lines before a family's numbers. `help` has neither a backslash nor a line feed.
pub(super) fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        }
    }
}

/// A label and its value, escaped.
pub(super) fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// One number; `labels` as [`label`] made them, or empty.
pub(super) fn number(out: &mut String, name: &str, labels: &str, value: f64) {
    out.push_str(name);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    // Most are small whole numbers, and those are written several times as fast.
    let _ = match whole(value) {
        Some(whole) => writeln!(out, " {whole}"),
        None if value == f64::INFINITY => writeln!(out, " +Inf"),
        None => writeln!(out, " {value}"),
    };
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole and in the range of 32 bits"
)]
fn whole(value: f64) -> Option<u32> {
    let is_whole = value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0;
    is_whole.then_some(value as u32)
}

/// A family of one number without labels.
pub(super) fn single(out: &mut String, name: &str, kind: Kind, help: &str, value: f64) {
    head(out, name, kind.as_str(), help);
    number(out, name, "", value);
}

/// A family of one label.
pub(super) fn by_label<'a>(
    out: &mut String,
    name: &str,
    kind: Kind,
    help: &str,
    label_name: &str,
    counts: impl Iterator<Item = (&'a str, u64)>,
) {
    head(out, name, kind.as_str(), help);
    for (value, count) in counts {
        let mut labels = String::new();
        label(&mut labels, label_name, value);
        number(out, name, &labels, float(count));
    }
}

/// A histogram.
pub(super) fn histogram(out: &mut String, name: &str, help: &str, histogram: &Histogram) {
    head(out, name, "histogram", help);
    let (steps, all, seconds) = histogram.read();
    for (end, upto) in steps {
        let _ = writeln!(out, "{name}_bucket{{le=\"{end}\"}} {upto}");
    }
    let _ = write!(out, "{name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {seconds}\n{name}_count {all}\n");
}

/// Prometheus computes in 64 bits of floating point. Exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "the format has nothing else")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut labels = String::new();
        label(&mut labels, "app", "a\"b\\c\nd");
        label(&mut labels, "name", "<script>é");
        assert_eq!(labels, r#"app="a\"b\\c\nd",name="<script>é""#);
        let mut out = String::new();
        number(&mut out, "x", &labels, f64::INFINITY);
        number(&mut out, "y", "", 9_007_199_254_740_992.0);
        assert_eq!(out, format!("x{{{labels}}} +Inf\ny 9007199254740992\n"));
        let mut out = String::new();
        for value in [0.0, 16.0, 4_294_967_295.0, 4_294_967_296.0, 0.5, -1.0] {
            number(&mut out, "z", "", value);
        }
        assert_eq!(out, "z 0\nz 16\nz 4294967295\nz 4294967296\nz 0.5\nz -1\n");
    }
}
