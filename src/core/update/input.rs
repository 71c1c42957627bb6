//! Everything that can reach an update.

use super::{CommitRecord, Prompt, Rollout};
use crate::core::failure::Failure;
use crate::core::hold::voter::Ballot;
use crate::core::image::{Digest, Tag};
use crate::core::update::Reason;

/// What an update is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// Time has passed or something around the update changed: the gates are to be looked at again.
    Look(Surroundings),
    /// A person voted.
    Vote(Ballot),
    /// The workload is not what it was.
    Drift(Drift),
    /// Containers do not show any more what was set in them: a person took that back.
    TakenBack {
        /// Which, and not only those that were so before.
        containers: Vec<Box<str>>,
        /// What one of them shows.
        found: Box<str>,
    },
    /// A newer decision takes its place.
    Supersede(Reason),
    /// What came of [`Effect::Apply`](super::Effect::Apply) or [`Effect::LookOnly`](super::Effect::LookOnly).
    Applied(Applied),
    /// What came of [`Effect::Follow`](super::Effect::Follow).
    Followed(Followed),
    /// What came of [`Effect::Restore`](super::Effect::Restore).
    Restored(Restored),
    /// What came of [`Effect::WriteBack`](super::Effect::WriteBack).
    Recorded(Recorded),
    /// What came of [`Effect::Ask`](super::Effect::Ask) and [`Effect::Revise`](super::Effect::Revise): where people see it.
    Prompted(Prompt),
    /// A person lifts what a closed update holds back, or something newer makes it pointless.
    Lift {
        /// Who or what.
        by: Box<str>,
    },
}

/// What the gates of a held update are made from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surroundings {
    /// The pause that covers the workload.
    pub paused: Option<Box<str>>,
    /// Why the workload must not be patched at all (a GitOps controller owns it).
    pub barred: Option<Reason>,
    /// What holds the digest back.
    pub bound: Option<Reason>,
    /// The limit that is reached, or the other update that is in flight.
    pub crowded: Option<Reason>,
}

/// How a workload differs from what an update started from or applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Drift {
    /// It is deleted, or another object has its name.
    Gone,
    /// It is not managed any more or its directives are wrong.
    NotManaged,
    /// Its directives ask for other rules.
    RulesChanged,
    /// A GitOps controller took it over or let it go, so it is to be changed another way.
    OwnerChanged,
    /// A container that the update changes shows another image.
    ImageMoved {
        /// The image found.
        found: Box<str>,
    },
}

/// What came of a try to apply.
#[derive(Clone, PartialEq, Debug)]
pub enum Applied {
    /// The images are set, by this try or an earlier one of the same update.
    Patched {
        /// Each changed container's image text as the cluster admitted it.
        applied: Vec<Box<str>>,
    },
    /// The tag points at another digest now.
    TagMoved {
        /// The tag.
        tag: Tag,
        /// What it points at.
        now: Digest,
    },
    /// The tag is gone.
    TagGone {
        /// The tag.
        tag: Tag,
    },
    /// The workload is not what it was.
    Drifted(Drift),
    /// Nothing was set, because a pause is on.
    Paused,
    /// Nothing was set, because the workload must not be patched for this reason.
    Barred(Reason),
    /// It failed.
    Failed(Failure),
}

/// What came of following a rollout.
#[derive(Clone, PartialEq, Debug)]
pub enum Followed {
    /// It is healthy, and the pods run the digests that were applied.
    Healthy,
    /// It failed for good.
    Failed {
        /// What the cluster says.
        why: Box<str>,
    },
    /// It was not finished at the deadline.
    TimedOut {
        /// What was still missing.
        missing: Box<str>,
    },
    /// The pods run another digest.
    DigestDiffers {
        /// What they run.
        found: Box<str>,
    },
    /// The workload is not what was applied.
    Drifted(Drift),
    /// It goes on, and lacks something else than before.
    Progressing {
        /// What is missing now, for people.
        missing: Box<str>,
    },
    /// It cannot be read now.
    Unread(Failure),
    /// skeg cannot follow it: nothing is known of the rollout.
    Broken {
        /// What went wrong.
        why: Box<str>,
    },
}

/// What came of a try to restore.
#[derive(Clone, PartialEq, Debug)]
pub enum Restored {
    /// The previous images are back.
    Back,
    /// The workload is not what was applied: a person was faster.
    Drifted(Drift),
    /// It failed.
    Failed(Failure),
}

/// What came of a try to record.
#[derive(Clone, PartialEq, Debug)]
pub enum Recorded {
    /// The remote shows it.
    Committed(CommitRecord),
    /// It cannot be recorded: a person changed the file, or nothing declares the workload.
    Unrecordable(Reason),
    /// It failed.
    Failed(Failure),
}

impl Rollout {
    /// Whether `images` are exactly what was applied.
    pub fn shows(&self, images: &[&str]) -> bool {
        self.applied.len() == images.len() && self.applied.iter().zip(images).all(|(applied, image)| &**applied == *image)
    }
}
