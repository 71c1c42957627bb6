//! A small cluster behind the API: Deployment controller, ReplicaSet controller, garbage collector and node in one task.
//!
//! Each looks at the objects, compares them with what should be, and takes a step; the step is a write, the write a new
//! revision, and a new revision makes all of them look again until nothing is left to do. So nobody keeps state but the node,
//! which knows what it has pulled. Every look is at everything: right for the handful of workloads of a demo or a test.

mod deployment;
mod image;
mod kubelet;
mod objects;
mod pod_status;
mod progress;
mod replica_set;
mod strategy;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

pub use image::{ImageResolver, Resolution};

use super::api::Api;
use super::object;
use super::write::seconds;
use kubelet::Kubelet;
use objects::{Objects, controller_uid};

/// How rollouts are simulated.
#[derive(Clone)]
pub struct Rollouts {
    /// What becomes of an image.
    pub resolver: Arc<dyn ImageResolver>,
    /// Time from the start of a pod's containers until they are ready, or have crashed.
    pub ready_after: Duration,
}

impl Rollouts {
    /// Rollouts with this resolver; containers are ready after 300 ms.
    pub fn new(resolver: impl ImageResolver) -> Self {
        Self { resolver: Arc::new(resolver), ready_after: Duration::from_millis(300) }
    }
}

/// The time of one look, on both clocks: the one that is written down and the one that is waited for.
#[derive(Debug, Clone, Copy)]
struct Now {
    time: Timestamp,
    instant: Instant,
}

/// Runs the simulation. It never ends by itself.
pub async fn run(api: Arc<Api>, rollouts: Rollouts) {
    let mut kubelet = Kubelet::new(rollouts.resolver, rollouts.ready_after);
    let mut revisions = api.store.revisions();
    loop {
        revisions.mark_unchanged();
        let wake = look(&api, &mut kubelet, Now { time: Timestamp::now(), instant: Instant::now() });
        tokio::select! {
            changed = revisions.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            pulled = kubelet.pulled() => kubelet.note(pulled),
            () = sleep_until(wake) => {}
        }
    }
}

/// One look of everybody at everything. Returns when to look again, if nothing changes before.
fn look(api: &Api, kubelet: &mut Kubelet, now: Now) -> Option<Instant> {
    let (deployments, sets, pods) = (Objects::of(api, "Deployment"), Objects::of(api, "ReplicaSet"), Objects::of(api, "Pod"));
    collect_garbage(&deployments, &sets, now.time);
    collect_garbage(&sets, &pods, now.time);
    let mut times = Vec::new();
    times.extend(deployments.all().iter().filter_map(|deployment| deployment::reconcile(&deployments, &sets, deployment, now.time)));
    times.extend(sets.all().iter().filter_map(|set| replica_set::reconcile(&sets, &pods, set, now.time)));
    let next = times.into_iter().min().map(|time| now.instant + until(time, now.time));
    next.into_iter().chain(kubelet.reconcile(&pods, now)).min()
}

/// Deletes what is controlled by an owner that is gone.
fn collect_garbage(owners: &Objects<'_>, dependents: &Objects<'_>, now: Timestamp) {
    let owners = owners.all();
    let alive: HashSet<&str> = owners.iter().map(|owner| object::uid(owner)).collect();
    for dependent in dependents.all() {
        if controller_uid(&dependent).is_some_and(|owner| !alive.contains(owner)) {
            dependents.delete(&dependent, &seconds(now));
        }
    }
}

fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
