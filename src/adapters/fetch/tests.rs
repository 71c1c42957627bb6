use http::HeaderValue;

use super::scripted::{Scripted, answer};
use super::*;

fn ask(address: impl std::fmt::Display) -> Ask {
    let mut ask = Ask::new(Method::GET, format!("http://{address}/start").parse().unwrap(), 1000);
    ask.reach = Reach::Anywhere;
    ask.authorization = Some(HeaderValue::from_static("Bearer canary"));
    ask
}

async fn fetch(ask: Ask) -> Result<Answer, FetchError> {
    Fetch::new().unwrap().send(ask).await
}

#[tokio::test]
async fn a_request_names_the_program_and_its_version() {
    let server = Scripted::start(|_| answer("200 OK", &[], "hello")).await;
    let answer = fetch(ask(server.address())).await.unwrap();
    assert_eq!(answer.body, "hello");
    assert!(server.heads()[0].contains(concat!("user-agent: skeg/", env!("CARGO_PKG_VERSION"), "\r\n")));
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_the_credential() {
    let server = Scripted::start(|head| match head.split(' ').nth(1) {
        Some("/start") => answer("307 Temporary Redirect", &["Location: /end"], ""),
        _ => answer("200 OK", &[], "end"),
    })
    .await;
    let answer = fetch(ask(server.address())).await.unwrap();
    assert_eq!((answer.url.path(), &answer.body[..]), ("/end", &b"end"[..]));
    assert!(server.heads()[1].contains("authorization: bearer canary"));
}

/// RE-08.
#[test]
fn another_origin_gets_no_credential_and_neither_does_the_way_back() {
    let first = ask("registry.test");
    let same = redirected(first.clone(), "http://registry.test/next".parse().unwrap());
    assert!(same.authorization.is_some());
    let other = redirected(same, "http://registry.test.evil.test/".parse().unwrap());
    assert_eq!((&other.authorization, other.reach), (&None, Reach::Guarded));
    let back = redirected(other, first.url);
    assert_eq!((back.authorization, back.reach), (None, Reach::Guarded));
}

/// RE-08, as with object storage, but that it is on this machine.
#[tokio::test]
async fn a_redirect_to_another_origin_is_followed_without_the_credential() {
    let storage = Scripted::start(|_| answer("200 OK", &[], "blob")).await;
    let location = format!("Location: http://localhost:{}/", storage.address().port());
    let registry = Scripted::start(move |_| answer("307 Temporary Redirect", &[&location], "")).await;
    let guarding = Fetch::new().unwrap();
    let unguarded = Fetch { guarded: guarding.here.clone(), ..guarding };
    let answer = unguarded.send(ask(registry.address())).await.unwrap();
    assert_eq!((answer.url.host_str(), &answer.body[..]), (Some("localhost"), &b"blob"[..]));
    assert!(registry.heads()[0].contains("authorization: bearer canary"));
    assert!(!storage.heads()[0].contains("authorization"), "{:?}", storage.heads());
}

#[tokio::test]
async fn a_redirect_to_a_reserved_address_is_not_followed() {
    let inner = Scripted::start(|_| answer("200 OK", &[], "secret")).await;
    let location = format!("Location: http://{}/", inner.address());
    let outer = Scripted::start(move |_| answer("302 Found", &[&location], "")).await;
    assert_eq!(fetch(ask(outer.address())).await.unwrap_err(), FetchError::ReservedAddress);
    assert!(inner.heads().is_empty());
}

#[tokio::test]
async fn an_unnamed_host_is_not_reached_at_a_reserved_address() {
    let server = Scripted::start(|_| answer("200 OK", &[], "")).await;
    let port = server.address().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let guarded = Ask { reach: Reach::Guarded, ..ask(format!("{host}:{port}")) };
        assert_eq!(fetch(guarded).await.unwrap_err(), FetchError::ReservedAddress, "{host}");
    }
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let server = Scripted::start(|_| answer("302 Found", &["Location: /start"], "")).await;
    assert_eq!(fetch(ask(server.address())).await.unwrap_err(), FetchError::Redirect("too often"));
    assert_eq!(server.heads().len(), REDIRECTS_MAX + 1);
}

#[tokio::test]
async fn a_body_over_the_cap_is_an_error_and_a_long_refusal_is_cut() {
    let long = "x".repeat(REFUSAL_BYTES_MAX * 2);
    let server = Scripted::start(move |head| match head.split(' ').nth(1) {
        Some("/start") => answer("200 OK", &[], &long),
        _ => answer("429 Too Many Requests", &["Retry-After: 7"], &long),
    })
    .await;
    assert_eq!(fetch(ask(server.address())).await.unwrap_err(), FetchError::TooLarge(1000));
    let mut refused = ask(server.address());
    refused.url.set_path("/refused");
    let answer = fetch(refused).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (StatusCode::TOO_MANY_REQUESTS, REFUSAL_BYTES_MAX));
}

#[tokio::test]
async fn the_deadline_ends_an_answer_that_never_comes() {
    // Fewer bytes than announced, and the connection stays open as long as this listener's backlog holds it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let late = Ask { deadline: Duration::from_millis(50), ..ask(listener.local_addr().unwrap()) };
    assert_eq!(fetch(late).await.unwrap_err(), FetchError::TimedOut(Duration::from_millis(50)));
}

#[tokio::test]
async fn a_failure_names_its_cause_and_no_url() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = fetch(ask(address)).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot connect: ") && error.contains("refused"), "{error}");
    assert!(!error.contains("/start"), "{error}");
    let server = Scripted::start(|_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()).await;
    let error = fetch(ask(server.address())).await.unwrap_err().to_string();
    assert!(error.starts_with("the connection broke: "), "{error}");
}

#[tokio::test]
async fn a_body_that_is_not_what_its_encoding_says_is_told() {
    let server = Scripted::start(|_| answer("200 OK", &["Content-Encoding: gzip"], "no gzip")).await;
    assert_eq!(fetch(ask(server.address())).await.unwrap_err(), FetchError::Encoding);
}
