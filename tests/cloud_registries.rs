//! ECR: the token call against an imitation of AWS, and the registry that takes what it gives.

use std::sync::Arc;

use skeg::adapters::clock::SystemClock;
use skeg::adapters::registry::{RegistryClient, RegistryEntry, Surroundings};
use skeg::core::image::Repository;
use skeg::core::workload::Puller;
use skeg::embedded::registry::{Image, Login};
use skeg::ports::registry::{Access, Cloud, Registry as _, RegistryError};

use crate::support::needs::made_there;
use crate::support::registry::{Auth, RealRegistry};
use crate::support::server::Server;

#[tokio::test]
async fn a_registry_is_read_with_what_ecr_gives_to_the_identity() {
    if made_there("moto", "tests/servers/moto.sh").is_none() {
        return;
    }
    // What moto's tokens are made of.
    let login = Login::new("AWS", "123456789012-auth-token");
    let Some(registry) = RealRegistry::start(Auth::Basic(login), None) else { return };
    let (moto, ()) = Server::start("moto.sh", &[], |_| ());
    registry.push("team/app", "1.0.0", &Image::new("1.0.0"));
    let entry = RegistryEntry {
        insecure: true,
        namespaces: vec!["team".to_owned()],
        identity: Some(Cloud::Aws),
        ..RegistryEntry::new(registry.host())
    };
    let surroundings = Surroundings::made_up([
        ("AWS_ENDPOINT_URL_ECR", format!("http://{}/", moto.address())),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "canary".to_owned()),
    ]);
    let client = RegistryClient::new(vec![entry], Arc::new(SystemClock), Arc::new(|_, _| {})).unwrap().with_surroundings(&surroundings);
    let repository = Repository::new(&registry.host(), "team/app").unwrap();
    let access = client.access(&repository, &Puller::of_namespace("team"));
    assert_eq!(access, Access::Identity(0, Cloud::Aws));
    assert_eq!(client.tags(&repository, &access).await.unwrap(), ["1.0.0".parse().unwrap()]);

    // Closed until granted: another namespace gets nothing of the account.
    let access = client.access(&repository, &Puller::of_namespace("other"));
    assert_eq!(access, Access::Anonymous);
    let refused = client.tags(&repository, &access).await;
    assert!(matches!(refused, Err(RegistryError::Unauthorized { .. })), "{refused:?}");
}
