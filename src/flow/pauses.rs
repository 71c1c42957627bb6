//! The pauses that are on, and what of them is durable.
//!
//! A pause counts from the moment it is asked for, and one that is lifted counts until its end is recorded. One that has ended by itself
//! does not begin again when the clock is set back. One write is under way at a time; what is asked for meanwhile goes into the next one.

use std::time::Duration;

use jiff::Timestamp;

use super::slot::WhenDurable;
use crate::core::failure::{Failure, FailureKind};
use crate::core::pause::{Change, Pause, Scope};
use crate::core::schedule::backoff;
use crate::core::workload::{Workload, WorkloadId};
use crate::flow::commands::CommandRefused;

/// The longest wait between two tries to write. Short, because a person waits for the answer.
const BACKOFF_CAP: Duration = Duration::from_secs(15);

/// Every pause, and who waits until they are durable.
#[derive(Default)]
pub struct PauseBook {
    /// What is wanted.
    pauses: Vec<Pause>,
    /// What the record holds.
    durable: Vec<Pause>,
    /// What of that has ended by itself and leaves the record with the next write.
    ended: Vec<Pause>,
    /// Who is to be answered when what is wanted now is durable.
    waiting: Vec<WhenDurable>,
    state: SaveState,
    tries: u32,
}

#[derive(Default)]
enum SaveState {
    #[default]
    Idle,
    UnderWay {
        wanted: Vec<Pause>,
        answers: Vec<WhenDurable>,
    },
    Waits {
        until: Timestamp,
    },
}

impl PauseBook {
    /// Takes over what was kept.
    pub fn load(&mut self, pauses: Vec<Pause>) {
        self.durable.clone_from(&pauses);
        self.pauses = pauses;
    }

    /// Every pause.
    pub fn all(&self) -> &[Pause] {
        &self.pauses
    }

    /// Sets a pause; an earlier one of the same scope is replaced.
    pub fn set(&mut self, pause: Pause) {
        self.pauses.retain(|earlier| earlier.scope != pause.scope);
        self.pauses.push(pause);
    }

    /// Lifts the pauses of exactly this scope and gives them.
    pub fn lift(&mut self, scope: &Scope) -> Vec<Pause> {
        self.pauses.extract_if(.., |pause| pause.scope == *scope).collect()
    }

    /// Notes who is to be answered when what is wanted now is durable.
    pub fn answer_when_durable(&mut self, answer: WhenDurable) {
        self.waiting.push(answer);
    }

    /// Whether nobody waits for a write.
    pub fn is_durable(&self) -> bool {
        matches!(self.state, SaveState::Idle) && self.waiting.is_empty()
    }

    /// The write that is due, if one is. Without anything to write those who wait are answered.
    pub fn due(&mut self, now: Timestamp) -> Due {
        let may_save = match self.state {
            SaveState::Idle => true,
            SaveState::UnderWay { .. } => false,
            SaveState::Waits { until } => until <= now,
        };
        if !may_save || self.waiting.is_empty() {
            return Due::Nothing;
        }
        let answers = std::mem::take(&mut self.waiting);
        let change = Change::between(&self.durable, &self.pauses);
        if change.is_empty() {
            self.state = SaveState::Idle;
            return Due::Answers(answers);
        }
        self.state = SaveState::UnderWay { wanted: self.pauses.clone(), answers };
        Due::Save(change)
    }

    /// A write has ended with what the record holds now, or with a failure; gives whom to answer, and how.
    ///
    /// What may pass is written again. What is refused is given up: the pauses are those of the record again, and people are told.
    pub fn saved(&mut self, result: Result<Vec<Pause>, Failure>, now: Timestamp) -> (Vec<WhenDurable>, Result<(), CommandRefused>) {
        let SaveState::UnderWay { wanted, mut answers } = std::mem::take(&mut self.state) else { return (Vec::new(), Ok(())) };
        match result {
            Ok(kept) => {
                self.tries = 0;
                // What was asked for meanwhile stays wanted, on top of what others have kept.
                self.pauses = Change::between(&wanted, &self.pauses).made(kept.clone());
                self.ended.retain(|pause| kept.contains(pause));
                self.durable = kept;
                (answers, Ok(()))
            }
            Err(failure) if matches!(failure.kind, FailureKind::Refused | FailureKind::Forbidden) => {
                self.tries = 0;
                self.pauses = Change::between(&wanted, &self.pauses).made(self.durable.clone());
                (answers, Err(CommandRefused::NotRecorded(failure.summary)))
            }
            Err(failure) => {
                self.tries = self.tries.saturating_add(1);
                self.state = SaveState::Waits { until: backoff(now, self.tries, BACKOFF_CAP, "pauses", failure.retry_after) };
                answers.append(&mut self.waiting);
                self.waiting = answers;
                (Vec::new(), Ok(()))
            }
        }
    }

    /// The pause that covers a workload, its own annotation included.
    pub fn over(&self, id: &WorkloadId, workload: Option<&Workload>, now: Timestamp) -> Option<Box<str>> {
        let directives = workload.and_then(|workload| workload.directives.as_ref().ok());
        if let Some(by_directive) = directives.and_then(|directives| directives.paused_by()) {
            return Some(by_directive.into());
        }
        let covers = |pause: &&Pause| pause.is_on(now) && pause.scope.covers(id);
        let durable = self.durable.iter().filter(|pause| !self.ended.contains(pause));
        self.pauses.iter().chain(durable).find(covers).map(|pause| pause.to_string().into())
    }

    /// When the next pause ends by itself, or a failed write is to be tried again.
    pub fn deadline(&self) -> Option<Timestamp> {
        let retry = match self.state {
            SaveState::Waits { until } => Some(until),
            SaveState::Idle | SaveState::UnderWay { .. } => None,
        };
        self.pauses.iter().map(|pause| pause.until).chain([retry]).flatten().min()
    }

    /// Drops pauses that have ended; whether there were any. They leave the record with its next write.
    pub fn drop_ended(&mut self, now: Timestamp) -> bool {
        let before = self.ended.len();
        self.ended.extend(self.pauses.extract_if(.., |pause| !pause.is_on(now)));
        self.ended.len() != before
    }
}

/// What is due for the record of pauses.
pub enum Due {
    /// Nothing, or not yet.
    Nothing,
    /// Nothing is to be written: these may be answered.
    Answers(Vec<WhenDurable>),
    /// This change is to be written.
    Save(Change),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::workload::WorkloadKind;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_pause_that_has_ended_does_not_begin_again_when_the_clock_is_set_back() {
        let web = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        let mut book = PauseBook::default();
        book.load(vec![Pause { scope: Scope::All, until: Some(at(100)), by: "user:ann".into(), at: at(0), reason: None }]);
        assert!(book.over(&web, None, at(99)).is_some());
        assert!(book.drop_ended(at(100)), "it has ended");
        assert_eq!(book.over(&web, None, at(50)), None);
        assert!(!book.drop_ended(at(200)), "once");
    }
}
