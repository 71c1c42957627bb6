//! Registries that want a login, or are slow, beside others: one does not touch another.

use std::sync::Arc;
use std::time::Duration;

use skeg::adapters::clock::SystemClock;
use skeg::adapters::registry::{CredentialProvider, RegistryAuth, RegistryClient, RegistryEntry};
use skeg::core::image::Repository;
use skeg::core::workload::Puller;
use skeg::embedded::registry::{Access as EmbeddedAccess, EmbeddedRegistry, Fault, Image, Login, Matcher};
use skeg::ports::registry::{Registry as _, RegistryError};

/// The namespace that the login is granted to.
const TEAM: &str = "team";

fn robot() -> Login {
    Login::new("robot", "s3cret")
}

fn stranger() -> Login {
    Login::new("robot", "wr0ng")
}

/// An entry for a registry on loopback, with this login for one namespace.
fn entry(host: &str, login: Option<&Login>) -> RegistryEntry {
    let credential = login.cloned().map(|login| {
        let read = move || Ok(RegistryAuth::Basic(login.user.clone(), login.password.clone()));
        Arc::new(read) as CredentialProvider
    });
    RegistryEntry { insecure: true, namespaces: vec![TEAM.to_owned()], credential, ..RegistryEntry::new(host) }
}

fn client(entries: Vec<RegistryEntry>) -> RegistryClient {
    RegistryClient::new(entries, Arc::new(SystemClock), Arc::new(|_, _| {})).unwrap()
}

async fn tags(client: &RegistryClient, repository: &Repository, namespace: &str) -> Result<Vec<String>, RegistryError> {
    let tags = client.tags(repository, &client.access(repository, &Puller::of_namespace(namespace))).await?;
    Ok(tags.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_wrong_password_at_one_registry_does_not_touch_another() {
    let locked = EmbeddedRegistry::start(EmbeddedAccess::Basic(robot())).unwrap();
    let open = EmbeddedRegistry::start(EmbeddedAccess::Anonymous).unwrap();
    let [locked_at, open_at] = [&locked, &open].map(|registry| registry.address().to_string());
    for registry in [&locked, &open] {
        registry.push_image("team/app", "1.0.0", &Image::new("1.0.0")).unwrap();
    }
    let reader = client(vec![entry(&locked_at, Some(&stranger())), entry(&open_at, None)]);
    let [locked_app, open_app] = [&locked_at, &open_at].map(|host| Repository::new(host, "team/app").unwrap());
    let (refused, read) = tokio::join!(tags(&reader, &locked_app, TEAM), tags(&reader, &open_app, TEAM));
    assert!(matches!(refused, Err(RegistryError::Unauthorized { .. })), "{refused:?}");
    assert_eq!(read.unwrap(), ["1.0.0"]);
}

#[tokio::test]
async fn a_registry_that_answers_byte_by_byte_delays_no_other() {
    let slow = EmbeddedRegistry::start(EmbeddedAccess::Anonymous).unwrap();
    let quick = EmbeddedRegistry::start(EmbeddedAccess::Anonymous).unwrap();
    let [slow_at, quick_at] = [&slow, &quick].map(|registry| registry.address().to_string());
    for registry in [&slow, &quick] {
        registry.push_image("team/app", "1.0.0", &Image::new("1.0.0")).unwrap();
    }
    slow.fail_next(Matcher::any().always(), Fault::SlowBody(Duration::from_secs(10)));
    let reader = client(vec![entry(&slow_at, None), entry(&quick_at, None)]);
    let [slow_app, quick_app] = [&slow_at, &quick_at].map(|host| Repository::new(host, "team/app").unwrap());
    // More at once than the slow registry has turns.
    let waiting = futures::future::join_all((0..8).map(|_| tags(&reader, &slow_app, TEAM)));
    let read = tokio::select! { biased;
        _ = waiting => panic!("the slow registry cannot be done"),
        read = tags(&reader, &quick_app, TEAM) => read,
    };
    assert_eq!(read.unwrap(), ["1.0.0"]);
}
