//! Which rules an object breaks: every problem, not only the first.
//!
//! Pure functions from objects to problems. What a problem is called on the wire is in `status`.

mod definition;
mod event;
mod metadata;
mod names;
mod rules;
mod workload;

use serde_json::{Value, json};

use super::catalog::{ResourceType, Schema};
use super::object;
use super::status::Problem;
use super::structural;

/// The rules every state of an object must keep.
pub fn state(resource: &ResourceType, object: &Value) -> Vec<Problem> {
    let mut problems = metadata::state(resource, object);
    problems.extend(match &resource.schema {
        Schema::Deployment => workload::deployment(object),
        Schema::ReplicaSet => workload::replica_set(object),
        Schema::Pod => workload::pod(object),
        Schema::CoreEvent => event::core(object),
        Schema::Event => event::event(object),
        Schema::Lease => lease(object),
        Schema::CustomResourceDefinition => definition::state(object),
        Schema::Custom(schema) => structural::problems(schema, object),
        Schema::Namespace | Schema::Node | Schema::ConfigMap | Schema::Secret | Schema::ServiceAccount => Vec::new(),
    });
    problems
}

/// The rules of a change from `old` to `new`, on top of those for `new` itself.
pub fn transition(resource: &ResourceType, old: &Value, new: &Value) -> Vec<Problem> {
    match &resource.schema {
        Schema::Deployment | Schema::ReplicaSet => workload::selector_is_kept(old, new),
        Schema::Pod => workload::pod_is_kept(old, new),
        Schema::ConfigMap | Schema::Secret => contents_are_kept(old, new),
        Schema::Custom(schema) if structural::problems(schema, new).is_empty() => rules::transition(schema, old, new),
        Schema::Custom(_) => vec![Problem::rules_not_checked()],
        Schema::Namespace
        | Schema::Node
        | Schema::ServiceAccount
        | Schema::CoreEvent
        | Schema::Event
        | Schema::Lease
        | Schema::CustomResourceDefinition => Vec::new(),
    }
}

fn lease(lease: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(seconds) = object::number(lease, "/spec/leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        problems.push(Problem::invalid("spec.leaseDurationSeconds", &json!(seconds), "must be greater than 0"));
    }
    if let Some(transitions) = object::number(lease, "/spec/leaseTransitions").filter(|number| *number < 0) {
        let detail = "must be greater than or equal to 0";
        problems.push(Problem::invalid("spec.leaseTransitions", &json!(transitions), detail));
    }
    problems
}

/// `immutable: true` of config maps and secrets, and the type of a secret.
fn contents_are_kept(old: &Value, new: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    if old.get("type") != new.get("type") {
        let found = new.get("type").unwrap_or(&Value::Null);
        problems.push(Problem::invalid("type", found, "field is immutable"));
    }
    if old.get("immutable") == Some(&Value::Bool(true)) {
        for field in ["immutable", "data", "binaryData"] {
            if old.get(field) != new.get(field) {
                problems.push(Problem::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests;
