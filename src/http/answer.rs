//! What goes back: JSON, plain text for probes, and errors in one form.
//!
//! An error is `{"error": code, "message": sentence}`. The code is for scripts and never changes; the sentence is for people. Nothing of
//! the request is repeated in either, so no answer can carry somebody else's markup.

use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

/// An answer, complete before it is sent.
pub type Answer = Response<String>;

/// The JSON of an error, read back by the command line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorView {
    /// The code.
    pub error: String,
    /// The sentence.
    pub message: String,
}

/// Why a request is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is nothing at this path.
    #[error("there is nothing at this path")]
    NoRoute,
    /// The path has other methods.
    #[error("this path does not take this method; it takes {allow}")]
    Method {
        /// Those.
        allow: &'static str,
    },
    /// The credential is missing or wrong.
    #[error("a valid credential is needed")]
    Unauthorized {
        /// The scheme to present it in.
        scheme: &'static str,
    },
    /// No credential is configured, so the route is closed.
    #[error("{0}")]
    Closed(&'static str),
    /// The body, its type or the query cannot be used.
    #[error("{0}")]
    BadRequest(String),
    /// The body is not JSON by its header.
    #[error("send the body as application/json")]
    MediaType,
    /// The body is longer than accepted.
    #[error("the body is longer than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} seconds", deadline.as_secs())]
    TooSlow {
        /// The bound.
        deadline: Duration,
    },
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The caller may not do that.
    #[error("{0}")]
    NotAllowed(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// Not now.
    #[error("{why}")]
    Unavailable {
        /// Why.
        why: String,
        /// When to try again.
        retry_after: Duration,
    },
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::Closed(_) | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::NotAllowed(_) => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoRoute | Self::NotFound(_) => "notFound",
            Self::Method { .. } => "methodNotAllowed",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Closed(_) => "closed",
            Self::BadRequest(_) => "badRequest",
            Self::MediaType => "unsupportedMediaType",
            Self::TooLarge { .. } => "tooLarge",
            Self::TooSlow { .. } => "tooSlow",
            Self::NotAllowed(_) => "notAllowed",
            Self::Conflict(_) => "conflict",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Method { allow } => Some((ALLOW, HeaderValue::from_static(allow))),
            Self::Unauthorized { scheme } => Some((WWW_AUTHENTICATE, HeaderValue::from_static(scheme))),
            Self::Unavailable { retry_after, .. } => Some((RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)))),
            _ => None,
        }
    }

    /// The answer that tells it.
    pub fn answer(&self) -> Answer {
        let view = ErrorView { error: self.code().to_owned(), message: self.to_string() };
        let mut answer = json(self.status(), &view);
        answer.headers_mut().extend(self.header());
        answer
    }
}

/// An answer in JSON.
pub fn json(status: StatusCode, view: &impl Serialize) -> Answer {
    match serde_json::to_string(view) {
        Ok(body) => answer(status, "application/json", body),
        Err(error) => {
            // Views are plain values and always have a form in JSON; if one had not, this is where it would show.
            tracing::error!(error.kind = %error, "an answer has no form in JSON");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", String::new())
        }
    }
}

/// An answer in plain text, for probes.
pub fn text(status: StatusCode, line: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

/// An answer of any type.
pub fn answer(status: StatusCode, media_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
