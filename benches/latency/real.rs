//! A real API server with skeg as a program of its own, and the real registry where it is installed.
//!
//! No controllers run, so nothing becomes of a patch. Both kinds of update end when a watch on the Deployments shows the new image, and
//! both come as skeg's service account, whose rights the chart made: authentication, RBAC, admission and audit are the same for both.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use skeg::embedded::registry::{Access, EmbeddedRegistry, Image, OCI_MANIFEST};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Place, TAGS, by_hand};
use crate::cluster;
use crate::support::chart;
use crate::support::controlplane::{ControlPlane, Unavailable, User};
use crate::support::daemon::Daemon;
use crate::support::kube_api::{JSON_PATCH, Server, Watch};
use crate::support::registry::{Auth, RealRegistry};

const API_TOKEN: &str = "token-of-the-api";
const HOOK_TOKEN: &str = "token-of-the-hook";
/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at the API, which cannot be asked to say when something has changed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The image of a Deployment's only container.
const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// skeg at its far ends, which have every workload.
pub struct Real {
    // Ended in this order.
    daemon: Daemon,
    registry: Registry,
    _watching: JoinSet<()>,
    shown: mpsc::UnboundedReceiver<Shown>,
    /// The API as skeg's service account.
    server: Server,
    /// The namespace of the workloads.
    namespace: String,
    client: Client,
    /// A record that skeg has made.
    record: Value,
    _folder: tempfile::TempDir,
    _plane: ControlPlane,
}

/// What the watch has shown of a Deployment.
struct Shown {
    name: String,
    image: String,
    at: Instant,
}

impl Real {
    /// Starts everything, and has every repository polled; or says why there is no API server.
    pub async fn raise(names: &[String]) -> Result<Self, Unavailable> {
        let plane = ControlPlane::start().await?;
        let admin = plane.server(User::Admin);
        let (namespace, own) = (cluster::namespace(&plane, &admin, false).await, cluster::namespace(&plane, &admin, true).await);
        cluster::serve_image_updates(&admin, &namespace).await;
        let release = chart::install(&plane, &admin, &own, &[&namespace], "").await;
        let [from, to] = TAGS;
        let registry = Registry::start();
        registry.push("shop/by-hand", from);
        let deployments = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        for name in names {
            let repository = format!("shop/{name}");
            registry.push(&repository, from);
            let directives = json!({"skeg.dev/policy": "patch", "skeg.dev/write-back": "off"});
            admin.post(&deployments, &cluster::deployment(name, &registry.image(&repository, from), &directives)).await.is(201);
            let (other, directives) = (by_hand(name), json!({"skeg.dev/policy": "never"}));
            admin.post(&deployments, &cluster::deployment(&other, &registry.image("shop/by-hand", from), &directives)).await.is(201);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = plane.kubeconfig_with(&release.token);
        let daemon = Daemon::start(&configured(folder.path(), &kubeconfig, (&own, &namespace), &registry.host())).await;
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        // As in a skeg that has run for a while: every repository was polled.
        wait_for_polls(&client, &daemon, 2 * names.len()).await;
        for name in names {
            registry.push(&format!("shop/{name}"), to);
        }
        let (watching, shown) = notes(admin.watch(&format!("{deployments}?watch=true")).await);
        let server = plane.server(User::Admin).with_token(Some(&release.token));
        Ok(Self {
            daemon,
            registry,
            _watching: watching,
            shown,
            server,
            namespace,
            client,
            record: Value::Null,
            _folder: folder,
            _plane: plane,
        })
    }

    /// The requests, and whom they ask.
    pub fn floor_is(&self) -> &'static str {
        match self.registry {
            Registry::Real(_) => "HEAD (docker-registry), create, PATCH (kube-apiserver)",
            Registry::Embedded(_) => "HEAD (embedded registry), create, PATCH (kube-apiserver)",
        }
    }

    /// When the watch showed the new image of this Deployment.
    async fn updated(&mut self, deployment: &str) -> Instant {
        let [_, to] = TAGS;
        let updated = async {
            loop {
                let shown = self.shown.recv().await.expect("the watch goes on");
                if shown.name == deployment && shown.image.contains(to) {
                    return shown.at;
                }
            }
        };
        tokio::time::timeout(PATIENCE, updated).await.expect("the image is patched")
    }

    /// A record like the one that skeg made, for another update. That one is read once, so that reading warms nothing up.
    async fn record(&mut self, name: &str) -> Value {
        if self.record.is_null() {
            self.record = self.server.get(&self.records()).await.is(200)["items"][0].take();
        }
        let mut record = self.record.clone();
        record["metadata"] = json!({"name": by_hand(name), "namespace": self.namespace, "labels": record["metadata"]["labels"]});
        record
    }

    fn records(&self) -> String {
        format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates", self.namespace)
    }
}

impl Place for Real {
    async fn by_skeg(&mut self, name: &str) -> Duration {
        let [_, to] = TAGS;
        let delivery = json!({"name": format!("{}/shop/{name}", self.registry.host()), "tag": to}).to_string();
        let url = format!("http://{}/v1/webhooks/native", self.daemon.public);
        let webhook = self.client.post(url).bearer_auth(HOOK_TOKEN).body(delivery);
        let begun = Instant::now();
        webhook.send().await.and_then(reqwest::Response::error_for_status).expect("it is taken");
        self.updated(name).await.duration_since(begun)
    }

    async fn by_hand(&mut self, name: &str) -> Duration {
        let [from, to] = TAGS;
        let (deployment, records, record) = (by_hand(name), self.records(), self.record(name).await);
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/{deployment}", self.namespace);
        let operations = json!([
            {"op": "test", "path": IMAGE, "value": self.registry.image("shop/by-hand", from)},
            {"op": "replace", "path": IMAGE, "value": self.registry.image("shop/by-hand", to)},
        ]);
        let head =
            self.client.head(format!("http://{}/v2/shop/{name}/manifests/{to}", self.registry.host())).header("Accept", OCI_MANIFEST);
        let begun = Instant::now();
        head.send().await.and_then(reqwest::Response::error_for_status).expect("the tag is there");
        self.server.post(&records, &record).await.is(201);
        self.server.patch(&path, JSON_PATCH, &operations).await.is(200);
        self.updated(&deployment).await.duration_since(begun)
    }
}

/// The registry.
enum Registry {
    Real(RealRegistry),
    Embedded(EmbeddedRegistry),
}

impl Registry {
    /// The real one, where its programs are installed.
    fn start() -> Self {
        match RealRegistry::start(Auth::Anonymous, None) {
            Some(registry) => Self::Real(registry),
            None => Self::Embedded(EmbeddedRegistry::start(Access::Anonymous).expect("a loopback port")),
        }
    }

    fn host(&self) -> String {
        match self {
            Self::Real(registry) => registry.host(),
            Self::Embedded(registry) => registry.address().to_string(),
        }
    }

    fn image(&self, repository: &str, tag: &str) -> String {
        format!("{}/{repository}:{tag}", self.host())
    }

    fn push(&self, repository: &str, tag: &str) {
        let image = Image::new(format!("{repository} {tag}"));
        match self {
            Self::Real(registry) => drop(registry.push(repository, tag, &image)),
            Self::Embedded(registry) => drop(registry.push_image(repository, tag, &image).expect("a push")),
        }
    }
}

/// Writes what skeg starts from; `own` is its namespace, the other that of the workloads.
fn configured(folder: &Path, kubeconfig: &str, (own, namespace): (&str, &str), registry: &str) -> std::path::PathBuf {
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).expect("a file");
    write("api", API_TOKEN);
    write("hook", HOOK_TOKEN);
    write("kubeconfig", kubeconfig);
    let text = format!(
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
namespace = "{own}"
namespaces = ["{namespace}"]

[poll]
interval = "1h"

[settle]
window = "0s"

[limits]
in_flight = 1000

[[registry]]
host = "{registry}"
insecure = true

[[webhook]]
source = "native"
token_file = "hook"
"#
    );
    write("skeg.toml", &text);
    folder.join("skeg.toml")
}

/// Waits until so many images were found current.
async fn wait_for_polls(client: &Client, daemon: &Daemon, count: usize) {
    let begun = Instant::now();
    let url = format!("http://{}/v1/images", daemon.private);
    loop {
        let answer = client.get(&url).bearer_auth(API_TOKEN).send().await.expect("an answer");
        let views: Value = answer.json().await.expect("JSON");
        let images = views["images"].as_array();
        if images.is_some_and(|images| images.iter().filter(|image| image["state"] == "current").count() == count) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not every repository was polled: {:#?}", daemon.log());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What a watch shows, with the moment it does, until the task that notes it is dropped.
fn notes(mut watch: Watch) -> (JoinSet<()>, mpsc::UnboundedReceiver<Shown>) {
    let (send, notes) = mpsc::unbounded_channel();
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        while let Some(event) = watch.next().await {
            let text = |pointer: &str| event["object"].pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            if send.send(Shown { name: text("/metadata/name"), image: text(IMAGE), at: Instant::now() }).is_err() {
                return;
            }
        }
    });
    (watching, notes)
}
