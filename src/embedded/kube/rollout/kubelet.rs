//! The node: pulls the images of pods and has the pods' status follow.
//!
//! What was pulled is known here only; the status is derived from it at every look, so one that somebody else changed is put
//! right. How a status looks is in `pod_status`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::object;
use super::Now;
use super::image::{ImageResolver, Resolution};
use super::objects::Objects;
use super::pod_status::{self, Image, Images, containers};

/// Time until failed pulls are tried again. A real kubelet starts with ten seconds and doubles; a demo should not wait that long.
const PULL_AGAIN: Duration = Duration::from_secs(2);

/// Time for one pull. A resolver asks a registry on loopback, which takes milliseconds.
const PULL_MAX: Duration = Duration::from_secs(30);

/// The node.
pub struct Kubelet {
    resolver: Arc<dyn ImageResolver>,
    ready_after: Duration,
    /// By pod uid. Pods that are gone are forgotten.
    pods: HashMap<String, PodLife>,
    pulls: JoinSet<Pulled>,
}

/// What the node knows of a pod.
#[derive(Default)]
struct PodLife {
    /// What became of each image of the pod; absent while it is being pulled for the first time.
    images: Images,
    pulling: HashSet<String>,
    /// When failed pulls are tried again.
    pull_again: Option<Instant>,
}

/// A pull that ended.
pub struct Pulled {
    pod: String,
    image: String,
    resolution: Resolution,
}

impl Kubelet {
    /// A node without pods.
    pub fn new(resolver: Arc<dyn ImageResolver>, ready_after: Duration) -> Self {
        Self { resolver, ready_after, pods: HashMap::new(), pulls: JoinSet::new() }
    }

    /// Takes one step for every pod. Returns when to look again, if nothing changes before.
    pub fn reconcile(&mut self, pods: &Objects<'_>, now: Now) -> Option<Instant> {
        let all = pods.all();
        let present: HashSet<&str> = all.iter().map(|pod| object::uid(pod)).collect();
        self.pods.retain(|uid, _| present.contains(uid.as_str()));
        all.iter().filter_map(|pod| self.run(pods, pod, now)).min()
    }

    /// The next pull that ends. Pending while nothing is being pulled.
    pub async fn pulled(&mut self) -> Pulled {
        loop {
            match self.pulls.join_next().await {
                Some(Ok(pulled)) => return pulled,
                // A resolver that panicked leaves its pod pulling for ever, as a stuck registry would.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Takes note of a pull; the next step reports it.
    pub fn note(&mut self, pulled: Pulled) {
        if let Some(life) = self.pods.get_mut(&pulled.pod) {
            life.pulling.remove(&pulled.image);
            if pulled.resolution.digest().is_none() {
                life.pull_again = Some(Instant::now() + PULL_AGAIN);
            }
            let due = Instant::now() + self.ready_after;
            life.images.insert(pulled.image, Image { resolution: pulled.resolution, due });
        }
    }

    fn run(&mut self, pods: &Objects<'_>, pod: &Value, now: Now) -> Option<Instant> {
        let uid = object::uid(pod);
        let life = self.pods.entry(uid.to_owned()).or_default();
        for image in life.take_due_pulls(pod, now) {
            let (resolving, pod) = (self.resolver.resolve(image.clone()), uid.to_owned());
            self.pulls.spawn(async move {
                let resolved = tokio::time::timeout(PULL_MAX, resolving).await;
                let resolution = resolved.unwrap_or_else(|_| Resolution::PullError("context deadline exceeded".into()));
                Pulled { pod, image, resolution }
            });
        }
        pods.patch_status(pod, pod_status::patch(pod, &life.images, now));
        let due = life.images.values().map(|image| image.due).filter(|due| *due > now.instant);
        due.chain(life.pull_again).min()
    }
}

impl PodLife {
    /// The images to pull now: those that never were, and when it is time those that failed.
    fn take_due_pulls(&mut self, pod: &Value, now: Now) -> Vec<String> {
        let again = self.pull_again.take_if(|at| *at <= now.instant).is_some();
        let mut due = Vec::new();
        for (_, image) in containers(pod, "initContainers").chain(containers(pod, "containers")) {
            let known = self.images.get(image);
            let wanted = known.is_none_or(|image| again && image.resolution.digest().is_none());
            if wanted && self.pulling.insert(image.to_owned()) {
                due.push(image.to_owned());
            }
        }
        due
    }
}
