//! What the histories contained, so that one sees that the simulator was not idle, and that nothing it can do was left out.

use std::collections::BTreeMap;
use std::fmt;

use skeg::core::update::{Outcome, Phase, Verdict};

use crate::checker::is_restore;
use crate::history::{By, Fact, Order, Told};

/// How often each kind of thing happened.
#[derive(Clone, Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

/// A kind of thing, and whether a fact is of it.
type Kind = (&'static str, fn(&Fact) -> bool);

/// Every kind that must have happened in a search that is long enough.
const KINDS: [Kind; 68] = [
    ("updates", |fact| matches!(fact, Fact::Written { is_new: true, .. })),
    ("patches", |fact| matches!(fact, Fact::Images { by: By::Skeg(..), .. }) && !is_restore(fact)),
    ("restores", is_restore),
    ("commits", |fact| matches!(fact, Fact::Committed { by: By::Skeg(..), .. })),
    ("commits of several updates", |fact| matches!(fact, Fact::Committed { updates, .. } if updates.len() > 1)),
    ("messages", |fact| matches!(fact, Fact::Posted { .. })),
    ("votes that count", |fact| matches!(fact, Fact::VoteAnswered { counts: Some(true), .. })),
    ("votes refused", |fact| matches!(fact, Fact::VoteAnswered { counts: Some(false), .. })),
    ("votes in doubt", |fact| matches!(fact, Fact::VoteAnswered { counts: None, .. })),
    ("rejections", |fact| matches!(fact, Fact::Voted { ballot, .. } if ballot.verdict == Verdict::Reject)),
    ("Held", |fact| is_in(fact, "Held")),
    ("Applying", |fact| is_in(fact, "Applying")),
    ("Verifying", |fact| is_in(fact, "Verifying")),
    ("Recording", |fact| is_in(fact, "Recording")),
    ("Restoring", |fact| is_in(fact, "Restoring")),
    ("Done", |fact| is_in(fact, Outcome::Done.as_str())),
    ("Unrecorded", |fact| is_in(fact, Outcome::Unrecorded.as_str())),
    ("RolledBack", |fact| is_in(fact, Outcome::RolledBack.as_str())),
    ("Rejected", |fact| is_in(fact, Outcome::Rejected.as_str())),
    ("Expired", |fact| is_in(fact, Outcome::Expired.as_str())),
    ("Superseded", |fact| is_in(fact, Outcome::Superseded.as_str())),
    ("Failed", |fact| is_in(fact, Outcome::Failed.as_str())),
    ("kills", |fact| is_process(fact, "is killed")),
    ("terms", |fact| matches!(fact, Fact::Leased { holder: Some(_), .. })),
    ("leases astray", |fact| is_astray(fact, "renewing the lease")),
    ("stops", |fact| is_process(fact, "is told to stop")),
    ("ends of a stop", |fact| is_process(fact, "has stopped")),
    ("freezes", |fact| is_process(fact, "is frozen")),
    ("clocks set", |fact| is_process(fact, "has its clock set")),
    ("watches broken", |fact| is_process(fact, "loses its watch")),
    ("losses of all records", |fact| is_process(fact, "is down, and all records are deleted")),
    ("requests lost", |fact| is_astray(fact, "the request is lost")),
    ("answers lost", |fact| is_astray(fact, "the answer is lost")),
    ("requests late", |fact| is_astray(fact, "the request arrives after")),
    ("far ends busy", |fact| is_astray(fact, "busy")),
    ("patches astray", |fact| is_astray(fact, "the patch of")),
    ("pushes astray", |fact| is_astray(fact, "the push to")),
    ("posts astray", |fact| is_astray(fact, "posting")),
    ("records astray", |fact| is_astray(fact, "writing")),
    ("requests carried out twice", |fact| is_astray(fact, TWICE)),
    ("patches carried out twice", |fact| is_astray(fact, "the patch of") && is_astray(fact, TWICE)),
    ("pushes carried out twice", |fact| is_astray(fact, "the push to") && is_astray(fact, TWICE)),
    ("posts carried out twice", |fact| is_astray(fact, "posting") && is_astray(fact, TWICE)),
    ("records written twice", |fact| is_astray(fact, "writing ") && is_astray(fact, TWICE)),
    ("records created twice", |fact| is_astray(fact, "creating ") && is_astray(fact, TWICE)),
    ("leases renewed twice", |fact| is_astray(fact, "renewing the lease") && is_astray(fact, TWICE)),
    ("changes shown twice", |fact| is_twice(fact, "a change of")),
    ("pushes told of twice", |fact| is_twice(fact, "a push to")),
    ("votes brought twice", |fact| is_twice(fact, "vote #")),
    ("far ends away", |fact| matches!(fact, Fact::Weather { what } if what.contains("is away"))),
    ("patches refused", |fact| matches!(fact, Fact::PatchRefused { .. })),
    ("records refused", |fact| matches!(fact, Fact::WriteRefused { .. })),
    ("pushes overtaken", |fact| matches!(fact, Fact::PushRefused { why: "the branch has moved", .. })),
    ("pushes declined", |fact| matches!(fact, Fact::PushRefused { why: "a hook declines", .. })),
    ("images set by people", |fact| is_by(fact, "kubectl set image")),
    ("rollouts undone by people", |fact| is_by(fact, "kubectl rollout undo")),
    ("workloads deleted", |fact| matches!(fact, Fact::Deleted { .. })),
    ("directives changed", |fact| matches!(fact, Fact::Annotated { .. })),
    ("images declared by people", |fact| is_pushed(fact, "git push")),
    ("commits reverted by people", |fact| is_pushed(fact, "git revert")),
    ("tags deleted", |fact| matches!(fact, Fact::Tag { digest: None, .. })),
    ("records deleted by people", |fact| matches!(fact, Fact::Removed { by: By::Person(_), .. })),
    ("records pruned", |fact| matches!(fact, Fact::Removed { by: By::Skeg(..), .. })),
    ("records edited by people", |fact| matches!(fact, Fact::Tampered { is_readable: true, .. })),
    ("records spoilt by people", |fact| matches!(fact, Fact::Tampered { is_readable: false, .. })),
    ("pauses", |fact| matches!(fact, Fact::OrderAnswered { order: Order::Pause { .. }, is_done: true, .. })),
    ("resumes", |fact| matches!(fact, Fact::OrderAnswered { order: Order::Resume { .. }, is_done: true, .. })),
    ("retries", |fact| matches!(fact, Fact::OrderAnswered { order: Order::Retry { .. }, is_done: true, .. })),
];

/// What is said of a request that was carried out twice.
const TWICE: &str = "the request is carried out twice";
/// A kind that one fact does not show: the tag pointed at something else before.
const TAGS_MOVED: &str = "tags moved";

fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name).chain([TAGS_MOVED])
}

fn is_in(fact: &Fact, phase: &str) -> bool {
    matches!(fact, Fact::Written { update, .. } if update.phase.as_str() == phase || is_closed(&update.phase, phase))
}

fn is_closed(phase: &Phase, outcome: &str) -> bool {
    matches!(phase, Phase::Closed(closed) if closed.outcome.as_str() == outcome)
}

fn is_process(fact: &Fact, what: &str) -> bool {
    matches!(fact, Fact::Replica { what: told, .. } if told.starts_with(what))
}

fn is_astray(fact: &Fact, what: &str) -> bool {
    matches!(fact, Fact::Astray { what: told, .. } if told.contains(what))
}

fn is_twice(fact: &Fact, what: &str) -> bool {
    matches!(fact, Fact::Twice { what: told } if told.starts_with(what))
}

fn is_by(fact: &Fact, means: &str) -> bool {
    matches!(fact, Fact::Images { by: By::Person(by), .. } if *by == means)
}

fn is_pushed(fact: &Fact, means: &str) -> bool {
    matches!(fact, Fact::Committed { by: By::Person(by), moved, .. } if *by == means && !moved.is_empty())
}

impl Tally {
    /// Counts what a history contains.
    pub fn count(&mut self, history: &[Told]) {
        let mut tags = BTreeMap::new();
        for told in history {
            if let Fact::Tag { repository, tag, digest } = &told.fact
                && let Some(Some(before)) = tags.insert((repository, tag), digest.as_ref())
                && digest.as_ref().is_some_and(|now| now != before)
            {
                *self.0.entry(TAGS_MOVED).or_default() += 1;
            }
            for (name, _) in KINDS.iter().filter(|(_, is_of)| is_of(&told.fact)) {
                *self.0.entry(name).or_default() += 1;
            }
        }
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        names().filter(|name| !self.0.contains_key(name)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in names() {
            writeln!(f, "{:>10}  {name}", self.0.get(name).copied().unwrap_or_default())?;
        }
        Ok(())
    }
}
