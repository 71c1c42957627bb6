//! An image that a person moves away from what skeg applied stays theirs, whenever it happens, and is forgotten only when it is past.

use super::*;
use crate::core::image::Tag;
use crate::core::update::{CommitRecord, Recorded};
use crate::core::workload::GitOpsOwner;

const ALL: &[(&str, &str)] = &[("skeg.dev/policy", "all")];
const WEB: &str = "ghcr.io/acme/web";
const API: &str = "ghcr.io/acme/api";

/// An image older than everything that skeg replaced: `kubectl set image` to it is nobody's earlier state.
const OLDER: &str = "ghcr.io/acme/web:0.9.0";

fn web(tag: &str) -> String {
    format!("{WEB}:{tag}")
}

fn mark(id: &UpdateId) -> Mark {
    Mark { update: id.name.clone(), epoch: 0, restored: vec![] }
}

fn committed() -> Input {
    Input::Recorded(Recorded::Committed(CommitRecord { remote: "fleet".into(), id: "c".repeat(40).into(), path: "web.yaml".into() }))
}

fn not_committed() -> Input {
    Input::Recorded(Recorded::Failed(Failure::transient("the remote is away")))
}

impl World {
    /// With a Git remote, so that what is healthy is recorded.
    fn with_git() -> Self {
        Self { remotes: vec!["fleet".into()], ..Self::new(settings()) }
    }

    /// Lets skeg see these tags of the repository and apply what it wants. Gives the update, as its rollout is followed.
    fn apply(&mut self, repository: &str, tags: &[&str]) -> UpdateId {
        self.later(10);
        let tags: Vec<(&str, &str)> = tags.iter().map(|tag| (*tag, *tag)).collect();
        let observation = self.observation(repository, Trigger::Poll, &tags);
        self.send(Message::Observed(vec![observation]));
        self.run();
        let id = self.engine.updates().find(|update| matches!(update.phase, Phase::Applying(_))).expect("an update is applied").id.clone();
        let to = self.update(&id).spec.changes[0].to.clone();
        self.outcome(&id, patched(&to));
        self.run();
        id
    }

    /// Follows its rollout to the end, and its write-back where there is one.
    fn finish(&mut self, id: &UpdateId) {
        self.outcome(id, Input::Followed(Followed::Healthy));
        self.run();
        self.outcome(id, committed());
        self.run();
    }

    fn update(&self, id: &UpdateId) -> &Update {
        self.engine.updates().find(|update| update.id == *id).expect("the update is known")
    }

    fn ends(&self, id: &UpdateId) -> (&'static str, bool) {
        (self.update(id).phase.as_str(), self.update(id).binding().is_some())
    }

    /// Whether polls that find these tags again and again, also after restarts, begin nothing.
    #[track_caller]
    fn leaves_alone(&mut self, repository: &str, tags: &[&str]) {
        let before = self.engine.updates().count();
        for _ in 0..3 {
            self.later(300);
            let tags: Vec<(&str, &str)> = tags.iter().map(|tag| (*tag, *tag)).collect();
            let observation = self.observation(repository, Trigger::Poll, &tags);
            self.send(Message::Observed(vec![observation]));
            self.run();
            assert_eq!(self.engine.updates().count(), before, "{:?}", self.phases());
            self.restart();
            self.run();
        }
    }
}

#[test]
fn while_it_is_committed_the_commit_is_waited_for_and_the_update_binds() {
    let mut world = World::with_git();
    world.show("web", OLD, ALL, None);
    let id = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&id)));
    world.outcome(&id, Input::Followed(Followed::Healthy));
    world.run();
    assert_eq!(world.update(&id).phase.as_str(), "Recording");
    world.show("web", OLDER, ALL, Some(mark(&id)));
    world.run();
    world.outcome(&id, committed());
    world.run();
    assert_eq!(world.ends(&id), ("Done", true));
    world.leaves_alone(WEB, &["0.9.0", "1.0.0", "1.0.1"]);
    world.observe(&[("1.0.1", "1.0.1"), ("1.0.2", "1.0.2")]);
    world.run();
    assert!(world.phases().contains(&("1.0.2".to_owned(), "Applying")), "what is newer is no longer the person's matter");
}

#[test]
fn what_could_not_be_committed_is_not_tried_again_once_it_is_taken_back() {
    for is_waiting in [true, false] {
        let mut world = World::with_git();
        world.show("web", OLD, ALL, None);
        let id = world.apply(WEB, &["1.0.1"]);
        world.show("web", &web("1.0.1"), ALL, Some(mark(&id)));
        world.outcome(&id, Input::Followed(Followed::Healthy));
        world.run();
        world.effects();
        if is_waiting {
            world.outcome(&id, not_committed());
            world.run();
        }
        world.show("web", OLDER, ALL, Some(mark(&id)));
        world.run();
        let looks = if is_waiting { vec![Effect::WriteBack] } else { vec![] };
        assert_eq!(world.effects(), looks, "whether the last try was carried out is looked for");
        world.outcome(&id, not_committed());
        world.run();
        world.later(600);
        world.run();
        assert_eq!((world.ends(&id), world.effects()), (("Unrecorded", true), vec![]), "waiting: {is_waiting}");
        world.leaves_alone(WEB, &["1.0.1"]);
    }
}

#[test]
fn a_commit_that_was_under_way_is_still_asked_for_after_a_restart() {
    let mut world = World::with_git();
    world.show("web", OLD, ALL, None);
    let id = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&id)));
    world.outcome(&id, Input::Followed(Followed::Healthy));
    world.run();
    world.effects();
    // Nobody is there to see it.
    world.put_untold(world.workload("web", &[("web", OLDER)], ALL, Some(mark(&id))));
    world.restart();
    world.run();
    assert_eq!(world.effects(), [Effect::WriteBack]);
    world.outcome(&id, committed());
    world.run();
    assert_eq!(world.ends(&id), ("Done", true));
}

#[test]
fn another_container_that_is_set_back_while_a_rollout_is_followed_or_its_patch_is_unanswered() {
    for is_answered in [true, false] {
        let mut world = World::new(settings());
        let show = |world: &mut World, images: [&str; 2], mark| {
            let [first, second] = images;
            let workload = world.workload("web", &[("web", first), ("api", second)], ALL, mark);
            world.put(workload);
        };
        let old = format!("{API}:1.0.0");
        let new = format!("{API}:1.0.1");
        show(&mut world, [OLD, &old], None);
        let first = world.apply(WEB, &["1.0.1"]);
        show(&mut world, [&web("1.0.1"), &old], Some(mark(&first)));
        world.finish(&first);
        assert_eq!(world.ends(&first), ("Done", false));
        world.later(10);
        let observation = world.observation(API, Trigger::Poll, &[("1.0.1", "api")]);
        world.send(Message::Observed(vec![observation]));
        world.run();
        let second = world.open();
        if is_answered {
            world.outcome(&second, patched(&new));
        }
        // The watch shows the patch and the person's change at once.
        show(&mut world, [OLDER, &new], Some(mark(&second)));
        world.run();
        assert_eq!(world.ends(&first), ("Done", true));
        world.outcome(&second, patched(&new));
        world.finish(&second);
        assert_eq!((world.ends(&first), world.ends(&second)), (("Done", true), ("Done", false)));
        world.leaves_alone(WEB, &["0.9.0", "1.0.0", "1.0.1"]);
    }
}

#[test]
fn while_the_next_update_of_another_container_was_not_seen_yet_nothing_is_lost_when_it_closes() {
    let mut world = World::new(settings());
    let show = |world: &mut World, images: [&str; 2], mark, is_told: bool| {
        let workload = world.workload("web", &[("web", images[0]), ("api", images[1])], ALL, mark);
        if is_told {
            world.put(workload);
        } else {
            world.put_untold(workload);
        }
    };
    let (old, new) = (format!("{API}:1.0.0"), format!("{API}:1.0.1"));
    show(&mut world, [OLD, &old], None, true);
    let first = world.apply(WEB, &["1.0.1"]);
    show(&mut world, [&web("1.0.1"), &old], Some(mark(&first)), true);
    world.finish(&first);
    let second = world.apply(API, &["1.0.1"]);
    // The news of the change comes after the update has closed, which looks for itself.
    show(&mut world, [OLDER, &new], Some(mark(&second)), false);
    world.finish(&second);
    assert_eq!(world.ends(&first), ("Done", true));
}

#[test]
fn an_undo_to_a_revision_further_back_is_held_though_it_takes_the_mark_away() {
    let mut world = World::new(settings());
    world.show("web", OLD, ALL, None);
    let first = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&first)));
    world.finish(&first);
    let second = world.apply(WEB, &["1.0.1", "1.0.2"]);
    world.show("web", &web("1.0.2"), ALL, Some(mark(&second)));
    world.finish(&second);
    for mark in [Some(mark(&first)), None] {
        world.show("web", OLD, ALL, mark);
        assert_eq!(world.ends(&second), ("Done", true), "and told");
        world.leaves_alone(WEB, &["1.0.1", "1.0.2"]);
    }
    let scope = crate::core::pause::Scope::All;
    world.send(Message::Command(Command::Resume { scope, by: "user:ann".into(), reply: Box::new(|_| ()) }));
    world.run();
    world.later(300);
    world.observe(&[("1.0.1", "1.0.1"), ("1.0.2", "1.0.2")]);
    world.run();
    assert!(world.phases().contains(&("1.0.2".to_owned(), "Applying")), "{:?}", world.phases());
}

#[test]
fn an_undo_is_noticed_though_the_clock_was_set_back_between_two_patches() {
    let mut world = World::new(settings());
    world.later(1_000);
    world.show("web", OLD, ALL, None);
    let first = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&first)));
    world.finish(&first);
    world.later(-400);
    world.observe(&[("1.0.1", "1.0.1"), ("1.0.2", "1.0.2")]);
    world.run();
    let second = world.open();
    world.show("web", &web("1.0.2"), ALL, Some(mark(&second)));
    assert_eq!(world.ends(&first), ("Done", false), "the patch is skeg's own, though its answer has not come");
    world.outcome(&second, patched(&web("1.0.2")));
    world.run();
    world.finish(&second);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&first)));
    assert_eq!((world.ends(&first), world.ends(&second)), (("Done", false), ("Done", true)));
    world.leaves_alone(WEB, &["1.0.1", "1.0.2"]);
}

#[test]
fn a_resume_lifts_what_was_set_back_and_not_what_will_be() {
    let mut world = World::new(settings());
    let resume = |world: &mut World| {
        let scope = crate::core::pause::Scope::All;
        world.send(Message::Command(Command::Resume { scope, by: "user:ann".into(), reply: Box::new(|_| ()) }));
        world.run();
    };
    world.show("web", OLD, ALL, None);
    let first = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&first)));
    world.finish(&first);
    resume(&mut world);
    world.show("web", OLD, ALL, None);
    world.leaves_alone(WEB, &["1.0.1"]);
    world.show("web", OLD, ALL, Some(mark(&first)));
    assert_eq!(world.ends(&first), ("Done", true));
    resume(&mut world);
    // Any other change of the object is no second set-back.
    world.show("web", OLD, &[("skeg.dev/policy", "all"), ("skeg.dev/poll", "1m")], Some(mark(&first)));
    world.restart();
    world.run();
    assert_eq!(world.ends(&first), ("Done", false));
    let again = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&again)));
    world.finish(&again);
    world.show("web", OLDER, ALL, Some(mark(&again)));
    world.run();
    assert_eq!((world.ends(&first), world.ends(&again)), (("Done", false), ("Done", true)));
}

#[test]
fn a_resume_after_one_container_was_set_back_lifts_nothing_of_the_other() {
    const OLD_API: &str = "ghcr.io/acme/api:1.0.0";
    let mut world = World::new(settings());
    let show = |world: &mut World, web: &str, api: &str, mark: Option<Mark>| {
        let both = world.workload("web", &[("web", web), ("api", api)], ALL, mark);
        world.put(both);
        world.run();
    };
    show(&mut world, OLD, OLD_API, None);
    let both = [WEB, API].map(|repository| world.observation(repository, Trigger::Poll, &[("1.0.1", "1.0.1")]));
    world.send(Message::Observed(both.into()));
    world.run();
    let first = world.open();
    let applied = [web("1.0.1"), format!("{API}:1.0.1")];
    world.outcome(&first, Input::Applied(Applied::Patched { applied: applied.iter().map(|image| image.as_str().into()).collect() }));
    show(&mut world, &applied[0], &applied[1], Some(mark(&first)));
    world.finish(&first);
    show(&mut world, &applied[0], OLD_API, Some(mark(&first)));
    assert_eq!(world.ends(&first), ("Done", true));
    world.send(Message::Command(Command::Resume { scope: Scope::All, by: "user:ann".into(), reply: Box::new(|_| ()) }));
    world.run();
    assert_eq!(world.ends(&first), ("Done", false));

    let again = world.apply(API, &["1.0.1"]);
    show(&mut world, &applied[0], &applied[1], Some(mark(&again)));
    world.finish(&again);
    show(&mut world, OLD, &applied[1], Some(mark(&again)));
    assert_eq!((world.ends(&first), world.ends(&again)), (("Done", true), ("Done", false)));
    world.leaves_alone(WEB, &["1.0.1"]);
}

/// What failed and was left running is somebody's to take back, also after the failure was lifted.
#[test]
fn what_a_resume_lifted_while_it_runs_is_held_back_once_it_is_set_back() {
    let mut world = World::new(settings());
    let stays: &[(&str, &str)] = &[("skeg.dev/policy", "all"), ("skeg.dev/rollback", "off")];
    world.show("web", OLD, stays, None);
    let id = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), stays, Some(mark(&id)));
    world.outcome(&id, Input::Followed(Followed::Failed { why: "crash".into() }));
    world.run();
    assert_eq!(world.ends(&id), ("Failed", true));
    world.send(Message::Command(Command::Resume { scope: crate::core::pause::Scope::All, by: "user:ann".into(), reply: Box::new(|_| ()) }));
    world.run();
    assert_eq!(world.ends(&id), ("Failed", false));

    world.restart();
    world.run();
    world.show("web", OLDER, stays, Some(mark(&id)));
    world.run();
    assert_eq!(world.ends(&id), ("Failed", true));
    world.leaves_alone(WEB, &["1.0.1"]);
}

#[test]
fn after_a_rollout_that_was_put_back_the_other_container_is_still_judged() {
    let mut world = World::new(settings());
    let show = |world: &mut World, images: [&str; 2], mark| {
        let workload = world.workload("web", &[("web", images[0]), ("api", images[1])], ALL, mark);
        world.put(workload);
    };
    let old = format!("{API}:1.0.0");
    show(&mut world, [OLD, &old], None);
    let first = world.apply(WEB, &["1.0.1"]);
    show(&mut world, [&web("1.0.1"), &old], Some(mark(&first)));
    world.finish(&first);
    let second = world.apply(API, &["1.0.1"]);
    world.outcome(&second, Input::Followed(Followed::Failed { why: "crash".into() }));
    world.outcome(&second, Input::Restored(Restored::Back));
    world.run();
    let restored = Some(Mark { update: second.name.clone(), epoch: 0, restored: vec![digest("1.0.1")] });
    show(&mut world, [&web("1.0.1"), &old], restored.clone());
    world.run();
    assert_eq!((world.ends(&first), world.ends(&second)), (("Done", false), ("RolledBack", true)));
    show(&mut world, [OLDER, &old], restored);
    world.run();
    assert_eq!(world.ends(&first), ("Done", true));
}

#[test]
fn a_watch_that_lags_behind_skegs_own_patches_is_no_person() {
    let mut world = World::new(settings());
    world.show("web", OLD, ALL, None);
    let first = world.apply(WEB, &["1.0.1"]);
    world.finish(&first);
    assert_eq!(world.ends(&first), ("Done", false), "the patch was not shown yet");
    world.show("web", &web("1.0.1"), ALL, Some(mark(&first)));
    let second = world.apply(WEB, &["1.0.1", "1.0.2"]);
    world.show("web", &web("1.0.2"), ALL, Some(mark(&second)));
    world.outcome(&second, Input::Followed(Followed::Failed { why: "crash".into() }));
    world.outcome(&second, Input::Restored(Restored::Back));
    world.run();
    assert_eq!((world.ends(&first), world.ends(&second)), (("Done", false), ("RolledBack", true)), "nor what was put back");
    let restored = Some(Mark { restored: vec![digest("1.0.2")], ..mark(&second) });
    world.show("web", &web("1.0.1"), ALL, restored.clone());
    world.run();
    assert_eq!(world.ends(&first), ("Done", false));
    world.show("web", OLD, ALL, restored);
    world.run();
    assert_eq!(world.ends(&first), ("Done", true), "but that was one");
    world.leaves_alone(WEB, &["1.0.1", "1.0.2"]);
}

#[test]
fn after_a_retry_of_the_write_back_the_mark_names_the_attempt_before_and_the_later_one_binds() {
    let mut world = World::with_git();
    world.show("web", OLD, ALL, None);
    let first = world.apply(WEB, &["1.0.1"]);
    world.show("web", &web("1.0.1"), ALL, Some(mark(&first)));
    world.outcome(&first, Input::Followed(Followed::Healthy));
    world.run();
    world.outcome(&first, Input::Recorded(Recorded::Unrecordable(crate::core::update::Reason::NotDeclared)));
    world.run();
    let retry = |world: &mut World| {
        let refused = Arc::new(Mutex::new(None));
        let told = Arc::clone(&refused);
        let reply = Box::new(move |result: Result<Update, _>| *told.lock().unwrap() = Some(result.is_err()));
        world.send(Message::Command(Command::Retry { id: first.clone(), by: "user:ann".into(), reply }));
        world.run();
        refused.lock().unwrap().expect("an answer")
    };
    assert!(!retry(&mut world));
    assert!(retry(&mut world), "one is under way");
    let second = world.open();
    world.outcome(&second, committed());
    world.run();
    world.show("web", OLDER, ALL, Some(mark(&first)));
    world.run();
    assert_eq!((world.ends(&first), world.ends(&second)), (("Unrecorded", false), ("Done", true)));
    world.leaves_alone(WEB, &["1.0.1"]);
}

#[test]
fn a_tag_that_moves_there_and_back_is_followed() {
    let digests: &[(&str, &str)] = &[("skeg.dev/policy", "digest")];
    let mut world = World::new(settings());
    let at = |content: &str| format!("{WEB}:latest@{}", digest(content));
    world.show("web", &at("a"), digests, None);
    for content in ["b", "a", "b", "a"] {
        world.later(60);
        world.observe(&[("latest", content)]);
        world.run();
        let id = world.open();
        world.outcome(&id, patched(&at(content)));
        world.show("web", &at(content), digests, Some(mark(&id)));
        world.finish(&id);
        assert_eq!(world.ends(&id), ("Done", false));
    }
}

#[test]
fn what_was_set_back_stays_back_when_something_else_is_rejected() {
    let digests: &[(&str, &str)] = &[("skeg.dev/policy", "digest"), ("skeg.dev/approvals", "1")];
    let mut world = World::new(settings());
    let at = |content: &str| format!("{WEB}:latest@{}", digest(content));
    world.show("web", &at("a"), digests, None);
    world.observe(&[("latest", "b")]);
    world.run();
    let first = world.open();
    world.vote(&first, Verdict::Approve);
    world.run();
    world.outcome(&first, patched(&at("b")));
    world.show("web", &at("b"), digests, Some(mark(&first)));
    world.finish(&first);
    world.show("web", &at("a"), digests, Some(mark(&first)));
    world.later(60);
    world.observe(&[("latest", "c")]);
    world.run();
    let second = world.open();
    world.vote(&second, Verdict::Reject);
    world.run();
    assert_eq!((world.ends(&first), world.ends(&second)), (("Done", true), ("Rejected", true)));
    world.later(60);
    world.observe(&[("latest", "b")]);
    world.run();
    assert_eq!(world.engine.updates().count(), 2, "{:?}", world.phases());
}

#[test]
fn a_patch_whose_answer_was_lost_and_that_a_person_moved_on_from_is_held_back() {
    let mut world = World::new(settings());
    world.show("web", OLD, ALL, None);
    world.observe(&[("1.0.1", "1.0.1")]);
    world.run();
    let id = world.open();
    world.show("web", OLDER, ALL, Some(mark(&id)));
    world.outcome(&id, Input::Applied(Applied::Drifted(Drift::ImageMoved { found: OLDER.into() })));
    world.run();
    assert_eq!(world.ends(&id), ("Superseded", true));
    world.leaves_alone(WEB, &["1.0.1"]);
}

#[test]
fn the_record_of_what_runs_outlives_every_limit() {
    let mut world = World::new(Settings { history_per_workload: 1, history_total: 1, ..settings() });
    let show = |world: &mut World, images: [&str; 2], mark| {
        let workload = world.workload("web", &[("web", images[0]), ("api", images[1])], ALL, mark);
        world.put(workload);
    };
    show(&mut world, [OLD, &format!("{API}:1.0.0")], None);
    let first = world.apply(WEB, &["1.0.1"]);
    let mut last = first.clone();
    show(&mut world, [&web("1.0.1"), &format!("{API}:1.0.0")], Some(mark(&first)));
    world.finish(&first);
    let tags = ["1.0.1", "1.0.2", "1.0.3", "1.0.4"];
    for (at, tag) in tags.iter().enumerate() {
        last = world.apply(API, &tags[..=at]);
        show(&mut world, [&web("1.0.1"), &format!("{API}:{tag}")], Some(mark(&last)));
        world.finish(&last);
    }
    world.later(31 * 86_400);
    world.run();
    world.restart();
    world.run();
    let kept: Vec<UpdateId> = world.durable.keys().cloned().collect();
    let mut decisive = vec![first.clone(), last];
    decisive.sort();
    assert_eq!(kept, decisive, "what grew old is gone, what runs is known");
    show(&mut world, [OLDER, &format!("{API}:1.0.4")], Some(mark(decisive.iter().find(|id| **id != first).unwrap())));
    world.run();
    assert_eq!(world.ends(&first), ("Done", true));
}

#[test]
fn records_grow_old_where_nothing_closes_too() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    world.observe(&[("1.0.1", "b"), ("1.0.2", "c")]);
    world.run();
    assert_eq!(world.durable.len(), 2);
    let id = world.open();
    world.vote(&id, Verdict::Reject);
    world.run();
    world.later(29 * 86_400);
    world.run();
    assert_eq!(world.durable.len(), 2);
    world.later(2 * 86_400);
    world.run();
    assert_eq!(world.durable.keys().collect::<Vec<_>>(), [&id], "what binds stays");
    assert!(world.engine.deadline().is_some_and(|at| at > world.now), "and is looked at again");
}

#[test]
fn a_workload_made_anew_is_not_bound_by_what_was_decided_about_the_old_one() {
    let mut world = World::new(Settings { history_per_workload: 0, ..settings() });
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    world.vote(&id, Verdict::Reject);
    world.run();
    world.effects();
    assert_eq!(world.ends(&id), ("Rejected", true));
    let anew = Workload { uid: "another".into(), ..world.workload("web", &[("web", OLD)], ASKED, None) };
    world.put(anew);
    world.later(10);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let open = world.open();
    assert_eq!((world.effects(), world.update(&open).phase.as_str()), (vec![Effect::Ask], "Held"));
    world.later(3_600);
    world.run();
    assert_eq!(world.durable.keys().collect::<Vec<_>>(), [&open], "what bound the old one is gone");
}

#[test]
fn a_workload_that_a_gitops_controller_lets_go_or_takes_over_is_decided_anew() {
    for (before, after, end) in [(Some(GitOpsOwner::Flux), None, "Applying"), (None, Some(GitOpsOwner::Flux), "Held")] {
        let mut world = World::new(settings());
        let annotations = if before.is_some() { PATCH } else { ASKED };
        let workload = Workload { owner: before, ..world.workload("web", &[("web", OLD)], annotations, None) };
        world.put(workload);
        world.observe(&[("1.0.1", "b")]);
        world.run();
        let held = world.open();
        assert_eq!(world.update(&held).phase.as_str(), "Held");
        let hints = world.hints;
        let workload = Workload { owner: after, ..world.workload("web", &[("web", OLD)], annotations, None) };
        world.put(workload);
        world.run();
        assert_eq!((world.ends(&held), world.hints > hints), (("Superseded", false), true));
        world.later(10);
        world.observe(&[("1.0.1", "b")]);
        world.run();
        let anew = world.update(&world.open()).clone();
        assert_eq!((anew.phase.as_str(), anew.spec.attempt), (end, 2));
        assert_eq!(anew.spec.plan, if after.is_some() { crate::core::update::Plan::Git } else { crate::core::update::Plan::Patch });
    }
}

#[test]
fn each_container_goes_by_why_its_own_repository_was_read() {
    let annotations =
        &[("skeg.dev/policy", "all"), ("skeg.dev/trigger.web", "webhook"), ("skeg.dev/trigger.api", "poll"), ("skeg.dev/approvals", "1")];
    let mut world = World::new(settings());
    let workload = world.workload("web", &[("web", OLD), ("api", &format!("{API}:1.0.0"))], annotations, None);
    world.put(workload);
    let both =
        |world: &World, web, api| [world.observation(WEB, web, &[("1.0.1", "b")]), world.observation(API, api, &[("1.0.1", "c")])].to_vec();
    let observed = both(&world, Trigger::Webhook, Trigger::Webhook);
    world.send(Message::Observed(observed));
    world.run();
    let changed = |world: &World| -> Vec<(Box<str>, Tag)> {
        let open = world.update(&world.open()).clone();
        open.spec.changes.iter().map(|change| (change.container.clone(), change.tag.clone())).collect()
    };
    assert_eq!(changed(&world), [("web".into(), "1.0.1".parse().unwrap())]);
    world.later(10);
    let observed = both(&world, Trigger::Webhook, Trigger::Poll);
    world.send(Message::Observed(observed));
    world.run();
    let mut triggers: Vec<(Trigger, usize)> =
        world.engine.updates().filter(|update| update.is_open()).map(|update| (update.spec.trigger, update.spec.changes.len())).collect();
    triggers.sort();
    assert_eq!(triggers, [(Trigger::Poll, 1), (Trigger::Webhook, 1)], "a delivery for one does not keep the other from its poll");
}
