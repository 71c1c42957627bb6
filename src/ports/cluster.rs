//! Reading workloads, setting images, reading rollouts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::core::image::Repository;
pub use crate::core::patch::Reading;
use crate::core::platform::Platforms;
use crate::core::rollout::RolloutFacts;
use crate::core::update::Mark;
use crate::core::workload::{Workload, WorkloadId};

/// The managed workloads as the watch has last seen them. Reading never waits.
#[async_trait]
pub trait Workloads: Send + Sync {
    /// The workload, when it is managed.
    fn get(&self, id: &WorkloadId) -> Option<Arc<Workload>>;

    /// What a patch of a managed workload would be decided on, as the watch shows it; `None` where only the API server can tell.
    fn reading(&self, id: &WorkloadId) -> Option<Reading> {
        let _ = id;
        None
    }

    /// Whether there is such a workload, managed or not, as far as the listings of its namespace tell: see [`knows`](Self::knows).
    fn is_there(&self, id: &WorkloadId) -> bool;

    /// Every managed workload, ordered by id.
    fn all(&self) -> Vec<Arc<Workload>>;

    /// The managed workloads one of whose images is of `repository`, ordered by id.
    fn using(&self, repository: &Repository) -> Vec<Arc<Workload>>;

    /// The repositories that managed workloads use, each once.
    fn repositories(&self) -> Vec<Repository>;

    /// Whether the first listing of the namespace is complete; before that an absent workload may only be unknown, and stays so where the
    /// API server refuses the listing.
    fn knows(&self, namespace: &str) -> bool;

    /// Whether each listing is complete or refused: nothing more will be known by waiting.
    fn is_filled(&self) -> bool;

    /// What keeps the cluster from being followed now, if anything does, and since when. What the API server refuses does not count: that
    /// stays so until a person acts, and is told elsewhere.
    fn gone(&self) -> Option<Gone>;

    /// The platforms that the pods of a workload can land on, by what they say of it and by the nodes that were seen; `None` when that is not known,
    /// or nobody wants to know.
    fn lands_on(&self, workload: &Workload) -> Option<Arc<Platforms>> {
        let _ = workload;
        None
    }

    /// Waits until [`is_filled`](Self::is_filled).
    async fn filled(&self);

    /// Waits until workloads were added, changed or removed since the last call. Cancelling the wait loses nothing.
    async fn changed(&self) -> Changes;
}

/// What has changed of the managed workloads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// The workloads that were added, changed or removed.
    pub workloads: BTreeSet<WorkloadId>,
    /// The repositories that these use, or used before.
    pub repositories: BTreeSet<Repository>,
}

/// Something that does not work, and since when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gone {
    /// Since when.
    pub since: Timestamp,
    /// What, and how it fails.
    pub why: String,
}

/// New images for containers of a workload.
#[derive(Clone, PartialEq, Debug)]
pub struct ImagePatch {
    /// The reading the patch was decided on; every part of it that matters is tested by the patch.
    pub on: Reading,
    /// Container name and new image text.
    pub images: Vec<(Box<str>, Box<str>)>,
    /// The mark to leave.
    pub mark: Mark,
}

/// The cluster.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// The workload as the API server has it now, not as the watch saw it; `None` when there is none.
    async fn read(&self, id: &WorkloadId) -> Result<Option<Reading>, ClusterError>;

    /// Sets the images if the workload still is what was read, and gives the workload as admitted.
    async fn patch(&self, patch: &ImagePatch) -> Result<Reading, ClusterError>;

    /// The facts of the workload's rollout as of now, with its pods; `None` when there is no such workload.
    async fn rollout(&self, id: &WorkloadId) -> Result<Option<RolloutFacts>, ClusterError>;
}

/// Why the API server did not do what was asked. Every message names the object and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The object changed in between (409, or 422 for a failed JSON Patch `test`): read again. When what is read is still what was
    /// expected, the API server means something else, and `detail` is all that is known of it.
    #[error("{object} changed in between: {detail}")]
    Conflict {
        /// Which object.
        object: String,
        /// What the API server said, cut.
        detail: String,
    },
    /// There is no such object or kind.
    #[error("{object}: not found")]
    NotFound {
        /// Which object.
        object: String,
    },
    /// An object of this name is there already.
    #[error("{object} exists already")]
    Exists {
        /// Which object.
        object: String,
    },
    /// Not allowed (403): RBAC or an admission policy says no. A server that has just started says so until it has loaded the roles.
    #[error("{object}: not allowed: {detail}")]
    Forbidden {
        /// Which object.
        object: String,
        /// What the API server said, cut.
        detail: String,
    },
    /// Not valid, or refused in another way: a person has to act.
    #[error("{object}: refused: {detail}")]
    Refused {
        /// Which object.
        object: String,
        /// What the API server said, cut.
        detail: String,
    },
    /// The API server is busy or asks to be left alone (429, 503 with Retry-After).
    #[error("{object}: the API server is busy")]
    Busy {
        /// Which object.
        object: String,
        /// For how long, when it says so.
        retry_after: Option<Duration>,
    },
    /// No connection, no answer in time, or trouble of its own (5xx).
    #[error("{object}: {detail}")]
    Unreachable {
        /// Which object.
        object: String,
        /// What happened.
        detail: String,
    },
}

impl ClusterError {
    /// Whatever was read of the object, somebody changed it before it could be written.
    pub fn kept_writing(object: &impl ToString) -> Self {
        Self::Conflict { object: object.to_string(), detail: "others kept writing".to_owned() }
    }
}
