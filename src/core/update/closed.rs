//! Inputs when closed: the phase is final, only what it holds back may change. What a person took back in a container and was lifted stays
//! lifted: the next attempt at the change is what may be taken back then.

use jiff::Timestamp;

use super::step::{Step, moves};
use super::{Binding, Closed, Drift, Event, Input, Phase, Update};

pub(super) fn step(update: &Update, closed: &Closed, input: &Input, now: Timestamp) -> Step {
    match input {
        Input::Lift { by } if closed.binding.is_some() => {
            let lifted = Closed { binding: None, ..closed.clone() };
            moves(update, Phase::Closed(lifted), Event::Lifted, format!("by {by}"), &[], now)
        }
        Input::TakenBack { containers, found } if containers.iter().any(|container| !update.was_taken_back(container)) => {
            let reason = Drift::ImageMoved { found: found.clone() }.reason().to_string();
            let binding = Binding { reason: reason.as_str().into(), at: now, by: None };
            let bound = Closed { binding: Some(binding), ..closed.clone() };
            moves(&update.with_taken_back(containers), Phase::Closed(bound), Event::SetBack, reason, &[], now)
        }
        Input::Look(_)
        | Input::Vote(_)
        | Input::Drift(_)
        | Input::TakenBack { .. }
        | Input::Supersede(_)
        | Input::Applied(_)
        | Input::Followed(_)
        | Input::Restored(_)
        | Input::Recorded(_)
        | Input::Prompted(_)
        | Input::Lift { .. } => Step::Waits(closed.reason.clone()),
    }
}
