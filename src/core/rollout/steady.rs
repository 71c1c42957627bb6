//! Whether containers that are ready stay up.
//!
//! Without a readiness probe a container is ready the moment its program is started, and a program that fails on its configuration or its
//! database fails a little later: at one moment in between every count of the rollout is right. Kubernetes' own answer is
//! `minReadySeconds`, which is 0 by default. So where neither that nor a probe says more, a container counts once it has run for a while.

use std::time::Duration;

use jiff::Timestamp;

use super::{ContainerFacts, PodFacts, RolloutFacts, Verdict};

/// How long a container without a probe must have run. Programs that cannot start say so within seconds, and a rollout takes longer than
/// this anyway.
const RUNS_FOR: Duration = Duration::from_secs(10);
/// How long it must have run after it was restarted: longer than the first pauses of the kubelet, in whose end it is up again.
const RUNS_FOR_AFTER_RESTART: Duration = Duration::from_mins(1);
/// How far ahead a node's clock may be before its word on when a container started says nothing.
const CLOCK_AHEAD_MAX: Duration = Duration::from_mins(1);

/// Why a rollout whose counts are complete is not healthy yet; `None` when it is.
pub(super) fn unsteady(facts: &RolloutFacts, now: Timestamp) -> Option<Verdict> {
    let containers = || facts.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)));
    if let Some((pod, container)) = containers().find(|(_, container)| !container.ready) {
        return Some(Verdict::Progressing { missing: format!("container {} of pod {} is not ready", container.name, pod.name).into() });
    }
    if facts.min_ready_seconds > 0 {
        return None;
    }
    let mut young =
        containers().filter(|(_, container)| !container.probed && runs_for(container, now).is_some_and(|runs| runs < needed(container)));
    let (pod, container) = young.clone().find(|(_, container)| container.restarts > 0).or_else(|| young.next())?;
    let missing = tell(pod, container, now);
    Some(if container.restarts > 0 { Verdict::Progressing { missing } } else { Verdict::Settling { missing } })
}

fn needed(container: &ContainerFacts) -> Duration {
    if container.restarts > 0 { RUNS_FOR_AFTER_RESTART } else { RUNS_FOR }
}

/// For how long it has been running; `None` when that is not known.
fn runs_for(container: &ContainerFacts, now: Timestamp) -> Option<Duration> {
    let since = container.running_since?;
    let runs = now.duration_since(since);
    (runs.as_secs() >= -CLOCK_AHEAD_MAX.as_secs().cast_signed()).then(|| Duration::try_from(runs).unwrap_or_default())
}

fn tell(pod: &PodFacts, container: &ContainerFacts, now: Timestamp) -> Box<str> {
    let runs = runs_for(container, now).unwrap_or_default().as_secs();
    let restarted = if container.restarts > 0 { format!(" after {} restarts", container.restarts) } else { String::new() };
    let needed = needed(container).as_secs();
    format!("container {} of pod {} has no readiness probe and runs for {runs} of {needed} s{restarted}", container.name, pod.name).into()
}
