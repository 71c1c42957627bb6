//! Where hints come from: the poll schedule and registry webhooks.
//!
//! A [`Hint`] says "look at this repository", never "deploy this". [`HintQueue`] keeps at most one for each repository and gives it out
//! when its settle window has passed.

pub mod poll;
mod queue;
pub mod webhook;

use std::collections::BTreeSet;

use crate::core::image::{Repository, Tag};
use crate::core::update::Trigger;

pub use queue::HintQueue;

/// "Look at this repository."
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Where to look.
    pub repository: Repository,
    /// The tags that were named; none asks for a new listing. They narrow what is read, and nothing that is decided.
    pub tags: BTreeSet<Tag>,
    /// What made the hint.
    pub trigger: Trigger,
    /// Whether a sender has told of a push, whatever else made it since: nobody tells again.
    pub is_told: bool,
}

/// Tags of one hint. A release is usually pushed under three or four (`1.2.3`, `1.2`, `1`, `latest`); more of them, and a listing is no dearer.
const TAGS_MAX: usize = 4;

impl Hint {
    /// "Look at everything in this repository."
    pub fn whole(repository: Repository, trigger: Trigger) -> Self {
        Self { repository, tags: BTreeSet::new(), trigger, is_told: trigger == Trigger::Webhook }
    }

    /// "This tag was pushed to this repository."
    pub fn pushed(repository: Repository, tag: Tag) -> Self {
        Self { tags: BTreeSet::from([tag]), ..Self::whole(repository, Trigger::Webhook) }
    }

    /// Takes up another hint for the same repository: one look for every workload and every tag that either was for.
    fn join(&mut self, other: Self) {
        self.trigger = joined(self.trigger, other.trigger);
        self.is_told |= other.is_told;
        let is_whole = self.tags.is_empty() || other.tags.is_empty();
        self.tags.extend(other.tags);
        if is_whole || self.tags.len() > TAGS_MAX {
            self.tags.clear();
        }
    }
}

/// The trigger of two looks in one. Workloads that are only polled pass a webhook's look over, so beside any other trigger the
/// webhook gives way: a busy sender would otherwise keep them from ever being looked at.
fn joined(one: Trigger, other: Trigger) -> Trigger {
    match (one, other) {
        (Trigger::Webhook, trigger) | (trigger, Trigger::Webhook) => trigger,
        (one, other) => one.max(other),
    }
}
