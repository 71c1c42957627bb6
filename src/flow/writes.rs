//! When records are written, and what comes of it: durable, tried again, taken by another, or given up.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::commands::CommandRefused;
use super::engine::{Engine, carry};
use super::message::{Act, Written};
use super::slot::{Consequences, Slot};
use crate::core::failure::{Failure, FailureKind};
use crate::core::update::{Trigger, UpdateId, resume};
use crate::core::workload::WorkloadId;
use crate::ports::journal::Kept;

impl Engine {
    /// Writes the records that are behind. A new record waits until every older one of its workload is up to date: if skeg died in
    /// between, two open updates of one workload would be found.
    pub(super) fn write_what_is_due(&mut self, now: Timestamp) {
        let behind = self.behind();
        for id in &self.unsettled {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            if !slot.waits_for_older(&behind) {
                slot.due(now, &mut self.acts);
            }
        }
        let slots = &self.slots;
        self.unsettled.retain(|id| slots.get(id).is_some_and(|slot| !slot.is_settled()));
    }

    /// The workloads with a record that is behind.
    pub(super) fn behind(&self) -> BTreeSet<WorkloadId> {
        self.unsettled.iter().filter_map(|id| self.slots.get(id)).filter_map(Slot::keeps_waiting).collect()
    }

    pub(super) fn written(&mut self, id: &UpdateId, result: Written, now: Timestamp) {
        let is_past = self.is_past(id);
        if self.slots.get(id).is_none() {
            return;
        }
        match result {
            Written::Done(version) => {
                let acts = &mut self.acts;
                self.slots.change(id, |slot| slot.written(version, now, acts));
            }
            Written::Unreadable(record) => self.not_over(record, now),
            // A namespace that is being deleted forbids what is written into it.
            Written::Failed(failure) if is_past && matches!(failure.kind, FailureKind::Refused | FailureKind::Forbidden) => {
                self.give_up(id, &failure);
            }
            Written::Failed(failure) => {
                self.slots.change(id, |slot| slot.not_written(now, &failure));
            }
            Written::Taken(kept) => self.adopt(*kept),
        }
    }

    /// Whether the update is closed, holds nothing back, and its workload is gone: perhaps its namespace is gone too, and with it every place
    /// where this could be written.
    fn is_past(&self, id: &UpdateId) -> bool {
        let Some(update) = self.slots.get(id).map(|slot| &slot.update) else { return false };
        if update.is_open() || update.binding().is_some() {
            return false;
        }
        match self.workloads.get(&update.spec.workload) {
            Some(workload) => workload.uid != update.spec.uid,
            None => self.workloads.knows(&id.namespace) && !self.workloads.is_there(&update.spec.workload),
        }
    }

    /// Forgets an update that nothing hangs on any more and whose end nobody takes. If its record is there after all, the next start closes
    /// it again.
    fn give_up(&mut self, id: &UpdateId, failure: &Failure) {
        let Some(Consequences { answers, lines, .. }) = self.slots.remove(id).map(Slot::into_waiting) else { return };
        self.acts.extend(lines.into_iter().map(|line| Act::Audit(Box::new(line))));
        for answer in answers {
            let refusal = CommandRefused::NotRecorded(failure.summary.clone());
            self.acts.push(Act::Answer(Box::new(move || answer(Err(refusal)))));
        }
    }

    /// The name is taken by an attempt that was not known: it becomes known, and the decision is made again. Whoever waited for an answer
    /// about the other one is told so.
    pub(super) fn adopt(&mut self, kept: Kept) {
        let id = &kept.update.id;
        self.withdraw(id, &format!("{id} was decided before and has only now been found: look at it and ask again"));
        self.looked.expect(&kept.update.spec.workload);
        self.acts.push(Act::Hint(kept.update.repositories(), Trigger::Resync));
        let effects = resume(&kept.update);
        self.acts.extend(effects.into_iter().map(|effect| carry(effect, &kept.update)));
        self.slots.insert(Slot::loaded(kept.update, kept.version));
    }

    /// Takes up open records that were written after the records had been read.
    pub(super) fn found_late(&mut self, records: Vec<Kept>, now: Timestamp) {
        for kept in records.into_iter().filter(|kept| kept.update.is_open()) {
            if self.slots.get(&kept.update.id).is_none() {
                tracing::warn!(update.id = %kept.update.id, "record was written late and is taken up");
                let workload = kept.update.spec.workload.clone();
                self.adopt(kept);
                self.compare_with_cluster(&[workload], now);
            }
        }
    }

    /// Forgets an update that was never recorded, and tells whoever waited for an answer about it.
    pub(super) fn withdraw(&mut self, id: &UpdateId, why: &str) {
        for answer in self.slots.remove(id).map(Slot::into_waiting).unwrap_or_default().answers {
            let refusal = CommandRefused::Unfit(why.to_owned());
            self.acts.push(Act::Answer(Box::new(move || answer(Err(refusal)))));
        }
    }
}
