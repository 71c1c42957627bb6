#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::core::directives::Rules;
use crate::core::image::Pin;
use crate::core::update::{Plan, Trigger};
use crate::core::workload::WorkloadKind;

const OLD: &str = "ghcr.io/acme/web:1.0.0";
const NEW: &str = "ghcr.io/acme/web:1.0.1";
const OTHER: &str = "ghcr.io/acme/web:0.9.0";

const OWN: Option<&str> = Some("web-0123456789 0");
const RESTORED: Option<&str> = Some("web-0123456789 0 restored sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
const FOREIGN: Option<&str> = Some("web-9876543210 0");

fn digest(digit: char) -> Digest {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

fn change(container: &str) -> Change {
    Change {
        container: container.into(),
        init: container == "init",
        repository: "ghcr.io/acme/web".parse().unwrap(),
        from: OLD.into(),
        to: NEW.into(),
        tag: "1.0.1".parse().unwrap(),
        digest: digest('a'),
    }
}

fn workload() -> WorkloadId {
    WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() }
}

fn spec(containers: &[&str]) -> Spec {
    let hour = Duration::from_hours(1);
    Spec {
        workload: workload(),
        uid: "u1".into(),
        changes: containers.iter().map(|container| change(container)).collect(),
        policy: "patch".into(),
        trigger: Trigger::Poll,
        rules: Rules {
            approvals: 0,
            approvers: Vec::new(),
            approval_deadline: hour,
            approval_valid: hour,
            rollback: true,
            rollout_timeout: hour,
            pin: Pin::Tag,
            write_back: Vec::new(),
        },
        plan: Plan::Patch,
        attempt: 1,
    }
}

fn id() -> UpdateId {
    UpdateId { namespace: "shop".into(), name: "web-0123456789".into() }
}

fn reading(images: &[(&str, &str)], mark: Option<&str>) -> Reading {
    let container = |(name, image): &(&str, &str)| Container { name: (*name).into(), image: (*image).into(), init: *name == "init" };
    Reading {
        id: workload(),
        uid: "u1".into(),
        resource_version: "7".into(),
        generation: 3,
        containers: images.iter().map(container).collect(),
        mark: mark.map(Into::into),
        has_annotations: true,
    }
}

fn told(weighed: &Weighed) -> String {
    match weighed {
        Weighed::Ready { images } => {
            format!("ready {}", images.iter().map(|(name, image)| format!("{name}={image}")).collect::<Vec<_>>().join(" "))
        }
        Weighed::AlreadySet { applied } => format!("already {}", applied.join(" ")),
        Weighed::Drifted(Drift::ImageMoved { found }) => format!("moved {found}"),
        Weighed::Drifted(drift) => format!("{drift:?}"),
    }
}

#[track_caller]
fn check(image: &str, mark: Option<&str>, expected: &str) {
    let weighed = weigh(Some(&reading(&[("sidecar", "envoy:1"), ("web", image)], mark)), &spec(&["web"]), &id());
    assert_eq!(told(&weighed), expected);
}

#[track_caller]
fn check_restore(image: &str, mark: Option<&str>, applied: &str, expected: &str) {
    let weighed = weigh_restore(Some(&reading(&[("web", image)], mark)), &spec(&["web"]), &id(), &[applied.into()]);
    assert_eq!(told(&weighed), expected);
}

#[test]
fn an_update_is_applied_to_the_image_it_started_from() {
    for mark in [None, FOREIGN, Some("written by hand"), Some("")] {
        check(OLD, mark, &format!("ready web={NEW}"));
    }
}

#[test]
fn an_update_whose_answer_was_lost_is_not_applied_twice() {
    check(NEW, OWN, &format!("already {NEW}"));
}

#[test]
fn what_admission_made_of_the_image_is_recognised_as_applied() {
    let mirrored = format!("mirror.local:5000/ghcr/acme/web@{}", digest('a'));
    for image in [&mirrored, &format!("{NEW}@{}", digest('a')), "mirror.local/acme/web:1.0.1"] {
        check(image, OWN, &format!("already {image}"));
    }
    for image in [&format!("{NEW}@{}", digest('b')), "mirror.local/acme/another:1.0.1", "{{ .Image }}"] {
        check(image, OWN, &format!("moved {image}"));
    }
}

#[test]
fn an_image_that_a_person_put_back_or_set_is_left_alone() {
    check(OLD, OWN, &format!("moved {OLD}"));
    check(OTHER, OWN, &format!("moved {OTHER}"));
    check(OTHER, None, &format!("moved {OTHER}"));
    check(NEW, None, &format!("moved {NEW}"));
    check(NEW, FOREIGN, &format!("moved {NEW}"));
}

#[test]
fn an_update_that_was_put_back_is_never_applied_again() {
    check(OLD, RESTORED, &format!("moved {OLD}"));
}

#[test]
fn a_deleted_workload_another_one_of_its_name_and_a_lost_container_are_told() {
    assert_eq!(weigh(None, &spec(&["web"]), &id()), Weighed::Drifted(Drift::Gone));
    assert_eq!(weigh_restore(None, &spec(&["web"]), &id(), &[NEW.into()]), Weighed::Drifted(Drift::Gone));
    let again = Reading { uid: "u2".into(), ..reading(&[("web", OLD)], None) };
    assert_eq!(weigh(Some(&again), &spec(&["web"]), &id()), Weighed::Drifted(Drift::Gone));
    let weighed = weigh(Some(&reading(&[("api", OLD)], None)), &spec(&["web"]), &id());
    assert_eq!(told(&weighed), "moved nothing: there is no container web any more");
}

#[test]
fn all_containers_of_an_update_are_changed_or_none() {
    let both = spec(&["web", "init"]);
    let weighed = |web, init, mark| told(&weigh(Some(&reading(&[("web", web), ("init", init)], mark)), &both, &id()));
    assert_eq!(weighed(OLD, OLD, None), format!("ready web={NEW} init={NEW}"));
    assert_eq!(weighed(OLD, OTHER, None), format!("moved {OTHER}"));
    assert_eq!(weighed(NEW, NEW, OWN), format!("already {NEW} {NEW}"));
    assert_eq!(weighed(NEW, OLD, OWN), format!("moved {OLD}"));
}

#[test]
fn a_policy_that_only_moves_the_digest_tells_old_from_new() {
    let mut spec = spec(&["web"]);
    spec.changes[0].from = format!("{NEW}@{}", digest('b')).into();
    spec.changes[0].to = format!("{NEW}@{}", digest('a')).into();
    let weighed = |image: &str, mark| told(&weigh(Some(&reading(&[("web", image)], mark)), &spec, &id()));
    let (old, new) = (spec.changes[0].from.clone(), spec.changes[0].to.clone());
    assert_eq!(weighed(&old, None), format!("ready web={new}"));
    assert_eq!(weighed(&new, OWN), format!("already {new}"));
    assert_eq!(weighed(&old, OWN), format!("moved {old}"));
}

#[test]
fn an_image_that_the_update_set_is_put_back() {
    check_restore(NEW, OWN, NEW, &format!("ready web={OLD}"));
    let admitted = "mirror.local/acme/web:1.0.1";
    check_restore(admitted, OWN, admitted, &format!("ready web={OLD}"));
}

#[test]
fn a_restore_whose_answer_was_lost_is_not_done_twice() {
    check_restore(OLD, RESTORED, NEW, &format!("already {OLD}"));
    check_restore("mirror.local/acme/web:1.0.0", RESTORED, NEW, "already mirror.local/acme/web:1.0.0");
    check_restore(NEW, RESTORED, NEW, &format!("moved {NEW}"));
}

#[test]
fn nothing_is_put_back_over_what_somebody_else_wrote() {
    check_restore(OTHER, OWN, NEW, &format!("moved {OTHER}"));
    check_restore(OLD, OWN, NEW, &format!("moved {OLD}"));
    check_restore(NEW, FOREIGN, NEW, &format!("moved {NEW}"));
    check_restore(NEW, None, NEW, &format!("moved {NEW}"));
    let weighed = weigh_restore(Some(&reading(&[("web", NEW)], OWN)), &spec(&["web"]), &id(), &[]);
    assert_eq!(told(&weighed), format!("moved {NEW}"), "a record that does not say what was applied puts nothing back");
}
