//! The one HTTP client: what every outgoing request has in common, whoever it is for.
//!
//! A deadline over the whole exchange, a cap on the decoded body, redirects that never carry a credential to another
//! origin or from https to http, and no connections to this machine or to metadata services unless the configuration
//! names the host. It knows nothing of registries, and it does not retry: the caller knows what a failure means.

mod addresses;
mod rate_limit;
mod redirect;
mod retry_after;
mod trust;
mod upgrade;

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::core::address::is_loopback;

pub use rate_limit::{RateLimit, rate_limit};
pub use redirect::same_origin;
pub use retry_after::{RETRY_AFTER_MAX, retry_after, retry_after_in};
pub use trust::{TlsFileError, TlsFiles, TrustingFetch};
pub use upgrade::{WebSocket, WebSockets};

use addresses::{GuardedResolver, Proxies, RefusedAddress, is_reserved_literal};
use redirect::next_hop;
use trust::Material;

/// Time for one exchange from the first packet to the last byte of the body, redirects included. A registry answers in
/// milliseconds to a few seconds; a server that sends one byte now and then must not hold a place for longer than this.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Time to connect, name lookup and TLS included; a third of the deadline, so that a dead address is told from a slow answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Redirects followed. Registries need one (to a mirror or a regional host); more than a few is a loop.
const REDIRECTS_MAX: usize = 5;
/// Bytes read of an answer that is no success: enough for the error code in it, and the rest is never looked at.
const REFUSAL_BYTES_MAX: usize = 16 << 10;
/// Time to read those bytes: status and headers already say what matters, so the body is not worth a long wait.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(2);
/// Idle connections kept for each host. More requests at once than this are rare, and they may connect anew.
const IDLE_PER_HOST_MAX: usize = 4;

/// Which addresses a request may connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Any but link-local, loopback and metadata addresses. For hosts that an image reference, a redirect or another
    /// foreign text names.
    Guarded,
    /// Any. For hosts that the configuration names.
    Anywhere,
    /// Any, and never through a proxy. For services beside this machine.
    Direct,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `GET` or `HEAD`; others are sent, but their redirects are not followed.
    pub method: Method,
    /// Where to; http or https, and without a login in it.
    pub url: Url,
    /// Headers that may go to every host a redirect names. `Authorization` is removed from them.
    pub headers: HeaderMap,
    /// The credential. It goes to the origin of `url` and to no other.
    pub authorization: Option<HeaderValue>,
    /// Which addresses may be connected to; a redirect to another origin is always [`Reach::Guarded`].
    pub reach: Reach,
    /// What is sent with it. Requests with a body are not `GET`, so no redirect repeats it elsewhere.
    pub body: Option<Bytes>,
    /// The most bytes of a successful body, counted after decompression.
    pub body_bytes_max: usize,
    /// Time for all of it.
    pub deadline: Duration,
}

impl Ask {
    /// A request for `url` with no headers, no credential and no body, guarded, with the usual deadline.
    pub fn new(method: Method, url: Url, body_bytes_max: usize) -> Self {
        let headers = HeaderMap::new();
        Self { method, url, headers, authorization: None, reach: Reach::Guarded, body: None, body_bytes_max, deadline: DEADLINE }
    }
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status; never a redirect that could be followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Where the answer came from, after redirects.
    pub url: Url,
    /// The decoded body: the whole of it for a success, its cut beginning otherwise. Empty after `HEAD`.
    pub body: Bytes,
}

/// Why there is no answer. The messages name no URL and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The host is this machine, a link-local neighbour or a metadata service.
    #[error("it is at a loopback, link-local or metadata address, which only a host named in the configuration may be")]
    ReservedAddress,
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// The deadline passed.
    #[error("no complete answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A redirect that must not be followed.
    #[error("redirects {0}")]
    Redirect(&'static str),
    /// The body is longer than the cap.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The body is not what its `Content-Encoding` says.
    #[error("the answer cannot be decompressed")]
    Encoding,
}

/// The client could not be made: no usable TLS roots, or no resolver.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client")]
pub struct SetupError(#[from] reqwest::Error);

/// The client. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Fetch {
    guarded: reqwest::Client,
    proxies: Proxies,
    anywhere: reqwest::Client,
    here: reqwest::Client,
}

impl Fetch {
    /// A client with connection pools of its own.
    pub fn new() -> Result<Self, SetupError> {
        Self::with(&Material::default())
    }

    /// The same with further authorities, for the host that the configuration names and what it redirects to, and a certificate to show to that host
    /// alone.
    fn with(material: &Material) -> Result<Self, SetupError> {
        // Fails only if a provider is there already; the binary installs no other than this.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("skeg/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .connect_timeout(CONNECT_DEADLINE)
                .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        };
        // Pools of their own, so that a connection made for a named host never serves a request that had to be guarded. A proxy of the
        // surroundings cannot reach this machine's own address.
        let proxies = Proxies::of_environment();
        Ok(Self {
            guarded: material.trusted_by(builder()).dns_resolver(GuardedResolver(proxies.clone())).build()?,
            proxies,
            anywhere: material.used_by(builder()).build()?,
            here: material.used_by(builder()).no_proxy().build()?,
        })
    }

    /// Sends `ask` and reads the answer, following redirects.
    pub async fn send(&self, ask: Ask) -> Result<Answer, FetchError> {
        let deadline = ask.deadline;
        let answer = tokio::time::timeout(deadline, self.follow(ask)).await;
        answer.unwrap_or(Err(FetchError::TimedOut(deadline)))
    }

    async fn follow(&self, mut ask: Ask) -> Result<Answer, FetchError> {
        ask.headers.remove(AUTHORIZATION);
        for _ in 0..=REDIRECTS_MAX {
            let response = self.exchange(&ask).await?;
            let Some(next) = next_hop(&ask.method, &ask.url, response.status(), response.headers())? else {
                return read(response, &ask).await;
            };
            ask = redirected(ask, next);
        }
        Err(FetchError::Redirect("too often"))
    }

    async fn exchange(&self, ask: &Ask) -> Result<reqwest::Response, FetchError> {
        let client = match ask.reach {
            // The resolver never sees an address that is written out.
            Reach::Guarded if is_reserved_literal(&ask.url) || ask.url.domain().is_some_and(|name| self.proxies.are_on(name)) => {
                return Err(FetchError::ReservedAddress);
            }
            Reach::Guarded => &self.guarded,
            Reach::Direct => &self.here,
            Reach::Anywhere if ask.url.host_str().is_some_and(is_loopback) => &self.here,
            Reach::Anywhere => &self.anywhere,
        };
        let mut request = client.request(ask.method.clone(), ask.url.clone()).headers(ask.headers.clone());
        if let Some(authorization) = &ask.authorization {
            let mut authorization = authorization.clone();
            authorization.set_sensitive(true);
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        request.send().await.map_err(|error| failure(&error))
    }
}

/// The request as it goes on to `next`. What another origin loses it does not get back, not even for a hop to the first
/// origin: that one was asked for by somebody else.
fn redirected(ask: Ask, next: Url) -> Ask {
    if same_origin(&ask.url, &next) {
        return Ask { url: next, ..ask };
    }
    Ask { url: next, authorization: None, reach: Reach::Guarded, ..ask }
}

async fn read(response: reqwest::Response, ask: &Ask) -> Result<Answer, FetchError> {
    let status = response.status();
    let headers = response.headers().clone();
    let body = if ask.method == Method::HEAD {
        Bytes::new()
    } else if status.is_success() {
        whole_body(response, ask.body_bytes_max).await?
    } else {
        beginning(response).await
    };
    Ok(Answer { status, headers, url: ask.url.clone(), body })
}

/// The decoded body, read no further than the cap: what a bomb would inflate to is never in memory.
async fn whole_body(mut response: reqwest::Response, bytes_max: usize) -> Result<Bytes, FetchError> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len().saturating_add(piece.len()) > bytes_max {
            return Err(FetchError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// What arrives soon of the body of a refusal; a failure here hides nothing that status and headers do not say.
async fn beginning(mut response: reqwest::Response) -> Bytes {
    let mut body = BytesMut::new();
    let _ = tokio::time::timeout(REFUSAL_DEADLINE, async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = REFUSAL_BYTES_MAX.saturating_sub(body.len());
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if body.len() >= REFUSAL_BYTES_MAX {
                break;
            }
        }
    })
    .await;
    body.freeze()
}

/// The innermost cause says most ("connection refused", "invalid peer certificate: `UnknownIssuer`"); the outer ones repeat the URL.
fn failure(error: &reqwest::Error) -> FetchError {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
        if cause.is::<RefusedAddress>() {
            return FetchError::ReservedAddress;
        }
    }
    // The decoder fails with an I/O error of its own; a connection that breaks in the body comes as the HTTP library's error.
    if error.is_decode() && error.source().is_some_and(<dyn Error>::is::<io::Error>) {
        return FetchError::Encoding;
    }
    if error.is_timeout() {
        return FetchError::Unreachable(format!("no connection within {} s", CONNECT_DEADLINE.as_secs()));
    }
    let what = if error.is_connect() { "cannot connect" } else { "the connection broke" };
    if error.source().is_none() {
        return FetchError::Unreachable(what.to_owned());
    }
    FetchError::Unreachable(format!("{what}: {cause}"))
}

#[cfg(test)]
pub(in crate::adapters) mod scripted;
#[cfg(test)]
mod tests;
