//! A standby hands on to the leader what only the leader can do: the caller's own request, with the caller's own credential.
//!
//! So the replicas need no secret between them, and who may do what is decided where it is done. A request is handed on once: one that
//! comes from another replica is never handed on again. It goes to the address in the lease and nowhere else, no redirect is followed and no
//! proxy asked.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;

use super::answer::{Answer, Problem, answer};
use super::request::Request;
use crate::core::address::is_reserved;

/// Says that a request comes from another replica.
const HANDED_ON: HeaderName = HeaderName::from_static("skeg-handed-on");
/// Headers that are about one connection and not about the request (RFC 9110, 7.6.1), and the proxies' own ones.
const OF_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
/// Requests that are being handed on at once. Each of two replicas has so many places, and an order takes as long as the API server does.
const AT_ONCE_MAX: usize = 64;
/// Time to connect to another pod: one that is there takes milliseconds.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// The largest answer: what became of each of a hundred thousand tags.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// When to come back where nobody leads: a lease runs out within seconds.
const RETRY_AFTER_VACANCY: Duration = Duration::from_secs(5);

/// A request that can be handed on.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The method.
    pub method: Method,
    /// The path, with the query.
    pub target: String,
    /// The headers, without those of the connection.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Handed {
    /// The request with its body, as it was sent.
    pub fn new(method: &Method, path: &str, query: &str, headers: &HeaderMap, body: Bytes) -> Self {
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut headers = headers.clone();
        for name in &OF_CONNECTION {
            headers.remove(name);
        }
        headers.insert(HANDED_ON, HeaderValue::from_static("1"));
        Self { method: method.clone(), target, headers, body }
    }
}

/// Whether the request comes from another replica.
pub fn is_handed_on(request: &Request) -> bool {
    request.headers.contains_key(HANDED_ON)
}

/// Nobody leads, or not where the request could be handed on to.
pub fn vacant(why: &str) -> Problem {
    Problem::Unavailable { why: why.to_owned(), retry_after: RETRY_AFTER_VACANCY }
}

/// The way to other replicas.
pub struct Peers {
    client: OnceLock<Option<reqwest::Client>>,
    places: Semaphore,
    /// Whether this replica itself is reached at a loopback address, so that others may be.
    is_on_loopback: bool,
}

impl Peers {
    /// The way to other replicas, from one that is reached at `own`.
    pub fn new(own: Option<SocketAddr>) -> Self {
        let is_on_loopback = own.is_some_and(|own| own.ip().is_loopback());
        Self { client: OnceLock::new(), places: Semaphore::new(AT_ONCE_MAX), is_on_loopback }
    }

    /// Hands the request on, and gives the answer; a problem when there is none within `deadline`.
    pub async fn hand_on(&self, to: SocketAddr, request: &Handed, deadline: Duration) -> Result<Answer, Problem> {
        if is_reserved(to.ip()) && !(to.ip().is_loopback() && self.is_on_loopback) {
            tracing::warn!("the lease names an address that no replica has, and nothing is handed on to it");
            return Err(vacant("the leader cannot be reached"));
        }
        let Ok(_place) = self.places.try_acquire() else { return Err(vacant("too many requests are being handed on to the leader")) };
        let answered = tokio::time::timeout(deadline, self.asked(to, request)).await;
        answered.ok().flatten().ok_or_else(|| vacant("the leader does not answer; an order may be carried out still"))
    }

    async fn asked(&self, to: SocketAddr, request: &Handed) -> Option<Answer> {
        let Handed { method, target, headers, body } = request;
        let url = format!("http://{to}{target}");
        let asked = self.client()?.request(method.clone(), url).headers(headers.clone()).body(body.clone());
        let mut response = asked.send().await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.ok()? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return None;
            }
            body.extend_from_slice(&part);
        }
        Some(repeated(status, &headers, String::from_utf8(body.to_vec()).ok()?))
    }

    fn client(&self) -> Option<&reqwest::Client> {
        let client = self.client.get_or_init(|| {
            let builder =
                reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).connect_timeout(CONNECT_DEADLINE);
            builder.build().inspect_err(|error| tracing::error!(error = %error, "nothing can be handed on to the leader")).ok()
        });
        client.as_ref()
    }
}

/// The leader's answer as our own: its status, its body, and of its headers those that say what to do next.
fn repeated(status: StatusCode, headers: &HeaderMap, body: String) -> Answer {
    let mut repeated = answer(status, "application/json", body);
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = headers.get(&name) {
            repeated.headers_mut().insert(name, value.clone());
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_handed_on_to_an_address_that_no_replica_has() {
        let request = Handed::new(&Method::POST, "/v1/pause", "", &HeaderMap::new(), Bytes::new());
        for address in ["169.254.169.254:80", "[fe80::1]:80", "127.0.0.1:9301", "0.0.0.0:9301", "100.100.100.200:80"] {
            let handed =
                Peers::new(Some("10.0.0.7:9301".parse().unwrap())).hand_on(address.parse().unwrap(), &request, Duration::MAX).await;
            assert!(handed.unwrap_err().to_string().contains("cannot be reached"), "{address}");
        }
    }

    #[test]
    fn what_is_about_the_connection_stays_and_the_rest_goes_on() {
        let headers =
            [("authorization", "Bearer s3cret"), ("x-hub-signature-256", "sha256=a"), ("host", "skeg"), ("transfer-encoding", "chunked")];
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let handed = Handed::new(&Method::POST, "/v1/webhooks/github", "a=b", &HeaderMap::from_iter(headers), Bytes::from_static(b"{}"));
        let mut names: Vec<&str> = handed.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "skeg-handed-on", "x-hub-signature-256"]);
        assert_eq!(handed.target, "/v1/webhooks/github?a=b");
    }
}
