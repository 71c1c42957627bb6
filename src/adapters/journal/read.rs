//! The update that an object records.
//!
//! Anybody with the right may have written the object, by hand or with another version of skeg. What cannot be read is a problem with a
//! sentence for a person, never a guess: an update half understood must not be carried out.

use serde_json::Value;

use super::crd::OPEN_PHASES;
use super::resource;
use crate::core::directives::{Approver, GitPlace, Rules};
use crate::core::duration;
use crate::core::image::Pin;
use crate::core::update::{
    Applying, Binding, Change, Closed, CommitRecord, Entry, Held, Outcome, Phase, Plan, Prompt, Reason, Recording, Restoring, Rollout,
    Spec, Trigger, Update, UpdateId, Verdict, Verifying, Vote,
};
use crate::core::workload::{WorkloadId, WorkloadKind};
use crate::ports::journal::{Kept, Unreadable, Version};

/// How much of a parser's sentence is repeated, in characters: it may quote what it stumbled over.
const PROBLEM_CHARS_MAX: usize = 300;

/// The record in an object of the API server.
pub(super) fn kept(object: Value) -> Result<Kept, Unreadable> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().into();
    let id = UpdateId { namespace: text("/metadata/namespace"), name: text("/metadata/name") };
    let version = Version(text("/metadata/resourceVersion"));
    let (kind, name): (Box<str>, Box<str>) = (text("/spec/workload/kind"), text("/spec/workload/name"));
    let kind = WorkloadKind::ALL.into_iter().find(|known| *known.as_str() == *kind);
    let workload = kind.filter(|_| !name.is_empty()).map(|kind| WorkloadId { namespace: id.namespace.clone(), kind, name });
    // With the path of the field in front: `status.since: …`.
    let resource =
        serde_path_to_error::deserialize(object).map_err(|error: serde_path_to_error::Error<serde_json::Error>| error.to_string());
    let read = resource.and_then(|resource| update(resource, id.clone()));
    match read {
        Ok(update) => Ok(Kept { update, version }),
        Err(problem) => Err(Unreadable { id, workload, problem: problem.chars().take(PROBLEM_CHARS_MAX).collect() }),
    }
}

fn update(resource: resource::Resource, id: UpdateId) -> Result<Update, String> {
    let spec = spec(resource.spec, &id)?;
    let mut status = resource.status;
    let votes = std::mem::take(&mut status.votes).into_iter().map(vote).collect();
    let history = std::mem::take(&mut status.history).into_iter().map(entry).collect();
    let prompt = status.prompt.take().map(prompt);
    let taken_back = std::mem::take(&mut status.taken_back);
    let (since, created, epoch) = (status.since, status.created_at, status.epoch);
    let phase = phase(status, &spec.changes)?;
    Ok(Update { id, spec: spec.into(), phase, since, created, votes, prompt, taken_back, epoch, history })
}

fn spec(spec: resource::Spec, id: &UpdateId) -> Result<Spec, String> {
    let kind = WorkloadKind::ALL.into_iter().find(|kind| kind.as_str() == spec.workload.kind);
    let kind = kind.ok_or_else(|| format!("spec.workload.kind: no kind is called {:?}", spec.workload.kind))?;
    let trigger = Trigger::NAMES.iter().find(|(_, name)| *name == spec.trigger).map(|(trigger, _)| *trigger);
    if spec.changes.is_empty() {
        return Err("spec.changes: nothing is changed".to_owned());
    }
    Ok(Spec {
        workload: WorkloadId { namespace: id.namespace.clone(), kind, name: spec.workload.name },
        uid: spec.workload.uid,
        changes: spec.changes.into_iter().map(change).collect::<Result<_, _>>()?,
        policy: spec.policy,
        trigger: trigger.ok_or_else(|| format!("spec.trigger: no trigger is called {:?}", spec.trigger))?,
        rules: Rules {
            approvals: spec.approvals,
            approvers: spec.approvers.iter().map(|text| approver(text)).collect::<Result<_, _>>()?,
            approval_deadline: span("spec.approvalDeadline", &spec.approval_deadline)?,
            approval_valid: span("spec.approvalValid", &spec.approval_valid)?,
            rollback: spec.rollback,
            rollout_timeout: span("spec.rolloutTimeout", &spec.rollout_timeout)?,
            pin: match spec.pin {
                resource::Pin::Tag => Pin::Tag,
                resource::Pin::Digest => Pin::Digest,
            },
            write_back: spec.write_back.iter().map(|text| place(text)).collect(),
        },
        plan: match spec.plan {
            resource::Plan::Patch => Plan::Patch,
            resource::Plan::Git => Plan::Git,
        },
        attempt: spec.attempt,
    })
}

fn change(change: resource::Change) -> Result<Change, String> {
    Ok(Change {
        repository: change.repository.parse().map_err(|error| format!("spec.changes.repository: {error}"))?,
        tag: change.tag.parse().map_err(|error| format!("spec.changes.tag: {error}"))?,
        digest: change.digest.parse().map_err(|error| format!("spec.changes.digest: {error}"))?,
        container: change.container,
        init: change.init,
        from: change.from,
        to: change.to,
    })
}

fn approver(text: &str) -> Result<Approver, String> {
    Approver::parse(text).ok_or_else(|| format!("spec.approvers: {text:?} is nobody"))
}

fn span(field: &str, text: &str) -> Result<std::time::Duration, String> {
    duration::parse(text).map_err(|error| format!("{field}: {error}"))
}

fn place(text: &str) -> GitPlace {
    match text.split_once(':') {
        Some((remote, path)) => GitPlace { remote: remote.into(), path: Some(path.into()) },
        None => GitPlace { remote: text.into(), path: None },
    }
}

fn phase(status: resource::Status, changes: &[Change]) -> Result<Phase, String> {
    let reason = || Reason::read(status.reason.as_deref().unwrap_or_default());
    let tries = status.tries.unwrap_or_default();
    let some_rollout = || status.rollout.as_ref().map(|written| rollout(written, changes)).transpose();
    let the_rollout = || some_rollout()?.ok_or_else(|| format!("status.rollout: missing in phase {}", status.phase));
    Ok(match status.phase.as_str() {
        "Held" => Phase::Held(Held {
            waits: reason(),
            asked: status.asked_at,
            expires: status.expires_at,
            paused: status.paused_at,
            granted: status.granted_at,
        }),
        "Applying" => Phase::Applying(Applying { tries, retry_at: status.retry_at, trouble: status.trouble, forbidden_since: None }),
        "Verifying" => {
            Phase::Verifying(Verifying { tries, retry_at: status.retry_at, trouble: status.trouble, ..Verifying::of(the_rollout()?) })
        }
        "Recording" => Phase::Recording(Recording {
            rollout: some_rollout()?,
            tries,
            retry_at: status.retry_at,
            trouble: status.trouble,
            set_back: status.binding.map(binding),
        }),
        "Restoring" => {
            let why = status.rollout.as_ref().and_then(|rollout| rollout.why.as_deref()).or(status.reason.as_deref());
            let why = Reason::read(why.unwrap_or_default());
            Phase::Restoring(Restoring { tries, retry_at: status.retry_at, trouble: status.trouble, ..Restoring::of(the_rollout()?, why) })
        }
        word => {
            let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word);
            let known = || format!("{}, {}", OPEN_PHASES.join(", "), Outcome::ALL.map(Outcome::as_str).join(", "));
            Phase::Closed(Closed {
                outcome: outcome.ok_or_else(|| format!("status.phase: {word:?} is none of {}", known()))?,
                reason: reason(),
                rollout: some_rollout()?,
                commit: status.commit.map(commit),
                binding: status.binding.map(binding),
            })
        }
    })
}

fn rollout(written: &resource::Rollout, changes: &[Change]) -> Result<Rollout, String> {
    let image = |change: &Change| {
        let applied = written.applied.iter().find(|applied| applied.container == change.container);
        applied.map(|applied| applied.image.clone()).ok_or_else(|| format!("status.rollout.applied: nothing for {}", change.container))
    };
    Ok(Rollout { applied: changes.iter().map(image).collect::<Result<_, _>>()?, patched: written.patched_at, deadline: written.deadline })
}

fn vote(vote: resource::Vote) -> Vote {
    let verdict = match vote.verdict {
        resource::Verdict::Approve => Verdict::Approve,
        resource::Verdict::Reject => Verdict::Reject,
    };
    Vote { voter: vote.voter, verdict, at: vote.at, reason: vote.reason }
}

fn commit(commit: resource::Commit) -> CommitRecord {
    CommitRecord { remote: commit.remote, id: commit.id, path: commit.path }
}

fn prompt(prompt: resource::Prompt) -> Prompt {
    Prompt { channel: prompt.channel, message: prompt.timestamp, ended: prompt.ended }
}

fn binding(binding: resource::Binding) -> Binding {
    Binding { reason: binding.reason, at: binding.at, by: binding.by }
}

fn entry(entry: resource::Entry) -> Entry {
    Entry { at: entry.at, event: entry.event, detail: entry.detail }
}
