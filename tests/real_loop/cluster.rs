//! What a test puts into the real API server before skeg comes: a namespace, the definition of `ImageUpdate`, skeg's role.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::adapters::journal::crd::crd;

use crate::support::controlplane::{ControlPlane, User};
use crate::support::kube_api::Server;

/// The longest that a definition or a role may take to be in force. It is a moment.
const IN_FORCE_MAX: Duration = Duration::from_mins(1);
/// Between two looks at what nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What skeg needs to be allowed: how `README.md` says it, and as rules of RBAC (verbs, API group, resources).
const NEEDED: [(&str, &[&str], &str, &[&str]); 6] = [
    ("`get list watch patch` on Deployments", &["get", "list", "watch", "patch"], "apps", &["deployments"]),
    ("`list` on Pods and ReplicaSets", &["list"], "apps", &["replicasets"]),
    ("`list` on Pods and ReplicaSets", &["list"], "", &["pods"]),
    ("`create patch` on Events", &["create", "patch"], "events.k8s.io", &["events"]),
    ("`get create update` on ConfigMaps in its own namespace", &["get", "create", "update"], "", &["configmaps"]),
    (
        "`get list create update delete` on `imageupdates.skeg.dev`",
        &["get", "list", "create", "update", "delete"],
        "skeg.dev",
        &["imageupdates"],
    ),
];

/// Creates a namespace and gives its name.
pub async fn namespace(admin: &Server) -> String {
    let namespace = format!("loop-{:016x}", fastrand::u64(..));
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    admin.post("/api/v1/namespaces", &object).await.is(201);
    namespace
}

/// Creates the definition of `ImageUpdate`, if no other test has, and waits until the kind is served.
pub async fn serve_image_updates(admin: &Server, namespace: &str) {
    let answer = admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd()).await;
    assert!(matches!(answer.code, 201 | 409), "{answer:?}");
    wait_for_answer(admin, &format!("/apis/skeg.dev/v1alpha1/namespaces/{namespace}/imageupdates")).await;
}

/// Lets skeg do what `README.md` says that it needs.
pub async fn allow_skeg(plane: &ControlPlane, admin: &Server, namespace: &str) {
    let readme = include_str!("../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for (said, ..) in NEEDED {
        assert!(readme.contains(said), "README.md does not say: {said}");
    }
    let rules: Vec<Value> =
        NEEDED.iter().map(|(_, verbs, group, resources)| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })).collect();
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "skeg" }, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "skeg" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "skeg" },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "skeg" }],
    });
    admin.post(&format!("{rbac}/roles"), &role).await.is(201);
    admin.post(&format!("{rbac}/rolebindings"), &binding).await.is(201);
    // The authoriser learns of a role by its own watch. Asked as an ordinary client would ask, so that skeg's own requests, and no
    // probes of ours, are judged: a review is answered for the admin.
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "skeg",
            "resourceAttributes": { "namespace": namespace, "verb": "list", "group": "apps", "resource": "deployments" },
        },
    });
    let deadline = Instant::now() + IN_FORCE_MAX;
    while plane.server(User::Admin).post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await.is(201)["status"]["allowed"]
        != true
    {
        assert!(Instant::now() < deadline, "the role is not in force");
        tokio::time::sleep(LOOK_EVERY).await;
    }
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
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "annotations": annotations },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": image, "readinessProbe": { "tcpSocket": { "port": 8080 } } }] },
            },
        },
    })
}
