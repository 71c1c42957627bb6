//! The embedded Kubernetes API with skeg's own client at it, and the objects that the tests put into it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skeg::adapters::clock::SystemClock;
use skeg::adapters::cluster::{ApiServer, Connection};
use skeg::core::directives::Rules;
use skeg::core::image::{Digest, ImageRef, Pin};
use skeg::core::update::{Change, Held, History, Phase, Plan, Reason, Spec, Trigger, Update, UpdateId};
use skeg::core::workload::{WorkloadId, WorkloadKind};
use skeg::embedded::kube::{EmbeddedKube, Options};
use skeg::ports::clock::Clock;

/// Longer than anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A cluster and skeg's way to it.
pub struct Cluster {
    /// The API server, as its own people see it.
    pub kube: EmbeddedKube,
    /// The API server, as skeg sees it.
    pub api: ApiServer,
}

impl Cluster {
    /// A cluster that knows `ImageUpdate` as skeg defines it.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// The same, served in another way.
    pub async fn with(options: Options) -> Self {
        let kube = EmbeddedKube::start(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, kube.kubeconfig()).unwrap();
        let api = ApiServer::connect(&Connection { kubeconfig: Some(kubeconfig), context: None }).await.unwrap();
        Self { kube, api }
    }

    /// The Deployment as it is now.
    pub fn deployment(&self, name: &str) -> Value {
        self.kube.get("apps/v1", "Deployment", "shop", name).unwrap()
    }

    /// The image of the Deployment's first container.
    pub fn image(&self, name: &str) -> String {
        self.deployment(name)["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    }

    /// How many requests with this method and a path that contains `part` were answered or failed.
    pub fn requests(&self, method: &str, part: &str) -> usize {
        let requests = self.kube.requests();
        requests.iter().filter(|request| request.method == method && request.path.contains(part)).count()
    }
}

/// The machine's clock.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// `shop/Deployment/<name>`
pub fn id(name: &str) -> WorkloadId {
    WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() }
}

/// A Deployment of two pods with the containers `web` and `sidecar`.
pub fn deployment(name: &str, image: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "annotations": annotations},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": image}, {"name": "sidecar", "image": "docker.io/acme/sidecar:1"}]},
            },
        },
    })
}

/// An update of the container `web` of the Deployment, which must be there.
pub fn update_of(deployment: &Value, from: &str, to: &str, digest: &Digest) -> Update {
    let metadata = |field: &str| deployment["metadata"][field].as_str().unwrap();
    let workload = WorkloadId { namespace: metadata("namespace").into(), ..id(metadata("name")) };
    let uid = metadata("uid");
    let image: ImageRef = to.parse().unwrap();
    let change = Change {
        container: "web".into(),
        init: false,
        repository: image.repository().clone(),
        from: from.into(),
        to: to.into(),
        tag: image.tag().unwrap().clone(),
        digest: digest.clone(),
    };
    let now = clock().now();
    let id = UpdateId::derive(&workload, uid, std::slice::from_ref(&change), 1);
    let spec = Spec {
        workload,
        uid: uid.into(),
        changes: vec![change],
        policy: "patch".into(),
        trigger: Trigger::Poll,
        rules: Rules {
            approvals: 0,
            approvers: Vec::new(),
            approval_deadline: Duration::from_hours(24),
            approval_valid: Duration::from_hours(72),
            rollback: true,
            rollout_timeout: Duration::from_mins(10),
            pin: Pin::Tag,
            write_back: Vec::new(),
        },
        plan: Plan::Patch,
        attempt: 1,
    };
    let held = Held { waits: Reason::NotChosen, asked: None, expires: None, paused: None, granted: None };
    Update {
        id,
        spec: spec.into(),
        phase: Phase::Held(held),
        since: now,
        created: now,
        votes: Vec::new(),
        prompt: None,
        taken_back: Vec::new(),
        epoch: 0,
        history: History::default(),
    }
}
