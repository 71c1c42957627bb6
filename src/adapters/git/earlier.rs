//! Looking for the commits that carried out updates before: pushes whose answer got lost, and those that a person took back.

use std::collections::{HashMap, HashSet, VecDeque};

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use jiff::{SignedDuration, Timestamp};

use super::trouble::Trouble;
use crate::core::commit_message::trailers;

/// Commits that are searched. The deepest mirror has 2048 generations, and merges make them wider.
const COMMITS_MAX: usize = 20_000;
/// How far the clocks of committers may be off before an older commit looks younger than an update.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// The commits found.
#[derive(Default)]
pub(super) struct Earlier {
    by_update: HashMap<String, ObjectId>,
    /// When the youngest of those commits was made whose parents the mirror does not have.
    edge: Option<Timestamp>,
}

impl Earlier {
    /// Searches the history of `tip`, as far as the mirror has it, for commits with a trailer for one of `updates`. Of several
    /// the one nearest to the tip counts.
    pub fn search(repository: &gix::Repository, tip: ObjectId, updates: &HashSet<String>) -> Result<Self, Trouble> {
        let mut earlier = Self::default();
        let mut seen = HashSet::from([tip]);
        let mut next = VecDeque::from([tip]);
        while let Some(id) = next.pop_front()
            && earlier.by_update.len() < updates.len()
            && seen.len() < COMMITS_MAX
        {
            let commit = repository.find_commit(id).map_err(|error| Trouble::of_objects(&error))?;
            for update in trailers(&commit.message_raw_sloppy().to_str_lossy()) {
                if updates.contains(update) {
                    earlier.by_update.entry(update.to_owned()).or_insert(id);
                }
            }
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

    /// The commit that carried out `update`.
    pub fn commit_of(&self, update: &str) -> Option<ObjectId> {
        self.by_update.get(update).copied()
    }

    /// Whether a commit made after `since` may lie beyond what the mirror has.
    pub fn may_miss(&self, since: Timestamp) -> bool {
        self.edge.is_some_and(|edge| edge.saturating_add(CLOCK_SLACK).is_ok_and(|edge| edge >= since))
    }
}
