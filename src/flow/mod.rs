//! The stages between the ports and the core: async, thin, one direction.
//!
//! ```text
//! hint ─► observe ─► Message::Observed ─┐                     ┌─► Act::Write  ─► journal ─► Message::Written
//!              workloads ─► Changed ────┤                     ├─► Act::Carry  ─► effects ─► Message::Outcome
//!                  people ─► Command ───┼─► engine (decides) ─┼─► Act::Hint   ─► the queue of hints
//!                   clock ─► Tick ──────┘                     └─► Act::Audit, Tell, Answer
//! ```
//!
//! [`engine`] is synchronous and holds every update; [`agent`] is the one task around it, one for each [`term`] in which this replica
//! leads, which [`leadership`] decides.

pub mod agent;
mod ages;
mod apply;
mod ask;
pub mod audit;
pub mod ballots;
mod builds;
pub mod commands;
mod compare;
mod decide;
pub mod desk;
mod effects;
pub mod engine;
mod explain;
mod failure;
mod fenced;
mod first_sights;
mod gather;
pub mod guard;
pub mod health;
mod history;
mod journal;
pub mod leadership;
mod listings;
mod looked;
mod marks;
pub mod message;
pub mod observe;
mod order;
mod pauses;
mod platforms;
mod provenance;
mod reader;
mod recent;
mod record;
pub mod seat;
mod shown;
mod slot;
mod slots;
mod standby;
mod tag_shelf;
pub mod term;
#[cfg(test)]
mod tests;
mod unreadable;
mod verify;
mod writes;

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::core::image::Repository;
use crate::core::workload::{Puller, WorkloadId};
use crate::flow::fenced::Fenced;
use crate::flow::message::AuditLine;
use crate::metrics::Metrics;
use crate::ports::approver::Approver;
use crate::ports::clock::Clock;
use crate::ports::cluster::{Cluster, Workloads};
use crate::ports::events::Events;
use crate::ports::first_seen::FirstSeen;
use crate::ports::git::Git;
use crate::ports::journal::Journal;
use crate::ports::pauses::Pauses;
use crate::ports::registry::{Access, Registry};

pub use ask::Prompts;
pub use builds::KnownBuilds;
pub use first_sights::FirstSights;
pub use health::Health;
pub use listings::KeptListings;
pub use platforms::UnreadOffers;
pub use recent::RecentDigests;
pub use record::Recorder;
pub use standby::Shelf;
pub use tag_shelf::TagShelf;
pub use term::Term;

/// Everything outside, as the stages see it.
pub struct Ports {
    /// Registries.
    pub registry: Arc<dyn Registry>,
    /// The cluster, asked directly.
    pub cluster: Arc<dyn Cluster>,
    /// The workloads as the watch has seen them.
    pub workloads: Arc<dyn Workloads>,
    /// The records of updates.
    pub journal: Arc<dyn Journal>,
    /// The record of pauses.
    pub pauses: Arc<dyn Pauses>,
    /// The record of first sights.
    pub first_seen: Arc<dyn FirstSeen>,
    /// Telling people on the object.
    pub events: Arc<dyn Events>,
    /// Git remotes.
    pub git: Arc<dyn Git>,
    /// Asking people.
    pub approver: Arc<dyn Approver>,
    /// What is shown to the people who are asked.
    pub prompts: Prompts,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is kept of the last listings.
    pub listings: KeptListings,
    /// When the images were built that are compared by that.
    pub builds: KnownBuilds,
    /// When tags were seen first that wait for their age.
    pub sights: Arc<FirstSights>,
    /// Images of which it could not be read for which platforms they are.
    pub unread_offers: UnreadOffers,
    /// Digests that were read a moment ago.
    pub recent: RecentDigests,
    /// Write-backs that wait for their turn.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether skeg is ready.
    pub health: Arc<Health>,
    /// What happens to updates, for whoever listens in this process.
    pub happened: broadcast::Sender<Arc<AuditLine>>,
    /// The term in which all of this may be changed.
    pub term: Term,
}

impl Ports {
    /// The access that a workload has to a repository; of a workload that is gone, what its namespace has.
    pub async fn access(&self, repository: &Repository, id: &WorkloadId) -> Access {
        let workload = self.workloads.get(id);
        let puller = workload.as_ref().map_or(Puller::of_namespace(&id.namespace), |workload| workload.puller());
        self.registry.learn(repository, &puller).await;
        self.registry.access(repository, &puller)
    }

    /// The same outside for one term: changes are made only while it lasts, and what the stages remember begins anew.
    #[must_use]
    pub fn in_term(&self, term: &Term) -> Self {
        Self {
            registry: Arc::clone(&self.registry),
            cluster: Fenced::new(&self.cluster, term),
            workloads: Arc::clone(&self.workloads),
            journal: Fenced::new(&self.journal, term),
            pauses: Fenced::new(&self.pauses, term),
            first_seen: Fenced::new(&self.first_seen, term),
            events: Fenced::new(&self.events, term),
            git: Fenced::new(&self.git, term),
            approver: Fenced::new(&self.approver, term),
            prompts: Prompts::default(),
            clock: Arc::clone(&self.clock),
            listings: self.listings.anew(),
            builds: KnownBuilds::default(),
            sights: Arc::default(),
            unread_offers: UnreadOffers::default(),
            recent: RecentDigests::default(),
            recorder: self.recorder.anew(),
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            happened: self.happened.clone(),
            term: term.clone(),
        }
    }
}
