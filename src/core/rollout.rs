//! Judging a rollout from what the cluster shows at one moment.
//!
//! The judgement needs no memory: everything it weighs is in the facts, so a restart of skeg in the middle of a rollout changes nothing.
//! How long an unfinished rollout may take is not judged here; the update's own deadline says that.

mod digests;
mod steady;
mod waiting;

use jiff::Timestamp;

use crate::core::image::Digest;
use crate::core::update::Change;
use crate::core::workload::Container;

use digests::foreign_digest;
use steady::unsteady;
use waiting::hopeless;

/// What the cluster shows of a workload's rollout at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RolloutFacts {
    /// The workload's uid.
    pub uid: Box<str>,
    /// The containers of its pod template as they are now.
    pub containers: Vec<Container>,
    /// Version of the specification.
    pub generation: i64,
    /// The version of the specification that the controller has acted on; the counts below are of that one.
    pub observed_generation: i64,
    /// Pods wanted.
    pub wanted: i32,
    /// Pods of the present template.
    pub updated: i32,
    /// Pods of any template.
    pub total: i32,
    /// Pods that are ready for long enough.
    pub available: i32,
    /// How long a pod must be ready before it counts as available (`spec.minReadySeconds`).
    pub min_ready_seconds: i32,
    /// Whether the rollout itself is paused (`spec.paused`).
    pub paused: bool,
    /// The message of the condition `Progressing` when it is `False` (`ProgressDeadlineExceeded`).
    pub progress_exceeded: Option<Box<str>>,
    /// The message of the condition `ReplicaFailure` when it is `True` (quota, admission).
    pub replica_failure: Option<Box<str>>,
    /// The pods of the present template that are neither finished nor on their way out.
    pub pods: Vec<PodFacts>,
}

/// What one pod of the present template shows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PodFacts {
    /// Its name.
    pub name: Box<str>,
    /// When its node took it on (`status.startTime`); `None` while no node has.
    pub started: Option<Timestamp>,
    /// Why no node takes it, when the scheduler found none.
    pub unschedulable: Option<Box<str>>,
    /// Its containers and init containers that have a status.
    pub containers: Vec<ContainerFacts>,
}

/// What one container of a pod shows.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ContainerFacts {
    /// Its name.
    pub name: Box<str>,
    /// The image text that the node was given: the pod's own, which admission may have changed after the template.
    pub image: Box<str>,
    /// `imageID` of its status: mostly `repository@digest`; empty while the image is not pulled.
    pub image_id: Box<str>,
    /// Whether it is ready, for an init container: done.
    pub ready: bool,
    /// Whether its readiness is asked of the program (a readiness probe), not only that it was started.
    pub probed: bool,
    /// Since when it has been running; `None` when it is not, or nobody says.
    pub running_since: Option<Timestamp>,
    /// How often it was restarted.
    pub restarts: i32,
    /// Reason and message when it waits (`ImagePullBackOff`, `CrashLoopBackOff`, …).
    pub waiting: Option<(Box<str>, Box<str>)>,
}

/// What a registry says an image index is made of: the manifests of its platforms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageIndex {
    /// The digest of the index.
    pub digest: Digest,
    /// The digests of its platforms' manifests, attestations left out.
    pub manifests: Vec<Digest>,
}

/// What the facts come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not finished, and nothing says that it cannot finish.
    Progressing {
        /// What is still missing, for people.
        missing: Box<str>,
    },
    /// Complete, but a container has not run long enough to tell that it stays up. Nothing speaks against it.
    Settling {
        /// Which one, for people.
        missing: Box<str>,
    },
    /// Every wanted pod is of the present template and available, none of an older one is left, and the digests are the approved ones.
    Healthy,
    /// It will not finish without a person.
    Failed {
        /// What the cluster says.
        why: Box<str>,
    },
    /// A pod runs another digest than the approved one.
    DigestDiffers {
        /// Which one runs, and where.
        found: Box<str>,
    },
    /// The pod template does not show what was applied any more: somebody else changed it.
    Moved {
        /// The image it shows.
        found: Box<str>,
    },
}

/// Judges the rollout of `changes`, whose containers were given the images `applied` (in the same order).
///
/// `indexes` is what is known about the make-up of images: an empty slice is right until this answers [`Verdict::DigestDiffers`]; then the
/// caller may ask the registry what the approved and the found digest consist of, and judge again with the answer (see the module
/// `digests` for why). `now` tells how long a pod has been trying, and a container running.
///
/// The caller compares [`RolloutFacts::uid`] with the update's: facts of another object say nothing about this rollout.
pub fn judge(facts: &RolloutFacts, changes: &[Change], applied: &[Box<str>], indexes: &[ImageIndex], now: Timestamp) -> Verdict {
    if let Some(found) = moved(facts, changes, applied) {
        return Verdict::Moved { found };
    }
    if facts.observed_generation < facts.generation {
        return progressing("the controller has not looked at the change yet");
    }
    if let Some(found) = facts.pods.iter().find_map(|pod| foreign_digest(pod, changes, indexes)) {
        return Verdict::DigestDiffers { found };
    }
    let complaint = facts.pods.iter().find_map(waiting::complaint);
    if is_complete(facts) && complaint.is_none() {
        if !is_visible(facts, applied) {
            return progressing("no pod of the new template shows its digest yet");
        }
        return unsteady(facts, now).unwrap_or(Verdict::Healthy);
    }
    if let Some(why) = facts.pods.iter().find_map(|pod| hopeless(pod, now)).or_else(|| deadline_exceeded(facts, complaint.as_deref())) {
        return Verdict::Failed { why };
    }
    Verdict::Progressing { missing: missing(facts, complaint) }
}

/// The image that a changed container shows instead of the one applied.
fn moved(facts: &RolloutFacts, changes: &[Change], applied: &[Box<str>]) -> Option<Box<str>> {
    changes.iter().zip(applied).find_map(|(change, applied)| {
        match facts.containers.iter().find(|container| container.name == change.container) {
            Some(container) if container.image == *applied => None,
            Some(container) => Some(container.image.clone()),
            None => Some(format!("nothing: there is no container {} any more", change.container).into()),
        }
    })
}

/// The rule of `kubectl rollout status`, which people compare skeg with. A workload scaled to nothing is complete when its pods are gone.
fn is_complete(facts: &RolloutFacts) -> bool {
    facts.updated >= facts.wanted && facts.total <= facts.updated && facts.available >= facts.updated
}

/// Whether the pods can be seen whose digests have to be compared. Where every image is written with its digest the node compares.
fn is_visible(facts: &RolloutFacts, applied: &[Box<str>]) -> bool {
    facts.wanted == 0 || !facts.pods.is_empty() || applied.iter().all(|image| digests::written(image).is_some())
}

/// `ProgressDeadlineExceeded` as a failure of this rollout.
///
/// When a template comes back whose `ReplicaSet` is still there, the controller keeps the condition of the rollout before until it has
/// made the first pod; so the condition counts once there is a pod of this template, or a reason why there can be none.
fn deadline_exceeded(facts: &RolloutFacts, complaint: Option<&str>) -> Option<Box<str>> {
    let message = facts.progress_exceeded.as_ref().filter(|_| facts.updated > 0 || facts.replica_failure.is_some())?;
    // The controller's sentence ends in a full stop; here it is a part of one.
    let message = message.trim_end_matches('.');
    Some(match complaint.or(facts.replica_failure.as_deref()) {
        Some(cause) => format!("{message} ({cause})").into(),
        None => message.into(),
    })
}

/// What is still missing, for people who wonder what skeg waits for.
///
/// A `ReplicaFailure` (a quota, an admission policy) is told here and is no failure: under a tight quota each new pod waits for an old
/// one to end, and the controller keeps trying.
fn missing(facts: &RolloutFacts, complaint: Option<String>) -> Box<str> {
    let mut parts = Vec::new();
    if facts.paused {
        parts.push("its rollout is paused (spec.paused)".to_owned());
    }
    if facts.updated < facts.wanted {
        parts.push(format!("{} of {} pods are of the new template", facts.updated, facts.wanted));
    }
    if facts.total > facts.updated {
        parts.push(format!("{} of {} pods are of an older one", facts.total.saturating_sub(facts.updated), facts.total));
    }
    if facts.available < facts.updated {
        parts.push(format!("{} of {} pods are available", facts.available, facts.wanted));
    }
    parts.extend(facts.replica_failure.as_ref().map(ToString::to_string));
    parts.extend(complaint);
    parts.join("; ").into()
}

fn progressing(missing: &str) -> Verdict {
    Verdict::Progressing { missing: missing.into() }
}

#[cfg(test)]
mod tests;
