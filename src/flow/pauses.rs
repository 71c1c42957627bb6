//! The pauses that are on.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::core::pause::{Pause, Scope};
use crate::core::workload::{Workload, WorkloadId};

/// Who waits for the pauses to be durable.
pub type WhenSaved = Box<dyn FnOnce(Result<(), Box<str>>) + Send>;

/// Every pause, and who waits until they are durable.
#[derive(Default)]
pub struct PauseBook {
    pauses: Vec<Pause>,
    /// What the record holds: a pause that is lifted stands until the record says so too.
    durable: Vec<Pause>,
    /// One for each save that is under way, the oldest first.
    answers: VecDeque<WhenSaved>,
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

    /// Notes who is to be answered when the next save has ended.
    pub fn answer_when_saved(&mut self, answer: WhenSaved) {
        self.answers.push_back(answer);
    }

    /// A save has ended: gives whom to answer. When it was the last one under way, what was wanted holds, or, when it failed, what the
    /// record holds is what is wanted again.
    pub fn saved(&mut self, is_durable: bool) -> Option<WhenSaved> {
        let answer = self.answers.pop_front();
        match (self.answers.is_empty(), is_durable) {
            (true, true) => self.durable.clone_from(&self.pauses),
            (true, false) => self.pauses.clone_from(&self.durable),
            (false, _) => {}
        }
        answer
    }

    /// The pause that covers a workload, its own annotation included.
    pub fn over(&self, id: &WorkloadId, workload: Option<&Workload>, now: Timestamp) -> Option<Box<str>> {
        let annotated = workload.and_then(|workload| workload.directives.as_ref().ok()).is_some_and(|directives| directives.pause);
        if annotated {
            return Some("skeg.dev/pause is set on the workload".into());
        }
        let covers = |pause: &&Pause| pause.is_on(now) && pause.scope.covers(id);
        self.pauses.iter().chain(&self.durable).find(covers).map(|pause| pause.to_string().into())
    }

    /// When the next pause ends by itself.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.pauses.iter().filter_map(|pause| pause.until).min()
    }

    /// Drops pauses that have ended; whether there were any.
    pub fn drop_ended(&mut self, now: Timestamp) -> bool {
        let before = self.pauses.len();
        self.pauses.retain(|pause| pause.is_on(now));
        self.durable.retain(|pause| pause.is_on(now));
        self.pauses.len() != before
    }
}
