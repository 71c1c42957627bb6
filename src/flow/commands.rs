//! What people ask for: votes, retries, pauses.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::engine::Engine;

use super::message::{Act, Answer, AuditLine};
use super::pauses::Due;
use super::slot::WhenDurable;
use crate::core::failure::Failure;
use crate::core::hold::approval::{self, Admitted, VoteRefused};
use crate::core::hold::binding;
use crate::core::hold::voter::Ballot;
use crate::core::pause::{Pause, Scope};
use crate::core::update::{self, Event, Input, Outcome, Phase, Trigger, Update, UpdateId};

/// What a person wants, and who is to be answered.
pub enum Command {
    /// A vote.
    Vote {
        /// On which update.
        id: UpdateId,
        /// The vote, and who gives it.
        ballot: Ballot,
        /// Takes the update as it stands once the vote is durable.
        reply: Reply<Update>,
    },
    /// Another try at a closed update.
    Retry {
        /// Which.
        id: UpdateId,
        /// Who asks.
        by: Box<str>,
        /// Takes the update that tries again, or the one that holds nothing back any more.
        reply: Reply<Update>,
    },
    /// Stop applying.
    Pause {
        /// The pause.
        pause: Pause,
        /// Answered when it is durable.
        reply: Reply<Pause>,
    },
    /// Go on applying, and lift what holds digests back.
    Resume {
        /// What goes on.
        scope: Scope,
        /// Who asks.
        by: Box<str>,
        /// Answered when it is durable.
        reply: Reply<Lifted>,
    },
}

/// What a resume lifted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lifted {
    /// Pauses that were on in exactly the scope.
    pub pauses: Vec<Pause>,
    /// Updates that hold nothing back any more.
    pub bindings: Vec<UpdateId>,
}

/// Who is to be answered.
pub type Reply<T> = Box<dyn FnOnce(Result<T, CommandRefused>) + Send>;

/// Why a command is not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandRefused {
    /// The records are not loaded yet.
    #[error("{0}")]
    NotNow(&'static str),
    /// skeg only observes.
    #[error("skeg only observes: nothing is written")]
    Observing,
    /// There is no such update.
    #[error("no update is called {0}")]
    NotFound(UpdateId),
    /// The vote does not count.
    #[error(transparent)]
    Vote(#[from] VoteRefused),
    /// The command does not fit the update's phase.
    #[error("{0}")]
    Unfit(String),
    /// It could not be made durable.
    #[error("not recorded: {0}")]
    NotRecorded(Box<str>),
}

impl Engine {
    pub(super) fn obey(&mut self, command: Command, now: Timestamp) {
        if let Some(refusal) = self.refuses_commands() {
            return self.acts.push(Act::Answer(refused(command, refusal)));
        }
        match command {
            Command::Vote { id, ballot, reply } => self.vote(&id, &ballot, reply, now),
            Command::Retry { id, by, reply } => self.retry(&id, &by, reply, now),
            Command::Pause { pause, reply } => {
                self.pauses.set(pause.clone());
                self.pauses.answer_when_durable(Box::new(move |saved| reply(saved.map(|()| pause))));
                self.look_at_held(now);
            }
            Command::Resume { scope, by, reply } => self.resume_scope(&scope, &by, reply, now),
        }
    }

    fn refuses_commands(&self) -> Option<CommandRefused> {
        match (self.is_loaded(), self.settings.acts) {
            (_, false) => Some(CommandRefused::Observing),
            (false, true) => Some(CommandRefused::NotNow("still starting: the records are not loaded yet")),
            (true, true) => None,
        }
    }

    /// One that comes too late ends the update instead of counting, and its voter is told that.
    fn vote(&mut self, id: &UpdateId, ballot: &Ballot, reply: Reply<Update>, now: Timestamp) {
        self.look(id, now);
        let Some(slot) = self.slots.get(id) else {
            let id = id.clone();
            return self.acts.push(Act::Answer(Box::new(move || reply(Err(CommandRefused::NotFound(id))))));
        };
        let refusal = match approval::admits(&slot.update, ballot) {
            Ok(Admitted::Repeats) => None,
            Ok(Admitted::Counts) => {
                self.feed(id, &Input::Vote(ballot.clone()), now);
                self.slots.get(id).and_then(|slot| approval::admits(&slot.update, ballot).err())
            }
            Err(refusal) => Some(refusal),
        };
        match refusal {
            None => self.answer_with(id, reply),
            Some(refusal) => self.refuse_vote(id, ballot, refusal, reply, now),
        }
    }

    fn refuse_vote(&mut self, id: &UpdateId, ballot: &Ballot, refusal: VoteRefused, reply: Reply<Update>, now: Timestamp) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let detail = format!("{}: {refusal}", ballot.voter.name()).into();
        slot.note_when_durable(AuditLine { at: now, event: Event::VoteRefused, update: slot.update.clone(), detail, left: None });
        slot.answer_when_durable(Box::new(move |_| reply(Err(refusal.into()))));
        self.unsettled.insert(id.clone());
    }

    fn retry(&mut self, id: &UpdateId, by: &str, reply: Reply<Update>, now: Timestamp) {
        let outcome = match self.slots.get(id).map(|slot| slot.update.clone()) {
            None => Err(CommandRefused::NotFound(id.clone())),
            Some(update) => self.try_again(&update, by, now),
        };
        match outcome {
            Ok(next) => self.answer_with(&next, reply),
            Err(refusal) => self.acts.push(Act::Answer(Box::new(move || reply(Err(refusal))))),
        }
    }

    fn try_again(&mut self, update: &Update, by: &str, now: Timestamp) -> Result<UpdateId, CommandRefused> {
        let Phase::Closed(closed) = &update.phase else {
            return Err(CommandRefused::Unfit(format!("{} is not closed: {}", update.id, update.phase.as_str())));
        };
        match closed.outcome {
            Outcome::Done => Err(CommandRefused::Unfit(format!("{} is done, there is nothing to try again", update.id))),
            Outcome::Unrecorded => {
                self.refuse_recording(update)?;
                let next = update::again(update, &self.known(&update.spec.workload), now);
                let id = next.id.clone();
                self.open(next, now);
                Ok(id)
            }
            Outcome::RolledBack | Outcome::Rejected | Outcome::Expired | Outcome::Superseded | Outcome::Failed => {
                self.lift(update, by, now);
                Ok(update.id.clone())
            }
        }
    }

    /// What is committed to Git is what runs: not beside another update, and not in place of an image that somebody has set since.
    fn refuse_recording(&self, update: &Update) -> Result<(), CommandRefused> {
        let id = &update.spec.workload;
        if let Some(other) = self.known(id).into_iter().find(|other| other.is_in_flight()) {
            return Err(CommandRefused::Unfit(format!("{} of {id} is under way: try again when it is closed", other.id)));
        }
        let workload = self.workloads.get(id);
        let drift = update::not_running(update, workload.as_deref());
        drift.map_or(Ok(()), |drift| {
            Err(CommandRefused::Unfit(format!("{} is not what runs any more, so it is not written to Git: {}", update.id, drift.reason())))
        })
    }

    /// Answers with the update as it stands, once that is durable.
    fn answer_with(&mut self, id: &UpdateId, reply: Reply<Update>) {
        if let Some(slot) = self.slots.get_mut(id) {
            let update = slot.update.clone();
            slot.answer_when_durable(Box::new(move |durable| reply(durable.map(|()| update))));
            self.unsettled.insert(id.clone());
        }
    }

    fn resume_scope(&mut self, scope: &Scope, by: &str, reply: Reply<Lifted>, now: Timestamp) {
        let pauses = self.pauses.lift(scope);
        let binds = |update: &&Update| scope.covers(&update.spec.workload) && self.holds_back(update);
        let bound: Vec<Update> = self.updates().filter(binds).cloned().collect();
        let marked = self.held_by_mark(scope);
        let bindings = bound.iter().map(|update| &update.id).chain(marked.iter().map(|(_, id)| id)).cloned().collect();
        let lifted = Lifted { pauses, bindings };
        let answer = Box::new(move |durable: Result<(), CommandRefused>| reply(durable.map(|()| lifted)));
        let mut parts = in_parts(bound.len() + marked.len() + 1, answer).into_iter();
        for (update, part) in bound.iter().zip(&mut parts) {
            self.lift(update, by, now);
            if let Some(slot) = self.slots.get_mut(&update.id) {
                slot.answer_when_durable(part);
                self.unsettled.insert(update.id.clone());
            }
        }
        for ((workload, mark), part) in marked.into_iter().zip(&mut parts) {
            self.take_off(workload, &mark, part);
        }
        parts.for_each(|part| self.pauses.answer_when_durable(part));
        self.look_at_held(now);
    }

    /// Whether the update binds, or its image was moved away and that was not noticed.
    fn holds_back(&self, update: &Update) -> bool {
        update.binding().is_some() || self.moved_away(update).is_some()
    }

    /// Takes from a closed update what it holds back, also what it would once a move of its image is noticed.
    fn lift(&mut self, update: &Update, by: &str, now: Timestamp) {
        if let Some(taken_back) = self.moved_away(update) {
            self.feed(&update.id, &taken_back, now);
        }
        self.feed(&update.id, &Input::Lift { by: by.into() }, now);
        self.acts.push(Act::Hint(update.repositories(), Trigger::Command));
    }

    fn moved_away(&self, update: &Update) -> Option<Input> {
        let workload = self.workloads.get(&update.spec.workload)?;
        let known = self.known(&workload.id);
        let moved = binding::moved_away(&workload, &known).filter(|left| left.update.id == update.id);
        update::taken_back(&workload, moved).pop().map(|(_, taken_back)| taken_back)
    }

    pub(super) fn save_pauses_that_are_due(&mut self, now: Timestamp) {
        match self.pauses.due(now) {
            Due::Nothing => {}
            Due::Answers(answers) => self.answer_all(answers, &Ok(())),
            Due::Save(change) => self.acts.push(Act::SavePauses(change)),
        }
    }

    pub(super) fn pauses_saved(&mut self, result: Result<Vec<Pause>, Failure>, now: Timestamp) {
        let (answers, outcome) = self.pauses.saved(result, now);
        self.answer_all(answers, &outcome);
        self.look_at_held(now);
    }

    pub(super) fn answer_all(&mut self, answers: Vec<WhenDurable>, outcome: &Result<(), CommandRefused>) {
        for answer in answers {
            let outcome = outcome.clone();
            self.acts.push(Act::Answer(Box::new(move || answer(outcome))));
        }
    }
}

/// One answer that waits for `count` things: given when all of them are durable, or with the first that never will be.
fn in_parts(count: usize, answer: WhenDurable) -> Vec<WhenDurable> {
    let shared = Arc::new(Mutex::new((count, Some(answer))));
    let part = |_| -> WhenDurable {
        let shared = Arc::clone(&shared);
        Box::new(move |durable| {
            let mut waiting = shared.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.0 = waiting.0.saturating_sub(1);
            let answer = if waiting.0 == 0 || durable.is_err() { waiting.1.take() } else { None };
            drop(waiting);
            if let Some(answer) = answer {
                answer(durable);
            }
        })
    };
    (0..count).map(part).collect()
}

fn refused(command: Command, refusal: CommandRefused) -> Answer {
    match command {
        Command::Vote { reply, .. } | Command::Retry { reply, .. } => Box::new(move || reply(Err(refusal))),
        Command::Pause { reply, .. } => Box::new(move || reply(Err(refusal))),
        Command::Resume { reply, .. } => Box::new(move || reply(Err(refusal))),
    }
}
