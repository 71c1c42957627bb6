//! Asking people for their votes, and taking them.

use async_trait::async_trait;

use crate::core::failure::Failure;
use crate::core::hold::voter::Ballot;
use crate::core::provenance::Provenance;
use crate::core::update::{Prompt, Update, UpdateId};

/// Where people are asked. Their votes come back by [`Votes`], never as an answer of this call.
#[async_trait]
pub trait Approver: Send + Sync {
    /// What it is called in metrics.
    fn channel(&self) -> &'static str;

    /// Shows the update as it stands: asks for votes while it needs some, and afterwards shows what became of it where people were asked.
    ///
    /// `provenance` is what the images say of their origin, where that is known; it may be missing the next time.
    ///
    /// Gives where it can be seen, which is then recorded and comes back as [`Update::prompt`]; `None` where nothing is to be kept. The
    /// same update may be shown any number of times, also after a failure that hid a success: people must not be asked twice. No two
    /// calls for one update run at once, and the states of an update come in their order.
    async fn show(&self, update: &Update, provenance: &[Provenance]) -> Result<Option<Prompt>, Failure>;

    /// Whether it shows where images come from; otherwise that is not read for it.
    fn shows_provenance(&self) -> bool {
        false
    }
}

/// Where votes are counted.
#[async_trait]
pub trait Votes: Send + Sync {
    /// Casts a ballot. The update as it stands afterwards, once that is durable.
    async fn cast(&self, id: UpdateId, ballot: Ballot) -> Result<Update, NotCast>;
}

/// Why a ballot was not counted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotCast {
    /// It does not count; the sentence is for the person.
    #[error("{0}")]
    Refused(String),
    /// Whether it counts is not known: it could not be made durable in time, or skeg is stopping. Voting again is harmless.
    #[error("{0}")]
    NotDurable(String),
}
