//! Kubernetes bringing a template about: pods that pull, start, crash or hang, by the images they are given.

use std::time::Duration;

use jiff::Timestamp;
use skeg::core::image::{Digest, ImageRef};
use skeg::core::rollout::{ContainerFacts, PodFacts, RolloutFacts};
use skeg::core::schedule::after;
use skeg::core::workload::WorkloadId;

use super::World;
use super::cluster::is_seen;
use super::registry::Behaviour;

/// How long the controller takes to make the first pod, which then pulls: a tag that moves meanwhile is pulled as it is then.
const PULLS_AFTER: Duration = Duration::from_secs(2);
/// The time after which the kubelet has failed to pull often enough to be believed.
const GIVES_UP_PULLING: Duration = Duration::from_mins(2);

/// How far a template is rolled out.
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    generation: i64,
    since: Timestamp,
    /// What each container's image was pulled as; `None` where there was nothing to pull.
    pulled: Vec<Option<Digest>>,
}

/// How the pods of a rollout are at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pods {
    Starting,
    Up,
    Crashing,
    WithoutImage,
}

impl World {
    /// The template of a workload has changed: its pods are made anew.
    pub fn roll_out(&mut self, id: &WorkloadId) {
        let now = self.now;
        let Some(object) = self.cluster.by_id.get_mut(id) else { return };
        let generation = object.rollout.generation + 1;
        object.rollout = Rollout { generation, since: now, pulled: Vec::new() };
        let id = id.clone();
        self.after(PULLS_AFTER, move |world| world.pull(&id, generation));
    }

    fn pull(&mut self, id: &WorkloadId, generation: i64) {
        let Some(object) = self.cluster.by_id.get(id).filter(|object| object.rollout.generation == generation) else { return };
        let pulled: Vec<Option<Digest>> = object.containers.iter().map(|container| self.pulled(&container.image)).collect();
        if let Some(object) = self.cluster.by_id.get_mut(id) {
            object.rollout.pulled = pulled;
        }
    }

    fn pulled(&self, image: &str) -> Option<Digest> {
        let image: ImageRef = image.parse().ok()?;
        let tag = image.effective_tag();
        image.digest().cloned().or_else(|| self.registry.digest(image.repository(), &tag?))
    }

    /// What the API server tells of a rollout now.
    pub fn rollout_facts(&self, id: &WorkloadId) -> Option<RolloutFacts> {
        let object = self.cluster.by_id.get(id)?;
        let rollout = &object.rollout;
        let pods = self.pods(rollout);
        let wanted = object.replicas;
        let (updated, total, available) = match pods {
            _ if wanted == 0 => (0, 0, 0),
            Pods::Up => (wanted, wanted, wanted),
            Pods::Starting | Pods::Crashing | Pods::WithoutImage => (1, wanted + 1, 0),
        };
        let container = |(container, pulled): (&skeg::core::workload::Container, &Option<Digest>)| ContainerFacts {
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: pulled.as_ref().map(|digest| format!("pulled@{digest}").into()).unwrap_or_default(),
            ready: pods == Pods::Up,
            probed: true,
            running_since: None,
            restarts: if pods == Pods::Crashing { 4 } else { 0 },
            waiting: match pods {
                Pods::Starting | Pods::Up => None,
                Pods::Crashing => Some(("CrashLoopBackOff".into(), "back-off".into())),
                Pods::WithoutImage => Some(("ImagePullBackOff".into(), "not found".into())),
            },
        };
        let containers = object.containers.iter().zip(&rollout.pulled).map(container).collect();
        let pod = PodFacts { name: format!("{}-1", id.name).into(), started: Some(rollout.since), unschedulable: None, containers };
        let has_pods = wanted > 0 && !rollout.pulled.is_empty();
        Some(RolloutFacts {
            uid: object.uid.clone(),
            containers: object.containers.clone(),
            generation: rollout.generation,
            observed_generation: rollout.generation - i64::from(!is_seen(rollout.since, self.now)),
            wanted,
            updated,
            total,
            available,
            pods: if has_pods { vec![pod] } else { Vec::new() },
            ..RolloutFacts::default()
        })
    }

    fn pods(&self, rollout: &Rollout) -> Pods {
        let has_run = |wait: Duration| after(rollout.since, wait) <= self.now;
        if rollout.pulled.is_empty() {
            return Pods::Starting;
        }
        let mut all = Pods::Up;
        for pulled in &rollout.pulled {
            let one = match pulled.as_ref().map(|digest| self.registry.behaviour(digest)) {
                None if has_run(GIVES_UP_PULLING) => Pods::WithoutImage,
                Some(Behaviour::ComesUp(wait)) if has_run(wait) => Pods::Up,
                Some(Behaviour::Crashes(wait)) if has_run(wait) => Pods::Crashing,
                None | Some(Behaviour::ComesUp(_) | Behaviour::Crashes(_) | Behaviour::Hangs) => Pods::Starting,
            };
            all = match (all, one) {
                (Pods::Up, one) => one,
                (all, Pods::Up) => all,
                (Pods::Starting, one) => one,
                (all, _) => all,
            };
        }
        all
    }
}
