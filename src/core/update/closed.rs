//! Inputs when closed: the phase is final, only what it holds back may change. What was set back and lifted stays lifted: the next attempt
//! at the change is what a person may set back then.

use jiff::Timestamp;

use super::step::{Step, moves};
use super::{Binding, Closed, Drift, Event, Input, Phase, Update};

pub(super) fn step(update: &Update, closed: &Closed, input: &Input, now: Timestamp) -> Step {
    match input {
        Input::Lift { by } if closed.binding.is_some() => {
            let lifted = Closed { binding: None, ..closed.clone() };
            moves(update, Phase::Closed(lifted), Event::Lifted, format!("by {by}"), &[], now)
        }
        Input::Drift(drift @ Drift::ImageMoved { .. }) if !update.was_set_back() => {
            let reason = drift.reason().to_string();
            let binding = Binding { reason: reason.as_str().into(), at: now, by: None };
            let bound = Closed { binding: Some(binding), ..closed.clone() };
            moves(update, Phase::Closed(bound), Event::SetBack, reason, &[], now)
        }
        Input::Look(_)
        | Input::Vote(_)
        | Input::Drift(_)
        | Input::Supersede(_)
        | Input::Applied(_)
        | Input::Followed(_)
        | Input::Restored(_)
        | Input::Recorded(_)
        | Input::Prompted(_)
        | Input::Lift { .. } => Step::Waits(closed.reason.clone()),
    }
}
