//! Effects that wait, pauses, answers and what is forgotten.

use super::*;
use crate::core::candidate::questions;
use crate::core::policy::{Shortlist, Tags};
use crate::core::update::Prompt;
use crate::flow::commands::{CommandRefused, Lifted};
use crate::flow::looked::{Look, Looked};

/// What a caller was told, if anything yet.
type Told<T> = Arc<Mutex<Option<Result<T, CommandRefused>>>>;

fn reply<T: Send + 'static>() -> (Told<T>, crate::flow::commands::Reply<T>) {
    let told: Told<T> = Arc::default();
    let telling = Arc::clone(&told);
    (told, Box::new(move |result| *telling.lock().unwrap() = Some(result)))
}

fn answer<T: Clone>(told: &Told<T>) -> Option<Result<T, CommandRefused>> {
    told.lock().unwrap().clone()
}

impl World {
    fn pause(&mut self, scope: Scope) -> Told<Pause> {
        let (told, reply) = reply();
        let pause = Pause { scope, until: None, by: "user:ann".into(), at: self.now, reason: None };
        self.send(Message::Command(Command::Pause { pause, reply }));
        told
    }

    fn resume(&mut self) -> Told<Lifted> {
        let (told, reply) = reply();
        self.send(Message::Command(Command::Resume { scope: Scope::All, by: "user:ann".into(), reply }));
        told
    }

    fn retry(&mut self, id: &UpdateId) -> Told<Update> {
        let (told, reply) = reply();
        self.send(Message::Command(Command::Retry { id: id.clone(), by: "user:ann".into(), reply }));
        told
    }

    /// An update of `web` to 1.0.1 that is being applied.
    fn applying() -> (Self, UpdateId) {
        let mut world = Self::new(settings());
        world.show("web", OLD, PATCH, None);
        world.observe(&[("1.0.1", "b")]);
        world.run();
        let id = world.open();
        assert_eq!(world.effects(), [Effect::Apply]);
        (world, id)
    }

    /// The writes of pauses that are wanted; they stay under way.
    fn saves(&mut self) -> usize {
        let before = self.acts.len();
        self.acts.retain(|act| !matches!(act, Act::SavePauses(_)));
        before - self.acts.len()
    }
}

fn busy() -> Input {
    Input::Applied(Applied::Failed(Failure::transient("busy")))
}

#[test]
fn a_try_that_waits_for_its_time_is_made_once_after_a_restart() {
    let (mut world, id) = World::applying();
    world.outcome(&id, busy());
    world.run();
    world.restart();
    world.run();
    assert_eq!(world.effects(), [], "not before its time");
    world.later(60);
    world.run();
    assert_eq!(world.effects(), [Effect::Apply]);
    world.outcome(&id, busy());
    world.run();
    world.now += SignedDuration::from_secs(600);
    world.restart();
    world.run();
    assert_eq!(world.effects(), [Effect::Apply], "once when its time has come");
}

#[test]
fn a_pause_stops_a_patch_that_is_to_be_tried_again() {
    let (mut world, id) = World::applying();
    world.outcome(&id, busy());
    world.pause(Scope::All);
    for _ in 0..3 {
        world.later(60);
        world.run();
        assert_eq!(world.effects(), [Effect::LookOnly]);
        world.outcome(&id, Input::Applied(Applied::Paused));
        world.run();
    }
    world.restart();
    world.run();
    assert_eq!(world.effects(), [Effect::LookOnly]);
    world.outcome(&id, Input::Applied(Applied::Paused));
    world.resume();
    world.run();
    world.later(60);
    world.run();
    assert_eq!(world.effects(), [Effect::Apply]);
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Applying")]);
}

#[test]
fn a_restart_under_a_pause_follows_a_patch_that_is_made_and_makes_none() {
    let (mut world, id) = World::applying();
    world.pause(Scope::Namespace("shop".into()));
    world.run();
    world.restart();
    world.run();
    assert_eq!(world.effects(), [Effect::LookOnly]);
    world.outcome(&id, patched("ghcr.io/acme/web:1.0.1"));
    world.run();
    assert_eq!(world.effects(), [Effect::Follow]);
}

#[test]
fn pauses_are_written_one_after_the_other_and_again_until_it_works() {
    let mut world = World::new(settings());
    let first = world.pause(Scope::Namespace("shop".into()));
    assert_eq!(world.saves(), 1);
    let second = world.pause(Scope::All);
    assert_eq!(world.saves(), 0, "one is under way");
    world.send(Message::PausesSaved(Err(Failure::transient("away"))));
    world.run();
    assert!(answer(&first).is_none() && answer(&second).is_none() && !world.engine.is_durable());
    assert!(world.engine.deadline().is_some());
    world.later(60);
    world.run();
    assert!(answer(&first).unwrap().is_ok() && answer(&second).unwrap().is_ok() && world.engine.is_durable());
    assert_eq!(world.pauses.len(), 2);
}

#[test]
fn a_pause_that_is_refused_is_told_and_not_on() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    let told = world.pause(Scope::All);
    assert_eq!(world.saves(), 1);
    world.send(Message::PausesSaved(Err(Failure::refused("not allowed"))));
    world.run();
    assert_eq!(answer(&told), Some(Err(CommandRefused::NotRecorded("not allowed".into()))));
    world.observe(&[("1.0.1", "b")]);
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Applying")]);
}

#[test]
fn pauses_that_others_keep_are_taken_up_with_the_next_write() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    world.pauses = vec![Pause { scope: Scope::All, until: None, by: "user:bob".into(), at: world.now, reason: None }];
    world.pause(Scope::Namespace("elsewhere".into()));
    world.run();
    world.observe(&[("1.0.1", "b")]);
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Held")]);
    assert_eq!(world.pauses.len(), 2);
}

#[test]
fn a_resume_is_answered_when_every_lift_is_durable() {
    let (mut world, id) = World::applying();
    world.outcome(&id, Input::Applied(Applied::Failed(Failure::refused("no"))));
    world.pause(Scope::All);
    world.run();
    let told = world.resume();
    world.settle(&mut || true);
    assert_eq!(answer(&told), None, "the pauses are written, the lift is not");
    world.later(60);
    world.run();
    let lifted = answer(&told).unwrap().unwrap();
    assert_eq!((lifted.pauses.len(), lifted.bindings), (1, vec![id]));
}

#[test]
fn a_vote_that_comes_too_late_is_told_how_the_update_ended() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    world.now += SignedDuration::from_hours(25);
    let (told, reply) = reply();
    let ballot = Ballot { voter: Voter::Caller("user:ann".into()), verdict: Verdict::Approve, content: None, reason: None };
    world.send(Message::Command(Command::Vote { id, ballot, reply }));
    world.settle(&mut || true);
    assert!(answer(&told).is_none(), "the end is not durable yet");
    world.later(60);
    world.run();
    let refusal = answer(&told).unwrap().unwrap_err().to_string();
    assert!(refusal.contains("Expired"), "{refusal}");
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Expired")]);
}

#[test]
fn who_waits_for_an_update_whose_name_was_taken_is_answered() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    let id = world.open();
    let told = world.vote(&id, Verdict::Approve);
    let earlier = world.engine.updates().next().unwrap().clone();
    world.acts.retain(|act| !matches!(act, Act::Write { .. }));
    let earlier = Update { created: earlier.created - SignedDuration::from_hours(1), ..earlier };
    world.durable.insert(id.clone(), (earlier.clone(), 7));
    let kept = Kept { update: earlier, version: Version("7".into()) };
    world.send(Message::Written { id, result: Written::Taken(Box::new(kept)) });
    world.run();
    assert_eq!(*told.lock().unwrap(), Some(false));
}

/// An update to 1.0.1 that runs and that Git has refused.
fn unrecorded() -> (World, UpdateId) {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    let update = world.engine.updates().next().unwrap().clone();
    let rollout = Rollout { applied: vec!["ghcr.io/acme/web:1.0.1".into()], patched: world.now, deadline: world.now };
    let closed = Closed { rollout: Some(rollout), ..Closed::with(Outcome::Unrecorded, Reason::NotDeclared) };
    world.durable.insert(id.clone(), (Update { phase: Phase::Closed(closed), ..update }, 9));
    let mark = Mark { update: id.name.clone(), epoch: 0, restored: vec![] };
    world.show("web", "ghcr.io/acme/web:1.0.1", PATCH, Some(mark));
    world.restart();
    world.run();
    world.effects();
    (world, id)
}

#[test]
fn an_unrecorded_update_is_recorded_after_all_while_it_runs() {
    let (mut world, id) = unrecorded();
    let told = world.retry(&id);
    world.run();
    assert!(answer(&told).unwrap().is_ok());
    assert_eq!(world.effects(), [Effect::WriteBack]);
    let again = world.retry(&id);
    world.run();
    assert!(answer(&again).unwrap().unwrap_err().to_string().contains("under way"));
    assert_eq!(world.effects(), [], "one commit");
}

#[test]
fn what_does_not_run_any_more_is_not_written_to_git() {
    let (mut world, id) = unrecorded();
    world.show("web", "ghcr.io/acme/web:9", PATCH, None);
    let told = world.retry(&id);
    world.run();
    let refusal = answer(&told).unwrap().unwrap_err().to_string();
    assert!(refusal.contains("ghcr.io/acme/web:9"), "{refusal}");
    assert_eq!(world.effects(), []);
}

#[test]
fn changed_directives_and_mended_mistakes_are_looked_at_now() {
    let mut world = World::new(settings());
    let hints = |world: &mut World, name: &str, annotations: &[(&str, &str)]| {
        world.hints = 0;
        world.show(name, OLD, annotations, None);
        world.run();
        world.hints
    };
    assert_eq!(hints(&mut world, "web", PATCH), 0, "a new repository is polled at once anyway");
    assert_eq!(hints(&mut world, "web", PATCH), 0, "nothing changed");
    assert_eq!(hints(&mut world, "api", PATCH), 1, "a new workload of a repository that was polled long ago");
    assert_eq!(hints(&mut world, "web", &[("skeg.dev/policy", "minor")]), 1);
    assert_eq!(hints(&mut world, "web", &[("skeg.dev/policy", "minr")]), 0);
    assert_eq!(hints(&mut world, "web", &[("skeg.dev/policy", "minor")]), 1, "mended");
}

fn failed_read(access: Access) -> Observation {
    let repository: Repository = "ghcr.io/acme/web".parse().unwrap();
    let read = Err(RegistryError::NotFound { repository: repository.to_string() });
    Observation { repository, access, trigger: Trigger::Poll, is_told: false, named: BTreeSet::new(), begun: Duration::ZERO, read }
}

#[test]
fn what_was_noted_of_a_repository_goes_with_its_last_workload() {
    let mut world = World::new(settings());
    let id = world.show("web", OLD, PATCH, None);
    world.send(Message::Observed(vec![failed_read(Access::Anonymous)]));
    assert_eq!(world.engine.looked.registry("ghcr.io").unreadable, 1);
    world.shown.0.lock().unwrap().clear();
    world.send(Message::Changed(vec![id]));
    assert_eq!(world.engine.looked.registry("ghcr.io").unreadable, 0);
    world.send(Message::Observed(vec![failed_read(Access::Anonymous)]));
    assert_eq!(world.engine.looked.registry("ghcr.io").unreadable, 0, "an answer that comes late is not noted again");
}

#[test]
fn trouble_with_one_access_is_not_ended_by_another_one_that_works() {
    let now = Timestamp::UNIX_EPOCH;
    let mut looked = Looked::default();
    let failed = failed_read(Access::Configured(1));
    looked.note_trouble(&failed, now);
    let read = Ok(Read { listing: Listing::Whole(Tags::default()), digests: BTreeMap::new(), offers: Offers::default() });
    looked.note_trouble(&Observation { access: Access::Anonymous, read, ..failed.clone() }, now);
    assert!(looked.trouble(&failed.repository, &Access::Configured(1)).is_some());
    assert!(looked.trouble(&failed.repository, &Access::Anonymous).is_none());
}

#[test]
fn a_delivery_that_is_ahead_of_the_list_is_looked_into_once_more() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    let read = Read { listing: Listing::Whole(vec!["1.0.0".parse().unwrap()].into()), digests: BTreeMap::new(), offers: Offers::default() };
    let mut look = |trigger, named: Option<&str>| {
        let named = named.into_iter().map(|tag| tag.parse().unwrap()).collect();
        world.send(Message::Observed(vec![Observation {
            trigger,
            is_told: trigger == Trigger::Webhook,
            named,
            read: Ok(read.clone()),
            ..failed_read(Access::Anonymous)
        }]));
        world.run();
        std::mem::take(&mut world.hints)
    };
    assert_eq!(look(Trigger::Webhook, Some("1.0.1")), 1);
    assert_eq!(look(Trigger::Resync, None), 0, "once");
    assert_eq!(look(Trigger::Webhook, Some("1.0.0")), 0, "it is listed");
}

#[test]
fn what_was_kept_for_other_questions_is_read_anew_and_what_leads_nowhere_changes_nothing() {
    let mut world = World::new(settings());
    let id = world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.0", "old")]);
    let before = world.engine.looked.at(&id, "web").cloned();
    assert!(before.as_ref().is_some_and(|look| look.reason.is_some()));
    let workload = world.shown.get(&id).unwrap();
    let (selection, current) = questions(&workload, &"ghcr.io/acme/web".parse().unwrap()).next().unwrap();
    let kept = Shortlist::of(selection, &current, &["1.0.0".parse().unwrap()]);
    for (shortlists, hints) in [(vec![kept], 0), (vec![], 1)] {
        let read = Ok(Read { listing: Listing::Kept(shortlists), digests: BTreeMap::new(), offers: Offers::default() });
        world.send(Message::Observed(vec![Observation { read, begun: world.steady, ..failed_read(Access::Anonymous) }]));
        world.run();
        assert_eq!((std::mem::take(&mut world.hints), world.phases()), (hints, vec![]));
        // Another look may be awaited by then.
        let after = world.engine.looked.at(&id, "web").map(|look| Look { is_awaited: false, ..look.clone() });
        assert_eq!(after, before);
    }
}

#[test]
fn an_end_that_people_were_not_shown_is_shown_after_a_restart() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    let prompt = Prompt { channel: "C1".into(), message: "1.1".into(), ended: false };
    world.outcome(&id, Input::Prompted(prompt));
    world.vote(&id, Verdict::Reject);
    world.run();
    world.effects();
    world.restart();
    world.run();
    assert_eq!(world.effects(), [Effect::Revise]);
}
