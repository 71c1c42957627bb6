//! The transition rules of custom resources (`x-kubernetes-validations`).
//!
//! In a real cluster they are CEL expressions. CEL is not evaluated here: the forms below are read, and a definition with a
//! rule of any other form is refused, so that no rule is silently without effect. As in the real server a rule is run where its
//! field has a value before and after, and not inside lists, whose items cannot be told apart.

use serde_json::{Map, Value, json};

use super::super::object;
use super::super::status::Problem;
use super::super::structural::{KEYWORDS, field_schema, joined};

/// What a rule asks of a change.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// `self == oldSelf`
    Unchanged,
    /// `self >= oldSelf`
    NeverFalls,
    /// `self == oldSelf || !(oldSelf in ['A', 'B'])`: once it is one of these it stays.
    Final(Vec<String>),
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "self == oldSelf" => Some(Self::Unchanged),
            "self >= oldSelf" => Some(Self::NeverFalls),
            _ => {
                let list = text.strip_prefix("self == oldSelf || !(oldSelf in [")?.strip_suffix("])")?;
                let word = |word: &str| word.trim().strip_prefix('\'')?.strip_suffix('\'').map(str::to_owned);
                list.split(',').map(word).collect::<Option<_>>().map(Self::Final)
            }
        }
    }

    fn holds(&self, old: &Value, new: &Value) -> bool {
        match self {
            Self::Unchanged => old == new,
            Self::NeverFalls => new.as_i64() >= old.as_i64(),
            Self::Final(words) => old == new || !old.as_str().is_some_and(|old| words.iter().any(|word| word == old)),
        }
    }
}

/// The rules of the schema that a change breaks.
pub fn transition(schema: &Value, old: &Value, new: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    check(schema, old, new, "", &mut problems);
    problems
}

fn check(schema: &Value, old: &Value, new: &Value, path: &str, problems: &mut Vec<Problem>) {
    for stated in object::elements(schema, "/x-kubernetes-validations") {
        let text = object::text(stated, "/rule").unwrap_or_default();
        if Rule::parse(text).is_some_and(|rule| !rule.holds(old, new)) {
            let failed = format!("failed rule: {text}");
            problems.push(Problem::rule(path, new, object::text(stated, "/message").unwrap_or(&failed)));
        }
    }
    let empty = Map::new();
    for (name, new) in new.as_object().unwrap_or(&empty) {
        if let (Some(schema), Some(old)) = (field_schema(schema, name), old.get(name)) {
            check(schema, old, new, &joined(path, name), problems);
        }
    }
}

/// The rules and keywords of a definition's schema that have no effect here. `field` is where the schema is in the definition.
pub fn unreadable(schema: &Value, field: &str) -> Vec<Problem> {
    let stated = object::elements(schema, "/x-kubernetes-validations").iter().filter_map(|stated| object::text(stated, "/rule"));
    let here = stated.filter(|text| Rule::parse(text).is_none()).map(|text| {
        let detail = "compilation failed: the embedded API does not evaluate rules of this form";
        Problem::invalid(format!("{field}.x-kubernetes-validations"), &json!(text), detail)
    });
    let mut problems: Vec<Problem> = here.collect();
    let unknown = object::entries(schema, "").filter(|(keyword, _)| !KEYWORDS.contains(keyword));
    problems.extend(
        unknown
            .map(|(keyword, value)| Problem::invalid(format!("{field}.{keyword}"), value, "the embedded API does not know this keyword")),
    );
    for (name, schema) in object::entries(schema, "/properties") {
        problems.extend(unreadable(schema, &format!("{field}.properties[{name}]")));
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(inner) {
            problems.extend(unreadable(schema, &format!("{field}.{inner}")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parsed(text: &str, expected: Option<&Rule>) {
        assert_eq!(Rule::parse(text).as_ref(), expected, "{text}");
    }

    #[test]
    fn rules_of_known_forms_are_read_and_no_others() {
        check_parsed("self == oldSelf", Some(&Rule::Unchanged));
        check_parsed("self >= oldSelf", Some(&Rule::NeverFalls));
        check_parsed("self == oldSelf || !(oldSelf in ['A', 'B'])", Some(&Rule::Final(vec!["A".into(), "B".into()])));
        check_parsed("self == oldSelf || !(oldSelf in [A])", None);
        check_parsed("self > oldSelf", None);
        check_parsed("has(self.a)", None);
    }

    #[test]
    fn a_definition_with_another_rule_is_refused_by_its_place() {
        let schema = json!({"properties": {"list": {"items": {"x-kubernetes-validations": [{"rule": "has(self.a)"}]}}}});
        let problems = unreadable(&schema, "schema");
        assert_eq!(problems.len(), 1);
        assert!(problems.iter().all(|problem| problem.to_string().starts_with("schema.properties[list].items.x-kubernetes-validations")));
    }

    #[test]
    fn a_definition_with_another_keyword_is_refused_by_its_place_and_the_one_of_image_updates_has_none() {
        let schema = json!({"properties": {"oneOf": {"type": "string", "oneOf": [], "default": "a"}}});
        let problems: Vec<String> = unreadable(&schema, "schema").iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|problem| problem.starts_with("schema.properties[oneOf].oneOf: Invalid value")), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("schema.properties[oneOf].default: Invalid value")), "{problems:?}");
        assert_eq!(problems.len(), 2);
        let own = crate::adapters::journal::crd::crd();
        let own = unreadable(&own["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "schema");
        assert!(own.is_empty(), "{:?}", own.iter().map(ToString::to_string).collect::<Vec<_>>());
    }

    fn schema() -> Value {
        let rule = |rule: &str| json!([{"rule": rule, "message": rule}]);
        json!({"properties": {
            "spec": {"x-kubernetes-validations": rule("self == oldSelf")},
            "status": {"properties": {
                "phase": {"x-kubernetes-validations": rule("self == oldSelf || !(oldSelf in ['Done', 'Failed'])")},
                "epoch": {"x-kubernetes-validations": rule("self >= oldSelf")},
            }},
        }})
    }

    #[track_caller]
    fn check_change(old: &Value, new: &Value, broken: &[&str]) {
        let problems: Vec<String> = transition(&schema(), old, new).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), broken.len(), "{problems:?}");
        assert!(broken.iter().all(|field| problems.iter().any(|problem| problem.starts_with(field))), "{problems:?}");
    }

    #[test]
    fn a_change_is_held_against_the_value_before() {
        let object =
            |attempt: i64, phase: &str, epoch: i64| json!({"spec": {"attempt": attempt}, "status": {"phase": phase, "epoch": epoch}});
        check_change(&object(1, "Held", 3), &object(1, "Done", 3), &[]);
        check_change(&object(1, "Done", 3), &object(1, "Done", 4), &[]);
        check_change(&object(1, "Done", 3), &object(1, "Failed", 3), &["status.phase: Invalid value: \"string\""]);
        check_change(&object(1, "Held", 3), &object(1, "Held", 2), &["status.epoch: Invalid value: \"integer\""]);
        check_change(&object(1, "Failed", 3), &object(2, "Held", 2), &["spec: ", "status.phase: ", "status.epoch: "]);
    }

    #[test]
    fn a_rule_is_not_run_where_the_field_is_missing_before_or_after() {
        check_change(&json!({"status": {"epoch": 3}}), &json!({"status": {}}), &[]);
        check_change(&json!({}), &json!({"spec": {"attempt": 1}, "status": {"epoch": 0}}), &[]);
    }
}
