//! Two replicas of the `skeg` program on one API server, embedded or real, each on a way of its own that can be held, and a registry.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use skeg::embedded::kube::{EmbeddedKube, Options};
use skeg::embedded::registry::{Access, EmbeddedRegistry, Image};

use crate::real_loop::cluster;
use crate::support::chart;
use crate::support::controlplane::{self, User};
use crate::support::daemon::Daemon;
use crate::support::fault_proxy::FaultProxy;
use crate::support::gate::Gate;
use crate::support::kube_api::Server;
use crate::support::report::report;

const API_TOKEN: &str = "token-of-ops";
/// The names of the replicas.
const NAMES: [&str; 2] = ["skeg-a", "skeg-b"];
/// The longest that any awaited fact may take.
const FACT_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks at a fact that nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The API server that a pair has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plane {
    Embedded,
    Real,
}

/// Two replicas, as far as they run.
pub struct Pair {
    /// The API server as one who may do everything.
    pub admin: Server,
    /// The namespace of the workloads.
    pub namespace: String,
    /// skeg's own.
    pub own: String,
    /// The registry.
    pub registry: EmbeddedRegistry,
    /// The ways to the API server.
    pub gates: [Gate; 2],
    /// The replicas.
    pub replicas: [Option<Daemon>; 2],
    lease: &'static str,
    kubeconfigs: [String; 2],
    client: Client,
    folder: tempfile::TempDir,
    _kube: Option<EmbeddedKube>,
    _proxy: Option<FaultProxy>,
}

impl Pair {
    /// Everything but the replicas, with a lease of this length; `None` where a program is missing, which has then been said.
    pub async fn raise(plane: Plane, lease: &'static str) -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (admin, namespace, own, to, token, kube, proxy) = match plane {
            Plane::Embedded => {
                let kube = EmbeddedKube::start(Options::default()).unwrap();
                for name in ["skeg", "shop"] {
                    kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).unwrap();
                }
                let to: SocketAddr = kube.url().strip_prefix("http://").unwrap().parse().unwrap();
                (Server::new(&kube.url(), None, None), "shop".to_owned(), "skeg".to_owned(), to, String::new(), Some(kube), None)
            }
            Plane::Real => {
                let plane = controlplane::shared().await?;
                let admin = plane.server(User::Admin);
                let (namespace, own) = (cluster::namespace(plane, &admin, false).await, cluster::namespace(plane, &admin, true).await);
                cluster::serve_image_updates(&admin, &namespace).await;
                let mut values = chart::values(&[&namespace], "");
                values["replicas"] = json!(2);
                let release = chart::install_with(plane, &admin, &own, &[&namespace], &values).await;
                let proxy = FaultProxy::start(plane);
                (admin, namespace, own, proxy.address(), release.token, None, Some(proxy))
            }
        };
        let gates = [Gate::start(to).await, Gate::start(to).await];
        let kubeconfigs = gates.each_ref().map(|gate| kubeconfig(gate.address, &token));
        let registry = EmbeddedRegistry::start(Access::Anonymous).unwrap();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let pair = Self {
            admin,
            namespace,
            own,
            registry,
            gates,
            replicas: [None, None],
            lease,
            kubeconfigs,
            client,
            folder,
            _kube: kube,
            _proxy: proxy,
        };
        pair.push("1.0.0");
        Some(pair)
    }

    /// Creates the Deployment `web`, which runs `1.0.0`.
    pub async fn deploy(&self) {
        self.deploy_as(&json!({"skeg.dev/policy": "patch", "skeg.dev/pin": "tag"})).await;
    }

    /// The same with these annotations.
    pub async fn deploy_as(&self, annotations: &Value) {
        let object = cluster::deployment("web", &self.image("1.0.0"), annotations);
        self.admin.post(&format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace), &object).await.is(201);
    }

    /// An image text of the registry.
    pub fn image(&self, tag: &str) -> String {
        format!("{}/shop/web:{tag}", self.registry.address())
    }

    /// Pushes an image, as CI would.
    pub fn push(&self, tag: &str) {
        self.registry.push_image("shop/web", tag, &Image::new(format!("web {tag} {}", fastrand::u64(..)))).unwrap();
    }

    /// Starts a replica.
    pub async fn start(&mut self, replica: usize) {
        self.replicas[replica] = Some(Daemon::start(&self.configured(replica)).await);
    }

    /// Writes the configuration of a replica.
    fn configured(&self, replica: usize) -> PathBuf {
        let name = NAMES[replica];
        let write = |file: &str, text: &str| std::fs::write(self.folder.path().join(file), text).unwrap();
        write("api", API_TOKEN);
        write(&format!("kubeconfig-{name}"), &self.kubeconfigs[replica]);
        let Self { own, namespace, lease, registry, .. } = self;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nprivate_listen = \"127.0.0.1:0\"\ntoken_file = \"api\"\nuser = \"ops\"\n\
             cache_dir = \"cache-{name}\"\n[telemetry]\nlog = \"json\"\n[cluster]\nkubeconfig = \"kubeconfig-{name}\"\n\
             namespace = \"{own}\"\nnamespaces = [\"{namespace}\"]\nlease = \"{lease}\"\nreplica = \"{name}\"\n[poll]\ninterval = \"1s\"\n\
             [settle]\nwindow = \"0s\"\n[[registry]]\nhost = \"{}\"\ninsecure = true\n",
            registry.address()
        );
        write(&format!("{name}.toml"), &text);
        self.folder.path().join(format!("{name}.toml"))
    }

    /// Starts both replicas in one moment.
    pub async fn start_both(&mut self) {
        let files = [self.configured(0), self.configured(1)];
        let [one, other] = files.each_ref().map(|file| Daemon::start(file));
        let (one, other) = tokio::join!(one, other);
        self.replicas = [Some(one), Some(other)];
    }

    /// What `/v1/status` of a replica says; `None` when it does not answer.
    pub async fn status(&self, replica: usize) -> Option<Value> {
        let url = format!("http://{}/v1/status", self.replicas[replica].as_ref()?.private);
        self.client.get(url).bearer_auth(API_TOKEN).send().await.ok()?.json().await.ok()
    }

    /// Votes for an update by way of a replica; the answer's status.
    pub async fn approve(&self, replica: usize, name: &str) -> u16 {
        let at = &self.replicas[replica].as_ref().unwrap().private;
        let url = format!("http://{at}/v1/updates/{}/{name}/approve", self.namespace);
        self.client.post(url).bearer_auth(API_TOKEN).json(&json!({})).send().await.map_or(0, |answer| answer.status().as_u16())
    }

    /// Waits until the replica leads, its records loaded.
    pub async fn leads(&self, replica: usize) {
        self.until("it leads", async || self.status(replica).await.filter(|status| status["leader"] == true)).await;
    }

    /// Waits until the replica knows that the other one leads.
    pub async fn stands_by(&self, replica: usize) {
        let led = |status: &Value| status["leader"] == false && status["ready"] == true && status["lead"].is_object();
        self.until("it stands by", async || self.status(replica).await.filter(led)).await;
    }

    /// Waits until something is there.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let logs: Vec<_> =
                self.replicas.iter().flatten().map(|replica| replica.log().split_off(replica.log().len().saturating_sub(8))).collect();
            assert!(begun.elapsed() < FACT_WITHIN, "{what}: not within {FACT_WITHIN:?}; {logs:#?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The Deployment.
    pub async fn deployment(&self) -> Value {
        self.admin.get(&format!("/apis/apps/v1/namespaces/{}/deployments/web", self.namespace)).await.is(200)
    }

    /// Image, mark and generation of the Deployment.
    pub async fn shown(&self) -> (String, String, i64) {
        let deployment = self.deployment().await;
        let text = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (image, mark) = (text("/spec/template/spec/containers/0/image"), text("/metadata/annotations/skeg.dev~1last-update"));
        (image, mark, deployment["metadata"]["generation"].as_i64().unwrap())
    }

    /// The records.
    pub async fn records(&self) -> Vec<Value> {
        let path = format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates", self.namespace);
        self.admin.get(&path).await.is(200)["items"].as_array().unwrap().clone()
    }

    /// Waits until the only record is in a phase, and gives it.
    pub async fn in_phase(&self, phases: &[&str]) -> Value {
        self.until(&format!("the record is {phases:?}"), async || {
            let records = self.records().await;
            assert!(records.len() <= 1, "{records:#?}");
            records.into_iter().find(|record| phases.contains(&record["status"]["phase"].as_str().unwrap()))
        })
        .await
    }

    /// The lease.
    pub async fn lease(&self) -> Value {
        self.admin.get(&format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/skeg", self.own)).await.is(200)
    }
}

fn kubeconfig(at: SocketAddr, token: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{at}")}}],
        "users": [{"name": "test", "user": if token.is_empty() { json!({}) } else { json!({"token": token}) }}],
    })
    .to_string()
}

/// Reports the times of many runs, and gives the longest.
pub fn told(what: &str, mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    report(&format!("{what}, {} runs: median {:.0?}, 90 % within {:.0?}, at most {:.0?}", took.len(), at(50), at(90), at(100)));
    at(100)
}
