//! Looking for the commits that skeg made before: pushes whose answer got lost, those that a person took back, and what each left.

use std::collections::{HashMap, HashSet, VecDeque};

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use jiff::{SignedDuration, Timestamp};

use super::trouble::Trouble;
use crate::core::commit_message::{image_left, trailers};
use crate::core::workload::WorkloadId;

/// Commits that are searched. The deepest mirror has 2048 generations, and merges make them wider.
const COMMITS_MAX: usize = 20_000;
/// How far the clocks of committers may be off before an older commit looks younger than an update.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// A container of a workload.
pub(super) type Container = (WorkloadId, Box<str>);

/// What is looked for.
#[derive(Default)]
pub(super) struct Sought {
    /// Updates, as their trailers name them.
    pub updates: HashSet<String>,
    /// Containers whose newest image of skeg's is wanted.
    pub containers: HashSet<Container>,
}

/// The commits found.
#[derive(Default)]
pub(super) struct Earlier {
    by_update: HashMap<String, ObjectId>,
    left: HashMap<Container, Box<str>>,
    /// When the youngest of those commits was made whose parents the mirror does not have.
    edge: Option<Timestamp>,
}

impl Earlier {
    /// Searches the history of `tip`, as far as the mirror has it, for commits of skeg's that are `sought`. Of several the one nearest to
    /// the tip counts.
    pub fn search(repository: &gix::Repository, tip: ObjectId, sought: &Sought) -> Result<Self, Trouble> {
        let mut earlier = Self::default();
        let mut seen = HashSet::from([tip]);
        let mut next = VecDeque::from([tip]);
        while let Some(id) = next.pop_front()
            && (earlier.by_update.len() < sought.updates.len() || earlier.left.len() < sought.containers.len())
            && seen.len() < COMMITS_MAX
        {
            let commit = repository.find_commit(id).map_err(|error| Trouble::of_objects(&error))?;
            earlier.note(id, &commit.message_raw_sloppy().to_str_lossy(), sought);
            for parent in commit.parent_ids().map(gix::Id::detach) {
                if !repository.has_object(parent) {
                    let made = commit.time().map_err(|error| Trouble::of_objects(&error))?;
                    let made = Timestamp::from_second(made.seconds).unwrap_or(Timestamp::MIN);
                    earlier.edge = earlier.edge.max(Some(made));
                } else if seen.insert(parent) {
                    next.push_back(parent);
                }
            }
        }
        Ok(earlier)
    }

    fn note(&mut self, id: ObjectId, message: &str, sought: &Sought) {
        for update in trailers(message).filter(|update| sought.updates.contains(*update)) {
            self.by_update.entry(update.to_owned()).or_insert(id);
        }
        for container in sought.containers.iter().filter(|container| !self.left.contains_key(container)).cloned().collect::<Vec<_>>() {
            if let Some(image) = image_left(message, &container.0, &container.1) {
                self.left.insert(container, image.into());
            }
        }
    }

    /// The image that skeg's newest commit to the container left there.
    pub fn left(&self, container: &Container) -> Option<&str> {
        self.left.get(container).map(|image| &**image)
    }

    /// Whether there are commits beyond what the mirror has.
    pub fn is_cut_off(&self) -> bool {
        self.edge.is_some()
    }

    /// The commit that carried out `update`.
    pub fn commit_of(&self, update: &str) -> Option<ObjectId> {
        self.by_update.get(update).copied()
    }

    /// Whether a commit made after `since` may lie beyond what the mirror has.
    pub fn may_miss(&self, since: Timestamp) -> bool {
        self.edge.is_some_and(|edge| edge.saturating_add(CLOCK_SLACK).is_ok_and(|edge| edge >= since))
    }
}
