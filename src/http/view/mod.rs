//! What the API shows, as plain values: the JSON of every answer, read back by the command line.
//!
//! Field names are a contract with scripts: they are added to, never renamed. Times are RFC 3339 in UTC.

mod explain;
mod image;
mod status;
mod update;

use serde::{Deserialize, Serialize};

use crate::core::update::Reason;
use crate::core::workload::WorkloadId;

pub use explain::{
    DirectiveView, ExplainView, ExplainedView, GROUP_TAGS, GateView, GroupView, ImageOfTagView, LastLookView, OpenView, OriginView,
    RunsView, VerdictView, WaitingView,
};
pub use image::{CandidateView, ImageState, ImageView, ImagesView};
pub use status::{LeadView, LiftedView, PartState, PartView, PauseView, StatusView};
pub use update::{
    ApprovalsView, BindingView, ChangeView, CommitView, EntryView, RolloutView, TroubleView, UpdateView, UpdatesView, VoteView,
};

/// A workload by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadView {
    /// Its namespace.
    pub namespace: String,
    /// Its kind, as Kubernetes spells it.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl From<&WorkloadId> for WorkloadView {
    fn from(id: &WorkloadId) -> Self {
        Self { namespace: id.namespace.to_string(), kind: id.kind.to_string(), name: id.name.to_string() }
    }
}

/// Why something is as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReasonView {
    /// A stable word for scripts, `Approval` say.
    pub code: String,
    /// The sentence for people.
    pub message: String,
}

impl From<&Reason> for ReasonView {
    fn from(reason: &Reason) -> Self {
        Self { code: reason.code().to_owned(), message: reason.to_string() }
    }
}
