//! Reading tags and digests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::core::image::{Digest, Repository, Tag};
use crate::core::platform::Platforms;
use crate::core::provenance::Labels;
use crate::core::rollout::ImageIndex;
use crate::core::workload::Puller;

/// Which credential a workload reaches a repository with. Workloads with the same access share one listing. It names the credential's source,
/// and so may be shown to people.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Access {
    /// None.
    Anonymous,
    /// The credential of the `[[registry]]` entry at this place of the configuration.
    Configured(usize),
    /// A Secret that the workload's pods, or their service account, pull with.
    PullSecret {
        /// Its namespace, which is the workload's own.
        namespace: Box<str>,
        /// Its name.
        name: Box<str>,
    },
    /// Who skeg itself is to a cloud, by the `[[registry]]` entry at this place of the configuration.
    Identity(usize, Cloud),
}

/// A cloud that vouches for what runs in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Cloud {
    /// Amazon's: ECR.
    Aws,
    /// Google's: Artifact Registry.
    Google,
    /// Microsoft's: ACR.
    Azure,
}

impl Cloud {
    /// Every cloud.
    pub const ALL: [Self; 3] = [Self::Aws, Self::Google, Self::Azure];

    /// The word that the configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Google => "google",
            Self::Azure => "azure",
        }
    }
}

impl fmt::Display for Access {
    /// The source of the credential, never the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("no credential"),
            Self::Configured(place) => write!(f, "[[registry]] number {}", place.saturating_add(1)),
            Self::PullSecret { namespace, name } => write!(f, "Secret {namespace}/{name}"),
            Self::Identity(place, cloud) => write!(f, "the {} identity of [[registry]] number {}", cloud.as_str(), place.saturating_add(1)),
        }
    }
}

/// By what a registry tells one tag list from the next: an entity tag (RFC 9110, section 8.8.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListMark(Box<str>);

impl ListMark {
    /// The longest that is kept. Those in use are a hash in quotes.
    const LENGTH_MAX: usize = 128;

    /// The mark that a text is; `None` when it is no entity tag, or longer than one that is worth keeping.
    pub fn new(text: &str) -> Option<Self> {
        let quoted = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?.strip_suffix('"')?;
        let is_mark = text.len() <= Self::LENGTH_MAX && quoted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        is_mark.then(|| Self(text.into()))
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A complete tag list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TagList {
    /// Every tag, and the mark to ask with next time where the registry gives one that is good for the whole list.
    Whole(Vec<Tag>, Option<ListMark>),
    /// Every tag is as it was when the mark was given.
    Unchanged,
}

/// A registry, whichever host the repository names.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Reads what decides which access `puller` has to `repository`, where that is not known yet or long ago. What cannot be read is told by the
    /// questions that are asked with that access.
    async fn learn(&self, repository: &Repository, puller: &Puller<'_>) {
        let _ = (repository, puller);
    }

    /// The access that `puller` has to `repository`, by what is known now: see [`learn`](Self::learn).
    fn access(&self, repository: &Repository, puller: &Puller<'_>) -> Access;

    /// Every tag of the repository: the complete listing, or an error. Names that are no tags are dropped.
    async fn tags(&self, repository: &Repository, access: &Access) -> Result<Vec<Tag>, RegistryError>;

    /// The same for who still knows what the list was when `known` was given: that it is unchanged costs no list where the registry can tell.
    async fn tags_unless(&self, repository: &Repository, access: &Access, known: Option<&ListMark>) -> Result<TagList, RegistryError> {
        let _ = known;
        Ok(TagList::Whole(self.tags(repository, access).await?, None))
    }

    /// The manifests that the image at `digest` consists of; `None` when it is no index of several platforms, or is not there.
    async fn index(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<ImageIndex>, RegistryError>;

    /// The digest that `tag` points at now; `None` when there is no such tag.
    async fn digest(&self, repository: &Repository, tag: &Tag, access: &Access) -> Result<Option<Digest>, RegistryError>;

    /// When the image at `digest` was built, as it says itself; `None` when it was read and does not say. That it, or a part of it, is not there
    /// is an unusable answer. Asking again about a digest that was read costs nothing, as long as it is among the last thousands.
    async fn built(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<Timestamp>, RegistryError>;

    /// What the image at `digest` says of its origin. As with `built`, what was read costs nothing.
    async fn labels(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Labels, RegistryError> {
        let _ = (repository, digest, access);
        Ok(Labels::default())
    }

    /// The platforms that the image at `digest` is for, as it says itself; `None` when it was read and does not say of each part. That it, or a
    /// part of it, is not there is an unusable answer. As with `built`, what was read costs nothing.
    async fn platforms(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<Arc<Platforms>>, RegistryError> {
        let _ = (repository, digest, access);
        Ok(None)
    }
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
