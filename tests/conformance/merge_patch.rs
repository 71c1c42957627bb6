use serde_json::{Value, json};

use super::{Scope, version};
use crate::support::kube_api::{Answer, MERGE_PATCH, STRATEGIC_PATCH};

conformance!(
    in real_quiet, embedded;
    null_removes_and_other_keys_stay,
    annotations_need_no_parent,
    a_list_is_replaced_whole,
    a_strategic_patch_merges_containers_by_name,
    a_stale_version_conflicts,
    a_patch_that_changes_nothing_keeps_the_version,
    a_missing_object_is_not_found,
    an_unknown_patch_type_is_unsupported,
    an_annotation_moves_a_deployments_generation,
    status_is_written_by_its_own_path_only,
    a_pods_status_carries_waiting_reasons_and_digests,
);

async fn merge(scope: &Scope, patch: Value) -> Answer {
    scope.server.patch(&scope.deployment("web"), MERGE_PATCH, &patch).await
}

async fn null_removes_and_other_keys_stay(scope: &Scope) {
    scope.create_deployment("web").await;
    merge(scope, json!({ "metadata": { "annotations": { "a": "1", "b": "2" } } })).await.is(200);
    let patched = merge(scope, json!({ "metadata": { "annotations": { "a": null, "c": "3" } } })).await.is(200);
    assert_eq!(patched["metadata"]["annotations"], json!({ "b": "2", "c": "3" }));
    merge(scope, json!({ "metadata": { "annotations": { "never": null } } })).await.is(200);
}

async fn annotations_need_no_parent(scope: &Scope) {
    scope.create_deployment("web").await;
    let patched = merge(scope, json!({ "metadata": { "annotations": { "skeg.dev/last-update": "x" } } })).await.is(200);
    assert_eq!(patched["metadata"]["annotations"], json!({ "skeg.dev/last-update": "x" }));
}

fn containers(object: &Value) -> Vec<(&str, &str)> {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    containers.iter().map(|container| (container["name"].as_str().unwrap(), container["image"].as_str().unwrap())).collect()
}

async fn a_list_is_replaced_whole(scope: &Scope) {
    scope.create_deployment("web").await;
    let one = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "web", "image": "team/web:2" }] } } } });
    let patched = merge(scope, one).await.is(200);
    assert_eq!(containers(&patched), [("web", "team/web:2")]);
}

async fn a_strategic_patch_merges_containers_by_name(scope: &Scope) {
    scope.create_deployment("web").await;
    let one = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "web", "image": "team/web:2" }] } } } });
    let patched = scope.server.patch(&scope.deployment("web"), STRATEGIC_PATCH, &one).await.is(200);
    assert_eq!(containers(&patched), [("web", "team/web:2"), ("side", "team/side:1")]);
    scope.create_update("a").await;
    scope.server.patch(&scope.update("a"), STRATEGIC_PATCH, &json!({})).await.refused(415, "UnsupportedMediaType");
}

async fn a_stale_version_conflicts(scope: &Scope) {
    let before = scope.create_deployment("web").await;
    let patch = |value: &str| json!({ "metadata": { "resourceVersion": version(&before), "annotations": { "a": value } } });
    merge(scope, patch("1")).await.is(200);
    merge(scope, patch("2")).await.refused(409, "Conflict");
}

async fn a_patch_that_changes_nothing_keeps_the_version(scope: &Scope) {
    let before = scope.create_deployment("web").await;
    let patched = merge(scope, json!({ "spec": { "replicas": 1 } })).await.is(200);
    assert_eq!(version(&patched), version(&before));
}

async fn a_missing_object_is_not_found(scope: &Scope) {
    let status = merge(scope, json!({})).await.refused(404, "NotFound");
    assert_eq!(status["message"], "deployments.apps \"web\" not found");
}

async fn an_unknown_patch_type_is_unsupported(scope: &Scope) {
    scope.create_deployment("web").await;
    scope.server.patch(&scope.deployment("web"), "application/json", &json!({})).await.refused(415, "UnsupportedMediaType");
}

async fn an_annotation_moves_a_deployments_generation(scope: &Scope) {
    let before = scope.create_deployment("web").await;
    assert_eq!(before["metadata"]["generation"], 1);
    let annotated = merge(scope, json!({ "metadata": { "annotations": { "a": "1" } } })).await.is(200);
    assert_eq!(annotated["metadata"]["generation"], 2);
    let labelled = merge(scope, json!({ "metadata": { "labels": { "a": "1" } } })).await.is(200);
    assert_eq!(labelled["metadata"]["generation"], 2);
    let scaled = merge(scope, json!({ "spec": { "replicas": 2 } })).await.is(200);
    assert_eq!(scaled["metadata"]["generation"], 3);
}

async fn status_is_written_by_its_own_path_only(scope: &Scope) {
    let mut sent = super::deployment("web");
    sent["status"] = json!({ "replicas": 4 });
    let stored = scope.server.post(&scope.deployments(), &sent).await.is(201);
    assert_eq!(stored["status"].get("replicas"), None);
    let status = json!({ "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1 });
    let path = format!("{}/status", scope.deployment("web"));
    let patched = scope.server.patch(&path, MERGE_PATCH, &json!({ "spec": { "replicas": 9 }, "status": status })).await.is(200);
    assert_eq!((&patched["status"]["availableReplicas"], &patched["spec"]["replicas"]), (&json!(1), &json!(1)));
    assert_eq!(patched["metadata"]["generation"], 1);
    let patched = merge(scope, json!({ "status": { "availableReplicas": 7 } })).await.is(200);
    assert_eq!(patched["status"]["availableReplicas"], 1);
}

async fn a_pods_status_carries_waiting_reasons_and_digests(scope: &Scope) {
    let pods = scope.pods();
    scope.create_pod("web-1").await;
    let container = json!({
        "name": "web",
        "image": "team/web:1.0.0",
        "imageID": format!("docker.io/team/web@sha256:{}", "a1".repeat(32)),
        "ready": false,
        "restartCount": 0,
        "state": { "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } },
    });
    let status = json!({ "status": { "phase": "Pending", "containerStatuses": [container] } });
    let patched = scope.server.patch(&format!("{pods}/web-1/status"), MERGE_PATCH, &status).await.is(200);
    let stored = &patched["status"]["containerStatuses"][0];
    assert_eq!((&stored["state"], &stored["imageID"]), (&container["state"], &container["imageID"]));
    scope.server.delete(&format!("{pods}/web-1")).await.is(200);
    scope.server.get(&format!("{pods}/web-1")).await.refused(404, "NotFound");
}
