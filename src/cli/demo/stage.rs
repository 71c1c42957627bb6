//! The far ends of the demo, and the one workload that runs there.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::json;

use crate::config::{self, Config};
use crate::embedded::git::{BareRepository, GitRemote, Login};
use crate::embedded::kube::{EmbeddedKube, Options, Resolution, Rollouts};
use crate::embedded::registry::{Access, EmbeddedRegistry, Image};

/// The repository of the demo's image.
const REPOSITORY: &str = "shop/web";
/// The file in Git that declares the workload.
const DECLARED_IN: &str = "shop/web.yaml";
/// The credential of the Git remote, to show that one is used.
const GIT_USER: &str = "skeg";

/// Registry, cluster and Git remote, each on a loopback port of its own, and a folder that goes with them.
pub struct Stage {
    registry: Arc<EmbeddedRegistry>,
    kube: EmbeddedKube,
    remote: GitRemote,
    broken: Arc<Mutex<HashSet<String>>>,
    secrets: Secrets,
    // Goes last: what writes into it has ended by then.
    folder: tempfile::TempDir,
}

/// What the parts of the demo show each other; made anew for each run.
struct Secrets {
    api: String,
    hook: String,
    git: String,
}

impl Stage {
    /// Starts the far ends and brings `web:1.0.0` to run.
    pub fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("skeg-demo-").tempdir().context("no folder for the demo")?;
        let registry = Arc::new(EmbeddedRegistry::start(Access::Anonymous).context("no loopback port for the registry")?);
        registry.push_image(REPOSITORY, "1.0.0", &Image::new("web 1.0.0"))?;
        let image = format!("{}/{REPOSITORY}:1.0.0", registry.address());
        let secrets = Secrets { api: secret()?, hook: secret()?, git: secret()? };
        let repository = BareRepository::create(folder.path().join("fleet.git"), [(DECLARED_IN, manifest(&image).as_bytes())])?;
        let remote = GitRemote::serve(repository, Some(Login::new(GIT_USER, &secrets.git)))?;
        let broken: Arc<Mutex<HashSet<String>>> = Arc::default();
        let rollouts = Rollouts::new(resolver(Arc::clone(&registry), Arc::clone(&broken)));
        let kube = EmbeddedKube::start(Options { rollouts: Some(rollouts), ..Options::default() })?;
        kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "skeg"}}))
            .map_err(|error| anyhow::anyhow!("the namespace is refused: {error}"))?;
        kube.apply(deployment(&image)).map_err(|error| anyhow::anyhow!("the workload is refused: {error}"))?;
        let stage = Self { registry, kube, remote, broken, secrets, folder };
        for (name, secret) in [("api", &stage.secrets.api), ("hook", &stage.secrets.hook), ("git", &stage.secrets.git)] {
            std::fs::write(stage.path(name), secret)?;
        }
        std::fs::write(stage.path("kubeconfig"), stage.kube.kubeconfig())?;
        Ok(stage)
    }

    /// The configuration that skeg runs with: a file like any other.
    pub fn config(&self) -> anyhow::Result<Config> {
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
private_listen = "127.0.0.1:0"
token_file = "api"
user = "you"
cache_dir = "cache"

[cluster]
kubeconfig = "kubeconfig"

[settle]
window = "0s"

[approvals]
approvers = ["user:you"]

[[registry]]
host = "{registry}"
insecure = true

[[git]]
name = "fleet"
url = "{remote}"
insecure = true
namespaces = ["shop"]
username = "{GIT_USER}"
password_file = "git"

[[webhook]]
source = "native"
token_file = "hook"
"#,
            registry = self.registry.address(),
            remote = self.remote.url(),
        );
        let file = self.path("skeg.toml");
        std::fs::write(&file, &text)?;
        config::load(&file).map_err(|problems| anyhow::anyhow!("the demo's configuration is wrong: {problems:?}"))
    }

    /// Pushes an image, as CI would; a broken one never gets ready wherever it is started.
    pub fn push(&self, tag: &str, is_broken: bool) -> anyhow::Result<Pushed> {
        let digest = self.registry.push_image(REPOSITORY, tag, &Image::new(format!("web {tag}")))?;
        if is_broken {
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone());
        }
        Ok(Pushed { name: format!("{}/{REPOSITORY}", self.registry.address()), tag: tag.to_owned(), digest })
    }

    /// The image that the workload shows.
    pub fn running(&self) -> String {
        let deployment = self.kube.get("apps/v1", "Deployment", "shop", "web").unwrap_or_default();
        let image = deployment.pointer("/spec/template/spec/containers/0/image").and_then(serde_json::Value::as_str);
        image.unwrap_or_default().to_owned()
    }

    /// The Git remote's repository.
    pub fn repository(&self) -> &BareRepository {
        self.remote.repository()
    }

    /// The image text that Git declares.
    pub fn declared(&self) -> anyhow::Result<String> {
        let text = String::from_utf8(self.repository().show(DECLARED_IN)?)?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("image: "));
        Ok(line.unwrap_or_default().to_owned())
    }

    /// The tokens of the API and of the webhook receiver.
    pub fn tokens(&self) -> (&str, &str) {
        (&self.secrets.api, &self.secrets.hook)
    }

    /// Where everything is: what people call it, what scripts do, and its address.
    pub fn addresses(&self) -> [(&'static str, &'static str, String); 3] {
        let registry = format!("http://{}", self.registry.address());
        [("registry", "registry", registry), ("cluster API", "clusterApi", self.kube.url()), ("Git remote", "gitRemote", self.remote.url())]
    }

    /// The kubeconfig of the embedded cluster.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}

/// An image in the registry.
pub struct Pushed {
    /// Its repository.
    pub name: String,
    /// Its tag.
    pub tag: String,
    /// Its digest.
    pub digest: String,
}

/// What the embedded node makes of an image: what the registry has, and whether it is broken.
fn resolver(
    registry: Arc<EmbeddedRegistry>,
    broken: Arc<Mutex<HashSet<String>>>,
) -> impl Fn(String) -> std::future::Ready<Resolution> + Send + Sync + 'static {
    move |image| {
        let tag = image.split('@').next().and_then(|name| name.rsplit(':').next()).unwrap_or_default();
        let written = image.split_once('@').map(|(_, digest)| digest.to_owned());
        let Some(digest) = written.or_else(|| registry.digest_of(REPOSITORY, tag)) else {
            return std::future::ready(Resolution::PullError(format!("{image}: not found")));
        };
        let is_broken = broken.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        std::future::ready(if is_broken { Resolution::NeverReady { digest } } else { Resolution::Runs { digest } })
    }
}

/// 128 random bits from the operating system, in hexadecimal.
fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("no random numbers"))?;
    Ok(hex::encode(bytes))
}

fn manifest(image: &str) -> String {
    format!(
        r#"# The shop's front page.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations:
    skeg.dev/policy: patch # 1.0.0 -> 1.0.1, never 1.1.0
    skeg.dev/approvals: "1"
spec:
  replicas: 2
  progressDeadlineSeconds: 8
  selector:
    matchLabels: {{app: web}}
  template:
    metadata:
      labels: {{app: web}}
    spec:
      containers:
        - name: web
          image: {image}
          readinessProbe: {{httpGet: {{path: /, port: 8080}}}}
"#
    )
}

fn deployment(image: &str) -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "annotations": {"skeg.dev/policy": "patch", "skeg.dev/approvals": "1"},
        },
        "spec": {
            "replicas": 2,
            "progressDeadlineSeconds": 8,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image, "readinessProbe": {"httpGet": {"path": "/", "port": 8080}}}]},
            },
        },
    })
}
