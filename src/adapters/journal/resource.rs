//! The shape of an `ImageUpdate` object in JSON, and nothing else: no rule, no decision. `crd` says the same to the API server; a test
//! holds the two against each other.
//!
//! A field that is absent is absent for a reason of the core's: the phase does not have it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The whole object.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: Status,
}

#[derive(Serialize, Deserialize, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: Box<str>,
    pub(super) namespace: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource_version: Option<Box<str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) workload: Workload,
    pub(super) changes: Vec<Change>,
    pub(super) policy: Box<str>,
    pub(super) trigger: String,
    pub(super) approvals: u32,
    #[serde(default)]
    pub(super) approvers: Vec<String>,
    pub(super) approval_deadline: String,
    pub(super) approval_valid: String,
    pub(super) rollback: bool,
    pub(super) rollout_timeout: String,
    pub(super) pin: Pin,
    pub(super) plan: Plan,
    /// `remote` or `remote:path`.
    #[serde(default)]
    pub(super) write_back: Vec<String>,
    pub(super) attempt: u32,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Workload {
    pub(super) kind: String,
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Change {
    pub(super) container: Box<str>,
    #[serde(default)]
    pub(super) init: bool,
    pub(super) repository: String,
    pub(super) from: Box<str>,
    pub(super) to: Box<str>,
    pub(super) tag: String,
    pub(super) digest: String,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pin {
    Tag,
    Digest,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Plan {
    Patch,
    Git,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) phase: String,
    /// `Code: sentence`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) since: Timestamp,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) asked_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paused_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) granted_at: Option<Timestamp>,
    /// Approvals given and needed, for people: nothing reads it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tally: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) votes: Vec<Vote>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rollout: Option<Rollout>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tries: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<Commit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<Prompt>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) taken_back: Vec<Box<str>>,
    pub(super) epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) binding: Option<Binding>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) history: Vec<Entry>,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Vote {
    pub(super) voter: Box<str>,
    pub(super) verdict: Verdict,
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Box<str>>,
}

#[derive(Serialize, Deserialize, Debug, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Approve,
    Reject,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollout {
    pub(super) applied: Vec<Applied>,
    pub(super) patched_at: Timestamp,
    pub(super) deadline: Timestamp,
    /// Why it is put back: `Code: sentence`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Applied {
    pub(super) container: Box<str>,
    pub(super) image: Box<str>,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Commit {
    pub(super) remote: Box<str>,
    pub(super) id: Box<str>,
    pub(super) path: Box<str>,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Prompt {
    pub(super) channel: Box<str>,
    pub(super) timestamp: Box<str>,
    /// Whether the message shows how the update ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Binding {
    pub(super) reason: Box<str>,
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<Box<str>>,
}

#[derive(Serialize, Deserialize, Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) event: Box<str>,
    #[serde(default)]
    pub(super) detail: Box<str>,
}
