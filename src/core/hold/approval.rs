//! Votes, quorum and deadline: who may vote, and what counts.

use jiff::Timestamp;

use super::Gate;
use super::voter::{Ballot, Standing};
use crate::core::update::{Held, Outcome, Phase, Reason, Update, VOTES_MAX, Verdict};

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
    /// The members of the channel may vote, and the voter is none, or Slack does not say so.
    #[error("{voter} is {standing}, and only its members may approve {update}")]
    NotMember {
        /// Who tried.
        voter: Box<str>,
        /// Its name.
        update: Box<str>,
        /// What the voter is.
        standing: Standing,
    },
    /// The voter belongs to another workspace than skeg, or Slack does not say to which.
    #[error("{voter} is not of the workspace that skeg asks in")]
    OtherTeam {
        /// Who tried.
        voter: Box<str>,
    },
    /// The click came from another channel than the request is in.
    #[error("{update} was asked for in another channel")]
    OtherChannel {
        /// Its name.
        update: Box<str>,
    },
    /// The voter was shown other digests than the update has.
    #[error("{update} is not what was shown: its digests are others")]
    OtherContent {
        /// Its name.
        update: Box<str>,
    },
    /// It has approvals of people whom another place knows: one person could be both.
    #[error("{update} has approvals from {realm}, and whether they are other people's is not known: vote there")]
    OtherRealm {
        /// Its name.
        update: Box<str>,
        /// Where they come from: `slack` or `user`.
        realm: Box<str>,
    },
    /// More voters than a record keeps.
    #[error("{update} has {VOTES_MAX} votes already")]
    TooMany {
        /// Its name.
        update: Box<str>,
    },
}

/// What becomes of a ballot that is admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admitted {
    /// It is a new vote, or changes an earlier one.
    Counts,
    /// The same person has voted the same before, and that stands: nothing changes.
    Repeats,
}

/// Whether the ballot may be cast on the update as it stands. A voter who voted before changes that vote.
pub fn admits(update: &Update, ballot: &Ballot) -> Result<Admitted, VoteRefused> {
    let name = update.id.name.clone();
    ballot.voter.is_in_place(update)?;
    // The name is a hash of forty bits; what is approved must not hang on nobody finding two changes that share one.
    if ballot.content.as_ref().is_some_and(|shown| **shown != *update.content()) {
        return Err(VoteRefused::OtherContent { update: name });
    }
    if repeats(update, ballot) {
        return Ok(Admitted::Repeats);
    }
    match &update.phase {
        Phase::Closed(closed) => {
            Err(VoteRefused::Closed { update: name, phase: closed.outcome.as_str(), reason: closed.reason.to_string() })
        }
        Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_) | Phase::Restoring(_) => {
            Err(VoteRefused::Decided { update: name, phase: update.phase.as_str() })
        }
        Phase::Held(_) if update.spec.rules.approvals == 0 => Err(VoteRefused::NotNeeded { update: name }),
        Phase::Held(_) => {
            let voter = ballot.voter.name();
            let approvers = &update.spec.rules.approvers;
            if !approvers.iter().any(|approver| ballot.voter.is(approver)) {
                if let Some(standing) = approvers.iter().find_map(|approver| ballot.voter.is_but_for(approver)) {
                    return Err(VoteRefused::NotMember { voter, update: name, standing: standing.clone() });
                }
                let named: Vec<_> = approvers.iter().map(crate::core::directives::Approver::as_str).collect();
                let approvers = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
                return Err(VoteRefused::NotApprover { voter, update: name, approvers });
            }
            if let Some(realm) = other_realm(update, &voter).filter(|_| ballot.verdict == Verdict::Approve) {
                return Err(VoteRefused::OtherRealm { update: name, realm: realm.into() });
            }
            if update.votes.len() >= VOTES_MAX && !update.votes.iter().any(|earlier| earlier.voter == voter) {
                return Err(VoteRefused::TooMany { update: name });
            }
            Ok(Admitted::Counts)
        }
    }
}

/// Another realm than the voter's that approvals of the update come from.
fn other_realm<'u>(update: &'u Update, voter: &str) -> Option<&'u str> {
    let approvals = update.votes.iter().filter(|vote| vote.verdict == Verdict::Approve);
    approvals.map(|vote| realm(&vote.voter)).find(|realm_of| *realm_of != realm(voter))
}

/// Who knows a person by this name: the part before the colon.
fn realm(name: &str) -> &str {
    name.split_once(':').map_or(name, |(realm, _)| realm)
}

/// Whether the same person has voted the same before, and the update has not ended against it.
fn repeats(update: &Update, ballot: &Ballot) -> bool {
    let voter = ballot.voter.name();
    let has_voted = update.votes.iter().any(|earlier| earlier.voter == voter && earlier.verdict == ballot.verdict);
    let stands = match &update.phase {
        Phase::Closed(closed) => match closed.outcome {
            Outcome::Rejected => ballot.verdict == Verdict::Reject,
            Outcome::Done | Outcome::Unrecorded | Outcome::RolledBack | Outcome::Failed => ballot.verdict == Verdict::Approve,
            Outcome::Superseded | Outcome::Expired => false,
        },
        Phase::Held(_) | Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_) | Phase::Restoring(_) => true,
    };
    has_voted && stands
}

#[cfg(test)]
mod tests;
