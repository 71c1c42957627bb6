//! Where an update stands. A phase holds exactly the facts that exist in it.

use jiff::Timestamp;

use super::Reason;

/// The phases of an update.
#[derive(Clone, PartialEq, Debug)]
pub enum Phase {
    /// Waits for votes, limits or a person; nothing has been changed.
    Held(Held),
    /// The patch is being made.
    Applying(Applying),
    /// The patch is made, the rollout is followed.
    Verifying(Verifying),
    /// The rollout is healthy, the image is being committed to Git.
    Recording(Recording),
    /// The rollout failed, the previous image is being put back.
    Restoring(Restoring),
    /// Nothing more will be done for it.
    Closed(Closed),
}

/// Facts of a held update.
#[derive(Clone, PartialEq, Debug)]
pub struct Held {
    /// What it waits for.
    pub waits: Reason,
    /// When people were asked; `None` when no vote is needed or nobody was asked yet.
    pub asked: Option<Timestamp>,
    /// When the time to vote, or after the grant the grant itself, runs out.
    pub expires: Option<Timestamp>,
    /// Since when a pause has stopped that time.
    pub paused: Option<Timestamp>,
    /// When the needed votes were complete.
    pub granted: Option<Timestamp>,
}

/// Facts of an update whose patch is being made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Applying {
    /// Failed tries so far.
    pub tries: u32,
    /// When the next try is due; `None` while one is under way.
    pub retry_at: Option<Timestamp>,
    /// Why the last try failed.
    pub trouble: Option<Box<str>>,
    /// Since when the API server forbids the patch.
    pub forbidden_since: Option<Timestamp>,
}

/// What was patched, and until when it must be healthy.
#[derive(Clone, PartialEq, Debug)]
pub struct Rollout {
    /// Each changed container's image text as the cluster admitted it, in the order of the update's changes.
    pub applied: Vec<Box<str>>,
    /// When the patch was answered.
    pub patched: Timestamp,
    /// When an unfinished rollout counts as failed.
    pub deadline: Timestamp,
}

/// Facts of an update whose rollout is followed.
#[derive(Clone, PartialEq, Debug)]
pub struct Verifying {
    /// The rollout.
    pub rollout: Rollout,
    /// Times so far that it could not be read.
    pub tries: u32,
    /// When it is read again after that; `None` while it is followed.
    pub retry_at: Option<Timestamp>,
    /// Why it could not be read last.
    pub trouble: Option<Box<str>>,
    /// What was missing when it was read last, for people; a restart finds it anew.
    pub missing: Option<Box<str>>,
}

/// Facts of an update that is being committed.
#[derive(Clone, PartialEq, Debug)]
pub struct Recording {
    /// The healthy rollout, of the attempt before when a person asked to record an unrecorded update again; `None` when that had none.
    pub rollout: Option<Rollout>,
    /// Failed tries so far.
    pub tries: u32,
    /// When the next try is due; `None` while one is under way.
    pub retry_at: Option<Timestamp>,
    /// Why the last try failed.
    pub trouble: Option<Box<str>>,
    /// Set when a person has moved the image away meanwhile: the update binds when it closes.
    pub set_back: Option<Binding>,
}

/// Facts of an update that is being put back.
#[derive(Clone, PartialEq, Debug)]
pub struct Restoring {
    /// The failed rollout.
    pub rollout: Rollout,
    /// Why it failed.
    pub why: Reason,
    /// Failed tries so far.
    pub tries: u32,
    /// When the next try is due; `None` while one is under way.
    pub retry_at: Option<Timestamp>,
    /// Why the last try failed.
    pub trouble: Option<Box<str>>,
    /// Since when the API server forbids the patch.
    pub forbidden_since: Option<Timestamp>,
}

/// Facts of a closed update.
#[derive(Clone, PartialEq, Debug)]
pub struct Closed {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so.
    pub reason: Reason,
    /// What was patched, when something was.
    pub rollout: Option<Rollout>,
    /// The commit, when there is one.
    pub commit: Option<CommitRecord>,
    /// Set while it still holds its digest back.
    pub binding: Option<Binding>,
}

/// Where the applied image was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitRecord {
    /// Name of the Git remote.
    pub remote: Box<str>,
    /// The commit's id, 40 or 64 hexadecimal digits.
    pub id: Box<str>,
    /// The file that was changed.
    pub path: Box<str>,
}

/// Why and since when a closed update holds its digest back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// What happened.
    pub reason: Box<str>,
    /// When.
    pub at: Timestamp,
    /// Who did it, when known.
    pub by: Option<Box<str>>,
}

/// How an update ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// Runs, and Git shows it where it was to be shown.
    Done,
    /// Runs, but Git does not show it.
    Unrecorded,
    /// The rollout failed and the previous image is back.
    RolledBack,
    /// A person said no.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// Something newer, or a person, made it pointless.
    Superseded,
    /// It could not be applied, or failed and stays as it is.
    Failed,
}

impl Phase {
    /// The phase as the record's `status.phase` spells it; a closed one by its outcome.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Held(_) => "Held",
            Self::Applying(_) => "Applying",
            Self::Verifying(_) => "Verifying",
            Self::Recording(_) => "Recording",
            Self::Restoring(_) => "Restoring",
            Self::Closed(closed) => closed.outcome.as_str(),
        }
    }
}

impl Restoring {
    /// A failed rollout that is put back from now on.
    pub fn of(rollout: Rollout, why: Reason) -> Self {
        Self { rollout, why, tries: 0, retry_at: None, trouble: None, forbidden_since: None }
    }
}

impl Verifying {
    /// A rollout that is followed from now on.
    pub fn of(rollout: Rollout) -> Self {
        Self { rollout, tries: 0, retry_at: None, trouble: None, missing: None }
    }
}

impl Phase {
    /// What was patched, when something was.
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Held(_) | Self::Applying(_) => None,
            Self::Verifying(verifying) => Some(&verifying.rollout),
            Self::Recording(recording) => recording.rollout.as_ref(),
            Self::Restoring(restoring) => Some(&restoring.rollout),
            Self::Closed(closed) => closed.rollout.as_ref(),
        }
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Unrecorded, Self::RolledBack, Self::Rejected, Self::Expired, Self::Superseded, Self::Failed];

    /// The outcome as the record's `status.phase` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Unrecorded => "Unrecorded",
            Self::RolledBack => "RolledBack",
            Self::Rejected => "Rejected",
            Self::Expired => "Expired",
            Self::Superseded => "Superseded",
            Self::Failed => "Failed",
        }
    }
}
