//! What HTTP asks of the engine, and nothing else: one trait, with the orders it takes and the answers it gives.
//!
//! It is no port: nothing outside skeg implements it. It keeps HTTP from knowing channels and records, and the engine from knowing HTTP.

use std::time::Duration;

use async_trait::async_trait;

use super::view::{ExplainView, ImageView, LiftedView, PauseView, StatusView, UpdateView};
use crate::core::leadership::Peer;
use crate::core::pause::Scope;
use crate::core::update::{UpdateId, Verdict};
use crate::core::workload::WorkloadId;

/// The engine as its visitors see it.
///
/// Every answer to an order is given after what it caused is durable. A visitor may leave before the answer (the call is dropped); the
/// order is then carried out as a whole or not at all. The desk writes what came of it into the audit log in any case.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Every tracked image, ordered by workload and container.
    async fn images(&self) -> Vec<ImageView>;

    /// The updates that pass the filter, the newest first.
    async fn updates(&self, filter: &UpdateFilter) -> Vec<UpdateView>;

    /// One update; `None` when none of this name is kept.
    async fn update(&self, id: &UpdateId) -> Option<UpdateView>;

    /// Why a workload is or is not updated; every tag by itself only when `all` are asked for.
    async fn explain(&self, workload: &WorkloadId, all: bool) -> Result<ExplainView, Refusal>;

    /// How skeg stands.
    async fn status(&self) -> StatusView;

    /// Who carries orders out.
    fn leader(&self) -> Leader {
        Leader::Here
    }

    /// Waits until somebody does.
    async fn led(&self) -> Leader {
        Leader::Here
    }

    /// Whether skeg is ready. Asked by probes every few seconds, so it must not wait.
    fn readiness(&self) -> Readiness;

    /// Casts a vote.
    async fn vote(&self, caller: &Caller, id: &UpdateId, ballot: Ballot) -> Result<UpdateView, Refusal>;

    /// Tries a closed update again and gives the new one.
    async fn retry(&self, caller: &Caller, id: &UpdateId, saying: Saying) -> Result<UpdateView, Refusal>;

    /// Stops applying. A pause of the same scope is replaced.
    async fn pause(&self, caller: &Caller, order: PauseOrder) -> Result<PauseView, Refusal>;

    /// Lifts the pauses of exactly this scope, and every binding inside it.
    async fn resume(&self, caller: &Caller, order: ResumeOrder) -> Result<LiftedView, Refusal>;
}

/// Who carries orders out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leader {
    /// This replica.
    Here,
    /// Another replica, reached there if it says where.
    There(Option<Peer>),
    /// Nobody at the moment.
    Nobody,
}

/// Who asks, as authentication found out. Only the HTTP layer makes one, after it has checked the credential.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Caller(Box<str>);

impl Caller {
    /// The caller `name`, in the form `approvers` uses: `user:ops`.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// In the form `approvers` uses.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which updates are asked for. The default is all of them, up to a bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateFilter {
    /// Only those of this namespace.
    pub namespace: Option<Box<str>>,
    /// Only the open ones, or only the closed ones.
    pub open: Option<bool>,
    /// At most this many.
    pub limit: usize,
}

impl Default for UpdateFilter {
    fn default() -> Self {
        Self { namespace: None, open: None, limit: UPDATES_LISTED }
    }
}

/// Updates in one list when nothing is said: more than a person reads, and half a megabyte of JSON.
pub const UPDATES_LISTED: usize = 500;

/// What a person says with an order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Saying {
    /// Why, in the person's words: one line, bounded.
    pub reason: Option<Box<str>>,
    /// Whether the caller wants the order carried out although a gate stands against it.
    pub override_gates: bool,
}

/// A yes or a no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    /// Which.
    pub verdict: Verdict,
    /// What is said with it.
    pub saying: Saying,
}

/// A pause to set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PauseOrder {
    /// What it covers.
    pub scope: Scope,
    /// How long it lasts; `None` until it is lifted.
    pub lasting: Option<Duration>,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// A pause or binding to lift.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResumeOrder {
    /// What is lifted.
    pub scope: Scope,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// Whether skeg is ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// The index is filled and the records are read.
    Ready,
    /// Not yet, or not any more.
    NotReady {
        /// Why, with the command that mends it where there is one.
        why: String,
    },
}

/// Why an order is not carried out. The messages are for the caller and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such update.
    #[error("no update {0} is kept; `skeg updates` lists them")]
    NoUpdate(UpdateId),
    /// There is no such workload.
    #[error("no workload {0} is managed; `skeg images` lists them")]
    NoWorkload(WorkloadId),
    /// There is such a workload, and nothing on it asks for anything.
    #[error(
        "{0} is not managed: nothing on it asks skeg for anything; `kubectl -n {ns} annotate {kind} {name} skeg.dev/policy=minor` opts it in",
        ns = .0.namespace, kind = .0.kind.as_str().to_ascii_lowercase(), name = .0.name
    )]
    NotManaged(WorkloadId),
    /// The caller may not do that.
    #[error("{0}")]
    NotAllowed(String),
    /// It cannot be done as things stand: closed, superseded, decided already, nothing to retry.
    #[error("{0}")]
    Conflict(String),
    /// `[cluster] mode = "observe"`: nothing is written.
    #[error("skeg only observes: set [cluster] mode = \"act\" to let it act")]
    Observing,
    /// It could not be made durable now, or skeg is stopping or not ready.
    #[error("{why}; try again later")]
    Unavailable {
        /// What is in the way.
        why: String,
        /// When to try again, if known.
        retry_after: Option<Duration>,
    },
}
