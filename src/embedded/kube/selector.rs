//! Label and field selectors of lists and watches.
//!
//! Grammar: Kubernetes documentation, "Labels and Selectors" and "Field Selectors"; as in `k8s.io/apimachinery/pkg/labels` and
//! `pkg/fields`. Numeric comparisons (`>`, `<`) are understood too.

use serde_json::Value;

use super::catalog::ResourceType;
use super::object;
use super::status::ApiError;

/// Which objects of a type a list or watch is about.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Debug, Clone, PartialEq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

#[derive(Debug, Clone)]
struct FieldRequirement {
    pointer: &'static str,
    value: String,
    equal: bool,
}

impl Selection {
    /// Reads both selectors of a request for objects of `resource`; an empty text selects everything.
    pub fn parse(resource: &ResourceType, labels: &str, fields: &str) -> Result<Self, ApiError> {
        Ok(Self { labels: parse_labels(labels)?, fields: parse_fields(resource, fields)? })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the object, in its stored form, is selected.
    pub fn selects(&self, object: &Value) -> bool {
        self.labels.iter().all(|requirement| requirement.holds(object))
            && self.fields.iter().all(|field| {
                let found = object::text(object, field.pointer).unwrap_or_default();
                (found == field.value) == field.equal
            })
    }
}

impl Requirement {
    fn holds(&self, object: &Value) -> bool {
        let label = object.pointer("/metadata/labels").and_then(|labels| labels.get(&self.key)).and_then(Value::as_str);
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => label.is_some_and(|label| values.iter().any(|value| value == label)),
            Operator::NotIn(values) => label.is_none_or(|label| values.iter().all(|value| value != label)),
            Operator::Exists => label.is_some(),
            Operator::Absent => label.is_none(),
            Operator::Above(bound) => number().is_some_and(|number| number > *bound),
            Operator::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, ApiError> {
    let unreadable = |part: &str| ApiError::bad_request(format!("unable to parse requirement: {part:?} in {text:?}"));
    split_outside_parentheses(text)
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| parse_requirement(part).ok_or_else(|| unreadable(part)))
        .collect()
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let requirement = |key: &str, operator| is_label_key(key).then(|| Requirement { key: key.to_owned(), operator });
    if let Some(key) = part.strip_prefix('!') {
        return requirement(key.trim(), Operator::Absent);
    }
    if let Some((head, list)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        let (key, word) = head.trim().rsplit_once(char::is_whitespace)?;
        return match word {
            "in" => requirement(key.trim(), Operator::In(values)),
            "notin" => requirement(key.trim(), Operator::NotIn(values)),
            _ => None,
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return requirement(key.trim(), Operator::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return requirement(key.trim(), Operator::In(vec![value.trim().to_owned()]));
    }
    if let Some((key, bound)) = part.split_once('>') {
        return requirement(key.trim(), Operator::Above(bound.trim().parse().ok()?));
    }
    if let Some((key, bound)) = part.split_once('<') {
        return requirement(key.trim(), Operator::Below(bound.trim().parse().ok()?));
    }
    requirement(part, Operator::Exists)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .collect()
}

fn is_label_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

fn parse_fields(resource: &ResourceType, text: &str) -> Result<Vec<FieldRequirement>, ApiError> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (label, value, equal) =
                split_field(part).ok_or_else(|| ApiError::bad_request(format!("invalid selector: '{part}'; can't understand '{part}'")))?;
            let pointer =
                pointer_of(resource, label).ok_or_else(|| ApiError::bad_request(format!("field label not supported: {label}")))?;
            Ok(FieldRequirement { pointer, value: value.to_owned(), equal })
        })
        .collect()
}

fn split_field(part: &str) -> Option<(&str, &str, bool)> {
    if let Some((label, value)) = part.split_once("!=") {
        return Some((label, value, false));
    }
    let (label, value) = part.split_once('=')?;
    Some((label, value.strip_prefix('=').unwrap_or(value), true))
}

fn pointer_of(resource: &ResourceType, label: &str) -> Option<&'static str> {
    match label {
        "metadata.name" => Some("/metadata/name"),
        "metadata.namespace" if resource.namespaced => Some("/metadata/namespace"),
        _ => {
            let fields = resource.selectable_fields();
            fields.iter().find(|(name, _)| *name == label).map(|(_, pointer)| *pointer)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::super::catalog::Catalog;
    use super::*;

    #[track_caller]
    fn check(labels: &str, fields: &str, selected: bool) {
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "tier": "front", "n": "7"}},
            "status": {"phase": "Running"},
        });
        let selection = Selection::parse(&Catalog::new().built_in("Pod"), labels, fields).unwrap();
        assert_eq!(selection.selects(&pod), selected, "labels {labels:?} fields {fields:?}");
    }

    #[test]
    fn label_selectors_select_as_documented() {
        check("", "", true);
        check("app=web", "", true);
        check("app==web,tier!=back", "", true);
        check("app=api", "", false);
        check("app in (api, web)", "", true);
        check("app in (api,db),tier=front", "", false);
        check("app notin (api)", "", true);
        check("missing notin (x)", "", true);
        check("missing!=x", "", true);
        check("app", "", true);
        check("!app", "", false);
        check("!missing", "", true);
        check("n>6,n<8", "", true);
        check("app>6", "", false);
    }

    #[test]
    fn field_selectors_select_as_documented() {
        check("", "metadata.name=web-1", true);
        check("", "metadata.name==web-1,metadata.namespace=shop", true);
        check("", "metadata.name!=web-1", false);
        check("", "status.phase=Running", true);
        check("", "status.phase=Pending", false);
    }

    #[track_caller]
    fn check_refused(labels: &str, fields: &str, message: &str) {
        let error = Selection::parse(&Catalog::new().built_in("Deployment"), labels, fields).unwrap_err();
        assert_eq!(error.code, 400);
        assert!(error.message.contains(message), "{}", error.message);
    }

    #[test]
    fn what_cannot_be_understood_is_a_bad_request() {
        check_refused("a b c", "", "unable to parse requirement");
        check_refused("app within (x)", "", "unable to parse requirement");
        check_refused("=x", "", "unable to parse requirement");
        check_refused("", "spec.replicas=1", "field label not supported: spec.replicas");
        check_refused("", "metadata.name", "invalid selector");
    }
}
