//! The client against registries that work, and against servers that do not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::hand_clock::HandClock;
use super::*;
use crate::adapters::fetch::scripted::{Scripted, answer};
use crate::embedded::registry::{self as embedded, EmbeddedRegistry, Fault, Image, Login, Matcher, Operation};

mod listings;
mod logins;
mod manifests;

/// A registry with a client that is configured for it.
struct Bench {
    registry: EmbeddedRegistry,
    client: RegistryClient,
    clock: Arc<HandClock>,
    requests: Arc<Mutex<Vec<String>>>,
    repository: Repository,
}

impl Bench {
    fn new(access: embedded::Access, login: Option<(&str, &str)>) -> Self {
        let registry = EmbeddedRegistry::start(access).unwrap();
        let host = registry.address().to_string();
        for version in ["1.0.0", "1.1.0", "2.0.0"] {
            registry.push_image("team/app", version, &Image::new(version)).unwrap();
        }
        let login = login.map(|(user, password)| RegistryAuth::Basic(user.to_owned(), password.to_owned()));
        let (client, clock, requests) = client_for(&host, login);
        let repository = Repository::new(&host, "team/app").unwrap();
        Self { registry, client, clock, requests, repository }
    }

    fn open() -> Self {
        Self::new(embedded::Access::Anonymous, None)
    }

    fn access(&self) -> Access {
        self.client.access(&self.repository, &Puller::of_namespace("team"))
    }

    async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let tags = self.client.tags(&self.repository, &self.access()).await?;
        Ok(tags.iter().map(Tag::to_string).collect())
    }

    async fn digest(&self, tag: &str) -> Result<Option<String>, RegistryError> {
        let digest = self.client.digest(&self.repository, &tag.parse().unwrap(), &self.access()).await?;
        Ok(digest.map(|digest| digest.to_string()))
    }

    fn push_many(&self, count: usize) {
        let digest = self.registry.digest_of("team/app", "1.0.0").unwrap();
        for number in 0..count {
            self.registry.retag("team/app", &format!("0.{number}.0"), &digest).unwrap();
        }
    }

    fn asked(&self, operation: &str) -> usize {
        self.registry.requests().iter().filter(|request| request.path.contains(operation)).count()
    }
}

fn client_for(host: &str, login: Option<RegistryAuth>) -> (RegistryClient, Arc<HandClock>, Arc<Mutex<Vec<String>>>) {
    let clock = Arc::new(HandClock::default());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let entry = RegistryEntry {
        insecure: true,
        namespaces: vec!["team".to_owned()],
        credential: login.map(|login| Arc::new(move || Ok(login.clone())) as CredentialProvider),
        ..RegistryEntry::new(host)
    };
    let observer: Observer = Arc::new(move |host, what| {
        let what = match what {
            Seen::Answer(status) => status.to_owned(),
            Seen::Wait(waited) => format!("waited {waited:?}"),
        };
        seen.lock().unwrap().push(format!("{host} {what}"));
    });
    let client = RegistryClient::new(vec![entry], Arc::clone(&clock) as Arc<dyn Clock>, observer).unwrap();
    (client, clock, requests)
}

async fn scripted(script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> (Scripted, RegistryClient, Repository) {
    let server = Scripted::start(script).await;
    let host = server.address().to_string();
    let (client, _, _) = client_for(&host, Some(RegistryAuth::Basic("robot".to_owned(), "canary".to_owned())));
    (server, client, Repository::new(&host, "team/app").unwrap())
}

fn bearer(token_life: Duration) -> embedded::Access {
    embedded::Access::Bearer { login: Login::new("robot", "s3cret"), anonymous_pull: false, token_life }
}

fn is_malformed<T: std::fmt::Debug>(result: &Result<T, RegistryError>, detail: &str) -> bool {
    matches!(result, Err(RegistryError::Malformed { detail: found, .. }) if found.contains(detail))
}

#[tokio::test]
async fn tags_and_digests_are_read() {
    let bench = Bench::open();
    assert_eq!(bench.tags().await.unwrap(), ["1.0.0", "1.1.0", "2.0.0"]);
    assert_eq!(bench.digest("1.1.0").await.unwrap(), bench.registry.digest_of("team/app", "1.1.0"));
    let index = bench.registry.push_index("team/app", "3.0.0", &[("amd64", Image::new("a")), ("arm64", Image::new("b"))]).unwrap();
    assert_eq!(bench.digest("3.0.0").await.unwrap(), Some(index));
    assert_eq!(bench.digest("9.9.9").await.unwrap(), None);
    let host = bench.repository.registry();
    assert_eq!(*bench.requests.lock().unwrap(), ["200", "200", "200", "404"].map(|status| format!("{host} {status}")));
}

/// RE-01.
#[tokio::test]
async fn a_rate_limit_is_kept_for_its_host_alone() {
    let bench = Bench::open();
    bench.registry.fail_next(Matcher::any(), Fault::too_many_requests(70));
    let limited = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        Err(RegistryError::RateLimited { host: bench.repository.registry().to_owned(), retry_after })
    };
    assert_eq!(bench.tags().await, limited(70));
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(bench.tags().await, limited(40), "nothing is sent before the time");
    assert_eq!(bench.registry.requests().len(), 1);
    bench.clock.advance(Duration::from_secs(40));
    assert_eq!(bench.tags().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_short_rate_limit_in_the_middle_of_a_listing_is_waited_out() {
    let bench = Bench::open();
    bench.push_many(1500);
    bench.registry.fail_next(Matcher::of(Operation::Tags).after(1), Fault::too_many_requests(7));
    let time_goes_by = async {
        loop {
            tokio::task::yield_now().await;
            bench.clock.advance(Duration::from_millis(10));
        }
    };
    let tags = tokio::select! {
        tags = bench.tags() => tags,
        () = time_goes_by => unreachable!("it goes by for ever"),
    };
    assert_eq!(tags.unwrap().len(), 1503);
    assert_eq!(bench.registry.requests().len(), 3);
    let seen = bench.requests.lock().unwrap();
    assert_eq!(seen.iter().filter(|seen| seen.contains(" waited ")).count(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_registry_in_trouble_or_out_of_reach_is_unreachable() {
    let bench = Bench::open();
    for fault in [Fault::status(StatusCode::BAD_GATEWAY), Fault::CloseConnection] {
        bench.registry.fail_next(Matcher::any(), fault);
        assert!(matches!(bench.tags().await, Err(RegistryError::Unreachable { .. })));
    }
    bench.registry.stop();
    let error = bench.tags().await.unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
    assert!(bench.requests.lock().unwrap().last().unwrap().ends_with(" unreachable"));
}

#[tokio::test]
async fn a_host_that_the_configuration_does_not_name_is_not_reached_at_loopback() {
    let bench = Bench::open();
    let (stranger, _, requests) = client_for("registry.test", None);
    let error = stranger.tags(&bench.repository, &Access::Anonymous).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable { detail, .. } if detail.contains("loopback")), "{error}");
    assert_eq!(bench.registry.requests().len(), 0);
    assert_eq!(*requests.lock().unwrap(), ["other unreachable"]);
}
