//! Inputs while held: nothing has been changed yet, so anything may still end it.

use jiff::Timestamp;

use super::step::{Step, closes, moves};
use super::{
    Applying, Binding, Closed, Drift, Effect, Event, Held, Input, Outcome, Phase, Plan, Reason, Surroundings, Update, Verdict, Vote,
};
use crate::core::hold::voter::Ballot;
use crate::core::hold::{self, Gate, approval};
use crate::core::schedule::after;

pub(super) fn step(update: &Update, held: &Held, input: &Input, now: Timestamp) -> Step {
    match input {
        Input::Look(around) => look(update, held, around, now),
        Input::Vote(ballot) => cast(update, held, ballot, now),
        Input::Drift(drift) => supersede(update, drift.reason(), now),
        Input::Supersede(reason) => supersede(update, reason.clone(), now),
        Input::Applied(_)
        | Input::Followed(_)
        | Input::Restored(_)
        | Input::Recorded(_)
        | Input::Prompted(_)
        | Input::TakenBack { .. }
        | Input::Lift { .. } => Step::Waits(held.waits.clone()),
    }
}

fn look(update: &Update, held: &Held, around: &Surroundings, now: Timestamp) -> Step {
    match (held.expires, held.paused, &around.paused) {
        (Some(_), None, Some(scope)) => {
            let paused = Held { paused: Some(now), waits: Reason::Paused { scope: scope.clone() }, ..held.clone() };
            return moves(update, Phase::Held(paused), Event::Paused, scope.as_ref(), &[], now);
        }
        (Some(expires), Some(since), None) => {
            let stood_still = now.duration_since(since).unsigned_abs();
            let resumed = Held { paused: None, expires: Some(after(expires, stood_still)), ..held.clone() };
            return moves(update, Phase::Held(resumed), Event::Paused, "ended", &[], now);
        }
        _ => {}
    }
    match hold::all(update, held, around, now) {
        // Only a workload that nobody else brings into line with Git is patched, whatever the gates say.
        Gate::Open if update.spec.plan == Plan::Git => Step::Waits(held.waits.clone()),
        Gate::Open => moves(update, Phase::Applying(Applying::default()), Event::Applying, "every gate is open", &[Effect::Apply], now),
        Gate::Ask => ask(update, held, now),
        Gate::Waits(reason) => Step::Waits(reason),
        Gate::Refused(reason) => expire(update, reason, now),
    }
}

fn ask(update: &Update, held: &Held, now: Timestamp) -> Step {
    let rules = &update.spec.rules;
    let expires = after(now, rules.approval_deadline);
    let waits = Reason::Approval { given: update.approvals(), needed: rules.approvals };
    let asked = Held { asked: Some(now), expires: Some(expires), waits, ..held.clone() };
    moves(update, Phase::Held(asked), Event::Asked, format!("{} votes needed by {expires:.0}", rules.approvals), &[Effect::Ask], now)
}

fn cast(update: &Update, held: &Held, ballot: &Ballot, now: Timestamp) -> Step {
    if let Gate::Refused(reason) = approval::gate(update, held, now) {
        return expire(update, reason, now);
    }
    if approval::admits(update, ballot).is_err() {
        return Step::Waits(held.waits.clone());
    }
    let vote = ballot.vote(now);
    let mut voted = update.clone();
    voted.votes.retain(|earlier| earlier.voter != vote.voter);
    voted.votes.push(vote.clone());
    match vote.verdict {
        Verdict::Reject => reject(&voted, &vote, now),
        Verdict::Approve => approve(&voted, held, &vote, now),
    }
}

fn reject(voted: &Update, vote: &Vote, now: Timestamp) -> Step {
    let reason = Reason::Rejected { by: vote.voter.clone(), saying: vote.reason.clone() };
    let binding = Binding { reason: reason.to_string().into(), at: now, by: Some(vote.voter.clone()) };
    closes(voted, Closed { binding: Some(binding), ..Closed::with(Outcome::Rejected, reason) }, now)
}

fn approve(voted: &Update, held: &Held, vote: &Vote, now: Timestamp) -> Step {
    let rules = &voted.spec.rules;
    let given = voted.approvals();
    let is_complete = u32::try_from(given).is_ok_and(|given| given >= rules.approvals);
    let waits = Reason::Approval { given, needed: rules.approvals };
    let mut next = Held { waits, ..held.clone() };
    let event = if is_complete && held.granted.is_none() {
        next.granted = Some(now);
        next.expires = Some(after(now, rules.approval_valid));
        next.paused = held.paused.map(|_| now);
        Event::Granted
    } else {
        Event::Voted
    };
    let detail = format!("{} approves, {given} of {}", vote.voter, rules.approvals);
    moves(voted, Phase::Held(next), event, detail, &[Effect::Revise], now)
}

/// Nobody decided in time. That binds: asking the same question again at the next poll would make the deadline meaningless.
fn expire(update: &Update, reason: Reason, now: Timestamp) -> Step {
    let binding = Binding { reason: reason.to_string().into(), at: now, by: None };
    closes(update, Closed { binding: Some(binding), ..Closed::with(Outcome::Expired, reason) }, now)
}

fn supersede(update: &Update, reason: Reason, now: Timestamp) -> Step {
    closes(update, Closed::with(Outcome::Superseded, reason), now)
}

impl Drift {
    /// The reason for which this ends an update.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Gone => Reason::WorkloadGone,
            Self::NotManaged => Reason::NotManaged,
            Self::RulesChanged => Reason::RulesChanged,
            Self::OwnerChanged => Reason::OwnerChanged,
            Self::ImageMoved { found } => Reason::ImageMoved { found: found.clone() },
        }
    }
}

impl Closed {
    /// An end that changed nothing and binds nothing.
    pub fn with(outcome: Outcome, reason: Reason) -> Self {
        Self { outcome, reason, rollout: None, commit: None, binding: None }
    }
}
