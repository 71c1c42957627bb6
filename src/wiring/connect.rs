//! Trying what a configuration names: the cluster, each registry, each Git remote. Nothing is written anywhere.

use std::sync::Arc;

use futures::future::join_all;
use http::{Method, StatusCode};
use serde::Serialize;
use url::Url;

use super::adapt;
use crate::adapters::clock::SystemClock;
use crate::adapters::cluster::ApiServer;
use crate::adapters::fetch::{Ask, Fetch, Reach};
use crate::adapters::git::GitRemotes;
use crate::adapters::journal::ClusterJournal;
use crate::config::{Config, Credential, Registry};
use crate::ports::clock::Clock;
use crate::ports::journal::Journal as _;

/// Bytes of a registry's answer to a version check, which is empty or an error in JSON.
const VERSION_CHECK_BYTES_MAX: usize = 64 * 1024;

/// What came of trying one thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tried {
    /// What kind of thing: `cluster`, `registry`, `remote`.
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
    let context = config.cluster.context.as_deref().unwrap_or("the current one");
    let mut tried = vec![Tried::new("cluster", context, cluster(config).await)];
    tried.extend(join_all(config.registries.iter().map(registry)).await);
    tried.extend(remotes(config).await);
    tried
}

/// Reads the open records, which shows connection, login, permission and definition of the resource at once.
async fn cluster(config: &Config) -> Result<String, String> {
    let connection = adapt::connection(config);
    let api = ApiServer::connect(&connection).await.map_err(|error| error.to_string())?;
    let records = ClusterJournal::new(api, adapt::scope(config)).load().await.map_err(|error| error.to_string())?;
    Ok(format!("answers, {} updates open or binding", records.kept.len()))
}

async fn registry(registry: &Registry) -> Tried {
    let outcome = match secret(registry) {
        Ok(()) => version_check(registry).await,
        Err(missing) => Err(missing),
    };
    Tried::new("registry", &registry.host, outcome)
}

fn secret(registry: &Registry) -> Result<(), String> {
    match &registry.credential {
        None => Ok(()),
        Some(Credential::Basic { password: secret, .. } | Credential::Bearer(secret)) => {
            secret.read().map(drop).map_err(|error| error.to_string())
        }
    }
}

/// Source: OCI distribution specification, "Endpoints", end-1: `GET /v2/` answers 200, or 401 when a login is needed. Whether the login is
/// good shows only with a repository, and the configuration names none.
async fn version_check(registry: &Registry) -> Result<String, String> {
    let fetch = Fetch::new().map_err(|error| error.to_string())?;
    let scheme = if registry.insecure { "http" } else { "https" };
    let host = if &*registry.host == "docker.io" { "registry-1.docker.io" } else { &*registry.host };
    let url = Url::parse(&format!("{scheme}://{host}/v2/")).map_err(|error| error.to_string())?;
    let ask = Ask { reach: Reach::Anywhere, ..Ask::new(Method::GET, url, VERSION_CHECK_BYTES_MAX) };
    let answer = fetch.send(ask).await.map_err(|error| error.to_string())?;
    match answer.status {
        StatusCode::OK => Ok("answers".to_owned()),
        StatusCode::UNAUTHORIZED => Ok("answers, and asks for a login".to_owned()),
        status => Err(format!("answers {status} to the version check: not a registry, or its address is another")),
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
