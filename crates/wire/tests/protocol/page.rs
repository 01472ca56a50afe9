//! A second implementation of the layout: the tables of `docs/PROTOCOL.md` say which fields there are,
//! and a few lines write them. It shares nothing with the crate.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// The fields of one message or part: name and type, in order.
pub(crate) type Fields = Vec<(String, String)>;

/// What the page says.
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) messages: BTreeMap<u16, (String, Fields)>,
    pub(crate) parts: BTreeMap<String, Fields>,
}

impl Page {
    pub(crate) fn read() -> Page {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROTOCOL.md");
        let text = std::fs::read_to_string(&path).expect("docs/PROTOCOL.md");
        let (mut messages, mut parts) = (BTreeMap::new(), BTreeMap::new());
        for section in text.split("\n### ").skip(1) {
            let (title, rest) = section.split_once('\n').expect("a title and a table");
            let rest = rest.split("\n## ").next().unwrap_or_default();
            let fields = rest.lines().filter_map(field).collect::<Fields>();
            match title.strip_prefix("0x").and_then(|t| t.split_once(' ')) {
                Some((number, name)) => {
                    let number = u16::from_str_radix(number, 16).expect("a number");
                    assert!(messages.insert(number, (name.to_owned(), fields)).is_none(), "{title} twice");
                }
                None if !fields.is_empty() => {
                    assert!(parts.insert(title.to_owned(), fields).is_none(), "{title} twice");
                }
                None => {}
            }
        }
        Page { text, messages, parts }
    }

    /// A whole frame, from fields as they stand in a vector.
    pub(crate) fn frame(&self, number: u16, call: u32, fields: &Value) -> Vec<u8> {
        let mut body = Vec::new();
        self.structure(&self.messages[&number].1, fields, &mut body);
        let length = u32::try_from(6 + body.len()).expect("a short message");
        [&length.to_le_bytes()[..], &number.to_le_bytes(), &call.to_le_bytes(), &body].concat()
    }

    fn structure(&self, fields: &Fields, value: &Value, out: &mut Vec<u8>) {
        let members = value.as_object().expect("an object");
        assert_eq!(members.len(), fields.len(), "{members:?} has other fields than the page");
        for (name, kind) in fields {
            self.value(kind, members.get(name).unwrap_or_else(|| panic!("no {name}")), out);
        }
    }

    /// Writes one value of a type that section 3 of the page names.
    pub(crate) fn value(&self, kind: &str, value: &Value, out: &mut Vec<u8>) {
        if let Some(kind) = kind.strip_prefix("optional ") {
            out.push(u8::from(!value.is_null()));
            if !value.is_null() {
                self.value(kind, value, out);
            }
            return;
        }
        if let Some(kind) = kind.strip_prefix("list of ") {
            let items = value.as_array().expect("a list");
            integer(items.len() as u64, out);
            items.iter().for_each(|item| self.value(kind, item, out));
            return;
        }
        match kind {
            "u16" | "u32" | "u64" => integer(value.as_u64().expect("a number"), out),
            "i16" | "i64" => {
                let n = i128::from(value.as_i64().expect("a number"));
                let folded = if n >= 0 { 2 * n } else { -2 * n - 1 };
                integer(u64::try_from(folded).expect("64 bits"), out);
            }
            "bool" => out.push(u8::from(value.as_bool().expect("true or false"))),
            "4 bytes" | "16 bytes" | "32 bytes" => {
                let bytes = from_hex(value.as_str().expect("hex"));
                assert_eq!(format!("{} bytes", bytes.len()), kind);
                out.extend(bytes);
            }
            "bytes" => {
                let bytes = from_hex(value.as_str().expect("hex"));
                integer(bytes.len() as u64, out);
                out.extend(bytes);
            }
            "text" => {
                let text = value.as_str().expect("a text");
                integer(text.len() as u64, out);
                out.extend(text.bytes());
            }
            part => self.structure(&self.parts[part], value, out),
        }
    }
}

fn field(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    let (name, kind) = (cells.next()?, cells.next()?);
    (name != "field").then(|| (name.to_owned(), kind.to_owned()))
}

fn integer(n: u64, out: &mut Vec<u8>) {
    let (tag, bytes) = match n {
        0..=250 => (n as u8, 0),
        251..=0xffff => (251, 2),
        0x1_0000..=0xffff_ffff => (252, 4),
        _ => (253, 8),
    };
    out.push(tag);
    out.extend(&n.to_le_bytes()[..bytes]);
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16).expect("hex") as u8).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn the_examples_of_the_page_are_right() {
    let page = Page::read();
    let examples = [
        ("u32", "250", "| u32 250 | `fa` |"),
        ("u32", "251", "| u32 251 | `fb fb 00` |"),
        ("u32", "65535", "| u16, u32 or u64 65535 | `fb ff ff` |"),
        ("u64", "65536", "| u32 or u64 65536 | `fc 00 00 01 00` |"),
        ("u64", "4294967296", "| u64 4294967296 | `fd 00 00 00 00 01 00 00 00` |"),
        ("i64", "1893456000", "| i64 1893456000 (2030-01-01T00:00:00Z) | `fc 00 b1 b7 e1` |"),
        ("text", "\"cad\"", "| text \"cad\" | `03 63 61 64` |"),
        ("text", "\"é\"", "| text \"é\" | `02 c3 a9` |"),
        ("list of text", "[\"a\",\"bc\"]", "| list of two texts \"a\", \"bc\" | `02 01 61 02 62 63` |"),
        ("optional text", "\"4.2\"", "`01 03 34 2e 32` |"),
    ];
    for (kind, value, line) in examples {
        assert!(page.text.contains(line), "the page has no {line}");
        let mut bytes = Vec::new();
        page.value(kind, &serde_json::from_str(value).unwrap(), &mut bytes);
        let shown = line.rsplit('`').nth(1).unwrap();
        assert_eq!(hex(&bytes), hex(&from_hex(shown)), "{line}");
    }
    assert!(page.text.contains("| i16 0, −1, 1, 60, −720 | `00`, `01`, `02`, `78`, `fb 9f 05` |"));
    let mut bytes = Vec::new();
    [0, -1, 1, 60, -720].iter().for_each(|n| page.value("i16", &Value::from(*n), &mut bytes));
    assert_eq!(hex(&bytes), "00010278fb9f05");
}
