//! How an update moves: one match on the phase, nothing else.

use jiff::Timestamp;

use super::{Effect, Entry, Event, Input, Phase, Prompt, Reason, Update, applying, closed, held, recording, verifying};

/// What an input does to an update.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Nothing moves, and this is the reason (shown in the API and in logs).
    Waits(Reason),
    /// The same effect again, or later: only counters change, and losing them in a crash costs nothing, so nothing is journalled.
    Retries {
        /// The update with its new counters.
        to: Update,
        /// What to do now.
        effects: Vec<Effect>,
    },
    /// The update moves. The engine journals `to`, then carries out `effects`.
    Moves {
        /// The update as it is to be recorded; the newest entry of its history tells this step.
        to: Update,
        /// What happened.
        event: Event,
        /// What to do once `to` is durable.
        effects: Vec<Effect>,
    },
}

/// Feeds one input to an update. The caller feeds `Input::Look` again after every move, until the update waits.
pub fn step(update: &Update, input: &Input, now: Timestamp) -> Step {
    if let Input::Prompted(prompt) = input
        && update.prompt.as_ref() != Some(prompt)
    {
        return prompted(update, prompt, now);
    }
    match &update.phase {
        Phase::Held(held) => held::step(update, held, input, now),
        Phase::Applying(applying) => applying::step(update, applying, input, now),
        Phase::Verifying(verifying) => verifying::step(update, verifying, input, now),
        Phase::Restoring(restoring) => verifying::step_restoring(update, restoring, input, now),
        Phase::Recording(recording) => recording::step(update, recording, input, now),
        Phase::Closed(closed) => closed::step(update, closed, input, now),
    }
}

/// Where people see it is the same fact in every phase. What happened while it was being posted is shown next.
fn prompted(update: &Update, prompt: &Prompt, now: Timestamp) -> Step {
    let is_as_posted = matches!(update.phase, Phase::Held(_)) && update.votes.is_empty();
    let effects: &[Effect] = if prompt.ended || is_as_posted { &[] } else { &[Effect::Revise] };
    let detail = format!("{} in {}{}", prompt.message, prompt.channel, if prompt.ended { ", the end" } else { "" });
    let shown = Update { prompt: Some(prompt.clone()), ..update.clone() };
    moves(&shown, update.phase.clone(), Event::Prompted, detail, effects, now)
}

/// The move of `update` to `phase`.
pub(super) fn moves(update: &Update, phase: Phase, event: Event, detail: impl Into<String>, effects: &[Effect], now: Timestamp) -> Step {
    let mut to = update.clone();
    if to.phase.as_str() != phase.as_str() {
        to.since = now;
    }
    to.phase = phase;
    to.history.push(Entry { at: now, event: event.as_str().into(), detail: detail.into().into() });
    Step::Moves { to, event, effects: effects.to_vec() }
}

/// The move of `update` to its end.
pub(super) fn closes(update: &Update, end: super::Closed, now: Timestamp) -> Step {
    let was_asked = update.prompt.is_some() || update.history.iter().any(|entry| &*entry.event == Event::Asked.as_str());
    let effects: &[Effect] = if was_asked { &[Effect::Revise] } else { &[] };
    let detail = format!("{}: {}", end.outcome.as_str(), end.reason);
    moves(update, Phase::Closed(end), Event::Closed, detail, effects, now)
}
