//! Asking people, and showing them what became of it.

use std::time::Duration;

use super::Ports;
use crate::core::schedule::backoff;
use crate::core::update::Update;

/// The longest wait between two tries.
const BACKOFF_CAP: Duration = Duration::from_mins(1);
/// Tries to reach people: about an hour at the cap. The request itself stays open, so a vote by the command line always counts.
const TRIES_MAX: u32 = 64;

/// What people are told.
#[derive(Clone, Copy, Debug)]
pub enum Telling {
    /// That votes are needed.
    Ask,
    /// How the votes stand, or how it ended.
    Revise,
}

/// Tells people, again while the channel fails.
pub async fn tell(ports: &Ports, update: &Update, telling: Telling) {
    for tries in 1..=TRIES_MAX {
        let told = match telling {
            Telling::Ask => ports.approver.ask(update).await,
            Telling::Revise => ports.approver.revise(update).await,
        };
        let Err(failure) = told else { return };
        tracing::warn!(update.id = %update.id, attempt = tries, error = %failure.summary, "people could not be told, will be told again");
        let next = backoff(ports.clock.now(), tries, BACKOFF_CAP, &update.id.name, failure.retry_after);
        ports.clock.sleep_until(next).await;
    }
}
