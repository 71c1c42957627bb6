//! Faults that a test plans: which request they meet, and what the registry does then instead of what it should.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, LINK, LOCATION, RETRY_AFTER};
use serde_json::{Value, json};

use super::answer::Answer;
use super::bomb;
use super::route::{Operation, Route};
use crate::embedded::loopback::Response;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with no useful body, and this `Retry-After` (seconds or a date) where given.
    Status {
        /// The status.
        status: StatusCode,
        /// The text of `Retry-After`.
        retry_after: Option<String>,
    },
    /// 307 to this place.
    Redirect(String),
    /// 200 with a page of HTML, as a captive portal or a proxy answers.
    Html,
    /// 200 with this body, called JSON.
    Body(Bytes),
    /// 200 with a body that inflates to this many bytes from about a thousandth of it.
    GzipBomb {
        /// Bytes after inflation.
        decoded_bytes: u64,
    },
    /// The right answer, one byte at a time with this pause before each.
    SlowBody(Duration),
    /// The right answer, its connection closed after this many bytes of the body (fewer than announced).
    TruncatedBody(usize),
    /// The right answer with a `Link` to this as the next page.
    ForeignLink(String),
    /// The right tag list with these further names, taken as they are.
    ExtraTags(Vec<String>),
    /// Every token becomes worthless just before this request is looked at.
    RevokeTokens,
    /// The connection closes with no answer.
    CloseConnection,
    /// No answer for as long as a request may take here.
    Hang,
}

impl Fault {
    /// A status with no `Retry-After`.
    pub fn status(status: StatusCode) -> Self {
        Self::Status { status, retry_after: None }
    }

    /// 429 with a `Retry-After` in seconds.
    pub fn too_many_requests(retry_after_seconds: u64) -> Self {
        Self::Status { status: StatusCode::TOO_MANY_REQUESTS, retry_after: Some(retry_after_seconds.to_string()) }
    }
}

/// Which requests a fault meets. Requests that are refused for want of a credential meet none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    operation: Option<Operation>,
    repository: Option<String>,
    passed_over: usize,
    times: usize,
}

impl Matcher {
    /// The next request, whatever it is.
    pub fn any() -> Self {
        Self { operation: None, repository: None, passed_over: 0, times: 1 }
    }

    /// The next request of this kind.
    pub fn of(operation: Operation) -> Self {
        Self { operation: Some(operation), ..Self::any() }
    }

    /// Only those of this repository.
    #[must_use]
    pub fn in_repository(mut self, name: impl Into<String>) -> Self {
        self.repository = Some(name.into());
        self
    }

    /// Passes over this many matching requests first: `after(1)` meets the second page of a tag list.
    #[must_use]
    pub fn after(mut self, passed_over: usize) -> Self {
        self.passed_over = passed_over;
        self
    }

    /// Meets this many requests instead of one.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Meets every request until the faults are cleared.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(usize::MAX)
    }

    fn is_about(&self, route: Route<'_>) -> bool {
        let operation = self.operation.is_none_or(|wanted| wanted == route.operation());
        let wanted = self.repository.as_deref();
        operation && wanted.is_none_or(|wanted| Some(wanted) == route.repository())
    }
}

/// The planned faults, in the order they were planned.
#[derive(Default)]
pub(super) struct Faults {
    planned: Mutex<Vec<(Matcher, Fault)>>,
}

impl Faults {
    /// Plans a fault.
    pub fn plan(&self, matcher: Matcher, fault: Fault) {
        self.lock().push((matcher, fault));
    }

    /// Forgets what is planned.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The first planned fault that meets this request; it is used up by that.
    pub fn take(&self, route: Route<'_>) -> Option<Fault> {
        let mut planned = self.lock();
        let met = planned.iter_mut().position(|(matcher, _)| {
            let due = matcher.is_about(route) && matcher.passed_over == 0;
            if matcher.is_about(route) && !due {
                matcher.passed_over -= 1;
            }
            due && matcher.times > 0
        })?;
        let (matcher, fault) = planned.get_mut(met)?;
        let fault = fault.clone();
        matcher.times = matcher.times.saturating_sub(1);
        planned.retain(|(matcher, _)| matcher.times > 0);
        Some(fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Matcher, Fault)>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spoils the right answer.
pub(super) fn spoil(fault: Option<Fault>, answer: Answer) -> Response {
    match fault {
        // Tokens and waiting are dealt with before there is an answer.
        None | Some(Fault::RevokeTokens | Fault::Hang) => answer.into_response(),
        Some(Fault::Status { status, retry_after }) => refusal(status, retry_after.as_deref()).into_response(),
        Some(Fault::Redirect(location)) => Answer::new(StatusCode::TEMPORARY_REDIRECT).with(LOCATION, &location).into_response(),
        Some(Fault::Html) => {
            let page = Bytes::from_static(b"<!doctype html><title>Welcome</title>Please log in.");
            let answer = Answer::new(StatusCode::OK).body("text/html; charset=utf-8", page);
            answer.into_response()
        }
        Some(Fault::Body(body)) => {
            let answer = Answer::new(StatusCode::OK).body("application/json", body);
            answer.into_response()
        }
        Some(Fault::GzipBomb { decoded_bytes }) => {
            let answer = Answer::json(StatusCode::OK, &Value::Null).with(CONTENT_ENCODING, "gzip");
            let answer = streamed(answer);
            answer.into_response_with(|_| bomb::body(decoded_bytes))
        }
        Some(Fault::SlowBody(pause)) => streamed(answer).into_response_with(|body| slow(body, pause)),
        Some(Fault::TruncatedBody(bytes)) => answer.into_response_with(|body| broken(body.slice(..bytes.min(body.len())))),
        Some(Fault::ForeignLink(url)) => {
            let link = format!("<{url}>; rel=\"next\"");
            answer.with(LINK, &link).into_response()
        }
        Some(Fault::ExtraTags(names)) => with_tags(answer, names).into_response(),
        Some(Fault::CloseConnection) => {
            let answer = streamed(Answer::new(StatusCode::OK));
            answer.into_response_with(broken)
        }
    }
}

fn refusal(status: StatusCode, retry_after: Option<&str>) -> Answer {
    let answer = Answer::json(status, &json!({"errors": []}));
    match retry_after {
        Some(text) => answer.with(RETRY_AFTER, text),
        None => answer,
    }
}

/// Without an announced length, so that the end of the body is its own.
fn streamed(mut answer: Answer) -> Answer {
    answer.headers.remove(CONTENT_LENGTH);
    answer
}

fn with_tags(answer: Answer, names: Vec<String>) -> Answer {
    let Ok(mut list) = serde_json::from_slice::<Value>(&answer.body) else {
        return answer;
    };
    if let Some(tags) = list.get_mut("tags").and_then(Value::as_array_mut) {
        tags.extend(names.into_iter().map(Value::from));
    }
    answer.body("application/json", list.to_string().into())
}

fn slow(body: Bytes, pause: Duration) -> Response {
    reply(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let byte = rest.split_to(1);
        Some((Ok(byte), rest))
    }))
}

/// A body that fails after these bytes: the server closes the connection then. Where there are none, not even the head
/// has been sent by then.
fn broken(sent: Bytes) -> Response {
    let sent = (!sent.is_empty()).then_some(Ok(sent));
    let some_sent = sent.is_some();
    let cut = async move {
        if some_sent {
            // The server writes out what it has when the body makes it wait.
            tokio::task::yield_now().await;
        }
        Err(std::io::ErrorKind::ConnectionAborted.into())
    };
    reply(stream::iter(sent).chain(stream::once(cut)))
}

fn reply<S>(pieces: S) -> Response
where
    S: futures::Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
{
    warp::Reply::into_response(warp::reply::stream(pieces))
}
