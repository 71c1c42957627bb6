//! What a container that does not come up says about the rollout.
//!
//! The reasons are the kubelet's (`pkg/kubelet/images/types.go`, `pkg/kubelet/container/sync_result.go`, `pkg/kubelet/events`). Putting
//! an image back that would have come up by itself costs a person's attention; waiting for one that cannot come up costs only time, since
//! the old pods stay. So only what the node can never mend is final at once.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::{ContainerFacts, PodFacts};

/// After how many restarts a container in `CrashLoopBackOff` counts as broken. The kubelet waits 10, 20 and 40 s before them: four
/// starts failed within more than a minute. A program that only waits for its database is mostly up by then.
const RESTARTS_MAX: i32 = 3;

/// How long a pod may fail to get or create a container before that counts as final. The kubelet tries a pull at once and after 10, 30
/// and 70 s, so four have failed: a short outage of a registry, or a `ConfigMap` that arrives a little later, has passed by then.
/// It is counted from the pod's start, the only time the node tells; init containers that ran before have used up some of it.
const PATIENCE: Duration = Duration::from_mins(2);

/// How much of a message from the cluster is repeated, in characters. The start of a pull error names image and cause.
const MESSAGE_CHARS_MAX: usize = 300;

/// How far a waiting reason decides a rollout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Weight {
    /// The node can never mend it: decided at the first sight.
    Final,
    /// It may pass: decided when the pod has had [`PATIENCE`].
    Patient,
    /// It may pass: decided after [`RESTARTS_MAX`] restarts.
    Crashing,
    /// An ordinary step on the way up, or a reason not known here.
    Ordinary,
}

fn weigh(reason: &str) -> Weight {
    match reason {
        // The text is no image reference; no retry reads it differently.
        "InvalidImageName"
        // The image is not on the node and the pod forbids to pull it.
        | "ErrImageNeverPull"
        // The node's own policy refuses the image's signature.
        | "SignatureValidationFailed" => Weight::Final,
        // The registry says no, is away, or the credentials are missing. `ErrImagePull` is the single try, `ImagePullBackOff` the pause after it:
        // a pod alternates between the two.
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError"
        // A ConfigMap, Secret or key is missing, or the image would run as root where that is forbidden.
        | "CreateContainerConfigError"
        // The runtime refuses: a mount or a device is missing, a name is still taken.
        | "CreateContainerError" | "PreCreateHookError" | "PreStartHookError" => Weight::Patient,
        // It started and ended, or the program could not be executed: the kubelet counts a restart for each.
        "CrashLoopBackOff" | "RunContainerError" | "PostStartHookError" => Weight::Crashing,
        _ => Weight::Ordinary,
    }
}

/// Why the pod will not come up by itself, when that is decided.
///
/// Any container of the pod counts, not only a changed one: with one of them down the pod is never ready.
pub(super) fn hopeless(pod: &PodFacts, now: Timestamp) -> Option<Box<str>> {
    let waited = pod.started.map(|started| Duration::try_from(now.duration_since(started)).unwrap_or_default());
    pod.containers.iter().find_map(|container| {
        let (reason, _) = container.waiting.as_ref()?;
        let is_decided = match weigh(reason) {
            Weight::Final => true,
            Weight::Patient => waited.is_some_and(|waited| waited >= PATIENCE),
            Weight::Crashing => container.restarts >= RESTARTS_MAX,
            Weight::Ordinary => false,
        };
        is_decided.then(|| tell(pod, container)).flatten().map(Into::into)
    })
}

/// The first complaint of the pod, decided or not: a waiting reason that is not an ordinary step on the way up, or that no node takes it.
pub(super) fn complaint(pod: &PodFacts) -> Option<String> {
    if let Some(why) = &pod.unschedulable {
        return Some(format!("pod {}: no node takes it: {}", pod.name, line(why)));
    }
    let is_complaint =
        |container: &&ContainerFacts| container.waiting.as_ref().is_some_and(|(reason, _)| weigh(reason) != Weight::Ordinary);
    pod.containers.iter().find(is_complaint).and_then(|container| tell(pod, container))
}

/// Pod, container, reason, restarts and the start of the message, in one line.
fn tell(pod: &PodFacts, container: &ContainerFacts) -> Option<String> {
    let (reason, message) = container.waiting.as_ref()?;
    let mut text = format!("pod {}, container {}: {reason}", pod.name, container.name);
    if container.restarts > 0 {
        let _ = write!(text, " after {} restarts", container.restarts);
    }
    if !message.trim().is_empty() {
        let _ = write!(text, ": {}", line(message));
    }
    Some(text)
}

/// The start of a message of the cluster, in one line.
fn line(message: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    message.trim().chars().map(plain).take(MESSAGE_CHARS_MAX).collect()
}
