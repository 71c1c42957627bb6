//! Where hints come from: the poll schedule and registry webhooks.
//!
//! A [`Hint`] says "look at this repository", never "deploy this". [`HintQueue`] keeps at most one for each repository and gives it out
//! when its settle window has passed.

pub mod poll;
mod queue;
pub mod webhook;

use crate::core::image::{Repository, Tag};
use crate::core::update::Trigger;

pub use queue::HintQueue;

/// "Look at this repository."
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Where to look.
    pub repository: Repository,
    /// The tag that was named, if one was. It narrows nothing that is decided; a list that does not show it yet is read once more.
    pub tag: Option<Tag>,
    /// What made the hint.
    pub trigger: Trigger,
}
