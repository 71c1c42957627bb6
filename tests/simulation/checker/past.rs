//! How everything was at one moment of a history, as far as it can be told from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use skeg::core::image::{Digest, Repository, Tag};
use skeg::core::update::{Mark, Phase, Update, UpdateId};
use skeg::core::workload::WorkloadId;

use crate::history::{By, Fact, Moved, Process, Told};

/// The state of the world before a fact.
#[derive(Default)]
pub struct Past {
    /// The time of the last fact.
    pub now: Timestamp,
    /// The workloads.
    pub workloads: BTreeMap<WorkloadId, Seen>,
    /// What each tag pointed at, from when on.
    pub tags: BTreeMap<(Repository, Tag), Vec<Pointed>>,
    /// The records that are there.
    pub records: BTreeMap<UpdateId, Arc<Update>>,
    /// The newest state of each record that ever was.
    pub ever: BTreeMap<UpdateId, Arc<Update>>,
    /// Records that a person has removed.
    pub removed_by_people: BTreeSet<UpdateId>,
    /// The images that the branches declare, by remote.
    pub files: BTreeMap<Declared, (Box<str>, By)>,
    /// When processes were frozen, and until when.
    frozen: BTreeMap<Process, Vec<(Timestamp, Option<Timestamp>)>>,
}

/// What a tag pointed at from a time on.
pub type Pointed = (Timestamp, Option<Digest>);
/// A remote, and a container of a workload that it declares.
pub type Declared = (Box<str>, WorkloadId, Box<str>);

/// A workload as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its uid.
    pub uid: Box<str>,
    /// The image of each container, and who set it last. What skeg puts back is whose it was before.
    pub images: BTreeMap<Box<str>, (Box<str>, By)>,
    /// Whose the images were that skeg replaced last.
    replaced: BTreeMap<Box<str>, By>,
    /// Its annotations, and those it had before with the time they came.
    pub annotations: Vec<(Timestamp, BTreeMap<String, String>)>,
    /// skeg's mark.
    pub mark: Option<Mark>,
}

/// A patch of skeg's.
#[derive(Clone, Debug)]
pub struct Patch<'a> {
    /// The workload.
    pub workload: &'a WorkloadId,
    /// Its uid.
    pub uid: &'a str,
    /// Who sent it.
    pub process: Process,
    /// When it was sent.
    pub sent: Timestamp,
    /// What it changed.
    pub moved: &'a [Moved],
    /// The mark it left.
    pub mark: Mark,
    /// The update that the mark names.
    pub update: UpdateId,
}

impl Patch<'_> {
    /// Whether it put images back.
    pub fn restores(&self) -> bool {
        !self.mark.restored.is_empty()
    }
}

/// The fact as a patch of skeg's, if it is one.
pub fn patch(fact: &Fact) -> Option<Patch<'_>> {
    let Fact::Images { id, uid, by: By::Skeg(process, sent), moved, mark, .. } = fact else { return None };
    // A mark that is written anew, by one who takes over, sets nothing.
    let mark = Mark::parse(mark.as_deref()?).filter(|_| !moved.is_empty())?;
    let update = UpdateId { namespace: id.namespace.clone(), name: mark.update.clone() };
    Some(Patch { workload: id, uid, process: *process, sent: *sent, moved, mark, update })
}

impl Past {
    /// Takes up what happened next.
    pub fn take(&mut self, told: &Told) {
        self.now = told.at;
        match &told.fact {
            Fact::Tag { repository, tag, digest } => {
                self.tags.entry((repository.clone(), tag.clone())).or_default().push((told.at, digest.clone()));
            }
            Fact::Made { id, uid, containers, annotations } => {
                let by = By::Person("kubectl apply");
                let images = containers.iter().map(|one| (one.name.clone(), (one.image.clone(), by))).collect();
                let annotations = vec![(told.at, annotations.iter().cloned().collect())];
                self.workloads.insert(id.clone(), Seen { uid: uid.clone(), images, annotations, mark: None, replaced: BTreeMap::new() });
            }
            Fact::Deleted { id, .. } => drop(self.workloads.remove(id)),
            Fact::Annotated { id, annotations } => self.asks(id, told.at, annotations),
            Fact::Images { id, by, moved, mark, annotations, .. } => {
                let restores = patch(&told.fact).is_some_and(|patch| patch.restores());
                if let Some(seen) = self.workloads.get_mut(id) {
                    for Moved { container, after, .. } in moved {
                        let owner = if restores { seen.replaced.get(container).copied().unwrap_or(*by) } else { *by };
                        let before = seen.images.insert(container.clone(), (after.clone(), owner));
                        if let (By::Skeg(..), false, Some((_, owner))) = (by, restores, before) {
                            seen.replaced.insert(container.clone(), owner);
                        }
                    }
                    seen.mark = mark.as_deref().and_then(Mark::parse);
                }
                self.asks(id, told.at, annotations);
            }
            Fact::Written { update, .. } => {
                self.records.insert(update.id.clone(), Arc::clone(update));
                self.ever.insert(update.id.clone(), Arc::clone(update));
            }
            Fact::Removed { id, by } => {
                self.records.remove(id);
                if matches!(by, By::Person(_)) {
                    self.removed_by_people.insert(id.clone());
                }
            }
            Fact::Committed { remote, by, moved, .. } => {
                for (id, moved) in moved {
                    let place = (remote.clone(), id.clone(), moved.container.clone());
                    self.files.insert(place, (moved.after.clone(), *by));
                }
            }
            Fact::Replica { process, what } if what.starts_with("is frozen") => {
                self.frozen.entry(*process).or_default().push((told.at, None));
            }
            Fact::Replica { process, what } if what == "goes on" => {
                if let Some((_, until)) = self.frozen.get_mut(process).and_then(|all| all.last_mut()) {
                    *until = Some(told.at);
                }
            }
            Fact::Touched { .. }
            | Fact::PatchRefused { .. }
            | Fact::WriteRefused { .. }
            | Fact::Tampered { .. }
            | Fact::PushRefused { .. }
            | Fact::Posted { .. }
            | Fact::PostAnswered { .. }
            | Fact::Edited { .. }
            | Fact::MessageDeleted { .. }
            | Fact::Voted { .. }
            | Fact::VoteAnswered { .. }
            | Fact::Leased { .. }
            | Fact::Ordered { .. }
            | Fact::OrderAnswered { .. }
            | Fact::Replica { .. }
            | Fact::Astray { .. }
            | Fact::Twice { .. }
            | Fact::Weather { .. }
            | Fact::Calm => {}
        }
    }

    /// The update whose patch, that set its images or put them back, is undone by this without a trace, if one is.
    ///
    /// `kubectl rollout undo` brings back the image and the mark of before. Where the outcome of the patch was never recorded, because skeg
    /// died first, nothing that skeg reads differs then from a patch that was never made: this one alone may be made again.
    pub fn undone_without_a_trace(&self, fact: &Fact) -> Option<UpdateId> {
        let Fact::Images { id, by: By::Person("kubectl rollout undo"), mark, .. } = fact else { return None };
        let before = self.workloads.get(id)?.mark.as_ref()?;
        let update = UpdateId { namespace: id.namespace.clone(), name: before.update.clone() };
        let after = mark.as_deref().and_then(Mark::parse).filter(|mark| mark.update == update.name);
        let is_undone = match self.ever.get(&update)?.phase {
            Phase::Applying(_) => after.is_none(),
            Phase::Restoring(_) => after.is_some_and(|after| !before.restored.is_empty() && after.restored.is_empty()),
            Phase::Held(_) | Phase::Verifying(_) | Phase::Recording(_) | Phase::Closed(_) => false,
        };
        is_undone.then_some(update)
    }

    fn asks(&mut self, id: &WorkloadId, at: Timestamp, annotations: &[(String, String)]) {
        if let Some(seen) = self.workloads.get_mut(id) {
            seen.annotations.push((at, annotations.iter().cloned().collect()));
        }
    }

    /// The start of a time before `at` in which the process had `awake` to act: while it is frozen it does nothing, and what it knew
    /// before it knows still.
    pub fn before(&self, process: Process, at: Timestamp, awake: SignedDuration) -> Timestamp {
        let mut start = at.saturating_sub(awake).unwrap_or(Timestamp::MIN);
        for (from, until) in self.frozen.get(&process).into_iter().flatten().rev() {
            let until = until.unwrap_or(at).min(at);
            if until >= start {
                start = start.saturating_sub(until.duration_since(*from)).unwrap_or(Timestamp::MIN);
            }
        }
        start
    }

    /// What the tag pointed at, at any moment from `since` to `until`.
    pub fn pointed_at(&self, repository: &Repository, tag: &Tag, since: Timestamp, until: Timestamp) -> Vec<Option<Digest>> {
        let all = self.tags.get(&(repository.clone(), tag.clone()));
        let Some(all) = all else { return Vec::new() };
        let ends = all.iter().skip(1).map(|(at, _)| *at).chain([Timestamp::MAX]);
        let meanwhile = all.iter().zip(ends).filter(|((from, _), end)| *from <= until && *end >= since);
        meanwhile.map(|((_, digest), _)| digest.clone()).collect()
    }

    /// What a key of a workload's annotations said at any moment from `since` on.
    pub fn said(&self, id: &WorkloadId, key: &str, since: Timestamp) -> Vec<Option<String>> {
        let Some(seen) = self.workloads.get(id) else { return Vec::new() };
        let ends = seen.annotations.iter().skip(1).map(|(at, _)| *at).chain([Timestamp::MAX]);
        let meanwhile = seen.annotations.iter().zip(ends).filter(|(_, end)| *end >= since);
        meanwhile.map(|((_, annotations), _)| annotations.get(key).cloned()).collect()
    }
}

/// A tag as a version; `latest` and its like are none.
pub fn version(image: &str) -> Option<semver::Version> {
    let image: skeg::core::image::ImageRef = image.parse().ok()?;
    semver::Version::parse(image.effective_tag()?.as_str()).ok()
}
