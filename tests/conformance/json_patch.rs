use reqwest::Method;
use serde_json::{Value, json};

use super::{Scope, version};
use crate::support::kube_api::{Answer, JSON_PATCH};

conformance!(
    in real_quiet, embedded;
    an_image_is_replaced_when_its_tests_hold,
    a_failed_test_is_422_without_details_and_changes_nothing,
    a_test_on_the_version_fences_a_stale_patch,
    a_replaced_version_tells_of_the_conflict_plainly,
    missing_paths_are_422,
    annotations_are_added_under_a_parent_that_is_there,
    a_result_that_is_invalid_names_the_field,
    a_name_cannot_be_patched,
    malformed_patches_are_told_apart,
    a_missing_object_is_not_found,
    custom_resources_are_patched_alike,
);

const IMAGE: &str = "/spec/template/spec/containers/0/image";

async fn patch(scope: &Scope, patch: Value) -> Answer {
    scope.server.patch(&scope.deployment("web"), JSON_PATCH, &patch).await
}

fn replace_image(image: &str) -> Value {
    json!({ "op": "replace", "path": IMAGE, "value": image })
}

/// A refusal of the patch itself, as against one of the object it would make: it does not name an object.
#[track_caller]
fn refused_as_patch(answer: Answer) {
    let status = answer.refused(422, "Invalid");
    assert_eq!(status["message"], "the server rejected our request due to an error in our request");
    assert_eq!(status["details"], json!({}));
}

async fn an_image_is_replaced_when_its_tests_hold(scope: &Scope) {
    let before = scope.create_deployment("web").await;
    let patched = patch(
        scope,
        json!([
            { "op": "test", "path": "/metadata/uid", "value": before["metadata"]["uid"] },
            { "op": "test", "path": "/spec/template/spec/containers/0/name", "value": "web" },
            { "op": "test", "path": IMAGE, "value": "team/web:1.0.0" },
            replace_image("team/web:1.0.1"),
        ]),
    )
    .await
    .is(200);
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    assert_eq!((&containers[0]["image"], &containers[1]["image"]), (&json!("team/web:1.0.1"), &json!("team/side:1")));
    assert_eq!(patched["metadata"]["generation"], 2);
    assert_ne!(version(&patched), version(&before));
}

async fn a_failed_test_is_422_without_details_and_changes_nothing(scope: &Scope) {
    let before = scope.create_deployment("web").await;
    let test = json!({ "op": "test", "path": IMAGE, "value": "team/web:9" });
    refused_as_patch(patch(scope, json!([test, replace_image("team/web:2")])).await);
    refused_as_patch(patch(scope, json!([replace_image("team/web:2"), test])).await);
    assert_eq!(scope.server.get(&scope.deployment("web")).await.is(200), before);
}

async fn a_test_on_the_version_fences_a_stale_patch(scope: &Scope) {
    let before = scope.create_deployment("web").await;
    let test = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version(&before) });
    patch(scope, json!([test, replace_image("team/web:2")])).await.is(200);
    refused_as_patch(patch(scope, json!([test, replace_image("team/web:3")])).await);
}

async fn a_replaced_version_tells_of_the_conflict_plainly(scope: &Scope) {
    let before = scope.create_deployment("web").await;
    let expect = json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": version(&before) });
    patch(scope, json!([expect, replace_image("team/web:2")])).await.is(200);
    patch(scope, json!([expect, replace_image("team/web:3")])).await.refused(409, "Conflict");
}

async fn missing_paths_are_422(scope: &Scope) {
    scope.create_deployment("web").await;
    let cases = [
        json!([{ "op": "test", "path": "/metadata/annotations/skeg.dev~1last-update", "value": "x" }]),
        json!([{ "op": "test", "path": "/spec/template/spec/containers/9/name", "value": "web" }]),
        json!([{ "op": "remove", "path": "/metadata/annotations/skeg.dev~1last-update" }]),
        json!([{ "op": "remove", "path": "/metadata/labels/app" }]),
        json!([{ "op": "replace", "path": "/spec/template/spec/containers/9/image", "value": "x" }]),
    ];
    for case in cases {
        refused_as_patch(patch(scope, case).await);
    }
}

async fn annotations_are_added_under_a_parent_that_is_there(scope: &Scope) {
    scope.create_deployment("web").await;
    let add = json!({ "op": "add", "path": "/metadata/annotations/skeg.dev~1last-update", "value": "x" });
    refused_as_patch(patch(scope, json!([add])).await);
    let parent = json!({ "op": "add", "path": "/metadata/annotations", "value": {} });
    let patched = patch(scope, json!([parent, add])).await.is(200);
    assert_eq!(patched["metadata"]["annotations"], json!({ "skeg.dev/last-update": "x" }));
    let other = json!({ "op": "add", "path": "/metadata/annotations/other", "value": "y" });
    let patched = patch(scope, json!([other])).await.is(200);
    assert_eq!(patched["metadata"]["annotations"], json!({ "skeg.dev/last-update": "x", "other": "y" }));
    // Adding the parent again empties it: only for workloads without annotations, and fenced by their version.
    let patched = patch(scope, json!([parent, add])).await.is(200);
    assert_eq!(patched["metadata"]["annotations"], json!({ "skeg.dev/last-update": "x" }));
}

async fn a_result_that_is_invalid_names_the_field(scope: &Scope) {
    scope.create_deployment("web").await;
    let status = patch(scope, json!([replace_image("")])).await.invalid(&["spec.template.spec.containers[0].image"]);
    assert_eq!(status["details"]["name"], "web");
    patch(scope, json!([{ "op": "replace", "path": IMAGE, "value": 7 }])).await.refused(422, "Invalid");
}

async fn a_name_cannot_be_patched(scope: &Scope) {
    scope.create_deployment("web").await;
    patch(scope, json!([{ "op": "replace", "path": "/metadata/name", "value": "other" }])).await.refused(400, "BadRequest");
}

async fn malformed_patches_are_told_apart(scope: &Scope) {
    scope.create_deployment("web").await;
    patch(scope, json!({ "op": "add" })).await.refused(400, "BadRequest");
    let answer = scope.server.ask(Method::PATCH, &scope.deployment("web"), JSON_PATCH, Some("[".into())).await;
    answer.refused(400, "BadRequest");
    refused_as_patch(patch(scope, json!([{ "op": "nope", "path": "/metadata/labels" }])).await);
}

async fn a_missing_object_is_not_found(scope: &Scope) {
    patch(scope, json!([replace_image("team/web:2")])).await.refused(404, "NotFound");
}

async fn custom_resources_are_patched_alike(scope: &Scope) {
    let before = scope.create_update("a").await;
    let move_on = |phase: &str, version: &str| {
        json!([
            { "op": "test", "path": "/status/phase", "value": phase },
            { "op": "test", "path": "/metadata/resourceVersion", "value": version },
            { "op": "replace", "path": "/status/phase", "value": "Applying" },
        ])
    };
    let path = scope.update("a");
    refused_as_patch(scope.server.patch(&path, JSON_PATCH, &move_on("Done", version(&before))).await);
    refused_as_patch(scope.server.patch(&path, JSON_PATCH, &move_on("Held", "1")).await);
    let patched = scope.server.patch(&path, JSON_PATCH, &move_on("Held", version(&before))).await.is(200);
    assert_eq!(patched["status"]["phase"], "Applying");
}
