//! Records that cannot be read. A record says what a person took back or what is under way, so its workload is left alone until a person has
//! mended or removed it; nothing is written over it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::Engine;

use super::message::Act;
use super::slot::Slot;
use crate::core::failure::Failure;
use crate::core::schedule::after;
use crate::core::update::{Reason, Trigger, UpdateId};
use crate::core::workload::{Workload, WorkloadId};
use crate::ports::journal::{Kept, Unreadable};

/// Between two readings of the records that cannot be read: a person who removed one does not wait long.
const READ_EVERY: Duration = Duration::from_mins(1);

/// The records that cannot be read, and when they are read again.
#[derive(Default)]
pub struct Unread {
    records: BTreeMap<UpdateId, Unreadable>,
    /// When they are read again; `None` without any.
    pub due: Option<Timestamp>,
}

impl Unread {
    /// Notes a record.
    pub fn note(&mut self, record: Unreadable, now: Timestamp) {
        self.records.insert(record.id.clone(), record);
        self.due = self.due.or(Some(after(now, READ_EVERY)));
    }

    /// Each of the records, and why its workload is left alone.
    pub fn all(&self) -> impl Iterator<Item = (&UpdateId, Reason)> {
        self.records.iter().map(|(id, record)| (id, reason(record)))
    }

    /// Why the workload is left alone, when it is.
    pub fn of(&self, workload: &WorkloadId) -> Option<Reason> {
        self.records.values().find(|record| concerns(record, workload)).map(reason)
    }
}

/// Whether the record is about the workload: it says so, or it says nothing and its name may be that of an update of the workload.
fn concerns(record: &Unreadable, workload: &WorkloadId) -> bool {
    record.workload.as_ref().map_or_else(|| record.id.may_be_of(workload), |named| named == workload)
}

fn reason(record: &Unreadable) -> Reason {
    Reason::Unreadable { record: record.id.clone(), problem: record.problem.as_str().into() }
}

impl Engine {
    /// A write met a record that cannot be read. An update that is new is not opened; one that is under way is written again later, for
    /// the record may have been removed by then.
    pub(super) fn not_over(&mut self, record: Unreadable, now: Timestamp) {
        tracing::error!(update.id = %record.id, problem = record.problem, "record cannot be read and is left alone");
        let id = record.id.clone();
        let why = reason(&record).to_string();
        self.unreadable.note(record, now);
        let Some(slot) = self.slots.get(&id) else { return };
        let (repositories, workload) = (slot.update.repositories(), slot.update.spec.workload.clone());
        if slot.is_recorded() {
            self.slots.change(&id, |slot| slot.not_written(now, &Failure::refused(why)));
        } else {
            self.withdraw(&id, &why);
            self.looked.expect(&workload);
            self.acts.push(Act::Hint(repositories, Trigger::Resync));
        }
    }

    /// Has the records read again whose time has come.
    pub(super) fn read_again_due(&mut self, now: Timestamp) {
        if self.unreadable.due.is_some_and(|due| due <= now) {
            self.unreadable.due = (!self.unreadable.records.is_empty()).then(|| after(now, READ_EVERY));
            self.acts.extend(self.unreadable.records.keys().cloned().map(Act::ReadAgain));
        }
    }

    /// A record was read again: while it is there and cannot be read, its workload waits.
    pub(super) fn read_again(&mut self, id: &UpdateId, found: Option<Result<Box<Kept>, Unreadable>>, now: Timestamp) {
        let Some(before) = self.unreadable.records.remove(id) else { return };
        match found {
            Some(Err(record)) => return self.unreadable.note(record, now),
            // What is in memory goes on from there; its next write takes the place of what somebody wrote.
            Some(Ok(_)) if self.slots.get(id).is_some_and(Slot::is_recorded) => {}
            Some(Ok(kept)) => self.adopt(*kept),
            None => {}
        }
        let is_let_go = |workload: &Workload| concerns(&before, &workload.id) && self.unreadable.of(&workload.id).is_none();
        let workloads: Vec<_> = self.workloads.all().into_iter().filter(|workload| is_let_go(workload)).collect();
        for workload in &workloads {
            self.looked.expect(&workload.id);
            self.acts.push(Act::Hint(workload.repositories(), Trigger::Resync));
        }
        let ids: Vec<WorkloadId> = workloads.iter().map(|workload| workload.id.clone()).collect();
        self.compare_with_cluster(&ids, now);
    }
}
