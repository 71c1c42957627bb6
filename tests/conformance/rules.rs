use serde_json::{Value, json};

use super::{Scope, image_update, with, without};
use crate::support::kube_api::{JSON_PATCH, MERGE_PATCH};

conformance!(
    the_spec_never_changes,
    a_closed_phase_is_final,
    an_open_phase_moves_to_any_other,
    the_rest_of_a_closed_status_may_change,
    the_epoch_never_falls,
    each_broken_rule_is_a_cause_of_its_own,
    an_old_version_is_told_before_a_broken_rule,
    patches_meet_the_same_rules,
    status_cannot_be_taken_away_to_get_around_the_rules,
    rules_wait_for_an_object_that_fits_the_schema,
);

async fn closed(scope: &Scope, phase: &str) -> Value {
    let created = scope.create_update("closed").await;
    scope.server.put(&scope.update("closed"), &with(&created, "/status/phase", phase)).await.is(200)
}

async fn the_spec_never_changes(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let changed = [
        with(&stored, "/spec/attempt", 2),
        with(&stored, "/spec/changes/0/digest", format!("sha256:{}", "b2".repeat(32))),
        with(&stored, "/spec/approvers", json!(["alice"])),
        without(&stored, "/spec/writeBack"),
    ];
    for object in &changed {
        let status = scope.server.put(&scope.update("a"), object).await.invalid(&["spec"]);
        assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueInvalid");
        assert!(status["message"].as_str().unwrap().contains("spec is immutable"), "{status:#}");
        assert_eq!((&status["details"]["name"], &status["details"]["kind"]), (&json!("a"), &json!("ImageUpdate")));
    }
    assert_eq!(scope.server.get(&scope.update("a")).await.is(200), stored);
}

async fn a_closed_phase_is_final(scope: &Scope) {
    for phase in ["Done", "Unrecorded", "RolledBack", "Rejected", "Expired", "Superseded", "Failed"] {
        let stored = closed(scope, phase).await;
        for other in ["Held", "Restoring", if phase == "Done" { "Failed" } else { "Done" }] {
            let status = scope.server.put(&scope.update("closed"), &with(&stored, "/status/phase", other)).await.invalid(&["status.phase"]);
            assert!(status["message"].as_str().unwrap().contains("a closed phase is final"), "{status:#}");
        }
        scope.server.delete(&scope.update("closed")).await.is(200);
    }
}

async fn an_open_phase_moves_to_any_other(scope: &Scope) {
    let mut stored = scope.create_update("a").await;
    for phase in ["Applying", "Verifying", "Restoring", "Held", "Recording", "Unrecorded"] {
        stored = scope.server.put(&scope.update("a"), &with(&stored, "/status/phase", phase)).await.is(200);
    }
}

async fn the_rest_of_a_closed_status_may_change(scope: &Scope) {
    let stored = closed(scope, "Rejected").await;
    let binding = json!({ "reason": "rejected by alice", "at": "2026-01-01T00:00:00Z", "by": "alice" });
    let bound = scope.server.put(&scope.update("closed"), &with(&stored, "/status/binding", binding.clone())).await.is(200);
    assert_eq!(bound["status"]["binding"], binding);
    let lifted = without(&with(&bound, "/metadata/labels", json!({})), "/status/binding");
    scope.server.put(&scope.update("closed"), &lifted).await.is(200);
}

async fn the_epoch_never_falls(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let same = scope.server.put(&scope.update("a"), &with(&stored, "/status/reason", "same epoch")).await.is(200);
    let risen = scope.server.put(&scope.update("a"), &with(&same, "/status/epoch", 4)).await.is(200);
    let status = scope.server.put(&scope.update("a"), &with(&risen, "/status/epoch", 3)).await.invalid(&["status.epoch"]);
    assert!(status["message"].as_str().unwrap().contains("epoch never falls"), "{status:#}");
}

async fn each_broken_rule_is_a_cause_of_its_own(scope: &Scope) {
    let stored = closed(scope, "Done").await;
    let broken = with(&with(&with(&stored, "/status/phase", "Held"), "/status/epoch", 0), "/spec/attempt", 9);
    scope.server.put(&scope.update("closed"), &broken).await.invalid(&["spec", "status.epoch", "status.phase"]);
}

async fn an_old_version_is_told_before_a_broken_rule(scope: &Scope) {
    let first = scope.create_update("a").await;
    scope.server.put(&scope.update("a"), &with(&first, "/status/epoch", 4)).await.is(200);
    // A stale leader that has not read again: it learns of the conflict, and of the epoch only after it has read.
    scope.server.put(&scope.update("a"), &with(&first, "/status/epoch", 2)).await.refused(409, "Conflict");
}

async fn patches_meet_the_same_rules(scope: &Scope) {
    closed(scope, "Done").await;
    let path = scope.update("closed");
    let patches = [
        (MERGE_PATCH, json!({ "spec": { "attempt": 7 } }), "spec"),
        (MERGE_PATCH, json!({ "status": { "epoch": 0 } }), "status.epoch"),
        (JSON_PATCH, json!([{ "op": "replace", "path": "/status/phase", "value": "Held" }]), "status.phase"),
    ];
    for (content_type, patch, field) in &patches {
        scope.server.patch(&path, content_type, patch).await.invalid(&[field]);
    }
    scope.server.patch(&path, MERGE_PATCH, &json!({ "metadata": { "labels": { "a": "b" } } })).await.is(200);
}

async fn status_cannot_be_taken_away_to_get_around_the_rules(scope: &Scope) {
    let stored = closed(scope, "Done").await;
    let path = scope.update("closed");
    for field in ["status", "status.phase", "status.epoch", "spec"] {
        let pointer = format!("/{}", field.replace('.', "/"));
        let status = scope.server.put(&path, &without(&stored, &pointer)).await.invalid(&[field]);
        assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired", "{status:#}");
        scope.server.patch(&path, JSON_PATCH, &json!([{ "op": "remove", "path": pointer }])).await.invalid(&[field]);
    }
    scope.server.patch(&path, MERGE_PATCH, &json!({ "status": null })).await.invalid(&["status"]);
    scope.server.post(&scope.updates(), &without(&image_update("b"), "/status")).await.invalid(&["status"]);
}

async fn rules_wait_for_an_object_that_fits_the_schema(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let both = with(&with(&stored, "/status/epoch", 0), "/status/since", "yesterday");
    let status = scope.server.put(&scope.update("a"), &both).await.invalid(&["status.since"]);
    assert!(status["message"].as_str().unwrap().contains("some validation rules were not checked"), "{status:#}");
}
