//! The far ends themselves: the real servers run and refuse whom they should, and the embedded registry answers real
//! clients as the real one does.

use std::path::Path;
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::Value;
use skeg::embedded::loopback::{Bound, Loopback, Request, status};
use skeg::embedded::registry::{Access, EmbeddedRegistry, Image, Login, OCI_MANIFEST};
use tokio::sync::mpsc;
use warp::http::StatusCode;

use crate::support::git::{RealGit, clone, git, git_succeeds, with_login};
use crate::support::registry::{Auth, Notify, RealRegistry, has_skopeo, push, skopeo};

/// A registry posts right after a push, and again each second while it cannot.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(10);

fn robot() -> Login {
    Login::new("robot", "s3cret")
}

fn stranger() -> Login {
    Login::new("robot", "wrong")
}

#[track_caller]
fn inspect(reference: &str, login: Option<&Login>) -> Result<Value, String> {
    let reference = format!("docker://{reference}");
    let output = skopeo(&["inspect", "--tls-verify=false", &reference], login);
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// Pushes with `skopeo`, and reads it back with the login and without.
#[track_caller]
fn check_push_and_pull(host: &str, login: Option<&Login>) {
    let image = Image::new("1.0.0").label("team", "web");
    let reference = format!("{host}/team/app:1.0.0");
    let digest = push(&reference, &image, login);
    let found = inspect(&reference, login).unwrap();
    assert_eq!(found["Digest"], digest);
    assert_eq!(found["Labels"]["team"], "web");
    assert_eq!(found["RepoTags"][0], "1.0.0");
    if login.is_some() {
        for login in [None, Some(&stranger())] {
            let error = inspect(&reference, login).unwrap_err();
            assert!(error.contains("unauthorized") || error.contains("authentication required") || error.contains("401"), "{error}");
        }
    }
}

#[test]
fn the_real_registry_takes_a_push_and_refuses_a_wrong_password() {
    for auth in [Auth::Anonymous, Auth::Basic(robot()), Auth::Bearer(robot())] {
        let login = (!matches!(auth, Auth::Anonymous)).then(robot);
        let Some(registry) = RealRegistry::start(auth, None) else { return };
        check_push_and_pull(&registry.host(), login.as_ref());
    }
}

#[test]
fn skopeo_finds_no_difference_in_the_embedded_registry() {
    if !has_skopeo() {
        return;
    }
    let bearer = Access::Bearer { login: robot(), anonymous_pull: false, token_life: Duration::from_mins(1) };
    for (access, login) in [(Access::Anonymous, None), (Access::Basic(robot()), Some(robot())), (bearer, Some(robot()))] {
        let registry = EmbeddedRegistry::start(access).unwrap();
        check_push_and_pull(&registry.address().to_string(), login.as_ref());
    }
}

#[test]
fn skopeo_copies_and_deletes_in_the_embedded_registry() {
    if !has_skopeo() {
        return;
    }
    let registry = EmbeddedRegistry::start(Access::Anonymous).unwrap();
    let images = [("amd64", Image::new("1")), ("arm64", Image::new("1"))];
    let digest = registry.push_index("app", "1", &images).unwrap();
    let [from, to] = ["app:1", "copy/app:2"].map(|name| format!("docker://{}/{name}", registry.address()));
    let copied = skopeo(&["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to], None);
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    assert_eq!(registry.digest_of("copy/app", "2"), Some(digest));
    let deleted = skopeo(&["delete", "--tls-verify=false", &to], None);
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    assert_eq!(registry.digest_of("copy/app", "2"), None);
}

/// What a client can tell answers apart by.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    content_type: Option<String>,
    digest: Option<String>,
    entity_tag: Option<String>,
    error_code: Option<String>,
}

async fn ask(host: &str, method: &str, path: &str, header: Option<(&str, &str)>) -> Told {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method.parse().unwrap(), format!("http://{host}{path}"));
    let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let response = request.send().await.unwrap();
    let text = |name| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    let content_type = text("content-type").map(|value| value.replace("; charset=utf-8", ""));
    let (digest, entity_tag) = (text("docker-content-digest"), text("etag"));
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
    let error_code = body["errors"][0]["code"].as_str().map(str::to_owned);
    Told { status, content_type, digest, entity_tag, error_code }
}

#[tokio::test]
async fn the_embedded_registry_answers_as_the_real_one_does() {
    let Some(real) = RealRegistry::start(Auth::Anonymous, None) else { return };
    let embedded = EmbeddedRegistry::start(Access::Anonymous).unwrap();
    let image = Image::new("1.0.0");
    let digest = real.push("team/app", "1.0.0", &image);
    assert_eq!(embedded.push_image("team/app", "1.0.0", &image).unwrap(), digest);

    let accepts = Some(("Accept", OCI_MANIFEST));
    let docker_only = Some(("Accept", "application/vnd.docker.distribution.manifest.v2+json"));
    let by_tag = "/v2/team/app/manifests/1.0.0";
    let by_digest = format!("/v2/team/app/manifests/{digest}");
    for (method, path, header) in [
        ("GET", "/v2/", None),
        ("GET", "/v2/team/app/tags/list", None),
        ("GET", "/v2/other/tags/list", None),
        ("GET", by_tag, accepts),
        ("HEAD", by_tag, accepts),
        ("HEAD", &by_digest, accepts),
        ("GET", by_tag, docker_only),
        ("GET", "/v2/team/app/manifests/2", accepts),
        ("DELETE", "/v2/team/app/manifests/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", None),
        ("GET", "/v2/team/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", None),
        ("DELETE", &by_digest, None),
        ("GET", by_tag, accepts),
    ] {
        let expected = ask(&real.host(), method, path, header).await;
        assert_eq!(ask(&embedded.address().to_string(), method, path, header).await, expected, "{method} {path} {header:?}");
    }
}

/// A receiver of notifications on a port of its own, and what it received: path, header, body.
fn receiver() -> (Loopback, mpsc::Receiver<(String, Option<String>, Value)>) {
    let (tx, rx) = mpsc::channel(16);
    let receiver = Bound::new().unwrap().serve("receiver", move |request: Request| {
        let tx = tx.clone();
        async move {
            let authorization = request.header("authorization").map(str::to_owned);
            let path = request.path.clone();
            let body = request.body.collect(1 << 20).await.unwrap();
            let _ = tx.try_send((path, authorization, serde_json::from_slice(&body).unwrap()));
            status(StatusCode::OK)
        }
        .boxed()
    });
    (receiver.unwrap(), rx)
}

#[tokio::test]
async fn the_real_registry_posts_a_push_to_its_receiver() {
    let (receiver, mut deliveries) = receiver();
    let url = format!("http://{}/v1/webhooks/registry", receiver.address());
    let notify = Notify { url, header: "Authorization: Bearer hook".to_owned() };
    let Some(registry) = RealRegistry::start(Auth::Anonymous, Some(notify)) else { return };
    let digest = registry.push("team/app", "1.0.0", &Image::new("1.0.0"));
    loop {
        let next = tokio::time::timeout(NOTIFIED_WITHIN, deliveries.recv());
        let (path, authorization, body) = next.await.expect("no push was posted").unwrap();
        assert_eq!(path, "/v1/webhooks/registry");
        assert_eq!(authorization.as_deref(), Some("Bearer hook"));
        let event = &body["events"][0];
        if event["action"] == "push" && event["target"]["tag"] == "1.0.0" {
            assert_eq!(event["target"]["repository"], "team/app");
            assert_eq!(event["target"]["digest"], digest);
            return;
        }
    }
}

#[tokio::test]
async fn a_dropped_server_leaves_no_port_and_no_file() {
    let Some(server) = RealGit::start(&[], &robot()) else { return };
    let directory = server.repository().directory().parent().unwrap().to_owned();
    let address = server.address();
    drop(server);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "{address} still answers");
    assert!(!directory.exists(), "{} is still there", directory.display());
}

#[test]
fn the_real_git_server_takes_a_push_and_refuses_a_wrong_password() {
    let Some(server) = RealGit::start(&[("app.yaml", b"image: app:1.0.0\n")], &robot()) else { return };
    let directory = tempfile::tempdir().unwrap();
    for url in [server.url(), with_login(&server.url(), &stranger())] {
        assert!(!git(directory.path(), &["ls-remote", &url]).status.success(), "{url}");
    }
    let clone = clone(directory.path(), &server.url(), &robot());
    commit(&clone, "image: app:1.0.1\n");
    git_succeeds(&clone, &["push", "--quiet"]);
    let newest = &server.repository().log().unwrap()[0];
    assert_eq!((newest.subject.as_str(), newest.author.as_str()), ("Update app", "Pat Person <pat@example.com>"));
    assert_eq!(server.repository().show("app.yaml").unwrap(), b"image: app:1.0.1\n");
}

#[test]
fn the_real_git_server_refuses_a_push_on_an_old_tip() {
    let Some(server) = RealGit::start(&[("app.yaml", b"image: app:1.0.0\n")], &robot()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let clone = clone(directory.path(), &server.url(), &robot());
    commit(&clone, "image: app:1.0.1\n");
    server.repository().commit("more.yaml", b"x\n", "Kim <kim@example.com>", "Get in between").unwrap();
    let refused = git(&clone, &["push"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("[rejected]"), "{said}");
    assert_eq!(server.repository().log().unwrap()[0].subject, "Get in between");
}

fn commit(clone: &Path, text: &str) {
    std::fs::write(clone.join("app.yaml"), text).unwrap();
    git_succeeds(clone, &["commit", "--quiet", "--all", "--message=Update app"]);
}
