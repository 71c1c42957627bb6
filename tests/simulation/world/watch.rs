//! What a replica's watch shows: late, in order, and after a break as a listing that skips what came and went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use skeg::core::directives::{self, Approver, Defaults};
use skeg::core::image::{ImageRef, Repository};
use skeg::core::schedule::after;
use skeg::core::update::Mark;
use skeg::core::workload::{Workload, WorkloadId};
use skeg::ports::cluster::{Changes, Gone, Reading, Workloads};
use tokio::sync::Notify;

use super::World;
use super::cluster::Object;
use super::network::Link;
use crate::history::Fact;
use crate::people::APPROVERS;

/// The most that an event of a watch is late.
const LATE_MAX: Duration = Duration::from_secs(3);
/// How long a watch is broken before it lists anew.
const BROKEN_MAX: Duration = Duration::from_secs(40);

/// The watch of one process.
#[derive(Default)]
pub struct Watch {
    /// Counts the listings: what was under way for an earlier one is dropped.
    round: u64,
    is_filled: bool,
    is_broken: bool,
    shown: BTreeMap<WorkloadId, Shown>,
    changed: Changes,
    /// The last event arrives then; later ones do not overtake it.
    last: Timestamp,
    /// What arrived while the process was frozen.
    backlog: Vec<(WorkloadId, Option<Object>)>,
    notify: Arc<Notify>,
}

struct Shown {
    /// `None` for one that is not managed.
    workload: Option<Arc<Workload>>,
    version: u64,
    generation: i64,
}

impl Watch {
    /// An event that was taken comes once more: nothing differs, and whoever is told of changes is told again.
    fn take_again(&mut self, id: &WorkloadId) {
        self.changed.workloads.insert(id.clone());
        self.notify.notify_one();
    }

    fn take(&mut self, id: &WorkloadId, object: Option<&Object>) {
        let shown = object.map(|object| Shown {
            workload: workload(id, object).map(Arc::new),
            version: object.version,
            generation: object.generation,
        });
        let managed = |shown: Option<&Shown>| shown.and_then(|shown| shown.workload.clone());
        let (before, after) = (managed(self.shown.get(id)), managed(shown.as_ref()));
        match shown {
            Some(shown) => drop(self.shown.insert(id.clone(), shown)),
            None => drop(self.shown.remove(id)),
        }
        if before != after {
            self.changed.workloads.insert(id.clone());
            self.changed.repositories.extend(before.iter().chain(&after).flat_map(repositories));
            self.notify.notify_one();
        }
    }
}

impl World {
    /// A process has started: its watch lists before long.
    pub fn begin_watch(&mut self, replica: usize) {
        let round = self.number();
        if let Some(replica) = self.replicas.get_mut(replica) {
            replica.watch = Watch { round, ..Watch::default() };
        }
        let wait = self.between(Duration::from_millis(5), LATE_MAX);
        self.after(wait, move |world| world.list(replica, round));
    }

    /// The watch of a replica breaks; it lists anew after a while.
    pub fn break_watch(&mut self, replica: usize) {
        let round = self.number();
        let Some(watch) = self.replicas.get_mut(replica).map(|replica| &mut replica.watch).filter(|watch| watch.is_filled) else { return };
        (watch.round, watch.is_broken) = (round, true);
        let wait = self.between(Duration::from_secs(1), BROKEN_MAX);
        self.after(wait, move |world| world.list(replica, round));
    }

    fn list(&mut self, number: usize, round: u64) {
        let objects = self.cluster.by_id.clone();
        let Some(replica) = self.replicas.get_mut(number) else { return };
        if replica.watch.round != round {
            return;
        }
        if replica.is_frozen {
            return self.after(LATE_MAX, move |world| world.list(number, round));
        }
        let watch = &mut replica.watch;
        watch.backlog.clear();
        let gone: Vec<WorkloadId> = watch.shown.keys().filter(|id| !objects.contains_key(*id)).cloned().collect();
        for id in &gone {
            watch.take(id, None);
        }
        for (id, object) in &objects {
            watch.take(id, Some(object));
        }
        (watch.is_filled, watch.is_broken) = (true, false);
        watch.notify.notify_one();
    }

    /// An object has changed: every watch that works shows it before long.
    pub fn show(&mut self, id: &WorkloadId) {
        let object = self.cluster.by_id.get(id).cloned();
        for number in 0..self.replicas.len() {
            let wait = if self.chance(800) { Duration::from_millis(20) } else { self.between(Duration::from_millis(20), LATE_MAX) };
            let Some(watch) = self.replicas.get_mut(number).map(|replica| &mut replica.watch) else { continue };
            if !watch.is_filled || watch.is_broken {
                continue;
            }
            watch.last = watch.last.max(after(self.now, wait));
            let wait = watch.last.duration_since(self.now).unsigned_abs();
            let (round, id, object) = (watch.round, id.clone(), object.clone());
            if self.chance(self.weather.twice) {
                let (again, name) = (id.clone(), id.name.clone());
                self.after(wait.saturating_add(Duration::from_millis(1)), move |world| world.arrived_again(number, round, &again));
                self.tell(Fact::Twice { what: format!("a change of {name} is shown to replica {number}") });
            }
            self.after(wait, move |world| world.arrived(number, round, id, object));
        }
    }

    fn arrived(&mut self, number: usize, round: u64, id: WorkloadId, object: Option<Object>) {
        let Some(replica) = self.replicas.get_mut(number).filter(|replica| replica.watch.round == round) else { return };
        if replica.is_frozen {
            replica.watch.backlog.push((id, object));
        } else {
            replica.watch.take(&id, object.as_ref());
        }
    }

    fn arrived_again(&mut self, number: usize, round: u64, id: &WorkloadId) {
        let Some(replica) = self.replicas.get_mut(number).filter(|replica| replica.watch.round == round && !replica.is_frozen) else {
            return;
        };
        replica.watch.take_again(id);
    }

    /// A process goes on that was frozen: what arrived meanwhile is taken up one after the other.
    pub fn catch_up(&mut self, number: usize) {
        let Some(watch) = self.replicas.get_mut(number).map(|replica| &mut replica.watch) else { return };
        let (round, backlog) = (watch.round, std::mem::take(&mut watch.backlog));
        for (place, (id, object)) in (1..).zip(backlog) {
            self.after(Duration::from_millis(20).saturating_mul(place), move |world| world.arrived(number, round, id, object));
        }
    }
}

/// The workload as the watch's adapter makes it of the object.
fn workload(id: &WorkloadId, object: &Object) -> Option<Workload> {
    let annotations = object.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let directives = directives::skeg::parse(annotations, &object.containers, &defaults()).transpose()?;
    Some(Workload {
        id: id.clone(),
        uid: object.uid.clone(),
        containers: object.containers.clone(),
        directives,
        mark: object.mark().as_deref().and_then(Mark::parse),
        owner: object.owner,
        pulls: None,
        placement: None,
        keel: None,
    })
}

/// What the configuration says where a workload says nothing.
fn defaults() -> Defaults {
    Defaults {
        approvers: APPROVERS.iter().filter_map(|approver| Approver::parse(approver)).collect(),
        approval_deadline: Duration::from_mins(20),
        approval_valid: Duration::from_mins(30),
        rollout_timeout: Duration::from_mins(5),
        git_remotes: vec!["fleet".into(), "apps".into()],
        ..Defaults::default()
    }
}

impl Link {
    fn watched<T>(&self, look: impl FnOnce(&Watch) -> T) -> T {
        look(&self.world.lock().replicas[self.process.replica].watch)
    }
}

fn repositories(workload: &Arc<Workload>) -> impl Iterator<Item = Repository> {
    let images = workload.containers.iter().filter_map(|container| container.image.parse::<ImageRef>().ok());
    images.map(|image| image.repository().clone())
}

#[async_trait]
impl Workloads for Link {
    fn get(&self, id: &WorkloadId) -> Option<Arc<Workload>> {
        self.watched(|watch| watch.shown.get(id)?.workload.clone())
    }

    fn reading(&self, id: &WorkloadId) -> Option<Reading> {
        self.watched(|watch| {
            let shown = watch.shown.get(id)?;
            let workload = shown.workload.as_ref()?;
            Some(Reading {
                id: workload.id.clone(),
                uid: workload.uid.clone(),
                resource_version: shown.version.to_string().into(),
                generation: shown.generation,
                containers: workload.containers.clone(),
                mark: workload.mark.as_ref().map(|mark| mark.to_string().into()),
                has_annotations: true,
            })
        })
    }

    fn is_there(&self, id: &WorkloadId) -> bool {
        self.watched(|watch| watch.shown.contains_key(id))
    }

    fn all(&self) -> Vec<Arc<Workload>> {
        self.watched(|watch| watch.shown.values().filter_map(|shown| shown.workload.clone()).collect())
    }

    fn using(&self, repository: &Repository) -> Vec<Arc<Workload>> {
        let is_of = |image: &str| image.parse::<ImageRef>().is_ok_and(|image| image.repository() == repository);
        let mut all = self.all();
        all.retain(|workload| workload.containers.iter().any(|container| is_of(&container.image)));
        all
    }

    fn repositories(&self) -> Vec<Repository> {
        self.all().iter().flat_map(repositories).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn knows(&self, _: &str) -> bool {
        self.is_filled()
    }

    fn is_filled(&self) -> bool {
        self.watched(|watch| watch.is_filled)
    }

    fn gone(&self) -> Option<Gone> {
        None
    }

    async fn filled(&self) {
        while !self.is_filled() {
            // The listing is told by the same bell as changes; whoever rings it for the one rings it for the other.
            super::network::sleep(&self.world, Duration::from_millis(50)).await;
        }
    }

    async fn changed(&self) -> Changes {
        loop {
            let notify = self.watched(|watch| Arc::clone(&watch.notify));
            let changed = std::mem::take(&mut self.world.lock().replicas[self.process.replica].watch.changed);
            if !changed.workloads.is_empty() {
                return changed;
            }
            notify.notified().await;
        }
    }
}
