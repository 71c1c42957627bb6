//! The transition rules of `ImageUpdate` (skeg.dev/v1alpha1).
//!
//! In a real cluster the CRD states them in CEL (`x-kubernetes-validations`) and the API server enforces them; they are the
//! fence against a leader that has been replaced. CEL is not evaluated here, so the three rules are written out.

use serde_json::Value;

use super::super::catalog::ResourceType;
use super::super::object;
use super::super::status::Problem;

/// Phases that end an update.
const CLOSED_PHASES: [&str; 7] = ["Done", "Unrecorded", "RolledBack", "Rejected", "Expired", "Superseded", "Failed"];

/// Whether the rules of this file are about that type.
pub fn is_image_update(resource: &ResourceType) -> bool {
    resource.group == "skeg.dev" && resource.kind == "ImageUpdate"
}

/// The rules that a change breaks: the spec is immutable, a closed phase is final, the epoch never falls.
pub fn transition(old: &Value, new: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    if old.get("spec") != new.get("spec") {
        problems.push(Problem::rule("spec", "spec is immutable"));
    }
    let phase = |update| object::text(update, "/status/phase");
    if phase(old).is_some_and(|phase| CLOSED_PHASES.contains(&phase)) && phase(old) != phase(new) {
        problems.push(Problem::rule("status", "a closed phase is final"));
    }
    let epoch = |update| object::number(update, "/status/epoch");
    if epoch(new) < epoch(old) {
        problems.push(Problem::rule("status", "epoch never falls"));
    }
    problems
}
