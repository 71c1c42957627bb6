//! Two replicas of the `skeg` program on one API server, embedded or real, each on a way of its own that can be held, and a registry; where
//! a test asks for it also with a Git remote and with Slack.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use skeg::embedded::git::{BareRepository, Commit, GitRemote, Login};
use skeg::embedded::kube::{EmbeddedKube, Options};
use skeg::embedded::registry::{Access, EmbeddedRegistry, Image};

use crate::real_loop::cluster;
use crate::support::audit::{Asked, asked_by};
use crate::support::chart;
use crate::support::controlplane::{self, ControlPlane, Power, User};
use crate::support::daemon::Daemon;
use crate::support::fault_proxy::FaultProxy;
use crate::support::gate::Gate;
use crate::support::kube_api::{MERGE_PATCH, Server};
use crate::support::report::report;
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, CHANNEL, FakeSlack, Posted, Press};

const API_TOKEN: &str = "token-of-ops";
/// The names of the replicas.
const NAMES: [&str; 2] = ["skeg-a", "skeg-b"];
/// The longest that any awaited fact may take.
const FACT_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks at a fact that nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A click that is not acknowledged comes again after this. Slack waits for longer.
const CLICKS_AGAIN: Duration = Duration::from_millis(300);

/// The API server that a pair has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plane {
    Embedded,
    Real,
}

/// What only some pairs have.
pub struct Ends {
    /// The Git remote that declares `web`.
    pub remote: GitRemote,
    /// The ways to it.
    pub to_git: [Gate; 2],
    /// Where people are asked.
    pub slack: FakeSlack,
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
    /// The real control plane, and who skeg is to it.
    pub real: Option<(&'static ControlPlane, String)>,
    /// More of the configuration.
    pub more: &'static str,
    /// Whether skeg is to read the Secrets that pods pull with; the chart's role for it is there on a real control plane.
    pub reads_pull_secrets: bool,
    ends: Option<Ends>,
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
        let (admin, namespace, own, to, token, kube, proxy, real) = match plane {
            Plane::Embedded => {
                let kube = EmbeddedKube::start(Options::default()).unwrap();
                for name in ["skeg", "shop"] {
                    kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).unwrap();
                }
                let to: SocketAddr = kube.url().strip_prefix("http://").unwrap().parse().unwrap();
                (Server::new(&kube.url(), None, None), "shop".to_owned(), "skeg".to_owned(), to, String::new(), Some(kube), None, None)
            }
            Plane::Real => {
                let plane = controlplane::shared().await?;
                let admin = plane.server(User::Admin);
                let (namespace, own) = (cluster::namespace(plane, &admin, false).await, cluster::namespace(plane, &admin, true).await);
                cluster::serve_image_updates(&admin, &namespace).await;
                let mut values = chart::values(&[&namespace], "");
                values["replicas"] = json!(2);
                values["pullSecrets"] = json!([namespace]);
                let release = chart::install_with(plane, &admin, &own, &[&namespace], &values).await;
                let proxy = FaultProxy::start(plane);
                (admin, namespace, own, proxy.address(), release.token, None, Some(proxy), Some((plane, release.user)))
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
            real,
            more: "",
            reads_pull_secrets: false,
            ends: None,
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

    /// The same with a Git remote and with Slack, whose users `U1` and `U2` may vote.
    pub async fn raise_whole(plane: Plane, lease: &'static str) -> Option<Self> {
        let mut pair = Self::raise(plane, lease).await?;
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: {}\nspec:\n  template:\n    spec:\n      \
             containers:\n        - name: app\n          image: {}\n",
            pair.namespace,
            pair.image("1.0.0")
        );
        let files = [("apps/web.yaml", text.as_bytes())];
        let repository = BareRepository::create(pair.folder.path().join("fleet.git"), files).unwrap();
        let remote = GitRemote::serve(repository, Some(Login::new("skeg", "git-password"))).unwrap();
        let to_git = [Gate::start(remote.address()).await, Gate::start(remote.address()).await];
        pair.ends = Some(Ends { remote, to_git, slack: FakeSlack::start() });
        Some(pair)
    }

    /// What only some pairs have.
    pub fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("it was raised whole")
    }

    /// Creates the Deployment `web`, which runs `1.0.0`.
    pub async fn deploy(&self) {
        self.deploy_as(&json!({"skeg.dev/policy": "patch", "skeg.dev/pin": "tag"})).await;
    }

    /// The same with these annotations. In a whole pair it has no pods, so that a rollout is over as soon as it is seen, and its status says
    /// that every rollout is seen: no controller writes it here.
    pub async fn deploy_as(&self, annotations: &Value) {
        let mut object = cluster::deployment("web", &self.image("1.0.0"), annotations);
        let path = format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace);
        if self.ends.is_some() {
            object["spec"]["replicas"] = json!(0);
        }
        self.admin.post(&path, &object).await.is(201);
        if self.ends.is_some() {
            let seen = json!({"status": {"observedGeneration": 1_000_000}});
            self.admin.patch(&format!("{path}/web/status"), MERGE_PATCH, &seen).await.is(200);
        }
    }

    /// An image text of the registry.
    pub fn image(&self, tag: &str) -> String {
        format!("{}/shop/web:{tag}", self.registry.address())
    }

    /// Pushes an image, as CI would; gives its digest.
    pub fn push(&self, tag: &str) -> String {
        self.registry.push_image("shop/web", tag, &Image::new(format!("web {tag} {}", fastrand::u64(..)))).unwrap()
    }

    /// Starts a replica.
    pub async fn start(&mut self, replica: usize) {
        self.replicas[replica] = Some(Daemon::start(&self.configured(replica)).await);
    }

    /// Writes the configuration of a replica.
    fn configured(&self, replica: usize) -> PathBuf {
        let name = NAMES[replica];
        let write_file = |file: &str, text: &str| std::fs::write(self.folder.path().join(file), text).unwrap();
        write_file("api", API_TOKEN);
        write_file(&format!("kubeconfig-{name}"), &self.kubeconfigs[replica]);
        let Self { own, namespace, lease, registry, .. } = self;
        let opened = if self.reads_pull_secrets { format!("pull_secrets = [\"{namespace}\"]\n") } else { String::new() };
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nprivate_listen = \"127.0.0.1:0\"\ntoken_file = \"api\"\nuser = \"ops\"\n\
             cache_dir = \"cache-{name}\"\n[telemetry]\nlog = \"json\"\n[cluster]\nkubeconfig = \"kubeconfig-{name}\"\n\
             namespace = \"{own}\"\nnamespaces = [\"{namespace}\"]\nlease = \"{lease}\"\nreplica = \"{name}\"\nplatforms = \"off\"\n{opened}[poll]\ninterval = \"1s\"\n\
             [settle]\nwindow = \"0s\"\n[[registry]]\nhost = \"{}\"\ninsecure = true\n",
            registry.address()
        );
        if let Some(ends) = &self.ends {
            for (file, secret) in [("git", "git-password"), ("bot-token", BOT_TOKEN), ("app-token", APP_TOKEN)] {
                write_file(file, secret);
            }
            let at = ends.to_git[replica].address.to_string();
            let (git, slack) = (ends.remote.url().replace(&ends.remote.address().to_string(), &at), ends.slack.api_url());
            let _ = write!(
                text,
                "[approvals]\napprovers = [\"user:ops\", \"slack:U1\", \"slack:U2\"]\n[slack]\nchannel = \"{CHANNEL}\"\n\
                 bot_token_file = \"bot-token\"\napp_token_file = \"app-token\"\napi_url = \"{slack}\"\n[[git]]\nname = \"fleet\"\n\
                 url = \"{git}\"\ninsecure = true\nnamespaces = [\"{namespace}\"]\nusername = \"skeg\"\npassword_file = \"git\"\n"
            );
        }
        text.push_str(self.more);
        write_file(&format!("{name}.toml"), &text);
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

    /// What a replica explains of `web`.
    pub async fn explain(&self, replica: usize) -> Option<Value> {
        let url = format!("http://{}/v1/explain/{}/Deployment/web", self.replicas[replica].as_ref()?.private, self.namespace);
        let answer = self.client.get(url).bearer_auth(API_TOKEN).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    /// Votes for an update by way of a replica; the answer's status.
    pub async fn approve(&self, replica: usize, name: &str) -> u16 {
        let at = &self.replicas[replica].as_ref().unwrap().private;
        let url = format!("http://{at}/v1/updates/{}/{name}/approve", self.namespace);
        self.client.post(url).bearer_auth(API_TOKEN).json(&json!({})).send().await.map_or(0, |answer| answer.status().as_u16())
    }

    /// Gives an order by way of a replica, which is to be carried out.
    pub async fn order(&self, replica: usize, path: &str, body: &Value) {
        let url = format!("http://{}{path}", self.replicas[replica].as_ref().unwrap().private);
        let answer = self.client.post(url).bearer_auth(API_TOKEN).json(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}: {}", answer.text().await.unwrap_or_default());
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

    /// The record of the update to this tag, in one of these phases.
    pub async fn recorded(&self, tag: &str, phases: &[&str]) -> Value {
        self.until(&format!("the update to {tag} is {phases:?}"), async || {
            let is_it = |record: &Value| {
                record["spec"]["changes"][0]["tag"] == tag && phases.contains(&record["status"]["phase"].as_str().unwrap())
            };
            self.records().await.into_iter().find(is_it)
        })
        .await
    }

    /// The message in Slack that asks about this tag, once its place is recorded and somebody listens to clicks.
    pub async fn asked_in_slack(&self, tag: &str) -> Posted {
        let held = self.recorded(tag, &["Held"]).await;
        let path = format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates", self.namespace);
        let name = held["metadata"]["name"].as_str().unwrap();
        let slack = &self.ends().slack;
        self.until("people are asked, and where is recorded", async || {
            let record = self.admin.get(&format!("{path}/{name}")).await.is(200);
            let place = record["status"]["prompt"]["timestamp"].as_str()?;
            slack.messages().into_iter().find(|message| message.ts == place).filter(|_| slack.sockets() > 0)
        })
        .await
    }

    /// Clicks *Approve* on it as `U1`, until somebody has heard of it.
    pub async fn click(&self, message: &Posted) {
        let slack = &self.ends().slack;
        let click = Press::of("U1", message, "skeg.approve");
        let envelope = slack.press(&click);
        self.until("the click is acknowledged", async || {
            // Slack sends it again after a while: the socket may have been one of a process that is gone.
            tokio::time::sleep(CLICKS_AGAIN).await;
            if slack.acknowledged(&envelope) == 0 {
                slack.deliver(&envelope, &click);
                return None;
            }
            Some(())
        })
        .await;
    }

    /// What skeg committed, the newest first.
    pub fn commits(&self) -> Vec<Commit> {
        let mut log = self.ends().remote.repository().log().unwrap();
        log.retain(|commit| commit.author.starts_with("skeg "));
        log
    }

    /// What both have asked of the real API server so far; `None` where nobody writes that down.
    pub fn asked(&self) -> Option<Vec<Asked>> {
        let (plane, user) = self.real.as_ref().filter(|(plane, _)| plane.gives(Power::Audit))?;
        Some(asked_by(plane, user))
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
