//! A Deployment of these tests: as the cluster has it, and as Git declares it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::NAMESPACE;

/// What is to run.
#[derive(Clone)]
pub struct Workload {
    /// The Deployment's name, and its first container's.
    pub name: String,
    /// Name, repository and tag of each container.
    pub containers: Vec<(String, String, String)>,
    annotations: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    is_probed: bool,
}

impl Workload {
    /// Runs `repository:tag` with the policy `patch` and nobody to ask; its container has its name.
    pub fn new(name: &str, repository: &str, tag: &str) -> Self {
        Self::bare(name, repository, tag).directive("policy", "patch")
    }

    /// Runs `repository:tag` and asks for nothing.
    pub fn bare(name: &str, repository: &str, tag: &str) -> Self {
        let workload = Self { name: name.to_owned(), containers: Vec::new(), annotations: Vec::new(), labels: Vec::new(), is_probed: true };
        workload.container(name, repository, tag)
    }

    /// One more container.
    #[must_use]
    pub fn container(mut self, name: &str, repository: &str, tag: &str) -> Self {
        self.containers.push((name.to_owned(), repository.to_owned(), tag.to_owned()));
        self
    }

    /// A directive, in place of an earlier one of this key.
    #[must_use]
    pub fn directive(self, key: &str, value: &str) -> Self {
        self.annotation(&format!("skeg.dev/{key}"), value)
    }

    /// An annotation, in place of an earlier one of this key.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.retain(|(known, _)| known != key);
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A label of the Deployment itself.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Without readiness probes, so that its containers have to run for a while before they count as healthy.
    #[must_use]
    pub fn unprobed(self) -> Self {
        Self { is_probed: false, ..self }
    }

    /// Where Git declares it.
    pub fn path(&self) -> String {
        format!("{NAMESPACE}/{}.yaml", self.name)
    }

    /// As Git declares it.
    pub fn manifest(&self, registry: &str) -> String {
        let name = &self.name;
        let mut text =
            format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  annotations:\n");
        for (key, value) in &self.annotations {
            writeln!(text, "    {key}: {}", json!(value)).unwrap();
        }
        write!(text, "spec:\n  replicas: 2\n  selector:\n    matchLabels: {{app: {name}}}\n  template:\n").unwrap();
        write!(text, "    metadata:\n      labels: {{app: {name}}}\n    spec:\n      containers:\n").unwrap();
        for (container, repository, tag) in &self.containers {
            write!(text, "        - name: {container}\n          image: {registry}/{repository}:{tag} # set by skeg\n").unwrap();
        }
        text
    }

    /// As the cluster has it.
    pub fn object(&self, registry: &str) -> Value {
        let map = |pairs: &[(String, String)]| -> serde_json::Map<String, Value> {
            pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
        };
        let (annotations, labels) = (map(&self.annotations), map(&self.labels));
        let probe = if self.is_probed { json!({"httpGet": {"path": "/", "port": 8080}}) } else { Value::Null };
        let container = |(name, repository, tag): &(String, String, String)| json!({"name": name, "image": format!("{registry}/{repository}:{tag}"), "readinessProbe": probe});
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "annotations": annotations, "labels": labels},
            "spec": {
                "replicas": 2,
                "progressDeadlineSeconds": 8,
                "selector": {"matchLabels": {"app": self.name}},
                "template": {
                    "metadata": {"labels": {"app": self.name}},
                    "spec": {"containers": self.containers.iter().map(container).collect::<Vec<_>>()},
                },
            },
        })
    }
}
