use super::*;
use crate::flow::looked::Why;
use crate::ports::journal::Unreadable;

const TAGS: &[(&str, &str)] = &[("1.0.0", "a"), ("1.0.1", "b"), ("1.0.2", "c")];

fn broken(id: &UpdateId, workload: Option<WorkloadId>) -> Unreadable {
    Unreadable { id: id.clone(), workload, problem: "status.since: no time".into() }
}

impl World {
    /// The process starts again, and of its records this one cannot be read; the others are as they were.
    fn restart_with(&mut self, record: Unreadable) {
        self.durable.remove(&record.id);
        self.acts.clear();
        self.engine = Engine::new(self.engine.settings.clone(), self.shown.clone(), Arc::new(OneAccess));
        let kept = self.durable.values();
        let kept = kept.map(|(update, version)| Kept { update: update.clone(), version: Version(version.to_string().into()) }).collect();
        self.send(Message::Loaded { records: Records { kept, unreadable: vec![record] }, pauses: vec![] });
        self.run();
    }

    /// What people are told of the container of `web`.
    fn told(&self, workload: &WorkloadId) -> Option<Arc<Why>> {
        self.engine.looked.at(workload, "web")?.reason.clone()
    }
}

/// An update of `web` from 1.0.0 to 1.0.2 that was applied, and whose image a person has moved to something else since.
fn moved_on() -> (World, WorkloadId, UpdateId) {
    let mut world = World::new(settings());
    let workload = world.show("web", OLD, PATCH, None);
    world.observe(TAGS);
    world.run();
    let id = world.open();
    let mark = Mark { update: id.name.clone(), epoch: 0, restored: vec![] };
    world.show("web", "ghcr.io/acme/web:1.0.1", PATCH, Some(mark));
    world.effects();
    (world, workload, id)
}

#[test]
fn a_record_that_cannot_be_read_holds_its_workload_and_no_other_until_it_is_removed() {
    for names_it in [true, false] {
        let (mut world, workload, id) = moved_on();
        world.restart_with(broken(&id, names_it.then(|| workload.clone())));
        world.show("other", OLD, PATCH, None);
        world.observe(TAGS);
        world.run();
        assert_eq!(world.effects(), [Effect::Apply], "of the other one");
        let told = world.told(&workload).unwrap();
        let Why { code, sentence } = &*told;
        assert_eq!(&**code, "Unreadable");
        assert!(sentence.contains("status.since: no time") && sentence.contains("kubectl -n shop delete imageupdate web-"), "{sentence}");

        world.later(60);
        world.run();
        assert_eq!(std::mem::take(&mut world.reread), vec![id.clone()]);
        let still = broken(&id, Some(workload.clone()));
        world.send(Message::ReadAgain { id: id.clone(), found: Some(Err(still)) });
        world.observe(TAGS);
        world.later(60);
        world.run();
        assert_eq!((world.effects(), std::mem::take(&mut world.reread)), (vec![], vec![id.clone()]));

        world.hints = 0;
        world.send(Message::ReadAgain { id: id.clone(), found: None });
        world.run();
        assert_eq!(world.hints, 1, "looked at now");
        world.observe(TAGS);
        world.run();
        assert_eq!(world.effects(), [Effect::Apply], "who removed the record knows why");
        world.later(600);
        assert_eq!(world.reread, [], "nothing is left to read");
    }
}

#[test]
fn a_record_that_is_mended_says_again_what_it_holds_back() {
    let (mut world, workload, id) = moved_on();
    let (update, _) = world.durable[&id].clone();
    world.restart_with(broken(&id, Some(workload.clone())));
    let drifted = Reason::ImageMoved { found: "ghcr.io/acme/web:1.0.1".into() };
    let binding = crate::core::update::Binding { reason: "set back".into(), at: world.now, by: None };
    let closed = Closed { binding: Some(binding), ..Closed::with(Outcome::Superseded, drifted) };
    let kept = Kept { update: Update { phase: Phase::Closed(closed), ..update }, version: Version("7".into()) };
    world.send(Message::ReadAgain { id, found: Some(Ok(Box::new(kept))) });
    world.observe(TAGS);
    world.run();
    assert_eq!(world.effects(), []);
    assert_eq!(&*world.told(&workload).unwrap().code, "Bound");
}

#[test]
fn what_was_granted_before_waits_too_and_a_patch_that_waits_is_not_made() {
    let (mut world, workload) = (World::new(settings()), "web");
    let workload = world.show(workload, OLD, ASKED, None);
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    let id = world.open();
    let other = UpdateId { name: "web-0123456789".into(), ..id.clone() };
    world.restart_with(broken(&other, Some(workload.clone())));
    world.vote(&id, Verdict::Approve);
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Held")]);

    world.send(Message::ReadAgain { id: other.clone(), found: None });
    world.run();
    world.effects();
    world.outcome(&id, Input::Applied(Applied::Failed(Failure::transient("busy"))));
    world.run();
    world.restart_with(broken(&other, Some(workload)));
    world.later(60);
    world.run();
    assert_eq!(world.effects(), [Effect::LookOnly]);
    world.outcome(&id, Input::Applied(Applied::Paused));
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Applying")]);
}

#[test]
fn a_write_that_meets_a_record_nobody_can_read_opens_nothing_and_one_of_an_open_update_is_made_later() {
    let mut world = World::new(settings());
    let workload = world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    let id = world.open();
    world.acts.clear();
    world.send(Message::Written { id: id.clone(), result: Written::Unreadable(broken(&id, None)) });
    world.run();
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    assert_eq!((world.phases(), world.effects()), (vec![], vec![]));
    assert_eq!(&*world.told(&workload).unwrap().code, "Unreadable");

    world.send(Message::ReadAgain { id, found: None });
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    let id = world.open();
    world.outcome(&id, patched("ghcr.io/acme/web:1.0.1"));
    world.acts.clear();
    world.send(Message::Written { id: id.clone(), result: Written::Unreadable(broken(&id, None)) });
    assert!(!world.engine.is_durable());
    world.effects();
    world.later(60);
    world.run();
    assert_eq!((world.engine.is_durable(), world.effects()), (true, vec![Effect::Follow]));
}
