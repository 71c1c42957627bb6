//! The query parameters of a request, parsed once.
//!
//! Unknown parameters are ignored, as the real server does.

use std::time::Duration;

use serde_json::json;

use super::status::ApiError;

/// Every parameter that is understood here.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// `labelSelector`, unparsed.
    pub label_selector: String,
    /// `fieldSelector`, unparsed.
    pub field_selector: String,
    /// `resourceVersion`; 0 is "any".
    pub resource_version: Option<u64>,
    /// `resourceVersionMatch=Exact`
    pub exact: bool,
    /// `limit`: objects on a page; absent for all.
    pub limit: Option<usize>,
    /// `continue`: the token of the page before.
    pub page: Option<String>,
    /// What is asked of a watch.
    pub watch: WatchOptions,
    /// `dryRun=All`: everything is checked, nothing is stored.
    pub dry_run: bool,
    /// `fieldValidation`
    pub unknown_fields: UnknownFields,
    /// `propagationPolicy` of a delete.
    pub propagation: Option<String>,
}

/// What is done about fields that a type does not have, besides dropping them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownFields {
    /// Nothing.
    Ignore,
    /// The answer tells of each in a header.
    #[default]
    Warn,
    /// The request is refused.
    Refuse,
}

/// The parameters of a watch.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// `watch`: a stream of changes instead of a list.
    pub wanted: bool,
    /// `timeoutSeconds`
    pub timeout: Option<Duration>,
    /// `allowWatchBookmarks`
    pub bookmarks: bool,
    /// `sendInitialEvents`: the watch begins with what is there.
    pub initial_events: bool,
}

/// Longest `fieldManager`, in characters (`FieldManagerMaxLength` of Kubernetes' meta/v1 validation).
const FIELD_MANAGER_MAX: usize = 128;

impl Query {
    /// Reads the raw query text.
    pub fn parse(raw: &str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        let mut not_older_than = false;
        for (key, value) in url::form_urlencoded::parse(raw.as_bytes()) {
            query.take(&key, &value)?;
            not_older_than |= key == "resourceVersionMatch" && value == "NotOlderThan";
        }
        query.check_initial_events(not_older_than)?;
        Ok(query)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), ApiError> {
        match key {
            "labelSelector" => value.clone_into(&mut self.label_selector),
            "fieldSelector" => value.clone_into(&mut self.field_selector),
            "resourceVersion" => self.resource_version = resource_version(value)?,
            "resourceVersionMatch" => self.exact = value == "Exact",
            "limit" => self.limit = usize::try_from(integer(key, value)?).ok().filter(|limit| *limit > 0),
            "continue" => self.page = Some(value.to_owned()).filter(|token| !token.is_empty()),
            "watch" => self.watch.wanted = boolean(value),
            "timeoutSeconds" => self.watch.timeout = u64::try_from(integer(key, value)?).ok().map(Duration::from_secs),
            "allowWatchBookmarks" => self.watch.bookmarks = boolean(value),
            "sendInitialEvents" => self.watch.initial_events = boolean(value),
            "dryRun" => self.dry_run = dry_run(value)?,
            "fieldManager" => check_field_manager(value)?,
            "fieldValidation" => self.unknown_fields = unknown_fields(value)?,
            "propagationPolicy" => self.propagation = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// The real server streams initial events only to clients that say how old they may be.
    fn check_initial_events(&self, not_older_than: bool) -> Result<(), ApiError> {
        if self.watch.initial_events && !not_older_than {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(ApiError::invalid_option("sendInitialEvents", &json!(true), detail));
        }
        Ok(())
    }
}

/// Reads `metadata.resourceVersion` and `resourceVersion` texts; empty is absent.
pub fn resource_version(text: &str) -> Result<Option<u64>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid =
        |_| ApiError::bad_request(format!("invalid resource version {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"));
    text.parse().map(Some).map_err(invalid)
}

/// Reads `dryRun`: `All` is the only value that asks for something.
pub fn dry_run(value: &str) -> Result<bool, ApiError> {
    match value {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(ApiError::invalid_option("dryRun", &json!([other]), "supported values: \"All\"")),
    }
}

/// The manager's name is checked but not kept: there are no managed fields here.
fn check_field_manager(value: &str) -> Result<(), ApiError> {
    if value.chars().count() > FIELD_MANAGER_MAX {
        return Err(ApiError::invalid_option("fieldManager", &json!(value), "may not be more than 128 bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err(ApiError::invalid_option("fieldManager", &json!(value), "should only contain printable characters"));
    }
    Ok(())
}

fn unknown_fields(value: &str) -> Result<UnknownFields, ApiError> {
    match value {
        "Ignore" => Ok(UnknownFields::Ignore),
        "" | "Warn" => Ok(UnknownFields::Warn),
        "Strict" => Ok(UnknownFields::Refuse),
        other => Err(ApiError::invalid_option("fieldValidation", &json!(other), "supported values: \"Ignore\", \"Strict\", \"Warn\"")),
    }
}

/// As the real server reads booleans: everything but a clear no is a yes.
fn boolean(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

fn integer(key: &str, value: &str) -> Result<i64, ApiError> {
    value.parse().map_err(|_| ApiError::bad_request(format!("invalid value for {key}: {value:?}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("&watch=true&labelSelector=app%20in%20%28a%2Cb%29&timeoutSeconds=290&resourceVersion=12").unwrap();
        assert!(query.watch.wanted);
        assert_eq!(query.label_selector, "app in (a,b)");
        assert_eq!(query.watch.timeout, Some(Duration::from_secs(290)));
        assert_eq!(query.resource_version, Some(12));
    }

    #[test]
    fn empty_and_unknown_parameters_change_nothing() {
        let query = Query::parse("resourceVersion=&continue=&limit=0&pretty=true").unwrap();
        assert_eq!(query.resource_version, None);
        assert_eq!(query.page, None);
        assert_eq!(query.limit, None);
    }

    #[track_caller]
    fn check_refused(raw: &str, code: u16) {
        assert_eq!(Query::parse(raw).unwrap_err().code, code, "{raw}");
    }

    #[test]
    fn values_that_cannot_be_read_are_refused() {
        check_refused("resourceVersion=abc", 400);
        check_refused("limit=many", 400);
        check_refused("dryRun=Some", 422);
        check_refused("fieldValidation=Some", 422);
        check_refused("watch=1&sendInitialEvents=true", 422);
        check_refused(&format!("fieldManager={}", "x".repeat(129)), 422);
    }
}
