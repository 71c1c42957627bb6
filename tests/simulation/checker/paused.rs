//! What is paused is not patched: a pause that skeg has acknowledged stops every patch that is not on its way already.

use jiff::{SignedDuration, Timestamp};
use skeg::core::pause::Scope;

use super::Promise;
use super::past::{Past, patch};
use crate::history::{Fact, Order, Told};

/// How long a try that had begun may take: readings, digests and patches, each of them slow.
const UNDER_WAY: SignedDuration = SignedDuration::from_secs(100);

/// The pauses that are on.
#[derive(Default)]
pub struct Paused {
    on: Vec<(Scope, Timestamp, Option<Timestamp>)>,
}

impl Promise for Paused {
    fn words(&self) -> &'static str {
        "nothing is applied while it is paused"
    }

    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::OrderAnswered { order: Order::Pause { scope, until }, is_done: true, .. } => {
                self.on.retain(|(paused, ..)| paused != scope);
                self.on.push((scope.clone(), told.at, *until));
            }
            // From the moment of asking it may go on, and the one who asks may never be answered. A pause that was asked for before and is
            // answered after that goes with the answer.
            Fact::Ordered { order: Order::Resume { scope }, .. }
            | Fact::OrderAnswered { order: Order::Resume { scope }, is_done: true, .. } => {
                self.on.retain(|(paused, ..)| paused != scope);
            }
            // A pause that takes the place of one may be shorter.
            Fact::Ordered { order: Order::Pause { scope, .. }, .. } => self.on.retain(|(paused, ..)| paused != scope),
            fact => {
                let Some(patch) = patch(fact).filter(|patch| !patch.restores()) else { return Ok(()) };
                let began = past.before(patch.process, patch.sent, UNDER_WAY);
                // Clocks may be ahead: a pause ends by the clock of the one who keeps it.
                let ends = |until: &Timestamp| until.saturating_sub(SignedDuration::from_secs(800)).unwrap_or(Timestamp::MIN);
                let is_on =
                    |since: &Timestamp, until: &Option<Timestamp>| *since < began && until.is_none_or(|until| patch.sent < ends(&until));
                if let Some((scope, since, _)) =
                    self.on.iter().find(|(scope, since, until)| scope.covers(patch.workload) && is_on(since, until))
                {
                    return Err(format!(
                        "{} was applied, and {scope} is paused since {}",
                        patch.update.name,
                        crate::history::clock(*since)
                    ));
                }
            }
        }
        Ok(())
    }
}
