//! The API as the real `kube` client sees it.

mod clients;
mod faults;
mod objects;
mod watches;

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, GroupVersionKind};
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::object;
use super::{EmbeddedKube, Options, crd};

/// Anything awaited here takes milliseconds; a hang should fail the test, not the run.
const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> EmbeddedKube {
    start_with(Options::default())
}

fn start_with(options: Options) -> EmbeddedKube {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    EmbeddedKube::start(options).unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes milliseconds")
}

fn deployment(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    })
}

fn typed(object: Value) -> Deployment {
    serde_json::from_value(object).unwrap()
}

fn deployments(kube: &EmbeddedKube) -> Api<Deployment> {
    Api::namespaced(kube.client(), "shop")
}

fn image_of(deployment: &Deployment) -> &str {
    let spec = deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    spec.containers[0].image.as_deref().unwrap()
}

fn image_updates(kube: &EmbeddedKube) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("skeg.dev", "v1alpha1", "ImageUpdate");
    Api::namespaced_with(kube.client(), "shop", &ApiResource::from_gvk(&kind))
}

fn image_update(name: &str, phase: &str) -> DynamicObject {
    let object = json!({
        "apiVersion": "skeg.dev/v1alpha1",
        "kind": "ImageUpdate",
        "metadata": {"name": name, "namespace": "shop", "labels": {"skeg.dev/open": "true"}},
        "spec": {
            "workload": {"kind": "Deployment", "name": "web", "uid": "u1"},
            "changes": [{
                "container": "web", "repository": "docker.io/team/web", "from": "team/web:1", "to": "team/web:2", "tag": "2",
                "digest": format!("sha256:{}", "a1".repeat(32)),
            }],
            "policy": "major", "trigger": "poll", "approvals": 0, "approvalDeadline": "24h", "approvalValid": "72h",
            "rollback": true, "rolloutTimeout": "10m", "pin": "tag", "plan": "patch", "attempt": 1,
        },
        "status": {"phase": phase, "epoch": 1, "since": "2026-01-01T00:00:00Z", "createdAt": "2026-01-01T00:00:00Z"},
    });
    serde_json::from_value(object).unwrap()
}

/// Code and reason of an API error.
#[track_caller]
fn refusal<T: std::fmt::Debug>(outcome: Result<T, kube::Error>) -> (u16, String) {
    match outcome {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("expected a Status, got {other:?}"),
    }
}
