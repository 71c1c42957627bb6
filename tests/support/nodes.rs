//! The nodes of the control plane: kwok plays their kubelets, and is told image by image what becomes of a pod.
//!
//! A pod of an image that nothing is known of waits, as one does whose image is being pulled.

#[cfg(feature = "embedded")]
use std::collections::BTreeMap;
#[cfg(feature = "embedded")]
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
#[cfg(feature = "embedded")]
use std::sync::Mutex;
use std::time::{Duration, Instant};

#[cfg(feature = "embedded")]
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::controlplane::ControlPlane;
use super::kube_api::{MERGE_PATCH, Server};

const STAGES: &str = "/apis/kwok.x-k8s.io/v1alpha1/stages";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Label and taint of the nodes that kwok plays.
const NODES: &str = "skeg.dev/test-nodes";
/// Whom the controllers are to the server (`tests/controlplane/run.sh`).
const CONTROLLERS: &str = "controllers";
/// Between two turns of a pod that waits, in milliseconds. It tells the time in seconds, and only a status that changes is a turn.
const TURN_MILLISECONDS: u32 = 1_100;
/// The longest that a kind may take to be served. It is a moment.
const SERVED_MAX: Duration = Duration::from_secs(30);
/// How long a pod that cannot pull claims to have tried: longer than skeg's patience with one, so that no test waits it out.
#[cfg(feature = "embedded")]
const TRIED_FOR: SignedDuration = SignedDuration::from_mins(3);

/// What becomes of pods with an image.
#[cfg(feature = "embedded")]
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

/// What the nodes make of the pods of one namespace.
#[cfg(feature = "embedded")]
pub struct Nodes {
    server: Server,
    namespace: String,
    labels: Value,
    /// By repository and tag: the digest, once it was pushed, and what becomes of its pods.
    images: Mutex<BTreeMap<String, (Option<String>, Fate)>>,
}

/// Lets the controllers of a control plane of our own read everything. They change nothing until a namespace asks for them.
pub async fn let_controllers_look(admin: &Server) {
    let rules = json!([
        { "apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["create"] },
    ]);
    let role = json!({ "metadata": { "name": CONTROLLERS }, "rules": rules });
    admin.post(&format!("{RBAC}/clusterroles"), &role).await.is(201);
    for role in [CONTROLLERS, "system:kube-scheduler"] {
        admin.post(&format!("{RBAC}/clusterrolebindings"), &binding(role)).await.is(201);
    }
    // Who is refused at the start comes back later each time.
    let review =
        json!({ "spec": { "user": CONTROLLERS, "resourceAttributes": { "verb": "list", "group": "apps", "resource": "deployments" } } });
    let deadline = Instant::now() + SERVED_MAX;
    while admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await.is(201)["status"]["allowed"] != true {
        assert!(Instant::now() < deadline, "the controllers may not look");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Puts what kwok needs into the cluster: a node, and the kind by which it is told.
pub async fn prepare(plane: &ControlPlane, admin: &Server) {
    let answer = admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &stage_definition()).await;
    assert!(matches!(answer.code, 201 | 409), "{answer:?}");
    let node = format!("skeg-test-{}", plane.run());
    let mut labels = plane.labels();
    labels[NODES] = "true".into();
    admin.post("/api/v1/nodes", &json!({ "metadata": { "name": node, "labels": labels } })).await.is(201);
    // A new node is tainted until the controller of nodes, which is not in a control plane of our own, has seen it ready. In a cluster
    // that is only visited, other pods keep away.
    let taint = json!({ "key": NODES, "effect": "NoSchedule" });
    let taints = if plane.rolls_out_everywhere() { json!([taint]) } else { Value::Null };
    admin.patch(&format!("/api/v1/nodes/{node}"), MERGE_PATCH, &json!({ "spec": { "taints": taints } })).await.is(200);
    let room = json!({ "cpu": "1k", "memory": "1Ti", "pods": "100k" });
    let status = json!({ "status": {
        "allocatable": room, "capacity": room, "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
    } });
    admin.patch(&format!("/api/v1/nodes/{node}/status"), MERGE_PATCH, &status).await.is(200);
    let deadline = Instant::now() + SERVED_MAX;
    while !admin.answers(STAGES).await {
        assert!(Instant::now() < deadline, "the kind Stage is not served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for mut stage in [ended("Pod"), ended("Node"), waiting()] {
        let name = format!("{}-{}", stage["metadata"]["name"].as_str().unwrap(), plane.run());
        stage["metadata"] = json!({ "name": name, "labels": plane.labels() });
        admin.post(STAGES, &stage).await.is(201);
    }
}

/// What a pod says of where it may run: on the nodes that kwok plays.
#[cfg(feature = "embedded")]
pub fn place(pod: &mut Value) {
    pod["nodeSelector"] = json!({ NODES: "true" });
    pod["tolerations"] = json!([{ "key": NODES, "operator": "Exists" }]);
}

/// Has the controllers bring about rollouts in this namespace.
#[cfg(feature = "embedded")]
pub async fn bring_about_rollouts(plane: &ControlPlane, admin: &Server, namespace: &str) {
    if plane.rolls_out_everywhere() {
        return;
    }
    for role in ["deployment-controller", "replicaset-controller", "generic-garbage-collector"] {
        let binding = binding(&format!("system:controller:{role}"));
        admin.post(&format!("{RBAC}/namespaces/{namespace}/rolebindings"), &binding).await.is(201);
    }
}

#[cfg(feature = "embedded")]
impl Nodes {
    /// The nodes as a namespace sees them; `server` is asked as somebody who may do everything.
    pub fn of(plane: &ControlPlane, server: Server, namespace: &str) -> Self {
        Self { server, namespace: namespace.to_owned(), labels: plane.labels(), images: Mutex::default() }
    }

    /// From now on a node that pulls this image (`repository:tag`) gets this digest.
    pub async fn pulls(&self, image: &str, digest: &str) {
        let fate = self.known(image).1;
        self.tell(image, Some(digest.to_owned()), fate).await;
    }

    /// From now on this becomes of pods with this image (`repository:tag`); those that wait are included.
    pub async fn decide(&self, image: &str, fate: Fate) {
        let digest = self.known(image).0;
        self.tell(image, digest, fate).await;
    }

    fn known(&self, image: &str) -> (Option<String>, Fate) {
        self.images.lock().unwrap().get(image).cloned().unwrap_or((None, Fate::Runs))
    }

    async fn tell(&self, image: &str, digest: Option<String>, fate: Fate) {
        self.images.lock().unwrap().insert(image.to_owned(), (digest.clone(), fate));
        let mut hasher = DefaultHasher::new();
        (&self.namespace, image).hash(&mut hasher);
        let name = format!("image-{:016x}", hasher.finish());
        let path = format!("{STAGES}/{name}");
        let Some(mut stage) = digest.and_then(|digest| of_image(&name, &self.namespace, image, &digest, fate)) else {
            let answer = self.server.delete(&path).await;
            assert!(matches!(answer.code, 200 | 404), "{answer:?}");
            return;
        };
        stage["metadata"]["labels"] = self.labels.clone();
        let answer = self.server.patch(&path, MERGE_PATCH, &stage).await;
        if answer.code == 404 {
            self.server.post(STAGES, &stage).await.is(201);
        } else {
            answer.is(200);
        }
    }
}

// === kwok's stages ===

/// The kind by which kwok is told; what is in it is kwok's to read.
fn stage_definition() -> Value {
    let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "stages.kwok.x-k8s.io" },
        "spec": {
            "group": "kwok.x-k8s.io",
            "names": { "kind": "Stage", "listKind": "StageList", "plural": "stages", "singular": "stage" },
            "scope": "Cluster",
            "versions": [{ "name": "v1alpha1", "served": true, "storage": true, "schema": { "openAPIV3Schema": anything } }],
        },
    })
}

/// What is on its way out is gone. One for nodes there must be, or kwok takes no notice of nodes at all.
fn ended(kind: &str) -> Value {
    let mut stage = stage(
        &format!("ended-{}", kind.to_lowercase()),
        &json!([expression(".metadata.deletionTimestamp", "Exists", &[])]),
        &json!({ "next": { "delete": true } }),
    );
    stage["spec"]["resourceRef"]["kind"] = kind.into();
    stage
}

/// Pods that nothing else is known of wait. They say so anew each second, which is when kwok looks whether something is known by now.
fn waiting() -> Value {
    let status = r#"
phase: Pending
conditions:
- { type: Initialized, status: "True" }
- { type: ContainersReady, status: "False", reason: ContainersNotReady, lastProbeTime: {{ Now | Quote }} }
containerStatuses:
{{ range .spec.containers }}
- { name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, started: false, restartCount: 0, state: { waiting: { reason: ContainerCreating } } }
{{ end }}
"#;
    let more = json!({ "weight": 0, "delay": { "durationMilliseconds": TURN_MILLISECONDS }, "next": { "statusTemplate": status } });
    let is_decided = expression(".status.conditions.[] | select( .type == \"Ready\" ) | .type", "DoesNotExist", &[]);
    stage("waiting", &json!([is_there(), is_decided]), &more)
}

/// What becomes of pods with this image; `None` where it is nothing.
#[cfg(feature = "embedded")]
fn of_image(name: &str, namespace: &str, image: &str, digest: &str, fate: Fate) -> Option<Value> {
    let repository = image.rsplit_once(':').map_or(image, |(repository, _)| repository);
    let pulled = format!("{repository}@{digest}");
    let started = if fate == Fate::CannotPull { Timestamp::now() - TRIED_FOR } else { Timestamp::now() };
    let (phase, is_ready, image_id, restarts, state) = match fate {
        Fate::Waits => return None,
        Fate::Runs => ("Running", true, pulled.as_str(), 0, "{ running: { startedAt: {{ Now | Quote }} } }".to_owned()),
        Fate::Crashes => {
            let state = "{ waiting: { reason: CrashLoopBackOff, message: back-off 40s restarting failed container } }";
            ("Running", false, pulled.as_str(), 5, state.to_owned())
        }
        Fate::CannotPull => {
            let state = format!("{{ waiting: {{ reason: ImagePullBackOff, message: 'Back-off pulling image \"{image}\"' }} }}");
            ("Pending", false, "", 0, state)
        }
    };
    let condition = if is_ready { "True" } else { "False" };
    let status = format!(
        r#"
phase: {phase}
startTime: "{started:.0}"
hostIP: {{{{ NodeIPWith .spec.nodeName | Quote }}}}
podIP: "10.0.0.1"
conditions:
- {{ type: Initialized, status: "True", lastTransitionTime: {{{{ Now | Quote }}}} }}
{{{{ range $type := list "ContainersReady" "Ready" }}}}
- {{ type: {{{{ $type }}}}, status: "{condition}", lastTransitionTime: {{{{ Now | Quote }}}} }}
{{{{ end }}}}
containerStatuses:
{{{{ range .spec.containers }}}}
- {{ name: {{{{ .name | Quote }}}}, image: {{{{ .image | Quote }}}}, imageID: "{image_id}", ready: {is_ready}, started: {is_ready}, restartCount: {restarts}, state: {state} }}
{{{{ end }}}}
"#
    );
    let selector = json!([
        is_there(),
        expression(".metadata.namespace", "In", &[namespace]),
        expression(".spec.containers[0].image", "In", &[image, &format!("{image}@{digest}")]),
        expression(".status.conditions.[] | select( .type == \"Ready\" ) | .type", "DoesNotExist", &[]),
    ]);
    Some(stage(name, &selector, &json!({ "weight": 1, "next": { "statusTemplate": status } })))
}

fn is_there() -> Value {
    expression(".metadata.deletionTimestamp", "DoesNotExist", &[])
}

fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({ "key": key, "operator": operator, "values": values })
}

fn stage(name: &str, expressions: &Value, more: &Value) -> Value {
    let mut stage = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": { "name": name },
        "spec": { "resourceRef": { "apiGroup": "v1", "kind": "Pod" }, "selector": { "matchExpressions": expressions } },
    });
    for (key, value) in more.as_object().unwrap() {
        stage["spec"][key] = value.clone();
    }
    stage
}

/// The controllers may do what this `ClusterRole` says.
fn binding(role: &str) -> Value {
    json!({
        "metadata": { "name": format!("{CONTROLLERS}:{role}") },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": CONTROLLERS }],
    })
}
