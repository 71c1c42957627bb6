//! What the API answers instead of an object: `Status` objects, worded like the real server's.
//!
//! The texts and codes follow `k8s.io/apimachinery/pkg/api/errors` and `pkg/util/validation/field`, because clients and people
//! match on them. Which rule was broken is found in `validate`; this file only says it.

use std::fmt;

use serde_json::{Map, Value, json};

use super::catalog::ResourceType;
use super::structural::type_name;

/// A refused request: an HTTP status and the `Status` object of its body.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, `NotFound` for one; empty where the real server knows none.
    pub reason: &'static str,
    /// The sentence a person reads.
    pub message: String,
    /// Name, group, kind and causes, as far as they are known.
    pub details: Map<String, Value>,
}

/// One broken rule of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    reason: &'static str,
    field: String,
    message: String,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Map::new() }
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &ResourceType, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, &resource.plural, name)
    }

    /// 409: an object of this name exists.
    pub fn already_exists(resource: &ResourceType, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, &resource.plural, name)
    }

    /// 409: the object is not the one the client read.
    pub fn conflict(resource: &ResourceType, name: &str, why: &str) -> Self {
        let qualified = resource.qualified();
        let message = format!("Operation cannot be fulfilled on {qualified} {name:?}: {why}");
        Self::new(409, "Conflict", message).about(resource, &resource.plural, name)
    }

    /// 409: the resource version the client sent is not the current one.
    pub fn stale(resource: &ResourceType, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 422: the object breaks rules.
    pub fn invalid(resource: &ResourceType, name: &str, problems: &[Problem]) -> Self {
        let kind = if resource.group.is_empty() { resource.kind.clone() } else { format!("{}.{}", resource.kind, resource.group) };
        let message = format!("{kind} {name:?} is invalid: {}", join(problems));
        let mut error = Self::new(422, "Invalid", message).about(resource, &resource.kind, name);
        error.details.insert("causes".into(), causes(problems));
        error
    }

    /// 422: a well-formed patch cannot be applied. The real server tells no more than this.
    pub fn unprocessable_patch() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request")
    }

    /// 422: what a patch made is no object of its kind.
    pub fn invalid_patch_result(why: &str) -> Self {
        let problem = Problem::invalid("patch", &json!(""), why);
        let message = format!(" \"\" is invalid: {problem}");
        let mut error = Self::new(422, "Invalid", message);
        error.details.insert("causes".into(), causes(&[problem]));
        error
    }

    /// 422: a query parameter has a value that it cannot have.
    pub fn invalid_option(parameter: &str, value: &Value, detail: &str) -> Self {
        let problem = Problem::invalid(parameter, value, detail);
        let mut error = Self::new(422, "Invalid", problem.to_string());
        error.details.insert("causes".into(), causes(&[problem]));
        error
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: no or a wrong bearer token.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: nobody says who they are. The path stands for what they would do, which the real server spells out.
    pub fn anonymous(path: &str) -> Self {
        Self::new(403, "Forbidden", format!("forbidden: User \"system:anonymous\" cannot access path {path:?}"))
    }

    /// 405: the resource has no such verb.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message)
    }

    /// 410: the resource version is older than the kept history.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413: the request body is larger than the limit (bytes).
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415: the body is in a format that is not spoken here.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!("the body of the request was in an unknown format - accepted media types include: {}", accepted.join(", "));
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 504: the client asks for a state that does not exist yet.
    pub fn future_version(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let mut error = Self::new(504, "Timeout", message.clone());
        let cause = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        error.details.insert("causes".into(), cause);
        error.details.insert("retryAfterSeconds".into(), json!(1));
        error
    }

    /// 500 without a reason: the storage refuses, in its own words.
    pub fn storage(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// A status made to order, for injected faults. `retry_after` is in seconds.
    pub fn injected(code: u16, retry_after: Option<u32>) -> Self {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden: injected fault"),
            409 => ("Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
            410 => ("Expired", "too old resource version"),
            429 => ("TooManyRequests", "Too many requests, please try again later."),
            500 => ("InternalError", "Internal error occurred: injected fault"),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the request could not be completed in time"),
            _ => ("", "injected fault"),
        };
        let mut error = Self::new(code, reason, message);
        if let Some(seconds) = retry_after {
            error.details.insert("retryAfterSeconds".into(), json!(seconds));
        }
        error
    }

    /// Seconds after which the client may try again, as told in the details.
    pub fn retry_after(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if let Some(fields) = status.as_object_mut() {
            if !self.reason.is_empty() {
                fields.insert("reason".into(), self.reason.into());
            }
            if !self.details.is_empty() || self.code == 422 {
                fields.insert("details".into(), Value::Object(self.details.clone()));
            }
        }
        status
    }

    fn about(mut self, resource: &ResourceType, kind: &str, name: &str) -> Self {
        self.details.insert("name".into(), name.into());
        if !resource.group.is_empty() {
            self.details.insert("group".into(), resource.group.clone().into());
        }
        self.details.insert("kind".into(), kind.into());
        self
    }
}

impl Problem {
    fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        Self { reason, field: field.into(), message }
    }

    /// A field that must have a value has none.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueRequired", field, with_detail("Required value".into(), detail))
    }

    /// A value breaks a rule of its field.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = with_detail(format!("Invalid value: {value}"), detail);
        Self::new("FieldValueInvalid", field, message)
    }

    /// A rule of the custom resource's schema (`x-kubernetes-validations`) is broken. Of the value only the type is shown.
    pub fn rule(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::invalid(field, &json!(type_name(value)), detail)
    }

    /// Rules on the change were not looked at, because the object breaks its schema.
    pub fn rules_not_checked() -> Self {
        let detail =
            "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        Self::invalid("<nil>", &Value::Null, detail)
    }

    /// A value that may not be set, or not be changed.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, with_detail("Forbidden".into(), detail))
    }

    /// A value that another element already has.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self::new("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
    }

    /// A value that is none of the allowed ones.
    pub fn not_supported(field: impl Into<String>, value: &Value, allowed: &[String]) -> Self {
        let allowed: Vec<String> = allowed.iter().map(|value| format!("{value:?}")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", allowed.join(", "));
        Self::new("FieldValueNotSupported", field, message)
    }

    /// A value of the wrong JSON type, or a text that is not of the wanted format.
    pub fn wrong_type(field: impl Into<String>, found: &str, expected: &str) -> Self {
        let field = field.into();
        let message = format!("Invalid value: {found:?}: {field} in body must be of type {expected}: {found:?}");
        Self::new("FieldValueTypeInvalid", field, message)
    }

    /// A list with more items than the limit.
    pub fn too_many(field: impl Into<String>, found: usize, limit: usize) -> Self {
        let message = format!("Too many: {found}: must have at most {limit} items");
        Self::new("FieldValueTooMany", field, message)
    }

    /// A value longer than the limit, which is named with its unit ("bytes", "items").
    pub fn too_long(field: impl Into<String>, limit: usize, unit: &str) -> Self {
        let message = format!("Too long: may not be more than {limit} {unit}");
        Self::new("FieldValueTooLong", field, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

fn with_detail(message: String, detail: &str) -> String {
    if detail.is_empty() { message } else { format!("{message}: {detail}") }
}

fn join(problems: &[Problem]) -> String {
    match problems {
        [problem] => problem.to_string(),
        problems => {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            format!("[{}]", all.join(", "))
        }
    }
}

fn causes(problems: &[Problem]) -> Value {
    let causes = problems.iter().map(|problem| json!({"reason": problem.reason, "message": problem.message, "field": problem.field}));
    Value::Array(causes.collect())
}
