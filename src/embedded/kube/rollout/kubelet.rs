//! The node: pulls and starts the containers of pods, and reports what became of them.
//!
//! What was pulled is known here only; the pod's status is derived from it at every look, so a status that somebody else
//! changed is put right.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::object;
use super::super::write::seconds;
use super::Now;
use super::image::{ImageResolver, Resolution, image_id};
use super::objects::Objects;

/// Time until a failed pull is tried again. A real kubelet starts with ten seconds and doubles; a demo should not wait that long.
const PULL_AGAIN: Duration = Duration::from_secs(2);

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
    /// What became of each image of the pod; absent while it is being pulled.
    images: HashMap<String, Resolution>,
    pulling: HashSet<String>,
    /// When a failed pull is tried again.
    pull_again: Option<Instant>,
    /// When containers that become ready do so; set when everything has started.
    ready_at: Option<Instant>,
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
            life.images.insert(pulled.image, pulled.resolution);
        }
    }

    fn run(&mut self, pods: &Objects<'_>, pod: &Value, now: Now) -> Option<Instant> {
        let uid = object::uid(pod).to_owned();
        let images: HashSet<&str> =
            containers(pod, "initContainers").chain(containers(pod, "containers")).map(|(_, image)| image).collect();
        let life = self.pods.entry(uid.clone()).or_default();
        let again = life.pull_again.is_some_and(|at| at <= now.instant);
        if again {
            life.pull_again = None;
        }
        for image in images {
            let wanted = match life.images.get(image) {
                None => true,
                Some(resolution) => again && resolution.digest().is_none(),
            };
            if wanted && life.pulling.insert(image.to_owned()) {
                let (resolving, pod, image) = (self.resolver.resolve(image.to_owned()), uid.clone(), image.to_owned());
                self.pulls.spawn(async move { Pulled { pod, image, resolution: resolving.await } });
            }
        }
        if life.ready_at.is_none() && life.has_started(pod) {
            life.ready_at = Some(now.instant + self.ready_after);
        }
        pods.patch_status(pod, status_patch(pod, life, now));
        let ready_at = life.ready_at.filter(|at| *at > now.instant);
        life.pull_again.into_iter().chain(ready_at).min()
    }
}

impl PodLife {
    /// Whether every image is there, so that the containers were started.
    fn has_started(&self, pod: &Value) -> bool {
        let mut all = containers(pod, "initContainers").chain(containers(pod, "containers"));
        all.all(|(_, image)| self.images.get(image).is_some_and(|resolution| resolution.digest().is_some()))
    }

    fn is_due(&self, now: Now) -> bool {
        self.ready_at.is_some_and(|at| at <= now.instant)
    }
}

/// Name and image of each container of a list.
fn containers<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let containers = pod.pointer("/spec").and_then(|spec| spec.get(list)).and_then(Value::as_array);
    containers.into_iter().flatten().filter_map(|container| Some((object::text(container, "/name")?, object::text(container, "/image")?)))
}

fn status_patch(pod: &Value, life: &PodLife, now: Now) -> Value {
    let initialized =
        containers(pod, "initContainers").all(|(_, image)| life.images.get(image).is_some_and(|image| image.digest().is_some()));
    let init: Vec<Value> = containers(pod, "initContainers").map(|(name, image)| init_status(pod, name, image, life, now)).collect();
    let main: Vec<Value> =
        containers(pod, "containers").map(|(name, image)| container_status(pod, name, image, initialized, life, now)).collect();
    let ready = !main.is_empty() && main.iter().all(|status| status.get("ready") == Some(&Value::Bool(true)));
    let conditions: Vec<Value> = [("PodScheduled", true), ("Initialized", initialized), ("ContainersReady", ready), ("Ready", ready)]
        .iter()
        .map(|(kind, holds)| condition(pod, kind, *holds, now))
        .collect();
    json!({"status": {
        "phase": if life.has_started(pod) { "Running" } else { "Pending" },
        "startTime": object::text(pod, "/status/startTime").map_or_else(|| seconds(now.time), str::to_owned),
        "hostIP": "127.0.0.1",
        "conditions": conditions,
        "initContainerStatuses": if init.is_empty() { Value::Null } else { json!(init) },
        "containerStatuses": main,
    }})
}

fn init_status(pod: &Value, name: &str, image: &str, life: &PodLife, now: Now) -> Value {
    let state = match life.images.get(image) {
        None => waiting("PodInitializing", ""),
        Some(Resolution::PullError(why)) => pull_error(image, why),
        Some(_) => {
            let finished = reported(pod, "initContainerStatuses", name, "/state/terminated/finishedAt", now);
            json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": finished}})
        }
    };
    let done = state.get("terminated").is_some();
    status_of(name, image, life, done, &state)
}

fn container_status(pod: &Value, name: &str, image: &str, initialized: bool, life: &PodLife, now: Now) -> Value {
    let resolution = life.images.get(image).filter(|_| initialized);
    let (ready, state) = match resolution {
        None => (false, waiting(if initialized { "ContainerCreating" } else { "PodInitializing" }, "")),
        Some(Resolution::PullError(why)) => (false, pull_error(image, why)),
        Some(_) if !life.has_started(pod) => (false, waiting("ContainerCreating", "")),
        Some(Resolution::Crashes { .. }) if life.is_due(now) => (false, crash_loop(pod, name)),
        Some(Resolution::Runs { .. }) => (life.is_due(now), running(pod, name, now)),
        Some(Resolution::NeverReady { .. } | Resolution::Crashes { .. }) => (false, running(pod, name, now)),
    };
    let mut status = status_of(name, image, life, ready, &state);
    object::set(&mut status, &["started"], state.get("running").is_some());
    if object::text(&state, "/waiting/reason") == Some("CrashLoopBackOff") {
        object::set(&mut status, &["restartCount"], 1);
        object::set(&mut status, &["lastState"], json!({"terminated": {"exitCode": 1, "reason": "Error"}}));
    }
    status
}

fn status_of(name: &str, image: &str, life: &PodLife, ready: bool, state: &Value) -> Value {
    let digest = life.images.get(image).and_then(Resolution::digest).filter(|_| state.get("waiting").is_none() || is_crash(state));
    json!({
        "name": name,
        "image": image,
        "imageID": digest.map_or_else(String::new, |digest| image_id(image, digest)),
        "ready": ready,
        "restartCount": 0,
        "state": state,
    })
}

fn is_crash(state: &Value) -> bool {
    object::text(state, "/waiting/reason") == Some("CrashLoopBackOff")
}

fn waiting(reason: &str, message: &str) -> Value {
    if message.is_empty() { json!({"waiting": {"reason": reason}}) } else { json!({"waiting": {"reason": reason, "message": message}}) }
}

fn pull_error(image: &str, why: &str) -> Value {
    waiting("ImagePullBackOff", &format!("Back-off pulling image {image:?}: ErrImagePull: {why}"))
}

fn crash_loop(pod: &Value, name: &str) -> Value {
    let message = format!("back-off 10s restarting failed container={name} pod={}_{}", object::name(pod), object::namespace(pod));
    waiting("CrashLoopBackOff", &message)
}

fn running(pod: &Value, name: &str, now: Now) -> Value {
    json!({"running": {"startedAt": reported(pod, "containerStatuses", name, "/state/running/startedAt", now)}})
}

/// The time that is already reported, so that the status does not change at every look; otherwise now.
fn reported(pod: &Value, list: &str, name: &str, pointer: &str, now: Now) -> String {
    let statuses = pod.get("status").and_then(|status| status.get(list)).and_then(Value::as_array);
    let status = statuses.into_iter().flatten().find(|status| object::text(status, "/name") == Some(name));
    status.and_then(|status| object::text(status, pointer)).map_or_else(|| seconds(now.time), str::to_owned)
}

fn condition(pod: &Value, kind: &str, holds: bool, now: Now) -> Value {
    let status = if holds { "True" } else { "False" };
    let mut reported = object::elements(pod, "/status/conditions").iter();
    let present =
        reported.find(|condition| object::text(condition, "/type") == Some(kind) && object::text(condition, "/status") == Some(status));
    if let Some(present) = present {
        return present.clone();
    }
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": seconds(now.time)});
    if !holds {
        object::set(&mut condition, &["reason"], "ContainersNotReady");
    }
    condition
}
