//! The logins that pods pull with: which Secret is the one for a repository, and the login in it.
//!
//! First the Secrets of the pod template in their order, then those of its service account. They are read when a repository is, and kept for one
//! poll or so; a login that a registry has refused is read again. Nothing is asked about a namespace that is not opened for this.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use oci_distribution::secrets::RegistryAuth;

use super::docker_config::{DockerConfig, Unreadable};
use super::kept::Kept;
use crate::core::image::Repository;
use crate::core::schedule::after;
use crate::core::workload::Puller;
use crate::ports::clock::Clock;
use crate::ports::cluster::ClusterError;
use crate::ports::pull_secrets::PullSecrets;
use crate::ports::registry::Access;

/// How long what was read is good: one poll interval unless configured otherwise, so each Secret costs one call in that time.
const GOOD_FOR: Duration = Duration::from_mins(5);
/// A login that was refused is not read again sooner than this after it was read.
const RENEWED_AFTER: Duration = Duration::from_secs(10);
/// Secrets and service accounts kept. A cluster has a few for each namespace.
const KEPT_MAX: usize = 10_000;
/// Secrets looked at for one pod. Pods have one or two.
const SECRETS_MAX: usize = 20;

/// Namespace and name.
type Key = (Box<str>, Box<str>);

/// The pull secrets of a cluster.
pub(super) struct Pulls {
    reader: Arc<dyn PullSecrets>,
    secrets: Kept<Key, Option<Arc<DockerConfig>>, Box<str>>,
    accounts: Kept<Key, Arc<[Box<str>]>, Box<str>>,
    clock: Arc<dyn Clock>,
}

impl Pulls {
    /// Reads with `reader`.
    pub fn new(reader: Arc<dyn PullSecrets>, clock: &Arc<dyn Clock>) -> Self {
        Self { reader, secrets: Kept::new(clock, KEPT_MAX), accounts: Kept::new(clock, KEPT_MAX), clock: Arc::clone(clock) }
    }

    /// Reads what [`Pulls::choose`] goes by, as far as it is needed.
    pub async fn learn(&self, repository: &Repository, puller: &Puller<'_>) {
        if !self.reader.may_read(puller.namespace) || self.knows(repository, puller.namespace, puller.secrets).await {
            return;
        }
        if let Ok(names) = self.account(puller).await {
            self.knows(repository, puller.namespace, &names).await;
        }
    }

    /// Reads the Secrets up to the first that is for the repository; whether there is one.
    async fn knows(&self, repository: &Repository, namespace: &str, names: &[Box<str>]) -> bool {
        for name in names.iter().take(SECRETS_MAX) {
            let read = self.secret(&(namespace.into(), name.clone())).await;
            if is_for(repository, &read) {
                return true;
            }
        }
        false
    }

    /// The first Secret that is for the repository, by what was read last. One that cannot be read may be it: its trouble is told by the login.
    pub fn choose(&self, repository: &Repository, puller: &Puller<'_>) -> Option<Access> {
        if !self.reader.may_read(puller.namespace) {
            return None;
        }
        let first = |names: &[Box<str>]| {
            let key = |name: &str| (Box::from(puller.namespace), Box::from(name));
            let is_it = |name: &str| self.secrets.peek(&key(name)).is_some_and(|read| is_for(repository, &read));
            names.iter().take(SECRETS_MAX).find(|name| is_it(name)).cloned()
        };
        let of_account = || {
            let account = self.accounts.peek(&(puller.namespace.into(), puller.service_account.into()))?;
            first(&account.ok()?)
        };
        let name = first(puller.secrets).or_else(of_account)?;
        Some(Access::PullSecret { namespace: puller.namespace.into(), name })
    }

    /// The login for the repository in a Secret.
    pub async fn login(&self, namespace: &str, name: &str, repository: &Repository) -> Result<RegistryAuth, String> {
        login_in(self.secret(&(namespace.into(), name.into())).await, (namespace, name), repository)
    }

    /// The same after it was refused: as it is stored now.
    pub async fn renewed(&self, namespace: &str, name: &str, repository: &Repository) -> Result<RegistryAuth, String> {
        let key: Key = (namespace.into(), name.into());
        login_in(self.secrets.renew(&key, RENEWED_AFTER, self.read(&key)).await, (namespace, name), repository)
    }

    async fn secret(&self, key: &Key) -> Result<Option<Arc<DockerConfig>>, Box<str>> {
        self.secrets.get(key, self.read(key)).await
    }

    async fn read(&self, key: &Key) -> Result<(Option<Arc<DockerConfig>>, Timestamp), Box<str>> {
        let until = after(self.clock.now(), GOOD_FOR);
        let (namespace, name) = key;
        let secret = match self.reader.secret(namespace, name).await {
            Ok(secret) => secret,
            // What was read before is still more likely to hold than nothing.
            Err(error) if may_pass(&error) => match self.secrets.peek(key) {
                Some(Ok(earlier)) => return Ok((earlier, until)),
                Some(Err(_)) | None => return Err(error.to_string().into()),
            },
            Err(error) => return Err(error.to_string().into()),
        };
        let config = secret.map(|secret| DockerConfig::read(&secret)).transpose();
        let config = config.map_err(|error| format!("Secret {namespace}/{name}: {error}"))?;
        Ok((config.map(Arc::new), until))
    }

    async fn account(&self, puller: &Puller<'_>) -> Result<Arc<[Box<str>]>, Box<str>> {
        let key: Key = (puller.namespace.into(), puller.service_account.into());
        let read = async {
            let until = after(self.clock.now(), GOOD_FOR);
            match self.reader.of_service_account(puller.namespace, puller.service_account).await {
                Ok(names) => Ok((names.into(), until)),
                Err(error) => match self.accounts.peek(&key) {
                    Some(Ok(earlier)) if may_pass(&error) => Ok((earlier, until)),
                    _ => {
                        tracing::warn!(error = %error, "the pull secrets of a service account are not known");
                        Err(error.to_string().into())
                    }
                },
            }
        };
        self.accounts.get(&key, read).await
    }
}

fn login_in(
    read: Result<Option<Arc<DockerConfig>>, Box<str>>,
    (namespace, name): (&str, &str),
    repository: &Repository,
) -> Result<RegistryAuth, String> {
    let secret = || format!("Secret {namespace}/{name}");
    let config = read?.ok_or_else(|| format!("{} is not there any more", secret()))?;
    match config.login(repository) {
        Some(Ok(login)) => Ok(login.clone()),
        Some(Err(Unreadable)) => Err(format!("{} has a login for it that is not base64 of user and password", secret())),
        None => Err(format!("{} has no login for it any more", secret())),
    }
}

/// Whether the Secret is the one for the repository, or may be it.
fn is_for(repository: &Repository, read: &Result<Option<Arc<DockerConfig>>, Box<str>>) -> bool {
    match read {
        Ok(config) => config.as_ref().is_some_and(|config| config.login(repository).is_some()),
        Err(_) => true,
    }
}

fn may_pass(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Unreachable { .. } | ClusterError::Busy { .. } | ClusterError::Conflict { .. })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::adapters::registry::hand_clock::HandClock;
    use crate::ports::pull_secrets::{PullSecret, PullSecretForm};

    /// The Secrets of namespace `team`, and what was read of it.
    #[derive(Default)]
    struct Team {
        secrets: Mutex<HashMap<String, String>>,
        accounts: Mutex<HashMap<String, Vec<&'static str>>>,
        away: Mutex<Option<ClusterError>>,
        reads: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl PullSecrets for Team {
        fn may_read(&self, namespace: &str) -> bool {
            namespace == "team"
        }

        async fn secret(&self, namespace: &str, name: &str) -> Result<Option<PullSecret>, ClusterError> {
            self.reads.lock().unwrap().push(format!("{namespace}/{name}"));
            if let Some(error) = self.away.lock().unwrap().clone() {
                return Err(error);
            }
            let content = self.secrets.lock().unwrap().get(name).cloned();
            Ok(content.map(|text| PullSecret { form: PullSecretForm::Cfg, content: text.into_bytes() }))
        }

        async fn of_service_account(&self, namespace: &str, name: &str) -> Result<Vec<Box<str>>, ClusterError> {
            self.reads.lock().unwrap().push(format!("account {namespace}/{name}"));
            let accounts = self.accounts.lock().unwrap();
            Ok(accounts.get(name).into_iter().flatten().map(|name| (*name).into()).collect())
        }
    }

    struct Bench {
        team: Arc<Team>,
        clock: Arc<HandClock>,
        pulls: Pulls,
    }

    impl Bench {
        fn new() -> Self {
            let (team, clock) = (Arc::new(Team::default()), Arc::new(HandClock::default()));
            let as_clock: Arc<dyn Clock> = clock.clone();
            Self { pulls: Pulls::new(team.clone(), &as_clock), team, clock }
        }

        fn store(&self, name: &str, host: &str, password: &str) {
            let text = format!(r#"{{"{host}": {{"username": "robot", "password": "{password}"}}}}"#);
            self.team.secrets.lock().unwrap().insert(name.to_owned(), text);
        }

        /// The name of the Secret that is chosen, after what it takes was read.
        async fn chosen(&self, namespace: &str, secrets: &[&str], account: &str) -> Option<String> {
            let secrets: Vec<Box<str>> = secrets.iter().map(|name| (*name).into()).collect();
            let puller = Puller { namespace, secrets: &secrets, service_account: account };
            self.pulls.learn(&app(), &puller).await;
            match self.pulls.choose(&app(), &puller)? {
                Access::PullSecret { namespace, name } => Some(format!("{namespace}/{name}")),
                other => panic!("{other}"),
            }
        }

        fn reads(&self) -> Vec<String> {
            std::mem::take(&mut *self.team.reads.lock().unwrap())
        }
    }

    fn app() -> Repository {
        "r.test/team/app".parse().unwrap()
    }

    fn basic(password: &str) -> RegistryAuth {
        RegistryAuth::Basic("robot".to_owned(), password.to_owned())
    }

    #[tokio::test]
    async fn the_workloads_secrets_come_before_those_of_its_service_account() {
        let bench = Bench::new();
        for (name, host) in [("own", "r.test"), ("second", "r.test/team"), ("accounts", "r.test"), ("elsewhere", "other.test")] {
            bench.store(name, host, "p");
        }
        bench.team.accounts.lock().unwrap().insert("default".to_owned(), vec!["elsewhere", "accounts"]);
        for (secrets, expected) in [
            (&["own", "second"][..], Some("team/own")),
            (&["absent", "elsewhere", "second"], Some("team/second")),
            (&["elsewhere"], Some("team/accounts")),
            (&[], Some("team/accounts")),
        ] {
            assert_eq!(bench.chosen("team", secrets, "default").await.as_deref(), expected, "{secrets:?}");
        }
        assert_eq!(bench.chosen("team", &["elsewhere"], "other").await, None);
    }

    /// SE-02.
    #[tokio::test]
    async fn nothing_is_read_for_a_namespace_that_is_not_opened() {
        let bench = Bench::new();
        bench.store("own", "r.test", "p");
        assert_eq!(bench.chosen("team", &["own"], "default").await.as_deref(), Some("team/own"));
        bench.reads();
        assert_eq!(bench.chosen("other", &["own"], "default").await, None);
        assert!(bench.reads().is_empty());
    }

    #[tokio::test]
    async fn a_secret_is_read_once_a_while_and_again_when_its_login_was_refused() {
        let bench = Bench::new();
        bench.store("own", "r.test", "old");
        for _ in 0..3 {
            assert!(bench.chosen("team", &["own"], "default").await.is_some());
            assert_eq!(bench.pulls.login("team", "own", &app()).await, Ok(basic("old")));
        }
        assert_eq!(bench.reads(), ["team/own"]);
        bench.store("own", "r.test", "new");
        assert_eq!(bench.pulls.renewed("team", "own", &app()).await, Ok(basic("old")), "it was read a moment ago");
        bench.clock.advance(RENEWED_AFTER);
        assert_eq!(bench.pulls.renewed("team", "own", &app()).await, Ok(basic("new")));
        assert_eq!(bench.reads(), ["team/own"]);
        bench.store("own", "r.test", "newer");
        bench.clock.advance(GOOD_FOR);
        assert_eq!(bench.pulls.login("team", "own", &app()).await, Ok(basic("newer")));
    }

    #[tokio::test]
    async fn an_api_server_that_is_away_costs_no_login_and_one_that_says_no_does() {
        let bench = Bench::new();
        bench.store("own", "r.test", "p");
        assert!(bench.chosen("team", &["own"], "default").await.is_some());
        let away = ClusterError::Unreachable { object: "Secret team/own".to_owned(), detail: "no answer".to_owned() };
        *bench.team.away.lock().unwrap() = Some(away);
        bench.clock.advance(GOOD_FOR);
        assert_eq!(bench.pulls.login("team", "own", &app()).await, Ok(basic("p")));
        let forbidden = ClusterError::Forbidden { object: "Secret team/own".to_owned(), detail: "no".to_owned() };
        *bench.team.away.lock().unwrap() = Some(forbidden);
        bench.clock.advance(GOOD_FOR);
        assert_eq!(bench.chosen("team", &["own"], "default").await.as_deref(), Some("team/own"), "its trouble is told, not passed over");
        assert_eq!(bench.pulls.login("team", "own", &app()).await, Err("Secret team/own: not allowed: no".to_owned()));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_secret_is_told_without_what_it_holds() {
        let bench = Bench::new();
        bench.store("own", "r.test", "canary");
        assert!(bench.chosen("team", &["own"], "default").await.is_some());
        bench.team.secrets.lock().unwrap().insert("own".to_owned(), "canary".to_owned());
        bench.clock.advance(GOOD_FOR);
        let error = bench.pulls.login("team", "own", &app()).await.unwrap_err();
        assert!(error.starts_with("Secret team/own: ") && !error.contains("canary"), "{error}");
        bench.team.secrets.lock().unwrap().remove("own");
        bench.clock.advance(GOOD_FOR);
        assert_eq!(bench.pulls.login("team", "own", &app()).await, Err("Secret team/own is not there any more".to_owned()));
    }
}
