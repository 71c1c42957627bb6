//! Trying what a configuration names: the cluster, each registry, each Git remote, Slack. Nothing is written anywhere.

use std::sync::Arc;

use futures::future::join_all;
use serde::Serialize;

use super::adapt;
use crate::adapters::clock::SystemClock;
use crate::adapters::cluster::ApiServer;
use crate::adapters::git::GitRemotes;
use crate::adapters::journal::ClusterJournal;
use crate::adapters::registry::{Greeting, RegistryClient};
use crate::adapters::slack::Slack;
use crate::config::{Config, Credential, Registry};
use crate::ports::clock::Clock;
use crate::ports::git::Git as _;
use crate::ports::journal::Journal as _;
use crate::ports::registry::RegistryError;

/// What came of trying one thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tried {
    /// What kind of thing: `cluster`, `registry`, `remote`, `slack`.
    pub part: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it answered as it should.
    pub ok: bool,
    /// What it answered, or what was in the way. No secret is in it.
    pub detail: String,
}

impl Tried {
    fn new(part: &'static str, name: &str, outcome: Result<String, String>) -> Self {
        let ok = outcome.is_ok();
        Self { part, name: name.to_owned(), ok, detail: outcome.unwrap_or_else(|failure| failure) }
    }
}

/// Tries everything, one kind at a time. Each try has the deadline of its adapter.
pub async fn try_all(config: &Config) -> Vec<Tried> {
    let mut tried = vec![cluster(config).await];
    tried.extend(registries(config).await);
    tried.extend(remotes(config).await);
    if let Some(section) = &config.slack {
        tried.push(Tried::new("slack", &section.channel, slack(section).await));
    }
    tried
}

/// Reads the open records, which shows connection, login, permission and definition of the resource at once.
async fn cluster(config: &Config) -> Tried {
    let api = match ApiServer::connect(&adapt::connection(config)).await {
        Ok(api) => api,
        Err(error) => {
            let context = config.cluster.context.as_deref().unwrap_or("the current context");
            return Tried::new("cluster", context, Err(error.to_string()));
        }
    };
    let address = api.address().to_owned();
    let records = ClusterJournal::new(api, adapt::scope(config)).load().await;
    let outcome = records.map(|records| format!("answers, {} updates open or binding", records.kept.len()));
    Tried::new("cluster", &address, outcome.map_err(|error| error.to_string()))
}

/// Who the bot token stands for, and whether the app token opens a socket. Whether the channel can be posted to shows only with a message.
async fn slack(section: &crate::config::Slack) -> Result<String, String> {
    let slack = Slack::new(adapt::slack(section), Arc::new(SystemClock)).map_err(|error| error.to_string())?;
    slack.check().await.map_err(|error| error.to_string())
}

/// Logs in to each registry, as far as it asks for that where no repository is named.
async fn registries(config: &Config) -> Vec<Tried> {
    let client = match RegistryClient::new(adapt::registries(config), Arc::new(SystemClock), Arc::new(|_, _| {})) {
        Ok(client) => client,
        Err(error) => return vec![Tried::new("registry", "all", Err(error.to_string()))],
    };
    let greet = async |(place, registry): (usize, &Registry)| {
        let outcome = client.greet(place).await;
        Tried::new("registry", &registry.host, outcome.map(|greeting| greeted(registry, greeting)).map_err(unmet))
    };
    join_all(config.registries.iter().enumerate().map(greet)).await
}

fn greeted(registry: &Registry, greeting: Greeting) -> String {
    if let (Greeting::LoggedIn, Some(cloud)) = (greeting, registry.identity) {
        return format!("answers, and takes the {} identity", cloud.as_str());
    }
    match (greeting, &registry.credential) {
        (Greeting::Open, None) if registry.identity.is_none() => "answers".to_owned(),
        (Greeting::Open, _) => "answers without a login: whether the configured one is good shows only with a repository".to_owned(),
        (Greeting::AsksForLogin, _) => "answers, and asks for a login; none is configured, so it can show public images only".to_owned(),
        (Greeting::LoggedIn, Some(Credential::Basic { username, .. })) => format!("answers, and takes the login of {username}"),
        (Greeting::LoggedIn, _) => "answers, and takes the token".to_owned(),
    }
}

/// The error without the repository, which nobody named.
fn unmet(error: RegistryError) -> String {
    match error {
        RegistryError::Unauthorized { detail, .. } => format!("not logged in: {detail}"),
        RegistryError::Malformed { detail, .. } | RegistryError::Unreachable { detail, .. } => detail,
        RegistryError::RateLimited { .. } | RegistryError::NotFound { .. } => error.to_string(),
    }
}

async fn remotes(config: &Config) -> Vec<Tried> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let remotes = match GitRemotes::new(adapt::remotes(config), &config.server.cache_dir.join("git"), &clock) {
        Ok(remotes) => remotes,
        Err(error) => return vec![Tried::new("remote", "all", Err(error.to_string()))],
    };
    let check = async |name: &str| {
        let checked = remotes.check(name).await.map(|()| "answers, and has the branch".to_owned());
        Tried::new("remote", name, checked.map_err(|error| error.to_string()))
    };
    join_all(config.remotes.iter().map(|remote| check(&remote.name))).await
}
