//! What is outstanding, from the state alone.

use jiff::Timestamp;

use super::{Effect, Phase, Update};

/// The effects to issue again after a restart. Each is idempotent, so issuing them twice equals once. One that waits for its next try is
/// left to [`deadline`].
pub fn resume(update: &Update) -> Vec<Effect> {
    let retried = |retry_at: Option<Timestamp>, effect| if retry_at.is_none() { vec![effect] } else { Vec::new() };
    match &update.phase {
        // Also when it is granted and waits for something else: the message may still show buttons.
        Phase::Held(held) if held.asked.is_some() => vec![Effect::Ask],
        Phase::Closed(_) if update.prompt.as_ref().is_some_and(|prompt| !prompt.ended) => vec![Effect::Revise],
        Phase::Held(_) | Phase::Closed(_) => Vec::new(),
        Phase::Applying(applying) => retried(applying.retry_at, Effect::Apply),
        Phase::Verifying(verifying) => retried(verifying.retry_at, Effect::Follow),
        Phase::Restoring(restoring) => retried(restoring.retry_at, Effect::Restore),
        Phase::Recording(recording) => retried(recording.retry_at, Effect::WriteBack),
    }
}

/// When the update next wants to be looked at by itself; `None` when only something from outside can move it.
pub fn deadline(update: &Update) -> Option<Timestamp> {
    match &update.phase {
        Phase::Held(held) if held.paused.is_none() => held.expires,
        Phase::Held(_) | Phase::Closed(_) => None,
        Phase::Verifying(verifying) => verifying.retry_at,
        Phase::Applying(applying) => applying.retry_at,
        Phase::Restoring(restoring) => restoring.retry_at,
        Phase::Recording(recording) => recording.retry_at,
    }
}
