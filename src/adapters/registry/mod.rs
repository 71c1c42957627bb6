//! Reads tags and digests from OCI registries over HTTP.
//!
//! ```text
//!  tags.rs  manifests.rs  built.rs  greeting.rs      what is asked, and what an answer must look like
//!        └──┬──┴────────┘
//!       request.rs            one authorised exchange: login, one new login after a 401, status -> error
//!      ┌────┼────────┐
//!  auth/  pacing.rs  fetch    challenge and token; turns for each host; HTTP
//! ```
//!
//! Why this path is our own and not `oci-client`, which serves for the media types and the shape of a login: its tag list is one
//! page without `Link`; its errors lose the headers, and with them `Retry-After`; it keeps the first login of a host for good, so
//! neither two namespaces' logins nor a rotated one are possible; and it has no cap on what an answer inflates to. Image
//! references are parsed by `core::image`, whose grammar is what policies and edits rely on.
//!
//! Nothing is retried here except what belongs to one question: a new token after a 401, and a short `Retry-After`. When to
//! ask again is the schedule's business.

mod auth;
mod built;
mod entries;
mod greeting;
mod manifests;
mod pacing;
mod refusal;
mod request;
mod tags;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::adapters::fetch::{Fetch, SetupError};
use crate::core::image::{Digest, Repository, Tag};
use crate::core::rollout::ImageIndex;
use crate::ports::clock::Clock;
use crate::ports::registry::{Access, Registry, RegistryError};

pub use entries::{CONCURRENCY_DEFAULT, CredentialProvider, EntryError, RegistryEntry};
pub use greeting::Greeting;
pub use oci_distribution::secrets::RegistryAuth;

use auth::Auth;
use entries::Entries;
use pacing::Pacing;
use request::Target;

/// Told of everything [`Seen`] at a host, by the name the configuration has for it (`other` when it has none).
pub type Observer = Arc<dyn Fn(&str, Seen<'_>) + Send + Sync>;

/// What is told of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen<'a> {
    /// A request was answered with this status; `unreachable` when it was not. A small closed set, fit for a metric's label.
    Answer(&'a str),
    /// A request waited this long because the host had asked for it.
    Wait(Duration),
}

/// The registries, whichever host a repository names.
pub struct RegistryClient {
    entries: Entries,
    fetch: Fetch,
    auth: Auth,
    pacing: Pacing,
    times: built::Times,
    clock: Arc<dyn Clock>,
    observer: Observer,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The entries are wrong.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// There is no HTTP client.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl RegistryClient {
    /// A client for `entries`, in the order of the configuration: [`Access::Configured`] counts them from 0.
    pub fn new(entries: Vec<RegistryEntry>, clock: Arc<dyn Clock>, observer: Observer) -> Result<Self, ClientError> {
        Ok(Self {
            entries: Entries::new(entries)?,
            fetch: Fetch::new()?,
            auth: Auth::default(),
            pacing: Pacing::new(Arc::clone(&clock)),
            times: built::Times::default(),
            clock,
            observer,
        })
    }

    fn target<'a>(&'a self, repository: &'a Repository, access: &'a Access) -> Result<Target<'a>, RegistryError> {
        let host = self.entries.host(repository.registry()).ok_or_else(|| RegistryError::Malformed {
            repository: repository.to_string(),
            detail: "the registry's name is no host name".to_owned(),
        })?;
        Ok(Target { repository, access, host })
    }
}

#[async_trait]
impl Registry for RegistryClient {
    fn access(&self, repository: &Repository, namespace: &str) -> Access {
        self.entries.access(repository.registry(), namespace)
    }

    async fn tags(&self, repository: &Repository, access: &Access) -> Result<Vec<Tag>, RegistryError> {
        tags::list(self, &self.target(repository, access)?).await
    }

    async fn index(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<ImageIndex>, RegistryError> {
        manifests::index(self, &self.target(repository, access)?, digest).await
    }

    async fn digest(&self, repository: &Repository, tag: &Tag, access: &Access) -> Result<Option<Digest>, RegistryError> {
        manifests::digest(self, &self.target(repository, access)?, tag).await
    }

    async fn built(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<Timestamp>, RegistryError> {
        built::built(self, &self.target(repository, access)?, digest).await
    }
}

#[cfg(test)]
mod hand_clock;
#[cfg(all(test, feature = "embedded"))]
mod tests;
