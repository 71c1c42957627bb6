//! What the cluster shows of a rollout: the Deployment's status, and the pods of its present template.
//!
//! The pods are found the way `kubectl rollout` finds them: the Deployment carries the revision of its newest `ReplicaSet`
//! (`deployment.kubernetes.io/revision`), that `ReplicaSet` carries the hash of its template (`pod-template-hash`), and its pods do too.
//! Until the controller has seen the specification no pods are looked for: they would be those of the template before. Nor while that `ReplicaSet`
//! has other images than the Deployment: a specification that is scaled as well is seen before there is a `ReplicaSet` for its template.
//!
//! Every type here reads only what is judged; what a server sends beyond that is passed over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::client::{ApiServer, Listing};
use super::endpoint::Endpoint;
use crate::core::rollout::{ContainerFacts, PodFacts, RolloutFacts};
use crate::core::workload::{Container, WorkloadId, WorkloadKind};
use crate::ports::cluster::ClusterError;

/// Marks the revision on a Deployment and on its `ReplicaSets`.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Marks the template on a `ReplicaSet` and on its pods.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Objects asked for at a time: pods of 20 KB make 1 MB.
const PAGE: usize = 50;
/// `ReplicaSets` of one Deployment looked through. It keeps ten by default (`revisionHistoryLimit`).
const REPLICA_SETS_MAX: usize = 500;
/// Pods looked at. In a larger rollout the counts of the status still cover every pod; only reasons and digests are from these.
const PODS_MAX: usize = 1_000;

/// The facts of the rollout as of now; `None` when there is no such workload.
pub(super) async fn facts(api: &ApiServer, id: &WorkloadId) -> Result<Option<RolloutFacts>, ClusterError> {
    match id.kind {
        WorkloadKind::Deployment => deployment_facts(api, id).await,
    }
}

async fn deployment_facts(api: &ApiServer, id: &WorkloadId) -> Result<Option<RolloutFacts>, ClusterError> {
    let Some(deployment) = api.get::<Deployment>(&id.to_string(), Endpoint::of(id.kind), &id.namespace, &id.name).await? else {
        return Ok(None);
    };
    let is_seen = deployment.status.observed_generation >= deployment.metadata.generation;
    let pods = if is_seen { present_pods(api, id, &deployment).await? } else { Vec::new() };
    Ok(Some(deployment.facts(pods)))
}

/// The pods of the present template that are neither finished nor on their way out.
async fn present_pods(api: &ApiServer, id: &WorkloadId, deployment: &Deployment) -> Result<Vec<PodFacts>, ClusterError> {
    let Some(revision) = deployment.metadata.annotations.get(REVISION) else {
        return Ok(Vec::new());
    };
    let labels = deployment.spec.selector.text();
    let namespace = Some(&*id.namespace);
    let object = format!("ReplicaSets of {id}");
    let listing =
        Listing { object: &object, endpoint: Endpoint::REPLICA_SETS, namespace, labels: &labels, page: PAGE, most: REPLICA_SETS_MAX };
    let is_present = |set: &ReplicaSet| {
        let ReplicaSet { metadata, spec } = set;
        metadata.annotations.get(REVISION) == Some(revision)
            && metadata.is_owned_by(&deployment.metadata.uid)
            && spec.template.spec.images().eq(deployment.spec.template.spec.images())
    };
    let newest = api.list(listing, |set| Some(read::<ReplicaSet>(set).filter(is_present)?.metadata)).await?;
    let Some(newest) = newest.into_iter().next() else {
        return Ok(Vec::new());
    };
    let Some(hash) = newest.labels.get(TEMPLATE_HASH) else {
        return Ok(Vec::new());
    };
    let labels = format!("{labels}{}{TEMPLATE_HASH}={hash}", if labels.is_empty() { "" } else { "," });
    let object = format!("pods of {id}");
    let listing = Listing { object: &object, endpoint: Endpoint::PODS, namespace, labels: &labels, page: PAGE, most: PODS_MAX };
    api.list(listing, |pod| read::<Pod>(pod).filter(|pod| pod.metadata.is_owned_by(&newest.uid))?.facts()).await
}

/// An object of the expected shape; anything else is passed over.
fn read<T: for<'de> Deserialize<'de>>(object: Value) -> Option<T> {
    serde_json::from_value(object).ok()
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Box<str>,
    uid: Box<str>,
    generation: i64,
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    owner_references: Vec<Owner>,
    deletion_timestamp: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Owner {
    uid: Box<str>,
}

impl Metadata {
    fn is_owned_by(&self, uid: &str) -> bool {
        self.owner_references.iter().any(|owner| &*owner.uid == uid)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReplicaSet {
    metadata: Metadata,
    spec: ReplicaSetSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReplicaSetSpec {
    template: Template,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Deployment {
    metadata: Metadata,
    spec: DeploymentSpec,
    status: DeploymentStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DeploymentSpec {
    /// One when it is not written (`k8s.io/api/apps/v1`).
    replicas: Option<i32>,
    min_ready_seconds: i32,
    paused: bool,
    selector: Selector,
    template: Template,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    containers: Vec<ContainerSpec>,
    init_containers: Vec<ContainerSpec>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerSpec {
    name: Box<str>,
    image: Box<str>,
    readiness_probe: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DeploymentStatus {
    observed_generation: i64,
    replicas: i32,
    updated_replicas: i32,
    available_replicas: i32,
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    r#type: Box<str>,
    status: Box<str>,
    message: Box<str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    metadata: Metadata,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct PodStatus {
    phase: Box<str>,
    start_time: Option<Timestamp>,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    name: Box<str>,
    #[serde(rename = "imageID")]
    image_id: Box<str>,
    ready: bool,
    restart_count: i32,
    state: ContainerState,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Waiting>,
    running: Option<Running>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Running {
    started_at: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Waiting {
    reason: Box<str>,
    message: Box<str>,
}

impl Selector {
    /// The selector as a query takes it.
    fn text(&self) -> String {
        let equal = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let expressions = self.match_expressions.iter().filter_map(|Expression { key, operator, values }| match operator.as_str() {
            "In" => Some(format!("{key} in ({})", values.join(","))),
            "NotIn" => Some(format!("{key} notin ({})", values.join(","))),
            "Exists" => Some(key.clone()),
            "DoesNotExist" => Some(format!("!{key}")),
            _ => None,
        });
        equal.chain(expressions).collect::<Vec<_>>().join(",")
    }
}

impl PodSpec {
    fn containers(self) -> impl Iterator<Item = Container> {
        let container = |init| move |spec: ContainerSpec| Container { name: spec.name, image: spec.image, init };
        self.containers.into_iter().map(container(false)).chain(self.init_containers.into_iter().map(container(true)))
    }

    /// The containers' names and images, as they are written.
    fn images(&self) -> impl Iterator<Item = (&str, &str)> {
        self.containers.iter().chain(&self.init_containers).map(|container| (&*container.name, &*container.image))
    }

    fn container(&self, name: &str) -> Option<&ContainerSpec> {
        let mut all = self.containers.iter().chain(&self.init_containers);
        all.find(|container| &*container.name == name)
    }
}

impl Deployment {
    fn facts(self, pods: Vec<PodFacts>) -> RolloutFacts {
        let message = |kind: &str, status: &str| {
            let condition = self.status.conditions.iter().find(|condition| &*condition.r#type == kind && &*condition.status == status)?;
            Some(condition.message.clone())
        };
        RolloutFacts {
            progress_exceeded: message("Progressing", "False"),
            replica_failure: message("ReplicaFailure", "True"),
            uid: self.metadata.uid,
            containers: self.spec.template.spec.containers().collect(),
            generation: self.metadata.generation,
            observed_generation: self.status.observed_generation,
            wanted: self.spec.replicas.unwrap_or(1),
            updated: self.status.updated_replicas,
            total: self.status.replicas,
            available: self.status.available_replicas,
            min_ready_seconds: self.spec.min_ready_seconds,
            paused: self.spec.paused,
            pods,
        }
    }
}

impl Pod {
    /// What the pod shows; `None` when it is finished (evicted, say) or on its way out, for then it is no part of the rollout.
    fn facts(self) -> Option<PodFacts> {
        if self.metadata.deletion_timestamp.is_some() || matches!(&*self.status.phase, "Failed" | "Succeeded") {
            return None;
        }
        let unschedulable = |condition: &&Condition| &*condition.r#type == "PodScheduled" && &*condition.status == "False";
        let unschedulable = self.status.conditions.iter().find(unschedulable).map(|condition| condition.message.clone());
        let statuses = self.status.container_statuses.into_iter().chain(self.status.init_container_statuses);
        let container = |status: ContainerStatus| {
            let spec = self.spec.container(&status.name);
            ContainerFacts {
                image: spec.map(|spec| spec.image.clone()).unwrap_or_default(),
                probed: spec.is_some_and(|spec| spec.readiness_probe.is_some()),
                name: status.name,
                image_id: status.image_id,
                ready: status.ready,
                running_since: status.state.running.and_then(|running| running.started_at),
                restarts: status.restart_count,
                waiting: status.state.waiting.map(|waiting| (waiting.reason, waiting.message)),
            }
        };
        Some(PodFacts {
            name: self.metadata.name,
            started: self.status.start_time,
            unschedulable,
            containers: statuses.map(container).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
