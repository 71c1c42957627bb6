//! What people ask for: votes, retries, pauses.

use jiff::Timestamp;

use super::engine::{Act, Answer, AuditLine, Engine};
use crate::core::hold::approval::{self, Admitted, VoteRefused};
use crate::core::hold::binding;
use crate::core::hold::voter::Ballot;
use crate::core::pause::{Pause, Scope};
use crate::core::update::{self, Event, Input, Outcome, Phase, Trigger, Update, UpdateId};
use crate::core::workload::Workload;

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
            Command::Vote { id, ballot, reply } => self.vote(&id, ballot, reply, now),
            Command::Retry { id, by, reply } => self.retry(&id, &by, reply, now),
            Command::Pause { pause, reply } => {
                self.pauses.set(pause.clone());
                self.save_pauses(Box::new(move |saved| reply(saved.map(|()| pause))));
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

    fn vote(&mut self, id: &UpdateId, ballot: Ballot, reply: Reply<Update>, now: Timestamp) {
        let Some(slot) = self.slots.get(id) else {
            let id = id.clone();
            return self.acts.push(Act::Answer(Box::new(move || reply(Err(CommandRefused::NotFound(id))))));
        };
        match approval::admits(&slot.update, &ballot) {
            Ok(Admitted::Repeats) => {}
            Ok(Admitted::Counts) => self.feed(id, &Input::Vote(ballot), now),
            Err(refusal) => {
                let detail = format!("{}: {refusal}", ballot.voter.name()).into();
                let line = AuditLine { at: now, event: Event::VoteRefused, update: slot.update.clone(), detail, left: None };
                self.acts.push(Act::Audit(Box::new(line)));
                return self.acts.push(Act::Answer(Box::new(move || reply(Err(refusal.into())))));
            }
        }
        self.answer_with(id, reply);
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
            Outcome::Unrecorded if closed.binding.is_some() => {
                Err(CommandRefused::Unfit(format!("{} was set back, there is nothing to record", update.id)))
            }
            Outcome::Unrecorded => {
                let known = self.known(&update.spec.workload);
                if let Some(other) = known.iter().find(|other| other.is_in_flight()) {
                    return Err(CommandRefused::Unfit(format!("{} of the same workload is not finished", other.id)));
                }
                let next = update::again(update, &known, now);
                let id = next.id.clone();
                self.open(next, now);
                Ok(id)
            }
            Outcome::RolledBack | Outcome::Rejected | Outcome::Expired | Outcome::Superseded | Outcome::Failed => {
                self.feed(&update.id, &Input::Lift { by: by.into() }, now);
                self.acts.push(Act::Hint(update.repositories(), Trigger::Command));
                Ok(update.id.clone())
            }
        }
    }

    /// Answers with the update as it stands, once that is durable.
    fn answer_with(&mut self, id: &UpdateId, reply: Reply<Update>) {
        if let Some(slot) = self.slots.get_mut(id) {
            let update = slot.update.clone();
            slot.answer_when_durable(Box::new(move || reply(Ok(update))));
            self.unsettled.insert(id.clone());
        }
    }

    fn resume_scope(&mut self, scope: &Scope, by: &str, reply: Reply<Lifted>, now: Timestamp) {
        let pauses = self.pauses.lift(scope);
        let binds = |update: &&Update| scope.covers(&update.spec.workload) && self.holds_back(update);
        let bound: Vec<Update> = self.updates().filter(binds).cloned().collect();
        for update in &bound {
            self.feed(&update.id, &Input::Lift { by: by.into() }, now);
            self.acts.push(Act::Hint(update.repositories(), Trigger::Command));
        }
        let lifted = Lifted { pauses, bindings: bound.into_iter().map(|update| update.id).collect() };
        self.save_pauses(Box::new(move |saved| reply(saved.map(|()| lifted))));
        self.look_at_held(now);
    }

    /// Whether the update binds, or its image was moved away and that was not noticed.
    fn holds_back(&self, update: &Update) -> bool {
        let is_moved =
            |workload: &Workload| binding::moved_away(workload, &self.known(&workload.id)).any(|left| left.update.id == update.id);
        update.binding().is_some() || self.workloads.get(&update.spec.workload).is_some_and(|workload| is_moved(&workload))
    }

    fn save_pauses(&mut self, reply: Box<dyn FnOnce(Result<(), CommandRefused>) + Send>) {
        self.pauses.answer_when_saved(Box::new(move |saved| reply(saved.map_err(CommandRefused::NotRecorded))));
        self.acts.push(Act::SavePauses(self.pauses.all().to_vec()));
    }

    pub(super) fn pauses_saved(&mut self, result: Result<(), Box<str>>, now: Timestamp) {
        if let Some(answer) = self.pauses.saved(result.is_ok()) {
            self.acts.push(Act::Answer(Box::new(move || answer(result))));
        }
        self.look_at_held(now);
    }
}

fn refused(command: Command, refusal: CommandRefused) -> Answer {
    match command {
        Command::Vote { reply, .. } | Command::Retry { reply, .. } => Box::new(move || reply(Err(refusal))),
        Command::Pause { reply, .. } => Box::new(move || reply(Err(refusal))),
        Command::Resume { reply, .. } => Box::new(move || reply(Err(refusal))),
    }
}
