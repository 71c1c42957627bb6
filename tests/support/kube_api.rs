//! Plain requests to a Kubernetes API, and assertions on what it answered.
//!
//! Deliberately not the kube client that skeg uses: what the tests claim about a server should not rest on how that
//! client reads its answers.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WARNING};
use reqwest::{Certificate, Client, Method, Response};
use serde_json::Value;

/// JSON Patch, RFC 6902.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// JSON Merge Patch, RFC 7396.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// Kubernetes' own patch that merges lists by key.
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// A plain object.
pub const JSON: &str = "application/json";

/// Any single answer, and any awaited watch event: a loaded machine is slow, a hanging server is a failure.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(30);

/// One caller of one Kubernetes API.
#[derive(Clone)]
pub struct Server {
    client: Client,
    base_url: String,
    token: Option<String>,
}

impl Server {
    /// A caller with this bearer token. `ca` is the PEM bundle that signs the server's certificate.
    ///
    /// Made anew in each test: the connections belong to the runtime they were opened in.
    pub fn new(base_url: &str, ca: Option<&[u8]>, token: Option<&str>) -> Self {
        // Whoever comes second finds the provider installed, which is all that matters.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder().no_proxy();
        if let Some(pem) = ca {
            client = client.tls_certs_only(Certificate::from_pem_bundle(pem).expect("certificates in PEM"));
        }
        let client = client.build().expect("a client");
        Self { client, base_url: base_url.to_owned(), token: token.map(str::to_owned) }
    }

    /// The same server, asked by somebody else.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Reads `path`, which may carry a query.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, JSON, None).await
    }

    /// Creates `object`.
    pub async fn post(&self, path: &str, object: &Value) -> Answer {
        self.ask(Method::POST, path, JSON, Some(object.to_string().into_bytes())).await
    }

    /// Replaces by `object`.
    pub async fn put(&self, path: &str, object: &Value) -> Answer {
        self.ask(Method::PUT, path, JSON, Some(object.to_string().into_bytes())).await
    }

    /// Patches with a patch of the given content type.
    pub async fn patch(&self, path: &str, content_type: &str, changes: &Value) -> Answer {
        self.ask(Method::PATCH, path, content_type, Some(changes.to_string().into_bytes())).await
    }

    /// Deletes.
    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, JSON, None).await
    }

    /// Deletes under `options`, a `v1/DeleteOptions`.
    pub async fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.ask(Method::DELETE, path, JSON, Some(options.to_string().into_bytes())).await
    }

    /// Sends any bytes as any content type.
    pub async fn ask(&self, method: Method, path: &str, content_type: &str, body: Option<Vec<u8>>) -> Answer {
        let asked = format!("{method} {path}");
        let response = self.send(method, path, content_type, body, JSON).await;
        let code = response.status().as_u16();
        let warnings = response.headers().get_all(WARNING).iter().map(|value| value.to_str().unwrap().to_owned()).collect();
        let text = tokio::time::timeout(ANSWER_SECONDS_MAX, response.text()).await.expect("a whole answer in time").expect("text");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { asked, code, body, warnings }
    }

    /// Reads `path` as the table that `kubectl get` prints.
    pub async fn table(&self, path: &str) -> Value {
        self.get_as(path, "application/json;as=Table;v=v1;g=meta.k8s.io").await
    }

    /// Reads `path` in the form that this `Accept` asks for.
    pub async fn get_as(&self, path: &str, accept: &str) -> Value {
        let response = self.send(Method::GET, path, JSON, None, accept).await;
        response.json().await.expect("JSON")
    }

    /// Whether `path` is answered with success; for a server that may not listen yet.
    pub async fn answers(&self, path: &str) -> bool {
        let answer =
            self.client.get(format!("{}{path}", self.base_url)).bearer_auth(self.token.as_deref().unwrap_or_default()).send().await;
        answer.is_ok_and(|response| response.status().is_success())
    }

    /// Opens a watch: `path` carries `watch=true` and what else is wanted.
    pub async fn watch(&self, path: &str) -> Watch {
        let response = self.send(Method::GET, path, JSON, None, JSON).await;
        assert_eq!(response.status().as_u16(), 200, "a watch starts with 200, whatever it has to tell: {path}");
        Watch { response, unread: Vec::new() }
    }

    async fn send(&self, method: Method, path: &str, content_type: &str, body: Option<Vec<u8>>, accept: &str) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.base_url)).header(ACCEPT, accept);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, content_type).body(body);
        }
        tokio::time::timeout(ANSWER_SECONDS_MAX, request.send()).await.expect("an answer in time").expect("an answer")
    }
}

/// What was answered.
#[derive(Debug)]
#[must_use]
pub struct Answer {
    asked: String,
    /// HTTP status.
    pub code: u16,
    /// The body; text that is no JSON is a string.
    pub body: Value,
    /// `Warning` headers.
    pub warnings: Vec<String>,
}

impl Answer {
    /// Asserts the HTTP status and gives the body.
    #[track_caller]
    pub fn is(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}: {:#}", self.asked, self.body);
        self.body
    }

    /// Asserts a `v1/Status` that refuses with this code and reason, and gives it.
    #[track_caller]
    pub fn refused(self, code: u16, reason: &str) -> Value {
        let asked = self.asked.clone();
        let status = self.is(code);
        let shape = [("kind", "Status"), ("apiVersion", "v1"), ("status", "Failure"), ("reason", reason)];
        for (field, expected) in shape {
            assert_eq!(status[field], expected, "{asked}: {status:#}");
        }
        assert_eq!(status["code"], code, "{asked}: {status:#}");
        assert!(status["message"].as_str().is_some_and(|message| !message.is_empty()), "{asked}: {status:#}");
        status
    }

    /// Asserts 422 `Invalid` with causes on exactly these fields, and gives the status.
    ///
    /// The cause on `<nil>`, which says that some rules were not checked, is left out of the comparison.
    #[track_caller]
    pub fn invalid(self, fields: &[&str]) -> Value {
        let asked = self.asked.clone();
        let status = self.refused(422, "Invalid");
        let causes = status["details"]["causes"].as_array().unwrap_or_else(|| panic!("{asked}: no causes: {status:#}"));
        let found: BTreeSet<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).filter(|field| *field != "<nil>").collect();
        assert_eq!(found, fields.iter().copied().collect(), "{asked}: {status:#}");
        status
    }
}

/// An open watch.
pub struct Watch {
    response: Response,
    unread: Vec<u8>,
}

impl Watch {
    /// The next event, or `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("an event"));
            }
            let chunk = tokio::time::timeout(ANSWER_SECONDS_MAX, self.response.chunk()).await.expect("an event in time");
            self.unread.extend_from_slice(&chunk.expect("a stream that ends in good order")?);
        }
    }

    /// The next events as type and object name.
    pub async fn next_names(&mut self, count: usize) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("an event before the end");
            names.push((
                event["type"].as_str().unwrap().to_owned(),
                event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            ));
        }
        names
    }
}
