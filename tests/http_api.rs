//! The HTTP side alone: who is let in, what is bounded, how mistakes are answered. Behind it stands a desk that only takes notes; what
//! the engine makes of orders is shown elsewhere.

use std::time::Duration;

use skeg::core::update::UpdateId;
use skeg::core::workload::{WorkloadId, WorkloadKind};
use skeg::http::desk::Refusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::noting_desk::{Served, private};
use crate::support::raw_http::{Answered, answered, exchange};

// === requests ===

const UPDATE: &str = "/v1/updates/shop/web-0123456789";
const EXPLAIN: &str = "/v1/explain/shop/deploy/web";

async fn ask(served: &Served, method: &str, path: &str, headers: &str, body: &str) -> Answered {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    exchange(served.address, &format!("{method} {path} HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\n{length}{headers}\r\n{body}")).await
}

const TOKEN: &str = "authorization: Bearer s3cret\r\n";
const TOKEN_JSON: &str = "authorization: Bearer s3cret\r\ncontent-type: application/json\r\n";

// === the private listener ===

#[tokio::test]
async fn without_a_configured_token_the_api_is_closed_and_probes_are_not() {
    let served = private(false).await;
    for path in ["/v1/images", "/v1/updates", UPDATE, EXPLAIN, "/v1/status", "/v1/nothing"] {
        for headers in ["", TOKEN, "authorization: Bearer \r\n"] {
            let answer = ask(&served, "GET", path, headers, "").await;
            assert_eq!((answer.status, answer.error().as_str()), (404, "closed"), "{path}");
        }
    }
    for path in [&format!("{UPDATE}/approve"), "/v1/pause", "/v1/resume"] {
        assert_eq!(ask(&served, "POST", path, TOKEN_JSON, "{\"all\": true}").await.status, 404);
    }
    assert_eq!(served.desk.orders(), [""; 0]);
    assert_eq!(ask(&served, "GET", "/healthz", "", "").await.body, "ok\n");
    let ready = ask(&served, "GET", "/readyz", "", "").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "the first listing is not complete\n"));
    let metrics = ask(&served, "GET", "/metrics", "", "").await;
    assert!(metrics.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", metrics.head);
    assert!(metrics.body.contains("skeg_approvals_waiting 0\n"));
}

#[tokio::test]
async fn only_the_token_in_its_place_opens_the_api() {
    let served = private(true).await;
    let wrong =
        ["", "authorization: Bearer s3cre\r\n", "authorization: Basic s3cret\r\n", "authorization: s3cret\r\n", "x-token: s3cret\r\n"];
    for headers in wrong {
        let answer = ask(&served, "POST", &format!("{UPDATE}/approve"), headers, "").await;
        assert_eq!((answer.status, answer.error().as_str()), (401, "unauthorized"), "{headers}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    assert_eq!(ask(&served, "GET", "/v1/nothing?token=s3cret", "", "").await.status, 401);
    assert_eq!(served.desk.orders(), [""; 0]);
    assert_eq!(ask(&served, "POST", &format!("{UPDATE}/approve"), TOKEN, "").await.status, 200);
    assert_eq!(served.desk.orders(), ["user:ann Approve shop/web-0123456789 None"]);
}

#[tokio::test]
async fn while_nobody_leads_what_is_read_is_answered_and_orders_are_to_be_given_again() {
    let served = private(true).await;
    served.desk.vacant.send_replace(true);
    for path in [format!("{UPDATE}/approve"), format!("{UPDATE}/retry"), "/v1/pause".to_owned(), "/v1/resume".to_owned()] {
        let answer = ask(&served, "POST", &path, TOKEN_JSON, "{}").await;
        assert_eq!((answer.status, answer.error().as_str()), (503, "unavailable"), "{path}");
        assert!(answer.head.contains("retry-after: 5"), "{}", answer.head);
    }
    assert_eq!(served.desk.orders(), [""; 0]);
    for path in ["/v1/status", "/v1/images", UPDATE] {
        assert_eq!(ask(&served, "GET", path, TOKEN, "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_token_that_was_changed_is_the_token_from_then_on() {
    let served = private(true).await;
    std::fs::write(served.folder.path().join("secret"), "other\n").unwrap();
    assert_eq!(ask(&served, "GET", "/v1/status", TOKEN, "").await.status, 401);
    assert_eq!(ask(&served, "GET", "/v1/status", "authorization: Bearer other\r\n", "").await.status, 200);
    std::fs::write(served.folder.path().join("secret"), "").unwrap();
    assert_eq!(ask(&served, "GET", "/v1/status", "authorization: Bearer \r\n", "").await.status, 404);
}

#[tokio::test]
async fn what_is_read_comes_as_json() {
    let served = private(true).await;
    for (path, key) in
        [("/v1/images", "images"), ("/v1/updates", "updates"), (UPDATE, "phase"), (EXPLAIN, "workload"), ("/v1/status", "version")]
    {
        let answer = ask(&served, "GET", path, TOKEN, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        assert!(answer.head.contains("cache-control: no-store") && answer.head.contains("x-content-type-options: nosniff"));
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(body.get(key).is_some(), "{path}: {body}");
    }
    let gone = ask(&served, "GET", "/v1/updates/shop/other-0123456789", TOKEN, "").await;
    assert_eq!((gone.status, gone.error().as_str()), (404, "notFound"));
    let head = ask(&served, "HEAD", "/v1/status", TOKEN, "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn an_explanation_has_every_tag_unless_less_is_asked_for() {
    let served = private(true).await;
    for query in ["", "?brief=true", "?brief=false"] {
        assert_eq!(ask(&served, "GET", &format!("{EXPLAIN}{query}"), TOKEN, "").await.status, 200, "{query}");
    }
    let asked = [true, false, true].map(|all| format!("explain shop/Deployment/web all={all}"));
    assert_eq!(served.desk.orders(), asked);
    for wrong in ["?brief=perhaps", "?tags=3"] {
        assert_eq!(ask(&served, "GET", &format!("{EXPLAIN}{wrong}"), TOKEN, "").await.status, 400, "{wrong}");
    }
    assert_eq!(ask(&served, "GET", "/v1/explain/shop/Job/web", TOKEN, "").await.status, 404);
    assert_eq!(ask(&served, "POST", EXPLAIN, TOKEN, "").await.status, 405);
    let web = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
    for refusal in [Refusal::NoWorkload(web.clone()), Refusal::NotManaged(web)] {
        *served.desk.refusal.lock().unwrap() = Some(refusal.clone());
        let answer = ask(&served, "GET", EXPLAIN, TOKEN, "").await;
        assert_eq!((answer.status, answer.error().as_str(), answer.field("message")), (404, "notFound", refusal.to_string()));
    }
}

#[tokio::test]
async fn lists_are_filtered_and_cut() {
    let served = private(true).await;
    let answer = ask(&served, "GET", "/v1/updates?namespace=shop&open=true&limit=2", TOKEN, "").await;
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["updates"].as_array().unwrap().len(), 2);
    assert_eq!(served.desk.orders(), ["updates UpdateFilter { namespace: Some(\"shop\"), open: Some(true), limit: 2 }"]);
    assert_eq!(ask(&served, "GET", "/v1/updates?open=perhaps", TOKEN, "").await.status, 400);
}

#[tokio::test]
async fn orders_reach_the_desk_with_caller_and_words() {
    let served = private(true).await;
    let orders = [
        (format!("{UPDATE}/approve"), "{\"reason\": \"looks good\"}", "user:ann Approve shop/web-0123456789 Some(\"looks good\")"),
        (format!("{UPDATE}/reject"), "", "user:ann Reject shop/web-0123456789 None"),
        (format!("{UPDATE}/retry"), "{\"override\": true}", "user:ann retry shop/web-0123456789 override=true"),
        ("/v1/pause".into(), "{\"all\": true, \"for\": \"2h\"}", "user:ann pause everything Some(7200s)"),
        ("/v1/pause".into(), "{\"namespace\": \"shop\"}", "user:ann pause namespace shop None"),
        ("/v1/resume".into(), "{\"namespace\": \"shop\", \"kind\": \"deploy\", \"name\": \"web\"}", "user:ann resume shop/Deployment/web"),
    ];
    for (path, body, _) in &orders {
        let answer = ask(&served, "POST", path, TOKEN_JSON, body).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
    }
    assert_eq!(served.desk.orders(), orders.map(|(_, _, noted)| noted.to_owned()));
}

#[tokio::test]
async fn a_refusal_has_a_status_that_tells_what_to_do() {
    let served = private(true).await;
    let id = UpdateId { namespace: "shop".into(), name: "web-0123456789".into() };
    let refusals = [
        (Refusal::NoUpdate(id), 404, "notFound"),
        (Refusal::NotAllowed("user:ann is not an approver".into()), 403, "notAllowed"),
        (Refusal::Conflict("superseded by 1.0.2".into()), 409, "conflict"),
        (Refusal::Observing, 409, "conflict"),
        (Refusal::Unavailable { why: "the API server is busy".into(), retry_after: Some(Duration::from_secs(7)) }, 503, "unavailable"),
    ];
    for (refusal, status, code) in refusals {
        *served.desk.refusal.lock().unwrap() = Some(refusal.clone());
        let answer = ask(&served, "POST", &format!("{UPDATE}/approve"), TOKEN, "").await;
        assert_eq!((answer.status, answer.error().as_str()), (status, code));
        assert_eq!(answer.field("message"), refusal.to_string());
        assert_eq!(answer.head.contains("retry-after: 7"), status == 503, "{}", answer.head);
    }
}

#[tokio::test]
async fn mistakes_are_answered_in_json_and_without_what_was_sent() {
    let served = private(true).await;
    let approve = format!("{UPDATE}/approve");
    let long = format!("{{\"reason\": \"{}\"}}", "x".repeat(20_000));
    let mistakes = [
        ("GET", "/v1/'script'", TOKEN, "", 404, "notFound"),
        ("GET", "/v1/updates/shop/%3Cscript%3E", TOKEN, "", 404, "notFound"),
        ("GET", approve.as_str(), TOKEN, "", 405, "methodNotAllowed"),
        ("DELETE", UPDATE, TOKEN, "", 405, "methodNotAllowed"),
        ("POST", "/healthz", "", "", 405, "methodNotAllowed"),
        ("POST", approve.as_str(), TOKEN, "{\"reason\": \"x\"}", 415, "unsupportedMediaType"),
        ("POST", approve.as_str(), TOKEN_JSON, "<script>", 400, "badRequest"),
        ("POST", approve.as_str(), TOKEN_JSON, "{\"<script>\": 1}", 400, "badRequest"),
        ("POST", "/v1/pause", TOKEN_JSON, "{\"for\": \"<script>\", \"all\": true}", 400, "badRequest"),
        ("POST", approve.as_str(), TOKEN_JSON, long.as_str(), 413, "tooLarge"),
    ];
    for (method, path, headers, body, status, code) in mistakes {
        let answer = ask(&served, method, path, headers, body).await;
        assert_eq!((answer.status, answer.error().as_str()), (status, code), "{method} {path} {body}");
        assert!(!answer.body.contains("script"), "{}", answer.body);
        assert_eq!(answer.head.contains("\nallow: "), status == 405, "{}", answer.head);
    }
    assert_eq!(served.desk.orders(), [""; 0]);
}

#[tokio::test]
async fn bodies_without_a_length_are_bounded_too() {
    let served = private(true).await;
    let chunk = format!("{:x}\r\n{}\r\n", 10_000, "x".repeat(10_000));
    let head =
        format!("POST {UPDATE}/approve HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\ntransfer-encoding: chunked\r\n{TOKEN_JSON}\r\n");
    let answer = exchange(served.address, &format!("{head}{chunk}{chunk}")).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_request_head_without_end_is_cut_off() {
    let served = private(true).await;
    let answer = ask(&served, "GET", "/healthz", &format!("x-filler: {}\r\n", "x".repeat(64 * 1024)), "").await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_stop_lets_the_request_in_hand_end_and_takes_no_other() {
    let served = private(true).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("POST {UPDATE}/approve HTTP/1.1\r\nhost: skeg\r\ncontent-length: 2\r\nexpect: 100-continue\r\n{TOKEN_JSON}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The interim answer shows that the request is in hand: its body is being read.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 Continue"));
    served.stop.cancel();
    stream.write_all(b"{}").await.unwrap();
    assert_eq!(answered(stream).await.status, 200);
    tokio::time::timeout(Duration::from_secs(10), served.done).await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
