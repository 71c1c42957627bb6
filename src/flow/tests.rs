//! The engine with a world that a test owns: no task, no clock, every order of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::engine::{Engine, Settings};

use super::message::{Act, Message, Written};
use super::observe::{Observation, Read};
use crate::core::directives::{Defaults, skeg};
use crate::core::failure::Failure;
use crate::core::hold::voter::{Ballot, Voter};
use crate::core::image::{Digest, Repository, Tag};
use crate::core::offers::Offers;
use crate::core::pause::{Pause, Scope};
use crate::core::platform::Platforms;
use crate::core::policy::Listing;
use crate::core::update::{
    Applied, Closed, Drift, Effect, Followed, Input, Mark, Outcome, Phase, Reason, Restored, Rollout, Trigger, Update, UpdateId, Verdict,
};
use crate::core::workload::{Container, Workload, WorkloadId, WorkloadKind};
use crate::flow::commands::Command;
use crate::ports::cluster::{Changes, Gone, Workloads};
use crate::ports::journal::{Kept, Records, Version};
use crate::ports::registry::{Access, Registry, RegistryError};

/// The workloads as a watch would show them; without an entry they are gone, with an empty one they are not managed.
#[derive(Default)]
struct Shown(Mutex<BTreeMap<WorkloadId, Option<Arc<Workload>>>>);

#[async_trait]
impl Workloads for Shown {
    fn get(&self, id: &WorkloadId) -> Option<Arc<Workload>> {
        self.0.lock().unwrap().get(id).cloned().flatten()
    }
    fn is_there(&self, id: &WorkloadId) -> bool {
        self.0.lock().unwrap().contains_key(id)
    }
    fn all(&self) -> Vec<Arc<Workload>> {
        self.0.lock().unwrap().values().flatten().cloned().collect()
    }
    fn using(&self, repository: &Repository) -> Vec<Arc<Workload>> {
        // Not parsed: thousands of workloads ask this of each other.
        let repository = repository.to_string();
        let is_of = |image: &str| image.strip_prefix(&repository).is_some_and(|rest| rest.starts_with([':', '@']));
        let uses = |workload: &Arc<Workload>| workload.containers.iter().any(|container| is_of(&container.image));
        self.all().into_iter().filter(uses).collect()
    }
    fn repositories(&self) -> Vec<Repository> {
        Vec::new()
    }
    fn knows(&self, _: &str) -> bool {
        true
    }
    fn is_filled(&self) -> bool {
        true
    }
    fn gone(&self) -> Option<Gone> {
        None
    }
    fn lands_on(&self, workload: &Workload) -> Option<Arc<Platforms>> {
        workload.placement.as_ref()?.named().map(Arc::new)
    }
    async fn filled(&self) {}
    async fn changed(&self) -> Changes {
        futures::future::pending().await
    }
}

/// The engine asks a registry for nothing but the access.
struct OneAccess;

#[async_trait]
impl Registry for OneAccess {
    fn access(&self, _: &Repository, _: &crate::core::workload::Puller<'_>) -> Access {
        Access::Anonymous
    }
    async fn tags(&self, repository: &Repository, _: &Access) -> Result<Vec<Tag>, RegistryError> {
        Err(RegistryError::NotFound { repository: repository.to_string() })
    }
    async fn digest(&self, repository: &Repository, _: &Tag, _: &Access) -> Result<Option<Digest>, RegistryError> {
        Err(RegistryError::NotFound { repository: repository.to_string() })
    }
    async fn built(&self, _: &Repository, _: &Digest, _: &Access) -> Result<Option<Timestamp>, RegistryError> {
        Ok(None)
    }
    async fn index(
        &self,
        repository: &Repository,
        _: &Digest,
        _: &Access,
    ) -> Result<Option<crate::core::rollout::ImageIndex>, RegistryError> {
        Err(RegistryError::NotFound { repository: repository.to_string() })
    }
}

/// The engine, what is durable, and what it wants done next.
struct World {
    engine: Engine,
    shown: Arc<Shown>,
    durable: BTreeMap<UpdateId, (Update, u32)>,
    pauses: Vec<Pause>,
    acts: Vec<Act>,
    carried: Vec<(Effect, Update)>,
    hints: usize,
    /// Records that are to be read again.
    reread: Vec<UpdateId>,
    /// The Git remotes that are granted to the namespace.
    remotes: Vec<Box<str>>,
    now: Timestamp,
    /// The clock that nobody sets.
    steady: Duration,
}

fn digest(of: &str) -> Digest {
    use sha2::Digest as _;
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(of))).parse().unwrap()
}

fn settings() -> Settings {
    Settings { acts: true, in_flight: 10, history_per_workload: 3, history_age: Duration::from_hours(720), history_total: 5_000 }
}

impl World {
    fn new(settings: Settings) -> Self {
        let shown = Arc::new(Shown::default());
        let now = Timestamp::UNIX_EPOCH;
        let engine = Engine::new(settings, shown.clone(), Arc::new(OneAccess));
        let durable = BTreeMap::new();
        let mut world = Self {
            engine,
            shown,
            durable,
            pauses: vec![],
            acts: vec![],
            carried: vec![],
            hints: 0,
            reread: vec![],
            remotes: vec![],
            now,
            steady: Duration::ZERO,
        };
        world.send(Message::Loaded { records: Records::default(), pauses: vec![] });
        world
    }

    /// The watch shows a workload of one container, and the engine is told.
    fn show(&mut self, name: &str, image: &str, annotations: &[(&str, &str)], mark: Option<Mark>) -> WorkloadId {
        let workload = self.workload(name, &[("web", image)], annotations, mark);
        self.put(workload)
    }

    fn workload(&self, name: &str, containers: &[(&str, &str)], annotations: &[(&str, &str)], mark: Option<Mark>) -> Workload {
        let container = |(name, image): &(&str, &str)| Container { name: (*name).into(), image: (*image).into(), init: false };
        let containers: Vec<Container> = containers.iter().map(container).collect();
        let approvers = crate::core::directives::Approver::parse("user:ann").into_iter().collect();
        let defaults = Defaults { approvers, git_remotes: self.remotes.clone(), ..Defaults::default() };
        let directives = match skeg::parse(annotations.iter().copied(), &containers, &defaults) {
            Ok(directives) => Ok(directives.unwrap()),
            Err(mistakes) => Err(mistakes),
        };
        let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() };
        Workload { mark, ..Workload::plain(id, format!("uid-{name}").into(), containers, directives) }
    }

    fn put(&mut self, workload: Workload) -> WorkloadId {
        let id = workload.id.clone();
        self.put_untold(workload);
        self.send(Message::Changed(vec![id.clone()]));
        id
    }

    /// The watch shows the workload, and the engine is not told yet.
    fn put_untold(&self, workload: Workload) {
        self.shown.0.lock().unwrap().insert(workload.id.clone(), Some(Arc::new(workload)));
    }

    /// The watch shows that the workload is not managed any more, or gone.
    fn hide(&mut self, id: &WorkloadId, is_there: bool) {
        let mut shown = self.shown.0.lock().unwrap();
        if is_there {
            shown.insert(id.clone(), None);
        } else {
            shown.remove(id);
        }
        drop(shown);
        self.send(Message::Changed(vec![id.clone()]));
    }

    fn send(&mut self, message: Message) {
        let acts = self.engine.handle(message, self.now);
        self.acts.extend(acts);
    }

    fn later(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.steady += Duration::from_secs(seconds.unsigned_abs());
        self.send(Message::Tick);
    }

    /// The registry was read: these tags, each with a digest of its own.
    fn observe(&mut self, tags: &[(&str, &str)]) {
        let observation = self.observation("ghcr.io/acme/web", Trigger::Poll, tags);
        self.send(Message::Observed(vec![observation]));
    }

    fn observation(&self, repository: &str, trigger: Trigger, tags: &[(&str, &str)]) -> Observation {
        let digests = tags.iter().map(|(tag, content)| (tag.parse().unwrap(), Some(digest(content)))).collect();
        let read = Read {
            listing: Listing::Whole(tags.iter().map(|(tag, _)| tag.parse().unwrap()).collect::<Vec<_>>().into()),
            digests,
            offers: Offers::default(),
        };
        Observation {
            repository: repository.parse().unwrap(),
            access: Access::Anonymous,
            trigger,
            is_told: trigger == Trigger::Webhook,
            named: BTreeSet::new(),
            begun: self.steady,
            read: Ok(read),
        }
    }

    /// Carries out what is wanted: records are written (or not), the rest is noted. `fail` says whether a write fails.
    fn settle(&mut self, fail: &mut dyn FnMut() -> bool) {
        while !self.acts.is_empty() {
            match self.acts.remove(0) {
                Act::Write { update, .. } if fail() => {
                    let result = Written::Failed(Failure::transient("busy"));
                    self.send(Message::Written { id: update.id, result });
                }
                Act::Write { update, .. } => {
                    let version = self.durable.get(&update.id).map_or(0, |(_, version)| *version) + 1;
                    let id = update.id.clone();
                    self.durable.insert(id.clone(), (*update, version));
                    self.send(Message::Written { id, result: Written::Done(Version(version.to_string().into())) });
                }
                Act::Carry { effect, update } => {
                    let durable = &self.durable.get(&update.id).expect("an effect without a record").0;
                    let is_caused = match effect {
                        Effect::Ask | Effect::Revise => true,
                        Effect::Apply | Effect::LookOnly => matches!(durable.phase, Phase::Applying(_)),
                        Effect::Follow => matches!(durable.phase, Phase::Verifying(_)),
                        Effect::Restore => matches!(durable.phase, Phase::Restoring(_)),
                        Effect::WriteBack => matches!(durable.phase, Phase::Recording(_)),
                    };
                    assert!(is_caused, "{effect:?} while the record says {}", durable.phase.as_str());
                    self.carried.push((effect, *update));
                }
                Act::Remove(id) => drop(self.durable.remove(&id)),
                Act::Hint(repositories, _) => self.hints += repositories.len(),
                Act::HintAt(..) => self.hints += 1,
                Act::ReadAgain(id) => self.reread.push(id),
                Act::TakeOffMark { workload, update } => {
                    let mut shown = self.shown.0.lock().unwrap();
                    let marked = shown.get_mut(&workload).and_then(Option::as_mut).expect("a workload");
                    let mark = marked.mark.clone().filter(|mark| mark.update == update).expect("its mark");
                    Arc::make_mut(marked).mark = Some(mark.lifted());
                    drop(shown);
                    self.send(Message::MarkTakenOff { workload: workload.clone(), result: Ok(()) });
                    self.send(Message::Changed(vec![workload]));
                }
                Act::SavePauses(change) => {
                    self.pauses = change.made(std::mem::take(&mut self.pauses));
                    self.send(Message::PausesSaved(Ok(self.pauses.clone())));
                }
                Act::Answer(answer) => answer(),
                Act::Tell(_) | Act::Audit(_) => {}
            }
        }
    }

    fn run(&mut self) {
        self.settle(&mut || false);
    }

    /// The process dies and starts again: only what is durable is left.
    fn restart(&mut self) {
        self.acts.clear();
        self.engine = Engine::new(self.engine.settings.clone(), self.shown.clone(), Arc::new(OneAccess));
        let kept = |(update, version): &(Update, u32)| Kept { update: update.clone(), version: Version(version.to_string().into()) };
        let kept = self.durable.values().map(kept).collect();
        self.send(Message::Loaded { records: Records { kept, unreadable: vec![] }, pauses: self.pauses.clone() });
    }

    fn outcome(&mut self, id: &UpdateId, input: Input) {
        self.send(Message::Outcome { id: id.clone(), input });
    }

    fn phases(&self) -> Vec<(String, &'static str)> {
        let tag = |update: &Update| update.spec.changes.first().unwrap().tag.to_string();
        self.engine.updates().map(|update| (tag(update), update.phase.as_str())).collect()
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.carried).into_iter().map(|(effect, _)| effect).collect()
    }

    fn open(&self) -> UpdateId {
        self.engine.updates().find(|update| update.is_open()).expect("an open update").id.clone()
    }

    fn vote(&mut self, id: &UpdateId, verdict: Verdict) -> Arc<Mutex<Option<bool>>> {
        let answer = Arc::new(Mutex::new(None));
        let told = answer.clone();
        let ballot = Ballot { voter: Voter::Caller("user:ann".into()), verdict, content: None, reason: None };
        let reply = Box::new(move |result: Result<Update, _>| *told.lock().unwrap() = Some(result.is_ok()));
        self.send(Message::Command(Command::Vote { id: id.clone(), ballot, reply }));
        answer
    }
}

const OLD: &str = "ghcr.io/acme/web:1.0.0";
const PATCH: &[(&str, &str)] = &[("skeg.dev/policy", "patch")];
const ASKED: &[(&str, &str)] = &[("skeg.dev/policy", "patch"), ("skeg.dev/approvals", "1")];

fn patched(image: &str) -> Input {
    Input::Applied(Applied::Patched { applied: vec![image.into()] })
}

/// Workloads that are handed over, opted out or ruled otherwise.
mod owners;
mod platforms;
/// What people do to what was applied.
mod set_back;
/// Workloads that only webhooks ask for, beside others.
mod triggers;
/// Records that nobody can read.
mod unreadable;

#[test]
fn an_update_whose_gates_are_open_is_created_as_applying_in_one_write() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b"), ("1.1.0", "c")]);
    let writes = world.acts.iter().filter(|act| matches!(act, Act::Write { .. })).count();
    assert!(world.acts.iter().all(|act| !matches!(act, Act::Carry { .. })), "nothing is carried out before it is durable");
    world.run();
    assert_eq!((writes, world.phases()), (1, vec![("1.0.1".to_owned(), "Applying")]));
    assert_eq!(world.effects(), [Effect::Apply]);
}

#[test]
fn the_same_observation_a_thousand_times_is_one_decision() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    for _ in 0..1_000 {
        world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
        world.run();
    }
    assert_eq!((world.phases().len(), world.effects()), (1, vec![Effect::Ask]));
}

#[test]
fn a_vote_is_answered_only_when_it_is_durable() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    let answer = world.vote(&id, Verdict::Approve);
    world.settle(&mut || true);
    assert_eq!(*answer.lock().unwrap(), None);
    assert_eq!(world.effects(), [Effect::Ask]);
    world.later(60);
    world.run();
    assert_eq!(*answer.lock().unwrap(), Some(true));
    assert!(world.effects().contains(&Effect::Apply));
}

#[test]
fn a_moved_tag_voids_the_request_and_asks_anew() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let first = world.open();
    world.later(1);
    world.observe(&[("1.0.1", "other")]);
    world.run();
    assert_ne!(world.open(), first);
    let answer = world.vote(&first, Verdict::Approve);
    world.run();
    assert_eq!(*answer.lock().unwrap(), Some(false), "a vote for the old digest is refused");
}

#[test]
fn a_newer_candidate_takes_the_place_of_a_held_one_and_waits_for_one_in_flight() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    world.later(1);
    world.observe(&[("1.0.1", "b"), ("1.0.2", "c")]);
    world.run();
    let mut phases = world.phases();
    phases.sort();
    assert_eq!(phases, [("1.0.1".to_owned(), "Superseded"), ("1.0.2".to_owned(), "Held")]);
    let id = world.open();
    world.vote(&id, Verdict::Approve);
    world.run();
    world.later(1);
    world.observe(&[("1.0.2", "c"), ("1.0.3", "d")]);
    world.run();
    assert_eq!(world.engine.updates().filter(|update| update.is_open()).count(), 1, "1.0.3 waits for 1.0.2");
}

#[test]
fn a_vote_that_overtakes_the_news_of_stricter_rules_applies_nothing() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    world.put_untold(world.workload("web", &[("web", OLD)], &[("skeg.dev/policy", "patch"), ("skeg.dev/approvals", "2")], None));
    world.vote(&id, Verdict::Approve);
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Superseded")]);
    assert_eq!(world.effects().iter().filter(|effect| **effect == Effect::Apply).count(), 0);
}

#[test]
fn two_thousand_requests_that_run_out_at_one_moment_end_one_by_one() {
    let mut world = World::new(settings());
    for number in 0..2_000 {
        world.show(&format!("web{number}"), OLD, ASKED, None);
    }
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    world.later(90_000);
    let ends = world.phases().into_iter().filter(|(_, phase)| *phase == "Expired").count();
    assert_eq!((ends, world.phases().len()), (2_000, 2_000));
}

#[test]
fn no_more_updates_than_allowed_are_in_flight() {
    let mut world = World::new(Settings { in_flight: 2, ..settings() });
    for number in 0..5 {
        world.show(&format!("web{number}"), OLD, PATCH, None);
    }
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let in_flight = |world: &World| world.engine.updates().filter(|update| update.is_in_flight()).count();
    assert_eq!(in_flight(&world), 2);
    let id = world.engine.updates().find(|update| update.is_in_flight()).unwrap().id.clone();
    world.outcome(&id, Input::Applied(Applied::Failed(Failure::refused("no"))));
    world.run();
    assert_eq!(in_flight(&world), 2, "the next one takes the free place");
}

/// Has an update get stuck.
type GetStuck = fn(&mut World, &UpdateId);

/// Two may roll out at once; a commit that hangs, a registry that is away and a record that nobody takes roll nothing out.
#[test]
fn what_only_waits_takes_no_room_from_what_could_roll_out() {
    let stuck: [(&str, GetStuck); 3] = [
        ("committing", |world, id| {
            world.outcome(id, patched("ghcr.io/acme/web:1.0.1"));
            world.outcome(id, Input::Followed(Followed::Healthy));
        }),
        ("trying again", |world, id| world.outcome(id, Input::Applied(Applied::Failed(Failure::transient("away"))))),
        ("not recorded", |world, id| {
            let result = Written::Failed(Failure::refused("no quota"));
            world.send(Message::Written { id: id.clone(), result });
        }),
    ];
    for (what, get_stuck) in stuck {
        let mut world = World::new(Settings { in_flight: 2, ..settings() });
        world.remotes = vec!["fleet".into()];
        for number in 0..5 {
            world.show(&format!("web{number}"), OLD, PATCH, None);
        }
        world.observe(&[("1.0.1", "b")]);
        if what != "not recorded" {
            world.run();
        }
        for _ in 0..3 {
            let waiting: Vec<UpdateId> =
                world.engine.updates().filter(|update| update.phase.as_str() == "Applying").map(|update| update.id.clone()).collect();
            for id in &waiting {
                get_stuck(&mut world, id);
            }
            if what != "not recorded" {
                world.run();
            }
        }
        let held = world.engine.updates().filter(|update| matches!(update.phase, Phase::Held(_))).count();
        assert_eq!(held, 0, "{what}");
    }
}

#[test]
fn what_has_waited_goes_on_when_there_is_room_again() {
    let mut world = World::new(Settings { in_flight: 1, ..settings() });
    for name in ["web0", "web1"] {
        world.show(name, OLD, PATCH, None);
    }
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let [first, second] =
        ["web0", "web1"].map(|name| world.engine.updates().find(|update| &*update.spec.workload.name == name).unwrap().id.clone());
    world.outcome(&first, Input::Applied(Applied::Failed(Failure::transient("away"))));
    world.run();
    assert_eq!(world.effects(), [Effect::Apply, Effect::Apply], "the second takes the room of the first");
    world.later(60);
    assert_eq!(
        {
            world.run();
            world.effects()
        },
        [Effect::LookOnly],
        "the first finds none, and only looks whether its patch was made after all"
    );
    world.outcome(&first, Input::Applied(Applied::Paused));
    world.run();
    let told = world
        .engine
        .updates()
        .find(|update| update.id == first)
        .and_then(|update| update.history.iter().last().map(|entry| entry.detail.clone()));
    assert!(told.is_some_and(|told| told.contains("in flight") || told.contains("roll")), "it tells why");
    world.outcome(&second, Input::Applied(Applied::Drifted(Drift::Gone)));
    world.later(60);
    world.run();
    assert_eq!(world.effects(), [Effect::Apply]);
}

#[test]
fn an_image_that_a_person_set_back_stays_theirs_until_resume_or_a_newer_candidate() {
    let mut world = World::new(settings());
    let workload = world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    world.outcome(&id, patched("ghcr.io/acme/web:1.0.1"));
    let mark = Mark { update: id.name.clone(), epoch: 0, restored: vec![] };
    world.show("web", "ghcr.io/acme/web:1.0.1", PATCH, Some(mark.clone()));
    world.outcome(&id, Input::Followed(Followed::Healthy));
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Done")]);
    world.show("web", OLD, PATCH, Some(mark));
    world.run();
    for restarts in 0..3 {
        world.later(300);
        world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
        world.run();
        assert_eq!(world.phases().len(), 1, "not tried again after {restarts} restarts");
        world.restart();
        world.run();
    }
    world.observe(&[("1.0.1", "b"), ("1.0.2", "c")]);
    world.run();
    assert!(world.phases().contains(&("1.0.2".to_owned(), "Applying")));
    assert!(world.engine.workloads.get(&workload).is_some());
}

#[test]
fn an_undo_that_takes_the_mark_away_with_the_image_is_a_set_back_too() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    world.outcome(&id, patched("ghcr.io/acme/web:1.0.1"));
    world.outcome(&id, Input::Followed(Followed::Healthy));
    world.run();
    // `kubectl rollout undo` puts the annotations of the old revision back as well.
    world.show("web", OLD, PATCH, None);
    for _ in 0..3 {
        world.later(300);
        world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
        world.run();
        assert_eq!(world.phases(), [("1.0.1".to_owned(), "Done")]);
    }
    let scope = Scope::All;
    world.send(Message::Command(Command::Resume { scope, by: "user:ann".into(), reply: Box::new(|_| ()) }));
    world.run();
    world.later(300);
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    assert!(world.phases().contains(&("1.0.1".to_owned(), "Applying")), "{:?}", world.phases());
}

#[test]
fn a_set_back_image_stays_back_when_every_record_is_lost() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    let mark = Mark { update: id.name.clone(), epoch: 0, restored: vec![] };
    world.show("web", OLD, PATCH, Some(mark));
    world.durable.clear();
    world.restart();
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    assert_eq!(world.phases(), []);
    let restored = Mark { update: "web-0123456789".into(), epoch: 0, restored: vec![digest("b")] };
    world.show("web", OLD, PATCH, Some(restored));
    world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
    world.run();
    assert_eq!(world.phases(), []);
}

#[test]
fn a_resume_lifts_what_the_mark_alone_holds_back() {
    let put_back = Mark { update: "web-0123456789".into(), epoch: 0, restored: vec![digest("b")] };
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let set_back = Mark { update: world.open().name.clone(), epoch: 0, restored: vec![] };
    for mark in [put_back, set_back] {
        let mut world = World::new(settings());
        world.show("web", OLD, PATCH, Some(mark.clone()));
        let look = |world: &mut World| {
            world.later(300);
            world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
            world.run();
        };
        look(&mut world);
        assert_eq!(world.phases(), [], "it is held back though no record is left");
        let lifted = Arc::new(Mutex::new(None));
        let told = lifted.clone();
        let reply = Box::new(move |result| *told.lock().unwrap() = Some(result));
        world.send(Message::Command(Command::Resume { scope: Scope::All, by: "user:ann".into(), reply }));
        let before = world.hints;
        world.run();
        let lifted = lifted.lock().unwrap().take().expect("an answer").expect("lifted");
        assert_eq!(lifted.bindings, [UpdateId { namespace: "shop".into(), name: mark.update }]);
        assert_eq!(world.hints, before + 1, "and is looked at again");
        look(&mut world);
        assert_eq!(world.phases(), [("1.0.1".to_owned(), "Applying")]);
    }
}

#[test]
fn a_resume_that_is_not_recorded_lifts_nothing() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    let scope = Scope::All;
    let pause = Pause { scope: scope.clone(), until: None, by: "user:ann".into(), at: world.now, reason: None };
    world.send(Message::Command(Command::Pause { pause, reply: Box::new(|_| ()) }));
    world.run();
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let resume = |world: &mut World, saved: Result<Vec<Pause>, Failure>| {
        world.send(Message::Command(Command::Resume { scope: scope.clone(), by: "user:ann".into(), reply: Box::new(|_| ()) }));
        world.acts.retain(|act| !matches!(act, Act::SavePauses(_)));
        world.run();
        assert_eq!(world.phases(), [("1.0.1".to_owned(), "Held")], "not before it is recorded");
        world.send(Message::PausesSaved(saved));
        world.run();
    };
    resume(&mut world, Err(Failure::refused("the API server does not allow it")));
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Held")]);
    resume(&mut world, Ok(vec![]));
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Applying")]);
}

#[test]
fn a_delivery_that_is_ahead_of_its_tag_is_looked_into_once_more() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    let look = |world: &mut World, trigger| {
        let listing = Listing::Whole(vec!["1.0.1".parse().unwrap()].into());
        let read = Read { listing, digests: BTreeMap::from([("1.0.1".parse().unwrap(), None)]), offers: Offers::default() };
        let repository = "ghcr.io/acme/web".parse().unwrap();
        let named = BTreeSet::new();
        let (access, is_told) = (Access::Anonymous, trigger == Trigger::Webhook);
        let observation = Observation { repository, access, trigger, is_told, named, begun: world.steady, read: Ok(read) };
        world.send(Message::Observed(vec![observation]));
        world.run();
    };
    look(&mut world, Trigger::Webhook);
    assert_eq!((world.hints, world.phases()), (1, vec![]));
    look(&mut world, Trigger::Resync);
    assert_eq!((world.hints, world.phases()), (1, vec![]));
    // It met a poll in the queue.
    let joined = world.observation("ghcr.io/acme/web", Trigger::Poll, &[("1.0.0", "a")]);
    let named = BTreeSet::from(["1.0.2".parse().unwrap()]);
    world.send(Message::Observed(vec![Observation { is_told: true, named, ..joined }]));
    world.run();
    assert_eq!((world.hints, world.phases()), (2, vec![]));
}

#[test]
fn an_older_listing_that_arrives_late_changes_nothing() {
    let mut world = World::new(settings());
    world.show("web", OLD, ASKED, None);
    world.later(100);
    world.observe(&[("1.0.1", "b"), ("1.0.2", "c")]);
    world.run();
    world.steady -= Duration::from_secs(50);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    assert_eq!(world.phases(), [("1.0.2".to_owned(), "Held")]);
}

/// An engine that is to be woken at a time that is past, and does nothing then, would be woken without end.
#[test]
fn a_new_record_that_waits_for_an_older_one_does_not_wake_the_engine() {
    let mut world = World::new(settings());
    world.show("web", OLD, PATCH, None);
    world.observe(&[("1.0.1", "b")]);
    world.run();
    let id = world.open();
    let mark = Mark { update: id.name.clone(), epoch: 0, restored: vec![] };
    world.outcome(&id, patched("ghcr.io/acme/web:1.0.1"));
    world.show("web", "ghcr.io/acme/web:1.0.1", PATCH, Some(mark.clone()));
    world.outcome(&id, Input::Followed(Followed::Healthy));
    world.run();
    world.observe(&[("1.0.2", "c")]);
    world.settle(&mut || true);
    world.show("web", "ghcr.io/acme/web:0.9.0", PATCH, Some(mark));
    world.settle(&mut || true);
    assert_eq!(world.engine.unwritten().count(), 2);
    world.later(60);
    let written: Vec<_> =
        world.acts.iter().filter_map(|act| if let Act::Write { update, .. } = act { Some(&update.id) } else { None }).collect();
    assert_eq!(written, [&id], "the older one first");
    assert!(world.engine.deadline().is_none_or(|at| at > world.now));
    world.run();
    assert!(world.engine.is_durable());
}

#[test]
fn a_record_that_was_written_after_the_start_is_taken_up() {
    let mut world = World::new(settings());
    world.show("web", OLD, &[("skeg.dev/policy", "all"), ("skeg.dev/approvals", "1")], None);
    world.observe(&[("1.0.1", "1.0.1")]);
    world.run();
    let late = world.durable.remove(&world.open()).expect("its record").0;
    world.restart();
    world.run();
    assert_eq!(world.phases(), []);

    let kept = |update: &Update| Kept { update: update.clone(), version: Version("7".into()) };
    let gone = Phase::Closed(Closed::with(Outcome::Superseded, Drift::Gone.reason()));
    let closed = Update { id: UpdateId { name: "web-closed".into(), ..late.id.clone() }, phase: gone.clone(), ..late.clone() };
    world.durable.insert(late.id.clone(), (late.clone(), 7));
    world.send(Message::FoundLate(vec![kept(&closed), kept(&late)]));
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Held")], "and only what is open");
    world.send(Message::FoundLate(vec![kept(&late)]));
    world.vote(&late.id, Verdict::Approve);
    world.run();
    assert_eq!(world.phases(), [("1.0.1".to_owned(), "Applying")]);
}

#[test]
fn an_end_that_nobody_takes_is_given_up_when_the_workload_is_gone_and_only_then() {
    for (is_gone, is_managed) in [(true, false), (false, false), (false, true)] {
        let mut world = World::new(settings());
        let workload = world.show("web", OLD, ASKED, None);
        world.observe(&[("1.0.1", "b")]);
        world.run();
        let id = world.open();
        if is_managed {
            world.show("web", "ghcr.io/acme/web:0.9.0", ASKED, None);
        } else {
            world.hide(&workload, !is_gone);
        }
        world.send(Message::Changed(vec![workload]));
        assert_eq!(world.phases(), [("1.0.1".to_owned(), "Superseded")]);
        let told = world.vote(&id, Verdict::Approve);
        world.acts.retain(|act| !matches!(act, Act::Write { .. }));
        world.send(Message::Written { id, result: Written::Failed(Failure::refused("there is no such namespace")) });
        let is_told = world.acts.iter().any(|act| matches!(act, Act::Audit(_)));
        world.run();
        assert_eq!((world.engine.updates().count(), world.engine.is_durable(), is_told), (usize::from(!is_gone), is_gone, is_gone));
        assert_eq!(told.lock().unwrap().is_some(), is_gone);
    }
}

#[test]
fn wherever_it_dies_an_update_is_resumed_where_its_record_stands() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(settings());
        world.show("web", OLD, if random.bool() { PATCH } else { ASKED }, None);
        world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]);
        for _ in 0..40 {
            match random.u8(..6) {
                0 => world.restart(),
                1 => world.settle(&mut || random.bool()),
                2 => world.later(random.i64(0..100)),
                3 => world.observe(&[("1.0.0", "a"), ("1.0.1", "b")]),
                _ => world.run(),
            }
            let Some(id) = world.engine.updates().find(|update| update.is_open()).map(|update| update.id.clone()) else { continue };
            if random.bool() {
                world.vote(&id, Verdict::Approve);
            }
            // Effects end in the order they were begun, each at most once for each time it was begun.
            if let Some((effect, update)) = world.carried.pop() {
                let input = match effect {
                    Effect::Ask | Effect::Revise => continue,
                    Effect::Apply if random.u8(..4) == 0 => Input::Applied(Applied::Failed(Failure::transient("busy"))),
                    Effect::Apply | Effect::LookOnly => patched("ghcr.io/acme/web:1.0.1"),
                    Effect::Follow if random.bool() => Input::Followed(Followed::Failed { why: "crash".into() }),
                    Effect::Follow => Input::Followed(Followed::Drifted(Drift::Gone)),
                    Effect::Restore | Effect::WriteBack => Input::Restored(Restored::Back),
                };
                world.outcome(&update.id, input);
            }
        }
        // `settle` has checked on the way that no effect ran ahead of its record.
        assert!(world.engine.updates().filter(|update| update.is_open()).count() <= 1, "seed {seed}: one workload, one open update");
    }
}

mod effects;
