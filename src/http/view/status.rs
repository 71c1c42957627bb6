//! skeg itself as the API shows it: what it is connected to, what is degraded and why, which pauses are on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::pause::{Pause, Scope};

/// How skeg stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// Its version.
    pub version: String,
    /// `act` or `observe`.
    pub mode: String,
    /// When the process started.
    pub started: Timestamp,
    /// Whether it is ready: what `/readyz` answers.
    pub ready: bool,
    /// Whether this process is the one that acts.
    pub leader: bool,
    /// Which replica acts; absent while that is not known, and where nobody acts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lead: Option<LeadView>,
    /// Managed workloads.
    pub workloads: usize,
    /// Open updates by phase.
    pub updates: BTreeMap<String, usize>,
    /// The watches on the cluster.
    pub watches: Vec<PartView>,
    /// The registries that workloads use.
    pub registries: Vec<PartView>,
    /// The Git remotes.
    pub remotes: Vec<PartView>,
    /// The webhook receivers.
    pub receivers: Vec<PartView>,
    /// Pauses that are on.
    pub pauses: Vec<PauseView>,
    /// What else is wrong: records that cannot be read, workloads with wrong directives.
    pub degraded: Vec<PartView>,
}

/// The replica that acts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadView {
    /// Its name, and behind `_` what tells its process from earlier ones.
    pub holder: String,
    /// The number of its term.
    pub epoch: u64,
    /// Where its API is reached by other replicas.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
}

/// One thing skeg depends on or offers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartView {
    /// Its name: a kind, a host, a remote, a path.
    pub name: String,
    /// How it is.
    pub state: PartState,
    /// Why, in one sentence without secrets; empty when it is well.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// When it was last seen to work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_ok: Option<Timestamp>,
}

/// How a part is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PartState {
    /// It works.
    Ok,
    /// It was not used yet.
    Unknown,
    /// It does not work, or not fully.
    Degraded,
    /// It is closed, because it has no credential.
    Closed,
}

impl PartState {
    /// The word as the JSON spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Closed => "closed",
        }
    }
}

impl PartView {
    /// A part that works.
    pub fn ok(name: impl Into<String>) -> Self {
        Self { name: name.into(), state: PartState::Ok, detail: String::new(), last_ok: None }
    }

    /// A part that does not.
    pub fn degraded(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: PartState::Degraded, detail: detail.into(), last_ok: None }
    }
}

/// A pause that is on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PauseView {
    /// `all`, `namespace` or `workload`.
    pub scope: String,
    /// The namespace, unless everything is paused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// The workload's kind, when one workload is paused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// The workload's name, when one workload is paused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Who set it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When it ends by itself; absent when it lasts until it is lifted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl From<&Pause> for PauseView {
    fn from(pause: &Pause) -> Self {
        let (scope, namespace, kind, name) = match &pause.scope {
            Scope::All => ("all", None, None, None),
            Scope::Namespace(namespace) => ("namespace", Some(namespace.to_string()), None, None),
            Scope::Workload(id) => ("workload", Some(id.namespace.to_string()), Some(id.kind.to_string()), Some(id.name.to_string())),
        };
        Self {
            scope: scope.to_owned(),
            namespace,
            kind,
            name,
            by: pause.by.to_string(),
            at: pause.at,
            until: pause.until,
            reason: pause.reason.as_deref().map(str::to_owned),
        }
    }
}

/// What a resume lifted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiftedView {
    /// The pauses that were on in the scope.
    pub pauses: Vec<PauseView>,
    /// The closed updates, as `namespace/name`, that do not hold their digest back any more.
    pub bindings: Vec<String>,
}
