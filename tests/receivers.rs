//! Webhook receivers: who may post, what is bounded, what is answered. What a hint leads to is shown elsewhere.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use skeg::config::{Credential, Receiver, Secret};
use skeg::http::{Listener, Webhooks};
use skeg::metrics::Metrics;
use tokio_util::sync::CancellationToken;

use crate::support::noting_desk::{LOOPBACK, NotingDesk, secret};
use crate::support::raw_http::{Answered, exchange};

/// A public listener with four receivers, and a queue that takes notes.
struct Receivers {
    address: SocketAddr,
    queued: Arc<Mutex<Vec<String>>>,
    is_full: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn receiver(source: &str, path: &str, credential: Option<Credential>) -> Receiver {
    Receiver {
        source: source.into(),
        path: path.into(),
        credential,
        insecure: path == "/open",
        registry: Some("registry.example.com".into()),
    }
}

async fn receivers() -> Receivers {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret(&folder);
    let configured = [
        receiver("native", "/token", Some(Credential::Bearer(secret.clone()))),
        receiver("registry", "/password", Some(Credential::Basic { username: "ci".into(), password: secret })),
        receiver("native", "/open", None),
        receiver("native", "/closed", None),
        receiver("native", "/lost", Some(Credential::Bearer(Secret::File(folder.path().join("lost"))))),
    ];
    let (queued, is_full) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let (noted, full) = (queued.clone(), is_full.clone());
    let queue = Arc::new(move |hint: skeg::sources::Hint| {
        let takes = !full.load(Ordering::Relaxed);
        if takes {
            noted.lock().unwrap().push(format!("{}:{}", hint.repository, hint.tag.unwrap()));
        }
        takes
    });
    let metrics = Arc::new(Metrics::new([]));
    let webhooks = Arc::new(Webhooks::new(Arc::new(NotingDesk::default()), metrics.clone(), queue, &configured));
    let listener = Listener::bind(LOOPBACK).await.unwrap();
    let (address, stop) = (listener.address().unwrap(), CancellationToken::new());
    tokio::spawn(listener.serve(webhooks.routes(), stop.clone()));
    Receivers { address, queued, is_full, metrics, folder, stop }
}

impl Receivers {
    async fn post(&self, path: &str, headers: &str, body: &str) -> Answered {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
        exchange(self.address, &format!("{head}{body}")).await
    }

    fn queued(&self) -> Vec<String> {
        self.queued.lock().unwrap().clone()
    }

    #[track_caller]
    fn check_counted(&self, source: &str, outcome: &str, count: u32) {
        let line = format!("skeg_webhook_deliveries_total{{source=\"{source}\",outcome=\"{outcome}\"}} {count}");
        let rendered = self.metrics.render();
        assert!(rendered.lines().any(|written| written == line), "{line} is not in\n{rendered}");
    }
}

const TOKEN: &str = "authorization: Bearer s3cret\r\n";
/// `ci:s3cret`
const PASSWORD: &str = "authorization: Basic Y2k6czNjcmV0\r\n";
const PUSH: &str = r#"{"name": "acme/web", "tag": "1.0.1"}"#;

fn notification(id: &str) -> String {
    let target = r#"{"mediaType": "application/vnd.oci.image.manifest.v1+json", "repository": "acme/web", "tag": "1.0.1"}"#;
    format!(
        r#"{{"events": [{{"id": "{id}", "action": "push", "target": {target}}}, {{"id": "2", "action": "pull", "target": {target}}}]}}"#
    )
}

#[tokio::test]
async fn a_delivery_with_its_credential_is_queued() {
    let receivers = receivers().await;
    let answer = receivers.post("/token", TOKEN, PUSH).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"hints":1,"ignored":0,"repeated":0}"#));
    let answer = receivers.post("/password", PASSWORD, &notification("1")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"hints":1,"ignored":1,"repeated":0}"#));
    assert_eq!(receivers.post("/open", "", PUSH).await.status, 200);
    assert_eq!(receivers.queued(), ["docker.io/acme/web:1.0.1", "registry.example.com/acme/web:1.0.1", "docker.io/acme/web:1.0.1"]);
    receivers.check_counted("native", "accepted", 2);
}

/// WH-01.
#[tokio::test]
async fn no_credential_a_wrong_one_or_one_in_the_wrong_place_has_no_effect() {
    let receivers = receivers().await;
    for headers in
        ["", "authorization: Bearer \r\n", "authorization: Bearer s3cre\r\n", "authorization: s3cret\r\n", PASSWORD, "x-token: s3cret\r\n"]
    {
        let answer = receivers.post("/token", headers, PUSH).await;
        assert_eq!((answer.status, answer.error().as_str()), (401, "unauthorized"), "{headers}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    assert_eq!(receivers.post("/token?token=s3cret", "", PUSH).await.status, 401);
    let answer = receivers.post("/password", TOKEN, &notification("1")).await;
    assert!(answer.status == 401 && answer.head.contains("www-authenticate: basic"), "{}", answer.head);
    assert_eq!(receivers.queued(), [""; 0]);
    receivers.check_counted("native", "unauthorized", 7);
}

/// WH-01, for a secret that is unset or empty.
#[tokio::test]
async fn a_receiver_without_a_secret_is_closed_whatever_is_presented() {
    let receivers = receivers().await;
    for (path, headers) in [("/closed", ""), ("/closed", TOKEN), ("/lost", "authorization: Bearer \r\n"), ("/lost", TOKEN)] {
        let answer = receivers.post(path, headers, PUSH).await;
        assert_eq!((answer.status, answer.error().as_str()), (404, "closed"), "{path} {headers}");
    }
    std::fs::write(receivers.folder.path().join("lost"), "").unwrap();
    assert_eq!(receivers.post("/lost", "authorization: Bearer \r\n", PUSH).await.status, 404);
    assert_eq!(receivers.queued(), [""; 0]);
    std::fs::write(receivers.folder.path().join("lost"), "found\n").unwrap();
    assert_eq!(receivers.post("/lost", "authorization: Bearer found\r\n", PUSH).await.status, 200);
    receivers.check_counted("native", "closed", 5);
}

#[tokio::test]
async fn the_head_decides_before_a_byte_of_the_body_is_read() {
    let receivers = receivers().await;
    // Five gigabytes are announced and none is sent: the answer comes all the same.
    let huge = |path: &str, headers: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\ncontent-length: 5368709120\r\n{headers}\r\n")
    };
    assert_eq!(exchange(receivers.address, &huge("/token", "")).await.status, 401);
    assert_eq!(exchange(receivers.address, &huge("/closed", "")).await.status, 404);
    assert_eq!(exchange(receivers.address, &huge("/token", TOKEN)).await.status, 413);
    receivers.check_counted("native", "unread", 1);
}

#[tokio::test]
async fn a_body_that_is_too_long_too_deep_or_of_another_kind_is_refused() {
    let receivers = receivers().await;
    let chunks = format!("{:x}\r\n{}\r\n", 300_000, "x".repeat(300_000)).repeat(4);
    let head = format!("POST /token HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\ntransfer-encoding: chunked\r\n{TOKEN}\r\n");
    assert_eq!(exchange(receivers.address, &format!("{head}{chunks}0\r\n\r\n")).await.status, 413);
    let deep = "[".repeat(100_000);
    for body in [deep.as_str(), "<script>", "{}", r#"{"name": "acme/web", "tag": "$(id)"}"#] {
        let answer = receivers.post("/token", TOKEN, body).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, "badRequest"));
        assert!(!answer.body.contains("script") && !answer.body.contains("$("), "{}", answer.body);
    }
    assert_eq!(receivers.queued(), [""; 0]);
    receivers.check_counted("native", "malformed", 4);
}

/// WH-02, at the receiver: nobody looks a second time.
#[tokio::test]
async fn a_thousand_repetitions_are_one_hint_and_a_thousand_successes() {
    let receivers = receivers().await;
    let body = notification("4d1f");
    for _ in 0..1_000 {
        assert_eq!(receivers.post("/password", PASSWORD, &body).await.status, 200);
    }
    assert_eq!(receivers.queued(), ["registry.example.com/acme/web:1.0.1"]);
}

#[tokio::test]
async fn a_full_queue_asks_the_sender_to_come_back_and_forgets_nothing() {
    let receivers = receivers().await;
    receivers.is_full.store(true, Ordering::Relaxed);
    let answer = receivers.post("/password", PASSWORD, &notification("1")).await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "unavailable"));
    assert!(answer.head.contains("retry-after: 10"), "{}", answer.head);
    receivers.is_full.store(false, Ordering::Relaxed);
    assert_eq!(receivers.post("/password", PASSWORD, &notification("1")).await.status, 200);
    assert_eq!(receivers.queued(), ["registry.example.com/acme/web:1.0.1"]);
    receivers.check_counted("registry", "full", 1);
}

#[tokio::test]
async fn other_paths_and_methods_have_nothing() {
    let receivers = receivers().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\n\r\n");
    assert_eq!(exchange(receivers.address, &get("/healthz")).await.status, 200);
    assert_eq!(exchange(receivers.address, &get("/readyz")).await.status, 503);
    assert_eq!(exchange(receivers.address, &get("/open")).await.status, 405);
    for path in ["/", "/metrics", "/v1/images", "/v1/updates", "/open/", "/v1/webhooks/native", "/v1/webhooks/%3Cscript%3E"] {
        let answer = exchange(receivers.address, &get(path)).await;
        assert_eq!((answer.status, answer.error().as_str()), (404, "notFound"), "{path}");
    }
}
