//! An answer whose body is all there, so that a fault can still alter it before it is sent.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::error::RegistryError;
use crate::embedded::loopback::Response;

/// Status, headers and the whole body.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// An answer with an empty body.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A JSON answer.
    pub fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status).body("application/json", value.to_string().into())
    }

    /// Sets the body, its type and its length.
    pub fn body(mut self, content_type: &str, body: Bytes) -> Self {
        self.body = body;
        let length = self.body.len().to_string();
        self.with(CONTENT_TYPE, content_type).with(CONTENT_LENGTH, &length)
    }

    /// Adds a header. A value that no header may carry is left out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// What a HEAD gets: the same headers, the length included, and no body.
    pub fn without_body(mut self) -> Self {
        self.body = Bytes::new();
        self
    }

    /// The response to send.
    pub fn into_response(self) -> Response {
        self.into_response_with(|body| Response::new(body.into()))
    }

    /// The response to send, its body made by `body` (faults send it piecemeal).
    pub fn into_response_with(self, body: impl FnOnce(Bytes) -> Response) -> Response {
        let mut response = body(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl From<RegistryError> for Answer {
    fn from(error: RegistryError) -> Self {
        let body = json!({"errors": [{"code": error.code(), "message": error.to_string(), "detail": null}]});
        Self::json(error.status(), &body)
    }
}

impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Self {
        Self::new(status)
    }
}
