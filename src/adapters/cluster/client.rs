//! Calls to the API server: each with a deadline, a bounded answer, and errors that say what to do next.
//!
//! The library's own retries are off: how long to wait and when to give up is decided by the update that asked, in one place for all
//! ports. Nothing here is cached and nothing is repeated, but for a listing whose pages the server no longer keeps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::{Body, ClientBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{self, Asked};
use super::connection::{ConnectError, Connection, configuration};
use super::endpoint::Endpoint;
use super::opening::Opening;
use crate::ports::cluster::ClusterError;

/// Time for one call, its whole answer included: two admission webhooks that take their default of 10 s each, and reserve.
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Time for a connection. A server that does not take it within this is away for every purpose here.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Silence on a connection after which it counts as dead: longer than a watch is asked to last (see `watch`), so that only a dead one is cut.
const SILENCE_MAX: Duration = Duration::from_secs(super::watch::WATCH_SECONDS as u64 + 10);
/// The largest answer taken. A page of the journal with every record at the bounds of its schema (280 KB each) is a third of this.
const ANSWER_BYTES_MAX: usize = 48 << 20;
/// The largest body of an error read: a Status with many causes.
const ERROR_BYTES_MAX: usize = 256 << 10;
/// How often a listing begins anew because the server has dropped its pages (410). It keeps them for five minutes.
const LISTINGS_MAX: u32 = 3;

/// Calls at once, watches not counted. A release of a thousand workloads is a thousand records at one moment; this many keep the server's
/// share for one client busy (API priority and fairness queues more), and one that hangs delays no other.
const CALLS_MAX: usize = 32;

/// Who skeg is to the API server, in its audit log.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("skeg/", env!("CARGO_PKG_VERSION")));
/// The manager of the fields that skeg sets.
const FIELD_MANAGER: &str = "skeg";

/// The API server.
#[derive(Clone)]
pub struct ApiServer {
    client: kube::Client,
    /// Turns for calls.
    calls: Arc<Semaphore>,
    /// Scheme, host and port, for people.
    address: Box<str>,
}

/// Which objects to list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing<'a> {
    /// What they are, for messages.
    pub(crate) object: &'a str,
    /// Where they are.
    pub(crate) endpoint: Endpoint,
    /// In which namespace; `None` for all.
    pub(crate) namespace: Option<&'a str>,
    /// Only those with these labels; empty for all.
    pub(crate) labels: &'a str,
    /// Objects asked for at a time.
    pub(crate) page: usize,
    /// After how many objects to stop; the rest is left.
    pub(crate) most: usize,
}

/// One page of a listing. The items are read by the caller, one by one: a bad one must not hide the others.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

/// A call before it is made.
struct Call<'a> {
    object: &'a str,
    method: Method,
    path: Option<String>,
    query: Vec<(&'static str, String)>,
    body: Option<(&'static str, Vec<u8>)>,
}

impl ApiServer {
    /// Reads the configuration and makes a client. Whether the server can be reached shows at the first call.
    pub async fn connect(connection: &Connection) -> Result<Self, ConnectError> {
        let mut config = configuration(connection).await?;
        config.connect_timeout = Some(CONNECT_DEADLINE);
        config.write_timeout = Some(CALL_DEADLINE);
        config.read_timeout = Some(SILENCE_MAX);
        config.reset_reader_on_write = true;
        config.default_retry = false;
        config.headers.push((USER_AGENT, AGENT));
        let unusable = |error: kube::Error| match error {
            kube::Error::Auth(_) => ConnectError::Unusable { problem: "the credential cannot be read".to_owned() },
            // Their texts hold the proxy's address with its login.
            kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
                ConnectError::Unusable { problem: "the proxy (proxy-url, HTTPS_PROXY) is not one of http:// or https://".to_owned() }
            }
            error => ConnectError::Unusable { problem: answer::chain(&error) },
        };
        // Written anew from its parts, so that a login in it stays where it is.
        let url = &config.cluster_url;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let address = format!("{}://{}{port}", url.scheme_str().unwrap_or("https"), url.host().unwrap_or_default()).into();
        let client = ClientBuilder::try_from(config).map_err(unusable)?.with_layer(&Opening).build();
        Ok(Self { client, calls: Arc::new(Semaphore::new(CALLS_MAX)), address })
    }

    /// The same server with turns of its own, for calls that must not wait behind others.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { calls: Arc::new(Semaphore::new(CALLS_MAX)), ..self.clone() }
    }

    /// Scheme, host and port of the server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The client below, for watches.
    pub(super) fn kube(&self) -> kube::Client {
        self.client.clone()
    }

    /// Reads one object; `None` when there is none.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        object: &str,
        endpoint: Endpoint,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, ClusterError> {
        let call = Call::new(object, Method::GET, endpoint.object(namespace, name));
        match self.answer(call).await {
            Ok(body) => parse(object, &body).map(Some),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a listing to its end, or to its bound, keeping what `convert` makes of each object. A page that is missing makes the whole
    /// listing fail: there is no partial one.
    pub(crate) async fn list<T>(&self, listing: Listing<'_>, convert: impl Fn(Value) -> Option<T>) -> Result<Vec<T>, ClusterError> {
        let mut tries = 1;
        loop {
            match self.list_once(listing, &convert).await {
                Err(ClusterError::Conflict { .. }) if tries < LISTINGS_MAX => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn list_once<T>(&self, listing: Listing<'_>, convert: impl Fn(Value) -> Option<T>) -> Result<Vec<T>, ClusterError> {
        let mut kept = Vec::new();
        let mut read = 0;
        let mut next = String::new();
        loop {
            let mut call = Call::new(listing.object, Method::GET, listing.endpoint.collection(listing.namespace));
            call.query("limit", listing.page.to_string());
            if !listing.labels.is_empty() {
                call.query("labelSelector", listing.labels);
            }
            if !next.is_empty() {
                call.query("continue", next.as_str());
            }
            let page: Page = parse(listing.object, &self.answer(call).await?)?;
            // An empty page counts as one object: there may be more to come, but not without end.
            read += page.items.len().max(1);
            kept.extend(page.items.into_iter().filter_map(&convert));
            if page.metadata.next.is_empty() || read >= listing.most {
                return Ok(kept);
            }
            next = page.metadata.next;
        }
    }

    /// Creates an object and gives it as stored.
    pub(crate) async fn create(&self, object: &str, endpoint: Endpoint, namespace: &str, body: &Value) -> Result<Value, ClusterError> {
        let mut call = Call::new(object, Method::POST, endpoint.collection(Some(namespace)));
        call.query("fieldManager", FIELD_MANAGER);
        call.body("application/json", body);
        parse(object, &self.answer(call).await?)
    }

    /// Replaces an object and gives it as stored. The body carries the resource version that it is to replace.
    pub(crate) async fn replace(
        &self,
        object: &str,
        endpoint: Endpoint,
        (namespace, name): (&str, &str),
        body: &Value,
    ) -> Result<Value, ClusterError> {
        let mut call = Call::new(object, Method::PUT, endpoint.object(namespace, name));
        call.query("fieldManager", FIELD_MANAGER);
        call.body("application/json", body);
        parse(object, &self.answer(call).await?)
    }

    /// Carries out a JSON Patch (RFC 6902) and gives the object as stored.
    pub(crate) async fn json_patch<T: DeserializeOwned>(
        &self,
        object: &str,
        endpoint: Endpoint,
        (namespace, name): (&str, &str),
        operations: &Value,
    ) -> Result<T, ClusterError> {
        let mut call = Call::new(object, Method::PATCH, endpoint.object(namespace, name));
        call.query("fieldManager", FIELD_MANAGER);
        call.body("application/json-patch+json", operations);
        parse(object, &self.answer(call).await?)
    }

    /// Deletes an object. Its absence is no error.
    pub(crate) async fn delete(&self, object: &str, endpoint: Endpoint, namespace: &str, name: &str) -> Result<(), ClusterError> {
        match self.answer(Call::new(object, Method::DELETE, endpoint.object(namespace, name))).await {
            Ok(_) | Err(ClusterError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn answer(&self, call: Call<'_>) -> Result<Bytes, ClusterError> {
        let object = call.object;
        let asked = if call.method == Method::PATCH { Asked::Patch } else { Asked::Else };
        let request = call.request()?;
        let _turn = self.calls.acquire().await;
        let answered = async {
            let response = self.client.send(request).await.map_err(|error| answer::no_answer(object, &error))?;
            read(object, asked, response).await
        };
        within(CALL_DEADLINE, object, answered).await
    }
}

impl<'a> Call<'a> {
    fn new(object: &'a str, method: Method, path: Option<String>) -> Self {
        Self { object, method, path, query: Vec::new(), body: None }
    }

    fn query(&mut self, key: &'static str, value: impl Into<String>) {
        self.query.push((key, value.into()));
    }

    fn body(&mut self, content_type: &'static str, body: &Value) {
        self.body = Some((content_type, body.to_string().into_bytes()));
    }

    fn request(self) -> Result<Request<Body>, ClusterError> {
        let object = self.object.to_owned();
        let Some(path) = self.path else {
            return Err(ClusterError::NotFound { object });
        };
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(self.query).finish();
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let request = Request::builder().method(self.method).uri(target).header(ACCEPT, "application/json");
        let request = match self.body {
            Some((content_type, body)) => request.header(CONTENT_TYPE, content_type).body(Body::from(body)),
            None => request.body(Body::empty()),
        };
        request.map_err(|error| ClusterError::Refused { object, detail: answer::chain(&error) })
    }
}

/// The answer, or that there was none in time. Whether the server has carried the call out is not known then.
async fn within<T>(limit: Duration, object: &str, answer: impl Future<Output = Result<T, ClusterError>>) -> Result<T, ClusterError> {
    timeout(limit, answer).await.unwrap_or_else(|_| {
        Err(ClusterError::Unreachable { object: object.to_owned(), detail: format!("no answer within {} s", limit.as_secs()) })
    })
}

/// Reads an answer to its end, or to its bound.
async fn read(object: &str, asked: Asked, response: Response<Body>) -> Result<Bytes, ClusterError> {
    let (head, body) = response.into_parts();
    let bytes_max = if head.status.is_success() { ANSWER_BYTES_MAX } else { ERROR_BYTES_MAX };
    match (head.status, Limited::new(body, bytes_max).collect().await) {
        (StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED, Ok(body)) => Ok(body.to_bytes()),
        (code, Ok(body)) => Err(answer::refusal(object, asked, code, &head.headers, &body.to_bytes())),
        (code, Err(_)) if !code.is_success() => Err(answer::refusal(object, asked, code, &head.headers, &[])),
        (_, Err(error)) => {
            let detail = format!("the answer cannot be read: {}", answer::chain(error.as_ref()));
            Err(ClusterError::Unreachable { object: object.to_owned(), detail })
        }
    }
}

fn parse<T: DeserializeOwned>(object: &str, body: &[u8]) -> Result<T, ClusterError> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the answer is not what was asked for (line {}, column {})", error.line(), error.column());
        ClusterError::Unreachable { object: object.to_owned(), detail }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let never = std::future::pending::<Result<(), ClusterError>>();
        let error = within(Duration::from_millis(5), "web", never).await.unwrap_err();
        assert!(matches!(error, ClusterError::Unreachable { .. }));
    }
}
