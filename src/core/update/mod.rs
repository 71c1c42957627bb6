//! An update: the life of one candidate for one workload, until closed.
//!
//! ```text
//!             superseded | rejected | expired
//!         ┌────────────────────────────────────► Closed
//! admit   │
//! ─────► Held ──gates open──► Applying ──patched──► Verifying ──healthy──► Recording ──committed──► Closed(Done)
//!                                │ refused              │ failed, timed out    └─────refused──────► Closed(Unrecorded)
//!                                ▼                      ▼
//!                         Closed(Failed)            Restoring ──restored──► Closed(RolledBack)
//! ```

mod admit;
mod again;
mod applying;
mod closed;
mod drift;
mod effect;
mod event;
mod held;
mod id;
mod input;
mod mark;
mod phase;
mod prompt;
mod reason;
mod recording;
mod resume;
mod step;
#[cfg(test)]
mod tests;
mod verifying;

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::core::directives::Rules;
use crate::core::image::{Digest, Repository, Tag};
use crate::core::workload::{Workload, WorkloadId};

pub use admit::{Admission, Decided, admit, again};
pub use again::{FORBIDDEN_MAX, PANICS_MAX};
pub use drift::{Left, disowned, drift, left, not_running, patched_last, set_back, taken_back};
pub use effect::Effect;
pub use event::{Entry, Event, HISTORY_MAX, History};
pub use id::UpdateId;
pub use input::{Applied, Drift, Followed, Input, Recorded, Restored, Surroundings};
pub use mark::Mark;
pub use phase::{Applying, Binding, Closed, CommitRecord, Held, Outcome, Phase, Recording, Restoring, Rollout, Verifying};
pub use prompt::Prompt;
pub use reason::Reason;
pub use resume::{deadline, resume};
pub use step::{Step, step};

/// The most votes one update keeps; the resource's schema has the same bound. Nobody needs more approvals than this.
pub const VOTES_MAX: usize = 100;

/// The most changes one update makes; the resource's schema has the same bound. More containers than this in a pod take turns.
pub const CHANGES_MAX: usize = 64;

/// One candidate for one workload, from admission until closed.
#[derive(Clone, PartialEq, Debug)]
pub struct Update {
    /// Its name, derived from what it changes.
    pub id: UpdateId,
    /// What it is to change and under which rules; never altered.
    pub spec: Arc<Spec>,
    /// Where it stands, with exactly the facts of that phase.
    pub phase: Phase,
    /// When that phase was entered.
    pub since: Timestamp,
    /// When it was admitted.
    pub created: Timestamp,
    /// The votes given, one for each voter.
    pub votes: Vec<Vote>,
    /// Where people see the request; `None` until it is known to be there, and where nobody is asked in a chat.
    pub prompt: Option<Prompt>,
    /// Containers whose image a person has taken back after the update had set it, as far as that was noticed.
    pub taken_back: Vec<Box<str>>,
    /// The lease's transition count of the writer that moved it last; 0 while there is no lease.
    pub epoch: u64,
    /// What happened to it, the newest last, bounded.
    pub history: History,
}

/// What an update is to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// The workload.
    pub workload: WorkloadId,
    /// Its uid.
    pub uid: Box<str>,
    /// The containers to change, in the workload's order; never empty.
    pub changes: Vec<Change>,
    /// The policy's text, several joined with `; ` when containers differ.
    pub policy: Box<str>,
    /// What made skeg look.
    pub trigger: Trigger,
    /// The rules it was admitted under.
    pub rules: Rules,
    /// The order of its phases.
    pub plan: Plan,
    /// Which try at the same change this is, from 1.
    pub attempt: u32,
}

/// One container's new image.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Change {
    /// The container.
    pub container: Box<str>,
    /// Whether it is an init container.
    pub init: bool,
    /// The repository of both images.
    pub repository: Repository,
    /// The text of the image field that is replaced.
    pub from: Box<str>,
    /// The text that is written.
    pub to: Box<str>,
    /// The tag chosen.
    pub tag: Tag,
    /// The digest that the votes are for.
    pub digest: Digest,
}

/// What made skeg look at the repository.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Trigger {
    /// The poll schedule.
    Poll,
    /// A registry webhook.
    Webhook,
    /// A change of the workload, or the long resync.
    Resync,
    /// A person's command.
    Command,
}

impl Trigger {
    /// Every trigger with its name in records and metrics.
    pub const NAMES: [(Self, &'static str); 4] =
        [(Self::Poll, "poll"), (Self::Webhook, "webhook"), (Self::Resync, "resync"), (Self::Command, "command")];

    /// The name in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Webhook => "webhook",
            Self::Resync => "resync",
            Self::Command => "command",
        }
    }
}

/// The order of an update's phases, fixed at admission.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Plan {
    /// Patch the workload, follow it, then commit.
    Patch,
    /// Commit, then wait for the GitOps controller. Admitted and held; not carried out yet.
    Git,
}

impl Plan {
    /// The plan for a workload as it is now.
    pub fn of(workload: &Workload) -> Self {
        if workload.owner.is_some() { Self::Git } else { Self::Patch }
    }
}

/// One person's yes or no to one update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vote {
    /// Who, in the form `approvers` uses.
    pub voter: Box<str>,
    /// Yes or no.
    pub verdict: Verdict,
    /// When.
    pub at: Timestamp,
    /// What the person said with it.
    pub reason: Option<Box<str>>,
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

impl Update {
    /// Whether anything may still happen to the images because of it.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Closed(_))
    }

    /// Whether it has left `Held` and is not closed: it counts against the limits and keeps others of its workload waiting.
    pub fn is_in_flight(&self) -> bool {
        self.is_open() && !matches!(self.phase, Phase::Held(_))
    }

    /// What it holds back, when it is closed and binds.
    pub fn binding(&self) -> Option<&Binding> {
        match &self.phase {
            Phase::Closed(closed) => closed.binding.as_ref(),
            _ => None,
        }
    }

    /// Whether a person is known to have taken back what it set in the container. What that shows afterwards is no affair of its any more.
    pub fn was_taken_back(&self, container: &str) -> bool {
        // What a person found in its way while it was applied or followed, closed it, with everything that it set.
        let is_superseded = || matches!(&self.phase, Phase::Closed(closed) if closed.outcome == Outcome::Superseded);
        let was_lifted = || self.history.iter().any(|entry| &*entry.event == Event::Lifted.as_str());
        self.taken_back.iter().any(|taken| **taken == *container) || (is_superseded() && (self.binding().is_some() || was_lifted()))
    }

    /// The update with these containers, too, taken back.
    fn with_taken_back(&self, containers: &[Box<str>]) -> Self {
        let mut taken = self.clone();
        taken.taken_back.extend(containers.iter().filter(|container| !self.taken_back.contains(container)).cloned());
        taken
    }

    /// The repositories of its images, each once.
    pub fn repositories(&self) -> Vec<Repository> {
        let mut repositories: Vec<Repository> = self.spec.changes.iter().map(|change| change.repository.clone()).collect();
        repositories.sort();
        repositories.dedup();
        repositories
    }

    /// What the votes are for, in one digest: the only change's own, or the hash of those of all changes.
    pub fn content(&self) -> String {
        match self.spec.changes.as_slice() {
            [only] => only.digest.to_string(),
            changes => {
                let mut hash = Sha256::new();
                for change in changes {
                    hash.update(change.digest.as_str());
                }
                format!("sha256:{}", hex::encode(hash.finalize()))
            }
        }
    }

    /// Votes for it.
    pub fn approvals(&self) -> usize {
        self.votes.iter().filter(|vote| vote.verdict == Verdict::Approve).count()
    }
}
