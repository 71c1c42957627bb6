//! Where the API server is and who skeg is to it: kubeconfig or service account.
//!
//! A kubeconfig holds credentials, so what is wrong with one is told with its place and never with its text.

use std::path::PathBuf;

use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::answer;
use crate::core::address::is_loopback;

/// Where the API server is and who skeg is to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Connection {
    /// The kubeconfig to read. `None` takes what `kubectl` would: `KUBECONFIG`, `~/.kube/config`, else the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; `None` takes its current one.
    pub context: Option<String>,
}

/// Why there is no client. The server itself was not asked yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig is missing or wrong.
    #[error("{file}: {problem}")]
    Kubeconfig {
        /// The file, or what was looked for.
        file: String,
        /// What is wrong, without the file's text: it holds credentials.
        problem: String,
    },
    /// There is neither a kubeconfig nor the service account of a pod.
    #[error("no kubeconfig ({problem}), and not in a pod")]
    Nowhere {
        /// What is wrong with the kubeconfig.
        problem: String,
        /// Why this is no pod.
        #[source]
        source: InClusterError,
    },
    /// A certificate, key or address in it cannot be used.
    #[error("the connection to the API server cannot be set up: {problem}")]
    Unusable {
        /// What is wrong.
        problem: String,
    },
}

/// What the client library is to be told, as far as the configuration says it.
pub(super) async fn configuration(connection: &Connection) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let Some(path) = &connection.kubeconfig else {
        let found = match Kubeconfig::read() {
            Ok(kubeconfig) => read(kubeconfig, &options).await,
            Err(error) => Err(error),
        };
        return match found {
            Ok(config) => Ok(config),
            Err(error) if connection.context.is_some() => {
                Err(ConnectError::Kubeconfig { file: "kubeconfig".to_owned(), problem: problem(&error) })
            }
            Err(error) => Config::incluster().map_err(|source| ConnectError::Nowhere { problem: problem(&error), source }),
        };
    };
    let wrong = |error: KubeconfigError| ConnectError::Kubeconfig { file: path.display().to_string(), problem: problem(&error) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    read(kubeconfig, &options).await.map_err(wrong)
}

/// The client library takes `HTTPS_PROXY` for every server when the kubeconfig names no proxy. `kubectl` leaves out this machine and what
/// `NO_PROXY` says, and so does skeg.
async fn read(kubeconfig: Kubeconfig, options: &KubeConfigOptions) -> Result<Config, KubeconfigError> {
    let has_own_proxy = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref()).any(|cluster| cluster.proxy_url.is_some());
    let mut config = Config::from_custom_kubeconfig(kubeconfig, options).await?;
    if !has_own_proxy && !is_proxied(&config.cluster_url) {
        config.proxy_url = None;
    }
    Ok(config)
}

/// Whether the surroundings ask for a proxy on the way to this address.
fn is_proxied(address: &http::Uri) -> bool {
    !address.host().is_some_and(is_loopback) && Matcher::from_env().intercept(address).is_some()
}

/// What is wrong with a kubeconfig. A parser shows the lines around a mistake, and those hold credentials: only the place is repeated.
fn problem(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::CurrentContextNotSet => "no current context".to_owned(),
        KubeconfigError::LoadContext(name) => format!("no context {}", answer::line(name)),
        KubeconfigError::LoadClusterOfContext(name) => format!("no cluster {}", answer::line(name)),
        KubeconfigError::FindPath => "not found".to_owned(),
        KubeconfigError::ParseProxyUrl(_) => "the proxy (proxy-url, HTTPS_PROXY) is no address".to_owned(),
        KubeconfigError::ParseNoProxy(_) => "NO_PROXY is no list of hosts".to_owned(),
        KubeconfigError::MissingClusterUrl => "the cluster has no server".to_owned(),
        KubeconfigError::ParseClusterUrl(error) => format!("the cluster's server is no address: {error}"),
        KubeconfigError::LoadCertificateAuthority(error) => format!("certificate authority: {}", answer::chain(error)),
        KubeconfigError::LoadClientCertificate(error) => format!("client certificate: {}", answer::chain(error)),
        KubeconfigError::LoadClientKey(error) => format!("client key: {}", answer::chain(error)),
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!("line {}, column {}: not a kubeconfig", place.line(), place.column()),
            None => "not a kubeconfig".to_owned(),
        },
        _ => "it cannot be read as a kubeconfig".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::ApiServer;
    use super::*;

    const CANARY: &str = "canary-7f3a";

    #[track_caller]
    fn check(text: Option<&str>, context: Option<&str>, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = connect(&path, context).expect_err("there is something wrong with it");
        let told = answer::chain(&error);
        assert!(told.contains(expected), "{told}");
        assert!(!format!("{told} {error:?}").contains(CANARY), "{told} {error:?}");
    }

    fn connect(path: &Path, context: Option<&str>) -> Result<(), ConnectError> {
        let connection = Connection { kubeconfig: Some(path.to_owned()), context: context.map(Into::into) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { ApiServer::connect(&connection).await.map(drop) })
    }

    fn kubeconfig(server: &str, user: &str) -> String {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "a",
                 "clusters": [{{"name": "a", "cluster": {{"server": "{server}"}}}}],
                 "users": [{{"name": "a", "user": {user}}}],
                 "contexts": [{{"name": "a", "context": {{"cluster": "a", "user": "a"}}}}]}}"#
        )
    }

    #[test]
    fn a_wrong_kubeconfig_is_told_with_its_place_and_without_its_text() {
        let token = format!(r#"{{"token": "{CANARY}"}}"#);
        check(None, None, "kubeconfig: ");
        check(Some(&format!("users:\n  - user: {{token: [{CANARY}\n")), None, "not a kubeconfig");
        check(Some(&format!("users: {CANARY}\n")), None, "line 1");
        check(Some(&kubeconfig("http://127.0.0.1:1", &token)), Some("other"), "no context other");
        check(Some(&kubeconfig("not an address", &token)), None, "no address");
        let certificate = format!(r#"{{"client-certificate-data": "{CANARY}!", "client-key-data": "{CANARY}!"}}"#);
        check(Some(&kubeconfig("https://127.0.0.1:1", &certificate)), None, "cannot be set up");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_told_without_its_login() {
        for proxy in ["ftp://user:canary-7f3a@proxy.example.com", "socks5://user:canary-7f3a@proxy.example.com"] {
            let cluster = format!(r#"{{"server": "https://10.0.0.1", "proxy-url": "{proxy}"}}"#);
            let text = kubeconfig("https://10.0.0.1", "{}").replace(r#"{"server": "https://10.0.0.1"}"#, &cluster);
            check(Some(&text), None, "http:// or https://");
        }
        let cluster = r#"{"server": "https://10.0.0.1", "proxy-url": "not an address canary-7f3a"}"#;
        check(Some(&kubeconfig("https://10.0.0.1", "{}").replace(r#"{"server": "https://10.0.0.1"}"#, cluster)), None, "is no address");
    }

    #[test]
    fn a_server_that_is_away_is_no_mistake_of_the_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), kubeconfig("http://127.0.0.1:1", "{}")).unwrap();
        assert!(connect(file.path(), None).is_ok());
    }
}
