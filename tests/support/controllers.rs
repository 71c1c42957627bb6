//! What the Deployment controller, the scheduler and the nodes would write, on a control plane that has none of them.
//!
//! As far as skeg reads it: the revision on a Deployment and its `ReplicaSet`s, the `ReplicaSet` of each template, pods with their
//! containers' statuses, and the Deployment's counts. They are written in the controller's order: what a Deployment's status
//! counts is there before the status says so. Rollouts are two steps: nothing of the new template is up, or all of it is.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::kube_api::{MERGE_PATCH, Server};

const REVISION: &str = "deployment.kubernetes.io/revision";
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Seconds a watch lasts before the next one: under the time that [`super::kube_api::Watch`] waits for an event.
const WATCH_SECONDS: u32 = 20;
/// How long a pod that cannot pull claims to have tried: longer than skeg's patience with one, so that no test waits it out.
const TRIED_FOR: SignedDuration = SignedDuration::from_mins(3);

/// What becomes of pods with an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// They start and stay up.
    Runs,
    /// They are being created for ever.
    Waits,
    /// They start and end, over and over.
    Crashes,
    /// The node does not get the image.
    CannotPull,
}

/// Plays the controllers in one namespace until it is dropped.
pub struct Controllers {
    node: Arc<Node>,
    task: JoinHandle<()>,
}

/// What a node knows of images, by repository and tag.
#[derive(Default)]
struct Node {
    digests: Mutex<BTreeMap<String, String>>,
    fates: Mutex<BTreeMap<String, Fate>>,
    changed: Notify,
}

impl Controllers {
    /// Begins; `server` is asked as somebody who may do everything.
    pub fn start(server: Server, namespace: &str) -> Self {
        let node = Arc::new(Node::default());
        let played = Played { server, namespace: namespace.to_owned(), node: Arc::clone(&node) };
        Self { node, task: tokio::spawn(async move { played.play().await }) }
    }

    /// From now on a node that pulls this image (`repository:tag`) gets this digest.
    pub fn pulls(&self, image: &str, digest: &str) {
        self.node.digests.lock().unwrap().insert(image.to_owned(), digest.to_owned());
    }

    /// From now on this becomes of pods with this image (`repository:tag`), those that are there included.
    pub fn decide(&self, image: &str, fate: Fate) {
        self.node.fates.lock().unwrap().insert(image.to_owned(), fate);
        self.node.changed.notify_one();
    }

    /// Whether they ended by themselves, which is a fault of the test.
    pub fn have_failed(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Node {
    /// The worst that becomes of a pod with these containers.
    fn fate_of(&self, containers: &[Value]) -> Fate {
        let fates = self.fates.lock().unwrap();
        let of = |container: &Value| fates.get(tagged(text(&container["image"]))).copied();
        containers.iter().filter_map(of).find(|fate| *fate != Fate::Runs).unwrap_or(Fate::Runs)
    }

    /// The status of a container, as the kubelet writes it.
    fn status_of(&self, container: &Value, fate: Fate) -> Value {
        let image = text(&container["image"]);
        let waiting = |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
        let state = match fate {
            Fate::Runs => json!({ "running": { "startedAt": seconds(Timestamp::now()) } }),
            Fate::Waits => waiting("ContainerCreating", ""),
            Fate::Crashes => waiting("CrashLoopBackOff", "back-off 40s restarting failed container"),
            Fate::CannotPull => waiting("ImagePullBackOff", &format!("Back-off pulling image \"{image}\"")),
        };
        let is_pulled = matches!(fate, Fate::Runs | Fate::Crashes);
        json!({
            "name": container["name"],
            "image": image,
            "imageID": if is_pulled { self.image_id(image) } else { String::new() },
            "ready": fate == Fate::Runs,
            "started": fate == Fate::Runs,
            "restartCount": if fate == Fate::Crashes { 5 } else { 0 },
            "state": state,
        })
    }

    /// What the image was pulled by: the digest that is written, else the tag's.
    fn image_id(&self, image: &str) -> String {
        let name = tagged(image);
        let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
        let written = image.split_once('@').map(|(_, digest)| digest.to_owned());
        let digest = written.or_else(|| self.digests.lock().unwrap().get(name).cloned());
        format!("{repository}@{}", digest.unwrap_or_else(|| panic!("no node knows {image}")))
    }
}

/// The one who plays.
struct Played {
    server: Server,
    namespace: String,
    node: Arc<Node>,
}

impl Played {
    async fn play(&self) {
        let watched = format!("{}?watch=true&timeoutSeconds={WATCH_SECONDS}", self.path("apps/v1", "deployments"));
        loop {
            // Without a version to begin at it tells of every object first, so nothing is missed between two of them.
            let mut watch = self.server.watch(&watched).await;
            loop {
                tokio::select! {
                    event = watch.next() => match event {
                        Some(event) if event["type"] == "DELETED" => {}
                        Some(event) => self.reconcile(&event["object"]).await,
                        None => break,
                    },
                    () = self.node.changed.notified() => self.reconcile_all().await,
                }
            }
        }
    }

    async fn reconcile_all(&self) {
        let list = self.server.get(&self.path("apps/v1", "deployments")).await.is(200);
        for deployment in list["items"].as_array().unwrap() {
            self.reconcile(deployment).await;
        }
    }

    /// Brings the objects below a Deployment, and then its status, to what its template asks for.
    async fn reconcile(&self, deployment: &Value) {
        let name = text(&deployment["metadata"]["name"]);
        let template = &deployment["spec"]["template"];
        let hash = hash_of(template);
        let set = self.replica_set(deployment, &hash).await;
        let deployment = self.with_revision(deployment, &set).await;
        if deployment["spec"]["template"] != *template {
            // Somebody was faster; the watch tells.
            return;
        }
        let counts = self.pods(&deployment, &set, &hash).await;
        let status = status(&deployment, counts);
        self.server.patch(&format!("{}/{name}/status", self.path("apps/v1", "deployments")), MERGE_PATCH, &status).await.is(200);
    }

    /// The `ReplicaSet` of the present template, made if need be, with the newest revision.
    async fn replica_set(&self, deployment: &Value, hash: &str) -> Value {
        let path = self.path("apps/v1", "replicasets");
        let list = self.server.get(&path).await.is(200);
        let owned = |set: &&Value| set["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"];
        let sets: Vec<&Value> = list["items"].as_array().unwrap().iter().filter(owned).collect();
        let newest = sets.iter().map(|set| revision(set)).max().unwrap_or(0);
        let present = sets.iter().find(|set| set["metadata"]["labels"][TEMPLATE_HASH] == hash);
        match present {
            Some(set) if revision(set) == newest => (*set).clone(),
            Some(set) => {
                let raised = json!({ "metadata": { "annotations": { REVISION: (newest + 1).to_string() } } });
                self.server.patch(&format!("{path}/{}", text(&set["metadata"]["name"])), MERGE_PATCH, &raised).await.is(200)
            }
            None => self.server.post(&path, &replica_set(deployment, hash, newest + 1)).await.is(201),
        }
    }

    /// The Deployment with the revision of its newest `ReplicaSet`.
    async fn with_revision(&self, deployment: &Value, set: &Value) -> Value {
        let revision = &set["metadata"]["annotations"][REVISION];
        if deployment["metadata"]["annotations"][REVISION] == *revision {
            return deployment.clone();
        }
        let path = format!("{}/{}", self.path("apps/v1", "deployments"), text(&deployment["metadata"]["name"]));
        self.server.patch(&path, MERGE_PATCH, &json!({ "metadata": { "annotations": { REVISION: revision } } })).await.is(200)
    }

    /// Writes the pods of the present template, and takes older ones away once it is up.
    async fn pods(&self, deployment: &Value, set: &Value, hash: &str) -> Counts {
        let path = self.path("v1", "pods");
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap();
        let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        let fate = self.node.fate_of(containers);
        let updated = if fate == Fate::Runs { wanted } else { wanted.min(1) };
        let prefix = text(&deployment["metadata"]["name"]);
        let list = self.server.get(&format!("{path}?labelSelector={}", selector(deployment))).await.is(200);
        let mut older = 0;
        for pod in list["items"].as_array().unwrap() {
            let is_older = pod["metadata"]["labels"][TEMPLATE_HASH] != hash;
            let has_come_up = pod["status"]["phase"] == "Running" && pod["status"]["conditions"][0]["status"] == "True";
            if is_older && fate != Fate::Runs && has_come_up {
                older += 1;
            } else if is_older {
                let now = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0 });
                self.server.delete_with(&format!("{path}/{}", text(&pod["metadata"]["name"])), &now).await.is(200);
            }
        }
        for number in 0..updated {
            let name = format!("{prefix}-{hash}-{number}");
            // What is there already stays (409).
            let answer = self.server.post(&path, &pod(&name, set)).await;
            assert!(matches!(answer.code, 201 | 409), "{answer:?}");
            self.server.patch(&format!("{path}/{name}/status"), MERGE_PATCH, &self.pod_status(containers, fate)).await.is(200);
        }
        Counts { updated, older, available: if fate == Fate::Runs { updated } else { older } }
    }

    fn pod_status(&self, containers: &[Value], fate: Fate) -> Value {
        let statuses: Vec<Value> = containers.iter().map(|container| self.node.status_of(container, fate)).collect();
        let now = Timestamp::now();
        let started = if fate == Fate::CannotPull { now - TRIED_FOR } else { now };
        let is_ready = if fate == Fate::Runs { "True" } else { "False" };
        json!({ "status": {
            "phase": if matches!(fate, Fate::Runs | Fate::Crashes) { "Running" } else { "Pending" },
            "startTime": seconds(started),
            "conditions": [{ "type": "Ready", "status": is_ready }],
            "containerStatuses": statuses,
        } })
    }

    fn path(&self, api_version: &str, plural: &str) -> String {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{api_version}/namespaces/{}/{plural}", self.namespace)
    }
}

/// Pods of a Deployment.
#[derive(Clone, Copy)]
struct Counts {
    updated: u64,
    older: u64,
    available: u64,
}

fn status(deployment: &Value, counts: Counts) -> Value {
    let Counts { updated, older, available } = counts;
    let is_done = older == 0 && available == updated;
    let reason = if is_done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
    json!({ "status": {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": updated + older,
        "updatedReplicas": updated,
        "readyReplicas": available,
        "availableReplicas": available,
        "unavailableReplicas": updated + older - available,
        "conditions": [{ "type": "Progressing", "status": "True", "reason": reason, "message": "" }],
    } })
}

fn replica_set(deployment: &Value, hash: &str, revision: u64) -> Value {
    let spec = &deployment["spec"];
    let mut labels = spec["selector"]["matchLabels"].clone();
    labels[TEMPLATE_HASH] = hash.into();
    let mut template = spec["template"].clone();
    template["metadata"]["labels"][TEMPLATE_HASH] = hash.into();
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", text(&deployment["metadata"]["name"])),
            "labels": labels,
            "annotations": { REVISION: revision.to_string() },
            "ownerReferences": [owner("Deployment", deployment)],
        },
        "spec": { "replicas": spec["replicas"], "selector": { "matchLabels": labels }, "template": template },
    })
}

/// A pod of the `ReplicaSet`, on a node already.
fn pod(name: &str, set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let mut spec = template["spec"].clone();
    spec["nodeName"] = "node".into();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": template["metadata"]["labels"], "ownerReferences": [owner("ReplicaSet", set)] },
        "spec": spec,
    })
}

fn owner(kind: &str, object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({ "apiVersion": "apps/v1", "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": true })
}

fn selector(deployment: &Value) -> String {
    let labels = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
    labels.iter().map(|(key, value)| format!("{key}%3D{}", text(value))).collect::<Vec<_>>().join(",")
}

fn revision(set: &Value) -> u64 {
    text(&set["metadata"]["annotations"][REVISION]).parse().unwrap()
}

fn hash_of(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:08x}", hasher.finish() >> 32)
}

/// Repository and tag of an image.
fn tagged(image: &str) -> &str {
    image.split('@').next().unwrap_or(image)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// As Kubernetes writes times: to the second.
fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}
