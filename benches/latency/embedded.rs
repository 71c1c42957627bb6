//! Embedded far ends, in the same process as skeg.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::embedded::kube::EmbeddedKube;
use skeg::embedded::registry::OCI_MANIFEST;

use super::{Place, TAGS, by_hand};
use crate::support::agent::{Agent, NAMESPACE, PATIENCE, Setup, Workload};

/// skeg at its far ends, which have every workload.
pub struct Embedded {
    agent: Agent,
    client: reqwest::Client,
}

impl Embedded {
    /// Starts everything, and has every repository polled.
    pub async fn raise(names: &[String]) -> Self {
        let [from, to] = TAGS;
        let workload = |name: &String| Workload::new(name, &format!("shop/{name}"), from).directive("write-back", "off");
        let other = |name: &String| Workload::new(&by_hand(name), "shop/by-hand", from).directive("policy", "never");
        let workloads = names.iter().map(workload).chain(names.iter().map(other));
        // Controllers and pods would keep the machine busy with what is not measured.
        let setup = Setup { more: "[limits]\nin_flight = 1000\n", rolls_out: false, ..Setup::of(workloads) };
        let agent = Agent::start(setup.without_polls()).await;
        for name in names {
            // As in a skeg that has run for a while: every repository was polled.
            agent.wait_for_image(name, "current").await;
            agent.push(&format!("shop/{name}"), to);
        }
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { agent, client }
    }
}

impl Place for Embedded {
    async fn by_skeg(&mut self, name: &str) -> Duration {
        let (repository, [_, to]) = (format!("shop/{name}"), TAGS);
        let begun = Instant::now();
        assert!(self.agent.deliver_webhook(&repository, to).await.is_success());
        let is_patched = |kube: &EmbeddedKube| image(kube.get("apps/v1", "Deployment", NAMESPACE, name)).contains(to);
        let patched = self.agent.stage.kube.until(is_patched);
        tokio::time::timeout(PATIENCE, patched).await.expect("the image is patched");
        begun.elapsed()
    }

    async fn by_hand(&mut self, name: &str) -> Duration {
        let Self { agent, client } = self;
        let [_, to] = TAGS;
        let (kube, registry) = (agent.stage.kube.url(), agent.stage.registry.address());
        let record = record(agent.records(), name);
        let deployment = by_hand(name);
        let path = "/spec/template/spec/containers/0/image";
        let operations = json!([
            {"op": "test", "path": path, "value": image(agent.stage.kube.get("apps/v1", "Deployment", NAMESPACE, &deployment))},
            {"op": "replace", "path": path, "value": agent.stage.image("shop/by-hand", to)},
        ]);
        let requests = [
            client.head(format!("http://{registry}/v2/shop/{name}/manifests/{to}")).header("Accept", OCI_MANIFEST),
            client.post(format!("{kube}/apis/skeg.dev/v1alpha1/namespaces/{NAMESPACE}/imageupdates")).json(&record),
            client
                .patch(format!("{kube}/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}"))
                .header("Content-Type", "application/json-patch+json")
                .body(operations.to_string()),
        ];
        let begun = Instant::now();
        for request in requests {
            let answer = request.send().await.and_then(reqwest::Response::error_for_status);
            answer.expect("an answer").bytes().await.expect("a body");
        }
        begun.elapsed()
    }
}

/// A record like the one that skeg made, for another update.
fn record(records: Vec<Value>, name: &str) -> Value {
    let mut record = records.into_iter().next().expect("skeg has made one");
    record["metadata"] = json!({"name": by_hand(name), "namespace": NAMESPACE, "labels": record["metadata"]["labels"]});
    record
}

fn image(deployment: Option<Value>) -> String {
    let image = deployment.and_then(|object| Some(object.pointer("/spec/template/spec/containers/0/image")?.as_str()?.to_owned()));
    image.unwrap_or_default()
}
