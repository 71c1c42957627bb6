//! What is deployed was approved by as many listed people as were asked for, for exactly its digests, before it was deployed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use skeg::core::update::{Update, UpdateId, Verdict};

use super::Promise;
use super::past::{Past, Patch, patch};
use crate::history::{Fact, Told};
use crate::people::APPROVERS;

/// How long after a person asked for approvals a patch may still go out that was decided before: the watch may be broken, and a try has a
/// few requests.
const HEARS_OF_IT: SignedDuration = SignedDuration::from_secs(150);
/// How long a digest that was read may take to become a patch: requests are slow, and several are made in a row.
const JUST_READ: SignedDuration = SignedDuration::from_secs(30);

/// The ballots that were brought so far, by update and voter, the newest last.
#[derive(Default)]
pub struct Approved {
    ballots: BTreeMap<UpdateId, Vec<Ballot>>,
}

struct Ballot {
    voter: Box<str>,
    verdict: Verdict,
    /// What the voter was shown; `None` where only the update was named.
    shown: Option<Box<str>>,
    /// Whether skeg said that it counts.
    counts: bool,
    at: Timestamp,
}

impl Approved {
    /// Listed voters who approved exactly these digests.
    fn approvers(&self, update: &Update) -> Vec<Box<str>> {
        let content = update.content();
        let ballots = self.ballots.get(&update.id).map(Vec::as_slice).unwrap_or_default();
        let is_valid = |ballot: &&Ballot| {
            ballot.verdict == Verdict::Approve
                && APPROVERS.contains(&&*ballot.voter)
                && ballot.shown.as_ref().is_none_or(|shown| **shown == *content)
                && ballot.at >= update.created.saturating_sub(CLOCKS_DIFFER).unwrap_or(Timestamp::MIN)
        };
        let mut voters: Vec<Box<str>> = ballots.iter().filter(is_valid).map(|ballot| ballot.voter.clone()).collect();
        voters.sort();
        voters.dedup();
        voters
    }

    fn needed(patch: &Patch<'_>, update: &Update, past: &Past) -> usize {
        let since = past.before(patch.process, patch.sent, HEARS_OF_IT);
        let asked = past.said(patch.workload, "skeg.dev/approvals", since);
        let asked = asked.iter().map(|text| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)).min().unwrap_or(0);
        asked.max(usize::try_from(update.spec.rules.approvals).unwrap_or(0))
    }
}

/// By how much a clock of skeg's may be off.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(400);

impl Promise for Approved {
    fn words(&self) -> &'static str {
        "nothing runs that was not approved where approvals are asked for"
    }

    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String> {
        match &told.fact {
            Fact::Voted { update, ballot, .. } => {
                let ballot = Ballot {
                    voter: ballot.voter.name(),
                    verdict: ballot.verdict,
                    shown: ballot.content.clone(),
                    counts: false,
                    at: told.at,
                };
                self.ballots.entry(update.clone()).or_default().push(ballot);
            }
            Fact::VoteAnswered { update, ballot, counts: Some(true), .. } => {
                let voter = ballot.voter.name();
                for known in self.ballots.entry(update.clone()).or_default() {
                    known.counts |= known.voter == voter && known.verdict == ballot.verdict;
                }
            }
            // With its record the rejection is forgotten.
            Fact::Removed { id, .. } => self.ballots.entry(id.clone()).or_default().iter_mut().for_each(|ballot| ballot.counts = false),
            fact => {
                let Some(patch) = patch(fact).filter(|patch| !patch.restores()) else { return Ok(()) };
                let Some(update) = past.ever.get(&patch.update) else { return Ok(()) };
                let (needed, approvers) = (Self::needed(&patch, update, past), self.approvers(update));
                if approvers.len() < needed {
                    let who = if approvers.is_empty() { "nobody".to_owned() } else { approvers.join(", ") };
                    return Err(format!("{} was applied with the approval of {who}, and {needed} are asked for", patch.update.name));
                }
                let ballots = self.ballots.get(&patch.update).map(Vec::as_slice).unwrap_or_default();
                // A rejection ends the update: whoever was told that it counts must see nothing deployed by it afterwards.
                if let Some(no) = ballots.iter().find(|ballot| {
                    ballot.counts && ballot.verdict == Verdict::Reject && ballot.at < patch.sent && ballot.at >= update.created
                }) {
                    return Err(format!("{} was applied after {} rejected it", patch.update.name, no.voter));
                }
            }
        }
        Ok(())
    }
}

/// The digest is read again before the patch.
pub struct StillThere;

impl Promise for StillThere {
    fn words(&self) -> &'static str {
        "a digest is deployed only while its tag points at it"
    }

    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String> {
        let Some(patch) = patch(&told.fact).filter(|patch| !patch.restores()) else { return Ok(()) };
        let Some(update) = past.ever.get(&patch.update) else { return Ok(()) };
        let since = past.before(patch.process, patch.sent, JUST_READ);
        for change in &update.spec.changes {
            let pointed = past.pointed_at(&change.repository, &change.tag, since, patch.sent);
            if !pointed.contains(&Some(change.digest.clone())) {
                return Err(format!(
                    "{} set {} when {}:{} had not pointed at {} for {} s",
                    patch.update.name,
                    change.container,
                    change.repository,
                    change.tag,
                    change.digest.short(),
                    JUST_READ.as_secs()
                ));
            }
        }
        Ok(())
    }
}
