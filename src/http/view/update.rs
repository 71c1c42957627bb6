//! An update as the API shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ReasonView, WorkloadView};
use crate::core::directives::Approver;
use crate::core::update::{Binding, Change, CommitRecord, Entry, Phase, Plan, Reason, Rollout, Update, Verdict, Vote};

/// The answer to `GET /v1/updates`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct UpdatesView {
    /// The updates, the newest first.
    pub updates: Vec<UpdateView>,
}

/// One update, open or closed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateView {
    /// Its namespace, the workload's.
    pub namespace: String,
    /// Its name, unique in the namespace.
    pub name: String,
    /// `Held`, `Applying`, `Verifying`, `Recording`, `Restoring`, or how it ended: `Done`, `Unrecorded`, `RolledBack`, `Rejected`,
    /// `Expired`, `Superseded`, `Failed`.
    pub phase: String,
    /// Whether anything may still happen because of it.
    pub open: bool,
    /// What it waits for, what is being done, or why it ended.
    pub reason: ReasonView,
    /// What it changes.
    pub workload: WorkloadView,
    /// The change of each container.
    pub changes: Vec<ChangeView>,
    /// The policy that chose, several joined with `; `.
    pub policy: String,
    /// What made skeg look: `poll`, `webhook`, `resync`, `command`.
    pub trigger: String,
    /// `patch` or `git`.
    pub plan: String,
    /// Which try at the same change this is, from 1.
    pub attempt: u32,
    /// Votes asked for and given.
    pub approvals: ApprovalsView,
    /// The votes themselves, one for each voter.
    pub votes: Vec<VoteView>,
    /// When it was admitted.
    pub created: Timestamp,
    /// When it entered its phase.
    pub since: Timestamp,
    /// Failed tries of what is being done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<TroubleView>,
    /// What was patched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollout: Option<RolloutView>,
    /// Where it was committed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<CommitView>,
    /// Set while it holds its digest back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binding: Option<BindingView>,
    /// What happened to it, oldest first.
    pub history: Vec<EntryView>,
}

/// One container's change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The container.
    pub container: String,
    /// Whether it is an init container.
    pub init: bool,
    /// The repository, in full: `docker.io/library/nginx`.
    pub repository: String,
    /// The image text that is replaced.
    pub from: String,
    /// The image text that is written.
    pub to: String,
    /// The tag chosen.
    pub tag: String,
    /// The digest that the votes are for.
    pub digest: String,
}

/// Votes asked for and given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalsView {
    /// Votes needed; 0 when no one is asked.
    pub needed: u32,
    /// Votes for it.
    pub given: usize,
    /// Who may vote.
    pub approvers: Vec<String>,
    /// When people were asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked: Option<Timestamp>,
    /// When the votes were complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub granted: Option<Timestamp>,
    /// When the time to vote, or the grant, runs out. It moves on while a pause is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
}

/// One person's vote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoteView {
    /// Who, in the form `approvers` uses.
    pub voter: String,
    /// `approve` or `reject`.
    pub verdict: String,
    /// When.
    pub at: Timestamp,
    /// What the person said with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// Failed tries of what is being done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TroubleView {
    /// How many failed.
    pub tries: u32,
    /// When the next is due; absent while one is under way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_at: Option<Timestamp>,
}

/// What was patched, and until when it must be healthy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// The images as the cluster admitted them, in the order of the changes.
    pub applied: Vec<String>,
    /// When the patch was answered.
    pub patched: Timestamp,
    /// When an unfinished rollout counts as failed.
    pub deadline: Timestamp,
}

/// A commit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    /// Name of the Git remote.
    pub remote: String,
    /// The commit's id.
    pub id: String,
    /// The file that was changed.
    pub path: String,
}

/// Why and since when a closed update holds its digest back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingView {
    /// What happened.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Who did it, when known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
}

/// One line of the history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// When.
    pub at: Timestamp,
    /// What, one word: `admitted`, `voted`, `patched`, …
    pub event: String,
    /// The rest of the sentence.
    pub detail: String,
}

impl UpdateView {
    /// The view of `update`.
    pub fn new(update: &Update) -> Self {
        let spec = &update.spec;
        Self {
            namespace: update.id.namespace.to_string(),
            name: update.id.name.to_string(),
            phase: update.phase.as_str().to_owned(),
            open: update.is_open(),
            reason: reason(&update.phase),
            workload: WorkloadView::from(&spec.workload),
            changes: spec.changes.iter().map(ChangeView::from).collect(),
            policy: spec.policy.to_string(),
            trigger: spec.trigger.as_str().to_owned(),
            plan: match spec.plan {
                Plan::Patch => "patch".to_owned(),
                Plan::Git => "git".to_owned(),
            },
            attempt: spec.attempt,
            approvals: approvals(update),
            votes: update.votes.iter().map(VoteView::from).collect(),
            created: update.created,
            since: update.since,
            trouble: trouble(&update.phase),
            rollout: update.phase.rollout().map(RolloutView::from),
            commit: commit(&update.phase).map(CommitView::from),
            binding: update.binding().map(BindingView::from),
            history: update.history.iter().map(EntryView::from).collect(),
        }
    }
}

/// What it waits for, what is being done, or why it ended.
fn reason(phase: &Phase) -> ReasonView {
    match phase {
        Phase::Held(held) => ReasonView::from(&held.waits),
        Phase::Applying(applying) => underway("setting the image", applying.trouble.as_deref(), None),
        Phase::Verifying(verifying) => underway("following the rollout", verifying.trouble.as_deref(), verifying.missing.as_deref()),
        Phase::Recording(recording) => underway("committing to Git", recording.trouble.as_deref(), None),
        Phase::Restoring(restoring) => ReasonView::from(&restoring.reason()),
        Phase::Closed(closed) => ReasonView::from(&closed.reason),
    }
}

fn underway(doing: &'static str, trouble: Option<&str>, missing: Option<&str>) -> ReasonView {
    ReasonView::from(&match trouble {
        Some(summary) => Reason::Trouble { doing, summary: summary.into() },
        None => Reason::Underway { doing, missing: missing.map(Into::into) },
    })
}

fn approvals(update: &Update) -> ApprovalsView {
    let rules = &update.spec.rules;
    let held = match &update.phase {
        Phase::Held(held) => Some(held),
        _ => None,
    };
    ApprovalsView {
        needed: rules.approvals,
        given: update.approvals(),
        approvers: rules.approvers.iter().map(|approver| Approver::as_str(approver).to_owned()).collect(),
        asked: held.and_then(|held| held.asked),
        granted: held.and_then(|held| held.granted),
        expires: held.and_then(|held| held.expires),
    }
}

fn trouble(phase: &Phase) -> Option<TroubleView> {
    let (tries, retry_at) = match phase {
        Phase::Applying(applying) => (applying.tries, applying.retry_at),
        Phase::Recording(recording) => (recording.tries, recording.retry_at),
        Phase::Restoring(restoring) => (restoring.tries, restoring.retry_at),
        Phase::Held(_) | Phase::Closed(_) => (0, None),
        Phase::Verifying(verifying) => (verifying.tries, verifying.retry_at),
    };
    (tries > 0).then_some(TroubleView { tries, retry_at })
}

fn commit(phase: &Phase) -> Option<&CommitRecord> {
    match phase {
        Phase::Closed(closed) => closed.commit.as_ref(),
        Phase::Held(_) | Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_) | Phase::Restoring(_) => None,
    }
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        Self {
            container: change.container.to_string(),
            init: change.init,
            repository: change.repository.to_string(),
            from: change.from.to_string(),
            to: change.to.to_string(),
            tag: change.tag.to_string(),
            digest: change.digest.to_string(),
        }
    }
}

impl From<&Vote> for VoteView {
    fn from(vote: &Vote) -> Self {
        let verdict = match vote.verdict {
            Verdict::Approve => "approve",
            Verdict::Reject => "reject",
        };
        Self { voter: vote.voter.to_string(), verdict: verdict.to_owned(), at: vote.at, reason: vote.reason.as_deref().map(str::to_owned) }
    }
}

impl From<&Rollout> for RolloutView {
    fn from(rollout: &Rollout) -> Self {
        let applied = rollout.applied.iter().map(ToString::to_string).collect();
        Self { applied, patched: rollout.patched, deadline: rollout.deadline }
    }
}

impl From<&CommitRecord> for CommitView {
    fn from(commit: &CommitRecord) -> Self {
        Self { remote: commit.remote.to_string(), id: commit.id.to_string(), path: commit.path.to_string() }
    }
}

impl From<&Binding> for BindingView {
    fn from(binding: &Binding) -> Self {
        Self { reason: binding.reason.to_string(), at: binding.at, by: binding.by.as_deref().map(str::to_owned) }
    }
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        Self { at: entry.at, event: entry.event.to_string(), detail: entry.detail.to_string() }
    }
}
