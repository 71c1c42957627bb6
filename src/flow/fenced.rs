//! The ports that change something, for one term: each asks the term first.
//!
//! It is asked as late as can be, after everything that the change is decided on was read. See [`Term`].

use std::sync::Arc;

use async_trait::async_trait;

use super::term::Term;
use crate::core::failure::Failure;
use crate::core::first_sight::Record;
use crate::core::pause::{Change, Pause};
use crate::core::provenance::Provenance;
use crate::core::rollout::RolloutFacts;
use crate::core::update::{Prompt, Update, UpdateId};
use crate::core::workload::WorkloadId;
use crate::ports::approver::Approver;
use crate::ports::cluster::{Cluster, ClusterError, ImagePatch, Reading};
use crate::ports::events::{Events, Told};
use crate::ports::first_seen::{self, FirstSeen};
use crate::ports::git::{Git, GitEdit, GitError, GitOutcome};
use crate::ports::journal::{Journal, Kept, Records, Unreadable, Version};
use crate::ports::pauses::Pauses;

const OVER: &str = "this replica does not lead any more";

/// A port whose changes are made only while the term may act.
pub struct Fenced<P: ?Sized> {
    port: Arc<P>,
    term: Term,
}

impl<P: ?Sized> Fenced<P> {
    /// `port`, for this term.
    pub fn new(port: &Arc<P>, term: &Term) -> Arc<Self> {
        Arc::new(Self { port: Arc::clone(port), term: term.clone() })
    }

    fn admit(&self, object: &(impl ToString + ?Sized)) -> Result<(), ClusterError> {
        if self.term.may_act() {
            return Ok(());
        }
        Err(ClusterError::Unreachable { object: object.to_string(), detail: OVER.to_owned() })
    }
}

#[async_trait]
impl Cluster for Fenced<dyn Cluster> {
    async fn read(&self, id: &WorkloadId) -> Result<Option<Reading>, ClusterError> {
        self.port.read(id).await
    }

    async fn patch(&self, patch: &ImagePatch) -> Result<Reading, ClusterError> {
        self.admit(&patch.on.id)?;
        self.port.patch(patch).await
    }

    async fn rollout(&self, id: &WorkloadId) -> Result<Option<RolloutFacts>, ClusterError> {
        self.port.rollout(id).await
    }
}

#[async_trait]
impl Journal for Fenced<dyn Journal> {
    async fn load(&self) -> Result<Records, ClusterError> {
        self.port.load().await
    }

    async fn all(&self) -> Result<Records, ClusterError> {
        self.port.all().await
    }

    async fn get(&self, id: &UpdateId) -> Result<Option<Result<Kept, Unreadable>>, ClusterError> {
        self.port.get(id).await
    }

    async fn create(&self, update: &Update) -> Result<Version, ClusterError> {
        self.admit(&update.id)?;
        self.port.create(update).await
    }

    async fn replace(&self, update: &Update, version: &Version) -> Result<Version, ClusterError> {
        self.admit(&update.id)?;
        self.port.replace(update, version).await
    }

    async fn remove(&self, id: &UpdateId) -> Result<(), ClusterError> {
        self.admit(id)?;
        self.port.remove(id).await
    }
}

#[async_trait]
impl Pauses for Fenced<dyn Pauses> {
    async fn load(&self) -> Result<Vec<Pause>, ClusterError> {
        self.port.load().await
    }

    async fn save(&self, change: &Change) -> Result<Vec<Pause>, ClusterError> {
        self.admit("pauses")?;
        self.port.save(change).await
    }
}

#[async_trait]
impl FirstSeen for Fenced<dyn FirstSeen> {
    async fn load(&self) -> Result<first_seen::Kept, ClusterError> {
        self.port.load().await
    }

    async fn save(&self, record: &Record) -> Result<(), ClusterError> {
        self.admit("first sights")?;
        self.port.save(record).await
    }
}

#[async_trait]
impl Events for Fenced<dyn Events> {
    async fn tell(&self, told: &Told) -> Result<(), ClusterError> {
        self.admit(&told.workload)?;
        self.port.tell(told).await
    }
}

#[async_trait]
impl Git for Fenced<dyn Git> {
    async fn write_back(&self, remote: &str, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, GitError> {
        if !self.term.may_act() {
            return Err(GitError::Unreachable { remote: remote.to_owned(), detail: OVER.to_owned() });
        }
        self.port.write_back(remote, edits).await
    }

    async fn check(&self, remote: &str) -> Result<(), GitError> {
        self.port.check(remote).await
    }
}

#[async_trait]
impl Approver for Fenced<dyn Approver> {
    fn channel(&self) -> &'static str {
        self.port.channel()
    }

    fn shows_provenance(&self) -> bool {
        self.port.shows_provenance()
    }

    async fn show(&self, update: &Update, provenance: &[Provenance]) -> Result<Option<Prompt>, Failure> {
        // It looks for an earlier message before it posts one.
        self.term.meanwhile(self.port.show(update, provenance)).await.unwrap_or_else(|| Err(Failure::transient(OVER)))
    }
}
