//! The update's life as a whole: tables of single moves, and a seeded generator of inputs.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::core::directives::{Approver, GitPlace, Rules};
use crate::core::failure::Failure;
use crate::core::hold::voter::{Ballot, Voter};
use crate::core::image::Pin;
use crate::core::workload::{WorkloadId, WorkloadKind};

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

fn rules(approvals: u32) -> Rules {
    Rules {
        approvals,
        approvers: ["user:ann", "user:bob", "user:eve"].into_iter().filter_map(Approver::parse).collect(),
        approval_deadline: Duration::from_hours(1),
        approval_valid: Duration::from_hours(2),
        rollback: true,
        rollout_timeout: Duration::from_mins(10),
        pin: Pin::Tag,
        write_back: vec![GitPlace { remote: "main".into(), path: None }],
    }
}

fn held(rules: Rules) -> Update {
    let workload = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
    let change = Change {
        container: "web".into(),
        init: false,
        repository: "ghcr.io/acme/web".parse().unwrap(),
        from: "ghcr.io/acme/web:1.0.0".into(),
        to: "ghcr.io/acme/web:1.0.1".into(),
        tag: "1.0.1".parse().unwrap(),
        digest: digest('a'),
    };
    let changes = vec![change];
    let id = UpdateId::derive(&workload, "uid", &changes, 1);
    let needed = rules.approvals;
    let spec =
        Spec { workload, uid: "uid".into(), changes, policy: "patch".into(), trigger: Trigger::Poll, rules, plan: Plan::Patch, attempt: 1 };
    let phase = Phase::Held(Held { waits: Reason::Approval { given: 0, needed }, asked: None, expires: None, paused: None, granted: None });
    Update {
        id,
        spec: Arc::new(spec),
        phase,
        since: START,
        created: START,
        votes: vec![],
        prompt: None,
        taken_back: Vec::new(),
        epoch: 0,
        history: History::default(),
    }
}

fn at(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

fn vote(voter: &str, verdict: Verdict) -> Input {
    Input::Vote(Ballot { voter: Voter::Caller(voter.into()), verdict, content: None, reason: None })
}

fn free() -> Input {
    Input::Look(Surroundings::default())
}

/// Feeds the inputs, each at its second, looking at the gates after every one as the engine does.
fn live(mut update: Update, inputs: &[(i64, Input)]) -> (Update, Vec<Effect>) {
    let mut issued = Vec::new();
    for (second, input) in inputs {
        let mut next = input.clone();
        loop {
            match step(&update, &next, at(*second)) {
                Step::Waits(_) => break,
                Step::Retries { to, effects } => {
                    update = to;
                    issued.extend(effects);
                    break;
                }
                Step::Moves { to, effects, .. } => {
                    update = to;
                    issued.extend(effects);
                }
            }
            next = if matches!(input, Input::Look(_)) { input.clone() } else { free() };
        }
    }
    (update, issued)
}

#[track_caller]
fn check(update: Update, inputs: &[(i64, Input)], phase: &str, effects: &[Effect], binds: bool) {
    let (end, issued) = live(update, inputs);
    assert_eq!((end.phase.as_str(), issued.as_slice(), end.binding().is_some()), (phase, effects, binds));
}

fn prompt(message: &str, ended: bool) -> Prompt {
    Prompt { channel: "C1".into(), message: message.into(), ended }
}

fn patched() -> Input {
    Input::Applied(Applied::Patched { applied: vec!["ghcr.io/acme/web:1.0.1".into()] })
}

fn committed() -> Input {
    Input::Recorded(Recorded::Committed(CommitRecord { remote: "main".into(), id: "c".repeat(40).into(), path: "web.yaml".into() }))
}

#[test]
fn without_approvals_an_update_runs_from_admission_to_its_commit() {
    use Effect::{Apply, Follow, WriteBack};
    let inputs = [(0, free()), (1, patched()), (2, Input::Followed(Followed::Healthy)), (3, committed())];
    check(held(rules(0)), &inputs[..1], "Applying", &[Apply], false);
    check(held(rules(0)), &inputs[..2], "Verifying", &[Apply, Follow], false);
    check(held(rules(0)), &inputs[..3], "Recording", &[Apply, Follow, WriteBack], false);
    check(held(rules(0)), &inputs, "Done", &[Apply, Follow, WriteBack], false);
    let unrecorded = Rules { write_back: vec![], ..rules(0) };
    check(held(unrecorded), &inputs[..3], "Done", &[Apply, Follow], false);
}

#[test]
fn only_enough_votes_of_approvers_open_the_gate() {
    use Effect::{Apply, Ask, Revise};
    use Verdict::{Approve, Reject};
    let ask = (0, free());
    check(held(rules(2)), std::slice::from_ref(&ask), "Held", &[Ask], false);
    check(held(rules(2)), &[ask.clone(), (1, vote("user:ann", Approve))], "Held", &[Ask, Revise], false);
    check(
        held(rules(2)),
        &[ask.clone(), (1, vote("user:ann", Approve)), (2, vote("user:ann", Approve))],
        "Held",
        &[Ask, Revise, Revise],
        false,
    );
    check(
        held(rules(2)),
        &[ask.clone(), (1, vote("user:mallory", Approve)), (2, vote("user:bob", Approve))],
        "Held",
        &[Ask, Revise],
        false,
    );
    let both = [ask.clone(), (1, vote("user:ann", Approve)), (2, vote("user:bob", Approve))];
    check(held(rules(2)), &both, "Applying", &[Ask, Revise, Revise, Apply], false);
    check(held(rules(2)), &[ask, (1, vote("user:ann", Approve)), (2, vote("user:bob", Reject))], "Rejected", &[Ask, Revise, Revise], true);
    let nobody = Rules { approvers: vec![], ..rules(1) };
    check(held(nobody), &[(0, free()), (1, vote("user:ann", Approve))], "Held", &[], false);
}

#[test]
fn the_time_to_vote_ends_and_stands_still_while_paused() {
    use Effect::{Apply, Ask, Revise};
    let paused = || Input::Look(Surroundings { paused: Some("all".into()), ..Surroundings::default() });
    let approve = || vote("user:ann", Verdict::Approve);
    check(held(rules(1)), &[(0, free()), (3_600, free())], "Expired", &[Ask, Revise], true);
    check(held(rules(1)), &[(0, free()), (3_600, approve())], "Expired", &[Ask, Revise], true);
    let late = [(0, free()), (1_000, paused()), (50_000, free()), (52_000, approve())];
    check(held(rules(1)), &late, "Applying", &[Ask, Revise, Apply], false);
    check(held(rules(1)), &[(0, paused()), (99_999, paused())], "Held", &[], false);
}

#[test]
fn a_grant_waits_for_room_but_not_for_ever() {
    use Effect::{Apply, Ask, Revise};
    let crowded = || Input::Look(Surroundings { crowded: Some(Reason::InFlightLimit { limit: 1 }), ..Surroundings::default() });
    let mut update = held(rules(1));
    let inputs = [free(), vote("user:ann", Verdict::Approve), crowded()];
    for (second, input) in inputs.iter().enumerate() {
        if let Step::Moves { to, .. } = step(&update, input, at(i64::try_from(second).unwrap())) {
            update = to;
        }
    }
    assert_eq!(update.phase.as_str(), "Held");
    check(update.clone(), &[(7_000, free())], "Applying", &[Apply], false);
    check(update, &[(7_300, crowded())], "Expired", &[Revise], true);
    check(held(rules(1)), &[(0, free())], "Held", &[Ask], false);
}

#[test]
fn the_time_to_vote_ends_also_while_something_else_is_in_the_way() {
    let unseen = || Input::Look(Surroundings { barred: Some(Reason::NotSeen), ..Surroundings::default() });
    check(held(rules(1)), &[(0, free()), (3_600, unseen())], "Expired", &[Effect::Ask, Effect::Revise], true);
    check(held(rules(1)), &[(0, unseen()), (99_999, unseen())], "Held", &[], false);
}

#[test]
fn nothing_is_patched_for_an_update_whose_ground_has_gone() {
    let moved = Drift::ImageMoved { found: "ghcr.io/acme/web:9".into() };
    for drift in [Drift::Gone, Drift::NotManaged, Drift::RulesChanged, moved.clone()] {
        check(held(rules(1)), &[(0, Input::Drift(drift))], "Superseded", &[], false);
    }
    let gone = Applied::TagGone { tag: "1.0.1".parse().unwrap() };
    let elsewhere = Applied::TagMoved { tag: "1.0.1".parse().unwrap(), now: digest('b') };
    for applied in [gone, elsewhere, Applied::Drifted(Drift::Gone), Applied::Drifted(moved)] {
        check(held(rules(0)), &[(0, free()), (1, Input::Applied(applied))], "Superseded", &[Effect::Apply], false);
    }
}

#[test]
fn an_image_that_a_person_moved_during_or_after_the_rollout_is_not_tried_again() {
    use Effect::{Apply, Follow, WriteBack};
    let moved = || Drift::ImageMoved { found: "ghcr.io/acme/web:1.0.0".into() };
    let during = [(0, free()), (1, patched()), (2, Input::Followed(Followed::Drifted(moved())))];
    check(held(rules(0)), &during, "Superseded", &[Apply, Follow], true);
    let done = [(0, free()), (1, patched()), (2, Input::Followed(Followed::Healthy)), (3, committed()), (4, back_in(&["web"]))];
    check(held(rules(0)), &done, "Done", &[Apply, Follow, WriteBack], true);
    let patched_and_back = [(0, free()), (1, Input::Applied(Applied::Drifted(moved())))];
    check(held(rules(0)), &patched_and_back, "Superseded", &[Apply], true);
}

#[test]
fn a_failed_rollout_is_put_back_once_and_binds() {
    use Effect::{Apply, Follow, Restore};
    let failed = || Input::Followed(Followed::Failed { why: "crash".into() });
    let inputs = [(0, free()), (1, patched()), (2, failed()), (3, Input::Restored(Restored::Back))];
    check(held(rules(0)), &inputs[..3], "Restoring", &[Apply, Follow, Restore], false);
    check(held(rules(0)), &inputs, "RolledBack", &[Apply, Follow, Restore], true);
    let kept = Rules { rollback: false, ..rules(0) };
    check(held(kept), &inputs[..3], "Failed", &[Apply, Follow], true);
}

#[test]
fn where_a_request_can_be_seen_is_kept_and_what_it_misses_is_shown() {
    use Effect::{Apply, Ask, Follow, Revise};
    let posted = |second| (second, Input::Prompted(prompt("1.1", false)));
    let (asked, issued) = live(held(rules(1)), &[(0, free()), posted(1), posted(2)]);
    assert_eq!((asked.prompt.as_ref(), issued.as_slice()), (Some(&prompt("1.1", false)), [Ask].as_slice()));
    assert_eq!(asked.history.iter().count(), 2, "recorded once");
    let yes = || vote("user:ann", Verdict::Approve);
    check(asked.clone(), &[(3, yes())], "Applying", &[Revise, Apply], false);
    check(held(rules(1)), &[(0, free()), (1, yes()), (2, patched()), posted(3)], "Verifying", &[Ask, Revise, Apply, Follow, Revise], false);

    let Step::Moves { to: granted, .. } = step(&asked, &yes(), at(3)) else { panic!("the vote does not count") };
    assert_eq!((granted.phase.as_str(), resume(&granted)), ("Held", vec![Ask]), "the grant is still to be shown");

    let (closed, _) = live(asked, &[(3, vote("user:ann", Verdict::Reject))]);
    assert_eq!(resume(&closed), [Revise], "the end is still to be shown");
    let (shown, issued) = live(closed, &[(4, Input::Prompted(prompt("1.1", true)))]);
    assert_eq!((issued, resume(&shown)), (vec![], vec![]));
}

#[test]
fn a_rollout_that_skeg_cannot_follow_is_not_put_back() {
    use Effect::{Apply, Follow};
    let broken = Input::Followed(Followed::Broken { why: "oops".into() });
    check(held(rules(0)), &[(0, free()), (1, patched()), (2, broken)], "Failed", &[Apply, Follow], true);
}

#[test]
fn what_a_rollout_still_lacks_is_told_and_not_recorded() {
    let lacks = |missing: &str| Input::Followed(Followed::Progressing { missing: missing.into() });
    let inputs = [(0, free()), (1, patched()), (2, lacks("0 of 2 pods are available")), (4, lacks("1 of 2 pods are available"))];
    let (update, issued) = live(held(rules(0)), &inputs);
    assert_eq!(issued, [Effect::Apply, Effect::Follow, Effect::Follow, Effect::Follow], "and followed on");
    let Step::Waits(reason) = step(&update, &free(), Timestamp::UNIX_EPOCH) else { panic!("it moves") };
    assert_eq!(reason.to_string(), "following the rollout: 1 of 2 pods are available");
    assert_eq!(update.history.iter().count(), live(held(rules(0)), &inputs[..2]).0.history.iter().count());
}

#[test]
fn a_rollout_that_cannot_be_read_is_told_and_ends_at_the_deadline_when_it_is_refused() {
    let refused = || Input::Followed(Followed::Unread(Failure::refused("pods: not allowed")));
    let away = || Input::Followed(Followed::Unread(Failure::transient("away")));
    let (update, _) = live(held(rules(0)), &[(0, free()), (1, patched()), (2, refused())]);
    let Phase::Verifying(verifying) = &update.phase else { panic!("{:?}", update.phase) };
    assert_eq!(verifying.trouble.as_deref(), Some("pods: not allowed"));
    let (_, issued) = live(held(rules(0)), &[(0, free()), (1, patched()), (2, refused()), (60, free())]);
    assert_eq!(issued, [Effect::Apply, Effect::Follow, Effect::Follow], "and read again");
    let late = 86_400;
    let inputs = |last: Input| vec![(0, free()), (1, patched()), (2, refused()), (late, free()), (late + 1, last), (late + 60, free())];
    check(held(rules(0)), &inputs(refused())[..5], "Failed", &[Effect::Apply, Effect::Follow, Effect::Follow], true);
    let (update, _) = live(held(rules(0)), &inputs(away()));
    assert_eq!(update.phase.as_str(), "Verifying", "an API server that is away is waited for");
}

#[test]
fn what_stops_the_patch_is_waited_for_without_counting_as_a_try() {
    for (stopped, told) in [(Applied::Paused, "a pause is on"), (Applied::Barred(Reason::NotSeen), "the workload is not seen")] {
        let stopped = || Input::Applied(stopped.clone());
        let mut inputs = vec![(0, free())];
        inputs.extend((1..1_000).flat_map(|round| [(round * 60, stopped()), (round * 60 + 30, free())]));
        let (update, issued) = live(held(rules(0)), &inputs);
        let Phase::Applying(applying) = &update.phase else { panic!("{:?}", update.phase) };
        assert_eq!((applying.tries, issued.len()), (0, 1_000));
        assert!(applying.trouble.as_deref().is_some_and(|trouble| trouble.starts_with(told)));
        assert_eq!(update.history.iter().filter(|entry| &*entry.event == "paused").count(), 1, "told once");
    }
}

#[test]
fn trouble_is_tried_again_until_a_stated_end() {
    let trouble = || Input::Applied(Applied::Failed(Failure::transient("busy")));
    let (update, issued) = live(held(rules(0)), &[(0, free()), (1, trouble()), (60, free())]);
    assert_eq!((update.phase.as_str(), issued.as_slice()), ("Applying", [Effect::Apply, Effect::Apply].as_slice()));
    let refused = Input::Applied(Applied::Failed(Failure::refused("no")));
    check(held(rules(0)), &[(0, free()), (1, refused)], "Failed", &[Effect::Apply], true);
    let inputs: Vec<_> = (0..2_000).map(|second| (second * 60, if second % 2 == 0 { free() } else { trouble() })).collect();
    assert_eq!(live(held(rules(0)), &inputs).0.phase.as_str(), "Failed");
}

/// Looks and tries that are forbidden, every ten seconds.
fn forbidden(from: i64, seconds: i64, input: &dyn Fn(Failure) -> Input) -> Vec<(i64, Input)> {
    let tries = (from..=from + seconds).step_by(10);
    tries.flat_map(|second| [(second, input(Failure::forbidden("deployments.apps is forbidden"))), (second + 9, free())]).collect()
}

#[test]
fn what_is_forbidden_is_tried_again_for_some_minutes_told_once_and_then_ends() {
    let applied = |failure| Input::Applied(Applied::Failed(failure));
    let minutes = |seconds| [vec![(0, free())], forbidden(0, seconds, &applied)].concat();
    let waits = live(held(rules(0)), &minutes(290));
    assert_eq!(waits.0.phase.as_str(), "Applying");
    assert!(waits.1.len() > 8, "it is tried again: {:?}", waits.1);
    let told = |update: &Update| update.history.iter().filter(|entry| &*entry.event == "forbidden").count();
    assert_eq!(told(&waits.0), 1);
    let Step::Waits(reason) = step(&waits.0, &Input::Lift { by: "x".into() }, at(299)) else { panic!("it moves") };
    assert!(reason.to_string().contains("deployments.apps is forbidden"), "{reason}");
    let mended = [minutes(290), vec![(299, patched())]].concat();
    assert_eq!(live(held(rules(0)), &mended).0.phase.as_str(), "Verifying");
    let (end, _) = live(held(rules(0)), &minutes(300));
    assert_eq!((end.phase.as_str(), end.binding().is_some()), ("Failed", true));
}

/// A server that was away for an hour and has just started: what it forbids then is a new trouble.
#[test]
fn what_is_forbidden_after_other_trouble_is_tried_for_as_long() {
    let mut inputs = vec![(0, free())];
    for round in 0..100 {
        inputs.extend([(10 * round, Input::Applied(Applied::Failed(Failure::transient("away")))), (10 * round + 9, free())]);
    }
    inputs.extend(forbidden(1_000, 20, &|failure| Input::Applied(Applied::Failed(failure))));
    let (update, _) = live(held(rules(0)), &inputs);
    assert_eq!(update.phase.as_str(), "Applying");
    inputs.push((1_030, patched()));
    assert_eq!(live(held(rules(0)), &inputs).0.phase.as_str(), "Verifying");
}

#[test]
fn an_image_that_must_not_be_put_back_yet_is_put_back_when_it_may() {
    let failed = Input::Followed(Followed::Failed { why: "crash".into() });
    let restored = |failure| Input::Restored(Restored::Failed(failure));
    let minutes = |seconds| [vec![(0, free()), (1, patched()), (2, failed.clone())], forbidden(10, seconds, &restored)].concat();
    let (update, _) = live(held(rules(0)), &minutes(290));
    let Phase::Restoring(restoring) = &update.phase else { panic!("{:?}", update.phase) };
    let told = restoring.reason().to_string();
    assert!(told.contains("deployments.apps is forbidden") && told.contains("crash"), "{told}");
    let mended = [minutes(290), vec![(309, Input::Restored(Restored::Back))]].concat();
    assert_eq!(live(held(rules(0)), &mended).0.phase.as_str(), "RolledBack");
    assert_eq!(live(held(rules(0)), &minutes(300)).0.phase.as_str(), "Failed");
}

#[test]
fn what_git_refuses_ends_unrecorded_and_what_a_person_wrote_stays() {
    let recording = || [(0, free()), (1, patched()), (2, Input::Followed(Followed::Healthy))].to_vec();
    let refused = || Input::Recorded(Recorded::Failed(Failure::refused("hook")));
    let mut inputs = recording();
    for round in 0..5 {
        inputs.extend([(100 * round + 10, refused()), (100 * round + 90, free())]);
    }
    assert_eq!(live(held(rules(0)), &inputs).0.phase.as_str(), "Unrecorded");
    let mut inputs = recording();
    let moved = Reason::GitMoved { path: "web.yaml".into(), found: "web:2".into() };
    inputs.push((3, Input::Recorded(Recorded::Unrecordable(moved))));
    assert_eq!(live(held(rules(0)), &inputs).0.phase.as_str(), "Unrecorded");
}

/// Any input that the engine could feed, at random.
fn back_in(containers: &[&str]) -> Input {
    let containers = containers.iter().map(|container| (*container).into()).collect();
    Input::TakenBack { containers, found: "ghcr.io/acme/web:1.0.0".into() }
}

fn any_input(random: &mut fastrand::Rng) -> Input {
    let failure = match random.u8(..4) {
        3 => Failure::forbidden("not yet"),
        0 => Failure::transient("busy"),
        1 => Failure::refused("no"),
        _ => Failure { kind: crate::core::failure::FailureKind::Panicked, ..Failure::transient("oops") },
    };
    let drift = match random.u8(..4) {
        0 => Drift::Gone,
        1 => Drift::NotManaged,
        2 => Drift::RulesChanged,
        _ => Drift::ImageMoved { found: if random.bool() { "ghcr.io/acme/web:1.0.0".into() } else { "other:1".into() } },
    };
    let verdict = if random.u8(..4) == 0 { Verdict::Reject } else { Verdict::Approve };
    match random.u8(..17) {
        0..4 => Input::Look(Surroundings {
            paused: random.bool().then(|| "all".into()),
            barred: (random.u8(..8) == 0).then_some(Reason::NoGitRemote { owner: crate::core::workload::GitOpsOwner::Flux }),
            bound: (random.u8(..8) == 0).then_some(Reason::NotChosen),
            crowded: (random.u8(..4) == 0).then_some(Reason::InFlightLimit { limit: 1 }),
        }),
        4 | 5 => free(),
        6 | 7 => vote(random.choice(["user:ann", "user:bob", "user:eve", "user:mallory"]).unwrap(), verdict),
        8 if random.bool() => Input::Drift(drift),
        8 => back_in(random.choice([&["web"][..], &["sidecar"], &["web", "sidecar"]]).unwrap()),
        9 => Input::Supersede(Reason::NotChosen),
        10 => Input::Applied(
            random.choice([Applied::Failed(failure), Applied::Drifted(drift), Applied::Paused, Applied::Barred(Reason::NotSeen)]).unwrap(),
        ),
        11 => patched(),
        12 => Input::Followed(
            random
                .choice([
                    Followed::Healthy,
                    Followed::Failed { why: "x".into() },
                    Followed::TimedOut { missing: "y".into() },
                    Followed::Broken { why: "z".into() },
                ])
                .unwrap(),
        ),
        13 => Input::Restored(random.choice([Restored::Back, Restored::Failed(failure), Restored::Drifted(drift)]).unwrap()),
        14 => random.choice([committed(), Input::Recorded(Recorded::Failed(failure))]).unwrap(),
        15 => Input::Prompted(prompt(random.choice(["1.1", "2.2"]).unwrap(), random.bool())),
        _ => Input::Lift { by: "ann".into() },
    }
}

/// The moves that the picture at the head of `core::update` allows; a phase may also move to itself.
fn is_legal(from: &Phase, to: &Phase) -> bool {
    use Phase::{Applying, Closed, Held, Recording, Restoring, Verifying};
    match (from, to) {
        (Held(_), Held(_) | Applying(_))
        | (Applying(_), Applying(_) | Verifying(_))
        | (Verifying(_), Verifying(_) | Restoring(_) | Recording(_))
        | (Restoring(_), Restoring(_))
        | (Recording(_), Recording(_)) => true,
        (Held(_), Closed(end)) => matches!(end.outcome, Outcome::Superseded | Outcome::Rejected | Outcome::Expired),
        (Applying(_), Closed(end)) => matches!(end.outcome, Outcome::Superseded | Outcome::Failed),
        (Verifying(_), Closed(end)) => matches!(end.outcome, Outcome::Done | Outcome::Superseded | Outcome::Failed),
        (Restoring(_), Closed(end)) => matches!(end.outcome, Outcome::RolledBack | Outcome::Superseded | Outcome::Failed),
        (Recording(_), Closed(end)) => matches!(end.outcome, Outcome::Done | Outcome::Unrecorded),
        (Closed(before), Closed(after)) => before.outcome == after.outcome && before.reason == after.reason,
        _ => false,
    }
}

/// The effects that may be issued in a phase: those that `resume` would issue again, and showing people the state.
fn belongs(effect: Effect, update: &Update) -> bool {
    effect == Effect::Revise || resume(update).contains(&effect)
}

#[test]
fn no_sequence_of_inputs_makes_an_illegal_move_or_an_effect_without_its_cause() {
    for seed in 0..4_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut update = held(Rules { rollback: random.bool(), ..rules(random.u32(..3)) });
        let mut now = START;
        let mut patches = 0;
        for _ in 0..60 {
            now += SignedDuration::from_secs(random.i64(0..900));
            let input = any_input(&mut random);
            let (to, effects, is_recorded) = match step(&update, &input, now) {
                Step::Waits(_) => {
                    let is_over = matches!(input, Input::Look(_)) && deadline(&update).is_some_and(|at| at <= now);
                    assert!(
                        !is_over,
                        "seed {seed}: a look after its time leaves {:?} as it is, and would be taken again at once",
                        update.phase
                    );
                    continue;
                }
                Step::Retries { to, effects } => (to, effects, false),
                Step::Moves { to, effects, .. } => (to, effects, true),
            };
            assert!(is_legal(&update.phase, &to.phase), "seed {seed}: {:?} to {:?} by {input:?}", update.phase, to.phase);
            assert_eq!((&to.id, &to.spec, to.created), (&update.id, &update.spec, update.created), "seed {seed}");
            for effect in effects {
                assert!(belongs(effect, &to), "seed {seed}: {effect:?} in {:?}", to.phase);
                // What was not journalled may only repeat an effect whose cause was.
                let is_due = deadline(&update).is_some_and(|at| at <= now) && update.phase.as_str() == to.phase.as_str();
                assert!(is_recorded || is_due || resume(&update).contains(&effect), "seed {seed}: {effect:?} has no durable cause");
                patches += u32::from(is_recorded && effect == Effect::Apply);
            }
            if is_recorded {
                let before = update.history.iter().last().map(|entry| entry.at);
                assert!(to.history.iter().last().map(|entry| entry.at) >= before, "seed {seed}: a move is in the history");
            }
            update = to;
            assert!(update.votes.iter().all(|vote| &*vote.voter != "user:mallory"), "seed {seed}: a stranger's vote counted");
            assert!(resume(&update).len() <= 1, "seed {seed}: one effect is outstanding at most");
            let is_put_off = !matches!(update.phase, Phase::Held(_)) && deadline(&update).is_some();
            assert!(!is_put_off || resume(&update).is_empty(), "seed {seed}: what waits for its time is not begun by a restart as well");
        }
        assert!(patches <= 1, "seed {seed}: one decision, one patch");
    }
}

/// What an effect brings back when it does what it is to do.
fn carried_out(effect: Effect) -> Input {
    match effect {
        Effect::Ask | Effect::Revise => Input::Prompted(prompt("1.1", true)),
        Effect::Apply | Effect::LookOnly => patched(),
        Effect::Follow => Input::Followed(Followed::Healthy),
        Effect::Restore => Input::Restored(Restored::Back),
        Effect::WriteBack => committed(),
    }
}

#[test]
fn resumed_twice_is_resumed_once() {
    let mut resumed = std::collections::BTreeSet::new();
    for seed in 0..4_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut update = held(rules(random.u32(..2)));
        for round in 0..30 {
            if let Step::Moves { to, .. } = step(&update, &any_input(&mut random), at(round * 60)) {
                update = to;
            }
            for effect in resume(&update) {
                let (once, issued) = live(update.clone(), &[(round * 60, carried_out(effect))]);
                assert!(once != update || effect == Effect::Ask, "seed {seed}: {effect:?} leads nowhere from {:?}", update.phase);
                let again = live(once.clone(), &[(round * 60, carried_out(effect))]);
                assert_eq!(again, (once.clone(), vec![]), "seed {seed}: {effect:?}");
                assert!(issued.iter().all(|next| belongs(*next, &once)), "seed {seed}: {issued:?} is lost in {:?}", once.phase);
                resumed.insert(update.phase.as_str());
            }
        }
    }
    let open: Vec<&str> = resumed.into_iter().filter(|phase| Outcome::ALL.iter().all(|outcome| outcome.as_str() != *phase)).collect();
    assert_eq!(open, ["Applying", "Held", "Recording", "Restoring", "Verifying"]);
}

#[test]
fn an_update_is_applied_only_with_the_votes_it_needs() {
    for seed in 0..4_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut update = held(rules(2));
        for round in 0..40 {
            let input = any_input(&mut random);
            if let Step::Moves { to, .. } = step(&update, &input, at(round * 60)) {
                if matches!(to.phase, Phase::Applying(_)) {
                    assert!(to.approvals() >= 2, "seed {seed}");
                }
                update = to;
            }
        }
    }
}

#[test]
fn what_is_set_back_while_it_is_recorded_binds_however_it_ends_until_it_is_lifted() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut update = live(held(rules(0)), &[(0, free()), (1, patched()), (2, Input::Followed(Followed::Healthy))]).0;
        let mut is_set_back = false;
        for round in 1..80 {
            let input = any_input(&mut random);
            let is_moved = match &input {
                Input::TakenBack { containers, .. } => containers.iter().any(|container| !update.was_taken_back(container)),
                _ => false,
            };
            let to = match step(&update, &input, at(round * 60)) {
                Step::Waits(_) => {
                    assert!(!is_moved, "seed {seed}: a set-back is overlooked in {:?}", update.phase);
                    continue;
                }
                Step::Retries { to, effects } => {
                    assert!(!is_set_back || effects.is_empty(), "seed {seed}: what was taken back is written to Git again");
                    to
                }
                Step::Moves { to, .. } => to,
            };
            is_set_back |= is_moved;
            if let Input::Lift { .. } = input {
                is_set_back = false;
            }
            assert_eq!(to.binding().is_some(), is_set_back && !to.is_open(), "seed {seed}: {:?}", to.phase);
            update = to;
        }
        if !update.is_open() {
            ends.insert((update.phase.as_str(), update.binding().is_some()));
        }
    }
    assert_eq!(ends.len(), 4, "done and unrecorded ones, which bind or not: {ends:?}");
}

#[test]
fn a_workload_that_a_gitops_controller_owns_is_never_patched() {
    for seed in 0..1_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut update = held(rules(random.u32(..2)));
        update.spec = Arc::new(Spec { plan: Plan::Git, ..(*update.spec).clone() });
        for round in 0..40 {
            if let Step::Moves { to, .. } = step(&update, &any_input(&mut random), at(round * 60)) {
                update = to;
            }
            assert!(!update.is_in_flight() && update.phase.rollout().is_none(), "seed {seed}: {:?}", update.phase);
        }
    }
}
