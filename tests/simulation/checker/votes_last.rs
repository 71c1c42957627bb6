//! A vote that was answered counts for good: it is in the record when the answer is given, and in every later one.

use std::sync::Arc;

use skeg::core::update::Update;

use super::Promise;
use super::past::Past;
use crate::history::{Fact, Told};

/// Compares the records.
pub struct VotesLast;

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
                let is_recorded = past.ever.get(update).is_some_and(|update| has_voted(update, &voter));
                if !is_recorded {
                    return Err(format!("{voter} was told that the vote on {} counts, and the record does not have it", update.name));
                }
            }
            Fact::Written { update, .. } => {
                let before: Option<&Arc<Update>> = past.ever.get(&update.id).filter(|before| before.created == update.created);
                let lost = before.into_iter().flat_map(|before| &before.votes).find(|vote| !has_voted(update, &vote.voter));
                if let Some(vote) = lost {
                    return Err(format!("the vote of {} is gone from the record of {}", vote.voter, update.id.name));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
