//! Trying what a configuration names: each registry, the cluster, each Git remote. Nothing is written anywhere.

use futures::future::join_all;
use http::{Method, StatusCode};
use serde::Serialize;
use url::Url;

use crate::adapters::fetch::{Ask, Fetch, Reach};
use crate::config::{Config, Registry};

/// Bytes of a registry's answer to a version check, which is empty or an error in JSON.
const VERSION_CHECK_BYTES_MAX: usize = 64 * 1024;

/// What came of trying one thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tried {
    /// What kind of thing: `registry`, `cluster`, `remote`.
    pub part: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it answered as it should.
    pub ok: bool,
    /// What it answered, or what was in the way. No secret is in it.
    pub detail: String,
}

impl Tried {
    fn new(part: &'static str, name: impl Into<String>, outcome: Result<String, String>) -> Self {
        let ok = outcome.is_ok();
        Self { part, name: name.into(), ok, detail: outcome.unwrap_or_else(|failure| failure) }
    }
}

/// Tries everything, at the same time.
pub async fn try_all(config: &Config) -> Vec<Tried> {
    join_all(config.registries.iter().map(registry)).await
}

/// Source: OCI distribution specification, "Endpoints", end-1: `GET /v2/` answers 200, or 401 when a login is needed.
async fn registry(registry: &Registry) -> Tried {
    Tried::new("registry", &*registry.host, version_check(registry).await)
}

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
