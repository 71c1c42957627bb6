//! The rules of `CustomResourceDefinition` objects that decide whether the type can be served.

use serde_json::{Value, json};

use super::super::object;
use super::super::status::Problem;
use super::rules;

/// The problems of a definition.
pub fn state(definition: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let text = |pointer| object::text(definition, pointer).unwrap_or_default();
    for (pointer, field) in
        [("/spec/group", "spec.group"), ("/spec/names/plural", "spec.names.plural"), ("/spec/names/kind", "spec.names.kind")]
    {
        if text(pointer).is_empty() {
            problems.push(Problem::required(field, ""));
        }
    }
    let expected = format!("{}.{}", text("/spec/names/plural"), text("/spec/group"));
    if object::name(definition) != expected {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        problems.push(Problem::invalid("metadata.name", &json!(object::name(definition)), detail));
    }
    let scope = definition.pointer("/spec/scope").cloned().unwrap_or_default();
    if scope != "Namespaced" && scope != "Cluster" {
        let allowed = ["Cluster".to_owned(), "Namespaced".to_owned()];
        problems.push(Problem::not_supported("spec.scope", &scope, &allowed));
    }
    problems.extend(versions(definition));
    problems
}

fn versions(definition: &Value) -> Vec<Problem> {
    let versions = object::elements(definition, "/spec/versions");
    let stored = versions.iter().filter(|version| version.get("storage") == Some(&Value::Bool(true))).count();
    let mut problems = Vec::new();
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        problems.push(Problem::invalid("spec.versions", &json!(versions), detail));
    }
    for (index, version) in versions.iter().enumerate() {
        let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
        match version.pointer("/schema/openAPIV3Schema") {
            Some(schema) if object::text(schema, "/type") == Some("object") => problems.extend(rules::unreadable(schema, &field)),
            _ => problems.push(Problem::required(field, "schemas are required")),
        }
    }
    problems
}
