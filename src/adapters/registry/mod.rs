//! Reads tags and digests from OCI registries over HTTP.
//!
//! ```text
//!  tags.rs  manifests.rs  built.rs  platforms.rs …   what is asked, and what an answer must look like
//!        └──┬──┴────────┘
//!       request.rs            one authorised exchange: login, one new login after a 401, status -> error
//!      ┌────┼────────┐
//!  auth/  pacing.rs  fetch    challenge and token; turns for each host; HTTP
//!    │
//!  logins.rs                  the login of an access: entries.rs (configuration), pulls.rs (Secrets of pods), identity/ (clouds)
//! ```
//!
//! Why this path is our own and not `oci-client`, which serves for the media types and the shape of a login: its tag list is one
//! page without `Link`; its errors lose the headers, and with them `Retry-After`; it keeps the first login of a host for good, so
//! neither two namespaces' logins nor a rotated one are possible; and it has no cap on what an answer inflates to. Image
//! references are parsed by `core::image`, whose grammar is what policies and edits rely on.
//!
//! Nothing is retried here except what belongs to one question: a new token after a 401, and a short `Retry-After`. When to
//! ask again is the schedule's business.

pub(crate) mod auth;
mod built;
mod by_digest;
mod docker_config;
mod entries;
mod greeting;
mod identity;
mod kept;
mod labels;
mod logins;
pub(crate) mod manifests;
mod pacing;
mod platforms;
mod pulls;
mod refusal;
mod request;
pub(crate) mod tags;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::adapters::fetch::{Fetch, SetupError, TrustingFetch};
use crate::core::image::{Digest, Repository, Tag};
use crate::core::platform::Platforms;
use crate::core::provenance::Labels;
use crate::core::rollout::ImageIndex;
use crate::core::workload::Puller;
use crate::ports::clock::Clock;
use crate::ports::pull_secrets::PullSecrets;
use crate::ports::registry::{Access, ListMark, Registry, RegistryError, TagList};

pub use entries::{CONCURRENCY_DEFAULT, CredentialProvider, EntryError, RegistryEntry};
pub use greeting::Greeting;
pub use identity::Surroundings;
pub use oci_distribution::secrets::RegistryAuth;

use auth::Auth;
use by_digest::ByDigest;
use entries::Entries;
use identity::Identities;
use pacing::Pacing;
use pulls::Pulls;
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
    /// By host, where the configuration has authorities for one.
    trusting: HashMap<Box<str>, TrustingFetch>,
    /// By the place of the entry, where it has a client certificate.
    showing: HashMap<usize, TrustingFetch>,
    allowed: Vec<Box<str>>,
    auth: Auth,
    pulls: Option<Pulls>,
    identities: Identities,
    pacing: Pacing,
    times: ByDigest<Option<Timestamp>>,
    platforms: platforms::Known,
    labels: ByDigest<Labels>,
    telling: tags::Telling,
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
        let fetch = Fetch::new()?;
        let entries = Entries::new(entries)?;
        let trusting = entries.authorities().map(|(host, files)| (host.into(), TrustingFetch::new(files))).collect();
        let showing = entries.certificates().map(|(place, files)| (place, TrustingFetch::new(files))).collect();
        Ok(Self {
            entries,
            trusting,
            showing,
            allowed: Vec::new(),
            auth: Auth::default(),
            pulls: None,
            identities: Identities::new(&fetch, &Surroundings::of_process(), &clock),
            fetch,
            pacing: Pacing::new(Arc::clone(&clock)),
            times: ByDigest::new(built::KEPT_MAX),
            platforms: platforms::Known::default(),
            labels: ByDigest::new(labels::KEPT_MAX),
            telling: tags::Telling::default(),
            clock,
            observer,
        })
    }

    /// The same client, which also takes the logins that pods pull with.
    #[must_use]
    pub fn with_pull_secrets(self, reader: Arc<dyn PullSecrets>) -> Self {
        Self { pulls: Some(Pulls::new(reader, &self.clock)), ..self }
    }

    /// The same client, to which the clouds' services are where `surroundings` says.
    #[must_use]
    pub fn with_surroundings(self, surroundings: &Surroundings) -> Self {
        Self { identities: Identities::new(&self.fetch, surroundings, &self.clock), ..self }
    }

    /// The same client, which asks no other registries than these and those of its entries: host names, where `*.` stands for any beginning. An
    /// empty list allows all.
    #[must_use]
    pub fn allowing(self, allowed: Vec<Box<str>>) -> Self {
        Self { allowed, ..self }
    }

    fn is_allowed(&self, registry: &str) -> bool {
        self.entries.names(registry) || is_allowed(&self.allowed, registry)
    }

    fn target<'a>(&'a self, repository: &'a Repository, access: &'a Access) -> Result<Target<'a>, RegistryError> {
        let host = self.entries.host(repository.registry()).ok_or_else(|| RegistryError::Malformed {
            repository: repository.to_string(),
            detail: "the registry's name is no host name".to_owned(),
        })?;
        if !self.is_allowed(repository.registry()) {
            let detail = "its registry is neither in [registries] allow nor in [[registry]]".to_owned();
            return Err(RegistryError::Unauthorized { repository: repository.to_string(), detail });
        }
        Ok(Target { repository, access, host })
    }
}

/// Whether a registry is asked that no entry names: an empty list allows all, and `*.` stands for any beginning.
pub fn is_allowed(allowed: &[Box<str>], registry: &str) -> bool {
    let is_it = |allowed: &str| match allowed.strip_prefix('*') {
        Some(end) => registry.ends_with(end) && registry.len() > end.len(),
        None => *allowed == *registry,
    };
    allowed.is_empty() || allowed.iter().any(|allowed| is_it(allowed))
}

#[async_trait]
impl Registry for RegistryClient {
    async fn learn(&self, repository: &Repository, puller: &Puller<'_>) {
        if let Some(pulls) = self.pulls.as_ref().filter(|_| !self.entries.is_mirrored(repository.registry())) {
            pulls.learn(repository, puller).await;
        }
    }

    fn access(&self, repository: &Repository, puller: &Puller<'_>) -> Access {
        let pulls = self.pulls.as_ref().filter(|_| !self.entries.is_mirrored(repository.registry()));
        let chosen = pulls.and_then(|pulls| pulls.choose(repository, puller));
        chosen.unwrap_or_else(|| self.entries.access(repository.registry(), puller.namespace))
    }

    async fn tags(&self, repository: &Repository, access: &Access) -> Result<Vec<Tag>, RegistryError> {
        tags::whole(self, &self.target(repository, access)?).await
    }

    async fn tags_unless(&self, repository: &Repository, access: &Access, known: Option<&ListMark>) -> Result<TagList, RegistryError> {
        tags::list(self, &self.target(repository, access)?, known).await
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

    async fn labels(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Labels, RegistryError> {
        labels::labels(self, &self.target(repository, access)?, digest).await
    }

    async fn platforms(&self, repository: &Repository, digest: &Digest, access: &Access) -> Result<Option<Arc<Platforms>>, RegistryError> {
        platforms::platforms(self, &self.target(repository, access)?, digest).await
    }
}

#[cfg(test)]
mod hand_clock;
#[cfg(all(test, feature = "embedded"))]
mod tests;
