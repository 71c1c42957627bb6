//! One update in the engine's memory, with what is durable of it.
//!
//! Journal first: what follows from a move (effects, answers, audit lines) is kept here until the record of that move is written. Moves
//! may go on while a write is under way; the next write then takes them all.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::commands::CommandRefused;
use super::message::{Act, AuditLine};
use crate::core::failure::Failure;
use crate::core::schedule::backoff;
use crate::core::update::{Effect, Update};
use crate::core::workload::WorkloadId;
use crate::ports::journal::Version;

/// The longest wait between two tries to write a record. Short, because every effect of the update waits for it.
const BACKOFF_CAP: std::time::Duration = std::time::Duration::from_secs(15);

/// Answers a caller: with nothing amiss when what the answer tells is durable, else with why it never will be.
pub type WhenDurable = Box<dyn FnOnce(Result<(), CommandRefused>) + Send>;

/// One update.
pub struct Slot {
    /// As decided; the record may be behind.
    pub update: Update,
    /// Whether the watch has shown the workload since the update set its images there.
    pub is_shown: bool,
    version: Option<Version>,
    state: WriteState,
    /// Follows from moves that no write has taken up yet.
    next: Consequences,
    is_behind: bool,
    tries: u32,
    trouble: Option<Box<str>>,
}

/// What waits for durability.
#[derive(Default)]
pub struct Consequences {
    /// Effects to carry out.
    pub effects: Vec<Effect>,
    /// Callers to answer.
    pub answers: Vec<WhenDurable>,
    /// Lines for the audit log.
    pub lines: Vec<AuditLine>,
}

impl Consequences {
    /// These, and after them those of later moves.
    fn and(mut self, later: Self) -> Self {
        self.effects.extend(later.effects);
        self.answers.extend(later.answers);
        self.lines.extend(later.lines);
        self
    }
}

enum WriteState {
    Idle,
    UnderWay(Consequences),
    Waits { until: Timestamp },
}

impl Slot {
    /// An update that has no record yet.
    pub fn new(update: Update) -> Self {
        Self {
            update,
            is_shown: false,
            version: None,
            state: WriteState::Idle,
            next: Consequences::default(),
            is_behind: true,
            tries: 0,
            trouble: None,
        }
    }

    /// An update as its record tells it. The workloads are listed after that was written.
    pub fn loaded(update: Update, version: Version) -> Self {
        Self { version: Some(version), is_behind: false, is_shown: update.phase.rollout().is_some(), ..Self::new(update) }
    }

    /// Whether every move so far is durable.
    pub fn is_durable(&self) -> bool {
        !self.is_behind && matches!(self.state, WriteState::Idle)
    }

    /// Whether a record exists.
    pub fn is_recorded(&self) -> bool {
        self.version.is_some()
    }

    /// Whether it has no record yet because the API server did not take it: nothing of it is begun.
    pub fn is_refused(&self) -> bool {
        !self.is_recorded() && matches!(self.state, WriteState::Waits { .. })
    }

    /// Whether nothing is behind and nothing waits for a write.
    pub fn is_settled(&self) -> bool {
        self.is_durable() && self.next.effects.is_empty() && self.next.answers.is_empty() && self.next.lines.is_empty()
    }

    /// The workload whose new records wait for this one: it exists and is behind.
    pub fn keeps_waiting(&self) -> Option<WorkloadId> {
        (self.is_recorded() && !self.is_durable()).then(|| self.update.spec.workload.clone())
    }

    /// Whether it has no record and gets none before an older one of its workload is up to date; `behind` are the workloads with such ones.
    pub fn waits_for_older(&self, behind: &BTreeSet<WorkloadId>) -> bool {
        !self.is_recorded() && behind.contains(&self.update.spec.workload)
    }

    /// Takes up a move: the new state and what follows from it once that is durable.
    pub fn moved(&mut self, to: Update, consequences: Consequences) {
        self.update = to;
        self.is_behind = true;
        self.next.effects.extend(consequences.effects);
        self.next.answers.extend(consequences.answers);
        self.next.lines.extend(consequences.lines);
    }

    /// An answer that must not be given before everything decided so far is durable.
    pub fn answer_when_durable(&mut self, answer: WhenDurable) {
        self.next.answers.push(answer);
    }

    /// A line of the audit log that must not be written before everything decided so far is durable.
    pub fn note_when_durable(&mut self, line: AuditLine) {
        self.next.lines.push(line);
    }

    /// Gives up everything that is not durable, and gives what waits for it.
    pub fn into_waiting(self) -> Consequences {
        match self.state {
            WriteState::UnderWay(written) => written.and(self.next),
            WriteState::Idle | WriteState::Waits { .. } => self.next,
        }
    }

    /// The write that is due, if one is; without one, answers that wait for nothing are given.
    pub fn due(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        let may_write = match self.state {
            WriteState::Idle => true,
            WriteState::UnderWay(_) => false,
            WriteState::Waits { until } => until <= now,
        };
        if !may_write {
            return;
        }
        if self.is_behind {
            self.is_behind = false;
            self.state = WriteState::UnderWay(std::mem::take(&mut self.next));
            acts.push(Act::Write { update: Box::new(self.update.clone()), version: self.version.clone() });
        } else {
            let ready = std::mem::take(&mut self.next);
            self.release(ready, acts);
        }
    }

    /// The write is durable: what followed from it may happen.
    pub fn written(&mut self, version: Version, now: Timestamp, acts: &mut Vec<Act>) {
        self.version = Some(version);
        self.tries = 0;
        self.trouble = None;
        if let WriteState::UnderWay(ready) = std::mem::replace(&mut self.state, WriteState::Idle) {
            self.release(ready, acts);
        }
        self.due(now, acts);
    }

    /// The write failed: nothing of it happens until a later one succeeds.
    pub fn not_written(&mut self, now: Timestamp, failure: &Failure) {
        self.tries = self.tries.saturating_add(1);
        let until = backoff(now, self.tries, BACKOFF_CAP, &self.update.id.name, failure.retry_after);
        self.trouble = Some(failure.summary.clone());
        if let WriteState::UnderWay(kept) = std::mem::replace(&mut self.state, WriteState::Waits { until }) {
            self.next = kept.and(std::mem::take(&mut self.next));
        }
        self.is_behind = true;
    }

    /// Why its record could not be written, as long as it is not.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// When a failed write is to be tried again.
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self.state {
            WriteState::Waits { until } => Some(until),
            WriteState::Idle | WriteState::UnderWay(_) => None,
        }
    }

    /// Effects are carried out on the newest state; one that a later move has made pointless is left out by [`is_due`].
    fn release(&self, ready: Consequences, acts: &mut Vec<Act>) {
        acts.extend(ready.lines.into_iter().map(|line| Act::Audit(Box::new(line))));
        let due = ready.effects.into_iter().filter(|effect| is_due(*effect, &self.update));
        acts.extend(due.map(|effect| Act::Carry { effect, update: Box::new(self.update.clone()) }));
        acts.extend(ready.answers.into_iter().map(|answer| Act::Answer(Box::new(move || answer(Ok(()))))));
    }
}

/// Whether the effect still belongs to the phase the update is in.
pub fn is_due(effect: Effect, update: &Update) -> bool {
    use crate::core::update::Phase;
    match effect {
        Effect::Ask => matches!(update.phase, Phase::Held(_)),
        Effect::Revise => true,
        Effect::Apply | Effect::LookOnly => matches!(update.phase, Phase::Applying(_)),
        Effect::Follow => matches!(update.phase, Phase::Verifying(_)),
        Effect::Restore => matches!(update.phase, Phase::Restoring(_)),
        Effect::WriteBack => matches!(update.phase, Phase::Recording(_)),
    }
}
