//! Why nothing happened, or why something ended.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::UpdateId;
use crate::core::duration;
use crate::core::image::{Digest, Tag};
use crate::core::workload::{GitOpsOwner, WorkloadId};

/// A reason with what a person needs to understand it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Votes are missing.
    Approval {
        /// Votes given.
        given: usize,
        /// Votes needed.
        needed: u32,
    },
    /// Votes are needed, and nobody may vote.
    NoApprover,
    /// A pause is on.
    Paused {
        /// What is paused, and by whom and why when that is known.
        scope: Box<str>,
    },
    /// As many rollouts as allowed are in flight.
    InFlightLimit {
        /// The limit.
        limit: usize,
    },
    /// Another update of the same workload is not finished.
    OtherInFlight {
        /// Its name.
        update: Box<str>,
    },
    /// A person or a failed rollout holds this digest back.
    Bound {
        /// The update that binds.
        update: Box<str>,
        /// What happened to it.
        because: Box<str>,
    },
    /// A GitOps controller owns the image field, and there is no Git remote to go through.
    NoGitRemote {
        /// The controller.
        owner: GitOpsOwner,
    },
    /// Its directives are Keel's, and those are only observed.
    KeelObserved,
    /// Its directives are Keel's, and a Keel that runs acts on them.
    KeelRuns {
        /// The workload that Keel runs as.
        keel: WorkloadId,
    },
    /// The needed votes came too late, or never.
    ApprovalExpired,
    /// The grant ran out before the other gates opened.
    GrantExpired,
    /// A person rejected it.
    Rejected {
        /// Who.
        by: Box<str>,
        /// What the person said.
        saying: Option<Box<str>>,
    },
    /// A newer candidate took its place.
    NewerCandidate {
        /// The newer tag.
        tag: Tag,
    },
    /// The tag points at another digest now.
    TagMoved {
        /// The tag.
        tag: Tag,
        /// What it points at.
        now: Digest,
    },
    /// A tag is not known to be as old as the directives ask for by now.
    TooYoung {
        /// The tag.
        tag: Tag,
        /// How old it must be.
        least: Duration,
    },
    /// The tag is gone from the registry.
    TagGone {
        /// The tag.
        tag: Tag,
    },
    /// The policy would not choose it any more.
    NotChosen,
    /// The directives changed: the votes were given under other rules.
    RulesChanged,
    /// A GitOps controller took the workload over or let it go.
    OwnerChanged,
    /// The workload is not seen: its namespace cannot be listed.
    NotSeen,
    /// A record of the workload cannot be read, so nobody knows what is held back or under way.
    Unreadable {
        /// The record.
        record: UpdateId,
        /// What is wrong with it.
        problem: Box<str>,
    },
    /// The workload is gone, or another object has its name.
    WorkloadGone,
    /// The workload is not managed any more, or its directives are wrong.
    NotManaged,
    /// Somebody else set another image.
    ImageMoved {
        /// The image found.
        found: Box<str>,
    },
    /// The rollout failed.
    RolloutFailed {
        /// What the cluster says.
        why: Box<str>,
    },
    /// The rollout did not become healthy in time.
    RolloutTimedOut {
        /// When it had to be.
        deadline: Timestamp,
        /// What was still missing.
        missing: Box<str>,
    },
    /// The pods run another digest than the one that was approved.
    DigestDiffers {
        /// What they run.
        found: Box<str>,
    },
    /// It is being done.
    Underway {
        /// What.
        doing: &'static str,
        /// What is still missing, when that is known.
        missing: Option<Box<str>>,
    },
    /// A port refused, or failed too often.
    Trouble {
        /// What was tried.
        doing: &'static str,
        /// What came back.
        summary: Box<str>,
    },
    /// The file in Git holds neither the replaced nor the new image, nor the one that skeg committed last: a person wins.
    GitMoved {
        /// The file.
        path: Box<str>,
        /// What it holds.
        found: Box<str>,
    },
    /// No file of the granted remotes declares the workload.
    NotDeclared,
    /// Several files declare the workload.
    DeclaredTwice {
        /// The files.
        paths: Box<str>,
    },
    /// It was committed.
    Committed {
        /// The commit, short.
        commit: Box<str>,
    },
    /// Write-back is off, or no remote is granted to the namespace.
    NoWriteBack,
    /// A reason read back from a record of an earlier run.
    Earlier {
        /// Its code.
        code: Box<str>,
        /// Its sentence.
        sentence: Box<str>,
    },
}

impl Reason {
    /// A stable word for scripts and tests.
    pub fn code(&self) -> &str {
        match self {
            Self::Approval { .. } => "Approval",
            Self::NoApprover => "NoApprover",
            Self::Paused { .. } => "Paused",
            Self::InFlightLimit { .. } => "InFlightLimit",
            Self::OtherInFlight { .. } => "OtherInFlight",
            Self::Bound { .. } => "Bound",
            Self::NoGitRemote { .. } => "NoGitRemote",
            Self::KeelObserved => "KeelObserved",
            Self::KeelRuns { .. } => "KeelRuns",
            Self::ApprovalExpired => "ApprovalExpired",
            Self::GrantExpired => "GrantExpired",
            Self::Rejected { .. } => "Rejected",
            Self::NewerCandidate { .. } => "NewerCandidate",
            Self::TagMoved { .. } => "TagMoved",
            Self::TooYoung { .. } => "TooYoung",
            Self::TagGone { .. } => "TagGone",
            Self::NotChosen => "NotChosen",
            Self::RulesChanged => "RulesChanged",
            Self::OwnerChanged => "OwnerChanged",
            Self::NotSeen => "NotSeen",
            Self::Unreadable { .. } => "Unreadable",
            Self::WorkloadGone => "WorkloadGone",
            Self::NotManaged => "NotManaged",
            Self::ImageMoved { .. } => "ImageMoved",
            Self::RolloutFailed { .. } => "RolloutFailed",
            Self::RolloutTimedOut { .. } => "RolloutTimedOut",
            Self::DigestDiffers { .. } => "DigestDiffers",
            Self::Underway { .. } => "Underway",
            Self::Trouble { .. } => "Trouble",
            Self::GitMoved { .. } => "GitMoved",
            Self::NotDeclared => "NotDeclared",
            Self::DeclaredTwice { .. } => "DeclaredTwice",
            Self::Committed { .. } => "Committed",
            Self::NoWriteBack => "NoWriteBack",
            Self::Earlier { code, .. } => code,
        }
    }

    /// Reads back what `record` wrote. Every text gives a reason.
    pub fn read(text: &str) -> Self {
        let (code, sentence) = text.split_once(": ").unwrap_or(("", text));
        Self::Earlier { code: code.into(), sentence: sentence.into() }
    }

    /// Code and sentence in one line, for the record.
    pub fn record(&self) -> String {
        format!("{}: {self}", self.code())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { given, needed } => write!(f, "waits for approval, {given} of {needed} votes given"),
            Self::NoApprover => f.write_str("needs approval, but nobody may vote: set skeg.dev/approvers or [approvals] approvers, to people whom no enforced rule excludes"),
            Self::Paused { scope } => write!(f, "paused: {scope}"),
            Self::InFlightLimit { limit } => write!(f, "{limit} rollouts are in flight, the limit"),
            Self::OtherInFlight { update } => write!(f, "update {update} of the same workload is not finished"),
            Self::Bound { update, because } => write!(f, "held back since update {update}: {because}; `skeg resume` lifts this"),
            Self::NoGitRemote { owner } => {
                write!(f, "{} owns the image of this workload, and changing it by way of Git is not available yet", owner.as_str())
            }
            Self::KeelObserved => f.write_str("Keel's keys are only observed: with [keel] mode = \"act\" skeg acts on them"),
            Self::KeelRuns { keel } => {
                write!(f, "Keel runs as {keel}, and as long as it does skeg leaves workloads with Keel's keys to it")
            }
            Self::ApprovalExpired => f.write_str("not approved in time"),
            Self::GrantExpired => f.write_str("was approved, but could not be applied while the approval was valid"),
            Self::Rejected { by, saying: None } => write!(f, "rejected by {by}"),
            Self::Rejected { by, saying: Some(saying) } => write!(f, "rejected by {by}: {saying}"),
            Self::NewerCandidate { tag } => write!(f, "superseded by {tag}"),
            Self::TagMoved { tag, now } => write!(f, "tag {tag} points at {now} now"),
            Self::TooYoung { tag, least } => {
                write!(f, "tag {tag} is not known to be {} old yet, as skeg.dev/min-age asks for", duration::write(*least))
            }
            Self::TagGone { tag } => write!(f, "the registry has no manifest for tag {tag}"),
            Self::NotChosen => f.write_str("the policy does not choose it any more"),
            Self::RulesChanged => f.write_str("the directives changed since people were asked"),
            Self::OwnerChanged => f.write_str("a GitOps controller took the workload over or let it go, so it is decided anew"),
            Self::NotSeen => f.write_str("the workload is not seen: its namespace cannot be listed, see `skeg status`"),
            Self::Unreadable { record: UpdateId { namespace, name }, problem } => write!(
                f,
                "the record {namespace}/{name} cannot be read and is left alone, and so is its workload: {problem}; run the skeg that wrote it, \
                 or `kubectl -n {namespace} delete imageupdate {name}`, which is noticed within minutes"
            ),
            Self::WorkloadGone => f.write_str("the workload is gone, or not managed any more"),
            Self::NotManaged => f.write_str("the workload is not managed any more, or a directive is wrong"),
            Self::ImageMoved { found } => write!(f, "somebody set the image to {found}"),
            Self::RolloutFailed { why } => write!(f, "the rollout failed: {why}"),
            Self::RolloutTimedOut { deadline, missing } => write!(f, "the rollout was not healthy by {deadline:.0}: {missing}"),
            Self::DigestDiffers { found } => write!(f, "the pods run another digest than the approved one: {found}"),
            Self::Underway { doing, missing: None } => write!(f, "{doing}"),
            Self::Underway { doing, missing: Some(missing) } => write!(f, "{doing}: {missing}"),
            Self::Trouble { doing, summary } => write!(f, "{doing} failed: {summary}"),
            Self::GitMoved { path, found } => write!(f, "{path} in Git holds {found}, which somebody else wrote"),
            Self::NotDeclared => f.write_str("no file of the granted Git remotes declares this workload and container"),
            Self::DeclaredTwice { paths } => write!(f, "several files in Git declare this workload: {paths}; name one with skeg.dev/git"),
            Self::Committed { commit } => write!(f, "committed as {commit}"),
            Self::NoWriteBack => f.write_str("healthy; nothing to write back"),
            Self::Earlier { sentence, .. } => f.write_str(sentence),
        }
    }
}
