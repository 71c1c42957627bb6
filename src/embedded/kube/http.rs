//! The HTTP side of [`Api`]: faults, the bearer token, the record of requests, and how answers look on the wire.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use warp::reply::Reply;

use super::api::{self, Answer, Api};
use super::faults::{Fault, Faults};
use super::requests::{RequestRecord, Requests};
use super::status::ApiError;
use crate::embedded::loopback::{BodyError, Request, Response};

/// Largest request body in bytes (`MaxRequestBodyBytes` of the API server).
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What every request needs.
pub struct Server {
    /// The API.
    pub api: Arc<Api>,
    /// Faults asked for by tests.
    pub faults: Faults,
    /// What was asked.
    pub requests: Requests,
    /// The bearer token every request must carry, if there is one.
    pub token: Option<String>,
}

/// A request without its body.
struct Head {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
}

/// Answers a request, unless a fault is planned for it.
pub async fn answer(server: Arc<Server>, request: Request) -> Response {
    let Request { method, path, query, headers, body } = request;
    let head = Head { method, path, query, headers };
    let url = head.url();
    let fault = server.faults.take(head.method.as_str(), &url);
    let body = body.collect(BODY_BYTES_MAX).await;
    let response = match &fault {
        None => Some(respond(server.carry_out(&head, body))),
        Some(Fault::Status(code, retry_after)) => Some(respond(Err(ApiError::injected(*code, *retry_after)))),
        Some(Fault::Close | Fault::Hang) => None,
        Some(Fault::LoseAnswer) => {
            drop(server.carry_out(&head, body));
            None
        }
    };
    server.requests.record(RequestRecord {
        method: head.method.to_string(),
        path: url,
        content_type: head.header(&CONTENT_TYPE).to_owned(),
        user_agent: head.header(&USER_AGENT).to_owned(),
        status: response.as_ref().map_or(0, |response| response.status().as_u16()),
    });
    if fault == Some(Fault::Hang) {
        std::future::pending::<()>().await;
    }
    response.unwrap_or_else(closed)
}

impl Head {
    /// A header as text; empty when it is absent or no visible ASCII.
    fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Path and query as they were sent.
    fn url(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

impl Server {
    fn carry_out(&self, head: &Head, body: Result<Bytes, BodyError>) -> Result<Answer, ApiError> {
        self.authenticate(head)?;
        let body = body.map_err(|error| match error {
            BodyError::TooLong => ApiError::too_large(BODY_BYTES_MAX),
            BodyError::Broken => ApiError::bad_request(error.to_string()),
        })?;
        self.api.answer(&api::Request {
            method: head.method.as_str(),
            path: &head.path,
            query: &head.query,
            accept: head.header(&ACCEPT),
            content_type: head.header(&CONTENT_TYPE),
            body: &body,
        })
    }

    fn authenticate(&self, head: &Head) -> Result<(), ApiError> {
        use subtle::ConstantTimeEq as _;
        let Some(expected) = &self.token else { return Ok(()) };
        let authorization = head.header(&AUTHORIZATION);
        if authorization.is_empty() {
            return Err(ApiError::anonymous(&head.path));
        }
        let sent = authorization.strip_prefix("Bearer ").unwrap_or_default();
        if bool::from(sent.as_bytes().ct_eq(expected.as_bytes())) { Ok(()) } else { Err(ApiError::unauthorized()) }
    }
}

fn respond(answer: Result<Answer, ApiError>) -> Response {
    match answer {
        Ok(Answer::Json(code, body)) => with_type(code, "application/json", body.to_string().into_response()),
        Ok(Answer::Written { code, body, unknown_fields }) => {
            let mut response = with_type(code, "application/json", body.to_string().into_response());
            for warning in unknown_fields.iter().filter_map(|path| warning(path)) {
                response.headers_mut().append(WARNING, warning);
            }
            response
        }
        Ok(Answer::Text(code, text)) => with_type(code, "text/plain; charset=utf-8", text.into_response()),
        Ok(Answer::Watch(lines)) => {
            let lines = lines.map(Ok::<_, std::convert::Infallible>);
            with_type(200, "application/json", warp::reply::stream(lines).into_response())
        }
        Err(error) => {
            let mut response = with_type(error.code, "application/json", error.body().to_string().into_response());
            if let Some(seconds) = error.retry_after() {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

/// RFC 7234, section 5.5, as the API server writes it. Field names that fit into no header are left out.
fn warning(path: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("299 - \"unknown field \\\"{path}\\\"\"")).ok()
}

fn with_type(code: u16, media_type: &'static str, mut response: Response) -> Response {
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An answer whose body fails before its first byte, so that hyper closes the connection instead of answering.
fn closed() -> Response {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("connection closed by an injected fault")) });
    warp::reply::stream(broken).into_response()
}
