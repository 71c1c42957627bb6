//! Inputs while the rollout is followed, and while it is put back.

use std::time::Duration;

use jiff::Timestamp;

use super::again::{forbidden_since, gives_up, retries};
use super::step::{Step, closes, moves};
use super::{
    Binding, Closed, Drift, Effect, Event, Followed, Input, Outcome, Phase, Reason, Recording, Restored, Restoring, Rollout, Update,
    Verifying,
};
use crate::core::failure::{Failure, FailureKind};
use crate::core::schedule::backoff;

/// The longest wait between two tries to put an image back.
const BACKOFF_CAP: Duration = Duration::from_secs(15);
/// What is being done, in a reason.
const FOLLOWING: &str = "following the rollout";
/// What is being done, in a reason.
const PUTTING_BACK: &str = "putting the image back";
/// Tries to put an image back: an hour at the cap.
const TRIES_MAX: u32 = 240;

pub(super) fn step(update: &Update, verifying: &Verifying, input: &Input, now: Timestamp) -> Step {
    match input {
        Input::Followed(Followed::Unread(failure)) => unread(update, verifying, failure, now),
        Input::Followed(Followed::Progressing { missing }) => progressing(update, verifying, missing),
        Input::Followed(Followed::Healthy) => healthy(update, &verifying.rollout, now),
        Input::Followed(Followed::Failed { why }) => failed(update, &verifying.rollout, Reason::RolloutFailed { why: why.clone() }, now),
        Input::Followed(Followed::TimedOut { missing }) => {
            let reason = Reason::RolloutTimedOut { deadline: verifying.rollout.deadline, missing: missing.clone() };
            failed(update, &verifying.rollout, reason, now)
        }
        Input::Followed(Followed::DigestDiffers { found }) => {
            failed(update, &verifying.rollout, Reason::DigestDiffers { found: found.clone() }, now)
        }
        Input::Followed(Followed::Drifted(drift)) => drifted(update, &verifying.rollout, drift, now),
        // Not put back: the rollout may well be healthy, and only skeg is at fault.
        Input::Followed(Followed::Broken { why }) => broken(update, &verifying.rollout, why, now),
        Input::Look(_) if verifying.retry_at.is_some_and(|at| at <= now) => {
            let to = Update { phase: Phase::Verifying(Verifying { retry_at: None, trouble: None, ..verifying.clone() }), ..update.clone() };
            Step::Retries { to, effects: vec![Effect::Follow] }
        }
        Input::Look(_)
        | Input::Vote(_)
        | Input::Drift(_)
        | Input::TakenBack { .. }
        | Input::Supersede(_)
        | Input::Applied(_)
        | Input::Restored(_)
        | Input::Recorded(_)
        | Input::Prompted(_)
        | Input::Lift { .. } => Step::Waits(waits(verifying)),
    }
}

fn waits(verifying: &Verifying) -> Reason {
    match &verifying.trouble {
        Some(summary) => Reason::Trouble { doing: FOLLOWING, summary: summary.clone() },
        None => Reason::Underway { doing: FOLLOWING, missing: verifying.missing.clone() },
    }
}

/// What is missing is for people who look, so it is not worth a record.
fn progressing(update: &Update, verifying: &Verifying, missing: &str) -> Step {
    let next = Verifying { missing: Some(missing.into()), ..verifying.clone() };
    Step::Retries { to: Update { phase: Phase::Verifying(next), ..update.clone() }, effects: vec![Effect::Follow] }
}

/// The rollout cannot be read: it is told, and read again. An API server that is away is waited for however long it takes, for nothing can be
/// judged or put back without it. What it refuses ends at the deadline: only a person can allow it, and meanwhile nothing else of the
/// workload would go on. The image stays, for the rollout may well be healthy, and binds, for nobody knows.
fn unread(update: &Update, verifying: &Verifying, failure: &Failure, now: Timestamp) -> Step {
    let needs_a_person = matches!(failure.kind, FailureKind::Refused | FailureKind::Forbidden);
    if needs_a_person && now >= verifying.rollout.deadline {
        return broken(update, &verifying.rollout, &failure.summary, now);
    }
    let tries = verifying.tries.saturating_add(1);
    let retry_at = backoff(now, tries, BACKOFF_CAP, &update.id.name, failure.retry_after);
    let next = Verifying { tries, retry_at: Some(retry_at), trouble: Some(failure.summary.clone()), ..verifying.clone() };
    retries(update, Phase::Verifying(next), tries, failure, None, now)
}

fn broken(update: &Update, rollout: &Rollout, why: &str, now: Timestamp) -> Step {
    let reason = Reason::Trouble { doing: FOLLOWING, summary: why.into() };
    closes(update, bound(Outcome::Failed, reason, rollout, now), now)
}

fn healthy(update: &Update, rollout: &Rollout, now: Timestamp) -> Step {
    if update.spec.rules.write_back.is_empty() {
        let end = Closed { rollout: Some(rollout.clone()), ..Closed::with(Outcome::Done, Reason::NoWriteBack) };
        return closes(update, end, now);
    }
    let recording = Recording { rollout: Some(rollout.clone()), tries: 0, retry_at: None, trouble: None, set_back: None };
    moves(update, Phase::Recording(recording), Event::Healthy, "", &[Effect::WriteBack], now)
}

fn failed(update: &Update, rollout: &Rollout, why: Reason, now: Timestamp) -> Step {
    if update.spec.rules.rollback {
        let detail = why.to_string();
        let restoring = Restoring::of(rollout.clone(), why);
        return moves(update, Phase::Restoring(restoring), Event::RolloutFailed, detail, &[Effect::Restore], now);
    }
    closes(update, bound(Outcome::Failed, why, rollout, now), now)
}

/// A person moved the image away, or the workload is gone. The first binds: what was taken back is not tried again.
fn drifted(update: &Update, rollout: &Rollout, drift: &Drift, now: Timestamp) -> Step {
    let end = match drift {
        Drift::ImageMoved { .. } => bound(Outcome::Superseded, drift.reason(), rollout, now),
        Drift::Gone | Drift::NotManaged | Drift::RulesChanged | Drift::OwnerChanged => {
            Closed { rollout: Some(rollout.clone()), ..Closed::with(Outcome::Superseded, drift.reason()) }
        }
    };
    closes(update, end, now)
}

fn bound(outcome: Outcome, reason: Reason, rollout: &Rollout, now: Timestamp) -> Closed {
    let binding = Binding { reason: reason.to_string().into(), at: now, by: None };
    Closed { rollout: Some(rollout.clone()), binding: Some(binding), ..Closed::with(outcome, reason) }
}

pub(super) fn step_restoring(update: &Update, restoring: &Restoring, input: &Input, now: Timestamp) -> Step {
    match input {
        Input::Restored(Restored::Back) => closes(update, bound(Outcome::RolledBack, restoring.why.clone(), &restoring.rollout, now), now),
        Input::Restored(Restored::Drifted(drift)) => drifted(update, &restoring.rollout, drift, now),
        Input::Restored(Restored::Failed(failure)) => again(update, restoring, failure, now),
        Input::Look(_) if restoring.retry_at.is_some_and(|at| at <= now) => {
            let to = Update { phase: Phase::Restoring(Restoring { retry_at: None, ..restoring.clone() }), ..update.clone() };
            Step::Retries { to, effects: vec![Effect::Restore] }
        }
        Input::Look(_)
        | Input::Vote(_)
        | Input::Drift(_)
        | Input::TakenBack { .. }
        | Input::Supersede(_)
        | Input::Applied(_)
        | Input::Followed(_)
        | Input::Recorded(_)
        | Input::Prompted(_)
        | Input::Lift { .. } => Step::Waits(restoring.reason()),
    }
}

impl Restoring {
    /// Why it is put back; or, when that fails, how.
    pub fn reason(&self) -> Reason {
        match &self.trouble {
            Some(summary) => Reason::Trouble { doing: PUTTING_BACK, summary: format!("{summary} (after: {})", self.why).into() },
            None => self.why.clone(),
        }
    }
}

fn again(update: &Update, restoring: &Restoring, failure: &Failure, now: Timestamp) -> Step {
    let tries = restoring.tries.saturating_add(1);
    let forbidden_since = forbidden_since(restoring.forbidden_since, failure, now);
    if gives_up(failure, (tries, TRIES_MAX), forbidden_since, now) {
        let reason = Reason::Trouble { doing: PUTTING_BACK, summary: failure.summary.clone() };
        return closes(update, bound(Outcome::Failed, reason, &restoring.rollout, now), now);
    }
    let retry_at = Some(backoff(now, tries, BACKOFF_CAP, &update.id.name, failure.retry_after));
    let next = Restoring { tries, retry_at, trouble: Some(failure.summary.clone()), forbidden_since, ..restoring.clone() };
    retries(update, Phase::Restoring(next), tries, failure, forbidden_since, now)
}
