//! Registry, cluster and Git remote, each on a loopback port of its own, and the folder that skeg starts from.

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use skeg::config::{self, Config};
use skeg::embedded::git::{BareRepository, GitRemote, Login};
use skeg::embedded::kube::{EmbeddedKube, Options, Resolution, Rollouts};
use skeg::embedded::registry::{Access, EmbeddedRegistry, Image};

use super::Workload;

/// The namespace of every workload.
pub const NAMESPACE: &str = "shop";
/// The token of the API's caller, who is `user:ops`.
pub const API_TOKEN: &str = "token-of-the-api";
/// The token of the webhook's sender.
pub const HOOK_TOKEN: &str = "token-of-the-hook";
/// skeg's bot token in Slack.
pub const SLACK_BOT_TOKEN: &str = "xoxb-token-of-the-bot";
/// skeg's token for Socket Mode.
pub const SLACK_APP_TOKEN: &str = "xapp-token-of-the-app";
/// The channel that skeg asks in.
pub const SLACK_CHANNEL: &str = "C0000000001";
/// Who commits to Git beside skeg.
pub const PERSON: &str = "Pat Person <pat@example.com>";

/// What is to be built.
pub struct Setup {
    /// What runs and is declared in Git; every image in it is in the registry.
    pub workloads: Vec<Workload>,
    /// `[poll] interval`.
    pub poll: &'static str,
    /// `[settle] window`.
    pub settle: &'static str,
    /// `[cluster] mode`.
    pub mode: &'static str,
    /// Whether anything becomes of a patch: pods and a status, as controllers and nodes make them.
    pub rolls_out: bool,
    /// Who may use the registry; skeg is given the login, if there is one.
    pub access: Access,
    /// The password that skeg has for the registry, if not the right one.
    pub registry_password: Option<&'static str>,
    /// `[cluster] pull_secrets`.
    pub pull_secrets: &'static [&'static str],
    /// `[cluster] platforms`.
    pub platforms: &'static str,
    /// Further sections of the configuration.
    pub more: &'static str,
    /// Where Slack is, if people are asked there; `slack:U1` and `slack:U2` may vote then, too.
    pub slack: Option<String>,
}

impl Setup {
    /// These workloads, polled every second, decided at once.
    pub fn of(workloads: impl IntoIterator<Item = Workload>) -> Self {
        let workloads = workloads.into_iter().collect();
        Self {
            workloads,
            poll: "1s",
            settle: "0s",
            mode: "act",
            rolls_out: true,
            access: Access::Anonymous,
            registry_password: None,
            pull_secrets: &[],
            platforms: "auto",
            more: "",
            slack: None,
        }
    }

    /// One workload, `web`, that runs `shop/web:1.0.0` and needs one approval.
    pub fn with_approval() -> Self {
        Self::of([Workload::new("web", "shop/web", "1.0.0").directive("approvals", "1")])
    }

    /// One workload, `web`, that runs `shop/web:1.0.0` and is updated at once.
    pub fn at_once() -> Self {
        Self::of([Workload::new("web", "shop/web", "1.0.0")])
    }

    /// Asks in the Slack at this address.
    #[must_use]
    pub fn with_slack(self, api_url: String) -> Self {
        Self { slack: Some(api_url), ..self }
    }

    /// Polls once after the start and not again within any test, so that what happens later has another cause.
    #[must_use]
    pub fn without_polls(self) -> Self {
        Self { poll: "1h", ..self }
    }
}

/// The far ends.
pub struct Stage {
    /// The registry.
    pub registry: Arc<EmbeddedRegistry>,
    /// The cluster.
    pub kube: EmbeddedKube,
    /// The Git remote.
    pub remote: GitRemote,
    /// skeg's folder.
    folder: tempfile::TempDir,
    config: String,
    /// The length of the lease, if not the usual one.
    pub lease: Option<Duration>,
    broken: Arc<Mutex<HashSet<String>>>,
}

impl Stage {
    /// Starts the far ends, with everything in place.
    pub fn build(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(EmbeddedRegistry::start(setup.access.clone()).unwrap());
        let host = registry.address().to_string();
        for (_, repository, tag) in setup.workloads.iter().flat_map(|workload| &workload.containers) {
            registry.push_image(repository, tag, &Image::new(format!("{repository} {tag}"))).unwrap();
        }
        let manifests: Vec<(String, String)> = setup.workloads.iter().map(|workload| (workload.path(), workload.manifest(&host))).collect();
        let files = manifests.iter().map(|(path, text)| (path.as_str(), text.as_bytes()));
        let repository = BareRepository::create(folder.path().join("fleet.git"), files).unwrap();
        let remote = GitRemote::serve(repository, Some(Login::new("skeg", "git-password"))).unwrap();
        let broken: Arc<Mutex<HashSet<String>>> = Arc::default();
        let rollouts = setup.rolls_out.then(|| Rollouts::new(resolver(Arc::clone(&registry), Arc::clone(&broken))));
        let kube = EmbeddedKube::start(Options { rollouts, ..Options::default() }).unwrap();
        kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "skeg"}})).unwrap();
        for workload in &setup.workloads {
            kube.apply(workload.object(&host)).unwrap();
        }
        let config = configuration(setup, &host, &remote.url());
        let stage = Self { registry, kube, remote, folder, config, lease: None, broken };
        stage.write("api", API_TOKEN);
        stage.write("hook", HOOK_TOKEN);
        stage.write("git", "git-password");
        stage.write("bot-token", SLACK_BOT_TOKEN);
        stage.write("app-token", SLACK_APP_TOKEN);
        stage.write("kubeconfig", &stage.kube.kubeconfig());
        if let Some(login) = login(&setup.access) {
            stage.write("registry", setup.registry_password.unwrap_or(&login.password));
        }
        stage
    }

    /// Writes a file into skeg's folder: `registry` and `git` hold the passwords.
    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// The configuration that skeg runs with.
    pub fn config(&self) -> Config {
        let mut config = config::load(&self.config_file()).unwrap();
        config.cluster.lease = self.lease.unwrap_or(config.cluster.lease);
        config
    }

    /// The same as a file like any other.
    pub fn config_file(&self) -> PathBuf {
        self.write("skeg.toml", &self.config);
        self.folder.path().join("skeg.toml")
    }

    /// Pushes an image that runs, as CI would; gives its digest.
    pub fn push(&self, repository: &str, tag: &str) -> String {
        self.registry.push_image(repository, tag, &Image::new(format!("{repository} {tag}"))).unwrap()
    }

    /// The text of a file in Git.
    pub fn declared(&self, path: &str) -> String {
        String::from_utf8(self.remote.repository().show(path).unwrap()).unwrap()
    }

    /// An image text of this registry.
    pub fn image(&self, repository: &str, tag: &str) -> String {
        format!("{}/{repository}:{tag}", self.registry.address())
    }

    /// Lets containers of this image never get ready.
    pub fn break_image(&self, digest: &str) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.to_owned());
    }
}

fn configuration(setup: &Setup, registry: &str, remote: &str) -> String {
    let Setup { poll, settle, mode, pull_secrets, platforms, more, .. } = setup;
    let (slack, approvers) = slack(setup);
    let login = login(&setup.access)
        .map(|login| format!("namespaces = [\"{NAMESPACE}\"]\nusername = \"{}\"\npassword_file = \"registry\"", login.user));
    let login = login.unwrap_or_default();
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
private_listen = "127.0.0.1:0"
token_file = "api"
user = "ops"
cache_dir = "cache"

[cluster]
kubeconfig = "kubeconfig"
mode = "{mode}"
pull_secrets = {pull_secrets:?}
platforms = "{platforms}"

[poll]
interval = "{poll}"

[settle]
window = "{settle}"

[approvals]
approvers = [{approvers}]

{slack}

[[registry]]
host = "{registry}"
insecure = true
{login}

[[git]]
name = "fleet"
url = "{remote}"
insecure = true
namespaces = ["{NAMESPACE}"]
username = "skeg"
password_file = "git"

[[webhook]]
source = "native"
token_file = "hook"

{more}
"#
    )
}

/// The section, and who may vote.
fn slack(setup: &Setup) -> (String, &'static str) {
    let Some(url) = &setup.slack else { return (String::new(), r#""user:ops""#) };
    let section = format!(
        "[slack]\nchannel = \"{SLACK_CHANNEL}\"\nbot_token_file = \"bot-token\"\napp_token_file = \"app-token\"\napi_url = \"{url}\""
    );
    (section, r#""user:ops", "slack:U1", "slack:U2""#)
}

fn login(access: &Access) -> Option<&Login> {
    match access {
        Access::Anonymous => None,
        Access::Basic(login) | Access::Bearer { login, .. } => Some(login),
    }
}

/// What the embedded node makes of an image: what the registry has, and whether it is broken.
fn resolver(
    registry: Arc<EmbeddedRegistry>,
    broken: Arc<Mutex<HashSet<String>>>,
) -> impl Fn(String) -> Ready<Resolution> + Send + Sync + 'static {
    move |image| {
        let (name, digest) = image.split_once('@').map_or((image.as_str(), None), |(name, digest)| (name, Some(digest.to_owned())));
        let (_, path) = name.split_once('/').unwrap_or_default();
        let (repository, tag) = path.rsplit_once(':').unwrap_or_default();
        let Some(digest) = digest.or_else(|| registry.digest_of(repository, tag)) else {
            return ready(Resolution::PullError(format!("{image}: not found")));
        };
        let is_broken = broken.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest);
        ready(if is_broken { Resolution::NeverReady { digest } } else { Resolution::Runs { digest } })
    }
}
