//! The Deployment controller: which `ReplicaSets` there are, how many pods each wants, and what the status says.
//!
//! Source: `pkg/controller/deployment` of Kubernetes.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::object;
use super::super::write::seconds;
use super::objects::{Objects, REVISION, controlled_by, revision};
use super::progress::{self, Sets};
use super::strategy::{self, Count, Limits};

/// The label that keeps the pods of two `ReplicaSets` apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Annotations of a ReplicaSet: what the Deployment wanted when the ReplicaSet was last scaled, without and with the surge.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// Takes one step for a Deployment. Returns when it must be looked at again, if nothing changes before.
pub fn reconcile(deployments: &Objects<'_>, replica_sets: &Objects<'_>, deployment: &Arc<Value>, now: Timestamp) -> Option<Timestamp> {
    let all = replica_sets.all();
    let owned = controlled_by(&all, deployment);
    let is_new = |set: &Arc<Value>| same_template(set, deployment);
    // FindNewReplicaSet: of several with this template the oldest counts.
    let present = owned.iter().find(|set| is_new(set)).copied().cloned();
    let old: Vec<&Arc<Value>> = owned.into_iter().filter(|set| !is_new(set)).collect();
    let old_counts: Vec<Count> = old.iter().map(|set| count(set)).collect();
    let newest = old.iter().map(|set| revision(set)).max().unwrap_or_default() + 1;

    let limits = Limits::of(deployment);
    let paused = progress::is_paused(deployment);
    let counts: Vec<Count> = old_counts.iter().copied().chain(present.as_ref().map(|set| count(set))).collect();
    let rolls = !paused && !strategy::is_rescaled(limits, &counts);
    let created = present.is_none() && rolls;
    let new = if created { create_set(replica_sets, deployment, &old_counts, newest) } else { present };
    let new_count = new.as_ref().map(|set| count(set)).unwrap_or_default();

    if !rolls {
        let sets = old.iter().copied().chain(&new);
        for (set, wanted) in sets.zip(strategy::scale_all(limits, &counts, new.is_some())) {
            update_set(replica_sets, set, limits, wanted, revision(set));
        }
    } else if let Some(new) = new.as_ref().filter(|_| !created) {
        let wanted = strategy::scale_new(limits, new_count, &old_counts);
        update_set(replica_sets, new, limits, wanted, newest.max(revision(new)));
        let new_count = Count { wanted, ..new_count };
        for (set, wanted) in old.iter().zip(strategy::scale_old(limits, new_count, &old_counts)) {
            update_set(replica_sets, set, limits, wanted, revision(set));
        }
    }
    let sets = Sets { new: new.as_ref().map(|set| (object::name(set).to_owned(), new_count)), old: old_counts, created, rolls };
    let status = progress::status(deployment, &sets, now);
    let revision = new.as_ref().map_or_else(|| revision(deployment), |new| newest.max(revision(new)));
    deployments.patch_status(deployment, status_patch(deployment, &status, revision));
    if paused || is_finished(&status) {
        forget_oldest(replica_sets, deployment, &old, now);
    }
    let mut judged = deployment.as_ref().clone();
    object::set(&mut judged, &["status"], status);
    progress::deadline(&judged)
}

/// The count of a ReplicaSet: what it wants, and what its own controller has reported.
fn count(set: &Value) -> Count {
    let number = |pointer| object::number(set, pointer).unwrap_or_default();
    Count {
        wanted: number("/spec/replicas"),
        present: number("/status/replicas"),
        ready: number("/status/readyReplicas"),
        available: number("/status/availableReplicas"),
        desired: annotated(set, DESIRED),
        most: annotated(set, MOST),
    }
}

fn annotated(set: &Value, key: &str) -> Option<i64> {
    set.pointer("/metadata/annotations")?.get(key)?.as_str()?.parse().ok()
}

/// `EqualIgnoreHash`: whether the set was made for this template.
fn same_template(set: &Value, deployment: &Value) -> bool {
    let mut template = set.pointer("/spec/template").cloned().unwrap_or_default();
    object::remove(&mut template, &["metadata", "labels", TEMPLATE_HASH]);
    deployment.pointer("/spec/template") == Some(&template)
}

fn create_set(replica_sets: &Objects<'_>, deployment: &Value, old: &[Count], revision: u64) -> Option<Arc<Value>> {
    let template = deployment.pointer("/spec/template")?.clone();
    let hash = template_hash(&template);
    let limits = Limits::of(deployment);
    let wanted = strategy::scale_new(limits, Count::default(), old);
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", object::name(deployment)),
            "labels": template.pointer("/metadata/labels"),
            "annotations": annotations(limits, revision),
        },
        "spec": {
            "replicas": wanted,
            "minReadySeconds": object::number(deployment, "/spec/minReadySeconds").unwrap_or_default(),
            "selector": deployment.pointer("/spec/selector"),
            "template": template,
        },
    });
    object::set(&mut set, &["metadata", "labels", TEMPLATE_HASH], hash.clone());
    object::set(&mut set, &["spec", "selector", "matchLabels", TEMPLATE_HASH], hash.clone());
    object::set(&mut set, &["spec", "template", "metadata", "labels", TEMPLATE_HASH], hash);
    replica_sets.create(set, deployment)
}

fn template_hash(template: &Value) -> String {
    let digest = Sha256::digest(template.to_string());
    hex::encode(digest.get(..5).unwrap_or_default())
}

fn update_set(replica_sets: &Objects<'_>, set: &Value, limits: Limits, wanted: i64, revision: u64) {
    // Where nothing is wanted and nothing was, no scaling is noted either.
    let notes = if wanted == 0 && object::number(set, "/spec/replicas") == Some(0) {
        json!({REVISION: revision.to_string()})
    } else {
        annotations(limits, revision)
    };
    replica_sets.patch(set, json!({"metadata": {"annotations": notes}, "spec": {"replicas": wanted}}));
}

fn annotations(limits: Limits, revision: u64) -> Value {
    json!({
        REVISION: revision.to_string(),
        DESIRED: limits.replicas.to_string(),
        MOST: (limits.replicas + limits.surge).to_string(),
    })
}

/// A merge patch that makes the status equal to `status`: what it does not have is removed.
fn status_patch(deployment: &Value, status: &Value, revision: u64) -> Value {
    let mut patch = status.clone();
    for (field, _) in object::entries(deployment, "/status") {
        object::set_default(&mut patch, &[field], Value::Null);
    }
    json!({"metadata": {"annotations": {REVISION: revision.to_string()}}, "status": patch})
}

fn is_finished(status: &Value) -> bool {
    object::elements(status, "/conditions").iter().any(|condition| object::text(condition, "/reason") == Some("NewReplicaSetAvailable"))
}

fn is_empty(count: Count) -> bool {
    count.wanted == 0 && count.present == 0
}

/// Deletes the oldest empty `ReplicaSets` beyond `spec.revisionHistoryLimit`.
fn forget_oldest(replica_sets: &Objects<'_>, deployment: &Value, old: &[&Arc<Value>], now: Timestamp) {
    let kept = object::number(deployment, "/spec/revisionHistoryLimit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10);
    let mut empty: Vec<&&Arc<Value>> = old.iter().filter(|set| is_empty(count(set))).collect();
    empty.sort_by_key(|set| revision(set));
    let surplus = empty.len().saturating_sub(kept);
    empty.into_iter().take(surplus).for_each(|set| replica_sets.delete(set, &seconds(now)));
}
