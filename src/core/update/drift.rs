//! How the workload of an update differs from what the update started from, or from what it left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Change, Drift, Input, Mark, Outcome, Phase, Plan, Update, UpdateId};
use crate::core::directives::Directives;
use crate::core::image::Pin;
use crate::core::schedule::after;
use crate::core::workload::Workload;

/// Between the times of two patches of a workload, at least.
const APART: Duration = Duration::from_millis(1);

/// How the workload that the watch shows differs from what `update` started from. Meaningful while the update has changed nothing.
pub fn drift(update: &Update, workload: Option<&Workload>) -> Option<Drift> {
    let Some(workload) = workload.filter(|workload| workload.uid == update.spec.uid) else { return Some(Drift::Gone) };
    if workload.directives.is_err() {
        return Some(Drift::NotManaged);
    }
    moved(update, workload).or_else(|| disowned(update, workload))
}

/// Why the workload that the watch shows is not to be patched for `update` any more, whatever its images are: it was opted out, asks for
/// other rules or has another owner.
pub fn disowned(update: &Update, workload: &Workload) -> Option<Drift> {
    let Ok(directives) = &workload.directives else { return Some(Drift::NotManaged) };
    let other_plan = || (Plan::of(workload) != update.spec.plan).then_some(Drift::OwnerChanged);
    let other_rules = directives.rules != update.spec.rules || is_written_otherwise(update, workload, directives);
    other_rules.then_some(Drift::RulesChanged).or_else(other_plan)
}

/// Whether the directives of a container ask for its image to be written another way: with the digest, or without.
fn is_written_otherwise(update: &Update, workload: &Workload, directives: &Directives) -> bool {
    let is_other = |change: &Change| {
        let selection = workload.container(&change.container).and_then(|container| directives.selection_of(container));
        selection.is_some_and(|selection| (selection.pin == Pin::Digest) != change.to.contains('@'))
    };
    update.spec.changes.iter().any(is_other)
}

/// How the workload differs from what a closed `update` applied; `None` while it shows exactly that.
pub fn not_running(update: &Update, workload: Option<&Workload>) -> Option<Drift> {
    let Some(workload) = workload.filter(|workload| workload.uid == update.spec.uid) else { return Some(Drift::Gone) };
    let rollout = update.phase.rollout();
    update.spec.changes.iter().enumerate().find_map(|(place, change)| {
        let applied = rollout.and_then(|rollout| rollout.applied.get(place)).unwrap_or(&change.to);
        let found = workload.container(&change.container).map_or("nothing", |container| &container.image);
        (*found != **applied).then(|| Drift::ImageMoved { found: found.into() })
    })
}

fn moved(update: &Update, workload: &Workload) -> Option<Drift> {
    update.spec.changes.iter().find_map(|change| {
        let found = workload.container(&change.container).map_or("nothing", |container| &container.image);
        (*found != *change.from).then(|| Drift::ImageMoved { found: found.into() })
    })
}

/// What an update left in one container, as far as the records tell.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Left<'a> {
    /// The newest update that set the container's image and has not put it back.
    pub update: &'a Update,
    /// What it changed there.
    pub change: &'a Change,
    /// The image text that it left.
    pub image: &'a str,
}

/// What skeg left in each container of the workload with this uid, by the records among `known`: while nobody else sets an image, it
/// shows this.
pub fn left<'a>(uid: &str, mark: Option<&Mark>, known: &[&'a Update]) -> Vec<Left<'a>> {
    let mut newest_first: Vec<(Timestamp, &Update)> = of(uid, known).filter_map(|update| Some((set_at(update, mark)?, update))).collect();
    newest_first.sort_by_key(|(set_at, update)| std::cmp::Reverse((*set_at, update.created)));
    let mut all: Vec<Left<'a>> = Vec::new();
    for (_, update) in newest_first.into_iter().filter(|(_, update)| !is_put_back(update)) {
        for (at, change) in update.spec.changes.iter().enumerate() {
            if all.iter().all(|newer| newer.change.container != change.container) {
                let admitted = update.phase.rollout().and_then(|rollout| rollout.applied.get(at));
                all.push(Left { update, change, image: admitted.unwrap_or(&change.to) });
            }
        }
    }
    all
}

/// The updates among `known` whose images a person has moved away from the workload, and what they are to be told.
///
/// The watch may lag behind skeg's own patches, so only a workload that shows the newest of them, or what came after, is judged. It does
/// when it carries skeg's mark of it, and also without when the watch has shown it before (`is_shown`): `kubectl rollout undo` brings back
/// the mark of the revision that it goes back to.
pub fn set_back(known: &[&Update], workload: &Workload, is_shown: impl Fn(&Update) -> bool) -> Vec<(UpdateId, Input)> {
    if !is_up_to_date(known, workload, is_shown) {
        return Vec::new();
    }
    // While its own rollout is followed or put back, that tells of its images.
    let is_settled = |left: &Left<'_>| matches!(left.update.phase, Phase::Recording(_) | Phase::Closed(_));
    let moved =
        left(&workload.uid, workload.mark.as_ref(), known).into_iter().filter(|left| is_settled(left) && !left.is_shown_by(workload));
    taken_back(workload, moved)
}

/// What the updates are to be told from which a person has taken these back.
pub fn taken_back<'a>(workload: &Workload, moved: impl Iterator<Item = Left<'a>>) -> Vec<(UpdateId, Input)> {
    let mut told: BTreeMap<&UpdateId, (Vec<Box<str>>, Box<str>)> = BTreeMap::new();
    for left in moved {
        // A container that is not there any more was not set back.
        let Some(container) = workload.container(&left.change.container) else { continue };
        let (containers, _) = told.entry(&left.update.id).or_insert_with(|| (Vec::new(), container.image.clone()));
        containers.push(container.name.clone());
    }
    told.into_iter().map(|(id, (containers, found))| (id.clone(), Input::TakenBack { containers, found })).collect()
}

impl Left<'_> {
    /// Whether the workload shows it.
    pub fn is_shown_by(&self, workload: &Workload) -> bool {
        workload.container(&self.change.container).is_some_and(|container| *container.image == *self.image)
    }
}

/// Whether the workload shows every patch that skeg has made to it. An update that was recorded by a later attempt has the time of the
/// one patch that both have.
fn is_up_to_date(known: &[&Update], workload: &Workload, is_shown: impl Fn(&Update) -> bool) -> bool {
    let mark = workload.mark.as_ref();
    let shows = |update: &Update| match (mark.filter(|mark| mark.update == update.id.name), is_put_back(update)) {
        (Some(mark), true) => !mark.restored.is_empty(),
        (Some(_), false) => true,
        (None, is_put_back) => !is_put_back && is_shown(update),
    };
    let newest = of(&workload.uid, known).filter_map(|update| set_at(update, mark)).max();
    newest.is_some() && of(&workload.uid, known).any(|update| set_at(update, mark) == newest && shows(update))
}

fn of<'a>(uid: &str, known: &[&'a Update]) -> impl Iterator<Item = &'a Update> {
    known.iter().copied().filter(move |update| *update.spec.uid == *uid)
}

/// `update`, which was just patched, with a time of its patch that is later than those of all patches among `known`. The clock may have been
/// set back since, and what a workload should show is told by the order of its patches.
pub fn patched_last(mut update: Update, known: &[&Update]) -> Update {
    let others = of(&update.spec.uid, known).filter(|other| other.id != update.id);
    let newest = others.filter_map(|other| other.phase.rollout()).map(|rollout| rollout.patched).max();
    if let (Phase::Verifying(verifying), Some(newest)) = (&mut update.phase, newest) {
        verifying.rollout.patched = verifying.rollout.patched.max(after(newest, APART));
    }
    update
}

/// When the update set its images; `None` when it did not. A patch whose answer has not come is told by the mark alone, and was the newest.
fn set_at(update: &Update, mark: Option<&Mark>) -> Option<Timestamp> {
    let is_marked = mark.is_some_and(|mark| mark.update == update.id.name);
    let unanswered = || if update.is_open() { Timestamp::MAX } else { update.since };
    update.phase.rollout().map(|rollout| rollout.patched).or_else(|| is_marked.then(unanswered))
}

fn is_put_back(update: &Update) -> bool {
    matches!(&update.phase, Phase::Closed(closed) if closed.outcome == Outcome::RolledBack)
}
