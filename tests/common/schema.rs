//! The schemas of docs/schema, read strictly: what they do not mention is wrong here, so that nothing goes undescribed. Readers of
//! the documents must be laxer (docs/schema/README.md).
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::BTreeSet;

use serde_json::Value;

/// Words of JSON Schema that ours use; one that is not here is an error, or it would never be checked.
const WORDS: [&str; 20] = [
    "$schema",
    "$id",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "const",
    "enum",
    "format",
    "minimum",
    "properties",
    "required",
    "items",
    "anyOf",
    "oneOf",
    "minProperties",
    "maxProperties",
    "maximum",
    "default",
];

/// Every schema of docs/schema.
pub struct Schemas(Vec<(&'static str, Value)>);

impl Schemas {
    /// As the repository has them.
    pub fn read() -> Schemas {
        let texts = [
            ("status", include_str!("../../docs/schema/status.json")),
            ("denial", include_str!("../../docs/schema/denial.json")),
            ("events", include_str!("../../docs/schema/events.json")),
            ("usage", include_str!("../../docs/schema/usage.json")),
        ];
        Schemas(texts.map(|(name, text)| (name, serde_json::from_str(text).expect("JSON"))).to_vec())
    }

    /// One of them, whole.
    pub fn whole(&self, name: &str) -> &Value {
        &self.0.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no schema {name}")).1
    }

    /// Names and schemas.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, schema)| (*name, schema))
    }

    /// A part under `$defs`, of `status` or another.
    pub fn part(&self, name: &str, part: &str) -> &Value {
        &self.whole(name)["$defs"][part]
    }

    /// Where a `$ref` leads, of the schema `of` itself or of another by its `$id`.
    pub fn resolve<'a>(&'a self, of: &'a str, reference: &'a str) -> (&'a str, &'a Value) {
        let (id, pointer) = reference.split_once('#').unwrap_or_else(|| panic!("{reference} names no place"));
        let is = |schema: &Value| schema["$id"] == id;
        let (name, whole) = match id {
            "" => (of, self.whole(of)),
            id => self
                .all()
                .find(|(_, schema)| is(schema))
                .unwrap_or_else(|| panic!("{id} is the $id of no schema")),
        };
        (name, whole.pointer(pointer).unwrap_or_else(|| panic!("{name} has no {pointer}")))
    }

    /// Follows `$ref`, and `anyOf` of one thing or null to the thing.
    pub fn definition<'a>(&'a self, of: &'a str, schema: &'a Value) -> (&'a str, &'a Value) {
        if let Some(first) = schema["anyOf"].as_array().and_then(|either| either.first()) {
            return self.definition(of, first);
        }
        match schema.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let (of, schema) = self.resolve(of, reference);
                self.definition(of, schema)
            }
            None => (of, schema),
        }
    }

    /// A document against a whole schema.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        self.check_by(name, self.whole(name), value, name)
    }

    /// A document, or a piece of one, against `schema`, a place in the schema `of`; `at` names the place in errors.
    pub fn check_by(&self, of: &str, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let wrong = |what: String| Err(format!("{at}: {what}"));
        // The only choice that ours leave is one thing, or null.
        if value.is_null() && schema["anyOf"].as_array().is_some_and(|either| either[1]["type"] == "null") {
            return Ok(());
        }
        let (of, schema) = self.definition(of, schema);
        if let Some(unknown) =
            schema.as_object().and_then(|words| words.keys().find(|word| !WORDS.contains(&word.as_str())))
        {
            return wrong(format!("the schema has the word {unknown}, which nobody checks"));
        }
        if let Some(kinds) = schema.get("oneOf").and_then(Value::as_array) {
            let fits: Vec<Result<(), String>> =
                kinds.iter().map(|kind| self.check_by(of, kind, value, at)).collect();
            let errors: Vec<String> = fits.iter().filter_map(|fit| fit.clone().err()).collect();
            return match fits.len() - errors.len() {
                1 => Ok(()),
                0 => wrong(format!("is none of the kinds: {errors:#?}")),
                many => wrong(format!("is {many} of the kinds at once")),
            };
        }
        check_alone(schema, value, at)?;
        for (nth, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check_by(of, &schema["items"], item, &format!("{at}[{nth}]"))?;
        }
        let Value::Object(members) = value else { return Ok(()) };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                return wrong(format!("{name} is missing"));
            }
        }
        let (least, most) = (schema["minProperties"].as_u64(), schema["maxProperties"].as_u64());
        let count = members.len() as u64;
        if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
            return wrong(format!("{count} members, not {least:?} to {most:?}"));
        }
        for (name, member) in members {
            let Some(inner) = schema["properties"].get(name) else {
                return wrong(format!("{name} is not in the schema"));
            };
            self.check_by(of, inner, member, &format!("{at}.{name}"))?;
        }
        Ok(())
    }
}

/// What needs no other part of the schema.
fn check_alone(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let wrong = |what: String| Err(format!("{at}: {what}"));
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_u64() || n.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |kind: &Value| kind == is || (kind == "number" && is == "integer");
    match &schema["type"] {
        kind @ Value::String(_) if fits(kind) => {}
        Value::Array(kinds) if kinds.iter().any(fits) => {}
        other => return wrong(format!("{is}, not {other}")),
    }
    if schema.get("const").is_some_and(|only| only != value) {
        return wrong(format!("{value} is not {}", schema["const"]));
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(|words| !words.contains(value)) {
        return wrong(format!("{value} is none of {}", schema["enum"]));
    }
    if value.as_f64().zip(schema["minimum"].as_f64()).is_some_and(|(number, least)| number < least) {
        return wrong(format!("{value} is below {}", schema["minimum"]));
    }
    let (Some(format), Some(text)) = (schema["format"].as_str(), value.as_str()) else { return Ok(()) };
    let is_good = match format {
        "date" => text.len() == 10 && text.parse::<chrono::NaiveDate>().is_ok(),
        "date-time" => text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        other => return wrong(format!("the schema has the format {other}, which nobody checks")),
    };
    if is_good { Ok(()) } else { wrong(format!("{text:?} is no {format}")) }
}

/// Looks whether wrong documents are refused that differ from a good one in one place, at any depth: a member of another type, one
/// that nobody knows, one that is left out. Returns the names of those that may be left out: whoever calls knows which these are.
///
/// # Panics
/// If the document is wrong, or one of the wrong ones is taken for right.
pub fn refuses_mutations(check: impl Fn(&Value) -> Result<(), String>, good: &Value) -> BTreeSet<String> {
    assert_eq!(check(good), Ok(()), "{good:#}");
    let mut optional = BTreeSet::new();
    let mut places = Vec::new();
    objects(good, &mut String::new(), &mut places);
    for place in places {
        let object = good.pointer(&place).and_then(Value::as_object).expect("found there");
        let mut more = good.clone();
        more.pointer_mut(&place).expect("there")["a_member_that_nobody_knows"] = Value::Bool(true);
        assert!(check(&more).is_err(), "{place:?}: another member is taken");
        for (name, member) in object {
            let mut other = good.clone();
            // No member of ours is an object or a list of either.
            let wrong = if member.is_array() { serde_json::json!({}) } else { serde_json::json!([[]]) };
            other.pointer_mut(&place).expect("there")[name] = wrong;
            assert!(check(&other).is_err(), "{place:?}: {name} may be of any type");
            let mut less = good.clone();
            less.pointer_mut(&place).and_then(Value::as_object_mut).expect("there").remove(name);
            if check(&less).is_ok() {
                optional.insert(name.clone());
            }
        }
    }
    optional
}

fn objects(value: &Value, at: &mut String, places: &mut Vec<String>) {
    let length = at.len();
    match value {
        Value::Object(members) => {
            places.push(at.clone());
            for (name, member) in members {
                *at += &format!("/{name}");
                objects(member, at, places);
                at.truncate(length);
            }
        }
        Value::Array(items) => {
            // One is like the other.
            for (nth, item) in items.iter().enumerate().take(2) {
                *at += &format!("/{nth}");
                objects(item, at, places);
                at.truncate(length);
            }
        }
        _ => {}
    }
}
