use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::events::core_event;
use super::{Scope, version, with};
use crate::support::controlplane::Power;
use crate::support::kube_api::MERGE_PATCH;

conformance!(
    a_watch_from_a_lists_version_tells_only_what_came_after,
    a_watch_without_a_version_begins_with_what_is_there,
    a_selector_turns_relabelling_into_added_and_deleted,
    a_write_that_changes_nothing_is_not_told,
    a_version_that_is_gone_is_an_error_event_with_410,
    a_list_continued_after_its_version_is_gone_is_410,
    a_watch_ends_in_good_order_at_its_time,
    a_watch_sees_other_kinds_too,
);

fn watch_from(path: &str, version: &str) -> String {
    format!("{path}?watch=true&resourceVersion={version}&timeoutSeconds=60")
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect()
}

async fn listed_version(scope: &Scope, path: &str) -> String {
    version(&scope.server.get(path).await.is(200)).to_owned()
}

async fn a_watch_from_a_lists_version_tells_only_what_came_after(scope: &Scope) {
    scope.create_update("before").await;
    let from = listed_version(scope, &scope.updates()).await;
    let mut watch = scope.server.watch(&watch_from(&scope.updates(), &from)).await;
    let created = scope.create_update("a").await;
    let moved = scope.server.put(&scope.update("a"), &with(&created, "/status/phase", "Applying")).await.is(200);
    scope.server.delete(&scope.update("a")).await.is(200);
    let [added, modified, deleted] = [watch.next().await.unwrap(), watch.next().await.unwrap(), watch.next().await.unwrap()];
    assert_eq!(added, json!({ "type": "ADDED", "object": created }));
    assert_eq!(modified, json!({ "type": "MODIFIED", "object": moved }));
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["status"], moved["status"]);
    let number = |object: &Value| version(object).parse::<u64>().unwrap();
    assert!(number(&deleted["object"]) > number(&moved), "a deletion has a version of its own");
}

async fn a_watch_without_a_version_begins_with_what_is_there(scope: &Scope) {
    scope.create_update("a").await;
    scope.create_update("b").await;
    for version in ["", "&resourceVersion=0"] {
        let mut watch = scope.server.watch(&format!("{}?watch=true&timeoutSeconds=60{version}", scope.updates())).await;
        let first: BTreeSet<_> = watch.next_names(2).await.into_iter().collect();
        assert_eq!(first, pairs(&[("ADDED", "a"), ("ADDED", "b")]).into_iter().collect());
        scope.server.patch(&scope.update("a"), MERGE_PATCH, &json!({ "status": { "reason": format!("seen{version}") } })).await.is(200);
        assert_eq!(watch.next_names(1).await, pairs(&[("MODIFIED", "a")]));
    }
}

async fn a_selector_turns_relabelling_into_added_and_deleted(scope: &Scope) {
    let from = listed_version(scope, &scope.updates()).await;
    let path = format!("{}&labelSelector=skeg.dev%2Fopen%3Dtrue", watch_from(&scope.updates(), &from));
    let mut watch = scope.server.watch(&path).await;
    scope.create_update("a").await;
    let unlabelled = scope.server.patch(&scope.update("a"), MERGE_PATCH, &json!({ "metadata": { "labels": null } })).await.is(200);
    scope.server.patch(&scope.update("a"), MERGE_PATCH, &json!({ "status": { "reason": "unseen" } })).await.is(200);
    scope.server.patch(&scope.update("a"), MERGE_PATCH, &json!({ "metadata": { "labels": { "skeg.dev/open": "true" } } })).await.is(200);
    assert_eq!(watch.next_names(1).await, pairs(&[("ADDED", "a")]));
    let gone = watch.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(gone["object"]["metadata"]["labels"], json!({ "skeg.dev/open": "true" }), "the last state that matched");
    assert_eq!(version(&gone["object"]), version(&unlabelled), "at the version where it stopped matching");
    assert_eq!(watch.next_names(1).await, pairs(&[("ADDED", "a")]));
}

async fn a_write_that_changes_nothing_is_not_told(scope: &Scope) {
    let stored = scope.create_update("a").await;
    let mut watch = scope.server.watch(&watch_from(&scope.updates(), version(&stored))).await;
    scope.server.put(&scope.update("a"), &stored).await.is(200);
    scope.create_update("b").await;
    assert_eq!(watch.next_names(1).await, pairs(&[("ADDED", "b")]));
}

/// Makes the server forget the version of a list of Events, which no server keeps in a cache, and gives that version.
async fn forgotten(scope: &Scope) -> String {
    scope.server.post(&scope.events(), &core_event(scope, "one")).await.is(201);
    let old = listed_version(scope, &scope.events()).await;
    scope.server.post(&scope.events(), &core_event(scope, "two")).await.is(201);
    let newest = scope.server.post(&scope.events(), &core_event(scope, "three")).await.is(201);
    scope.compact(version(&newest)).await;
    old
}

async fn a_version_that_is_gone_is_an_error_event_with_410(scope: &Scope) {
    if !scope.gives(Power::Compact).await {
        return;
    }
    let _alone = super::COMPACTION.lock().await;
    let old = forgotten(scope).await;
    let mut watch = scope.server.watch(&watch_from(&scope.events(), &old)).await;
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    let status = &event["object"];
    assert_eq!((&status["kind"], &status["code"], &status["reason"]), (&json!("Status"), &json!(410), &json!("Expired")), "{status:#}");
    assert_eq!(watch.next().await, None, "nothing follows");
}

async fn a_list_continued_after_its_version_is_gone_is_410(scope: &Scope) {
    if !scope.gives(Power::Compact).await {
        return;
    }
    let _alone = super::COMPACTION.lock().await;
    scope.server.post(&scope.events(), &core_event(scope, "a")).await.is(201);
    scope.server.post(&scope.events(), &core_event(scope, "b")).await.is(201);
    let first = scope.server.get(&format!("{}?limit=1", scope.events())).await.is(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    forgotten(scope).await;
    scope.server.get(&format!("{}?limit=1&continue={token}", scope.events())).await.refused(410, "Expired");
}

async fn a_watch_ends_in_good_order_at_its_time(scope: &Scope) {
    let from = listed_version(scope, &scope.updates()).await;
    let mut watch = scope.server.watch(&format!("{}?watch=true&resourceVersion={from}&timeoutSeconds=1", scope.updates())).await;
    assert_eq!(watch.next().await, None);
}

async fn a_watch_sees_other_kinds_too(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    let from = listed_version(scope, &scope.deployments()).await;
    let mut watch = scope.server.watch(&watch_from(&scope.deployments(), &from)).await;
    let created = scope.create_deployment("web").await;
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "ADDED");
    assert_eq!(event["object"], created, "with kind and apiVersion, unlike in a list");
}
