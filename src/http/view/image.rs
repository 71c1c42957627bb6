//! A tracked image as the API shows it: one container of one managed workload.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ReasonView, WorkloadView};

/// The answer to `GET /v1/images`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ImagesView {
    /// Every tracked image, ordered by workload and container.
    pub images: Vec<ImageView>,
}

/// One container of a managed workload.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageView {
    /// The workload.
    pub workload: WorkloadView,
    /// The container.
    pub container: String,
    /// The text of its image field.
    pub image: String,
    /// The repository in full; absent when the image field cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// The tag that runs, when one is written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tag: Option<String>,
    /// The policy; absent when the directives are wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// In one word, how it stands.
    pub state: ImageState,
    /// Why it stands so, where the word alone does not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<ReasonView>,
    /// What the policy chose, when it is not what runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub candidate: Option<CandidateView>,
    /// The open update that changes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub update: Option<String>,
    /// Every mistake in the workload's directives, and why its image or repository could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<String>,
    /// When its repository was last listed in full.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listed: Option<Timestamp>,
}

/// How an image stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageState {
    /// It shows what the policy chooses.
    Current,
    /// An open update changes it.
    Updating,
    /// Something newer is chosen and not admitted; the reason says why.
    HeldBack,
    /// Its repository was not listed yet.
    Unknown,
    /// Its directives, its image or its repository cannot be read; the errors say why. The last decision stands.
    Degraded,
}

impl ImageState {
    /// The word as the JSON spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Updating => "updating",
            Self::HeldBack => "heldBack",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
        }
    }
}

/// What a policy chose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateView {
    /// The tag.
    pub tag: String,
    /// Its digest, when it was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
}
