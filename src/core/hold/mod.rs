//! Reasons to wait, and their present answers.
//!
//! A hold is a function from an update and its surroundings to a [`Gate`]. [`before_asking`] and [`before_applying`] put them in order;
//! a new hold is a file here and a line in one of the two.

mod answers;
pub mod approval;
pub mod binding;
pub mod keel;
pub mod voter;

use jiff::Timestamp;

pub use answers::{GATES, answers, answers_without, opens};

use crate::core::update::{Held, Reason, Surroundings, Update};

/// A hold's answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Gate {
    /// Nothing to wait for.
    Open,
    /// People have to be asked first.
    Ask,
    /// Closed for this reason.
    Waits(Reason),
    /// Will not open again.
    Refused(Reason),
}

/// The gates that are looked at before people are asked: nobody is asked for what could not be applied anyway.
pub fn before_asking(around: &Surroundings) -> Gate {
    let closed = [&around.paused.as_ref().map(|scope| Reason::Paused { scope: scope.clone() }), &around.barred, &around.bound];
    first(closed)
}

/// The gates that are looked at when the votes are complete.
pub fn before_applying(around: &Surroundings) -> Gate {
    first([&around.crowded])
}

/// All gates of a held update, in order. Time that has run out ends it whatever else it waits for: only a pause makes time stand still.
pub fn all(update: &Update, held: &Held, around: &Surroundings, now: Timestamp) -> Gate {
    let approval = approval::gate(update, held, now);
    if let Gate::Refused(_) = approval {
        return approval;
    }
    let gates = [before_asking(around), approval, before_applying(around)];
    gates.into_iter().find(|gate| *gate != Gate::Open).unwrap_or(Gate::Open)
}

fn first<const N: usize>(closed: [&Option<Reason>; N]) -> Gate {
    closed.into_iter().flatten().next().map_or(Gate::Open, |reason| Gate::Waits(reason.clone()))
}
