use serde_json::{Value, json};

use super::{Scope, with, without};
use crate::support::kube_api::MERGE_PATCH;

conformance!(
    a_core_event_takes_nearly_anything,
    an_event_is_in_the_namespace_of_its_object,
    a_repeated_event_is_counted_by_a_patch,
    a_new_event_needs_all_its_fields,
    a_new_event_has_bounded_texts,
    an_event_time_has_six_digits_of_fraction,
    a_new_event_is_read_as_a_core_event,
    events_are_found_by_the_object_they_are_about,
);

/// A core Event about Deployment `web`.
pub fn core_event(scope: &Scope, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": name },
        "involvedObject": { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": scope.namespace, "name": "web" },
        "reason": "DirectiveError",
        "message": "skeg.dev/policy: unknown policy `nope`",
        "type": "Warning",
        "source": { "component": "skeg" },
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    })
}

/// An `events.k8s.io/v1` Event about Deployment `web`.
fn new_event(scope: &Scope, name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": name },
        "regarding": { "apiVersion": "apps/v1", "kind": "Deployment", "namespace": scope.namespace, "name": "web" },
        "reason": "DirectiveError",
        "note": "skeg.dev/policy: unknown policy `nope`",
        "type": "Warning",
        "action": "Reading",
        "reportingController": "skeg.dev/skeg",
        "reportingInstance": "skeg-1",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    })
}

fn new_events(scope: &Scope) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{}/events", scope.namespace)
}

async fn a_core_event_takes_nearly_anything(scope: &Scope) {
    scope.server.post(&scope.events(), &core_event(scope, "whole")).await.is(201);
    let odd = [
        with(&core_event(scope, "long"), "/message", "m".repeat(3000)),
        with(&core_event(scope, "unreasoned"), "/reason", ""),
        with(&core_event(scope, "odd"), "/type", "Odd"),
        without(&without(&core_event(scope, "timeless"), "/firstTimestamp"), "/lastTimestamp"),
    ];
    for event in &odd {
        scope.server.post(&scope.events(), event).await.is(201);
    }
    let generated = with(&core_event(scope, ""), "/metadata", json!({ "generateName": "web." }));
    let stored = scope.server.post(&scope.events(), &generated).await.is(201);
    assert!(stored["metadata"]["name"].as_str().unwrap().len() > "web.".len());
}

async fn an_event_is_in_the_namespace_of_its_object(scope: &Scope) {
    let elsewhere = with(&core_event(scope, "a"), "/involvedObject/namespace", "elsewhere");
    scope.server.post(&scope.events(), &elsewhere).await.invalid(&["involvedObject.namespace"]);
}

async fn a_repeated_event_is_counted_by_a_patch(scope: &Scope) {
    scope.server.post(&scope.events(), &core_event(scope, "a")).await.is(201);
    let again = json!({ "count": 2, "lastTimestamp": "2026-01-01T00:05:00Z" });
    let patched = scope.server.patch(&format!("{}/a", scope.events()), MERGE_PATCH, &again).await.is(200);
    assert_eq!((&patched["count"], &patched["lastTimestamp"]), (&again["count"], &again["lastTimestamp"]));
}

async fn a_new_event_needs_all_its_fields(scope: &Scope) {
    scope.server.post(&new_events(scope), &new_event(scope, "whole")).await.is(201);
    for field in ["action", "reason", "type", "reportingController", "reportingInstance", "eventTime"] {
        let lacking = without(&new_event(scope, "lacking"), &format!("/{field}"));
        scope.server.post(&new_events(scope), &lacking).await.invalid(&[field]);
    }
    scope.server.post(&new_events(scope), &with(&new_event(scope, "odd"), "/type", "Odd")).await.invalid(&["type"]);
}

async fn a_new_event_has_bounded_texts(scope: &Scope) {
    // The causes name the fields as core Events call them.
    for (pointer, length_max, field) in [("/note", 1024, "message"), ("/reason", 128, "reason"), ("/action", 128, "action")] {
        let of_length = |name: &str, length: usize| with(&new_event(scope, name), pointer, "x".repeat(length));
        scope.server.post(&new_events(scope), &of_length("long", length_max + 1)).await.invalid(&[field]);
        scope.server.post(&new_events(scope), &of_length(&format!("fits-{field}"), length_max)).await.is(201);
    }
}

async fn an_event_time_has_six_digits_of_fraction(scope: &Scope) {
    for time in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.123456789Z"] {
        scope.server.post(&new_events(scope), &with(&new_event(scope, "a"), "/eventTime", time)).await.refused(400, "BadRequest");
    }
    scope.server.post(&new_events(scope), &with(&new_event(scope, "a"), "/eventTime", "2026-01-01T00:00:00.123456Z")).await.is(201);
}

async fn a_new_event_is_read_as_a_core_event(scope: &Scope) {
    let sent = new_event(scope, "a");
    scope.server.post(&new_events(scope), &sent).await.is(201);
    let read = scope.server.get(&format!("{}/a", scope.events())).await.is(200);
    let same = [("involvedObject", "regarding"), ("message", "note"), ("reportingComponent", "reportingController"), ("reason", "reason")];
    for (core, new) in same {
        assert_eq!(read[core], sent[new], "{core}");
    }
    assert_eq!(read.get("count"), None);
}

async fn events_are_found_by_the_object_they_are_about(scope: &Scope) {
    scope.server.post(&scope.events(), &core_event(scope, "a")).await.is(201);
    scope.server.post(&scope.events(), &with(&core_event(scope, "b"), "/involvedObject/name", "other")).await.is(201);
    let query = "fieldSelector=involvedObject.kind%3DDeployment%2CinvolvedObject.name%3Dweb";
    let found = scope.server.get(&format!("{}?{query}", scope.events())).await.is(200);
    assert_eq!(super::names(&found), ["a"]);
}
