//! skeg's chart, rendered by helm and put into the real API server by kubectl; and skeg's service account as the chart made it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::controlplane::ControlPlane;
use super::kube_api::Server;

/// The name of the release, and with it of the service account.
const RELEASE: &str = "skeg";
/// The longest that a role may take to be in force. It is a moment.
const IN_FORCE_MAX: Duration = Duration::from_mins(1);
/// Between two looks at what nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An installed release.
pub struct Release {
    /// The service account as the server calls it.
    pub user: String,
    /// A token of it.
    pub token: String,
    /// The configuration as the chart put it into the cluster.
    pub config: String,
}

/// The chart's objects with these values, as YAML; or what helm says is wrong with the values.
pub fn rendered(plane: &ControlPlane, namespace: &str, values: &Value) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    // JSON is YAML.
    std::fs::write(folder.path().join("values.yaml"), values.to_string()).unwrap();
    let mut helm = Command::new(plane.program("helm"));
    // Where it would keep what it downloads, and it downloads nothing.
    helm.env("HOME", folder.path()).args(["template", RELEASE]).arg(chart()).args(["--namespace", namespace]);
    helm.args(["--kube-version", "1.34.1", "--values"]).arg(folder.path().join("values.yaml"));
    let output = helm.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The values of a release that looks after `namespaces` with this `skeg.toml`.
pub fn values(namespaces: &[&str], config: &str) -> Value {
    json!({ "image": { "repository": "registry.example/ops/skeg", "tag": "1.0.0" }, "namespaces": namespaces, "config": config })
}

/// Runs `kubectl apply` with these arguments on these objects, as the admin, and gives what it said.
pub fn applied(plane: &ControlPlane, objects: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, objects).unwrap();
    let mut kubectl = Command::new(plane.program("kubectl"));
    kubectl.env("HOME", folder.path()).arg("--kubeconfig").arg(plane.kubeconfig());
    kubectl.args(["apply", "--validate=strict", "--filename"]).arg(&file).args(arguments).stdin(Stdio::null());
    let output = kubectl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Installs the chart into `namespace`, which is there, and waits until its role is in force in `namespaces`.
pub async fn install(plane: &ControlPlane, admin: &Server, namespace: &str, namespaces: &[&str], config: &str) -> Release {
    install_with(plane, admin, namespace, namespaces, &values(namespaces, config)).await
}

/// The same with other values.
pub async fn install_with(plane: &ControlPlane, admin: &Server, namespace: &str, namespaces: &[&str], values: &Value) -> Release {
    let objects = rendered(plane, namespace, values).unwrap();
    applied(plane, &objects, &[]);
    let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{RELEASE}/token");
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let token = admin.post(&account, &request).await.is(201)["status"]["token"].as_str().unwrap().to_owned();
    let stored = admin.get(&format!("/api/v1/namespaces/{namespace}/configmaps/{RELEASE}-config")).await.is(200);
    let config = stored["data"]["skeg.toml"].as_str().unwrap().to_owned();
    let release = Release { user: format!("system:serviceaccount:{namespace}:{RELEASE}"), token, config };
    let rights = namespaces.iter().map(|watched| (*watched, ("list", "apps", "deployments")));
    for (place, right) in rights.chain([(namespace, ("create", "coordination.k8s.io", "leases"))]) {
        let deadline = Instant::now() + IN_FORCE_MAX;
        while !release.may(admin, place, right).await {
            assert!(Instant::now() < deadline, "the role is not in force");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    release
}

impl Release {
    /// Whether the server lets the service account do this (verb, API group, resource). The account itself asks nothing, so the audit
    /// log of it does not change.
    pub async fn may(&self, admin: &Server, namespace: &str, (verb, group, resource): (&str, &str, &str)) -> bool {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": self.user,
                "resourceAttributes": { "namespace": namespace, "verb": verb, "group": group, "resource": resource },
            },
        });
        admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await.is(201)["status"]["allowed"] == true
    }
}

/// The folder of the chart.
pub fn chart() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/chart"))
}
