//! A whole skeg between real far ends: registries, a Git server, an API server with a namespace of its own.
//!
//! skeg runs with the configuration, the service account and the role that its chart puts into the cluster. [`Stage::end`] reads the
//! API server's audit log: that nothing was forbidden, and that no record was refused.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use skeg::embedded::git::BareRepository;
use skeg::embedded::registry::{Image, Login};
use skeg::wiring::Skeg;
use tokio_util::sync::CancellationToken;

use super::cluster::{self, deployment, serve_image_updates};
use super::relay::Relay;
use crate::support::audit::{Asked, asked_by};
use crate::support::chart::{self, Release};
use crate::support::controlplane::{self, ControlPlane, Power, User};
use crate::support::fault_proxy::FaultProxy;
use crate::support::git::RealGit;
use crate::support::kube_api::Server;
use crate::support::nodes::{Nodes, bring_about_rollouts};
use crate::support::people;
use crate::support::registry::{Auth, Notify, RealRegistry};

/// The longest that any awaited fact may take. A whole update takes some seconds on a free machine.
const FACT_SECONDS_MAX: Duration = Duration::from_secs(90);
/// Between two looks at a fact that nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Docker's registry posts the notification of a push before it writes the tag: who looks at once finds the tag missing or empty.
const SETTLE: &str = "1s";
const API_TOKEN: &str = "token-of-ops";
const HOOK_TOKEN: &str = "token-of-the-registry";

/// The login of every far end that asks for one.
pub fn robot() -> Login {
    Login::new("robot", "s3cret")
}

/// What a test needs.
pub struct Needs {
    /// A registry for each of these.
    pub registries: Vec<Auth>,
    /// The password that skeg is given for each registry.
    pub passwords: Vec<&'static str>,
    /// Whether the registries post notifications to skeg.
    pub notifies: bool,
    /// The interval of polling.
    pub poll: &'static str,
    /// Whether skeg goes to the API server by way of a [`FaultProxy`].
    pub proxied: bool,
    /// The control plane, where it is not the one that the run shares.
    pub plane: Option<&'static ControlPlane>,
    /// Whether `ImageUpdate` is defined before skeg starts.
    pub defined: bool,
    /// More of the configuration.
    pub config: &'static str,
    /// The workloads: name, place of its registry, annotations.
    pub workloads: Vec<(&'static str, usize, Value)>,
}

/// Everything, running.
pub struct Stage {
    /// The control plane.
    pub plane: &'static ControlPlane,
    /// The API server as one who may do everything.
    pub admin: Server,
    /// skeg's own API.
    pub api: Server,
    /// The namespace of this test.
    pub namespace: String,
    /// skeg's own.
    pub own_namespace: String,
    /// The Git server.
    pub git: RealGit,
    /// What becomes of pods.
    pub nodes: Nodes,
    registries: Vec<RealRegistry>,
    workloads: Vec<(&'static str, usize)>,
    /// skeg's listener for webhooks and probes.
    pub public: SocketAddr,
    private: SocketAddr,
    skeg: Skeg,
    stop: CancellationToken,
    folder: tempfile::TempDir,
    /// What the chart put into the cluster.
    pub release: Release,
    proxy: Option<FaultProxy>,
    _relay: Relay,
}

impl Stage {
    /// Starts everything and brings each workload to run its `1.0.0`; `None` where a program is missing, which has then been said.
    #[track_caller]
    pub fn raise(needs: Needs) -> impl Future<Output = Option<Self>> {
        Box::pin(Self::raise_all(needs))
    }

    async fn raise_all(needs: Needs) -> Option<Self> {
        let plane = match needs.plane {
            Some(plane) => plane,
            None => controlplane::shared().await?,
        };
        let admin = plane.server(User::Admin);
        let relay = Relay::start().await;
        let notify = needs.notifies.then(|| Notify {
            url: format!("http://{}/v1/webhooks/registry", relay.address),
            header: format!("Authorization: Bearer {HOOK_TOKEN}"),
        });
        let registries: Option<Vec<RealRegistry>> =
            needs.registries.iter().map(|auth| RealRegistry::start(auth.clone(), notify.clone())).collect();
        let registries = registries?;
        let workloads: Vec<(&str, usize)> = needs.workloads.iter().map(|(name, registry, _)| (*name, *registry)).collect();
        let namespace = cluster::namespace(plane, &admin, false).await;
        let own_namespace = cluster::namespace(plane, &admin, true).await;
        bring_about_rollouts(plane, &admin, &namespace).await;
        people::let_in(plane, &admin, &namespace).await;
        let image = |name: &str, registry: usize| format!("{}/shop/{name}:1.0.0", registries[registry].host());
        let files: Vec<(String, String)> = workloads
            .iter()
            .map(|(name, registry)| (format!("apps/{name}.yaml"), manifest(&namespace, name, &image(name, *registry))))
            .collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        let git = RealGit::start(&files, &robot())?;
        if needs.defined {
            serve_image_updates(&admin, &namespace).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = configuration(&needs, &registries, &git, &namespace, folder.path());
        let release = chart::install(plane, &admin, &own_namespace, &[&namespace], &config).await;
        let proxy = needs.proxied.then(|| FaultProxy::start(plane));
        let kubeconfig = match &proxy {
            Some(proxy) => plane.kubeconfig_at(&format!("http://{}", proxy.address()), &release.token),
            None => plane.kubeconfig_with(&release.token),
        };
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        // Outside a pod the service account is a kubeconfig.
        let config = release.config.replacen("[cluster]", "[cluster]\nkubeconfig = \"kubeconfig\"", 1);
        std::fs::write(folder.path().join("skeg.toml"), config).unwrap();
        let config = folder.path().join("skeg.toml");
        let config = skeg::config::load(&config).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let stop = CancellationToken::new();
        let skeg = Skeg::start(config, None, stop.clone()).await.unwrap();
        relay.to.set(skeg.public).unwrap();
        let api = Server::new(&format!("http://{}", skeg.private), None, Some(API_TOKEN));
        let nodes = Nodes::of(plane, admin.clone(), &namespace);
        let (public, private) = (skeg.public, skeg.private);
        let stage = Self {
            plane,
            admin,
            api,
            namespace,
            own_namespace,
            git,
            nodes,
            registries,
            workloads,
            public,
            private,
            skeg,
            stop,
            folder,
            release,
            proxy,
            _relay: relay,
        };
        for (name, _, annotations) in &needs.workloads {
            stage.push(name, "1.0.0").await;
            stage.deploy(name, annotations).await;
        }
        Some(stage)
    }

    /// Stops skeg.
    pub async fn stop(self) {
        self.stop.cancel();
        self.skeg.ended().await.unwrap();
    }

    /// Stops a skeg that had nothing to do, and checks that nothing was forbidden to it.
    pub async fn end_without_updates(self) {
        let (plane, user) = (self.plane, self.release.user.clone());
        self.stop().await;
        let forbidden: Vec<_> = asked_by(plane, &user).into_iter().filter(|asked| asked.code == 403).collect();
        assert!(forbidden.is_empty(), "the chart does not grant every verb: {forbidden:#?}");
    }

    /// Stops skeg, and checks what it asked of the API server.
    pub async fn end(self) {
        let (plane, user) = (self.plane, self.release.user.clone());
        self.stop().await;
        if !plane.gives(Power::Audit) {
            return;
        }
        let asked = asked_by(plane, &user);
        assert!(asked.iter().any(|asked| asked.resource == "imageupdates" && asked.code == 201), "{asked:#?}");
        let forbidden: Vec<_> = asked.iter().filter(|asked| asked.code == 403).collect();
        assert!(forbidden.is_empty(), "the chart does not grant every verb: {forbidden:#?}");
        let refused: Vec<_> = asked.iter().filter(|asked| asked.resource == "imageupdates" && asked.code == 422).collect();
        assert!(refused.is_empty(), "the definition refuses records: {refused:#?}");
    }

    /// skeg's way to the API server.
    pub fn proxy(&self) -> &FaultProxy {
        self.proxy.as_ref().expect("a test that needs it says so")
    }

    /// What skeg asked of the API server so far.
    pub fn asked(&self) -> Vec<Asked> {
        asked_by(self.plane, &self.release.user)
    }

    // === what people and machines do ===

    /// Pushes the workload's image with this tag by `skopeo`, and gives its digest.
    pub async fn push(&self, workload: &str, tag: &str) -> String {
        let registry = &self.registries[self.registry_of(workload)];
        let digest = registry.push(&format!("shop/{workload}"), tag, &Image::new(format!("{workload} {tag}")));
        self.nodes.pulls(&self.image(workload, tag), &digest).await;
        digest
    }

    /// Another workload like this one, which nothing is declared of in Git and which has no pods.
    pub async fn copy(&self, name: &str, copy: &str) {
        let like = self.deployment(name).await;
        let mut deployment = deployment(copy, &self.running(name).await, &like["metadata"]["annotations"]);
        deployment["spec"]["replicas"] = 0.into();
        self.admin.post(&self.deployments(), &deployment).await.is(201);
    }

    async fn deploy(&self, name: &str, annotations: &Value) {
        let deployment = deployment(name, &self.image(name, "1.0.0"), annotations);
        self.admin.post(&self.deployments(), &deployment).await.is(201);
        let is_up = async || (self.deployment(name).await["status"]["availableReplicas"] == 2).then_some(());
        self.until(&format!("{name} runs"), is_up).await;
    }

    /// The `skeg` program as an engineer has it: with the server's address and a token.
    pub fn skeg(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skeg"));
        command.env("SKEG_SERVER", format!("http://{}", self.private)).env("SKEG_TOKEN", API_TOKEN);
        succeeds(command.args(arguments))
    }

    /// `kubectl` as an engineer has it, in the test's namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        succeeds(&mut self.kubectl_as(User::Person, arguments))
    }

    /// The same as somebody else, not run yet.
    pub fn kubectl_as(&self, user: User, arguments: &[&str]) -> Command {
        let kubeconfig = self.folder.path().join("kubeconfig-of-one-who-types");
        std::fs::write(&kubeconfig, self.plane.kubeconfig_with(self.plane.token(user))).unwrap();
        let mut command = Command::new(self.plane.program("kubectl"));
        command.env("HOME", self.folder.path()).arg("--kubeconfig").arg(kubeconfig);
        command.args(["--namespace", &self.namespace]).args(arguments);
        command
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    // === what is seen from outside ===

    /// The image text that the workload's container shows in the cluster.
    pub async fn running(&self, workload: &str) -> String {
        let deployment = self.deployment(workload).await;
        deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
    }

    /// The file in Git that declares the workload.
    pub fn declared(&self, workload: &str) -> String {
        String::from_utf8(self.repository().show(&format!("apps/{workload}.yaml")).unwrap()).unwrap()
    }

    /// The workload's image with this tag.
    pub fn image(&self, workload: &str, tag: &str) -> String {
        format!("{}/shop/{workload}:{tag}", self.host_of(workload))
    }

    /// The registry of the workload's image.
    pub fn host_of(&self, workload: &str) -> String {
        self.registries[self.registry_of(workload)].host()
    }

    /// The repository behind the Git server.
    pub fn repository(&self) -> &BareRepository {
        self.git.repository()
    }

    /// The subjects of the branch's commits, the newest first.
    pub fn subjects(&self) -> Vec<String> {
        self.repository().log().unwrap().into_iter().map(|commit| commit.subject).collect()
    }

    /// The Deployment as the API server has it.
    pub async fn deployment(&self, name: &str) -> Value {
        self.admin.get(&format!("{}/{name}", self.deployments())).await.is(200)
    }

    /// What skeg's API shows of the workload's container.
    pub async fn image_view(&self, workload: &str) -> Option<Value> {
        let images = self.api.get("/v1/images").await.is(200);
        images["images"].as_array().unwrap().iter().find(|image| image["workload"]["name"] == workload).cloned()
    }

    /// The workload's update to this tag, as skeg's API shows it.
    pub async fn update(&self, workload: &str, tag: &str) -> Option<Value> {
        let updates = self.api.get(&format!("/v1/updates?namespace={}", self.namespace)).await.is(200);
        let is_it = |update: &&Value| update["workload"]["name"] == workload && update["changes"][0]["tag"] == tag;
        updates["updates"].as_array().unwrap().iter().find(is_it).cloned()
    }

    // === waiting ===

    /// Waits until the workload's repository was listed, so that what follows is no part of a first look.
    pub async fn listed(&self, workload: &str) -> String {
        let listed = async || Some(self.image_view(workload).await?["listed"].as_str()?.to_owned());
        self.until(&format!("the repository of {workload} is listed"), listed).await
    }

    /// Waits for the workload's update to this tag in this phase.
    pub async fn in_phase(&self, workload: &str, tag: &str, phase: &str) -> Value {
        let found = async || self.update(workload, tag).await.filter(|update| update["phase"] == phase);
        self.until(&format!("the update of {workload} to {tag} is {phase}"), found).await
    }

    /// Looks until there is an answer; shows what skeg shows when there is none in time.
    pub async fn until<T>(&self, fact: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let deadline = Instant::now() + FACT_SECONDS_MAX;
        while Instant::now() < deadline {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mut shown = String::new();
        for path in ["/v1/status", "/v1/images", "/v1/updates"] {
            let _ = writeln!(shown, "{path}: {:#}", self.api.get(path).await.body);
        }
        shown.push_str(&self.cluster_shows().await);
        panic!("not so within {} s: {fact}\n{shown}", FACT_SECONDS_MAX.as_secs());
    }

    /// What the cluster shows of the namespace's rollouts, and what its programs said last: a rollout may stand still for their reasons.
    async fn cluster_shows(&self) -> String {
        let pods = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let mut shown = String::new();
        for path in [self.deployments(), self.deployments().replace("deployments", "replicasets"), pods] {
            let listed = self.admin.get(&path).await.body;
            for object in listed["items"].as_array().into_iter().flatten() {
                let _ = writeln!(shown, "{path}/{}: {}", object["metadata"]["name"], object["status"]);
            }
        }
        shown + &self.plane.last_words()
    }

    fn deployments(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace)
    }

    fn registry_of(&self, workload: &str) -> usize {
        self.workloads.iter().find(|(name, _)| *name == workload).unwrap().1
    }
}

/// Runs a program that must succeed, and gives its output.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

// === what skeg is given ===

/// The configuration as an operator gives it to the chart; the files of its secrets are written to `folder`.
fn configuration(needs: &Needs, registries: &[RealRegistry], git: &RealGit, namespace: &str, folder: &Path) -> String {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("api-token", API_TOKEN);
    write("hook-token", HOOK_TOKEN);
    write("git-password", &robot().password);
    let mut text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
private_listen = "127.0.0.1:0"
token_file = "api-token"
user = "ops"
cache_dir = "cache"

[poll]
interval = "{poll}"

[settle]
window = "{SETTLE}"

[approvals]
approvers = ["user:ops"]

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
        poll = needs.poll,
        url = git.url(),
        user = robot().user,
    );
    for (place, (registry, auth)) in registries.iter().zip(&needs.registries).enumerate() {
        let _ = write!(text, "\n[[registry]]\nhost = \"{}\"\ninsecure = true\n", registry.host());
        if let (Auth::Basic(login) | Auth::Bearer(login), Some(password)) = (auth, needs.passwords.get(place)) {
            write(&format!("registry-password-{place}"), password);
            let _ = write!(
                text,
                "namespaces = [\"{namespace}\"]\nusername = \"{}\"\npassword_file = \"registry-password-{place}\"\n",
                login.user
            );
        }
    }
    text.push_str(needs.config);
    text
}

/// As a person wrote it: nothing but the image's bytes may change.
fn manifest(namespace: &str, name: &str, image: &str) -> String {
    format!(
        "# {name}: ask the shop team\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name}, namespace: {namespace} }}\nspec:\n    replicas:   2\n    template:\n        spec:\n            containers:\n            - name:  app\n              image:   \"{image}\"   # set by skeg\n"
    )
}
