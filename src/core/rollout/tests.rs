#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;

const APPROVED: char = 'a';
const OTHER: char = 'b';

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

fn change(image: &str) -> Change {
    Change {
        container: "web".into(),
        init: false,
        repository: "ghcr.io/acme/web".parse().unwrap(),
        from: "ghcr.io/acme/web:1.0.0".into(),
        to: image.into(),
        tag: "1.0.1".parse().unwrap(),
        digest: digest(APPROVED),
    }
}

const TAGGED: &str = "ghcr.io/acme/web:1.0.1";

/// A finished rollout of two pods that were given `image` and report `image_id`.
fn finished(image: &str, image_id: &str) -> RolloutFacts {
    let container =
        ContainerFacts { name: "web".into(), image: image.into(), image_id: image_id.into(), ready: true, ..Default::default() };
    let pod = |name: &str| PodFacts { name: name.into(), started: Some(at(0)), containers: vec![container.clone()], ..Default::default() };
    RolloutFacts {
        uid: "u1".into(),
        containers: vec![Container { name: "web".into(), image: image.into(), init: false }],
        generation: 4,
        observed_generation: 4,
        wanted: 2,
        updated: 2,
        total: 2,
        available: 2,
        pods: vec![pod("web-1"), pod("web-2")],
        ..Default::default()
    }
}

/// The same rollout with its last pod still waiting.
fn waiting(reason: &str, restarts: i32) -> RolloutFacts {
    let mut facts = finished(TAGGED, "");
    facts.available = 1;
    facts.total = 3;
    let container = &mut facts.pods[1].containers[0];
    container.ready = false;
    container.restarts = restarts;
    container.waiting = Some((reason.into(), "it says\nno".into()));
    facts
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + second).unwrap()
}

#[track_caller]
fn judged(facts: &RolloutFacts, after_seconds: i64) -> Verdict {
    let image = facts.containers.first().map_or(TAGGED.into(), |container| container.image.clone());
    judge(facts, &[change(&image)], &[image], &[], at(after_seconds))
}

#[track_caller]
fn check(edit: impl FnOnce(&mut RolloutFacts), expected: &str) {
    let mut facts = finished(TAGGED, &format!("ghcr.io/acme/web@{}", digest(APPROVED)));
    edit(&mut facts);
    let verdict = judged(&facts, 30);
    let told = match &verdict {
        Verdict::Progressing { missing } => format!("progressing: {missing}"),
        Verdict::Settling { missing } => format!("settling: {missing}"),
        Verdict::Healthy => "healthy".to_owned(),
        Verdict::Failed { why } => format!("failed: {why}"),
        Verdict::DigestDiffers { found } => format!("differs: {found}"),
        Verdict::Moved { found } => format!("moved: {found}"),
    };
    assert_eq!(told, expected);
}

#[test]
fn a_rollout_is_healthy_when_every_wanted_pod_is_new_and_available_and_no_old_one_is_left() {
    check(|_| (), "healthy");
    check(|facts| facts.available = 1, "progressing: 1 of 2 pods are available");
    check(|facts| facts.total = 3, "progressing: 1 of 3 pods are of an older one");
    check(
        |facts| (facts.updated, facts.total, facts.available) = (1, 2, 1),
        "progressing: 1 of 2 pods are of the new template; 1 of 2 pods are of an older one",
    );
    check(|facts| (facts.updated, facts.total, facts.available) = (0, 0, 0), "progressing: 0 of 2 pods are of the new template");
}

#[test]
fn a_workload_scaled_to_nothing_is_healthy_once_its_pods_are_gone() {
    check(|facts| (facts.wanted, facts.updated, facts.total, facts.available, facts.pods) = (0, 0, 0, 0, Vec::new()), "healthy");
    check(
        |facts| (facts.wanted, facts.updated, facts.total, facts.available) = (0, 0, 2, 2),
        "progressing: 2 of 2 pods are of an older one",
    );
}

#[test]
fn counts_and_conditions_of_an_earlier_specification_are_not_believed() {
    let unseen = "progressing: the controller has not looked at the change yet";
    check(|facts| facts.observed_generation = 3, unseen);
    check(|facts| (facts.observed_generation, facts.progress_exceeded) = (3, Some("too slow".into())), unseen);
}

#[test]
fn the_progress_deadline_of_this_rollout_is_a_failure_and_that_of_the_one_before_is_not() {
    let slow = |facts: &mut RolloutFacts, updated, failure: Option<&str>| {
        (facts.updated, facts.total, facts.available) = (updated, 2, 0);
        facts.progress_exceeded = Some("has timed out progressing.".into());
        facts.replica_failure = failure.map(Into::into);
    };
    check(|facts| slow(facts, 1, None), "failed: has timed out progressing");
    check(|facts| slow(facts, 0, Some("exceeded quota")), "failed: has timed out progressing (exceeded quota)");
    check(|facts| slow(facts, 0, None), "progressing: 0 of 2 pods are of the new template; 2 of 2 pods are of an older one");
}

#[test]
fn a_quota_a_pause_and_a_full_cluster_are_told_while_they_last() {
    check(
        |facts| (facts.available, facts.replica_failure) = (1, Some("exceeded quota".into())),
        "progressing: 1 of 2 pods are available; exceeded quota",
    );
    check(
        |facts| (facts.available, facts.paused) = (1, true),
        "progressing: its rollout is paused (spec.paused); 1 of 2 pods are available",
    );
    check(
        |facts| {
            facts.available = 1;
            facts.pods[1].unschedulable = Some("0/3 nodes are available".into());
        },
        "progressing: 1 of 2 pods are available; pod web-2: no node takes it: 0/3 nodes are available",
    );
}

#[test]
fn an_image_that_somebody_moved_is_told_before_anything_else() {
    let image = |facts: &mut RolloutFacts, image: &str| facts.containers[0].image = image.into();
    let mut facts = finished(TAGGED, "");
    image(&mut facts, "ghcr.io/acme/web:1.0.0");
    facts.progress_exceeded = Some("too slow".into());
    let verdict = judge(&facts, &[change(TAGGED)], &[TAGGED.into()], &[], at(0));
    assert_eq!(verdict, Verdict::Moved { found: "ghcr.io/acme/web:1.0.0".into() });
    facts.containers.clear();
    let verdict = judge(&facts, &[change(TAGGED)], &[TAGGED.into()], &[], at(0));
    assert!(matches!(verdict, Verdict::Moved { found } if found.contains("no container web")));
}

#[track_caller]
fn check_waiting(reason: &str, restarts: i32, after_seconds: i64, is_failure: bool) {
    let verdict = judged(&waiting(reason, restarts), after_seconds);
    assert_eq!(matches!(verdict, Verdict::Failed { .. }), is_failure, "{reason}, {restarts} restarts, {after_seconds} s: {verdict:?}");
}

#[test]
fn what_a_node_can_never_mend_is_a_failure_at_first_sight() {
    for reason in ["InvalidImageName", "ErrImageNeverPull", "SignatureValidationFailed"] {
        check_waiting(reason, 0, 0, true);
    }
}

#[test]
fn what_may_pass_is_a_failure_only_after_two_minutes() {
    for reason in ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError"] {
        check_waiting(reason, 0, 119, false);
        check_waiting(reason, 0, 120, true);
    }
    let mut unstarted = waiting("ImagePullBackOff", 0);
    unstarted.pods[1].started = None;
    assert!(matches!(judged(&unstarted, 500), Verdict::Progressing { .. }));
    check_waiting("ImagePullBackOff", 0, -60, false);
}

#[test]
fn a_crashing_container_is_a_failure_after_three_restarts() {
    check_waiting("CrashLoopBackOff", 2, 500, false);
    check_waiting("CrashLoopBackOff", 3, 1, true);
    check_waiting("RunContainerError", 3, 1, true);
}

#[test]
fn an_ordinary_or_unknown_step_decides_nothing() {
    for reason in ["ContainerCreating", "PodInitializing", "SomethingOfTomorrow", ""] {
        check_waiting(reason, 9, 5_000, false);
    }
}

#[test]
fn a_failure_names_pod_container_reason_and_message_in_one_line() {
    let Verdict::Failed { why } = judged(&waiting("CrashLoopBackOff", 3), 1) else { panic!("not failed") };
    assert_eq!(&*why, "pod web-2, container web: CrashLoopBackOff after 3 restarts: it says no");
}

#[test]
fn a_pod_that_still_crashes_keeps_a_rollout_from_being_healthy_whatever_the_counts_say() {
    let mut facts = waiting("CrashLoopBackOff", 1);
    (facts.total, facts.available) = (2, 2);
    assert!(matches!(judged(&facts, 1), Verdict::Progressing { .. }));
}

/// A complete rollout, `after_seconds` after the first container of its first pod started for the last time.
fn check_steady(edit: impl FnOnce(&mut RolloutFacts), after_seconds: i64, expected: &str) {
    check(
        |facts| {
            facts.pods[0].containers[0].running_since = Some(at(30 - after_seconds));
            edit(facts);
        },
        expected,
    );
}

#[test]
fn a_container_without_a_probe_is_healthy_only_when_it_has_run_for_a_while() {
    let told = |runs| format!("settling: container web of pod web-1 has no readiness probe and runs for {runs} of 10 s");
    check_steady(|_| (), 0, &told(0));
    check_steady(|_| (), 9, &told(9));
    check_steady(|_| (), 10, "healthy");
    check_steady(|facts| facts.pods[0].containers[0].probed = true, 0, "healthy");
    check_steady(|facts| facts.min_ready_seconds = 5, 0, "healthy");
}

#[test]
fn a_container_that_came_up_again_after_a_crash_has_to_stay_up_for_longer() {
    let restarted = |facts: &mut RolloutFacts| facts.pods[0].containers[0].restarts = 1;
    let told = "progressing: container web of pod web-1 has no readiness probe and runs for 59 of 60 s after 1 restarts";
    check_steady(restarted, 59, told);
    check_steady(restarted, 60, "healthy");
    // A container that was never restarted is younger: what was restarted is told, as it decides.
    check_steady(
        |facts| {
            restarted(facts);
            facts.pods[1].containers[0].running_since = Some(at(30));
        },
        59,
        told,
    );
}

#[test]
fn a_container_that_has_just_ended_is_not_healthy_though_the_counts_are_still_complete() {
    check(|facts| facts.pods[1].containers[0].ready = false, "progressing: container web of pod web-2 is not ready");
}

#[test]
fn a_node_whose_clock_is_ahead_delays_a_rollout_by_little() {
    check_steady(|_| (), -60, "settling: container web of pod web-1 has no readiness probe and runs for 0 of 10 s");
    check_steady(|_| (), -61, "healthy");
}

#[track_caller]
fn check_digest(image: &str, image_id: &str, indexes: &[ImageIndex], is_approved: bool) {
    let verdict = judge(&finished(image, image_id), &[change(image)], &[image.into()], indexes, at(30));
    match verdict {
        Verdict::Healthy => assert!(is_approved, "{image_id} passed"),
        Verdict::DigestDiffers { found } => assert!(!is_approved && found.contains("pod web-1"), "{found}"),
        other => panic!("{image_id}: {other:?}"),
    }
}

#[test]
fn an_image_given_by_tag_must_show_the_approved_digest_in_whatever_form() {
    for form in ["ghcr.io/acme/web@DIGEST", "docker-pullable://ghcr.io/acme/web@DIGEST", "mirror.local:5000/x@DIGEST"] {
        check_digest(TAGGED, &form.replace("DIGEST", digest(APPROVED).as_str()), &[], true);
        check_digest(TAGGED, &form.replace("DIGEST", digest(OTHER).as_str()), &[], false);
    }
}

#[test]
fn an_image_id_without_a_manifest_digest_says_nothing() {
    for silent in [String::new(), digest(OTHER).to_string(), format!("docker://{}", digest(OTHER)), "web@nonsense".to_owned()] {
        check_digest(TAGGED, &silent, &[], true);
    }
}

#[test]
fn an_image_given_by_its_approved_digest_is_what_it_says_whatever_name_the_node_knows_it_by() {
    let pinned = format!("{TAGGED}@{}", digest(APPROVED));
    check_digest(&pinned, &format!("ghcr.io/acme/web@{}", digest(OTHER)), &[], true);
    let other = format!("{TAGGED}@{}", digest(OTHER));
    check_digest(&other, &format!("ghcr.io/acme/web@{}", digest(OTHER)), &[], false);
}

#[test]
fn the_platform_manifest_of_the_approved_index_and_the_same_image_packed_again_are_approved() {
    let index =
        |digit, manifests: &[char]| ImageIndex { digest: digest(digit), manifests: manifests.iter().map(|&digit| digest(digit)).collect() };
    let found = |digit| format!("ghcr.io/acme/web@{}", digest(digit));
    let approved = index(APPROVED, &['1', '2']);
    check_digest(TAGGED, &found('1'), &[], false);
    check_digest(TAGGED, &found('1'), std::slice::from_ref(&approved), true);
    check_digest(TAGGED, &found('3'), std::slice::from_ref(&approved), false);
    check_digest(TAGGED, &found('e'), &[approved.clone(), index('e', &['1', '2'])], true);
    check_digest(TAGGED, &found('e'), &[approved.clone(), index('e', &['1', '3'])], false);
    check_digest(TAGGED, &found('e'), &[approved, index('e', &[])], false);
}

#[test]
fn a_wrong_digest_is_told_before_the_rollout_is_finished() {
    check(
        |facts| {
            facts.available = 1;
            facts.pods[1].containers[0].image_id = format!("ghcr.io/acme/web@{}", digest(OTHER)).into();
        },
        &format!("differs: {} in container web of pod web-2", digest(OTHER)),
    );
}

#[test]
fn a_tag_is_not_called_healthy_while_no_pod_can_be_seen_and_a_digest_is() {
    check(|facts| facts.pods.clear(), "progressing: no pod of the new template shows its digest yet");
    let mut facts = finished(&format!("{TAGGED}@{}", digest(APPROVED)), "");
    facts.pods.clear();
    assert_eq!(judged(&facts, 1), Verdict::Healthy);
}
