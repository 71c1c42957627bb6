//! Every update in the engine's memory, found by its name, by its workload and by how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::slot::Slot;
use crate::core::update::{Phase, Update, UpdateId};
use crate::core::workload::WorkloadId;

/// The slots, with what is asked of them at every message: nothing here looks at all of them where a few are meant.
#[derive(Default)]
pub struct Slots {
    by_id: BTreeMap<UpdateId, Slot>,
    by_workload: BTreeMap<WorkloadId, BTreeSet<UpdateId>>,
    /// Held ones, the oldest first.
    held: BTreeSet<(Timestamp, UpdateId)>,
    in_flight: BTreeSet<UpdateId>,
    /// Those in flight that count against the limit of rollouts.
    rolling_out: BTreeSet<UpdateId>,
}

impl Slots {
    /// The slot of an update.
    pub fn get(&self, id: &UpdateId) -> Option<&Slot> {
        self.by_id.get(id)
    }

    /// The slot of an update, for everything but changing the update or what is known of its record: that is [`Slots::change`].
    pub fn get_mut(&mut self, id: &UpdateId) -> Option<&mut Slot> {
        self.by_id.get_mut(id)
    }

    /// Changes a slot; its update may have come further afterwards, or be stuck.
    pub fn change<T>(&mut self, id: &UpdateId, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let slot = self.by_id.get_mut(id)?;
        let changed = change(slot);
        let (created, standing) = (slot.update.created, Standing::of(slot));
        self.place(id, created, standing);
        Some(changed)
    }

    /// Takes up a slot, in the place of an earlier one of the same update.
    pub fn insert(&mut self, slot: Slot) {
        let update = &slot.update;
        let (id, workload, created, standing) = (update.id.clone(), update.spec.workload.clone(), update.created, Standing::of(&slot));
        drop(self.remove(&id));
        self.by_workload.entry(workload).or_default().insert(id.clone());
        self.place(&id, created, standing);
        self.by_id.insert(id, slot);
    }

    /// Drops a slot and gives it.
    pub fn remove(&mut self, id: &UpdateId) -> Option<Slot> {
        let slot = self.by_id.remove(id)?;
        self.held.remove(&(slot.update.created, id.clone()));
        self.in_flight.remove(id);
        self.rolling_out.remove(id);
        let workload = &slot.update.spec.workload;
        if let Some(ids) = self.by_workload.get_mut(workload) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_workload.remove(workload);
            }
        }
        Some(slot)
    }

    fn place(&mut self, id: &UpdateId, created: Timestamp, standing: Standing) {
        let held = (created, id.clone());
        match standing {
            Standing::Held => self.held.insert(held),
            Standing::RollingOut | Standing::Beside | Standing::Closed => self.held.remove(&held),
        };
        match standing {
            Standing::RollingOut | Standing::Beside => self.in_flight.insert(id.clone()),
            Standing::Held | Standing::Closed => self.in_flight.remove(id),
        };
        match standing {
            Standing::RollingOut => self.rolling_out.insert(id.clone()),
            Standing::Held | Standing::Beside | Standing::Closed => self.rolling_out.remove(id),
        };
    }

    /// Every slot with its update's name, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&UpdateId, &Slot)> {
        self.by_id.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Names of the held updates, the oldest first.
    pub fn held(&self) -> impl Iterator<Item = &UpdateId> {
        self.held.iter().map(|(_, id)| id)
    }

    /// How many updates are rolling out: `limits.in_flight` bounds these.
    pub fn rolling_out(&self) -> usize {
        self.rolling_out.len()
    }

    /// Whether the update is one of those.
    pub fn is_rolling_out(&self, id: &UpdateId) -> bool {
        self.rolling_out.contains(id)
    }

    /// The open updates.
    pub fn open(&self) -> impl Iterator<Item = &Update> {
        self.held().chain(&self.in_flight).filter_map(|id| self.by_id.get(id)).map(|slot| &slot.update)
    }

    /// The updates of a workload, by name.
    pub fn of(&self, workload: &WorkloadId) -> impl Iterator<Item = &Update> {
        self.by_workload.get(workload).into_iter().flatten().filter_map(|id| self.by_id.get(id)).map(|slot| &slot.update)
    }

    /// The workloads that have updates.
    pub fn workloads(&self) -> impl Iterator<Item = &WorkloadId> {
        self.by_workload.keys()
    }
}

/// How far an update has come, as far as it is looked up by that.
#[derive(Clone, Copy)]
enum Standing {
    Held,
    /// Its pods are being replaced, or are about to be.
    RollingOut,
    /// In flight, but nothing moves in the cluster: it is being committed, or waits for a registry, an API server or a person. Were it
    /// counted, ten workloads in trouble would stop all others.
    Beside,
    Closed,
}

impl Standing {
    fn of(slot: &Slot) -> Self {
        let waits = match &slot.update.phase {
            Phase::Held(_) => return Self::Held,
            Phase::Closed(_) => return Self::Closed,
            Phase::Applying(applying) => applying.retry_at.is_some() || slot.is_refused(),
            Phase::Verifying(_) => false,
            Phase::Restoring(restoring) => restoring.retry_at.is_some(),
            Phase::Recording(_) => true,
        };
        if waits { Self::Beside } else { Self::RollingOut }
    }
}
