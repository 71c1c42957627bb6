//! Which closed updates are kept.

use jiff::Timestamp;

use super::engine::{Act, Engine};
use crate::core::schedule::after;
use crate::core::update::{Update, UpdateId};
use crate::core::workload::WorkloadId;

impl Engine {
    /// Drops the closed updates of a workload, and the oldest of all, that are past the limits. Open and binding ones stay.
    pub(super) fn prune(&mut self, workload: &WorkloadId, now: Timestamp) {
        let age = self.settings.history_age;
        let mut closed: Vec<&Update> = self.known(workload).into_iter().filter(|update| may_go(update)).collect();
        closed.sort_by_key(|update| std::cmp::Reverse((update.since, update.created)));
        let aged = closed.iter().filter(|update| after(update.since, age) <= now);
        let beyond = closed.iter().skip(self.settings.history_per_workload);
        let mut drop: Vec<UpdateId> = aged.chain(beyond).map(|update| update.id.clone()).collect();
        drop.extend(self.beyond_total());
        drop.sort();
        drop.dedup();
        for id in drop {
            self.forget(&id);
        }
    }

    fn beyond_total(&self) -> Vec<UpdateId> {
        let total = self.settings.history_total;
        if self.slots.len() <= total {
            return Vec::new();
        }
        let mut closed: Vec<&Update> = self.updates().filter(|update| may_go(update)).collect();
        closed.sort_by_key(|update| std::cmp::Reverse(update.since));
        closed.into_iter().skip(total).map(|update| update.id.clone()).collect()
    }

    /// Only a record that is written can be removed: one that is still to be written would come back.
    fn forget(&mut self, id: &UpdateId) {
        if self.slots.get(id).is_some_and(|slot| slot.is_durable() && slot.is_recorded()) {
            self.slots.remove(id);
            self.acts.push(Act::Remove(id.clone()));
        }
    }
}

fn may_go(update: &Update) -> bool {
    !update.is_open() && update.binding().is_none()
}
