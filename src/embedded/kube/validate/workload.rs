//! The rules of Deployments, `ReplicaSets` and Pods that a client can break by accident.
//!
//! Source: `pkg/apis/{apps,core}/validation` of Kubernetes. Not all of it: nothing here checks volumes, probes or security.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::object;
use super::super::status::Problem;
use super::{metadata, names};

/// The problems of a Deployment.
pub fn deployment(object: &Value) -> Vec<Problem> {
    let mut problems = replica_set(object);
    let seconds = |pointer| object::number(object, pointer).unwrap_or_default();
    let (deadline, min_ready) = (seconds("/spec/progressDeadlineSeconds"), seconds("/spec/minReadySeconds"));
    if deadline <= min_ready {
        let detail = "must be greater than minReadySeconds";
        problems.push(Problem::invalid("spec.progressDeadlineSeconds", &json!(deadline), detail));
    }
    let strategy = object.pointer("/spec/strategy/type").cloned().unwrap_or_default();
    if !["RollingUpdate", "Recreate"].iter().any(|allowed| strategy == *allowed) {
        let allowed = ["Recreate".to_owned(), "RollingUpdate".to_owned()];
        problems.push(Problem::not_supported("spec.strategy.type", &strategy, &allowed));
    }
    problems
}

/// The problems of a `ReplicaSet`; a Deployment has the same ones.
pub fn replica_set(object: &Value) -> Vec<Problem> {
    let mut problems = selector(object);
    if let Some(replicas) = object::number(object, "/spec/replicas").filter(|replicas| *replicas < 0) {
        problems.push(Problem::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0"));
    }
    problems.extend(metadata::labels(object, "/spec/template/metadata/labels", "spec.template.metadata.labels"));
    let empty = json!({});
    let spec = object.pointer("/spec/template/spec").unwrap_or(&empty);
    if spec.get("restartPolicy").is_some_and(|policy| policy != "Always") {
        let found = spec.get("restartPolicy").unwrap_or(&Value::Null);
        let field = "spec.template.spec.restartPolicy";
        problems.push(Problem::not_supported(field, found, &["Always".to_owned()]));
    }
    problems.extend(pod_spec(spec, "spec.template.spec"));
    problems
}

/// The problems of a Pod.
pub fn pod(object: &Value) -> Vec<Problem> {
    object.get("spec").map_or_else(Vec::new, |spec| pod_spec(spec, "spec"))
}

/// The selector of a Deployment or `ReplicaSet` cannot be changed.
pub fn selector_is_kept(old: &Value, new: &Value) -> Vec<Problem> {
    let (old, new) = (old.pointer("/spec/selector"), new.pointer("/spec/selector"));
    if old == new {
        return Vec::new();
    }
    vec![Problem::invalid("spec.selector", new.unwrap_or(&Value::Null), "field is immutable")]
}

/// Of a Pod's spec little more than the images can be changed.
pub fn pod_is_kept(old: &Value, new: &Value) -> Vec<Problem> {
    let comparable = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        for field in ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "nodeName"] {
            object::remove(&mut spec, &[field]);
        }
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(|container| drop(object::remove(container, &["image"])));
        }
        spec
    };
    if comparable(old) == comparable(new) {
        return Vec::new();
    }
    let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                  `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                  `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    vec![Problem::forbidden("spec", detail)]
}

fn selector(object: &Value) -> Vec<Problem> {
    // A selector left out is an empty one once it has gone through its type, so both are called absent.
    let selector = object.pointer("/spec/selector").filter(|selector| {
        object::entries(selector, "/matchLabels").next().is_some() || !object::elements(selector, "/matchExpressions").is_empty()
    });
    let Some(selector) = selector else {
        return vec![Problem::required("spec.selector", "")];
    };
    let empty = json!({});
    let labels = object.pointer("/spec/template/metadata/labels").unwrap_or(&empty);
    if matches(selector, labels) {
        return Vec::new();
    }
    let detail = "`selector` does not match template `labels`";
    vec![Problem::invalid("spec.template.metadata.labels", labels, detail)]
}

/// Whether a `LabelSelector` selects these labels.
fn matches(selector: &Value, labels: &Value) -> bool {
    let equal = object::entries(selector, "/matchLabels").all(|(key, value)| labels.get(key) == Some(value));
    let expressions = object::elements(selector, "/matchExpressions").iter().all(|expression| {
        let label = object::text(expression, "/key").and_then(|key| labels.get(key));
        let listed = || label.is_some_and(|label| object::elements(expression, "/values").contains(label));
        match object::text(expression, "/operator") {
            Some("In") => listed(),
            Some("NotIn") => !listed(),
            Some("Exists") => label.is_some(),
            Some("DoesNotExist") => label.is_none(),
            _ => false,
        }
    });
    equal && expressions
}

fn pod_spec(spec: &Value, field: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = HashSet::new();
    if object::elements(spec, "/containers").is_empty() {
        problems.push(Problem::required(format!("{field}.containers"), ""));
    }
    for list in ["initContainers", "containers"] {
        let containers = spec.get(list).and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            problems.extend(self::container(container, &format!("{field}.{list}[{index}]"), &mut names));
        }
    }
    problems
}

fn container<'a>(container: &'a Value, field: &str, names: &mut HashSet<&'a str>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = object::text(container, "/name").unwrap_or_default();
    if name.is_empty() {
        problems.push(Problem::required(format!("{field}.name"), ""));
    } else if let Some(detail) = names::label(name) {
        problems.push(Problem::invalid(format!("{field}.name"), &json!(name), detail));
    } else if !names.insert(name) {
        problems.push(Problem::duplicate(format!("{field}.name"), &json!(name)));
    }
    let image = object::text(container, "/image").unwrap_or_default();
    if image.is_empty() {
        problems.push(Problem::required(format!("{field}.image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        problems.push(Problem::invalid(format!("{field}.image"), &json!(image), detail));
    }
    let policy = container.get("imagePullPolicy").unwrap_or(&Value::Null);
    let allowed = ["Always", "IfNotPresent", "Never"];
    if !policy.is_null() && !allowed.iter().any(|allowed| policy == *allowed) {
        let allowed = allowed.map(str::to_owned);
        problems.push(Problem::not_supported(format!("{field}.imagePullPolicy"), policy, &allowed));
    }
    problems
}
