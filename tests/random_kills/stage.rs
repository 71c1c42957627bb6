//! The `skeg` program between real far ends that outlive it: Docker's registry, git's own HTTP server, the control plane with controllers
//! and kwok. It is found at the same address in every life.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use serde_json::{Value, json};
use skeg::embedded::registry::{Image, Login};

use crate::cluster::{self, deployment, serve_image_updates};
use crate::support::chart::{self, Release};
use crate::support::controlplane::{self, ControlPlane, Power, User};
use crate::support::daemon::Daemon;
use crate::support::git::RealGit;
use crate::support::kube_api::{MERGE_PATCH, Server};
use crate::support::nodes::{Nodes, bring_about_rollouts};
use crate::support::registry::{Auth, Notify, RealRegistry};

const API_TOKEN: &str = "token-of-ops";
const HOOK_TOKEN: &str = "token-of-the-registry";
/// Ports that no outgoing connection of this machine is given, so that skeg finds its own free in every life.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// A request of a person's to a skeg that may be killed meanwhile.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A workload of the run.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name, and its repository's.
    pub name: &'static str,
    /// Votes needed.
    pub approvals: u32,
}

/// What people and machines did, as they saw it themselves.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The registry has an image.
    Pushed { workload: &'static str, tag: String, digest: String },
    /// A vote was sent.
    Voted { number: u64, update: String, approves: bool },
    /// The vote was answered.
    VoteAnswered { number: u64, code: u16 },
    /// A workload was made.
    Made { object: Value },
    /// A life of skeg began.
    Began { life: u32 },
    /// It was killed.
    Killed { life: u32 },
    /// Everything is at its end.
    Calm,
}

/// Everything but skeg itself, running.
pub struct Stage {
    /// The control plane.
    pub plane: &'static ControlPlane,
    /// The API server as one who may do everything.
    pub admin: Server,
    /// The namespace of the workloads.
    pub namespace: String,
    /// The Git server.
    pub git: RealGit,
    /// The registry.
    pub registry: RealRegistry,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// What the chart put into the cluster.
    pub release: Release,
    nodes: Nodes,
    private: String,
    client: Client,
    folder: tempfile::TempDir,
    deeds: Mutex<Vec<(Timestamp, Deed)>>,
}

impl Stage {
    /// Starts the far ends and brings each workload to run its `1.0.0`; `None` where a program is missing, which has then been said.
    pub async fn raise(workloads: &[Workload]) -> Option<Self> {
        let plane = controlplane::shared_with(Power::Audit).await?;
        let admin = plane.server(User::Admin);
        let [public, private] = free_ports().map(|port| format!("127.0.0.1:{port}"));
        let notify = Notify { url: format!("http://{public}/v1/webhooks/registry"), header: format!("Authorization: Bearer {HOOK_TOKEN}") };
        let registry = RealRegistry::start(Auth::Anonymous, Some(notify))?;
        let namespace = cluster::namespace(plane, &admin, false).await;
        let own_namespace = cluster::namespace(plane, &admin, true).await;
        bring_about_rollouts(plane, &admin, &namespace).await;
        let files: Vec<(String, String)> = workloads
            .iter()
            .map(|Workload { name, .. }| {
                let text = format!(
                    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name}, namespace: {namespace} }}\nspec:\n  template:\n    spec:\n      containers:\n        - name: app\n          image: {}/shop/{name}:1.0.0\n",
                    registry.host()
                );
                (format!("apps/{name}.yaml"), text)
            })
            .collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        let git = RealGit::start(&files, &robot())?;
        note_arrivals(&git);
        serve_image_updates(&admin, &namespace).await;
        let folder = tempfile::tempdir().unwrap();
        let config = configuration(&public, &private, &registry, &git, &namespace);
        let release = chart::install(plane, &admin, &own_namespace, &[&namespace], &config).await;
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("kubeconfig", &plane.kubeconfig_with(&release.token));
        write("api-token", API_TOKEN);
        write("hook-token", HOOK_TOKEN);
        write("git-password", &robot().password);
        write("skeg.toml", &release.config.replacen("[cluster]", "[cluster]\nkubeconfig = \"kubeconfig\"", 1));
        let nodes = Nodes::of(plane, admin.clone(), &namespace);
        let client = Client::builder().no_proxy().timeout(ANSWER_WITHIN).build().unwrap();
        let workloads = workloads.to_vec();
        let deeds = Mutex::default();
        let stage = Self { plane, admin, namespace, git, registry, workloads, release, nodes, private, client, folder, deeds };
        for workload in &stage.workloads {
            stage.push(workload, "1.0.0").await;
            let annotations = json!({ "skeg.dev/policy": "patch", "skeg.dev/approvals": workload.approvals.to_string() });
            let object = deployment(workload.name, &stage.image(workload.name, "1.0.0"), &annotations);
            let object = stage.admin.post(&stage.deployments(), &object).await.is(201);
            stage.note(Deed::Made { object });
        }
        Some(stage)
    }

    /// The file that skeg starts from.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("skeg.toml")
    }

    /// Starts skeg, and waits until it listens.
    pub async fn start(&self) -> Daemon {
        Daemon::start(&self.config()).await
    }

    /// Notes what somebody does.
    pub fn note(&self, deed: Deed) {
        self.deeds.lock().unwrap().push((Timestamp::now(), deed));
    }

    /// What was noted so far.
    pub fn deeds(&self) -> Vec<(Timestamp, Deed)> {
        self.deeds.lock().unwrap().clone()
    }

    // === what people and machines do ===

    /// Pushes the workload's image with this tag by `skopeo`. Nodes can pull it from then on.
    pub async fn push(&self, workload: &Workload, tag: &str) {
        let image = Image::new(format!("{} {tag}", workload.name));
        let digest = image.build().digest();
        self.nodes.pulls(&self.image(workload.name, tag), &digest).await;
        // It may be seen before the one who pushes has the answer.
        self.note(Deed::Pushed { workload: workload.name, tag: tag.to_owned(), digest: digest.clone() });
        let repository = format!("shop/{}", workload.name);
        let pushed = tokio::task::block_in_place(|| self.registry.push(&repository, tag, &image));
        assert_eq!(pushed, digest);
    }

    /// The updates as skeg's API shows them; `None` while there is no skeg.
    pub async fn updates(&self) -> Option<Vec<Value>> {
        let url = format!("http://{}/v1/updates", self.private);
        let mut updates: Value = self.client.get(url).bearer_auth(API_TOKEN).send().await.ok()?.json().await.ok()?;
        updates["updates"].as_array_mut().map(std::mem::take)
    }

    /// Votes on an update, and gives the status of the answer; `None` where there was none, and nobody knows whether the vote counts.
    pub async fn vote(&self, update: &str, approves: bool) -> Option<u16> {
        let verb = if approves { "approve" } else { "reject" };
        let url = format!("http://{}/v1/updates/{}/{update}/{verb}", self.private, self.namespace);
        let number = fastrand::u64(..);
        self.note(Deed::Voted { number, update: update.to_owned(), approves });
        let answer = self.client.post(url).bearer_auth(API_TOKEN).json(&json!({})).send().await.ok()?;
        let code = answer.status().as_u16();
        self.note(Deed::VoteAnswered { number, code });
        Some(code)
    }

    /// Scales a workload, as an autoscaler does.
    pub async fn scale(&self, workload: &Workload, replicas: u32) {
        let scale = json!({ "spec": { "replicas": replicas } });
        let path = format!("{}/{}/scale", self.deployments(), workload.name);
        self.admin.patch(&path, MERGE_PATCH, &scale).await.is(200);
    }

    // === what is seen from outside ===

    /// The workload's image with this tag.
    pub fn image(&self, workload: &str, tag: &str) -> String {
        format!("{}/shop/{workload}:{tag}", self.registry.host())
    }

    /// The Deployment as the API server has it.
    pub async fn deployment(&self, workload: &Workload) -> Value {
        self.admin.get(&format!("{}/{}", self.deployments(), workload.name)).await.is(200)
    }

    /// The file in Git that declares the workload.
    pub fn declared(&self, workload: &Workload) -> String {
        String::from_utf8(self.git.repository().show(&format!("apps/{}.yaml", workload.name)).unwrap()).unwrap()
    }

    /// The workloads that do not run their newest image with all their pods, a sentence each.
    pub async fn behind(&self) -> Vec<String> {
        let mut behind = Vec::new();
        for workload in &self.workloads {
            let newest = self.deeds().into_iter().rev().find_map(|(_, deed)| match deed {
                Deed::Pushed { workload: name, tag, .. } if name == workload.name => Some(tag),
                _ => None,
            });
            let image = self.image(workload.name, &newest.unwrap());
            let deployment = self.deployment(workload).await;
            let running = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
            if running.split('@').next() != Some(&image) || deployment["status"]["availableReplicas"] != 2 {
                behind.push(format!("{image} does not run: {running}, {}", deployment["status"]));
            }
        }
        behind
    }

    /// When each push arrived, and the tip that it brought.
    pub fn arrivals(&self) -> Vec<(Timestamp, String)> {
        let noted = std::fs::read_to_string(self.git.repository().directory().join(ARRIVALS)).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let (seconds, nanoseconds) = words.next()?.split_once('.')?;
            let at = Timestamp::new(seconds.parse().ok()?, nanoseconds.parse().ok()?).ok()?;
            Some((at, words.nth(1)?.to_owned()))
        };
        noted.lines().filter_map(line).collect()
    }

    /// The records as the API server has them.
    pub async fn records(&self) -> Vec<Value> {
        let path = format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates", self.namespace);
        self.admin.get(&path).await.is(200)["items"].as_array().unwrap().clone()
    }

    fn deployments(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace)
    }
}

fn configuration(public: &str, private: &str, registry: &RealRegistry, git: &RealGit, namespace: &str) -> String {
    format!(
        r#"
[server]
listen = "{public}"
private_listen = "{private}"
token_file = "api-token"
user = "ops"
cache_dir = "cache"

[telemetry]
log = "json"

[poll]
interval = "1s"

[settle]
window = "0s"

[approvals]
approvers = ["user:ops"]

[history]
per_workload = 100

[[registry]]
host = "{host}"
insecure = true

[[git]]
name = "fleet"
url = "{url}"
insecure = true
namespaces = ["{namespace}"]
username = "{user}"
password_file = "git-password"

[[webhook]]
source = "registry"
token_file = "hook-token"
"#,
        host = registry.host(),
        url = git.url(),
        user = robot().user,
    )
}

/// The login of the Git server.
fn robot() -> Login {
    Login::new("robot", "s3cret")
}

/// The file in the repository that says when which commit arrived.
const ARRIVALS: &str = "arrivals";

/// Has the server note when it took a push: the history itself knows only what whoever committed wrote there.
fn note_arrivals(git: &RealGit) {
    let hooks = git.repository().directory().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    let hook = format!("#!/bin/sh\nwhile read -r old new name; do echo \"$(date +%s.%N) $old $new\"; done >> {ARRIVALS}\n");
    std::fs::write(hooks.join("post-receive"), hook).unwrap();
    std::fs::set_permissions(hooks.join("post-receive"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Two ports that are free, and that stay so while nobody listens.
fn free_ports() -> [u16; 2] {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(PORTS)).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let first = ports.next().expect("an endless row");
    [first, ports.find(|port| *port != first).expect("an endless row")]
}
