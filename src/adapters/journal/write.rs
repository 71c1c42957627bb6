//! An update as the object that records it.
//!
//! Sentences for people are cut to the bounds of the schema. Everything that is compared or carried out (images, names, digests, times)
//! is written whole: where such a text is beyond the schema's bound, the API server refuses the object, and that is told.

use std::collections::BTreeMap;

use super::crd::{self, DETAIL_CHARS_MAX, PERSON_CHARS_MAX, POLICY_CHARS_MAX, TRIES_MAX};
use super::resource;
use super::{BINDING, OPEN};
use crate::core::directives::{GitPlace, Rules};
use crate::core::duration;
use crate::core::image::Pin;
use crate::core::update::{Binding, Change, CommitRecord, Entry, Phase, Plan, Prompt, Reason, Rollout, Spec, Update, Verdict, Vote};
use crate::ports::journal::Version;

/// The object that records the update; with the version that it is to replace, when there is one.
pub(super) fn resource(update: &Update, version: Option<&Version>) -> resource::Resource {
    resource::Resource {
        api_version: format!("{}/{}", crd::GROUP, crd::VERSION),
        kind: crd::KIND.to_owned(),
        metadata: resource::Metadata {
            name: update.id.name.clone(),
            namespace: update.id.namespace.clone(),
            resource_version: version.map(|version| version.0.clone()),
            labels: labels(update),
        },
        spec: spec(&update.spec),
        status: status(update),
    }
}

fn labels(update: &Update) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let open = update.is_open().then(|| label(OPEN, "true"));
    let binding = update.binding().map(|_| label(BINDING, "true"));
    [Some(label("app.kubernetes.io/managed-by", "skeg")), open, binding].into_iter().flatten().collect()
}

fn spec(spec: &Spec) -> resource::Spec {
    let Rules { approvals, approvers, approval_deadline, approval_valid, rollback, rollout_timeout, pin, write_back } = &spec.rules;
    resource::Spec {
        workload: resource::Workload {
            kind: spec.workload.kind.as_str().to_owned(),
            name: spec.workload.name.clone(),
            uid: spec.uid.clone(),
        },
        changes: spec.changes.iter().map(change).collect(),
        policy: cut(&spec.policy, POLICY_CHARS_MAX),
        trigger: spec.trigger.as_str().to_owned(),
        approvals: *approvals,
        approvers: approvers.iter().map(|approver| approver.as_str().to_owned()).collect(),
        approval_deadline: duration::write(*approval_deadline),
        approval_valid: duration::write(*approval_valid),
        rollback: *rollback,
        rollout_timeout: duration::write(*rollout_timeout),
        pin: match pin {
            Pin::Tag => resource::Pin::Tag,
            Pin::Digest => resource::Pin::Digest,
        },
        plan: match spec.plan {
            Plan::Patch => resource::Plan::Patch,
            Plan::Git => resource::Plan::Git,
        },
        write_back: write_back.iter().map(place).collect(),
        attempt: spec.attempt,
    }
}

fn change(change: &Change) -> resource::Change {
    resource::Change {
        container: change.container.clone(),
        init: change.init,
        repository: change.repository.to_string(),
        from: change.from.clone(),
        to: change.to.clone(),
        tag: change.tag.to_string(),
        digest: change.digest.to_string(),
    }
}

fn place(place: &GitPlace) -> String {
    match &place.path {
        Some(path) => format!("{}:{path}", place.remote),
        None => place.remote.to_string(),
    }
}

fn status(update: &Update) -> resource::Status {
    let needed = update.spec.rules.approvals;
    let status = resource::Status {
        phase: update.phase.as_str().to_owned(),
        reason: None,
        since: update.since,
        created_at: update.created,
        asked_at: None,
        expires_at: None,
        paused_at: None,
        granted_at: None,
        tally: (needed > 0).then(|| format!("{}/{needed}", update.approvals())),
        votes: update.votes.iter().map(vote).collect(),
        rollout: None,
        tries: None,
        retry_at: None,
        trouble: None,
        commit: None,
        prompt: update.prompt.as_ref().map(prompt),
        taken_back: update.taken_back.clone(),
        epoch: update.epoch,
        binding: None,
        history: update.history.iter().map(entry).collect(),
    };
    with_phase(status, update)
}

/// Adds the facts of the phase.
fn with_phase(status: resource::Status, update: &Update) -> resource::Status {
    let rollout = |rollout: &Rollout| Some(rollout_of(rollout, &update.spec.changes));
    match &update.phase {
        Phase::Held(held) => resource::Status {
            reason: Some(reason(&held.waits)),
            asked_at: held.asked,
            expires_at: held.expires,
            paused_at: held.paused,
            granted_at: held.granted,
            ..status
        },
        Phase::Applying(applying) => resource::Status {
            tries: tries(applying.tries),
            retry_at: applying.retry_at,
            trouble: applying.trouble.as_deref().map(detail),
            ..status
        },
        Phase::Verifying(verifying) => resource::Status {
            rollout: rollout(&verifying.rollout),
            tries: tries(verifying.tries),
            retry_at: verifying.retry_at,
            trouble: verifying.trouble.as_deref().map(detail),
            ..status
        },
        Phase::Recording(recording) => resource::Status {
            rollout: recording.rollout.as_ref().and_then(rollout),
            tries: tries(recording.tries),
            retry_at: recording.retry_at,
            trouble: recording.trouble.as_deref().map(detail),
            binding: recording.set_back.as_ref().map(binding),
            ..status
        },
        Phase::Restoring(restoring) => resource::Status {
            reason: Some(reason(&restoring.why)),
            rollout: Some(resource::Rollout { why: Some(reason(&restoring.why)), ..rollout_of(&restoring.rollout, &update.spec.changes) }),
            tries: tries(restoring.tries),
            retry_at: restoring.retry_at,
            trouble: restoring.trouble.as_deref().map(detail),
            ..status
        },
        Phase::Closed(closed) => resource::Status {
            reason: Some(reason(&closed.reason)),
            rollout: closed.rollout.as_ref().and_then(rollout),
            commit: closed.commit.as_ref().map(commit),
            binding: closed.binding.as_ref().map(binding),
            ..status
        },
    }
}

fn rollout_of(rollout: &Rollout, changes: &[Change]) -> resource::Rollout {
    let images = changes.iter().zip(&rollout.applied);
    resource::Rollout {
        applied: images.map(|(change, image)| resource::Applied { container: change.container.clone(), image: image.clone() }).collect(),
        patched_at: rollout.patched,
        deadline: rollout.deadline,
        why: None,
    }
}

fn vote(vote: &Vote) -> resource::Vote {
    resource::Vote {
        voter: vote.voter.clone(),
        verdict: match vote.verdict {
            Verdict::Approve => resource::Verdict::Approve,
            Verdict::Reject => resource::Verdict::Reject,
        },
        at: vote.at,
        reason: vote.reason.as_deref().map(detail),
    }
}

fn commit(commit: &CommitRecord) -> resource::Commit {
    resource::Commit { remote: commit.remote.clone(), id: commit.id.clone(), path: commit.path.clone() }
}

fn prompt(prompt: &Prompt) -> resource::Prompt {
    resource::Prompt { channel: prompt.channel.clone(), timestamp: prompt.message.clone(), ended: prompt.ended }
}

fn binding(binding: &Binding) -> resource::Binding {
    let by = binding.by.as_deref().map(|by| cut(by, PERSON_CHARS_MAX));
    resource::Binding { reason: detail(&binding.reason), at: binding.at, by }
}

fn entry(entry: &Entry) -> resource::Entry {
    resource::Entry { at: entry.at, event: entry.event.clone(), detail: detail(&entry.detail) }
}

fn tries(tries: u32) -> Option<u32> {
    (tries > 0).then(|| tries.min(TRIES_MAX))
}

fn reason(reason: &Reason) -> String {
    detail(&reason.record()).into()
}

fn detail(text: &str) -> Box<str> {
    cut(text, DETAIL_CHARS_MAX)
}

/// The start of the text. The API server counts characters, not bytes.
fn cut(text: &str, chars_max: usize) -> Box<str> {
    let end = text.char_indices().nth(chars_max).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text).into()
}
