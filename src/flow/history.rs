//! Which closed updates are kept.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::Engine;

use super::message::Act;
use crate::core::schedule::after;
use crate::core::update::{Update, UpdateId, left};
use crate::core::workload::WorkloadId;

/// Between two looks for records that have grown too old. Their age is told in days.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

impl Engine {
    /// Drops what has grown too old: at the start, and from time to time, for where nothing closes nothing else would.
    pub(super) fn prune_due(&mut self, now: Timestamp) {
        if self.prune_at.is_none_or(|at| at > now) {
            return;
        }
        self.prune_at = Some(after(now, PRUNE_EVERY));
        let workloads: Vec<WorkloadId> = self.slots.workloads().cloned().collect();
        for workload in workloads {
            self.prune(&workload, now);
        }
    }

    /// Drops the closed updates of a workload, and the oldest of all, that are past the limits. Open ones stay, and so do those that still
    /// decide about the workload.
    pub(super) fn prune(&mut self, workload: &WorkloadId, now: Timestamp) {
        let age = self.settings.history_age;
        let decisive = self.decisive(workload);
        let is_gone = !self.workloads.is_there(workload) && self.workloads.knows(&workload.namespace);
        let is_decisive = |update: &&&Update| decisive.contains(&update.id);
        let mut closed: Vec<&Update> = self.slots.of(workload).filter(|update| !update.is_open()).collect();
        closed.sort_by_key(|update| std::cmp::Reverse((update.since, update.created)));
        let is_aged = |update: &&&Update| after(update.since, age) <= now;
        // A workload that is not managed at the moment may come back, with everything that was decided about it; one that is deleted does not.
        let aged = closed.iter().filter(is_aged).filter(|update| is_gone || !is_decisive(update));
        let beyond = closed.iter().filter(|update| !is_decisive(update)).skip(self.settings.history_per_workload);
        let mut drop: BTreeSet<UpdateId> = aged.chain(beyond).map(|update| update.id.clone()).collect();
        drop.extend(self.beyond_total());
        for id in drop {
            self.forget(&id);
        }
    }

    fn beyond_total(&self) -> Vec<UpdateId> {
        let total = self.settings.history_total;
        if self.slots.len() <= total {
            return Vec::new();
        }
        let decisive: BTreeSet<UpdateId> = self.slots.workloads().flat_map(|workload| self.decisive(workload)).collect();
        let mut closed: Vec<&Update> = self.updates().filter(|update| !update.is_open() && !decisive.contains(&update.id)).collect();
        closed.sort_by_key(|update| std::cmp::Reverse(update.since));
        closed.into_iter().skip(total).map(|update| update.id.clone()).collect()
    }

    /// The updates that decide what becomes of a workload: those that bind, and those whose images it shows or a person moved away. Without
    /// them a set-back image would come back. An earlier workload of the same name has none.
    fn decisive(&self, id: &WorkloadId) -> BTreeSet<UpdateId> {
        let known = self.known(id);
        let workload = self.workloads.get(id);
        let newest = || known.iter().max_by_key(|update| update.created).map(|update| &update.spec.uid);
        let Some(uid) = workload.as_ref().map(|workload| &workload.uid).or_else(newest) else { return BTreeSet::new() };
        let mark = workload.as_ref().and_then(|workload| workload.mark.as_ref());
        let is_marked = |update: &Update| mark.is_some_and(|mark| mark.update == update.id.name);
        let decides = |update: &&&Update| update.spec.uid == *uid && (update.binding().is_some() || is_marked(update));
        let left = left(uid, mark, &known).into_iter().map(|left| left.update);
        known.iter().filter(decides).copied().chain(left).map(|update| update.id.clone()).collect()
    }

    /// Only a record that is written can be removed: one that is still to be written would come back.
    fn forget(&mut self, id: &UpdateId) {
        if self.slots.get(id).is_some_and(|slot| slot.is_durable() && slot.is_recorded()) {
            self.slots.remove(id);
            self.acts.push(Act::Remove(id.clone()));
        }
    }
}
