//! A vote that was answered counts for good: it is in the record when the answer is given, and in every later one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use skeg::core::update::{Update, UpdateId};

use super::Promise;
use super::past::Past;
use crate::history::{Fact, Told};

/// The votes of which somebody was told that they count, by the update, when it was admitted (a name may come again) and the voter.
///
/// One whose record came through after skeg had died was never answered, and may go with it.
#[derive(Default)]
pub struct VotesLast {
    acknowledged: BTreeSet<(UpdateId, Timestamp, Box<str>)>,
}

fn has_voted(update: &Update, voter: &str) -> bool {
    update.votes.iter().any(|vote| *vote.voter == *voter)
}

impl Promise for VotesLast {
    fn words(&self) -> &'static str {
        "a vote that was acknowledged is never lost"
    }

    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::VoteAnswered { update, ballot, counts: Some(true), .. } => {
                let voter = ballot.voter.name();
                let Some(recorded) = past.ever.get(update).filter(|update| has_voted(update, &voter)) else {
                    return Err(format!("{voter} was told that the vote on {} counts, and the record does not have it", update.name));
                };
                self.acknowledged.insert((update.clone(), recorded.created, voter));
            }
            Fact::Written { update, .. } => {
                let of = |(id, created, _): &&(UpdateId, Timestamp, Box<str>)| *id == update.id && *created == update.created;
                if let Some((_, _, voter)) = self.acknowledged.iter().filter(of).find(|(_, _, voter)| !has_voted(update, voter)) {
                    return Err(format!("the vote of {voter} is gone from the record of {}", update.id.name));
                }
            }
            // An older write that is still under way may bring it back as it was before the vote.
            Fact::Removed { id, .. } => self.acknowledged.retain(|(of, ..)| of != id),
            _ => {}
        }
        Ok(())
    }
}
