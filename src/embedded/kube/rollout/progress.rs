//! The status of a Deployment: its counts, and the conditions by which people and programs judge a rollout.
//!
//! Source: `pkg/controller/deployment/{sync,progress}.go` of Kubernetes. A pure function of the Deployment, its `ReplicaSets` and
//! the time.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::object;
use super::super::write::seconds;
use super::strategy::{Count, Limits};

/// The `ReplicaSets` of a Deployment, counted.
#[derive(Debug, Clone, Default)]
pub struct Sets {
    /// Name and count of the one with the present template, once there is one.
    pub new: Option<(String, Count)>,
    /// The other ones.
    pub old: Vec<Count>,
    /// Whether `new` was made just now.
    pub created: bool,
    /// Whether the Deployment rolls: it is not paused, and was not scaled just now.
    pub rolls: bool,
}

impl Sets {
    fn total(&self, of: impl Fn(&Count) -> i64) -> i64 {
        self.old.iter().chain(self.new.iter().map(|(_, count)| count)).map(of).sum()
    }

    fn updated(&self) -> i64 {
        self.new.as_ref().map_or(0, |(_, count)| count.present)
    }

    fn subject(&self, deployment: &Value) -> String {
        match &self.new {
            Some((name, _)) => format!("ReplicaSet {name:?}"),
            None => format!("Deployment {:?}", object::name(deployment)),
        }
    }
}

/// The whole new `status`. Counts of zero are left out, as Go's `omitempty` does.
pub fn status(deployment: &Value, sets: &Sets, now: Timestamp) -> Value {
    let limits = Limits::of(deployment);
    let available = sets.total(|set| set.available);
    let counts = [
        ("observedGeneration", object::number(deployment, "/metadata/generation").unwrap_or_default()),
        ("replicas", sets.total(|set| set.present)),
        ("updatedReplicas", sets.updated()),
        ("readyReplicas", sets.total(|set| set.ready)),
        ("availableReplicas", available),
        ("unavailableReplicas", (sets.total(|set| set.wanted) - available).max(0)),
    ];
    let mut status: Value =
        counts.iter().filter(|(_, count)| *count != 0).map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let mut conditions = vec![available_condition(deployment, limits, available, now)];
    conditions.extend(progressing(deployment, &status, sets, now));
    object::set(&mut status, &["conditions"], conditions);
    status
}

/// `spec.paused`
pub fn is_paused(deployment: &Value) -> bool {
    deployment.pointer("/spec/paused") == Some(&Value::Bool(true))
}

/// When the rollout will be too late, if it is under way and nothing more happens.
pub fn deadline(deployment: &Value) -> Option<Timestamp> {
    if is_paused(deployment) {
        return None;
    }
    let condition = condition(deployment, "Progressing")?;
    let reason = object::text(condition, "/reason")?;
    if matches!(reason, "NewReplicaSetAvailable" | "ProgressDeadlineExceeded") {
        return None;
    }
    let updated: Timestamp = object::text(condition, "/lastUpdateTime")?.parse().ok()?;
    let allowed = object::number(deployment, "/spec/progressDeadlineSeconds")?;
    updated.checked_add(SignedDuration::from_secs(allowed)).ok()
}

fn available_condition(deployment: &Value, limits: Limits, available: i64, now: Timestamp) -> Value {
    let (status, reason, message) = if available >= limits.available_min() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    changed(deployment, "Available", status, reason, message, now)
}

/// Progress is any count that moved in the right direction since the status that is stored.
fn progressing(deployment: &Value, status: &Value, sets: &Sets, now: Timestamp) -> Option<Value> {
    deployment.pointer("/spec/progressDeadlineSeconds")?;
    let present = condition(deployment, "Progressing");
    let subject = sets.subject(deployment);
    let is = |reason: &str| present.is_some_and(|condition| object::text(condition, "/reason") == Some(reason));
    let say = |status: &str, reason: &str, message: String| Some(changed(deployment, "Progressing", status, reason, &message, now));
    if is_paused(deployment) && !is("ProgressDeadlineExceeded") {
        return say("Unknown", "DeploymentPaused", "Deployment is paused".to_owned());
    }
    if !sets.rolls {
        return present.cloned();
    }
    if sets.created {
        return say("True", "NewReplicaSetCreated", format!("Created new replica set {:?}", sets.new.as_ref()?.0));
    }
    if sets.updated() == sets.total(|set| set.present) && is("NewReplicaSetAvailable") {
        return present.cloned();
    }
    if is_complete(deployment, sets) {
        return say("True", "NewReplicaSetAvailable", format!("{subject} has successfully progressed."));
    }
    if has_moved(deployment, status) {
        let mut condition = changed(deployment, "Progressing", "True", "ReplicaSetUpdated", &format!("{subject} is progressing."), now);
        object::set(&mut condition, &["lastUpdateTime"], seconds(now));
        return Some(condition);
    }
    if deadline(deployment).is_some_and(|deadline| now >= deadline) {
        return say("False", "ProgressDeadlineExceeded", format!("{subject} has timed out progressing."));
    }
    if is("DeploymentPaused") {
        return say("Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
    }
    match (present, &sets.new) {
        (Some(condition), _) => Some(condition.clone()),
        (None, Some((name, _))) => say("True", "FoundNewReplicaSet", format!("Found new replica set {name:?}")),
        (None, None) => None,
    }
}

fn is_complete(deployment: &Value, sets: &Sets) -> bool {
    let replicas = Limits::of(deployment).replicas;
    sets.new.is_some()
        && [sets.updated(), sets.total(|set| set.present), sets.total(|set| set.available)].iter().all(|count| *count == replicas)
}

fn has_moved(deployment: &Value, status: &Value) -> bool {
    let count = |status: Option<&Value>, field: &str| status.and_then(|status| object::number(status, field)).unwrap_or_default();
    let (before, after) = (deployment.get("status"), Some(status));
    let old_replicas = |status: Option<&Value>| count(status, "/replicas") - count(status, "/updatedReplicas");
    let grew = |field: &str| count(after, field) > count(before, field);
    grew("/updatedReplicas") || grew("/readyReplicas") || grew("/availableReplicas") || old_replicas(after) < old_replicas(before)
}

fn condition<'a>(deployment: &'a Value, kind: &str) -> Option<&'a Value> {
    object::elements(deployment, "/status/conditions").iter().find(|condition| object::text(condition, "/type") == Some(kind))
}

/// The condition with this content. Times move only with what they are about: `SetDeploymentCondition`.
fn changed(deployment: &Value, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    let present = condition(deployment, kind);
    let has = |field: &str, value: &str| present.is_some_and(|present| object::text(present, field) == Some(value));
    if let Some(present) = present.filter(|_| has("/status", status) && has("/reason", reason)) {
        return present.clone();
    }
    let transition = present.filter(|_| has("/status", status)).and_then(|present| object::text(present, "/lastTransitionTime"));
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": seconds(now),
        "lastTransitionTime": transition.map_or_else(|| seconds(now), str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn deployment() -> Value {
        json!({
            "metadata": {"name": "web", "generation": 2},
            "spec": {"replicas": 1, "progressDeadlineSeconds": 10, "strategy": {"type": "RollingUpdate"}},
        })
    }

    fn sets(new: Option<Count>, old: Count, created: bool) -> Sets {
        Sets { new: new.map(|count| ("web-1".into(), count)), old: vec![old], created, rolls: true }
    }

    fn count(present: i64, ready: i64) -> Count {
        Count { wanted: present, present, ready, available: ready, ..Count::default() }
    }

    /// The reason of `Progressing` and of `Available` after each step of a rollout.
    #[track_caller]
    fn check(deployment: &mut Value, sets: &Sets, second: i64, progressing: &str, available: &str) {
        let status = status(deployment, sets, at(second));
        object::set(deployment, &["status"], status);
        let reason = |kind| condition(deployment, kind).and_then(|condition| object::text(condition, "/reason")).unwrap_or_default();
        assert_eq!((reason("Progressing"), reason("Available")), (progressing, available), "at {second}: {deployment:#}");
    }

    const AVAILABLE: &str = "MinimumReplicasAvailable";

    #[test]
    fn a_good_rollout_goes_from_created_over_updated_to_available() {
        let mut web = deployment();
        check(&mut web, &sets(Some(Count { wanted: 1, ..count(0, 0) }), count(1, 1), true), 0, "NewReplicaSetCreated", AVAILABLE);
        check(&mut web, &sets(Some(count(1, 0)), count(1, 1), false), 1, "ReplicaSetUpdated", AVAILABLE);
        check(&mut web, &sets(Some(count(1, 1)), count(1, 1), false), 2, "ReplicaSetUpdated", AVAILABLE);
        check(&mut web, &sets(Some(count(1, 1)), count(0, 0), false), 3, "NewReplicaSetAvailable", AVAILABLE);
        check(&mut web, &sets(Some(count(1, 0)), count(0, 0), false), 99, "NewReplicaSetAvailable", "MinimumReplicasUnavailable");
    }

    #[test]
    fn a_rollout_without_progress_misses_its_deadline() {
        let mut web = deployment();
        check(&mut web, &sets(Some(Count::default()), count(1, 1), true), 0, "NewReplicaSetCreated", AVAILABLE);
        check(&mut web, &sets(Some(count(1, 0)), count(1, 1), false), 5, "ReplicaSetUpdated", AVAILABLE);
        assert_eq!(deadline(&web), Some(at(15)));
        check(&mut web, &sets(Some(count(1, 0)), count(1, 1), false), 14, "ReplicaSetUpdated", AVAILABLE);
        check(&mut web, &sets(Some(count(1, 0)), count(1, 1), false), 15, "ProgressDeadlineExceeded", AVAILABLE);
        assert_eq!(deadline(&web), None);
        check(&mut web, &sets(Some(count(1, 0)), count(1, 1), false), 99, "ProgressDeadlineExceeded", AVAILABLE);
    }

    #[test]
    fn zero_counts_are_left_out() {
        let status = status(&deployment(), &sets(Some(count(1, 0)), count(0, 0), false), at(0));
        assert_eq!(status.get("readyReplicas"), None);
        assert_eq!(object::number(&status, "/unavailableReplicas"), Some(1));
        assert_eq!(object::number(&status, "/observedGeneration"), Some(2));
    }

    #[test]
    fn a_condition_that_keeps_its_status_keeps_its_transition_time() {
        let mut web = deployment();
        check(&mut web, &sets(Some(Count::default()), count(1, 1), true), 0, "NewReplicaSetCreated", AVAILABLE);
        check(&mut web, &sets(Some(count(1, 0)), count(1, 1), false), 5, "ReplicaSetUpdated", AVAILABLE);
        let progressing = condition(&web, "Progressing").unwrap();
        assert_eq!(object::text(progressing, "/lastTransitionTime"), Some("1970-01-01T00:00:00Z"));
        assert_eq!(object::text(progressing, "/lastUpdateTime"), Some("1970-01-01T00:00:05Z"));
    }
}
