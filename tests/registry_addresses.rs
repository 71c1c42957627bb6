//! Where registries are: mirrors, authorities and certificates of their own, and those that are not asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use skeg::adapters::clock::SystemClock;
use skeg::adapters::fetch::TlsFiles;
use skeg::adapters::registry::{CredentialProvider, RegistryAuth, RegistryClient, RegistryEntry};
use skeg::core::image::Repository;
use skeg::core::workload::Puller;
use skeg::embedded::registry::{Access as EmbeddedAccess, EmbeddedRegistry, Image, Login};
use skeg::ports::registry::{Access, Registry as _, RegistryError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::needs::{Program, all_there};
use crate::support::server::Server;

fn client(entries: Vec<RegistryEntry>) -> RegistryClient {
    RegistryClient::new(entries, Arc::new(SystemClock), Arc::new(|_, _| {})).unwrap()
}

async fn tags(client: &RegistryClient, repository: &Repository) -> Result<Vec<String>, RegistryError> {
    let tags = client.tags(repository, &client.access(repository, &Puller::of_namespace("team"))).await?;
    Ok(tags.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_mirror_is_read_in_place_of_the_registry_that_the_image_names() {
    let mirror = EmbeddedRegistry::start(EmbeddedAccess::Basic(Login::new("robot", "s3cret"))).unwrap();
    let digest = mirror.push_image("hub/library/nginx", "1.27.0", &Image::new("1.27.0")).unwrap();
    let read = || Ok(RegistryAuth::Basic("robot".to_owned(), "s3cret".to_owned()));
    let entry = RegistryEntry {
        insecure: true,
        namespaces: vec!["*".to_owned()],
        credential: Some(Arc::new(read) as CredentialProvider),
        mirror: Some(format!("http://{}/hub", mirror.address()).parse().unwrap()),
        ..RegistryEntry::new("docker.io")
    };
    let client = client(vec![entry]);
    let nginx: Repository = "nginx".parse().unwrap();
    assert_eq!(tags(&client, &nginx).await.unwrap(), ["1.27.0"]);
    let found = client.digest(&nginx, &"1.27.0".parse().unwrap(), &Access::Configured(0)).await.unwrap();
    assert_eq!(found.unwrap().as_str(), digest);
    let built = client.built(&nginx, &digest.parse().unwrap(), &Access::Configured(0)).await.unwrap();
    assert_eq!(built, Some("2026-01-01T00:00:00Z".parse().unwrap()), "as the image says");
    assert!(mirror.requests().iter().all(|request| request.path.starts_with("/v2/hub/library/nginx/")));
}

#[tokio::test]
async fn a_registry_that_is_not_allowed_is_not_asked() {
    let [named, other] = [(); 2].map(|()| EmbeddedRegistry::start(EmbeddedAccess::Anonymous).unwrap());
    for registry in [&named, &other] {
        registry.push_image("team/app", "1.0.0", &Image::new("1.0.0")).unwrap();
    }
    let entry = RegistryEntry { insecure: true, ..RegistryEntry::new(named.address().to_string()) };
    let client = client(vec![entry]).allowing(vec!["*.example.com".into(), "docker.io".into()]);
    let app = |host: &str| Repository::new(host, "team/app").unwrap();
    assert_eq!(tags(&client, &app(&named.address().to_string())).await.unwrap(), ["1.0.0"], "it is named");
    for host in [other.address().to_string(), "example.com".to_owned(), "evil-example.com".to_owned(), "ghcr.io".to_owned()] {
        let error = tags(&client, &app(&host)).await.unwrap_err();
        assert!(error.to_string().contains("[registries] allow"), "{error}");
    }
    assert!(other.requests().is_empty());
}

/// A registry behind TLS that wants a certificate, and the folder with all of them.
fn behind_tls(registry: SocketAddr) -> Option<(Server, PathBuf)> {
    if !all_there(&[Program("nginx", "nginx"), Program("openssl", "openssl")]) {
        return None;
    }
    Some(Server::start("tls_registry.sh", &[("REGISTRY", registry.to_string())], std::path::Path::to_owned))
}

#[tokio::test]
async fn a_registry_of_another_authority_is_trusted_and_shown_a_certificate_where_the_entry_says_so() {
    let registry = EmbeddedRegistry::start(EmbeddedAccess::Anonymous).unwrap();
    registry.push_image("team/app", "1.0.0", &Image::new("1.0.0")).unwrap();
    let Some((tls, folder)) = behind_tls(registry.address()) else { return };
    let host = format!("localhost:{}", tls.address().port());
    let app = Repository::new(&host, "team/app").unwrap();
    let with = |tls: TlsFiles| client(vec![RegistryEntry { tls, namespaces: vec!["team".to_owned()], ..RegistryEntry::new(&host) }]);
    let pair = |name: &str| Some((folder.join(format!("{name}.crt")), folder.join(format!("{name}.key"))));
    let authorities = Some(folder.join("ca.crt"));

    let trusting = with(TlsFiles { authorities: authorities.clone(), client: pair("client") });
    assert_eq!(tags(&trusting, &app).await.unwrap(), ["1.0.0"]);
    let seen = registry.requests().len();
    let of_others = trusting.access(&app, &Puller::of_namespace("others"));
    assert!(
        of_others == Access::Anonymous && trusting.tags(&app, &of_others).await.is_err(),
        "it is shown for the namespaces of its entry"
    );
    for files in [
        TlsFiles::default(),
        TlsFiles { authorities: None, client: pair("client") },
        TlsFiles { authorities: authorities.clone(), client: None },
        TlsFiles { authorities: authorities.clone(), client: pair("stranger") },
    ] {
        assert!(tags(&with(files.clone()), &app).await.is_err(), "{files:?}");
    }
    assert_eq!(registry.requests().len(), seen, "none of them gets through");

    let absent = with(TlsFiles { authorities: Some(folder.join("absent.crt")), client: None });
    let error = tags(&absent, &app).await.unwrap_err().to_string();
    assert!(error.contains("absent.crt: "), "{error}");
    // No certificate at first, and then there is one: no restart is needed.
    std::fs::copy(folder.join("ca.crt"), folder.join("absent.crt")).unwrap();
    let error = tags(&absent, &app).await.unwrap_err().to_string();
    assert!(!error.contains("absent.crt: "), "{error}");
}

/// A server that answers to the head of each request with what is made of it: a status with headers, and a body.
async fn scripted(answer: impl Fn(&str) -> (String, &'static str) + Send + 'static) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let length = connection.read(&mut head).await.unwrap_or(0);
            let (status, body) = answer(&String::from_utf8_lossy(&head[..length]));
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// A refusal that names a token server at this host.
fn challenge(host: &str) -> String {
    let realm = format!("Bearer realm=\"https://{host}/token\",service=\"s\",scope=\"repository:team/app:pull\"");
    format!("401 Unauthorized\r\nWWW-Authenticate: {realm}")
}

/// The entry of a registry behind TLS, whose files are in this folder.
fn with_certificate(host: &str, folder: &Path) -> RegistryEntry {
    let client = Some((folder.join("client.crt"), folder.join("client.key")));
    let tls = TlsFiles { authorities: Some(folder.join("ca.crt")), client };
    RegistryEntry { tls, namespaces: vec!["*".to_owned()], ..RegistryEntry::new(host) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_shown_to_the_registrys_own_token_server() {
    let host = Arc::new(OnceLock::<String>::new());
    let known = Arc::clone(&host);
    let registry = scripted(move |head| match head {
        _ if head.starts_with("GET /token") => ("200 OK".to_owned(), r#"{"token":"granted"}"#),
        _ if head.to_ascii_lowercase().contains("authorization: bearer granted") => ("200 OK".to_owned(), r#"{"tags":["1.0.0"]}"#),
        _ => (challenge(known.get().map_or("", String::as_str)), ""),
    });
    let Some((tls, folder)) = behind_tls(registry.await) else { return };
    let host = host.get_or_init(|| format!("localhost:{}", tls.address().port()));
    let client = client(vec![with_certificate(host, &folder)]);
    assert_eq!(tags(&client, &Repository::new(host, "team/app").unwrap()).await.unwrap(), ["1.0.0"]);
}

#[tokio::test]
async fn a_certificate_is_not_shown_because_another_registry_names_its_host_as_token_server() {
    let registry = EmbeddedRegistry::start(EmbeddedAccess::Anonymous).unwrap();
    let Some((tls, folder)) = behind_tls(registry.address()) else { return };
    let host = format!("localhost:{}", tls.address().port());
    let trusted = with_certificate(&host, &folder);
    // On the same machine, and so at the same host by another port; and by another name.
    for name in ["localhost", "127.0.0.1"] {
        let challenge = challenge(&host);
        let evil = format!("{name}:{}", scripted(move |_| (challenge.clone(), "")).await.port());
        let named = RegistryEntry { insecure: true, ..RegistryEntry::new(&evil) };
        let client = client(vec![trusted.clone(), named]);
        let error = tags(&client, &Repository::new(&evil, "team/app").unwrap()).await.unwrap_err();
        assert!(registry.requests().is_empty(), "{name}: {error}: {:?}", registry.requests());
    }
}
