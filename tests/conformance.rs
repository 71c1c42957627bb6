//! What a Kubernetes API server answers: one suite, asked of the real server and of the embedded API alike.
//!
//! Each case is an async function over a [`Scope`]; [`conformance!`] makes two tests of it. What the answers mean for skeg
//! is in `docs/api-server.md`; a case that fails against the real server after its version was raised is news for that page.

use serde_json::{Value, json};
#[cfg(feature = "embedded")]
use skeg::embedded::kube::{EmbeddedKube, Options};

use crate::support::controlplane::{self, ControlPlane, Power, User, shared_with};
use crate::support::kube_api::Server;

/// Makes each case a test against the real server (left out where that is not installed) and one against the embedded API.
///
/// `in REAL, EMBEDDED;` before the cases names how their scopes are made, where it is not in the usual way.
macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        conformance!(in real, embedded; $($case),+);
    };
    (in $real:ident, $embedded:ident; $($case:ident),+ $(,)?) => {
        mod real {
            $(#[tokio::test]
            async fn $case() {
                if let Some(scope) = crate::conformance::Scope::$real().await {
                    super::$case(&scope).await;
                }
            })+
        }

        #[cfg(feature = "embedded")]
        mod embedded {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::conformance::Scope::$embedded().await).await;
            })+
        }
    };
}

/// What skeg meets of built-in types: defaults, dry runs, finalizers, leases.
mod built_in;
/// The definition of `ImageUpdate` itself: that it is taken whole, what it bounds, the columns it shows.
mod definition;
/// Events of both APIs.
mod events;
/// JSON patches.
mod json_patch;
/// Lists: selectors, pages.
mod lists;
/// Merge and strategic patches, and what moves a generation.
mod merge_patch;
/// skeg's own adapters against either server.
#[cfg(feature = "embedded")]
mod own_client;
/// Only the real server: who may do what, and the client of a cluster.
mod real_only;
/// Create, replace and delete of `ImageUpdate`.
mod records;
/// Rollouts.
#[cfg(feature = "embedded")]
mod rolling;
/// The rules of its definition.
mod rules;
/// What is refused, pruned or dropped before a rule is looked at.
mod validation;
/// Watches.
mod watches;

/// Held by the one case that makes the server forget old versions, and by those that rest on an old version.
///
/// Compaction is of the whole server, which other tests share.
static COMPACTION: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A caller who may do everything, and a namespace that no other test uses.
pub struct Scope {
    server: Server,
    namespace: String,
    far_end: FarEnd,
    /// What becomes of pods, where rollouts are brought about.
    #[cfg(feature = "embedded")]
    fates: Option<rolling::Fates>,
}

/// Whose answers are looked at.
enum FarEnd {
    Real(&'static ControlPlane),
    #[cfg(feature = "embedded")]
    Embedded(EmbeddedKube),
}

impl Scope {
    /// A new namespace of the real server; `None` where that is not installed.
    pub async fn real() -> Option<Self> {
        let plane = controlplane::shared().await?;
        Some(Self::new(plane.server(User::Admin), FarEnd::Real(plane), plane.labels()).await)
    }

    /// The same where no controller writes to Deployments.
    pub async fn real_quiet() -> Option<Self> {
        shared_with(Power::Quiet).await?;
        Self::real().await
    }

    /// An embedded API of its own, which is told of `ImageUpdate` in the same way as the real server.
    #[cfg(feature = "embedded")]
    pub async fn embedded() -> Self {
        let embedded = EmbeddedKube::start(Options { definitions: Vec::new(), ..Options::default() }).unwrap();
        Self::new(Server::new(&embedded.url(), None, None), FarEnd::Embedded(embedded), json!({})).await
    }

    async fn new(server: Server, far_end: FarEnd, labels: Value) -> Self {
        let namespace = format!("test-{:016x}", fastrand::u64(..));
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels } });
        server.post("/api/v1/namespaces", &object).await.is(201);
        let scope = Self {
            server,
            namespace,
            far_end,
            #[cfg(feature = "embedded")]
            fates: None,
        };
        scope.serve_image_updates().await;
        scope
    }

    /// Creates the definition of `ImageUpdate`, if nobody has, and waits until the kind is served.
    async fn serve_image_updates(&self) {
        let answer =
            self.server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &skeg::adapters::journal::crd::crd()).await;
        assert!(matches!(answer.code, 201 | 409), "{answer:?}");
        // The server serves a new kind a moment after it has accepted it, and tells nobody; 30 s would be a fault.
        for _ in 0..600 {
            if self.server.answers(&self.updates()).await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the kind is not served");
    }

    /// skeg's own client, as the configuration makes one.
    #[cfg(feature = "embedded")]
    async fn api(&self) -> skeg::adapters::cluster::ApiServer {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = match &self.far_end {
            FarEnd::Real(plane) => plane.kubeconfig(),
            FarEnd::Embedded(embedded) => {
                std::fs::write(folder.path().join("kubeconfig"), embedded.kubeconfig()).unwrap();
                folder.path().join("kubeconfig")
            }
        };
        let connection = skeg::adapters::cluster::Connection { kubeconfig: Some(kubeconfig), context: None };
        skeg::adapters::cluster::ApiServer::connect(&connection).await.unwrap()
    }

    /// Path of the namespace's `ImageUpdate`s.
    fn updates(&self) -> String {
        format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates", self.namespace)
    }

    /// Path of one `ImageUpdate`.
    fn update(&self, name: &str) -> String {
        format!("{}/{name}", self.updates())
    }

    /// Path of the namespace's Deployments.
    fn deployments(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace)
    }

    /// Path of one Deployment.
    fn deployment(&self, name: &str) -> String {
        format!("{}/{name}", self.deployments())
    }

    /// Path of the namespace's core Events.
    fn events(&self) -> String {
        format!("/api/v1/namespaces/{}/events", self.namespace)
    }

    /// Creates an `ImageUpdate` and gives it as stored.
    async fn create_update(&self, name: &str) -> Value {
        self.server.post(&self.updates(), &image_update(name)).await.is(201)
    }

    /// Creates a Deployment with containers `web` and `side` and gives it as stored.
    async fn create_deployment(&self, name: &str) -> Value {
        self.server.post(&self.deployments(), &deployment(name)).await.is(201)
    }

    /// Path of the namespace's pods.
    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// Creates a pod with a container `web`, which no scheduler takes, and gives it as stored.
    async fn create_pod(&self, name: &str) -> Value {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name },
            "spec": { "schedulerName": "nobody", "containers": [{ "name": "web", "image": "team/web:1.0.0" }] },
        });
        // A new namespace gets its service account a moment later, and pods are refused before; 10 s would be a fault.
        for _ in 0..200 {
            let answer = self.server.post(&self.pods(), &pod).await;
            if answer.code != 403 {
                return answer.is(201);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no pods in {}", self.namespace);
    }

    /// Whether a case may do this here; where it may not, that is said.
    async fn gives(&self, power: Power) -> bool {
        match &self.far_end {
            FarEnd::Real(_) => shared_with(power).await.is_some(),
            #[cfg(feature = "embedded")]
            FarEnd::Embedded(_) => true,
        }
    }

    /// Makes the server forget every version before this one.
    async fn compact(&self, version: &str) {
        match &self.far_end {
            FarEnd::Real(plane) => plane.compact(version).await,
            #[cfg(feature = "embedded")]
            FarEnd::Embedded(embedded) => embedded.compact(),
        }
    }
}

/// A held `ImageUpdate` with one change and the label of an open one.
fn image_update(name: &str) -> Value {
    json!({
        "apiVersion": "skeg.dev/v1alpha1",
        "kind": "ImageUpdate",
        "metadata": { "name": name, "labels": { "skeg.dev/open": "true" } },
        "spec": {
            "workload": { "kind": "Deployment", "name": "web", "uid": "6d96f40a-8812-4776-91f0-72f7b4e5a804" },
            "changes": [{
                "container": "web",
                "init": false,
                "repository": "docker.io/team/web",
                "from": "team/web:1.0.0",
                "to": "team/web:1.0.1",
                "tag": "1.0.1",
                "digest": format!("sha256:{}", "a1".repeat(32)),
            }],
            "policy": "semver:patch",
            "trigger": "poll",
            "approvals": 1,
            "approvers": [],
            "approvalDeadline": "24h",
            "approvalValid": "1h",
            "rollback": true,
            "rolloutTimeout": "10m",
            "pin": "tag",
            "plan": "patch",
            "writeBack": [],
            "attempt": 1,
        },
        "status": {
            "phase": "Held",
            "reason": "waits for 1 approval",
            "since": "2026-01-01T00:00:00Z",
            "createdAt": "2026-01-01T00:00:00Z",
            "epoch": 3,
            "votes": [],
            "history": [{ "at": "2026-01-01T00:00:00Z", "event": "admitted", "detail": "" }],
        },
    })
}

/// A Deployment with containers `web` and `side`, without annotations.
fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "web", "image": "team/web:1.0.0" }, { "name": "side", "image": "team/side:1" }] },
            },
        },
    })
}

/// A copy of `object` with the value at `pointer` set.
#[track_caller]
fn with(object: &Value, pointer: &str, value: impl Into<Value>) -> Value {
    let mut changed = object.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer below the root");
    changed.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {parent}"))[key] = value.into();
    changed
}

/// A copy of `object` without the value at `pointer`.
#[track_caller]
fn without(object: &Value, pointer: &str) -> Value {
    let mut changed = object.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer below the root");
    changed
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .and_then(|map| map.remove(key))
        .unwrap_or_else(|| panic!("nothing at {pointer}"));
    changed
}

/// The object's `resourceVersion`, or a list's.
fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().expect("a version")
}

/// The names in a list, as they come.
fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().expect("items").iter().map(|object| object["metadata"]["name"].as_str().expect("a name")).collect()
}
