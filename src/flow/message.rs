//! What reaches the engine, and what it wants done.

use jiff::{SignedDuration, Timestamp};

use super::commands::Command;
use super::observe::Observation;
use crate::core::failure::Failure;
use crate::core::image::Repository;
use crate::core::pause::{self, Pause};
use crate::core::update::{Effect, Event, Input, Trigger, Update, UpdateId};
use crate::core::workload::WorkloadId;
use crate::ports::events::Told;
use crate::ports::journal::{Kept, Records, Unreadable, Version};

/// What reaches the engine.
pub enum Message {
    /// The records kept, once at the start.
    Loaded {
        /// Updates, open and closed, and what cannot be read.
        records: Records,
        /// Pauses.
        pauses: Vec<Pause>,
    },
    /// Workloads were added, changed or removed.
    Changed(Vec<WorkloadId>),
    /// Repositories were read, all that one settle window asked for.
    Observed(Vec<Observation>),
    /// An effect came to its end.
    Outcome {
        /// The update that asked for it.
        id: UpdateId,
        /// What came of it.
        input: Input,
    },
    /// A record was written, or not.
    Written {
        /// The update.
        id: UpdateId,
        /// What came of it.
        result: Written,
    },
    /// A record that could not be read was read again.
    ReadAgain {
        /// Which.
        id: UpdateId,
        /// What it is now; `None` when there is none any more.
        found: Option<Result<Box<Kept>, Unreadable>>,
    },
    /// The open records as they are some minutes after the start.
    FoundLate(Vec<Kept>),
    /// A mark was taken off a workload, or not.
    MarkTakenOff {
        /// The workload.
        workload: WorkloadId,
        /// What came of it.
        result: Result<(), Failure>,
    },
    /// The pauses were written, and these are kept now; or not.
    PausesSaved(Result<Vec<Pause>, Failure>),
    /// A person wants something.
    Command(Command),
    /// A deadline has passed.
    Tick,
}

/// What came of writing a record.
pub enum Written {
    /// It is durable.
    Done(Version),
    /// Another update has the name: an earlier attempt that was not known.
    Taken(Box<Kept>),
    /// The record that is there cannot be read and was left alone.
    Unreadable(Unreadable),
    /// It failed; it is to be tried again.
    Failed(Failure),
}

/// An answer to a caller, given when its cause is durable.
pub type Answer = Box<dyn FnOnce() + Send>;

/// What the engine wants done.
pub enum Act {
    /// Write a record; without a version it is new.
    Write {
        /// The update as it is to be recorded.
        update: Box<Update>,
        /// The version it replaces.
        version: Option<Version>,
    },
    /// Carry out an effect.
    Carry {
        /// Which.
        effect: Effect,
        /// For which update.
        update: Box<Update>,
    },
    /// Remove the record of a closed update that is not needed any more.
    Remove(UpdateId),
    /// Read a record again that could not be read.
    ReadAgain(UpdateId),
    /// Take skeg's mark off a workload while it names this update.
    TakeOffMark {
        /// The workload.
        workload: WorkloadId,
        /// The update.
        update: Box<str>,
    },
    /// Look at repositories now.
    Hint(Vec<Repository>, Trigger),
    /// Look at a repository once more at this time.
    HintAt(Repository, Timestamp),
    /// Make this change in the pauses kept.
    SavePauses(pause::Change),
    /// Tell people on the workload.
    Tell(Told),
    /// Write a line of the audit log.
    Audit(Box<AuditLine>),
    /// Answer a caller.
    Answer(Answer),
}

/// A line of the audit log.
pub struct AuditLine {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// The update as it stands after it.
    pub update: Update,
    /// The rest of the sentence.
    pub detail: Box<str>,
    /// The phase that was left with this, and the time spent in it.
    pub left: Option<(&'static str, SignedDuration)>,
}
