//! Inputs while the patch is being made.

use std::time::Duration;

use jiff::Timestamp;

use super::again::{forbidden_since, gives_up, retries};
use super::step::{Step, closes, moves};
use super::{Applied, Applying, Binding, Closed, Drift, Effect, Event, Input, Outcome, Phase, Reason, Rollout, Update, Verifying};
use crate::core::failure::Failure;
use crate::core::schedule::{after, backoff};

/// The longest wait between two tries at the API server.
const BACKOFF_CAP: Duration = Duration::from_secs(15);
/// Tries at a failing API server or registry: an hour at the cap. After that a person should know.
const TRIES_MAX: u32 = 240;

/// What an update tells that a pause has stopped before its patch.
const PAUSED: &str = "a pause is on";

pub(super) fn step(update: &Update, applying: &Applying, input: &Input, now: Timestamp) -> Step {
    match input {
        Input::Applied(applied) => came_of(update, applying, applied, now),
        Input::Look(_) if applying.retry_at.is_some_and(|at| at <= now) => {
            let to = Update { phase: Phase::Applying(Applying { retry_at: None, ..applying.clone() }), ..update.clone() };
            Step::Retries { to, effects: vec![Effect::Apply] }
        }
        // Whatever else is said now, the patch may be on its way: its own outcome tells.
        Input::Look(_)
        | Input::Vote(_)
        | Input::Drift(_)
        | Input::TakenBack { .. }
        | Input::Supersede(_)
        | Input::Followed(_)
        | Input::Restored(_)
        | Input::Recorded(_)
        | Input::Prompted(_)
        | Input::Lift { .. } => Step::Waits(waits(applying)),
    }
}

fn came_of(update: &Update, applying: &Applying, applied: &Applied, now: Timestamp) -> Step {
    match applied {
        Applied::Patched { applied } => {
            let deadline = after(now, update.spec.rules.rollout_timeout);
            let detail = applied.join(", ");
            let rollout = Rollout { applied: applied.clone(), patched: now, deadline };
            moves(update, Phase::Verifying(Verifying::of(rollout)), Event::Patched, detail, &[Effect::Follow], now)
        }
        Applied::TagMoved { tag, now: digest } => supersede(update, Reason::TagMoved { tag: tag.clone(), now: digest.clone() }, None, now),
        Applied::TagGone { tag } => supersede(update, Reason::TagGone { tag: tag.clone() }, None, now),
        Applied::Drifted(drift) => supersede(update, drift.reason(), taken_back(update, drift, now), now),
        Applied::Paused => stopped(update, applying, PAUSED, now),
        Applied::Barred(reason) => stopped(update, applying, &reason.to_string(), now),
        Applied::Failed(failure) => again(update, applying, failure, now),
    }
}

/// Something stops what is not patched yet. It is looked at again and again, for a person may set an image meanwhile, and goes on within
/// [`BACKOFF_CAP`] of that thing's end.
fn stopped(update: &Update, applying: &Applying, why: &str, now: Timestamp) -> Step {
    let next =
        Applying { tries: applying.tries, retry_at: Some(after(now, BACKOFF_CAP)), trouble: Some(why.into()), forbidden_since: None };
    let phase = Phase::Applying(next);
    if applying.trouble.as_deref() == Some(why) {
        return Step::Retries { to: Update { phase, ..update.clone() }, effects: Vec::new() };
    }
    moves(update, phase, Event::Paused, why, &[], now)
}

/// The image that was replaced is found where the patch can have been made already: a person put it back.
fn taken_back(update: &Update, drift: &Drift, now: Timestamp) -> Option<Binding> {
    let Drift::ImageMoved { found } = drift else { return None };
    let is_back = update.spec.changes.iter().any(|change| change.from == *found);
    is_back.then(|| Binding { reason: drift.reason().to_string().into(), at: now, by: None })
}

fn supersede(update: &Update, reason: Reason, binding: Option<Binding>, now: Timestamp) -> Step {
    closes(update, Closed { binding, ..Closed::with(Outcome::Superseded, reason) }, now)
}

fn again(update: &Update, applying: &Applying, failure: &Failure, now: Timestamp) -> Step {
    let tries = applying.tries.saturating_add(1);
    let forbidden_since = forbidden_since(applying.forbidden_since, failure, now);
    if gives_up(failure, (tries, TRIES_MAX), forbidden_since, now) {
        let reason = Reason::Trouble { doing: "setting the image", summary: failure.summary.clone() };
        let binding = Binding { reason: reason.to_string().into(), at: now, by: None };
        return closes(update, Closed { binding: Some(binding), ..Closed::with(Outcome::Failed, reason) }, now);
    }
    let retry_at = backoff(now, tries, BACKOFF_CAP, &update.id.name, failure.retry_after);
    let next = Applying { tries, retry_at: Some(retry_at), trouble: Some(failure.summary.clone()), forbidden_since };
    retries(update, Phase::Applying(next), tries, failure, forbidden_since, now)
}

fn waits(applying: &Applying) -> Reason {
    match &applying.trouble {
        Some(summary) => Reason::Trouble { doing: "setting the image", summary: summary.clone() },
        None => Reason::Underway { doing: "setting the image", missing: None },
    }
}
