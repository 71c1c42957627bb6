//! What an answer of the API server means: the one place where its errors become [`ClusterError`].
//!
//! How a real server answers is written down in `docs/api-server.md`; the reasons are those of `k8s.io/apimachinery/pkg/apis/meta/v1`.
//! A proxy in front of it may answer anything, so the body is looked at only for what it can add to the status code.

use std::error::Error;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::ports::cluster::ClusterError;

/// How much of what the API server or the network says is repeated, in characters: a validation error with a few causes.
const DETAIL_CHARS_MAX: usize = 512;
/// The longest the API server is left alone because it asks for it. Longer than its own overload ever lasts; a wrong clock or proxy that
/// names an hour must not stop every update for that long.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// What was asked, as far as the meaning of the answer depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// A JSON Patch: its own `test` operations are refused with the code of an invalid object.
    Patch,
    /// Anything else.
    Else,
}

/// `v1/Status`, as far as it is read.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    name: String,
    causes: Vec<serde::de::IgnoredAny>,
    retry_after_seconds: u64,
}

/// What an answer other than success means for `object`.
pub(super) fn refusal(object: &str, asked: Asked, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClusterError {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let details = status.details.unwrap_or_default();
    let object = object.to_owned();
    let detail = detail(code, &status.message);
    let retry_after = retry_after(headers, details.retry_after_seconds);
    match code.as_u16() {
        404 => ClusterError::NotFound { object },
        409 if status.reason == "AlreadyExists" => ClusterError::Exists { object },
        // 410: the rest of a listing is no longer kept.
        409 | 410 => ClusterError::Conflict { object, detail },
        // A failed `test` comes without details; an object that is not valid names itself and the causes.
        422 if asked == Asked::Patch && details.name.is_empty() && details.causes.is_empty() => ClusterError::Conflict { object, detail },
        429 | 503 => ClusterError::Busy { object, retry_after },
        500..=599 if retry_after.is_some() => ClusterError::Busy { object, retry_after },
        // 401: a token of a service account is renewed while skeg runs, and an answer in between passes by itself.
        401 | 408 => ClusterError::Unreachable { object, detail },
        403 => ClusterError::Forbidden { object, detail },
        400..=499 => ClusterError::Refused { object, detail },
        _ => ClusterError::Unreachable { object, detail },
    }
}

/// What it means that there was no answer.
pub(super) fn no_answer(object: &str, error: &kube::Error) -> ClusterError {
    let detail = match error {
        // The text of these may repeat what a credential plugin printed.
        kube::Error::Auth(_) => "the credential could not be obtained".to_owned(),
        error => chain(error),
    };
    ClusterError::Unreachable { object: object.to_owned(), detail }
}

/// A text of the API server in one line, cut.
pub(super) fn line(text: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    text.trim().chars().map(plain).take(DETAIL_CHARS_MAX).collect()
}

/// An error with its causes in one line. An outer error mostly repeats nothing of the inner one; where it does, the inner one is left out.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    // What the client library calls a connection that did not come about.
    line(&text.replace("ServiceError: ", "").replace("client error (Connect): tcp connect error", "cannot connect"))
}

fn detail(code: StatusCode, message: &str) -> String {
    if message.is_empty() { format!("the API server answers {code}") } else { line(message) }
}

/// `Retry-After` in seconds (the API server never sends a date), else what the status says.
fn retry_after(headers: &HeaderMap, in_details: u64) -> Option<Duration> {
    let in_header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    let seconds = in_header.or(Some(in_details)).filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED_TEST: &str =
        r#"{"reason":"Invalid","message":"the server rejected our request due to an error in our request","details":{}}"#;
    const NOT_VALID: &str = r#"{"reason":"Invalid","message":"no","details":{"name":"web","causes":[{"field":"spec"}]}}"#;

    #[track_caller]
    fn check(code: u16, asked: Asked, body: &str, expected: &str) {
        let error = refusal("web", asked, StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), body.as_bytes());
        let told = match &error {
            ClusterError::Conflict { .. } => "conflict",
            ClusterError::NotFound { .. } => "not found",
            ClusterError::Exists { .. } => "exists",
            ClusterError::Refused { .. } => "refused",
            ClusterError::Forbidden { .. } => "forbidden",
            ClusterError::Busy { .. } => "busy",
            ClusterError::Unreachable { .. } => "unreachable",
        };
        assert_eq!(told, expected, "{code} {body}: {error}");
    }

    #[test]
    fn every_answer_means_one_thing() {
        for asked in [Asked::Patch, Asked::Else] {
            check(404, asked, "404 page not found", "not found");
            check(409, asked, r#"{"reason":"AlreadyExists"}"#, "exists");
            check(409, asked, r#"{"reason":"Conflict"}"#, "conflict");
            check(410, asked, r#"{"reason":"Expired"}"#, "conflict");
            check(422, asked, NOT_VALID, "refused");
            check(429, asked, "Too many requests, please try again later.", "busy");
            check(503, asked, "<html>", "busy");
            for code in [401, 408, 302, 500, 502, 504, 507] {
                check(code, asked, "", "unreachable");
            }
            check(403, asked, "{", "forbidden");
            for code in [400, 405, 413, 415, 418] {
                check(code, asked, "{", "refused");
            }
            check(500, asked, r#"{"reason":"ServerTimeout","details":{"retryAfterSeconds":1}}"#, "busy");
        }
    }

    #[test]
    fn a_failed_test_of_a_patch_is_a_conflict_and_elsewhere_the_same_code_is_a_refusal() {
        check(422, Asked::Patch, FAILED_TEST, "conflict");
        check(422, Asked::Else, FAILED_TEST, "refused");
    }

    #[track_caller]
    fn check_retry_after(header: &str, body: &str, seconds: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, header.parse().unwrap());
        let error = refusal("web", Asked::Else, StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes());
        assert_eq!(error, ClusterError::Busy { object: "web".into(), retry_after: seconds.map(Duration::from_secs) });
    }

    #[test]
    fn a_server_that_asks_to_be_left_alone_is_left_alone_for_that_long_and_never_for_hours() {
        check_retry_after("7", "", Some(7));
        check_retry_after("7", r#"{"details":{"retryAfterSeconds":3}}"#, Some(7));
        check_retry_after("soon", r#"{"details":{"retryAfterSeconds":3}}"#, Some(3));
        check_retry_after("soon", "", None);
        check_retry_after("-1", "", None);
        check_retry_after("86400", "", Some(300));
    }

    #[test]
    fn what_the_server_says_is_repeated_in_one_line_and_cut() {
        let body = format!(r#"{{"message":"no\nway {}"}}"#, "x".repeat(5_000));
        let ClusterError::Forbidden { detail, .. } = refusal("web", Asked::Else, StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes())
        else {
            panic!("not forbidden");
        };
        assert!(detail.starts_with("no way x"));
        assert_eq!(detail.chars().count(), DETAIL_CHARS_MAX);
    }
}
