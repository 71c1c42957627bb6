use reqwest::Method;
use serde_json::{Value, json};

use super::{Scope, deployment, image_update, with, without};
use crate::support::controlplane::Power;
use crate::support::kube_api::JSON;

conformance!(
    unknown_fields_are_pruned,
    strict_decoding_refuses_unknown_fields,
    null_is_absent,
    values_out_of_bounds_name_their_field,
    lengths_are_counted_in_characters,
    times_are_rfc_3339,
    integers_are_integers,
    names_and_labels_have_their_syntax,
    the_body_fits_the_path,
    bodies_that_are_no_objects_are_bad_requests,
    unknown_kinds_are_not_found_in_plain_text,
    a_deployment_needs_images_and_a_fitting_selector,
);

async fn unknown_fields_are_pruned(scope: &Scope) {
    let sent = with(&with(&with(&image_update("a"), "/spec/nope", 1), "/status/zip", json!({ "a": 1 })), "/zap", true);
    let stored = scope.server.post(&scope.updates(), &sent).await.is(201);
    assert_eq!((stored["spec"].get("nope"), stored["status"].get("zip"), stored.get("zap")), (None, None, None));
}

async fn strict_decoding_refuses_unknown_fields(scope: &Scope) {
    let sent = with(&image_update("a"), "/spec/nope", 1);
    let path = |how: &str| format!("{}?fieldValidation={how}", scope.updates());
    let status = scope.server.post(&path("Strict"), &sent).await.refused(400, "BadRequest");
    assert!(status["message"].as_str().unwrap().contains("strict decoding error: unknown field \"spec.nope\""), "{status:#}");
    let ignored = scope.server.post(&path("Ignore"), &sent).await;
    assert_eq!(ignored.warnings, Vec::<String>::new());
    ignored.is(201);
    let web = with(&deployment("web"), "/spec/nope", 1);
    scope.server.post(&format!("{}?fieldValidation=Strict", scope.deployments()), &web).await.refused(400, "BadRequest");
}

async fn null_is_absent(scope: &Scope) {
    let sent = with(&with(&image_update("a"), "/status/askedAt", Value::Null), "/spec/approvers", Value::Null);
    let stored = scope.server.post(&scope.updates(), &sent).await.is(201);
    assert_eq!((stored["status"].get("askedAt"), stored["spec"].get("approvers")), (None, None));
    let sent = with(&image_update("b"), "/status/phase", Value::Null);
    scope.server.post(&scope.updates(), &sent).await.invalid(&["status.phase"]);
}

async fn values_out_of_bounds_name_their_field(scope: &Scope) {
    let event = json!({ "at": "2026-01-01T00:00:00Z", "event": "voted", "detail": "" });
    let cases: [(&str, Value, &str, &str); 8] = [
        ("/status/phase", json!("Nope"), "status.phase", "FieldValueNotSupported"),
        ("/spec/trigger", json!("moon"), "spec.trigger", "FieldValueNotSupported"),
        ("/spec/attempt", json!(0), "spec.attempt", "FieldValueInvalid"),
        ("/status/epoch", json!(-1), "status.epoch", "FieldValueInvalid"),
        ("/spec/changes", json!([]), "spec.changes", "FieldValueInvalid"),
        ("/status/history", json!(vec![event; 33]), "status.history", "FieldValueTooMany"),
        ("/spec/rollback", json!("yes"), "spec.rollback", "FieldValueTypeInvalid"),
        ("/spec/policy", json!(7), "spec.policy", "FieldValueTypeInvalid"),
    ];
    for (pointer, value, field, reason) in cases {
        let status = scope.server.post(&scope.updates(), &with(&image_update("a"), pointer, value)).await.invalid(&[field]);
        assert_eq!(status["details"]["causes"][0]["reason"], reason, "{status:#}");
    }
}

async fn lengths_are_counted_in_characters(scope: &Scope) {
    let reason = |count: usize| with(&image_update("a"), "/status/reason", "é".repeat(count));
    let status = scope.server.post(&scope.updates(), &reason(513)).await.invalid(&["status.reason"]);
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueTooLong", "{status:#}");
    scope.server.post(&scope.updates(), &reason(512)).await.is(201);
}

async fn times_are_rfc_3339(scope: &Scope) {
    for (number, time) in ["2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00+02:00"].into_iter().enumerate() {
        let sent = with(&image_update(&format!("a{number}")), "/status/since", time);
        assert_eq!(scope.server.post(&scope.updates(), &sent).await.is(201)["status"]["since"], time);
    }
    for time in ["2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "yesterday", ""] {
        let sent = with(&image_update("b"), "/status/since", time);
        scope.server.post(&scope.updates(), &sent).await.invalid(&["status.since"]);
    }
}

async fn integers_are_integers(scope: &Scope) {
    scope.server.post(&scope.updates(), &with(&image_update("a"), "/status/epoch", json!(1.0))).await.is(201);
    for value in [json!(1.5), json!("1"), json!(true)] {
        scope.server.post(&scope.updates(), &with(&image_update("b"), "/status/epoch", value)).await.invalid(&["status.epoch"]);
    }
}

async fn names_and_labels_have_their_syntax(scope: &Scope) {
    let cases = [
        ("/metadata/name", json!("Upper"), "metadata.name"),
        ("/metadata/name", json!("under_score"), "metadata.name"),
        ("/metadata/name", json!("a".repeat(254)), "metadata.name"),
        ("/metadata/labels", json!({ "skeg.dev/open": "a b" }), "metadata.labels"),
        ("/metadata/labels", json!({ "skeg.dev/open": "a".repeat(64) }), "metadata.labels"),
        ("/metadata/labels", json!({ "a/b/c": "x" }), "metadata.labels"),
        ("/metadata/annotations", json!({ "a b": "x" }), "metadata.annotations"),
    ];
    for (pointer, value, field) in cases {
        scope.server.post(&scope.updates(), &with(&image_update("a"), pointer, value)).await.invalid(&[field]);
    }
    scope.server.post(&scope.updates(), &without(&image_update("a"), "/metadata/name")).await.invalid(&["metadata.name"]);
    let generated = without(&with(&image_update("a"), "/metadata/generateName", "made-"), "/metadata/name");
    let stored = scope.server.post(&scope.updates(), &generated).await.is(201);
    assert!(stored["metadata"]["name"].as_str().is_some_and(|name| name.len() > 5 && name.starts_with("made-")), "{stored:#}");
}

async fn the_body_fits_the_path(scope: &Scope) {
    scope.server.post(&scope.updates(), &with(&image_update("a"), "/metadata/namespace", "default")).await.refused(400, "BadRequest");
    scope.server.post(&scope.updates(), &with(&image_update("a"), "/apiVersion", "skeg.dev/v1")).await.refused(400, "BadRequest");
}

async fn bodies_that_are_no_objects_are_bad_requests(scope: &Scope) {
    for body in ["", "{nope", "[]", "7", "{}"] {
        let answer = scope.server.ask(Method::POST, &scope.updates(), JSON, Some(body.into())).await;
        answer.refused(400, "BadRequest");
    }
    let answer = scope.server.ask(Method::POST, &scope.updates(), "text/plain", Some(image_update("a").to_string().into())).await;
    answer.refused(415, "UnsupportedMediaType");
}

async fn unknown_kinds_are_not_found_in_plain_text(scope: &Scope) {
    for path in ["/apis/skeg.dev/v1alpha1/nothings", "/apis/nowhere.dev/v1"] {
        let body = scope.server.get(path).await.is(404);
        assert_eq!(body.as_str().map(str::trim), Some("404 page not found"), "{path}");
    }
}

async fn a_deployment_needs_images_and_a_fitting_selector(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    let image = "/spec/template/spec/containers/0/image";
    let field = "spec.template.spec.containers[0].image";
    scope.server.post(&scope.deployments(), &with(&deployment("web"), image, "")).await.invalid(&[field]);
    let other = json!({ "matchLabels": { "app": "other" } });
    scope
        .server
        .post(&scope.deployments(), &with(&deployment("web"), "/spec/selector", other.clone()))
        .await
        .invalid(&["spec.template.metadata.labels"]);
    let stored = scope.create_deployment("web").await;
    let changed = with(&with(&stored, "/spec/selector", other), "/spec/template/metadata/labels", json!({ "app": "other" }));
    scope.server.put(&scope.deployment("web"), &changed).await.invalid(&["spec.selector"]);
}
