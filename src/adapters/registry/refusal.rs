//! An answer that is no success, as an error: which kind, and what may be repeated of what the registry said.

use http::StatusCode;
use serde::Deserialize;

use crate::adapters::fetch::{Answer, FetchError};
use crate::core::image::Repository;
use crate::ports::registry::RegistryError;

/// The longest error code the specification knows is `BLOB_UPLOAD_INVALID`; others make up longer ones.
const CODE_LENGTH_MAX: usize = 40;

/// The body of an error (OCI distribution specification 1.1, "Error Codes").
#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    code: String,
}

/// The error that an answer about `repository` means. 404 and the first 401 mean something to the one who asks; here they are errors.
pub(super) fn refusal(repository: &Repository, answer: &Answer) -> RegistryError {
    let detail = said(answer);
    let status = answer.status;
    let repository_text = repository.to_string();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Unauthorized { repository: repository_text, detail },
        StatusCode::NOT_FOUND => RegistryError::NotFound { repository: repository_text },
        _ if status.is_server_error() => RegistryError::Unreachable { host: repository.registry().to_owned(), detail },
        _ => RegistryError::Malformed { repository: repository_text, detail },
    }
}

/// The error that the lack of an answer means.
pub(super) fn no_answer(host: &str, repository: &Repository, error: &FetchError) -> RegistryError {
    let detail = error.to_string();
    match error {
        FetchError::Unreachable(_) | FetchError::TimedOut(_) | FetchError::ReservedAddress => {
            RegistryError::Unreachable { host: host.to_owned(), detail }
        }
        FetchError::Redirect(_) | FetchError::TooLarge(_) | FetchError::Encoding => malformed(repository, detail),
    }
}

/// An answer that cannot be used.
pub(super) fn malformed(repository: &Repository, detail: impl Into<String>) -> RegistryError {
    RegistryError::Malformed { repository: repository.to_string(), detail: detail.into() }
}

/// Status and error code. The message beside the code is not repeated: it is foreign text, and an unfriendly server
/// may put there what it was sent, the login included.
pub(super) fn said(answer: &Answer) -> String {
    match code(&answer.body) {
        Some(code) => format!("answered {} ({code})", answer.status),
        None => format!("answered {}", answer.status),
    }
}

fn code(body: &[u8]) -> Option<String> {
    let errors: Errors = serde_json::from_slice(body).ok()?;
    let code = errors.errors.into_iter().next()?.code;
    let is_code = !code.is_empty() && code.len() <= CODE_LENGTH_MAX && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_code.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        assert_eq!(code(body.as_bytes()).as_deref(), expected, "{body}");
    }

    #[test]
    fn only_an_error_code_is_repeated() {
        check(r#"{"errors":[{"code":"DENIED","message":"you sent Basic Y2FuYXJ5"}]}"#, Some("DENIED"));
        check(r#"{"errors":[{"code":"NAME_UNKNOWN"},{"code":"OTHER"}]}"#, Some("NAME_UNKNOWN"));
        check(r#"{"errors":[{"code":"Basic Y2FuYXJ5"}]}"#, None);
        check(r#"{"errors":[{"code":""}]}"#, None);
        check(&format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "A".repeat(41)), None);
        check(r#"{"errors":[]}"#, None);
        check("<html>", None);
        check("", None);
    }
}
