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
    /// The tags that were named. They narrow what is read, and nothing that is decided.
    pub tags: BTreeSet<Tag>,
    /// Whether a new listing is asked for, and not only these tags.
    pub is_whole: bool,
    /// What made the hint.
    pub trigger: Trigger,
    /// Whether a sender has told of a push, whatever else made it since: nobody tells again.
    pub is_told: bool,
}

/// Tags of one hint that are looked at alone. A release is usually pushed under three or four (`1.2.3`, `1.2`, `1`, `latest`); more of them, and a
/// listing is no dearer.
const ALONE_MAX: usize = 4;
/// Tags that one hint names at most: each is looked for in the listing.
const NAMED_MAX: usize = 32;

impl Hint {
    /// "Look at everything in this repository."
    pub fn whole(repository: Repository, trigger: Trigger) -> Self {
        Self { repository, tags: BTreeSet::new(), is_whole: true, trigger, is_told: trigger == Trigger::Webhook }
    }

    /// "This tag was pushed to this repository."
    pub fn pushed(repository: Repository, tag: Tag) -> Self {
        Self { tags: BTreeSet::from([tag]), is_whole: false, ..Self::whole(repository, Trigger::Webhook) }
    }

    /// Takes up another hint for the same repository: one look for every workload and every tag that either was for.
    fn join(&mut self, other: Self) {
        self.trigger = joined(self.trigger, other.trigger);
        self.is_told |= other.is_told;
        self.tags.extend(other.tags);
        self.is_whole |= other.is_whole || self.tags.len() > ALONE_MAX;
        while self.tags.len() > NAMED_MAX {
            self.tags.pop_first();
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
