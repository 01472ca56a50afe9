//! A message as JSON for a reader: from `{:?}`, which alone names the fields as the crate orders them,
//! and the page, which knows their types. Names or order that differ are found here.

use std::fmt::Write;

use crate::page::{Fields, Page, hex};
use crate::{Any, samples};

/// The fields of `message` as JSON, two spaces an indent; the page's order is the crate's.
pub(crate) fn json(page: &Page, message: &Any) -> String {
    let text = message.debug();
    let (name, fields) = &page.messages[&message.number()];
    let mut rest = text.as_str();
    let mut out = String::new();
    structure(page, name, fields, &mut rest, 1, &mut out);
    assert_eq!(rest, "", "left of {text}");
    out
}

/// The same of something that is no message: `text` is its `{:?}`.
pub(crate) fn part(page: &Page, name: &str, text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    structure(page, name, &page.parts[name], &mut rest, 1, &mut out);
    assert_eq!(rest, "", "left of {text}");
    out
}

fn structure(page: &Page, name: &str, fields: &Fields, rest: &mut &str, depth: usize, out: &mut String) {
    eat(rest, name);
    eat(rest, " { ");
    out.push_str("{\n");
    for (i, (field, kind)) in fields.iter().enumerate() {
        if i > 0 {
            eat(rest, ", ");
            out.push_str(",\n");
        }
        eat(rest, field);
        eat(rest, ": ");
        write!(out, "{:1$}\"{field}\": ", "", 2 * (depth + 1)).unwrap();
        value(page, kind, rest, depth + 1, out);
    }
    eat(rest, " }");
    write!(out, "\n{:1$}}}", "", 2 * depth).unwrap();
}

fn value(page: &Page, kind: &str, rest: &mut &str, depth: usize, out: &mut String) {
    if let Some(kind) = kind.strip_prefix("optional ") {
        if rest.starts_with("None") {
            eat(rest, "None");
            out.push_str("null");
        } else {
            eat(rest, "Some(");
            value(page, kind, rest, depth, out);
            eat(rest, ")");
        }
        return;
    }
    if let Some(kind) = kind.strip_prefix("list of ") {
        eat(rest, "[");
        out.push('[');
        let mut first = true;
        while !rest.starts_with(']') {
            if !first {
                eat(rest, ", ");
                out.push_str(", ");
            }
            first = false;
            value(page, kind, rest, depth, out);
        }
        eat(rest, "]");
        out.push(']');
        return;
    }
    match kind {
        "u16" | "u32" | "u64" | "i16" | "i64" | "bool" => out.push_str(word(rest)),
        "16 bytes" if rest.starts_with("Secret(") => {
            // A secret is not printed, so the samples have one for all.
            eat(rest, "Secret(…)");
            write!(out, "\"{}\"", hex(&samples::SECRET)).unwrap();
        }
        "4 bytes" | "16 bytes" | "32 bytes" | "bytes" => {
            eat(rest, "[");
            let (list, after) = rest.split_once(']').expect("a list of bytes");
            *rest = after;
            let bytes: Vec<u8> =
                list.split(", ").filter(|b| !b.is_empty()).map(|b| b.parse().unwrap()).collect();
            write!(out, "\"{}\"", hex(&bytes)).unwrap();
        }
        "text" => {
            let text = quoted(rest);
            out.push_str(&serde_json::to_string(&text).unwrap());
        }
        part => structure(page, part, &page.parts[part], rest, depth, out),
    }
}

fn eat(rest: &mut &str, what: &str) {
    *rest =
        rest.strip_prefix(what).unwrap_or_else(|| panic!("the page wants {what:?}, the crate has {rest}"));
}

fn word<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest.find([',', ' ', ')', ']']).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

/// A text in quotes; the samples hold nothing that `{:?}` escapes but quotes and backslashes.
fn quoted(rest: &mut &str) -> String {
    eat(rest, "\"");
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                *rest = &rest[at + 1..];
                return text;
            }
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                other => panic!("{other:?} after a backslash"),
            },
            c => text.push(c),
        }
    }
    panic!("no closing quote");
}
