//! The `skeg` program between far ends that outlive it: Docker's registry, git's own HTTP server, a cluster API. What skeg asks the cluster,
//! Git and Slack's Web API passes through gates, where it can be held.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use skeg::embedded::git::{Commit, Login};
use skeg::embedded::kube::{EmbeddedKube, Options, Resolution, Rollouts};
use skeg::embedded::registry::Image;

use crate::support::agent::{NAMESPACE, Workload, text};
use crate::support::daemon::Daemon;
use crate::support::gate::Gate;
use crate::support::git::RealGit;
use crate::support::registry::{Auth, RealRegistry};
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, CHANNEL, FakeSlack, Posted, Press};

const API_TOKEN: &str = "token-of-ops";
/// The longest that any awaited fact may take. A whole update takes some seconds on a free machine.
const FACT_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks at a fact that nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Everything, running; skeg as long as it is not killed.
pub struct Stage {
    /// On the way to the cluster.
    pub to_cluster: Gate,
    /// On the way to Git.
    pub to_git: Gate,
    /// On the way to Slack's Web API.
    pub to_slack: Gate,
    /// The cluster.
    pub kube: EmbeddedKube,
    slack: FakeSlack,
    registry: RealRegistry,
    git: RealGit,
    digests: Arc<Mutex<HashMap<String, String>>>,
    folder: tempfile::TempDir,
    client: Client,
    skeg: Option<Daemon>,
    audit: Vec<Value>,
}

impl Stage {
    /// Starts everything, with these workloads, each an image `shop/<name>:1.0.0`, in need of one vote; `None` where a program is missing,
    /// which has then been said.
    #[track_caller]
    pub fn raise(names: &[&'static str]) -> impl Future<Output = Option<Self>> {
        let workloads: Vec<Workload> =
            names.iter().map(|name| Workload::new(name, &format!("shop/{name}"), "1.0.0").directive("approvals", "1")).collect();
        Box::pin(Self::raise_all(workloads))
    }

    async fn raise_all(workloads: Vec<Workload>) -> Option<Self> {
        // Whoever starts first installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = RealRegistry::start(Auth::Anonymous, None)?;
        let host = registry.host();
        let manifests: Vec<(String, String)> = workloads.iter().map(|workload| (workload.path(), workload.manifest(&host))).collect();
        let files: Vec<(&str, &[u8])> = manifests.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        let git = RealGit::start(&files, &Login::new("skeg", "git-password"))?;
        let digests: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let pulled = Arc::clone(&digests);
        let resolver = move |image: String| {
            let name = image.split('@').next().unwrap_or_default();
            let digest = pulled.lock().unwrap().get(name).cloned();
            ready(digest.map_or_else(|| Resolution::PullError(format!("{image}: not found")), |digest| Resolution::Runs { digest }))
        };
        let kube = EmbeddedKube::start(Options { rollouts: Some(Rollouts::new(resolver)), ..Options::default() }).unwrap();
        kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "skeg"}})).unwrap();
        let to_cluster = Gate::start(kube.url().strip_prefix("http://").unwrap().parse().unwrap()).await;
        let to_git = Gate::start(git.address()).await;
        let slack = FakeSlack::start();
        let to_slack = Gate::start(slack.address()).await;
        let folder = tempfile::tempdir().unwrap();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let mut stage =
            Self { to_cluster, to_git, to_slack, kube, slack, registry, git, digests, folder, client, skeg: None, audit: Vec::new() };
        for workload in &workloads {
            stage.push(&workload.name, "1.0.0");
            stage.kube.apply(workload.object(&host)).unwrap();
        }
        stage.write_configuration();
        stage.start().await;
        Some(stage)
    }

    fn write_configuration(&self) {
        let write = |name: &str, text: &str| std::fs::write(self.folder.path().join(name), text).unwrap();
        let kubeconfig = self.kube.kubeconfig().replace(&self.kube.url(), &format!("http://{}", self.to_cluster.address));
        write("kubeconfig", &kubeconfig);
        write("api", API_TOKEN);
        write("git", "git-password");
        write("bot-token", BOT_TOKEN);
        write("app-token", APP_TOKEN);
        let config = format!(
            r#"
[server]
listen = "127.0.0.1:0"
private_listen = "127.0.0.1:0"
token_file = "api"
user = "ops"
cache_dir = "cache"

[telemetry]
log = "json"

[cluster]
kubeconfig = "kubeconfig"

[poll]
interval = "1s"

[settle]
window = "0s"

[approvals]
approvers = ["user:ops", "slack:U1"]

[slack]
channel = "{CHANNEL}"
bot_token_file = "bot-token"
app_token_file = "app-token"
api_url = "{}"

[[registry]]
host = "{}"
insecure = true

[[git]]
name = "fleet"
url = "http://{}/config.git"
insecure = true
namespaces = ["{NAMESPACE}"]
username = "skeg"
password_file = "git"
"#,
            self.slack.api_url().replace(&self.slack.address().to_string(), &self.to_slack.address.to_string()),
            self.registry.host(),
            self.to_git.address,
        );
        write("skeg.toml", &config);
    }

    // === skeg's lives ===

    /// Starts skeg and waits until it is ready.
    pub async fn start(&mut self) {
        assert!(self.skeg.is_none(), "skeg runs already");
        self.skeg = Some(Daemon::start(&self.folder.path().join("skeg.toml")).await);
        let url = format!("http://{}/readyz", self.skeg().private);
        let is_ready = async || self.client.get(&url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(());
        self.until("skeg is ready", is_ready).await;
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        let audit = self.skeg.take().expect("skeg runs").kill().await;
        self.audit.extend(audit);
    }

    /// SIGTERM; skeg ends in good order, and within the time that is promised.
    pub async fn stop(&mut self) -> Duration {
        let mut skeg = self.skeg.take().expect("skeg runs");
        skeg.terminate();
        let (status, took) = skeg.ended().await;
        assert_eq!(status.code(), Some(0), "{:#?}", skeg.log());
        let lease = self.kube.get("coordination.k8s.io/v1", "Lease", "skeg", "skeg").expect("there is a lease");
        assert_eq!(lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default(), "", "it is released: {lease:#}");
        self.audit.extend(skeg.kill().await);
        took
    }

    fn skeg(&self) -> &Daemon {
        self.skeg.as_ref().expect("skeg runs")
    }

    // === what people and machines do ===

    /// Pushes the workload's image with this tag by `skopeo`.
    #[track_caller]
    pub fn push(&self, name: &str, tag: &str) -> String {
        let digest = self.registry.push(&format!("shop/{name}"), tag, &Image::new(format!("{name} {tag}")));
        self.digests.lock().unwrap().insert(self.image(name, tag), digest.clone());
        digest
    }

    /// Approves the workload's update to this tag, once it is asked for in Slack. The answer may never come: skeg gives it when the vote is durable.
    pub async fn approve(&self, name: &str, tag: &str) {
        let held = self.in_phase(name, tag, "Held").await;
        self.until("people are asked", async || (self.requests_for(tag) > 0).then_some(())).await;
        self.vote(&held);
    }

    /// Approves the update by the API, whatever becomes of that.
    pub fn vote(&self, update: &Value) {
        let url = format!("http://{}/v1/updates/{NAMESPACE}/{}/approve", self.skeg().private, text(update, "/name"));
        let vote = self.client.post(url).bearer_auth(API_TOKEN).json(&json!({})).send();
        tokio::spawn(vote);
    }

    /// Clicks *Approve* as `slack:U1` on the message about the update to this tag, once its place is recorded; gives the click's envelope.
    pub async fn click(&self, name: &str, tag: &str) -> String {
        let asks = |message: &Posted| message.text.contains(&format!(" to {tag}")) && message.blocks.to_string().contains("skeg.approve");
        let message = self.until("people are asked", async || self.slack.messages().into_iter().find(asks)).await;
        let is_recorded = || self.records(name, tag).iter().any(|record| text(record, "/status/prompt/timestamp") == message.ts);
        self.until("where they are asked is recorded", async || is_recorded().then_some(())).await;
        self.until("skeg is connected to Slack", async || (self.slack.sockets() > 0).then_some(())).await;
        self.slack.press(&Press::of("U1", &message, "skeg.approve"))
    }

    /// Waits until skeg has acknowledged the click.
    pub async fn acknowledged(&self, envelope: &str) {
        self.until("the click is acknowledged", async || (self.slack.acknowledged(envelope) > 0).then_some(())).await;
    }

    // === what is seen from outside ===

    /// The workload's image with this tag.
    pub fn image(&self, name: &str, tag: &str) -> String {
        format!("{}/shop/{name}:{tag}", self.registry.host())
    }

    /// The workload in the cluster.
    pub fn deployment(&self, name: &str) -> Value {
        self.kube.get("apps/v1", "Deployment", NAMESPACE, name).unwrap()
    }

    /// Patches of the workload that the cluster carried out.
    pub fn patches(&self, name: &str) -> usize {
        let path = format!("/deployments/{name}?");
        let requests = self.kube.requests();
        requests.iter().filter(|request| request.method == "PATCH" && request.path.contains(&path) && request.status == 200).count()
    }

    /// The commits of the remote's branch, the newest first.
    pub fn commits(&self) -> Vec<Commit> {
        self.git.repository().log().unwrap()
    }

    /// The file that declares the workload.
    pub fn declared(&self, name: &str) -> String {
        String::from_utf8(self.git.repository().show(&format!("{NAMESPACE}/{name}.yaml")).unwrap()).unwrap()
    }

    /// The records of the workload's updates to this tag.
    pub fn records(&self, name: &str, tag: &str) -> Vec<Value> {
        let is_it = |record: &Value| {
            record["spec"]["workload"]["name"] == name
                && record["spec"]["changes"].as_array().unwrap().iter().any(|change| change["tag"] == tag)
        };
        self.kube.all("skeg.dev/v1alpha1", "ImageUpdate").into_iter().filter(is_it).collect()
    }

    /// How many messages ask, or asked, for the update to this tag.
    pub fn requests_for(&self, tag: &str) -> usize {
        let change = format!(" to {tag}");
        self.slack.messages().iter().filter(|message| message.text.contains(&change)).count()
    }

    /// The audit log of all lives.
    pub fn audit(&self) -> Vec<Value> {
        let now = self.skeg.as_ref().map(Daemon::audit).unwrap_or_default();
        self.audit.iter().cloned().chain(now).collect()
    }

    /// Waits for the workload's update to this tag in this phase, as skeg's API shows it.
    pub async fn in_phase(&self, name: &str, tag: &str, phase: &str) -> Value {
        let found = async || self.update(name, tag).await.filter(|update| update["phase"] == phase);
        self.until(&format!("the update of {name} to {tag} is {phase}"), found).await
    }

    /// The workload's update to this tag, as skeg's API shows it.
    pub async fn update(&self, name: &str, tag: &str) -> Option<Value> {
        let url = format!("http://{}/v1/updates", self.skeg().private);
        let updates: Value = self.client.get(url).bearer_auth(API_TOKEN).send().await.ok()?.json().await.ok()?;
        let is_it = |update: &&Value| update["workload"]["name"] == name && update["changes"][0]["tag"] == tag;
        updates["updates"].as_array()?.iter().find(is_it).cloned()
    }

    /// Looks until there is an answer; shows what skeg said when there is none in time.
    pub async fn until<T>(&self, fact: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let found = tokio::time::timeout(FACT_WITHIN, async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        let Ok(found) = found.await else {
            panic!("not so within {} s: {fact}\naudit: {:#?}\nlog: {:#?}", FACT_WITHIN.as_secs(), self.audit(), self.skeg().log())
        };
        found
    }
}
