//! The ReplicaSet controller: as many pods as wanted, and their count in the status.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::object;
use super::super::write::seconds;
use super::objects::{Objects, controlled_by};

/// Pods made or deleted in one step; `BurstReplicas` of the real controller is 500.
const BURST_MAX: usize = 100;

/// Takes one step for a ReplicaSet. Returns when it must be looked at again, if nothing changes before.
pub fn reconcile(replica_sets: &Objects<'_>, pods: &Objects<'_>, set: &Arc<Value>, now: Timestamp) -> Option<Timestamp> {
    let all = pods.all();
    let mut owned = controlled_by(&all, set);
    owned.retain(|pod| object::text(pod, "/metadata/deletionTimestamp").is_none());
    let wanted = object::number(set, "/spec/replicas").and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or_default();
    for _ in (owned.len()..wanted).take(BURST_MAX) {
        pods.create(pod_of(set), set);
    }
    // The ones that serve least go first: not ready before ready, young before old.
    owned.sort_by_key(|pod| ready_since(pod).is_none());
    for pod in owned.iter().skip(wanted).rev().take(BURST_MAX) {
        pods.delete(pod, &seconds(now));
    }
    owned.truncate(wanted);
    report(replica_sets, set, &owned, now)
}

fn pod_of(set: &Value) -> Value {
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template.get("metadata").cloned().unwrap_or_else(|| json!({})),
        "spec": template.get("spec"),
    });
    object::set(&mut pod, &["metadata", "generateName"], format!("{}-", object::name(set)));
    pod
}

fn report(replica_sets: &Objects<'_>, set: &Value, pods: &[&Arc<Value>], now: Timestamp) -> Option<Timestamp> {
    let min_ready = SignedDuration::from_secs(object::number(set, "/spec/minReadySeconds").unwrap_or_default());
    let ready: Vec<Timestamp> = pods.iter().filter_map(|pod| ready_since(pod)).collect();
    let available_from = ready.iter().filter_map(|since| since.checked_add(min_ready).ok());
    let (available, pending): (Vec<Timestamp>, Vec<Timestamp>) = available_from.partition(|from| *from <= now);
    // A merge patch with null removes: zero counts are left out, as Go's `omitempty` does.
    let count = |number: usize| if number == 0 { Value::Null } else { json!(number) };
    replica_sets.patch_status(
        set,
        json!({"status": {
            "replicas": pods.len(),
            "fullyLabeledReplicas": count(pods.len()),
            "readyReplicas": count(ready.len()),
            "availableReplicas": count(available.len()),
            "observedGeneration": object::number(set, "/metadata/generation"),
        }}),
    );
    pending.into_iter().min()
}

/// Since when the pod is ready, if it is.
fn ready_since(pod: &Value) -> Option<Timestamp> {
    let mut conditions = object::elements(pod, "/status/conditions").iter();
    let ready = conditions.find(|condition| object::text(condition, "/type") == Some("Ready"))?;
    (object::text(ready, "/status") == Some("True")).then_some(())?;
    object::text(ready, "/lastTransitionTime")?.parse().ok()
}
