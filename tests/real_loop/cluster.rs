//! What a test puts into the real API server before skeg comes: namespaces, the definition of `ImageUpdate`, workloads.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::adapters::journal::crd::crd;

use crate::support::controlplane::ControlPlane;
use crate::support::kube_api::Server;
use crate::support::nodes;

/// The longest that a definition may take to be in force. It is a moment.
const IN_FORCE_MAX: Duration = Duration::from_mins(1);
/// Between two looks at what nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Creates a namespace and gives its name. With `restricted` the server refuses pods that fall short of that pod security standard.
pub async fn namespace(plane: &ControlPlane, admin: &Server, restricted: bool) -> String {
    let namespace = format!("loop-{:016x}", fastrand::u64(..));
    let mut labels = plane.labels();
    if restricted {
        labels["pod-security.kubernetes.io/enforce"] = "restricted".into();
    }
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels } });
    admin.post("/api/v1/namespaces", &object).await.is(201);
    namespace
}

/// Creates the definition of `ImageUpdate`, if no other test has, and waits until the kind is served.
pub async fn serve_image_updates(admin: &Server, namespace: &str) {
    let answer = admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd()).await;
    assert!(matches!(answer.code, 201 | 409), "{answer:?}");
    wait_for_answer(admin, &format!("/apis/skeg.dev/v1alpha1/namespaces/{namespace}/imageupdates")).await;
}

async fn wait_for_answer(server: &Server, path: &str) {
    let deadline = Instant::now() + IN_FORCE_MAX;
    while !server.answers(path).await {
        assert!(Instant::now() < deadline, "{path} is not served");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Two pods with one container, `app`.
pub fn deployment(name: &str, image: &str, annotations: &Value) -> Value {
    let mut pod = json!({ "containers": [{ "name": "app", "image": image, "readinessProbe": { "tcpSocket": { "port": 8080 } } }] });
    nodes::place(&mut pod);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "annotations": annotations },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": pod },
        },
    })
}
