//! Inputs while the applied image is committed. A person may move the image away meanwhile: the commit may be on its way, so its outcome is
//! waited for or looked for once, but what failed is not tried again, and the update binds.

use std::time::Duration;

use jiff::Timestamp;

use super::again::retries;
use super::step::{Step, closes, moves};
use super::{Binding, Closed, CommitRecord, Drift, Effect, Event, Input, Outcome, Phase, Reason, Recorded, Recording, Update};
use crate::core::failure::{Failure, FailureKind};
use crate::core::schedule::backoff;

/// The longest wait between two tries: a rotated credential is taken up within a minute.
const BACKOFF_CAP: Duration = Duration::from_secs(30);
/// Tries at a remote that fails: about a quarter of an hour at the cap.
const TRIES_MAX: u32 = 40;
/// Tries at a remote that refuses: a hook or a protected branch seldom changes its mind, but a person may be mending it.
const REFUSALS_MAX: u32 = 5;

pub(super) fn step(update: &Update, recording: &Recording, input: &Input, now: Timestamp) -> Step {
    match input {
        Input::Recorded(Recorded::Committed(commit)) => committed(update, recording, commit, now),
        Input::Recorded(Recorded::Unrecordable(reason)) => unrecorded(update, recording, reason.clone(), now),
        Input::Recorded(Recorded::Failed(failure)) => again(update, recording, failure, now),
        Input::TakenBack { containers, found } if containers.iter().any(|container| !update.was_taken_back(container)) => {
            set_back(&update.with_taken_back(containers), recording, found, now)
        }
        Input::Look(_) if recording.retry_at.is_some_and(|at| at <= now) => {
            let to = Update { phase: Phase::Recording(Recording { retry_at: None, ..recording.clone() }), ..update.clone() };
            Step::Retries { to, effects: vec![Effect::WriteBack] }
        }
        Input::Look(_)
        | Input::Vote(_)
        | Input::Drift(_)
        | Input::TakenBack { .. }
        | Input::Supersede(_)
        | Input::Applied(_)
        | Input::Followed(_)
        | Input::Restored(_)
        | Input::Prompted(_)
        | Input::Lift { .. } => Step::Waits(waits(recording)),
    }
}

fn committed(update: &Update, recording: &Recording, commit: &CommitRecord, now: Timestamp) -> Step {
    let short = commit.id.get(..12).unwrap_or(&commit.id);
    let end = Closed {
        rollout: recording.rollout.clone(),
        commit: Some(commit.clone()),
        binding: recording.set_back.clone(),
        ..Closed::with(Outcome::Done, Reason::Committed { commit: short.into() })
    };
    closes(update, end, now)
}

fn unrecorded(update: &Update, recording: &Recording, reason: Reason, now: Timestamp) -> Step {
    let (rollout, binding) = (recording.rollout.clone(), recording.set_back.clone());
    closes(update, Closed { rollout, binding, ..Closed::with(Outcome::Unrecorded, reason) }, now)
}

fn set_back(update: &Update, recording: &Recording, found: &str, now: Timestamp) -> Step {
    let reason = Drift::ImageMoved { found: found.into() }.reason().to_string();
    let binding = Binding { reason: reason.as_str().into(), at: now, by: None };
    let next = Recording { set_back: Some(binding), ..recording.clone() };
    // An image that was taken back is not written to Git any more. The last try may have been carried out though its answer was lost.
    let effects: &[Effect] = if recording.retry_at.is_some() { &[Effect::WriteBack] } else { &[] };
    moves(update, Phase::Recording(Recording { retry_at: None, ..next }), Event::SetBack, reason, effects, now)
}

fn again(update: &Update, recording: &Recording, failure: &Failure, now: Timestamp) -> Step {
    let tries = recording.tries.saturating_add(1);
    let tries_max = match failure.kind {
        FailureKind::Transient => TRIES_MAX,
        FailureKind::Refused | FailureKind::Forbidden => REFUSALS_MAX,
        FailureKind::Panicked => super::again::PANICS_MAX,
    };
    if tries >= tries_max || recording.set_back.is_some() {
        let reason = Reason::Trouble { doing: "writing to Git", summary: failure.summary.clone() };
        return unrecorded(update, recording, reason, now);
    }
    let retry_at = Some(backoff(now, tries, BACKOFF_CAP, &update.id.name, failure.retry_after));
    let next = Recording { tries, retry_at, trouble: Some(failure.summary.clone()), ..recording.clone() };
    retries(update, Phase::Recording(next), tries, failure, None, now)
}

fn waits(recording: &Recording) -> Reason {
    match &recording.trouble {
        Some(summary) => Reason::Trouble { doing: "writing to Git", summary: summary.clone() },
        None => Reason::Underway { doing: "writing to Git", missing: None },
    }
}
