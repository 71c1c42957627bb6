//! What was taken back, by a person or because its rollout failed or was rejected, is not tried again, nor is anything older, until somebody
//! says so or a newer candidate has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use skeg::core::image::{Digest, ImageRef, Repository};
use skeg::core::update::{Change, Mark, Phase, Update, UpdateId, Verdict};
use skeg::core::workload::WorkloadId;

use super::Promise;
use super::past::{Past, patch, version};
use crate::history::{By, Fact, Order, Told, short};

/// How long an order may be under way: replicas are frozen, and records are written late.
const ORDERS_TAKE: SignedDuration = SignedDuration::from_mins(10);

/// What is held back in each container.
#[derive(Default)]
pub struct TakenBack {
    bound: BTreeMap<(WorkloadId, Box<str>), Vec<Bound>>,
    /// The update that skeg applied last in each container.
    applied: BTreeMap<(WorkloadId, Box<str>), UpdateId>,
    /// Rejections that were told of; one that is told again says nothing new.
    rejected: BTreeSet<(UpdateId, Timestamp)>,
    /// Orders that were not answered yet, and when they were given.
    ordered: Vec<(u64, Timestamp, Order)>,
}

#[derive(Clone, Debug)]
struct Bound {
    repository: Repository,
    digest: Digest,
    image: Box<str>,
    update: UpdateId,
    since: Timestamp,
    why: &'static str,
}

impl TakenBack {
    fn bind(&mut self, update: &Update, containers: impl Fn(&Change) -> bool, since: Timestamp, why: &'static str) {
        // Who asks skeg to go on gets what was held back, from the moment of asking, and also what is until that is answered.
        let is_under_way = |at: &Timestamp| since.duration_since(*at) < ORDERS_TAKE;
        if self.ordered.iter().any(|(_, at, order)| is_under_way(at) && passes(order, &update.spec.workload)) {
            return;
        }
        for change in update.spec.changes.iter().filter(|change| containers(change)) {
            let bound = Bound {
                repository: change.repository.clone(),
                digest: change.digest.clone(),
                image: change.to.clone(),
                update: update.id.clone(),
                since,
                why,
            };
            self.bound.entry((update.spec.workload.clone(), change.container.clone())).or_default().push(bound);
        }
    }

    fn lift(&mut self, passes: impl Fn(&WorkloadId, &Bound) -> bool) {
        for ((id, _), bounds) in &mut self.bound {
            bounds.retain(|bound| !passes(id, bound));
        }
    }

    /// A person who goes back from something else to a tag that was taken back has chosen it anew.
    fn chosen_again(&mut self, id: &WorkloadId, told: &Told) {
        let Fact::Images { moved, .. } = &told.fact else { return };
        for moved in moved {
            let (Ok(before), Ok(after)) = (moved.before.parse::<ImageRef>(), moved.after.parse::<ImageRef>()) else { continue };
            let is_chosen = |bound: &Bound| {
                let bound = bound.image.parse::<ImageRef>().ok();
                bound.is_some_and(|bound| bound.effective_tag() == after.effective_tag() && bound.effective_tag() != before.effective_tag())
            };
            let bounds = self.bound.entry((id.clone(), moved.container.clone())).or_default();
            bounds.retain(|bound| bound.repository != *after.repository() || !is_chosen(bound));
        }
    }

    /// An image that skeg set was moved away by a person.
    fn moved_away(&mut self, id: &WorkloadId, told: &Told, past: &Past) {
        let Fact::Images { moved, .. } = &told.fact else { return };
        let Some(seen) = past.workloads.get(id) else { return };
        for moved in moved {
            let is_skegs = matches!(seen.images.get(&moved.container), Some((_, By::Skeg(..))));
            let set = self.applied.get(&(id.clone(), moved.container.clone())).and_then(|update| past.ever.get(update));
            // Of what people have deleted the record of nobody knows; of what skeg itself has pruned it has to.
            let is_known = |update: &&Arc<Update>| past.records.contains_key(&update.id) || !past.removed_by_people.contains(&update.id);
            if let Some(update) = set.filter(|_| is_skegs).filter(is_known).cloned() {
                self.bind(&update, |change| change.container == moved.container && change.to == moved.before, told.at, "set back");
            }
        }
    }
}

impl Promise for TakenBack {
    fn words(&self) -> &'static str {
        "what was taken back is not tried again"
    }

    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String> {
        match &told.fact {
            fact if past.undone_without_a_trace(fact).is_some() => {}
            Fact::Images { id, by: By::Person(_), .. } => {
                self.chosen_again(id, told);
                self.moved_away(id, told, past);
            }
            Fact::Deleted { id, .. } => self.lift(|of, _| of == id),
            Fact::Ordered { number, order } => {
                self.lift(|id, _| passes(order, id));
                self.ordered.push((*number, told.at, order.clone()));
            }
            Fact::OrderAnswered { number, .. } => self.ordered.retain(|(asked, ..)| asked != number),
            // Without its record only the mark on the workload tells, and that of the newest update only.
            Fact::Removed { id, by: By::Person(_) } => {
                let marked = |workload: &WorkloadId| past.workloads.get(workload).and_then(|seen| seen.mark.clone());
                let tells = |workload: &WorkloadId, bound: &Bound| {
                    marked(workload).is_some_and(|mark: Mark| mark.update == bound.update.name && mark.restored.contains(&bound.digest))
                };
                self.lift(|workload, bound| bound.update == *id && !tells(workload, bound));
                // A mark names digests and no tags: what is older it cannot tell.
                for bound in self.bound.values_mut().flatten().filter(|bound| bound.update == *id) {
                    bound.image = Box::default();
                }
            }
            Fact::VoteAnswered { update, ballot, counts: Some(true), .. } if ballot.verdict == Verdict::Reject => {
                let is_there = |update: &Update| past.workloads.get(&update.spec.workload).is_some_and(|seen| seen.uid == update.spec.uid);
                let is_rejected = |update: &&Arc<Update>| matches!(update.phase, Phase::Closed(_)) && is_there(update);
                if let Some(update) = past.records.get(update).filter(is_rejected).cloned()
                    && self.rejected.insert((update.id.clone(), update.created))
                {
                    self.bind(&update, |_| true, told.at, "rejected");
                }
            }
            fact => {
                let Some(patch) = patch(fact) else { return Ok(()) };
                let Some(update) = past.ever.get(&patch.update).cloned() else { return Ok(()) };
                // A mark that another update writes over tells nothing any more of one whose record was deleted.
                self.lift(|id, bound| {
                    id == patch.workload
                        && bound.update != patch.update
                        && past.removed_by_people.contains(&bound.update)
                        && !past.records.contains_key(&bound.update)
                });
                if patch.restores() {
                    self.bind(&update, |_| true, told.at, "put back");
                    return Ok(());
                }
                for change in &update.spec.changes {
                    self.applied.insert((patch.workload.clone(), change.container.clone()), update.id.clone());
                    let bounds = self.bound.get(&(patch.workload.clone(), change.container.clone()));
                    if let Some(bound) = bounds.into_iter().flatten().find(|bound| covers(bound, change)) {
                        let (image, held) = (short(&change.to), short(&bound.image));
                        return Err(format!(
                            "{} set {image} in {}, and {held} of {} was {} at {}",
                            patch.update.name,
                            change.container,
                            bound.update.name,
                            bound.why,
                            crate::history::clock(bound.since)
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether an order lifts what is held back of this workload.
fn passes(order: &Order, id: &WorkloadId) -> bool {
    match order {
        Order::Resume { scope } => scope.covers(id),
        Order::Retry { workload, .. } => id == workload,
        Order::Pause { .. } => false,
    }
}

/// The digest itself, and what is not newer. Writing the digest of the tag that a person chose is no choice of an older one.
fn covers(bound: &Bound, change: &Change) -> bool {
    let is_older = match (version(&change.from), version(&change.to), version(&bound.image)) {
        (Some(before), Some(new), Some(held)) => new <= held && before != new,
        _ => false,
    };
    bound.repository == change.repository && (bound.digest == change.digest || is_older)
}
