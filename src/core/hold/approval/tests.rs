use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::core::directives::{Approver, Rules};
use crate::core::hold::voter::{Clicker, Home, Standing, Voter};
use crate::core::image::Pin;
use crate::core::update::{Applying, Change, Closed, History, Plan, Prompt, Spec, Trigger, UpdateId};
use crate::core::workload::{WorkloadId, WorkloadKind};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// An update that these approvers are asked about, once.
fn asked(approvers: &[&str]) -> Update {
    let change = Change {
        container: "web".into(),
        init: false,
        repository: "ghcr.io/acme/web".parse().unwrap(),
        from: "ghcr.io/acme/web:1.0.0".into(),
        to: "ghcr.io/acme/web:1.0.1".into(),
        tag: "1.0.1".parse().unwrap(),
        digest: DIGEST.parse().unwrap(),
    };
    let rules = Rules {
        approvals: 1,
        approvers: approvers.iter().filter_map(|text| Approver::parse(text)).collect(),
        approval_deadline: std::time::Duration::from_hours(1),
        approval_valid: std::time::Duration::from_hours(1),
        rollback: true,
        rollout_timeout: std::time::Duration::from_mins(10),
        pin: Pin::Tag,
        write_back: Vec::new(),
    };
    let spec = Spec {
        workload: WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() },
        uid: "uid".into(),
        changes: vec![change],
        policy: "patch".into(),
        trigger: Trigger::Poll,
        rules,
        plan: Plan::Patch,
        attempt: 1,
    };
    let now = Timestamp::UNIX_EPOCH;
    let phase =
        Phase::Held(Held { waits: Reason::Approval { given: 0, needed: 1 }, asked: Some(now), expires: None, paused: None, granted: None });
    Update {
        id: UpdateId { namespace: "shop".into(), name: "web-1".into() },
        spec: Arc::new(spec),
        phase,
        since: now,
        created: now,
        votes: Vec::new(),
        prompt: Some(Prompt { channel: "C1".into(), message: "1.1".into(), ended: false }),
        taken_back: Vec::new(),
        epoch: 0,
        history: History::default(),
    }
}

fn click(user: &str, team: &str, channel: &str) -> Ballot {
    click_of(Standing::Member, user, team, channel)
}

fn click_of(standing: Standing, user: &str, team: &str, channel: &str) -> Ballot {
    let home = Home { team: "T1".into(), channel: "C0".into() };
    let clicker = Clicker { user: user.into(), team: Some(team.into()), channel: Some(channel.into()), standing, home };
    Ballot { voter: Voter::Slack(clicker), verdict: Verdict::Approve, content: Some(DIGEST.into()), reason: None }
}

fn caller(name: &str) -> Ballot {
    Ballot { voter: Voter::Caller(name.into()), verdict: Verdict::Approve, content: None, reason: None }
}

/// What is said to a refused ballot; empty for one that counts, `again` for one that repeats.
fn said(update: &Update, ballot: &Ballot) -> String {
    match admits(update, ballot) {
        Ok(Admitted::Counts) => String::new(),
        Ok(Admitted::Repeats) => "again".to_owned(),
        Err(refused) => refused.to_string(),
    }
}

#[track_caller]
fn check(approvers: &[&str], ballot: &Ballot, expected: &str) {
    let said = said(&asked(approvers), ballot);
    assert!(if expected.is_empty() { said.is_empty() } else { said.contains(expected) }, "{said:?}");
}

#[test]
fn a_voter_counts_under_exactly_the_name_that_is_listed() {
    check(&["slack:U1"], &click("U1", "T1", "C1"), "");
    check(&["slack:U1"], &click("U2", "T1", "C1"), "slack:U2 is not an approver of web-1: named are slack:U1");
    check(&["slack:U12"], &click("U1", "T1", "C1"), "not an approver");
    check(&["user:ann"], &click("ann", "T1", "C1"), "not an approver");
    check(&["slack:U1"], &caller("user:U1"), "not an approver");
    check(&["user:ann"], &caller("user:ann"), "");
    check(&[], &click("U1", "T1", "C1"), "named are none");
}

#[test]
fn the_channel_stands_for_the_members_who_click_in_it_and_for_nobody_else() {
    check(&["slack-channel"], &click("U7", "T1", "C1"), "");
    check(&["slack-channel"], &click("U7", "T1", "C2"), "asked for in another channel");
    check(&["slack-channel"], &caller("user:ann"), "not an approver");
    let unknown = || Standing::Unknown { why: "Slack is away".into() };
    for (standing, told) in [
        (Standing::Guest, "slack:U7 is a guest of the workspace, and only its members may approve web-1"),
        (Standing::App, "slack:U7 is an app"),
        (Standing::Left, "slack:U7 is no longer of the workspace"),
        (unknown(), "slack:U7 is not known to be a member of the workspace (Slack is away)"),
    ] {
        check(&["user:ann", "slack-channel"], &click_of(standing.clone(), "U7", "T1", "C1"), told);
        check(&["slack-channel", "slack:U7"], &click_of(standing.clone(), "U7", "T1", "C1"), "");
        check(&["slack:U1"], &click_of(standing, "U7", "T1", "C1"), "not an approver");
    }
    check(&["slack-group:S1"], &click("U7", "T1", "C1"), "not an approver");
}

#[test]
fn another_workspace_or_channel_does_not_vote_whoever_it_is() {
    check(&["slack:U1"], &click("U1", "T2", "C1"), "not of the workspace");
    check(&["slack:U1"], &click("U1", "T1", "C0"), "another channel");
    let silent = |change: fn(&mut Clicker)| {
        let mut ballot = click("U1", "T1", "C1");
        if let Voter::Slack(clicker) = &mut ballot.voter {
            change(clicker);
        }
        ballot
    };
    check(&["slack:U1"], &silent(|clicker| clicker.team = None), "not of the workspace");
    check(&["slack:U1"], &silent(|clicker| clicker.channel = None), "another channel");
}

#[test]
fn a_message_that_is_not_recorded_yet_is_in_the_configured_channel() {
    let update = Update { prompt: None, ..asked(&["slack:U1"]) };
    assert_eq!(said(&update, &click("U1", "T1", "C0")), "");
    assert!(said(&update, &click("U1", "T1", "C1")).contains("another channel"));
}

#[test]
fn what_was_shown_must_be_what_is_voted_for() {
    let stale = Ballot { content: Some(DIGEST.replace('a', "b").into()), ..click("U1", "T1", "C1") };
    check(&["slack:U1"], &stale, "not what was shown");
}

#[test]
fn the_same_vote_again_is_answered_the_same_unless_the_update_ended_against_it() {
    let mut update = asked(&["slack:U1"]);
    let (yes, no) = (click("U1", "T1", "C1"), Ballot { verdict: Verdict::Reject, ..click("U1", "T1", "C1") });
    update.votes.push(yes.vote(Timestamp::UNIX_EPOCH));
    assert_eq!(said(&update, &yes), "again");
    assert_eq!(said(&update, &no), "", "minds may change");
    update.phase = Phase::Applying(Applying::default());
    assert_eq!(said(&update, &yes), "again");
    assert!(said(&update, &no).contains("past voting"));
    for (outcome, expected) in [(Outcome::Done, "again"), (Outcome::Superseded, "Superseded"), (Outcome::Rejected, "Rejected")] {
        update.phase = Phase::Closed(Closed::with(outcome, Reason::NoWriteBack));
        assert!(said(&update, &yes).contains(expected), "{outcome:?}");
    }
}

#[test]
fn one_person_cannot_approve_in_two_places_while_nobody_knows_that_it_is_one() {
    let mut update = asked(&["slack:U1", "slack:U2", "user:ann"]);
    update.votes.push(click("U1", "T1", "C1").vote(Timestamp::UNIX_EPOCH));
    assert!(said(&update, &caller("user:ann")).contains("has approvals from slack"));
    assert_eq!(said(&update, &click("U2", "T1", "C1")), "");
    assert_eq!(said(&update, &Ballot { verdict: Verdict::Reject, ..caller("user:ann") }), "", "a rejection counts from anywhere");
}
