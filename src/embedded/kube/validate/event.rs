//! The rules of events (`pkg/apis/core/validation/events.go` of Kubernetes).

use serde_json::{Value, json};

use super::super::object;
use super::super::status::Problem;
use super::names;

/// Longest note of an event, in characters.
const NOTE_MAX: usize = 1024;
/// Longest reason and action, in characters.
const WORD_MAX: usize = 128;

/// The problems of an event sent as core/v1: little more than its namespace is checked.
pub fn core(event: &Value) -> Vec<Problem> {
    let (own, involved) = (object::namespace(event), involved_namespace(event));
    // An event about a cluster-scoped object is in `default`.
    let matches = own == involved || (involved.is_empty() && own == "default");
    if matches {
        return Vec::new();
    }
    let detail = "does not match event.namespace";
    vec![Problem::invalid("involvedObject.namespace", &json!(involved), detail)]
}

/// The problems of an event sent as events.k8s.io/v1, in its stored form.
pub fn event(event: &Value) -> Vec<Problem> {
    let mut problems = core(event);
    for (pointer, field) in [("/reportingComponent", "reportingController"), ("/reportingInstance", "reportingInstance")] {
        if object::text(event, pointer).unwrap_or_default().is_empty() {
            problems.push(Problem::required(field, ""));
        }
    }
    let controller = object::text(event, "/reportingComponent").unwrap_or_default();
    if let Some(detail) = names::key(controller).filter(|_| !controller.is_empty()) {
        problems.push(Problem::invalid("reportingController", &json!(controller), detail));
    }
    for field in ["action", "reason"] {
        let word = event.get(field).and_then(Value::as_str).unwrap_or_default();
        if word.is_empty() {
            problems.push(Problem::required(field, ""));
        } else if word.chars().count() > WORD_MAX {
            problems.push(Problem::too_long(field, WORD_MAX, "bytes"));
        }
    }
    if event.get("eventTime").is_none_or(Value::is_null) {
        problems.push(Problem::required("eventTime", ""));
    }
    let kind = event.get("type").cloned().unwrap_or_default();
    if kind != "Normal" && kind != "Warning" {
        problems.push(Problem::invalid("type", &kind, "has invalid value: must be Normal or Warning"));
    }
    if object::text(event, "/message").unwrap_or_default().chars().count() > NOTE_MAX {
        problems.push(Problem::too_long("message", NOTE_MAX, "bytes"));
    }
    problems
}

fn involved_namespace(event: &Value) -> &str {
    object::text(event, "/involvedObject/namespace").unwrap_or_default()
}
