//! A value against one of our JSON Schemas, `docs/schema`.

use chrono::NaiveDate;
use serde_json::Value;

/// Panics where the value is not what the schema says, as far as our schemas go: types, words, formats, members.
pub(crate) fn matches(schema: &Value, value: &Value, at: &str) {
    if let Some(only) = schema.get("const") {
        assert_eq!(only, value, "{at}");
    }
    if let Some(words) = schema.get("enum") {
        assert!(words.as_array().unwrap().contains(value), "{at}: {value}");
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match &schema["type"] {
        Value::String(one) => {
            assert!(one == is || (one == "number" && is == "integer"), "{at}: {value} is no {one}")
        }
        Value::Array(some) => assert!(some.iter().any(|one| one == is), "{at}: {value}"),
        _ => {}
    }
    if let (Some(format), Some(text)) = (schema.get("format"), value.as_str()) {
        match format.as_str() {
            Some("date") => drop(text.parse::<NaiveDate>().expect("a day")),
            _ => drop(chrono::DateTime::parse_from_rfc3339(text).expect("an instant")),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        matches(&schema["items"], item, &format!("{at}[]"));
    }
    if let Some(members) = value.as_object() {
        for name in schema["required"].as_array().unwrap() {
            assert!(members.contains_key(name.as_str().unwrap()), "{at} lacks {name}");
        }
        for (name, member) in members {
            let of =
                schema["properties"].get(name).unwrap_or_else(|| panic!("{at}.{name} is not in the schema"));
            matches(of, member, &format!("{at}.{name}"));
        }
    }
}
