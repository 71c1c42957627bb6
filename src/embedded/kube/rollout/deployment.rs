//! The Deployment controller: which `ReplicaSets` there are, how many pods each wants, and what the status says.
//!
//! Source: `pkg/controller/deployment` of Kubernetes. Proportional scaling while a rollout is under way is left out.

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

    let paused = deployment.pointer("/spec/paused") == Some(&Value::Bool(true));
    let created = present.is_none() && !paused;
    let new = if created { create_set(replica_sets, deployment, &old_counts, newest) } else { present };
    let new_count = new.as_ref().map(|set| count(set)).unwrap_or_default();

    if let Some(new) = new.as_ref().filter(|_| !paused && !created) {
        let limits = Limits::of(deployment);
        let wanted = strategy::scale_new(limits, new_count, &old_counts);
        update_set(replica_sets, new, wanted, newest.max(revision(new)));
        let new_count = Count { wanted, ..new_count };
        for (set, wanted) in old.iter().zip(strategy::scale_old(limits, new_count, &old_counts)) {
            update_set(replica_sets, set, wanted, revision(set));
        }
    }
    let sets = Sets { new: new.as_ref().map(|set| (object::name(set).to_owned(), new_count)), old: old_counts, created };
    let status = progress::status(deployment, &sets, now);
    let revision = new.as_ref().map_or_else(|| revision(deployment), |new| newest.max(revision(new)));
    deployments.patch_status(deployment, status_patch(deployment, &status, revision));
    if is_finished(&status) {
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
    }
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
    let wanted = strategy::scale_new(Limits::of(deployment), Count::default(), old);
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", object::name(deployment)),
            "labels": template.pointer("/metadata/labels"),
            "annotations": {REVISION: revision.to_string()},
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

fn update_set(replica_sets: &Objects<'_>, set: &Value, wanted: i64, revision: u64) {
    replica_sets.patch(
        set,
        json!({
            "metadata": {"annotations": {REVISION: revision.to_string()}},
            "spec": {"replicas": wanted},
        }),
    );
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

/// Deletes the oldest empty `ReplicaSets` beyond `spec.revisionHistoryLimit`.
fn forget_oldest(replica_sets: &Objects<'_>, deployment: &Value, old: &[&Arc<Value>], now: Timestamp) {
    let kept = object::number(deployment, "/spec/revisionHistoryLimit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10);
    let mut empty: Vec<&&Arc<Value>> = old.iter().filter(|set| count(set) == Count::default()).collect();
    empty.sort_by_key(|set| revision(set));
    let surplus = empty.len().saturating_sub(kept);
    empty.into_iter().take(surplus).for_each(|set| replica_sets.delete(set, &seconds(now)));
}
