//! Custom resources against the `openAPIV3Schema` of their definition: what is dropped, and what is refused.
//!
//! Of the structural schemas of `apiextensions.k8s.io/v1` this knows the keywords that bound and type values; there are no
//! defaults, no composition (`allOf`, `not`) and no map lists. `metadata` has rules of its own, and what a change may do is in
//! `validate/rules`. A schema without a keyword asks nothing, so a definition may say as little as it likes.

use std::str::FromStr;

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::object;
use super::status::Problem;

/// The keywords that are known here. A definition with another one is refused, so that none is silently without effect.
pub const KEYWORDS: [&str; 18] = [
    "additionalProperties",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// Drops what the real server does not store: fields the schema does not name, and nulls. Whole numbers written as `1.0` become
/// integers. Gives the paths of the unknown fields.
pub fn prune(schema: &Value, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Some(fields) = object.as_object_mut() {
        let known = ["apiVersion", "kind", "metadata"].map(|name| fields.remove_entry(name));
        prune_fields(schema, fields, "", &mut unknown);
        fields.extend(known.into_iter().flatten());
    }
    unknown
}

fn prune_fields(schema: &Value, fields: &mut Map<String, Value>, path: &str, unknown: &mut Vec<String>) {
    let keeps_unknown = is_set(schema, "x-kubernetes-preserve-unknown-fields") || is_set(schema, "additionalProperties");
    fields.retain(|name, value| {
        let path = joined(path, name);
        match field_schema(schema, name) {
            Some(schema) if value.is_null() => is_set(schema, "nullable"),
            Some(schema) => {
                prune_value(schema, value, &path, unknown);
                true
            }
            None if keeps_unknown => true,
            None => {
                unknown.push(path);
                false
            }
        }
    });
}

fn prune_value(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => prune_fields(schema, fields, path, unknown),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    prune_value(schema, item, &format!("{path}[{index}]"), unknown);
                }
            }
        }
        Value::Number(number) if object::text(schema, "/type") == Some("integer") => {
            if let Some(whole) = number.as_f64().filter(|_| number.is_f64()).and_then(whole_number) {
                *value = json!(whole);
            }
        }
        _ => {}
    }
}

/// Every way in which a pruned object breaks its schema.
pub fn problems(schema: &Value, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_fields(schema, object.as_object().unwrap_or(&Map::new()), "", &mut problems);
    problems
}

fn check_value(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    if let Some(expected) = object::text(schema, "/type").filter(|expected| !is_of_type(value, expected)) {
        problems.push(Problem::wrong_type(path, type_name(value), expected));
        return;
    }
    let allowed = object::elements(schema, "/enum");
    if !allowed.is_empty() && !allowed.contains(value) {
        let allowed: Vec<String> = allowed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        problems.push(Problem::not_supported(path, value, &allowed));
    }
    match value {
        Value::Object(fields) => check_fields(schema, fields, path, problems),
        Value::Array(items) => check_items(schema, items, path, problems),
        Value::String(text) => check_text(schema, text, path, problems),
        Value::Number(number) => check_number(schema, number.as_f64().unwrap_or_default(), value, path, problems),
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_fields(schema: &Value, fields: &Map<String, Value>, path: &str, problems: &mut Vec<Problem>) {
    for name in object::elements(schema, "/required").iter().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            problems.push(Problem::required(joined(path, name), ""));
        }
    }
    for (name, value) in fields {
        if let Some(schema) = field_schema(schema, name) {
            check_value(schema, value, &joined(path, name), problems);
        }
    }
}

fn check_items(schema: &Value, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    if let Some(min) = size(schema, "minItems").filter(|min| items.len() < *min) {
        let detail = format!("{path} in body should have at least {min} items");
        problems.push(Problem::invalid(path, &json!(items.len()), &detail));
    }
    if let Some(max) = size(schema, "maxItems").filter(|max| items.len() > *max) {
        problems.push(Problem::too_many(path, items.len(), max));
    }
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            check_value(schema, item, &format!("{path}[{index}]"), problems);
        }
    }
}

fn check_text(schema: &Value, text: &str, path: &str, problems: &mut Vec<Problem>) {
    let length = text.chars().count();
    if let Some(min) = size(schema, "minLength").filter(|min| length < *min) {
        let detail = format!("{path} in body should be at least {min} chars long");
        problems.push(Problem::invalid(path, &json!(text), &detail));
    }
    // Characters are counted; that the message says bytes is the real server's way.
    if let Some(max) = size(schema, "maxLength").filter(|max| length > *max) {
        problems.push(Problem::too_long(path, max, "bytes"));
    }
    if object::text(schema, "/format") == Some("date-time") && !is_date_time(text) {
        problems.push(Problem::wrong_type(path, text, "date-time"));
    }
    if let Some(pattern) = object::text(schema, "/pattern").filter(|pattern| !matches(pattern, text)) {
        let detail = format!("{path} in body should match '{pattern}'");
        problems.push(Problem::invalid(path, &json!(text), &detail));
    }
}

fn check_number(schema: &Value, number: f64, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    if let Some(min) = bound("minimum").filter(|min| number < *min) {
        let detail = format!("{path} in body should be greater than or equal to {min}");
        problems.push(Problem::invalid(path, value, &detail));
    }
    if let Some(max) = bound("maximum").filter(|max| number > *max) {
        let detail = format!("{path} in body should be less than or equal to {max}");
        problems.push(Problem::invalid(path, value, &detail));
    }
}

/// The schema of a field: its own, or the one for all fields of a map.
pub fn field_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema.get("properties").and_then(|properties| properties.get(name));
    named.or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
}

/// `path.name`, or `name` at the top.
pub fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The JSON type of a value, as messages name it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_of_type(value: &Value, expected: &str) -> bool {
    type_name(value) == expected || (expected == "number" && value.is_number())
}

fn is_set(schema: &Value, keyword: &str) -> bool {
    schema.get(keyword) == Some(&Value::Bool(true))
}

fn size(schema: &Value, keyword: &str) -> Option<usize> {
    schema.get(keyword)?.as_u64().and_then(|size| usize::try_from(size).ok())
}

/// A number without fraction that a 64-bit float holds exactly, as an integer.
pub fn whole_number(number: f64) -> Option<i64> {
    /// 2^53: from there on not every integer is a float.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let is_whole = number.fract() == 0.0 && number.abs() < EXACT_MAX;
    is_whole.then(|| format!("{number:.0}").parse().ok()).flatten()
}

/// RFC 3339 with `T` and an offset; the parser alone would also take a space.
fn is_date_time(text: &str) -> bool {
    matches!(text.as_bytes().get(10), Some(b'T' | b't')) && Timestamp::from_str(text).is_ok()
}

/// A pattern that cannot be read matches nothing: the real server would not have taken the definition.
fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["spec"],
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["count"],
                    "properties": {
                        "count": {"type": "integer", "minimum": 1, "maximum": 9},
                        "name": {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-zé]*$"},
                        "since": {"type": "string", "format": "date-time"},
                        "kind": {"type": "string", "enum": ["A", "B"]},
                        "list": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "object", "properties": {"ok": {"type": "boolean"}}}},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    },
                },
            },
        })
    }

    #[track_caller]
    fn check(spec: &Value, expected: &[&str]) {
        let mut object = json!({ "spec": spec });
        prune(&schema(), &mut object);
        let found: Vec<String> = problems(&schema(), &object).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{spec}: {found:?}");
        for (problem, expected) in found.iter().zip(expected) {
            assert!(problem.contains(expected), "{problem:?} should contain {expected:?}");
        }
    }

    #[test]
    fn every_broken_bound_is_named_with_its_field() {
        check(&json!({"count": 1, "name": "éab", "since": "2026-01-01T00:00:00.5+02:00", "kind": "A", "list": [{"ok": true}]}), &[]);
        check(&json!({}), &["spec.count: Required value"]);
        check(&json!({"count": 0}), &["spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1"]);
        check(&json!({"count": 10}), &["should be less than or equal to 9"]);
        check(&json!({"count": 1.5}), &["Invalid value: \"number\": spec.count in body must be of type integer"]);
        check(&json!({"count": "1"}), &["must be of type integer: \"string\""]);
        check(&json!({"count": 1, "name": "abcd"}), &["spec.name: Too long: may not be more than 3 bytes"]);
        check(&json!({"count": 1, "name": ""}), &["at least 1 chars long"]);
        check(&json!({"count": 1, "name": "A"}), &["should match '^[a-zé]*$'"]);
        check(&json!({"count": 1, "since": "2026-01-01 00:00:00Z"}), &["must be of type date-time"]);
        check(&json!({"count": 1, "since": "2026-01-01T00:00:00"}), &["must be of type date-time"]);
        check(&json!({"count": 1, "kind": "C"}), &["Unsupported value: \"C\": supported values: \"A\", \"B\""]);
        check(&json!({"count": 1, "list": []}), &["at least 1 items"]);
        check(&json!({"count": 1, "list": [{}, {}, {"ok": 1}]}), &["Too many: 3: must have at most 2 items", "spec.list[2].ok"]);
        check(&json!({"count": 1, "labels": {"a": 1}}), &["spec.labels.a"]);
    }

    #[test]
    fn unknown_fields_and_nulls_are_dropped_and_whole_floats_become_integers() {
        let mut object = json!({
            "metadata": {"name": "a", "odd": null},
            "spec": {"count": 2.0, "name": null, "list": [{"ok": true, "no": 1}], "free": {"any": null}, "nope": {}},
            "zap": 1,
        });
        let mut unknown = prune(&schema(), &mut object);
        unknown.sort();
        assert_eq!(unknown, ["spec.list[0].no", "spec.nope", "zap"]);
        let kept = json!({
            "metadata": {"name": "a", "odd": null},
            "spec": {"count": 2, "list": [{"ok": true}], "free": {"any": null}},
        });
        assert_eq!(object, kept);
    }
}
