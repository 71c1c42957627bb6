use serde_json::{Value, json};

use super::{Scope, image_update, version, with, without};
use crate::support::controlplane::Power;
use crate::support::kube_api::MERGE_PATCH;

conformance!(
    a_create_keeps_the_status_it_carries,
    status_is_no_path_of_its_own,
    a_create_of_an_existing_name_conflicts,
    a_create_with_a_version_is_refused,
    a_create_in_a_missing_namespace_is_not_found,
    a_replace_moves_spec_labels_and_status_together,
    a_replace_with_an_old_version_conflicts_and_changes_nothing,
    a_replace_without_a_version_is_invalid,
    a_replace_does_not_create,
    a_replace_of_another_uid_conflicts,
    a_replace_under_another_name_is_a_bad_request,
    the_generation_counts_changes_of_spec_and_status,
    a_write_that_changes_nothing_keeps_the_version,
    a_delete_says_success_once,
    a_delete_can_ask_for_a_version_and_a_uid,
    a_name_can_be_used_again_after_its_delete,
);

async fn a_create_keeps_the_status_it_carries(scope: &Scope) {
    let sent = image_update("a");
    let stored = scope.create_update("a").await;
    assert_eq!(stored["spec"], sent["spec"]);
    assert_eq!(stored["status"], sent["status"]);
    assert_eq!(stored["metadata"]["labels"], sent["metadata"]["labels"]);
    assert_eq!(stored["metadata"]["namespace"], scope.namespace);
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(stored["metadata"][field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {stored:#}");
    }
    assert_eq!(scope.server.get(&scope.update("a")).await.is(200), stored);
}

async fn status_is_no_path_of_its_own(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let path = format!("{}/status", scope.update("a"));
    scope.server.put(&path, &stored).await.refused(404, "NotFound");
    scope.server.patch(&path, MERGE_PATCH, &json!({ "status": { "phase": "Done" } })).await.refused(404, "NotFound");
}

async fn a_create_of_an_existing_name_conflicts(scope: &Scope) {
    scope.create_update("a").await;
    let status = scope.server.post(&scope.updates(), &image_update("a")).await.refused(409, "AlreadyExists");
    assert_eq!(status["message"], "imageupdates.skeg.dev \"a\" already exists");
    assert_eq!(status["details"], json!({ "name": "a", "group": "skeg.dev", "kind": "imageupdates" }));
    let other = with(&image_update("a"), "/spec/attempt", 2);
    scope.server.post(&scope.updates(), &other).await.refused(409, "AlreadyExists");
}

async fn a_create_with_a_version_is_refused(scope: &Scope) {
    let sent = with(&image_update("a"), "/metadata/resourceVersion", "1");
    let status = scope.server.post(&scope.updates(), &sent).await.is(500);
    assert_eq!(status["message"], "resourceVersion should not be set on objects to be created");
}

async fn a_create_in_a_missing_namespace_is_not_found(scope: &Scope) {
    let path = scope.updates().replace(&scope.namespace, "nowhere");
    let status = scope.server.post(&path, &image_update("a")).await.refused(404, "NotFound");
    assert_eq!(status["message"], "namespaces \"nowhere\" not found");
}

async fn a_replace_moves_spec_labels_and_status_together(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let sent = with(&with(&stored, "/status/phase", "Done"), "/metadata/labels", json!({}));
    let replaced = scope.server.put(&scope.update("a"), &sent).await.is(200);
    assert_eq!(replaced["status"]["phase"], "Done");
    assert_eq!(replaced["metadata"].get("labels").and_then(|labels| labels.get("skeg.dev/open")), None);
    assert_ne!(version(&replaced), version(&stored));
    assert_eq!(replaced["metadata"]["uid"], stored["metadata"]["uid"]);
}

async fn a_replace_with_an_old_version_conflicts_and_changes_nothing(scope: &Scope) {
    let first = scope.create_update("a").await;
    let second = scope.server.put(&scope.update("a"), &with(&first, "/status/reason", "second")).await.is(200);
    let status = scope.server.put(&scope.update("a"), &with(&first, "/status/reason", "third")).await.refused(409, "Conflict");
    let message = "Operation cannot be fulfilled on imageupdates.skeg.dev \"a\": the object has been modified; \
                   please apply your changes to the latest version and try again";
    assert_eq!(status["message"], message);
    assert_eq!(scope.server.get(&scope.update("a")).await.is(200), second);
}

async fn a_replace_without_a_version_is_invalid(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    let stored = scope.create_update("a").await;
    scope.server.put(&scope.update("a"), &without(&stored, "/metadata/resourceVersion")).await.invalid(&["metadata.resourceVersion"]);
    // Built-in kinds differ: they take the last writer.
    let web = scope.create_deployment("web").await;
    scope.server.put(&scope.deployment("web"), &without(&web, "/metadata/resourceVersion")).await.is(200);
}

async fn a_replace_does_not_create(scope: &Scope) {
    scope.server.put(&scope.update("a"), &image_update("a")).await.refused(404, "NotFound");
    scope.server.put(&scope.deployment("web"), &super::deployment("web")).await.refused(404, "NotFound");
}

async fn a_replace_of_another_uid_conflicts(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let other = with(&stored, "/metadata/uid", "11111111-1111-1111-1111-111111111111");
    scope.server.put(&scope.update("a"), &other).await.refused(409, "Conflict");
}

async fn a_replace_under_another_name_is_a_bad_request(scope: &Scope) {
    let stored = scope.create_update("a").await;
    scope.server.put(&scope.update("a"), &with(&stored, "/metadata/name", "b")).await.refused(400, "BadRequest");
}

async fn the_generation_counts_changes_of_spec_and_status(scope: &Scope) {
    let created = scope.create_update("a").await;
    assert_eq!(created["metadata"]["generation"], 1);
    let moved = scope.server.put(&scope.update("a"), &with(&created, "/status/phase", "Applying")).await.is(200);
    assert_eq!(moved["metadata"]["generation"], 2);
    let labelled = scope.server.put(&scope.update("a"), &with(&moved, "/metadata/labels", json!({ "a": "b" }))).await.is(200);
    assert_eq!(labelled["metadata"]["generation"], 2);
}

async fn a_write_that_changes_nothing_keeps_the_version(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let replaced = scope.server.put(&scope.update("a"), &stored).await.is(200);
    assert_eq!(version(&replaced), version(&stored));
    let patched = scope.server.patch(&scope.update("a"), MERGE_PATCH, &json!({ "status": { "phase": "Held" } })).await.is(200);
    assert_eq!(version(&patched), version(&stored));
}

async fn a_delete_says_success_once(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let status = scope.server.delete(&scope.update("a")).await.is(200);
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"]["uid"], stored["metadata"]["uid"]);
    for answer in [scope.server.get(&scope.update("a")).await, scope.server.delete(&scope.update("a")).await] {
        let status = answer.refused(404, "NotFound");
        assert_eq!(status["message"], "imageupdates.skeg.dev \"a\" not found");
        assert_eq!(status["details"], json!({ "name": "a", "group": "skeg.dev", "kind": "imageupdates" }));
    }
}

async fn a_delete_can_ask_for_a_version_and_a_uid(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let only_if = |field: &str, value: &Value| json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { field: value } });
    let path = scope.update("a");
    scope.server.delete_with(&path, &only_if("resourceVersion", &json!("1"))).await.refused(409, "Conflict");
    scope.server.delete_with(&path, &only_if("uid", &json!("11111111-1111-1111-1111-111111111111"))).await.refused(409, "Conflict");
    scope.server.delete_with(&path, &only_if("resourceVersion", &stored["metadata"]["resourceVersion"])).await.is(200);
}

async fn a_name_can_be_used_again_after_its_delete(scope: &Scope) {
    let first = scope.server.post(&scope.updates(), &with(&image_update("a"), "/status/phase", "Rejected")).await.is(201);
    scope.server.delete(&scope.update("a")).await.is(200);
    // No rule looks at the old object: its closed phase and its epoch bind nobody any more.
    let second = scope.server.post(&scope.updates(), &with(&image_update("a"), "/status/epoch", 0)).await.is(201);
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(second["metadata"]["generation"], 1);
}
