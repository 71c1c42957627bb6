//! Votes, quorum and deadline.

use jiff::Timestamp;

use super::Gate;
use crate::core::update::{Held, Phase, Reason, Update, VOTES_MAX, Vote};

/// Whether the votes are complete, still awaited, or too late.
pub fn gate(update: &Update, held: &Held, now: Timestamp) -> Gate {
    let needed = update.spec.rules.approvals;
    if needed == 0 {
        return Gate::Open;
    }
    let is_late = held.paused.is_none() && held.expires.is_some_and(|expires| expires <= now);
    match (held.granted, held.asked) {
        (Some(_), _) if is_late => Gate::Refused(Reason::GrantExpired),
        (Some(_), _) => Gate::Open,
        (None, _) if is_late => Gate::Refused(Reason::ApprovalExpired),
        (None, _) if update.spec.rules.approvers.is_empty() => Gate::Waits(Reason::NoApprover),
        (None, None) => Gate::Ask,
        (None, Some(_)) => Gate::Waits(Reason::Approval { given: update.approvals(), needed }),
    }
}

/// Why a vote does not count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VoteRefused {
    /// The update is closed.
    #[error("{update} is closed: {phase}, {reason}")]
    Closed {
        /// Its name.
        update: Box<str>,
        /// How it ended.
        phase: &'static str,
        /// Why.
        reason: String,
    },
    /// It was decided already and is being applied.
    #[error("{update} is past voting: {phase}")]
    Decided {
        /// Its name.
        update: Box<str>,
        /// Where it stands.
        phase: &'static str,
    },
    /// No votes are needed.
    #[error("{update} needs no approval")]
    NotNeeded {
        /// Its name.
        update: Box<str>,
    },
    /// The voter is not among the approvers.
    #[error("{voter} is not an approver of {update}: named are {approvers}")]
    NotApprover {
        /// Who tried.
        voter: Box<str>,
        /// Its name.
        update: Box<str>,
        /// Who may.
        approvers: String,
    },
    /// More voters than a record keeps.
    #[error("{update} has {VOTES_MAX} votes already")]
    TooMany {
        /// Its name.
        update: Box<str>,
    },
}

/// Whether the vote may be cast on the update as it stands. A voter who voted before changes that vote.
pub fn admits(update: &Update, vote: &Vote) -> Result<(), VoteRefused> {
    let name = update.id.name.clone();
    match &update.phase {
        Phase::Closed(closed) => {
            Err(VoteRefused::Closed { update: name, phase: closed.outcome.as_str(), reason: closed.reason.to_string() })
        }
        Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_) | Phase::Restoring(_) => {
            Err(VoteRefused::Decided { update: name, phase: update.phase.as_str() })
        }
        Phase::Held(_) if update.spec.rules.approvals == 0 => Err(VoteRefused::NotNeeded { update: name }),
        Phase::Held(_) => {
            let approvers = &update.spec.rules.approvers;
            if !approvers.iter().any(|approver| approver.as_str() == &*vote.voter) {
                let named: Vec<_> = approvers.iter().map(crate::core::directives::Approver::as_str).collect();
                let approvers = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
                return Err(VoteRefused::NotApprover { voter: vote.voter.clone(), update: name, approvers });
            }
            if update.votes.len() >= VOTES_MAX && !update.votes.iter().any(|earlier| earlier.voter == vote.voter) {
                return Err(VoteRefused::TooMany { update: name });
            }
            Ok(())
        }
    }
}
