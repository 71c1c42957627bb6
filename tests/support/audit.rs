//! What skeg asked of the real API server, by the server's own audit log.

use serde_json::Value;

use super::controlplane::ControlPlane;

/// A request and how it was answered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Asked {
    /// The verb of RBAC.
    pub verb: String,
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource's plural, with `/subresource` where there is one.
    pub resource: String,
    /// The namespace; empty for a request of the whole cluster.
    pub namespace: String,
    /// The object's name; empty where none was named.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u64,
    /// For how long a watch was asked for, in seconds; 0 where nothing was said.
    pub watch_seconds: u64,
}

/// The requests that this user has made so far, in the order of their answers; a watch is there from its beginning.
pub fn asked_by(plane: &ControlPlane, user: &str) -> Vec<Asked> {
    let log = plane.audit_log();
    // The last line may be half written; what is looked for was answered before.
    let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter(|entry| entry["user"]["username"] == user).filter_map(|entry| asked(&entry)).collect()
}

fn watch_seconds(uri: &str) -> u64 {
    uri.split(['?', '&']).find_map(|part| part.strip_prefix("timeoutSeconds=")?.parse().ok()).unwrap_or_default()
}

fn asked(entry: &Value) -> Option<Asked> {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let verb = text("/verb");
    let stage = if verb == "watch" && entry["responseStatus"]["code"] == 200 { "ResponseStarted" } else { "ResponseComplete" };
    if entry["stage"] != stage || text("/objectRef/resource").is_empty() {
        return None;
    }
    let subresource = text("/objectRef/subresource");
    let resource = text("/objectRef/resource");
    Some(Asked {
        verb,
        group: text("/objectRef/apiGroup"),
        resource: if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") },
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        code: entry.pointer("/responseStatus/code")?.as_u64()?,
        watch_seconds: watch_seconds(&text("/requestURI")),
    })
}
