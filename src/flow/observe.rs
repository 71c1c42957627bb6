//! Hint → observation: one complete listing, and the digests of the tags that matter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Ports;
use super::guard::{INTERNAL, guarded};
use crate::core::candidate::candidates;
use crate::core::image::{Digest, Repository, Tag};
use crate::core::update::Trigger;
use crate::core::workload::Workload;
use crate::ports::registry::{Access, RegistryError};
use crate::sources::Hint;
use futures::future::join;

/// What was read in one repository with one access.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The repository.
    pub repository: Repository,
    /// The access it was read with.
    pub access: Access,
    /// What made skeg look.
    pub trigger: Trigger,
    /// The tag that the hint named, if it named one.
    pub named: Option<Tag>,
    /// When reading began, by the [steady clock](crate::ports::clock::Clock::steady).
    pub begun: Duration,
    /// What was read; an error leaves everything as it is.
    pub read: Result<Read, RegistryError>,
}

/// A complete listing, and the digests of the tags that a policy chooses from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Read {
    /// Every tag.
    pub tags: Vec<Tag>,
    /// What the chosen tags point at; `None` for a tag that is listed but has no manifest.
    pub digests: BTreeMap<Tag, Option<Digest>>,
}

impl Observation {
    /// Whether the list does not show yet what a webhook told of.
    pub fn misses_its_tag(&self) -> bool {
        let (Some(named), Ok(read)) = (&self.named, &self.read) else { return false };
        self.trigger == Trigger::Webhook && !read.tags.contains(named)
    }
}

/// Reads a repository for the workloads that use it, once for each access they have.
pub async fn observe(ports: &Ports, hint: &Hint) -> Vec<Observation> {
    let (repository, trigger) = (&hint.repository, hint.trigger);
    let mut groups: BTreeMap<Access, Vec<Arc<Workload>>> = BTreeMap::new();
    for workload in ports.workloads.using(repository) {
        groups.entry(ports.registry.access(repository, &workload.id.namespace)).or_default().push(workload);
    }
    let mut observations = Vec::with_capacity(groups.len());
    for (access, workloads) in groups {
        let begun = ports.clock.steady();
        let read = guarded(ports, "reading a repository", read(ports, hint, &access, &workloads)).await;
        let read =
            read.unwrap_or_else(|| Err(RegistryError::Malformed { repository: repository.to_string(), detail: INTERNAL.to_owned() }));
        observations.push(Observation { repository: repository.clone(), access, trigger, named: hint.tag.clone(), begun, read });
    }
    observations
}

async fn read(ports: &Ports, hint: &Hint, access: &Access, workloads: &[Arc<Workload>]) -> Result<Read, RegistryError> {
    let repository = &hint.repository;
    // The tag that a webhook names is nearly always the one that is chosen: its digest is read beside the list, not after it.
    let probable: BTreeSet<Tag> = hint.tag.as_ref().map(|tag| chosen(repository, workloads, std::slice::from_ref(tag))).unwrap_or_default();
    let (tags, early) = join(ports.registry.tags(repository, access), digests(ports, repository, access, probable)).await;
    let tags = tags?;
    let mut wanted = chosen(repository, workloads, &tags);
    let mut known = early.unwrap_or_default();
    // A tag that was not there yet is asked for again.
    known.retain(|tag, digest| digest.is_some() && wanted.remove(tag));
    known.extend(digests(ports, repository, access, wanted).await?);
    Ok(Read { tags, digests: known })
}

async fn digests(
    ports: &Ports,
    repository: &Repository,
    access: &Access,
    tags: BTreeSet<Tag>,
) -> Result<BTreeMap<Tag, Option<Digest>>, RegistryError> {
    let mut digests = BTreeMap::new();
    for tag in tags {
        let begun = ports.clock.now();
        let digest = ports.registry.digest(repository, &tag, access).await?;
        if let Some(digest) = &digest {
            ports.recent.note(repository, &tag, access, digest, begun);
        }
        digests.insert(tag, digest);
    }
    Ok(digests)
}

/// The tags that any of the workloads' policies chooses, each once.
fn chosen(repository: &Repository, workloads: &[Arc<Workload>], tags: &[Tag]) -> BTreeSet<Tag> {
    let tags_of = |asked: &Repository| (asked == repository).then_some(tags);
    workloads
        .iter()
        .flat_map(|workload| candidates(workload, &tags_of))
        .filter_map(|one| one.outcome.ok())
        .map(|picked| picked.tag)
        .collect()
}
