//! Reading tags and digests.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::core::image::{Digest, Repository, Tag};
use crate::core::rollout::ImageIndex;

/// Which credential a namespace reaches a repository with. Workloads with the same access share one listing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Access {
    /// None.
    Anonymous,
    /// The `[[registry]]` entry at this place of the configuration.
    Configured(usize),
}

/// A registry, whichever host the repository names.
#[async_trait]
pub trait Registry: Send + Sync {
    /// The access that workloads of `namespace` have to `repository`.
    fn access(&self, repository: &Repository, namespace: &str) -> Access;

    /// Every tag of the repository: the complete listing, or an error. Names that are no tags are dropped.
    async fn tags(&self, repository: &Repository, access: &Access) -> Result<Vec<Tag>, RegistryError>;

    /// The manifests that the image at `digest` consists of; `None` when it is no index of several platforms, or is not there.
    async fn index(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<ImageIndex>, RegistryError>;

    /// The digest that `tag` points at now; `None` when there is no such tag.
    async fn digest(&self, repository: &Repository, tag: &Tag, access: &Access) -> Result<Option<Digest>, RegistryError>;

    /// When the image at `digest` was built, as it says itself; `None` when it does not say, or is not there. Asking again about the same
    /// digest costs nothing, as long as it is among the last thousands.
    async fn built(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<Timestamp>, RegistryError>;
}

/// Why a registry gave no answer that can be used. Every message names the host or repository and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It asks to be left alone.
    #[error("{host} asks to slow down")]
    RateLimited {
        /// The registry.
        host: String,
        /// For how long, when it says so.
        retry_after: Option<Duration>,
    },
    /// The credential is missing, wrong or not enough.
    #[error("{repository}: not authorised: {detail}")]
    Unauthorized {
        /// What was asked for.
        repository: String,
        /// What the registry said, cut.
        detail: String,
    },
    /// There is no such repository.
    #[error("{repository}: no such repository")]
    NotFound {
        /// What was asked for.
        repository: String,
    },
    /// No connection, no answer in time, or an answer of its own trouble (5xx).
    #[error("{host}: {detail}")]
    Unreachable {
        /// The registry.
        host: String,
        /// What happened.
        detail: String,
    },
    /// The answer is not what the specification says, or larger than accepted.
    #[error("{repository}: unusable answer: {detail}")]
    Malformed {
        /// What was asked for.
        repository: String,
        /// What is wrong.
        detail: String,
    },
}
