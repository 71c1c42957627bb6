//! Sections of the configuration as the adapters take them.

use std::sync::Arc;

use crate::adapters::cluster::{Connection, NodesState, Scope, WatchState, Watched};
use crate::adapters::fetch::TlsFiles;
use crate::adapters::git::{GitAuthor, GitRemote, SecretSource, SshFiles};
use crate::adapters::registry::{CredentialProvider, RegistryAuth, RegistryEntry};
use crate::adapters::slack::{self, TokenSource};
use crate::config::{Config, Credential, Namespaces, Secret};
use crate::http::view::{PartState, PartView};

/// How to reach the cluster.
pub fn connection(config: &Config) -> Connection {
    Connection { kubeconfig: config.cluster.kubeconfig.clone(), context: config.cluster.context.as_deref().map(Into::into) }
}

/// The namespaces to look at.
pub fn scope(config: &Config) -> Scope {
    if config.cluster.namespaces.is_empty() { Scope::All } else { Scope::Namespaces(config.cluster.namespaces.clone()) }
}

/// `[[registry]]`
pub fn registries(config: &Config) -> Vec<RegistryEntry> {
    let entry = |registry: &crate::config::Registry| RegistryEntry {
        host: registry.host.to_string(),
        insecure: registry.insecure,
        namespaces: names(&registry.namespaces).iter().map(ToString::to_string).collect(),
        credential: registry.credential.clone().map(registry_login),
        identity: registry.identity,
        concurrency: count(registry.concurrency),
        rate: registry.rate,
        mirror: registry.mirror.clone(),
        tls: TlsFiles { authorities: registry.ca.clone(), client: registry.client.clone() },
    };
    config.registries.iter().map(entry).collect()
}

fn registry_login(credential: Credential) -> CredentialProvider {
    Arc::new(move || match &credential {
        Credential::Basic { username, password } => read(password).map(|password| RegistryAuth::Basic(username.to_string(), password)),
        Credential::Bearer(token) => read(token).map(RegistryAuth::Bearer),
    })
}

/// `[[git]]`
pub fn remotes(config: &Config) -> Vec<GitRemote> {
    let remote = |remote: &crate::config::Remote| {
        let (username, password) = git_login(remote.credential.clone());
        GitRemote {
            name: remote.name.clone(),
            url: remote.url.as_str().into(),
            insecure: remote.insecure,
            branch: remote.branch.clone(),
            path: remote.path.clone(),
            namespaces: names(&remote.namespaces),
            username,
            password,
            ssh: remote.ssh.clone().map(|files| SshFiles { key: files.key_file, known_hosts: files.known_hosts_file }),
            author: GitAuthor { name: remote.author_name.clone(), email: remote.author_email.clone() },
            ca_file: None,
        }
    };
    config.remotes.iter().map(remote).collect()
}

fn git_login(credential: Option<Credential>) -> (Option<Box<str>>, Option<SecretSource>) {
    let (username, secret) = match credential {
        None => return (None, None),
        Some(Credential::Basic { username, password }) => (Some(username), password),
        Some(Credential::Bearer(token)) => (None, token),
    };
    (username, Some(Arc::new(move || read(&secret))))
}

/// `[slack]`
pub fn slack(section: &crate::config::Slack) -> slack::Settings {
    let token = |secret: &Secret| -> TokenSource {
        let secret = secret.clone();
        Arc::new(move || read(&secret))
    };
    slack::Settings {
        bot_token: token(&section.bot_token),
        app_token: token(&section.app_token),
        channel: section.channel.clone(),
        api_url: section.api_url.clone(),
    }
}

fn read(secret: &Secret) -> Result<String, String> {
    secret.read().map(|value| value.expose().to_owned()).map_err(|error| error.to_string())
}

fn names(namespaces: &Namespaces) -> Vec<Box<str>> {
    match namespaces {
        Namespaces::All => vec!["*".into()],
        Namespaces::Named(names) => names.clone(),
    }
}

/// A configured number as one to count with.
pub fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How a watch stands, for the status page.
pub fn watch(watch: &WatchState) -> PartView {
    let name = format!("{} in {}", watch.what, watch.namespace.as_deref().unwrap_or("all namespaces"));
    let (state, detail) = match (&watch.trouble, watch.filled) {
        (Some(trouble), false) if trouble.refused && watch.what == Watched::Namespaces => {
            let needs = if watch.namespace.is_some() { "get" } else { "list and watch" };
            (PartState::Degraded, format!("not read, and not heeded: skeg may not {needs} namespaces: {}", trouble.error))
        }
        (Some(trouble), _) => (PartState::Degraded, format!("since {:.0}: {}", trouble.since, trouble.error)),
        (None, false) => (PartState::Unknown, "the first listing is not complete".to_owned()),
        (None, true) => (PartState::Ok, String::new()),
    };
    PartView { name, state, detail, last_ok: None }
}

/// A Namespace with wrong directives, for the status page.
pub fn wrong_namespace((name, mistakes): (String, Vec<String>)) -> PartView {
    let more = mistakes.len().saturating_sub(1);
    let first = mistakes.into_iter().next().unwrap_or_default();
    let others = if more == 0 { String::new() } else { format!(", and {more} more") };
    PartView::degraded(format!("Namespace {name}"), format!("its managed workloads are held: {first}{others}"))
}

/// How the watch on the nodes stands. That they may not be read is no trouble: it is how somebody wants it, or a right to give.
pub fn nodes(NodesState { count, platforms, filled, trouble }: NodesState) -> PartView {
    let (state, detail) = match trouble {
        Some(trouble) if trouble.refused => {
            let known = "nodes may not be listed, so only a workload that names its platform is held to it";
            (PartState::Unknown, format!("{known}: {}", trouble.error))
        }
        Some(trouble) => (PartState::Degraded, format!("since {:.0}: {}", trouble.since, trouble.error)),
        None if !filled => (PartState::Unknown, "the first listing is not complete".to_owned()),
        None if platforms.is_empty() => (PartState::Ok, format!("{count} nodes, and no platform is told")),
        None => (PartState::Ok, format!("{count} nodes: {platforms}")),
    };
    PartView { name: "nodes".to_owned(), state, detail, last_ok: None }
}
