//! The status of a pod, from what became of its images: a pure function.
//!
//! Containers start as soon as their own image is there, init containers before all others. Times that are reported already
//! stay, so that a status that says nothing new is the same status.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::object;
use super::super::write::seconds;
use super::Now;
use super::image::{Resolution, image_id};

/// What became of an image of a pod.
#[derive(Debug, Clone)]
pub struct Image {
    /// How it went.
    pub resolution: Resolution,
    /// When a container of it is ready, or has crashed.
    pub due: Instant,
}

/// By image text; absent while it is being pulled.
pub type Images = HashMap<String, Image>;

/// Name and image of each container of a list.
pub fn containers<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let containers = pod.pointer("/spec").and_then(|spec| spec.get(list)).and_then(Value::as_array);
    containers.into_iter().flatten().filter_map(|container| Some((object::text(container, "/name")?, object::text(container, "/image")?)))
}

/// A merge patch that makes the status of `pod` what it should be.
pub fn patch(pod: &Value, images: &Images, now: Now) -> Value {
    let look = Look { pod, images, now };
    let initialized = containers(pod, "initContainers").all(|(_, image)| look.digest(image).is_some());
    let init: Vec<Value> = containers(pod, "initContainers").map(|(name, image)| look.init_container(name, image)).collect();
    let main: Vec<Value> = containers(pod, "containers").map(|(name, image)| look.container(name, image, initialized)).collect();
    let all = |holds: fn(&Value) -> bool| !main.is_empty() && main.iter().all(holds);
    let ready = all(|status| status.get("ready") == Some(&Value::Bool(true)));
    let started = all(|status| status.get("imageID").is_some_and(|id| id != ""));
    let conditions = [("PodScheduled", true), ("Initialized", initialized), ("ContainersReady", ready), ("Ready", ready)];
    json!({"status": {
        "phase": if started { "Running" } else { "Pending" },
        "startTime": object::text(pod, "/status/startTime").map_or_else(|| seconds(now.time), str::to_owned),
        "hostIP": "127.0.0.1",
        "conditions": conditions.map(|(kind, holds)| look.condition(kind, holds)),
        "initContainerStatuses": if init.is_empty() { Value::Null } else { json!(init) },
        "containerStatuses": main,
    }})
}

/// A pod, what became of its images, and the time.
struct Look<'a> {
    pod: &'a Value,
    images: &'a Images,
    now: Now,
}

impl Look<'_> {
    fn digest(&self, image: &str) -> Option<&str> {
        self.images.get(image)?.resolution.digest()
    }

    fn init_container(&self, name: &str, image: &str) -> Value {
        let state = match self.images.get(image).map(|image| &image.resolution) {
            None => waiting("PodInitializing", ""),
            Some(Resolution::PullError(why)) => pull_error(image, why),
            Some(_) => {
                let finished = self.reported("initContainerStatuses", name, "/state/terminated/finishedAt");
                json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": finished}})
            }
        };
        let done = self.digest(image).is_some();
        self.container_status(name, image, done, &state)
    }

    fn container(&self, name: &str, image: &str, initialized: bool) -> Value {
        if !initialized {
            return self.not_started(name, image, &waiting("PodInitializing", ""));
        }
        let Some(Image { resolution, due }) = self.images.get(image) else {
            return self.not_started(name, image, &waiting("ContainerCreating", ""));
        };
        let is_due = *due <= self.now.instant;
        match resolution {
            Resolution::PullError(why) => self.not_started(name, image, &pull_error(image, why)),
            Resolution::Crashes { .. } if is_due => self.crashed(name, image),
            Resolution::Runs { .. } => self.container_status(name, image, is_due, &self.running(name)),
            Resolution::NeverReady { .. } | Resolution::Crashes { .. } => self.container_status(name, image, false, &self.running(name)),
        }
    }

    fn not_started(&self, name: &str, image: &str, state: &Value) -> Value {
        let mut status = self.container_status(name, image, false, state);
        object::set(&mut status, &["imageID"], "");
        status
    }

    fn crashed(&self, name: &str, image: &str) -> Value {
        let pod = format!("{}_{}", object::name(self.pod), object::namespace(self.pod));
        let message = format!("back-off 10s restarting failed container={name} pod={pod}");
        let mut status = self.container_status(name, image, false, &waiting("CrashLoopBackOff", &message));
        object::set(&mut status, &["restartCount"], 1);
        object::set(&mut status, &["lastState"], json!({"terminated": {"exitCode": 1, "reason": "Error"}}));
        status
    }

    fn container_status(&self, name: &str, image: &str, ready: bool, state: &Value) -> Value {
        json!({
            "name": name,
            "image": image,
            "imageID": self.digest(image).map_or_else(String::new, |digest| image_id(image, digest)),
            "ready": ready,
            "started": state.get("running").is_some(),
            "restartCount": 0,
            "state": state,
        })
    }

    fn running(&self, name: &str) -> Value {
        json!({"running": {"startedAt": self.reported("containerStatuses", name, "/state/running/startedAt")}})
    }

    /// The time that is reported for a container already; otherwise now.
    fn reported(&self, list: &str, name: &str, pointer: &str) -> String {
        let statuses = self.pod.get("status").and_then(|status| status.get(list)).and_then(Value::as_array);
        let status = statuses.into_iter().flatten().find(|status| object::text(status, "/name") == Some(name));
        status.and_then(|status| object::text(status, pointer)).map_or_else(|| seconds(self.now.time), str::to_owned)
    }

    fn condition(&self, kind: &str, holds: bool) -> Value {
        let status = if holds { "True" } else { "False" };
        let is = |condition: &&Value| object::text(condition, "/type") == Some(kind) && object::text(condition, "/status") == Some(status);
        if let Some(present) = object::elements(self.pod, "/status/conditions").iter().find(is) {
            return present.clone();
        }
        let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": seconds(self.now.time)});
        if !holds {
            object::set(&mut condition, &["reason"], "ContainersNotReady");
        }
        condition
    }
}

fn waiting(reason: &str, message: &str) -> Value {
    if message.is_empty() { json!({"waiting": {"reason": reason}}) } else { json!({"waiting": {"reason": reason, "message": message}}) }
}

fn pull_error(image: &str, why: &str) -> Value {
    waiting("ImagePullBackOff", &format!("Back-off pulling image {image:?}: ErrImagePull: {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    fn pod() -> Value {
        json!({"metadata": {"name": "web-1", "namespace": "shop"}, "spec": {
            "initContainers": [{"name": "setup", "image": "setup:1"}],
            "containers": [{"name": "web", "image": "web:1"}, {"name": "side", "image": "side:1"}],
        }})
    }

    fn digest() -> String {
        "sha256:1".into()
    }

    /// Phase, and state, readiness and image id of `web` and `side`, `seconds` after the images came.
    #[track_caller]
    fn check(images: &[(&str, Resolution)], seconds: u64, phase: &str, expected: [(&str, bool, bool); 2]) {
        let start = Instant::now();
        let due = start + Duration::from_secs(5);
        let images =
            images.iter().map(|(image, resolution)| ((*image).to_owned(), Image { resolution: resolution.clone(), due })).collect();
        let now = Now { time: Timestamp::UNIX_EPOCH, instant: start + Duration::from_secs(seconds) };
        let status = patch(&pod(), &images, now);
        assert_eq!(object::text(&status, "/status/phase"), Some(phase), "{status:#}");
        for (index, expected) in expected.iter().enumerate() {
            let container = status.pointer(&format!("/status/containerStatuses/{index}")).unwrap();
            let waiting = object::text(container, "/state/waiting/reason").unwrap_or("running");
            let found = (waiting, container["ready"] == true, container["imageID"] != "");
            assert_eq!(found, *expected, "{status:#}");
        }
    }

    #[test]
    fn containers_start_on_their_own_once_the_pod_is_initialized() {
        let runs = Resolution::Runs { digest: digest() };
        let setup = ("setup:1", runs.clone());
        let failed = Resolution::PullError("not found".into());
        check(&[], 0, "Pending", [("PodInitializing", false, false); 2]);
        check(&[("web:1", runs.clone())], 9, "Pending", [("PodInitializing", false, false); 2]);
        check(std::slice::from_ref(&setup), 0, "Pending", [("ContainerCreating", false, false); 2]);
        check(&[setup.clone(), ("web:1", runs.clone())], 9, "Pending", [("running", true, true), ("ContainerCreating", false, false)]);
        check(
            &[setup.clone(), ("web:1", runs.clone()), ("side:1", failed)],
            9,
            "Pending",
            [("running", true, true), ("ImagePullBackOff", false, false)],
        );
        check(&[setup, ("web:1", runs.clone()), ("side:1", runs)], 4, "Running", [("running", false, true); 2]);
    }

    #[test]
    fn what_never_gets_ready_runs_and_what_crashes_waits() {
        let setup = ("setup:1", Resolution::Runs { digest: digest() });
        let images = [setup, ("web:1", Resolution::NeverReady { digest: digest() }), ("side:1", Resolution::Crashes { digest: digest() })];
        check(&images, 4, "Running", [("running", false, true); 2]);
        check(&images, 9, "Running", [("running", false, true), ("CrashLoopBackOff", false, true)]);
    }

    #[test]
    fn a_second_look_finds_nothing_new() {
        let images: Images = ["setup:1", "web:1", "side:1"]
            .map(|image| (image.to_owned(), Image { resolution: Resolution::Runs { digest: digest() }, due: Instant::now() }))
            .into();
        let mut pod = pod();
        let at = |second| Now { time: Timestamp::from_second(second).unwrap(), instant: Instant::now() };
        let first = patch(&pod, &images, at(1));
        json_patch::merge(&mut pod, &first);
        assert_eq!(patch(&pod, &images, at(2)), first);
    }
}
