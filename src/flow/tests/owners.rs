//! Workloads that are handed to another owner, opted out, or given other rules while something is under way.

use super::*;
use crate::core::workload::{GitOpsOwner, OfKeel};

/// What a person does to `web` while its patch waits for the next try.
type Change = fn(&mut World, &WorkloadId);

const CHANGES: [(&str, Change); 4] = [
    ("OwnerChanged", |world, _| {
        let owned = Workload { owner: Some(GitOpsOwner::ArgoCd), ..world.workload("web", &[("web", OLD)], PATCH, None) };
        world.put(owned);
    }),
    ("RulesChanged", |world, _| drop(world.show("web", OLD, ASKED, None))),
    ("NotManaged", |world, _| drop(world.show("web", OLD, &[("skeg.dev/policy", "patsh")], None))),
    ("NotManaged", |world, id| world.hide(id, true)),
];

/// An update whose patch waits for another try, by trouble or by a pause.
fn waiting(is_paused: bool) -> (World, WorkloadId, UpdateId) {
    let mut world = World::new(settings());
    let workload = world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    assert_eq!(world.effects(), [Effect::Apply]);
    let id = world.open();
    let applied = if is_paused { Applied::Paused } else { Applied::Failed(Failure::transient("busy")) };
    world.outcome(&id, Input::Applied(applied));
    world.run();
    (world, workload, id)
}

fn reason(world: &World, id: &UpdateId) -> String {
    let update = world.engine.updates().find(|update| update.id == *id).unwrap();
    let Phase::Closed(closed) = &update.phase else { panic!("{:?}", update.phase) };
    assert_eq!((closed.outcome, closed.binding.as_ref()), (Outcome::Superseded, None));
    closed.reason.code().to_owned()
}

#[test]
fn a_patch_that_waits_is_not_made_on_a_workload_that_was_handed_over_opted_out_or_ruled_otherwise() {
    for (code, change) in CHANGES {
        for (is_paused, restarts) in [(false, false), (false, true), (true, false)] {
            let (mut world, workload, id) = waiting(is_paused);
            change(&mut world, &workload);
            world.run();
            world.now += SignedDuration::from_secs(3_000);
            if restarts {
                world.restart();
            }
            world.later(1);
            world.run();
            assert_eq!(world.effects(), [Effect::LookOnly], "{code}");
            world.outcome(&id, Input::Applied(Applied::Paused));
            world.run();
            assert_eq!(reason(&world, &id), code);
            assert_eq!(world.effects(), []);
        }
    }
}

#[test]
fn a_patch_that_waits_is_not_made_beside_a_running_keel_and_is_when_that_has_gone() {
    let beside = |world: &mut World, running: Option<&str>| {
        let running = running.map(|name| WorkloadId { name: name.into(), ..world.workload("web", &[], PATCH, None).id });
        let keel = Some(Arc::new(OfKeel { warnings: Vec::new(), said: Vec::new(), is_observed: false, running }));
        let shown = Workload { keel, ..world.workload("web", &[("web", OLD)], PATCH, None) };
        world.put(shown);
        world.later(600);
        world.run();
    };
    let (mut world, _, id) = waiting(false);
    beside(&mut world, Some("keel"));
    assert_eq!(world.effects(), [Effect::LookOnly]);
    world.outcome(&id, Input::Applied(Applied::Paused));
    world.run();
    let update = world.engine.updates().find(|update| update.id == id).unwrap();
    let Phase::Applying(applying) = &update.phase else { panic!("{:?}", update.phase) };
    assert!(applying.trouble.as_ref().unwrap().contains("Keel runs as shop/Deployment/keel"), "{applying:?}");
    beside(&mut world, None);
    assert_eq!(world.effects(), [Effect::Apply]);
}

#[test]
fn a_patch_that_was_made_before_the_workload_was_handed_over_is_followed() {
    for (code, change) in CHANGES {
        let (mut world, workload, id) = waiting(false);
        change(&mut world, &workload);
        world.later(60);
        world.run();
        assert_eq!(world.effects(), [Effect::LookOnly], "{code}");
        world.outcome(&id, patched("ghcr.io/acme/web:1.0.1"));
        world.run();
        assert_eq!(world.effects(), [Effect::Follow], "{code}");
    }
}

#[test]
fn what_changes_between_the_open_gates_and_the_record_of_them_stops_the_patch_too() {
    for (code, change) in CHANGES {
        let mut world = World::new(settings());
        let workload = world.show("web", OLD, PATCH, None);
        world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
        change(&mut world, &workload);
        world.run();
        assert_eq!(world.effects(), [Effect::LookOnly], "{code}");
    }
}

#[test]
fn what_a_person_rejected_is_still_rejected_after_a_month_without_management() {
    let mut world = World::new(settings());
    let workload = world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    let id = world.open();
    world.vote(&id, Verdict::Reject);
    world.run();
    world.hide(&workload, true);
    world.later(40 * 86_400);
    world.run();
    world.restart();
    world.later(40 * 86_400);
    world.run();
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Rejected")]);
    world.hide(&workload, false);
    world.later(7_200);
    world.run();
    assert_eq!(world.phases(), [], "of a workload that is deleted nothing is kept");
}
