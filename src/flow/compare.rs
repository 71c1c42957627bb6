//! What the watch shows of the workloads, compared with what the updates say of them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::Engine;
use super::first_sights::FirstSights;
use super::message::Act;
use crate::core::hold::{binding, keel};
use crate::core::image::{ImageRef, Repository};
use crate::core::policy::Built;
use crate::core::update::{self, Applied, Change, Drift, Input, Phase, Reason, Surroundings, Trigger, Update, UpdateId};
use crate::core::workload::{Workload, WorkloadId};
use crate::ports::clock::Clock;
use crate::ports::registry::Access;

/// How old tags are, by the clock that nobody sets.
pub struct Ages {
    /// The first sights.
    pub sights: Arc<FirstSights>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// What becomes of an update whose tag was not looked at in this term.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfUnseen {
    Waits,
    Goes,
}

/// The code of the reason.
const TOO_YOUNG: &str = "TooYoung";

impl Engine {
    pub(super) fn changed(&mut self, ids: &[WorkloadId], now: Timestamp) {
        if !self.is_loaded {
            return;
        }
        for id in ids {
            let workload = self.workloads.get(id);
            self.looked.tell_mistakes(workload.as_deref(), id, &mut self.acts);
            let before = self.looked.show(id, workload.as_ref());
            self.look_where_lifted(id);
            let asked = workload.map(|workload| self.newly_asked(before.as_deref(), &workload)).unwrap_or_default();
            if !asked.is_empty() {
                self.looked.expect(id);
                self.acts.push(Act::Hint(asked, Trigger::Resync));
            }
        }
        self.forget_unused();
        self.compare_with_cluster(ids, now);
    }

    /// The repositories that a workload asks to be looked at, because its directives are other ones than before or mended, its pods may land
    /// elsewhere, or Keel came or went. Of a workload that is new the polls take up those that nobody used before.
    fn newly_asked(&self, before: Option<&Workload>, workload: &Workload) -> Vec<Repository> {
        let Ok(directives) = &workload.directives else { return Vec::new() };
        if before.is_some_and(|before| {
            before.uid == workload.uid
                && before.directives == workload.directives
                && before.placement == workload.placement
                && keel::bars(before) == keel::bars(workload)
        }) {
            return Vec::new();
        }
        let selected = workload.containers.iter().filter(|container| directives.selection_of(container).is_some());
        let images = selected.filter_map(|container| container.image.parse::<ImageRef>().ok());
        let mut asked: Vec<Repository> = images.map(|image| image.repository().clone()).collect();
        asked.retain(|repository| before.is_some() || self.workloads.using(repository).len() > 1);
        asked.sort();
        asked.dedup();
        asked
    }

    /// Whether a managed workload reaches the repository with this access.
    pub(super) fn is_used(&self, repository: &Repository, access: &Access) -> bool {
        let reaches = |workload: &Arc<Workload>| self.registry.access(repository, &workload.puller()) == *access;
        self.workloads.using(repository).iter().any(reaches)
    }

    fn forget_unused(&mut self) {
        let mut looked = std::mem::take(&mut self.looked);
        looked.retain(|repository, access| self.is_used(repository, access));
        self.looked = looked;
    }

    /// Looks at the held updates of these workloads, and tells those whose images should run which of them a person has moved away.
    pub(super) fn compare_with_cluster(&mut self, workloads: &[WorkloadId], now: Timestamp) {
        for workload in workloads {
            let is_held = |update: &&Update| matches!(update.phase, Phase::Held(_));
            let held: Vec<UpdateId> = self.slots.of(workload).filter(is_held).map(|update| update.id.clone()).collect();
            for id in held {
                self.look(&id, now);
            }
            self.notice_set_back(workload, now);
        }
    }

    pub(super) fn notice_set_back(&mut self, workload: &WorkloadId, now: Timestamp) {
        let Some(workload) = self.workloads.get(workload) else { return };
        self.note_shown(&workload);
        let is_shown = |update: &Update| self.slots.get(&update.id).is_some_and(|slot| slot.is_shown);
        for (id, taken_back) in update::set_back(&self.known(&workload.id), &workload, is_shown) {
            self.feed(&id, &taken_back, now);
        }
    }

    /// Notes that the watch has shown what the marked update set: from now on it shows that or what came after it.
    fn note_shown(&mut self, workload: &Workload) {
        let Some(mark) = &workload.mark else { return };
        let id = UpdateId { namespace: workload.id.namespace.clone(), name: mark.update.clone() };
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.update.spec.uid == workload.uid) {
            slot.is_shown = true;
        }
    }

    /// What a look shows. Whoever moved a held update to its patch on other grounds than it was admitted on would overwrite somebody:
    /// the workload is compared at every look and not only when its change is told.
    pub(super) fn seen(&self, update: &Update, now: Timestamp) -> Input {
        let id = &update.spec.workload;
        let workload = self.workloads.get(id);
        let is_comparable = matches!(update.phase, Phase::Held(_)) && (workload.is_some() || self.workloads.knows(&id.namespace));
        let drift = is_comparable.then(|| update::drift(update, workload.as_deref())).flatten();
        drift.map_or_else(|| Input::Look(self.surroundings(update, workload.as_deref(), now)), Input::Drift)
    }

    /// Why the patch of an update must not be made, though its gates were open: as what a try that only looked came to.
    ///
    /// A patch may wait an hour for the API server, or for ever under a pause, and a person may hand the workload to another owner or ask for
    /// other approvals meanwhile. What its images are, the try itself finds out.
    pub(super) fn stops(&self, update: &Update, now: Timestamp) -> Option<Applied> {
        let id = &update.spec.workload;
        let workload = self.workloads.get(id);
        let drift = match &workload {
            Some(workload) => update::disowned(update, workload),
            None if self.workloads.is_there(id) => Some(Drift::NotManaged),
            None if self.workloads.knows(&id.namespace) => Some(Drift::Gone),
            None => return Some(Applied::Barred(Reason::NotSeen)),
        };
        let paused = || self.pauses.over(id, workload.as_deref(), now).map(|_| Applied::Paused);
        let left_alone = || self.left_alone(workload.as_deref()?).map(Applied::Barred);
        // It was old enough when this was decided, by what may not be known yet after a restart.
        let too_young = || self.too_young(update, workload.as_deref()?, IfUnseen::Goes).map(Applied::Barred);
        // While it waited for something else its room was given to others.
        let crowded = || self.no_room(usize::from(self.slots.is_rolling_out(&update.id))).map(Applied::Barred);
        drift.map(Applied::Drifted).or_else(left_alone).or_else(too_young).or_else(paused).or_else(crowded)
    }

    /// Why nothing may be done for a workload, whatever it asks for.
    pub(super) fn left_alone(&self, workload: &Workload) -> Option<Reason> {
        self.unreadable.of(&workload.id).or_else(|| keel::bars(workload))
    }

    /// The outcome of an effect. A try that only looked and found nothing set is told why it only looked.
    pub(super) fn explained(&self, id: &UpdateId, input: Input, now: Timestamp) -> Input {
        match (self.slots.get(id), &input) {
            (Some(slot), Input::Applied(Applied::Paused)) => self.stops(&slot.update, now).map_or(input, Input::Applied),
            _ => input,
        }
    }

    /// What the gates of an update are made from.
    pub(super) fn surroundings(&self, update: &Update, workload: Option<&Workload>, now: Timestamp) -> Surroundings {
        let id = &update.spec.workload;
        let known = self.known(id);
        Surroundings {
            paused: self.pauses.over(id, workload, now),
            barred: match workload {
                None => Some(Reason::NotSeen),
                Some(workload) => self
                    .left_alone(workload)
                    .or_else(|| workload.owner.map(|owner| Reason::NoGitRemote { owner }))
                    .or_else(|| self.too_young(update, workload, IfUnseen::Waits)),
            },
            bound: workload.and_then(|workload| bound(update, workload, &known)),
            crowded: self.crowded(update, &known),
        }
    }

    /// Why an update is not old enough for what the directives ask for now: they may ask for more than when it was admitted. The look that follows
    /// such a change decides anew; until then nothing may be patched by the old one.
    fn too_young(&self, update: &Update, workload: &Workload, if_unseen: IfUnseen) -> Option<Reason> {
        let (directives, Ages { sights, clock }) = (workload.directives.as_ref().ok()?, self.ages.as_ref()?);
        update.spec.changes.iter().find_map(|Change { container, repository, tag, digest, .. }| {
            let least = directives.selection_of(workload.container(container)?)?.filter.min_age?;
            let is_old = match sights.age(repository, tag, digest, clock.steady()) {
                Some(age) => Duration::try_from(age).is_ok_and(|age| age >= least),
                None => if_unseen == IfUnseen::Goes,
            };
            (!is_old).then(|| Reason::TooYoung { tag: tag.clone(), least })
        })
    }

    /// Looks at the held updates of these workloads that wait until it is known how old their tags are: it may be now.
    pub(super) fn look_at_young(&mut self, workloads: &[WorkloadId], now: Timestamp) {
        let waits = |update: &&Update| matches!(&update.phase, Phase::Held(held) if held.waits.code() == TOO_YOUNG);
        let ids: Vec<UpdateId> =
            workloads.iter().flat_map(|workload| self.slots.of(workload).filter(waits)).map(|update| update.id.clone()).collect();
        for id in ids {
            self.look(&id, now);
        }
    }

    /// What the gates of whatever may come for a workload are made from.
    pub(super) fn surroundings_of(&self, workload: &Workload, now: Timestamp) -> Surroundings {
        let in_flight = self.known(&workload.id).into_iter().find(|other| other.is_in_flight());
        let other = in_flight.map(|other| Reason::OtherInFlight { update: other.id.name.clone() });
        Surroundings {
            paused: self.pauses.over(&workload.id, Some(workload), now),
            barred: self.unreadable.of(&workload.id).or_else(|| workload.owner.map(|owner| Reason::NoGitRemote { owner })),
            bound: None,
            crowded: other.or_else(|| self.no_room(0)),
        }
    }

    fn crowded(&self, update: &Update, known: &[&Update]) -> Option<Reason> {
        if let Some(other) = known.iter().find(|other| other.id != update.id && other.is_in_flight()) {
            return Some(Reason::OtherInFlight { update: other.id.name.clone() });
        }
        self.no_room(0)
    }

    /// The limit of rollouts, where it is reached without `own` of those that count.
    fn no_room(&self, own: usize) -> Option<Reason> {
        let limit = self.settings.in_flight;
        (self.slots.rolling_out() >= limit.saturating_add(own)).then_some(Reason::InFlightLimit { limit })
    }
}

fn bound(update: &Update, workload: &Workload, known: &[&Update]) -> Option<Reason> {
    let directives = workload.directives.as_ref().ok()?;
    update.spec.changes.iter().find_map(|change| {
        let selection = directives.selection_of(workload.container(&change.container)?)?;
        // It was the latest build when the update was made.
        binding::holds_back(workload, selection, (change, Built::At(update.created)), known)
    })
}
