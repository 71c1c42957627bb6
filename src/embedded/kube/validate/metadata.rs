//! The rules of `metadata`, the same for every type (`k8s.io/apimachinery/pkg/api/validation`).

use serde_json::{Value, json};

use super::super::catalog::{ResourceType, Schema};
use super::super::object;
use super::super::status::Problem;
use super::names;

/// All annotations of an object together, keys and values, in bytes (`TotalAnnotationSizeLimitB`).
const ANNOTATION_BYTES_MAX: usize = 256 * 1024;

/// The problems of an object's metadata.
pub fn state(resource: &ResourceType, object: &Value) -> Vec<Problem> {
    let mut problems = name(resource, object);
    problems.extend(labels(object, "/metadata/labels", "metadata.labels"));
    problems.extend(annotations(object));
    problems.extend(owners(object));
    problems
}

fn name(resource: &ResourceType, object: &Value) -> Vec<Problem> {
    let name = object::name(object);
    if name.is_empty() {
        return vec![Problem::required("metadata.name", "name or generateName is required")];
    }
    let rule = match resource.schema {
        Schema::Namespace => names::label,
        _ => names::subdomain,
    };
    let problem = rule(name).map(|detail| Problem::invalid("metadata.name", &json!(name), detail));
    problem.into_iter().collect()
}

/// The problems of a map of labels. `field` is how messages name it.
pub fn labels(object: &Value, pointer: &str, field: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (key, value) in object::entries(object, pointer) {
        if let Some(detail) = names::key(key) {
            problems.push(Problem::invalid(field, &json!(key), detail));
        }
        match value.as_str() {
            Some(text) => {
                problems.extend(names::label_value(text).map(|detail| Problem::invalid(field, value, detail)));
            }
            None => problems.push(Problem::invalid(field, value, "must be a string")),
        }
    }
    problems
}

fn annotations(object: &Value) -> Vec<Problem> {
    let field = "metadata.annotations";
    let mut problems = Vec::new();
    let mut bytes = 0;
    for (key, value) in object::entries(object, "/metadata/annotations") {
        // Unlike labels, annotations may have upper case in the prefix.
        if let Some(detail) = names::key(&key.to_lowercase()) {
            problems.push(Problem::invalid(field, &json!(key), detail));
        }
        match value.as_str() {
            Some(text) => bytes += key.len() + text.len(),
            None => problems.push(Problem::invalid(field, value, "must be a string")),
        }
    }
    if bytes > ANNOTATION_BYTES_MAX {
        problems.push(Problem::too_long(field, ANNOTATION_BYTES_MAX, "bytes"));
    }
    problems
}

fn owners(object: &Value) -> Vec<Problem> {
    let owners = object::elements(object, "/metadata/ownerReferences").iter().enumerate();
    let absent = owners.flat_map(|(index, owner)| {
        let fields = ["apiVersion", "kind", "name", "uid"].into_iter();
        fields
            .filter(|field| owner.get(field).and_then(Value::as_str).is_none_or(str::is_empty))
            .map(move |field| Problem::invalid(format!("metadata.ownerReferences[{index}].{field}"), &json!(""), "must not be empty"))
    });
    absent.collect()
}
