//! A failed try: another one later, or the end.

use std::time::Duration;

use jiff::Timestamp;

use super::step::{Step, moves};
use super::{Event, Phase, Update};
use crate::core::failure::{Failure, FailureKind};
use crate::core::schedule::after;

/// Tries of an effect that panics: a fault of skeg's own does not pass by itself.
pub const PANICS_MAX: u32 = 3;
/// How long skeg goes on trying what the API server forbids. One that has just started knows its roles after seconds, and whoever is told of
/// a missing one mends it in minutes; longer, and the update should end, for nothing else of its workload goes on meanwhile.
pub const FORBIDDEN_MAX: Duration = Duration::from_mins(5);

/// Since when it has been forbidden without a pause, this failure included. Not recorded: skeg that starts again tries for as long anew.
pub(super) fn forbidden_since(before: Option<Timestamp>, failure: &Failure, now: Timestamp) -> Option<Timestamp> {
    (failure.kind == FailureKind::Forbidden).then(|| before.unwrap_or(now))
}

/// Whether another try is pointless.
pub(super) fn gives_up(failure: &Failure, (tries, tries_max): (u32, u32), forbidden_since: Option<Timestamp>, now: Timestamp) -> bool {
    match failure.kind {
        FailureKind::Refused => true,
        FailureKind::Panicked => tries >= PANICS_MAX,
        FailureKind::Transient => tries >= tries_max,
        FailureKind::Forbidden => tries >= tries_max || forbidden_since.is_some_and(|since| now >= after(since, FORBIDDEN_MAX)),
    }
}

/// A failed try: journalled at the first, second, fourth … time, so that the record tells the trouble and long trouble costs few writes; and
/// when it begins to be forbidden, which people are told.
pub(super) fn retries(
    update: &Update,
    phase: Phase,
    tries: u32,
    failure: &Failure,
    forbidden_since: Option<Timestamp>,
    now: Timestamp,
) -> Step {
    if forbidden_since == Some(now) {
        let until = after(now, FORBIDDEN_MAX);
        return moves(update, phase, Event::Forbidden, format!("{}; tried again until {until:.0}", failure.summary), &[], now);
    }
    if tries.is_power_of_two() {
        return moves(update, phase, Event::Retrying, format!("try {tries} failed: {}", failure.summary), &[], now);
    }
    Step::Retries { to: Update { phase, ..update.clone() }, effects: Vec::new() }
}
