//! The engine: every update, and the one place that changes them.
//!
//! It is synchronous and owns no clock: [`Engine::handle`] takes a message and the time, feeds the core, and gives what is to be done as
//! [`Act`]s. Around it [`agent`](super::agent) runs one task that carries them out; a simulator can do the same in its own time and order.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::compare::Ages;
use super::looked::Looked;
use super::marks::Marks;
use super::message::{Act, AuditLine, Message};
use super::slot::{Consequences, Slot, is_due};
use super::slots::Slots;
use super::unreadable::Unread;
use crate::core::hold::binding;
use crate::core::pause::Pause;
use crate::core::update::{self, Effect, Event, Input, Phase, Step, Trigger, Update, UpdateId, deadline, resume, step};
use crate::core::workload::{Workload, WorkloadId};
use crate::ports::cluster::Workloads;
use crate::ports::journal::{Kept, Records};
use crate::ports::registry::Registry;

/// Moves that one message may cause in one update. A life has under ten; more means a rule that feeds itself.
const MOVES_MAX: usize = 16;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether updates are admitted at all; `false` decides, explains and writes nothing.
    pub acts: bool,
    /// Updates that may roll out at once. Those that wait for something that is away, or are being committed, are not counted.
    pub in_flight: usize,
    /// Closed updates kept for a workload, binding ones not counted.
    pub history_per_workload: usize,
    /// How long closed updates are kept, binding ones not counted.
    pub history_age: std::time::Duration,
    /// Closed updates kept in all, binding ones not counted.
    pub history_total: usize,
}

/// Every update, and what decisions about them need.
pub struct Engine {
    pub(super) settings: Settings,
    /// The epoch of the term: what is moved in it carries it.
    epoch: u64,
    pub(super) workloads: Arc<dyn Workloads>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) ages: Option<Ages>,
    pub(super) slots: Slots,
    /// Slots whose record is behind or being written, or that hold back an answer.
    pub(super) unsettled: BTreeSet<UpdateId>,
    /// Updates that have closed and whose end has not been followed up yet.
    ended: Vec<UpdateId>,
    pub(super) pauses: super::pauses::PauseBook,
    pub(super) looked: Looked,
    pub(super) marks: Marks,
    pub(super) unreadable: Unread,
    pub(super) acts: Vec<Act>,
    pub(super) is_loaded: bool,
    /// When records that have grown too old are looked for again.
    pub(super) prune_at: Option<Timestamp>,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(settings: Settings, workloads: Arc<dyn Workloads>, registry: Arc<dyn Registry>) -> Self {
        Self {
            settings,
            epoch: 0,
            workloads,
            registry,
            ages: None,
            slots: Slots::default(),
            unsettled: BTreeSet::new(),
            ended: Vec::new(),
            pauses: super::pauses::PauseBook::default(),
            looked: Looked::default(),
            marks: Marks::default(),
            unreadable: Unread::default(),
            acts: Vec::new(),
            is_loaded: false,
            prune_at: None,
        }
    }

    /// The engine of the term with this epoch.
    #[must_use]
    pub fn in_epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// One that goes by these first sights.
    #[must_use]
    pub fn seeing(self, ages: Ages) -> Self {
        Self { ages: Some(ages), ..self }
    }

    /// Takes a message and gives what is to be done, in this order.
    pub fn handle(&mut self, message: Message, now: Timestamp) -> Vec<Act> {
        let was_full = self.is_full();
        match message {
            Message::Loaded { records, pauses } => self.load(records, pauses, now),
            Message::Changed(ids) => self.changed(&ids, now),
            Message::Observed(observations) => self.decide(&observations, now),
            Message::Outcome { id, input } => {
                let input = self.explained(&id, input, now);
                self.feed(&id, &input, now);
            }
            Message::Written { id, result } => self.written(&id, result, now),
            Message::ReadAgain { id, found } => self.read_again(&id, found, now),
            Message::FoundLate(records) => self.found_late(records, now),
            Message::MarkTakenOff { workload, result } => self.taken_off(&workload, result),
            Message::PausesSaved(result) => self.pauses_saved(result, now),
            Message::Command(command) => self.obey(command, now),
            Message::Tick => {}
        }
        self.look_at_due(now);
        self.follow_up(was_full, now);
        self.prune_due(now);
        self.read_again_due(now);
        self.write_what_is_due(now);
        self.save_pauses_that_are_due(now);
        let mut acts = std::mem::take(&mut self.acts);
        for act in &mut acts {
            self.hold_patch(act, now);
        }
        acts
    }

    /// What stops a patch stops also one that was decided before: a try after a failure, or after a restart.
    fn hold_patch(&self, act: &mut Act, now: Timestamp) {
        if let Act::Carry { effect: effect @ Effect::Apply, update } = act
            && self.stops(update, now).is_some()
        {
            *effect = Effect::LookOnly;
        }
    }

    /// When the engine next wants to be woken.
    pub fn deadline(&self) -> Option<Timestamp> {
        let updates = self.slots.open().map(deadline);
        let behind = self.behind();
        let writes =
            self.unsettled.iter().filter_map(|id| self.slots.get(id)).filter(|slot| !slot.waits_for_older(&behind)).map(Slot::retry_at);
        updates.chain(writes).chain([self.pauses.deadline(), self.prune_at, self.unreadable.due]).flatten().min()
    }

    /// Whether updates are admitted and carried out at all.
    pub fn acts(&self) -> bool {
        self.settings.acts
    }

    /// Whether the records are loaded.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// How many tags the workload's containers are behind what their policies would move to.
    pub fn tags_behind(&self, workload: &Workload) -> usize {
        self.looked.behind(workload)
    }

    /// Every update in memory.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.slots.iter().map(|(_, slot)| &slot.update)
    }

    /// Whether everything decided is durable.
    pub fn is_durable(&self) -> bool {
        self.slots.iter().all(|(_, slot)| slot.is_durable()) && self.pauses.is_durable()
    }

    /// Updates whose record is behind.
    pub fn not_durable(&self) -> impl Iterator<Item = &UpdateId> {
        self.slots.iter().filter(|(_, slot)| !slot.is_durable()).map(|(id, _)| id)
    }

    /// Updates whose record cannot be written, and why.
    pub fn unwritten(&self) -> impl Iterator<Item = (&UpdateId, &str)> {
        self.slots.iter().filter_map(|(id, slot)| Some((id, slot.trouble()?)))
    }

    /// The updates known for a workload.
    pub(super) fn known(&self, workload: &WorkloadId) -> Vec<&Update> {
        self.slots.of(workload).collect()
    }

    fn load(&mut self, records: Records, pauses: Vec<Pause>, now: Timestamp) {
        self.pauses.load(pauses);
        for record in records.unreadable {
            self.unreadable.note(record, now);
        }
        for Kept { update, version } in records.kept {
            self.slots.insert(Slot::loaded(update, version));
        }
        self.is_loaded = true;
        for workload in self.workloads.all() {
            self.looked.show(&workload.id, Some(&workload));
            self.looked.tell_mistakes(Some(&workload), &workload.id, &mut self.acts);
        }
        let workloads: Vec<WorkloadId> = self.slots.workloads().cloned().collect();
        let outstanding: Vec<(UpdateId, Effect)> =
            self.updates().flat_map(|update| resume(update).into_iter().map(|effect| (update.id.clone(), effect))).collect();
        self.compare_with_cluster(&workloads, now);
        // What moved to another phase in the comparison carries its own effects.
        let due = outstanding.iter().filter_map(|(id, effect)| Some((self.slots.get(id)?, *effect)));
        self.acts.extend(due.filter(|(slot, effect)| is_due(*effect, &slot.update)).map(|(slot, effect)| carry(effect, &slot.update)));
        self.look_at_held(now);
        self.prune_at = Some(now);
    }

    /// Takes up a new update and runs it as far as it goes before anything is written.
    pub(super) fn open(&mut self, update: Update, now: Timestamp) {
        let update = Update { epoch: self.epoch, ..update };
        let id = update.id.clone();
        let line = AuditLine { at: now, event: Event::Admitted, detail: last_detail(&update), update: update.clone(), left: None };
        let effects = match update.phase {
            Phase::Recording(_) => resume(&update),
            _ => Vec::new(),
        };
        let mut slot = Slot::new(update.clone());
        slot.moved(update, Consequences { effects, lines: vec![line], ..Consequences::default() });
        self.slots.insert(slot);
        self.unsettled.insert(id.clone());
        self.look(&id, now);
    }

    /// Feeds an input to an update, and looks at it again until it waits.
    pub(super) fn feed(&mut self, id: &UpdateId, input: &Input, now: Timestamp) {
        if self.take_step(id, input, now) {
            self.look(id, now);
        }
    }

    /// Looks at an update, its gates and its deadlines until it waits.
    pub(super) fn look(&mut self, id: &UpdateId, now: Timestamp) {
        for _ in 0..MOVES_MAX {
            let Some(slot) = self.slots.get(id) else { return };
            let input = self.seen(&slot.update, now);
            if !self.take_step(id, &input, now) {
                return;
            }
        }
    }

    /// One step; whether the update moved.
    fn take_step(&mut self, id: &UpdateId, input: &Input, now: Timestamp) -> bool {
        let Some(slot) = self.slots.get_mut(id) else { return false };
        let (before, was_open, workload) = (slot.update.phase.as_str(), slot.update.is_open(), slot.update.spec.workload.clone());
        match step(&slot.update, input, now) {
            Step::Waits(reason) => {
                if let Phase::Held(held) = &mut slot.update.phase {
                    held.waits = reason;
                }
                false
            }
            Step::Retries { to, effects } => {
                self.acts.extend(effects.into_iter().map(|effect| carry(effect, &to)));
                self.slots.change(id, |slot| slot.update = to);
                false
            }
            Step::Moves { to, event, effects } => {
                let since = slot.update.since;
                let to = Update { epoch: self.epoch, ..to };
                let to = if event == Event::Patched { update::patched_last(to, &self.known(&workload)) } else { to };
                let left = (before != to.phase.as_str()).then(|| (before, now.duration_since(since)));
                let line = AuditLine { at: now, event, detail: last_detail(&to), update: to.clone(), left };
                if was_open && !to.is_open() {
                    self.ended.push(id.clone());
                }
                self.slots.change(id, |slot| slot.moved(to, Consequences { effects, lines: vec![line], ..Consequences::default() }));
                self.unsettled.insert(id.clone());
                true
            }
        }
    }

    /// Follows up what has closed, and looks at the held ones, which may have room now and may close in their turn. A loop, for thousands
    /// may end at one moment; it ends because nothing closes twice.
    fn follow_up(&mut self, was_full: bool, now: Timestamp) {
        let mut has_room = was_full && !self.is_full();
        while has_room || !self.ended.is_empty() {
            for id in std::mem::take(&mut self.ended) {
                self.closed(&id, now);
            }
            self.look_at_held(now);
            has_room = false;
        }
    }

    /// Whether as many updates roll out as may at once.
    fn is_full(&self) -> bool {
        self.slots.rolling_out() >= self.settings.in_flight
    }

    /// An update has closed: older bindings it takes over are lifted, and its workload is looked at again. What a person did to the
    /// workload meanwhile is noticed first, so that the new look cannot undo it.
    fn closed(&mut self, id: &UpdateId, now: Timestamp) {
        let Some(update) = self.slots.get(id).map(|slot| slot.update.clone()) else { return };
        let known = self.known(&update.spec.workload);
        let workload = self.workloads.get(&update.spec.workload).filter(|workload| workload.uid == update.spec.uid);
        let replaced: Vec<UpdateId> = binding::replaced_by(&update, workload.as_deref(), &known).into_iter().cloned().collect();
        for older in replaced {
            self.feed(&older, &Input::Lift { by: update.id.name.clone() }, now);
        }
        self.notice_set_back(&update.spec.workload, now);
        self.looked.expect(&update.spec.workload);
        self.acts.push(Act::Hint(update.repositories(), Trigger::Resync));
        self.prune(&update.spec.workload, now);
    }

    /// Looks at every held update, the oldest first.
    pub(super) fn look_at_held(&mut self, now: Timestamp) {
        let ids: Vec<UpdateId> = self.slots.held().cloned().collect();
        for id in ids {
            self.look(&id, now);
        }
    }

    fn look_at_due(&mut self, now: Timestamp) {
        if self.pauses.drop_ended(now) {
            self.look_at_held(now);
        }
        let due = |update: &&Update| deadline(update).is_some_and(|at| at <= now);
        let ids: Vec<UpdateId> = self.slots.open().filter(due).map(|update| update.id.clone()).collect();
        for id in ids {
            self.look(&id, now);
        }
    }
}

pub(super) fn carry(effect: Effect, update: &Update) -> Act {
    Act::Carry { effect, update: Box::new(update.clone()) }
}

fn last_detail(update: &Update) -> Box<str> {
    update.history.iter().last().map(|entry| entry.detail.clone()).unwrap_or_default()
}
