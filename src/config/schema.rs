//! What may be written into a configuration, as a JSON Schema (draft 7, the one that editors of TOML know).
//!
//! Nothing is said twice: names and types are those that the sections ask for when they are read, sentences and defaults are those of
//! `config.example.toml`. Source: JSON Schema draft 7, "Validation".

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// The documented example, which a test holds to the code.
const EXAMPLE: &str = include_str!("../../config.example.toml");

/// What a setting's value looks like.
pub(super) enum Shape {
    Text,
    Word(Vec<String>),
    Flag,
    Count(RangeInclusive<u32>),
    Duration,
    List,
    /// A table of texts, with any keys.
    Texts,
    /// A table with these keys.
    Directives(Vec<&'static str>),
}

/// What one section asks for.
#[derive(Default)]
pub(super) struct Table {
    settings: Vec<(String, Shape)>,
    required: Vec<&'static str>,
}

/// What the sections ask for.
#[derive(Default)]
pub(super) struct Schema(Map<String, Value>);

impl Shape {
    pub(super) fn word<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        Self::Word(words.map(str::to_owned).collect())
    }

    fn into_json(self) -> Value {
        match self {
            Self::Text => json!({"type": "string", "minLength": 1}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Flag => json!({"type": "boolean"}),
            Self::Count(allowed) => json!({"type": "integer", "minimum": allowed.start(), "maximum": allowed.end()}),
            Self::Duration => json!({"type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2}),
            Self::List => json!({"type": "array", "items": {"type": "string", "minLength": 1}}),
            Self::Texts => json!({"type": "object", "additionalProperties": {"type": "string"}}),
            Self::Directives(names) => {
                let value = json!({"type": ["string", "integer", "boolean", "array"], "items": {"type": "string", "minLength": 1}});
                let properties: Map<_, _> = names.into_iter().map(|name| (name.to_owned(), value.clone())).collect();
                json!({"type": "object", "properties": properties, "additionalProperties": false})
            }
        }
    }
}

impl Table {
    pub(super) fn add(&mut self, key: &str, shape: Shape) {
        self.settings.push((key.to_owned(), shape));
    }

    pub(super) fn require(&mut self, key: &'static str) {
        self.required.push(key);
    }
}

impl Schema {
    pub(super) fn add(&mut self, section: &str, is_list: bool, table: Table) {
        let shown = shown(section);
        let setting = |(key, shape): (String, Shape)| {
            let mut value = shape.into_json();
            if let (Some((sentence, default)), Some(object)) = (shown.get(key.as_str()), value.as_object_mut()) {
                object.insert("description".to_owned(), sentence.as_str().into());
                object.extend(default.clone().map(|default| ("default".to_owned(), default)));
            }
            (key, value)
        };
        let settings: Map<_, _> = table.settings.into_iter().map(setting).collect();
        let object = json!({"type": "object", "properties": settings, "required": table.required, "additionalProperties": false});
        self.0.insert(section.to_owned(), if is_list { json!({"type": "array", "items": object}) } else { object });
    }

    pub(super) fn into_json(self) -> Value {
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "skeg's configuration",
            "type": "object",
            "properties": self.0,
            "additionalProperties": false,
        })
    }
}

/// What the example says of each setting of a section: the sentence above it, and its default where it has one.
fn shown(section: &str) -> BTreeMap<&'static str, (String, Option<Value>)> {
    let mut settings = BTreeMap::new();
    let (mut is_here, mut above) = (false, Vec::new());
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        if bare.starts_with('[') {
            is_here = bare.trim_matches(['[', ']']) == section;
            above.clear();
        } else if let Some((key, value)) = bare.split_once(" = ").filter(|(key, _)| is_key(key)) {
            if is_here {
                let default = Some(value).filter(|_| line == bare).and_then(default);
                settings.entry(key).or_insert_with(|| (above.join(" "), default));
            }
            above.clear();
        } else if line.is_empty() {
            above.clear();
        } else {
            above.push(bare);
        }
    }
    settings
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A value of the example as JSON.
fn default(value: &str) -> Option<Value> {
    let table: toml::Table = format!("value = {value}").parse().ok()?;
    serde_json::to_value(table.get("value")?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn every_setting_has_a_type_and_a_sentence() {
        let schema = schema();
        for (name, section) in schema["properties"].as_object().unwrap() {
            let object = section.get("items").unwrap_or(section);
            assert_eq!(object["additionalProperties"], false, "{name}");
            for (key, setting) in object["properties"].as_object().unwrap() {
                assert!(setting["type"].is_string(), "{name}.{key}: {setting}");
                assert!(setting["description"].as_str().is_some_and(|sentence| sentence.len() > 8), "{name}.{key}: {setting}");
            }
        }
    }

    /// What the schema says of a value of the example, as an editor would.
    #[track_caller]
    fn check_value(name: &str, setting: &Value, value: &Value) {
        let fits = match setting["type"].as_str().unwrap() {
            "string" => value.as_str().is_some_and(|text| {
                let is_word = setting["enum"].as_array().is_none_or(|words| words.contains(value));
                let is_form = setting["pattern"].as_str().is_none_or(|form| regex::Regex::new(form).unwrap().is_match(text));
                is_word && is_form && !text.is_empty()
            }),
            "boolean" => value.is_boolean(),
            "integer" => value
                .as_u64()
                .is_some_and(|number| setting["minimum"].as_u64().unwrap() <= number && number <= setting["maximum"].as_u64().unwrap()),
            "object" => value.as_object().is_some_and(|entries| {
                entries.keys().all(|key| setting["properties"].get(key).is_some() || setting["additionalProperties"].is_object())
            }),
            "array" => value.as_array().is_some_and(|values| values.iter().all(Value::is_string)),
            other => panic!("{name} is of the type {other}"),
        };
        assert!(fits, "{name} = {value} does not fit {setting}");
    }

    #[test]
    fn every_value_of_the_example_fits() {
        let schema = schema();
        let mut section = "";
        for line in EXAMPLE.lines() {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            if bare.starts_with('[') {
                section = bare.trim_matches(['[', ']']);
            } else if let Some((key, value)) = bare.split_once(" = ").filter(|(key, _)| is_key(key)) {
                let object = &schema["properties"][section];
                let setting = &object.get("items").unwrap_or(object)["properties"][key];
                check_value(&format!("{section}.{key}"), setting, &default(value).unwrap());
            }
        }
    }

    #[test]
    fn types_bounds_defaults_and_what_is_required_are_those_of_the_reader() {
        let properties = schema()["properties"].clone();
        let check = |pointer: &str, expected: Value| assert_eq!(properties.pointer(pointer), Some(&expected), "{pointer}");
        check("/poll/properties/interval/default", json!("5m"));
        check("/poll/properties/interval/type", json!("string"));
        check("/limits/properties/in_flight/minimum", json!(1));
        check("/limits/properties/in_flight/default", json!(10));
        check("/cluster/properties/mode/enum", json!(["act", "observe"]));
        check("/cluster/properties/namespaces/type", json!("array"));
        check("/registry/items/required", json!(["host"]));
        check("/git/items/required", json!(["name", "url", "namespaces"]));
        check("/webhook/items/properties/insecure/type", json!("boolean"));
        check("/registry/items/properties/password_file/type", json!("string"));
        check("/cluster/properties/pull_secrets/default", json!([]));
        check("/registries/properties/allow/type", json!("array"));
        check("/rule/items/properties/enforce/type", json!("boolean"));
        check("/rule/items/properties/labels/type", json!("object"));
        check("/rule/items/properties/directives/additionalProperties", json!(false));
        check("/rule/items/properties/directives/properties/approvals/items/type", json!("string"));
    }

    #[test]
    fn what_is_no_setting_of_this_version_is_not_in_it() {
        let text = schema().to_string();
        for absent in ["failures_per_hour", "\"signer\":", "\"window\":{\"items", "\"password\":", "\"token\":"] {
            assert!(!text.contains(absent), "{absent}");
        }
    }
}
