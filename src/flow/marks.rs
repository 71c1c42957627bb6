//! Marks that hold something back by themselves, because the record they name is lost: a resume takes them off the workload.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::commands::CommandRefused;
use super::engine::Engine;
use super::looked::Why;
use super::message::Act;
use super::slot::WhenDurable;
use crate::core::failure::Failure;
use crate::core::pause::Scope;
use crate::core::update::{Trigger, UpdateId};
use crate::core::workload::{Workload, WorkloadId};

/// The marks that a person has lifted.
#[derive(Default)]
pub struct Marks {
    /// Being taken off, with who waits for that.
    lifting: BTreeMap<WorkloadId, Vec<WhenDurable>>,
    /// Taken off, and not shown so by the watch yet: a look before that would find them.
    lifted: BTreeSet<WorkloadId>,
}

impl Engine {
    /// The workloads of the scope that their mark holds back, and the lost update that it names.
    pub(super) fn held_by_mark(&self, scope: &Scope) -> Vec<(WorkloadId, UpdateId)> {
        let workloads = self.workloads.all().into_iter().filter(|workload| scope.covers(&workload.id));
        workloads.filter_map(|workload| Some((workload.id.clone(), self.lost(&workload)?))).collect()
    }

    fn lost(&self, workload: &Workload) -> Option<UpdateId> {
        let mark = workload.mark.as_ref()?;
        let id = UpdateId { namespace: workload.id.namespace.clone(), name: mark.update.clone() };
        let reasons = || workload.containers.iter().filter_map(|container| self.looked.at(&workload.id, &container.name)?.reason.as_ref());
        let binds = |why: &Arc<Why>| &*why.code == "Bound" && why.sentence.contains(&*mark.update);
        let holds_back = self.slots.get(&id).is_none() && (!mark.restored.is_empty() || reasons().any(binds));
        holds_back.then_some(id)
    }

    /// Has a mark taken off, and answers when it is.
    pub(super) fn take_off(&mut self, workload: WorkloadId, mark: &UpdateId, answer: WhenDurable) {
        self.acts.push(Act::TakeOffMark { workload: workload.clone(), update: mark.name.clone() });
        self.marks.lifting.entry(workload).or_default().push(answer);
    }

    /// A mark was taken off, or not.
    pub(super) fn taken_off(&mut self, workload: &WorkloadId, result: Result<(), Failure>) {
        let outcome = result.map_err(|failure| CommandRefused::NotRecorded(failure.summary));
        if outcome.is_ok() {
            self.marks.lifted.insert(workload.clone());
            self.look_where_lifted(workload);
        }
        let answers = self.marks.lifting.remove(workload).unwrap_or_default();
        self.answer_all(answers, &outcome);
    }

    /// Looks at the registry again once the watch shows that nothing is held back any more.
    pub(super) fn look_where_lifted(&mut self, id: &WorkloadId) {
        if !self.marks.lifted.contains(id) {
            return;
        }
        let workload = self.workloads.get(id);
        if workload.as_ref().is_some_and(|workload| self.lost(workload).is_some()) {
            return;
        }
        self.marks.lifted.remove(id);
        let repositories = workload.map(|workload| workload.repositories()).unwrap_or_default();
        self.acts.push(Act::Hint(repositories, Trigger::Command));
    }
}
