//! A workload object as it comes from the API server, as far as it is read.
//!
//! A `Deployment` of the usual library holds everything (managed fields, the last applied manifest, probes, volumes); with ten thousand of
//! them in a listing that is what memory goes to. This type reads the same JSON and keeps names, images, labels and the few annotations
//! that mean something here. What it does not know it skips without an error: a newer server may send more.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use kube::api::{ObjectMeta, Resource};
use kube::core::DynamicResourceScope;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::endpoint::Endpoint;
use super::index::Written;
use super::placement::{SentAffinity, placement};
use crate::core::directives::keel;
use crate::core::patch::Reading;
use crate::core::placement::Placement;
use crate::core::update::Mark;
use crate::core::workload::{Container, Pulls, WorkloadId, WorkloadKind};

/// Annotations that begin with one of these are kept.
const KEPT_KEYS: [&str; 4] = ["skeg.dev/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/"];

/// So are those that begin with one of Keel's prefixes in any case: Keel reads some keys so.
fn is_keels(key: &str) -> bool {
    keel::PREFIXES.iter().any(|prefix| key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

/// A workload object, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Sent")]
pub(crate) struct WorkloadObject {
    /// Name, namespace, uid and resource version; nothing else is filled in.
    metadata: ObjectMeta,
    /// The annotations with a key of [`KEPT_KEYS`].
    pub(super) annotations: BTreeMap<String, String>,
    /// The labels: rules select by them. They are let go with the object.
    pub(super) labels: BTreeMap<String, String>,
    /// Whether there is any annotation, kept or not.
    has_annotations: bool,
    /// Containers, then init containers, of the pod template.
    pub(super) containers: Vec<Container>,
    /// What the pods pull images with.
    pub(super) pulls: Pulls,
    /// Where the pods may land.
    pub(super) placement: Placement,
    /// How long the controller itself gives a rollout, in seconds.
    pub(super) progress_deadline_seconds: Option<u32>,
    /// Whether no pods are asked for.
    is_scaled_down: bool,
}

impl WorkloadObject {
    /// Whether it is a Keel that runs.
    pub(super) fn is_running_keel(&self) -> bool {
        !self.is_scaled_down && self.containers.iter().any(|container| !container.init && keel::is_keel(&container.image))
    }

    /// Which workload it is; `None` for an object without a name or namespace, which the API server never stores.
    pub(super) fn id(&self, kind: WorkloadKind) -> Option<WorkloadId> {
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Into::into);
        Some(WorkloadId { namespace: text(&self.metadata.namespace)?, kind, name: text(&self.metadata.name)? })
    }

    /// Its uid.
    pub(super) fn uid(&self) -> Box<str> {
        self.metadata.uid.as_deref().unwrap_or_default().into()
    }

    /// skeg's mark, unparsed.
    pub(super) fn mark(&self) -> Option<&str> {
        self.annotations.get(Mark::KEY).map(String::as_str)
    }

    /// Its resource version; empty when it has none.
    pub(super) fn resource_version(&self) -> Box<str> {
        self.metadata.resource_version.as_deref().unwrap_or_default().into()
    }

    /// What moves with every write to it; generation 0 when it has none.
    pub(super) fn written(&self) -> Written {
        Written {
            resource_version: self.resource_version(),
            generation: self.metadata.generation.unwrap_or_default(),
            has_annotations: self.has_annotations,
        }
    }

    /// What a patch is decided on.
    pub(super) fn into_reading(self, id: WorkloadId) -> Reading {
        let Written { resource_version, generation, has_annotations } = self.written();
        Reading {
            id,
            uid: self.uid(),
            resource_version,
            generation,
            mark: self.mark().map(Into::into),
            has_annotations,
            containers: self.containers,
        }
    }
}

/// Every kind has its pod template in the same place, so one type reads them all; which kind it is the caller knows.
impl Resource for WorkloadObject {
    type DynamicType = WorkloadKind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &WorkloadKind) -> Cow<'_, str> {
        kind.as_str().into()
    }

    fn group(kind: &WorkloadKind) -> Cow<'_, str> {
        kind.api_version().split_once('/').map_or("", |(group, _)| group).into()
    }

    fn version(kind: &WorkloadKind) -> Cow<'_, str> {
        kind.api_version().split_once('/').map_or(kind.api_version(), |(_, version)| version).into()
    }

    fn plural(kind: &WorkloadKind) -> Cow<'_, str> {
        Endpoint::of(*kind).plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The shape of the JSON.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Sent {
    metadata: SentMetadata,
    spec: SentSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SentMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    annotations: Option<Keys>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SentSpec {
    replicas: Option<i64>,
    template: SentTemplate,
    progress_deadline_seconds: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SentTemplate {
    spec: SentPodSpec,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SentPodSpec {
    containers: Option<Vec<SentContainer>>,
    init_containers: Option<Vec<SentContainer>>,
    image_pull_secrets: Option<Vec<SentName>>,
    service_account_name: Option<Box<str>>,
    node_selector: Option<BTreeMap<Box<str>, Box<str>>>,
    affinity: Option<SentAffinity>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SentName {
    name: Box<str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SentContainer {
    name: String,
    image: String,
}

impl From<Sent> for WorkloadObject {
    fn from(sent: Sent) -> Self {
        let pod = sent.spec.template.spec;
        let container = |init| move |sent: SentContainer| Container { name: sent.name.into(), image: sent.image.into(), init };
        let ordinary = pod.containers.unwrap_or_default().into_iter().map(container(false));
        let init = pod.init_containers.unwrap_or_default().into_iter().map(container(true));
        let secrets = pod.image_pull_secrets.unwrap_or_default().into_iter().map(|secret| secret.name).filter(|name| !name.is_empty());
        let service_account = pod.service_account_name.filter(|name| !name.is_empty());
        let annotations = sent.metadata.annotations.unwrap_or_default();
        Self {
            metadata: ObjectMeta {
                name: sent.metadata.name,
                namespace: sent.metadata.namespace,
                uid: sent.metadata.uid,
                resource_version: sent.metadata.resource_version,
                generation: sent.metadata.generation,
                ..ObjectMeta::default()
            },
            has_annotations: annotations.is_any,
            annotations: annotations.kept,
            labels: sent.metadata.labels.unwrap_or_default(),
            containers: ordinary.chain(init).collect(),
            pulls: Pulls { secrets: secrets.collect(), service_account },
            placement: placement(pod.node_selector, pod.affinity),
            progress_deadline_seconds: sent.spec.progress_deadline_seconds,
            is_scaled_down: sent.spec.replicas == Some(0),
        }
    }
}

/// The entries of a map that are kept; the values of the others are passed over unread, a last applied manifest of 200 KB among them.
#[derive(Default)]
pub(super) struct Keys {
    kept: BTreeMap<String, String>,
    is_any: bool,
}

impl Keys {
    /// Those entries.
    pub(super) fn into_kept(self) -> BTreeMap<String, String> {
        self.kept
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Keys::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            keys.is_any = true;
            if KEPT_KEYS.iter().any(|kept| key.starts_with(kept)) || is_keels(&key) {
                keys.kept.insert(key.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_images_and_the_keys_that_mean_something_are_kept() {
        let object: WorkloadObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 3,
                "annotations": {"skeg.dev/policy": "minor", "KEEL.sh/initcontainers": "true", "keel.shop/x": "", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "labels": {"app": "web", "kustomize.toolkit.fluxcd.io/name": "apps", "keel.observer/policy": "all"},
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {"replicas": 2, "template": {"spec": {
                "containers": [{"name": "web", "image": "web:1", "ports": []}, {"name": "sidecar", "image": "envoy:1"}],
                "initContainers": [{"name": "init", "image": "init:1"}],
                "imagePullSecrets": [{"name": "hub"}, {}, {"name": "quay"}], "serviceAccountName": "builder",
            }}},
            "status": {"replicas": 2},
        }))
        .unwrap();
        let id = object.id(WorkloadKind::Deployment).unwrap();
        assert_eq!(id.to_string(), "shop/Deployment/web");
        assert_eq!(object.annotations.keys().collect::<Vec<_>>(), ["KEEL.sh/initcontainers", "skeg.dev/policy"]);
        assert_eq!(object.labels.keys().collect::<Vec<_>>(), ["app", "keel.observer/policy", "kustomize.toolkit.fluxcd.io/name"]);
        assert_eq!(object.pulls, Pulls { secrets: ["hub".into(), "quay".into()].into(), service_account: Some("builder".into()) });
        let reading = object.into_reading(id);
        assert_eq!((&*reading.uid, &*reading.resource_version, reading.mark, reading.has_annotations), ("u1", "7", None, true));
        let containers: Vec<_> = reading.containers.iter().map(|container| (&*container.name, &*container.image, container.init)).collect();
        assert_eq!(containers, [("web", "web:1", false), ("sidecar", "envoy:1", false), ("init", "init:1", true)]);
    }

    #[test]
    fn an_object_with_nothing_in_it_is_read_and_has_no_name() {
        for empty in
            [json!({}), json!({"metadata": {"annotations": null, "labels": {}}, "spec": {"template": {"spec": {"containers": null}}}})]
        {
            let object: WorkloadObject = serde_json::from_value(empty).unwrap();
            assert_eq!(object.id(WorkloadKind::Deployment), None);
            assert!(!object.has_annotations && object.containers.is_empty());
        }
    }

    #[track_caller]
    fn check_keel(replicas: &serde_json::Value, kind: &str, image: &str, runs: bool) {
        let spec = json!({"replicas": replicas, "template": {"spec": {kind: [{"name": "main", "image": image}]}}});
        let object: WorkloadObject = serde_json::from_value(json!({"spec": spec})).unwrap();
        assert_eq!(object.is_running_keel(), runs, "{replicas} {kind} {image}");
    }

    #[test]
    fn a_keel_runs_unless_it_is_scaled_down() {
        check_keel(&json!(1), "containers", "docker.io/keelhq/keel:0.22.1", true);
        check_keel(&json!(null), "containers", "ghcr.io/keel-hq/keel:latest", true);
        check_keel(&json!(0), "containers", "keelhq/keel:0.22.1", false);
        check_keel(&json!(1), "containers", "acme/keel:1", false);
        check_keel(&json!(1), "initContainers", "keelhq/keel:0.22.1", false);
    }

    #[test]
    fn the_mark_is_read_as_it_is_written() {
        let object: WorkloadObject =
            serde_json::from_value(json!({"metadata": {"annotations": {"skeg.dev/last-update": "by hand"}}})).unwrap();
        assert_eq!(object.mark(), Some("by hand"));
    }
}
