//! What the bodies of acts say: from JSON to the orders of the desk.
//!
//! Messages tell what is expected and where reading stopped. They never repeat what was sent.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Problem;
use super::desk::{PauseOrder, ResumeOrder, Saying};
use super::route::is_name;
use crate::core::duration;
use crate::core::pause::Scope;
use crate::core::workload::{WorkloadId, WorkloadKind};

/// Characters of a reason: a sentence or two, which the record of an update has room for.
const REASON_LENGTH_MAX: usize = 500;

/// The body of a vote or a retry. An absent body is an empty object.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SayingBody {
    reason: Option<String>,
    #[serde(rename = "override", default)]
    override_gates: bool,
}

/// The body of a pause or a resume.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ScopeBody {
    #[serde(default)]
    all: bool,
    namespace: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    #[serde(rename = "for")]
    lasting: Option<String>,
    reason: Option<String>,
}

/// What is said with a vote or a retry.
pub fn saying(headers: &HeaderMap, body: &[u8]) -> Result<Saying, Problem> {
    let body: SayingBody = read(headers, body, "reason and override")?;
    Ok(Saying { reason: reason(body.reason.as_deref())?, override_gates: body.override_gates })
}

/// A pause.
pub fn pause(headers: &HeaderMap, body: &[u8]) -> Result<PauseOrder, Problem> {
    let body: ScopeBody = read(headers, body, "all, or namespace, or namespace with kind and name; for and reason")?;
    let scope = scope(&body)?;
    let lasting = body.lasting.as_deref().map(duration::parse).transpose();
    let lasting = lasting.map_err(|error| Problem::BadRequest(format!("for: {error}")))?;
    if lasting.is_some_and(|lasting| lasting.is_zero()) {
        return Err(Problem::BadRequest("for: a pause of no length has no effect".to_owned()));
    }
    Ok(PauseOrder { scope, lasting, reason: reason(body.reason.as_deref())? })
}

/// The end of a pause.
pub fn resume(headers: &HeaderMap, body: &[u8]) -> Result<ResumeOrder, Problem> {
    let body: ScopeBody = read(headers, body, "all, or namespace, or namespace with kind and name; reason")?;
    if body.lasting.is_some() {
        return Err(Problem::BadRequest("for: only a pause has a length".to_owned()));
    }
    Ok(ResumeOrder { scope: scope(&body)?, reason: reason(body.reason.as_deref())? })
}

fn read<T: DeserializeOwned + Default>(headers: &HeaderMap, body: &[u8], expected: &str) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    if !is_json(headers) {
        return Err(Problem::MediaType);
    }
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::BadRequest(format!("the body is not what is expected here, line {line} column {column}: a JSON object with {expected}"))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

fn reason(text: Option<&str>) -> Result<Option<Box<str>>, Problem> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > REASON_LENGTH_MAX || text.contains(char::is_control) {
        return Err(Problem::BadRequest(format!("reason: one line of at most {REASON_LENGTH_MAX} characters")));
    }
    Ok(Some(text.into()))
}

fn scope(body: &ScopeBody) -> Result<Scope, Problem> {
    let wrong = |what: &str| Err(Problem::BadRequest(what.to_owned()));
    if [&body.namespace, &body.name].into_iter().flatten().any(|name| !is_name(name)) {
        return wrong("namespace, name: not names that Kubernetes gives");
    }
    match (body.all, &body.namespace, &body.kind, &body.name) {
        (true, None, None, None) => Ok(Scope::All),
        (false, Some(namespace), None, None) => Ok(Scope::Namespace(namespace.as_str().into())),
        (false, Some(namespace), Some(kind), Some(name)) => {
            let kind = WorkloadKind::parse(kind).ok_or_else(unknown_kind)?;
            Ok(Scope::Workload(WorkloadId { namespace: namespace.as_str().into(), kind, name: name.as_str().into() }))
        }
        _ => wrong("say what is meant: all, or namespace, or namespace with kind and name"),
    }
}

fn unknown_kind() -> Problem {
    let kinds: Vec<_> = WorkloadKind::ALL.iter().map(|kind| kind.as_str()).collect();
    Problem::BadRequest(format!("kind: not a kind that skeg updates; known are {}", kinds.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn json() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())])
    }

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let message = pause(&json(), body.as_bytes()).map_or_else(|problem| problem.to_string(), |order| order.scope.to_string());
        assert!(message.contains(expected), "{body}: {message}");
    }

    #[test]
    fn a_scope_is_everything_a_namespace_or_a_workload() {
        check("{\"all\": true}", "everything");
        check("{\"namespace\": \"shop\"}", "namespace shop");
        check("{\"namespace\": \"shop\", \"kind\": \"deploy\", \"name\": \"web\"}", "shop/Deployment/web");
        for unclear in
            ["{}", "", "{\"all\": true, \"namespace\": \"shop\"}", "{\"kind\": \"Deployment\", \"name\": \"web\"}", "{\"name\": \"web\"}"]
        {
            check(unclear, "say what is meant");
        }
        check("{\"namespace\": \"../x\"}", "not names");
        check("{\"namespace\": \"shop\", \"kind\": \"Job\", \"name\": \"web\"}", "known are Deployment");
        check("{\"namespace\": \"shop\", \"for\": \"soon\"}", "for: not a duration");
        check("{\"namespace\": \"shop\", \"for\": \"0s\"}", "no length");
    }

    #[test]
    fn a_pause_has_a_length_and_a_reason() {
        let order = pause(&json(), b"{\"all\": true, \"for\": \"2h\", \"reason\": \" freeze \"}").unwrap();
        let expected = PauseOrder { scope: Scope::All, lasting: Some(Duration::from_hours(2)), reason: Some("freeze".into()) };
        assert_eq!(order, expected);
        assert!(resume(&json(), b"{\"all\": true, \"for\": \"2h\"}").is_err());
        assert_eq!(resume(&json(), b"{\"all\": true}").unwrap(), ResumeOrder { scope: Scope::All, reason: None });
    }

    #[test]
    fn a_saying_may_be_absent() {
        assert_eq!(saying(&HeaderMap::new(), b"").unwrap(), Saying::default());
        assert_eq!(saying(&json(), b"{\"override\": true}").unwrap(), Saying { reason: None, override_gates: true });
        assert!(saying(&json(), b"{\"reason\": \"two\\nlines\"}").is_err());
        assert!(saying(&json(), format!("{{\"reason\": \"{}\"}}", "x".repeat(501)).as_bytes()).is_err());
        assert_eq!(saying(&HeaderMap::new(), b"{}").unwrap_err(), Problem::MediaType);
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        for body in ["{\"<script>\": 1}", "<script>", "[1]", "{\"reason\": {\"<script>\": 1}}"] {
            let problem = saying(&json(), body.as_bytes()).unwrap_err().to_string();
            assert!(!problem.contains("script") && problem.contains("line 1 column"), "{problem}");
        }
    }
}
