//! What people do while skeg works: they push images, vote, order, set images by hand, edit Git, delete things.

use std::time::Duration;

use jiff::Timestamp;
use skeg::core::hold::voter::{Ballot, Clicker, Home, Standing, Voter};
use skeg::core::image::{ImageRef, Repository, Tag};
use skeg::core::pause::Scope;
use skeg::core::schedule::after;
use skeg::core::update::{Phase, Trigger, Update, UpdateId, Verdict};
use skeg::core::workload::WorkloadId;
use skeg::sources::Hint;

use crate::history::{By, Fact, Order};
use crate::scene::{REMOTES, REPOSITORIES, repository, tag};
use crate::world::chat::CHANNEL;
use crate::world::registry::Behaviour;
use crate::world::{Wanted, World};

/// Who may vote. Others try.
pub const APPROVERS: [&str; 4] = ["user:ann", "user:bob", "slack:U1", "slack:U2"];

/// How many of all deeds it is, and the deed.
type Deed = (u32, fn(&mut World));

/// What people do.
const DEEDS: [Deed; 22] = [
    (34, push_newer),
    (5, move_tag),
    (3, delete_a_tag),
    (4, hint_at_random),
    (50, click),
    (16, vote_by_the_api),
    (9, set_an_image),
    (9, undo_a_rollout),
    (5, touch_something),
    (6, annotate_something),
    (3, delete_a_workload),
    (2, hand_over),
    (9, push_to_git),
    (4, declare_an_image),
    (4, revert_a_commit),
    (2, delete_a_record),
    (3, edit_a_record),
    (1, spoil_a_record),
    (1, delete_a_message),
    (3, pause_something),
    (5, resume_something),
    (4, retry_something),
];

impl World {
    /// Has one of the deeds done.
    pub fn do_something(&mut self) {
        let mut place = self.random.u32(0..DEEDS.iter().map(|(weight, _)| weight).sum());
        for (weight, deed) in DEEDS {
            if place < weight {
                return deed(self);
            }
            place -= weight;
        }
    }

    fn any_workload(&mut self) -> Option<WorkloadId> {
        let ids: Vec<WorkloadId> = self.cluster.by_id.keys().cloned().collect();
        self.any(&ids).cloned()
    }

    fn any_repository(&mut self) -> Repository {
        repository(self.random.usize(0..REPOSITORIES.len()))
    }

    fn any_record(&mut self, passes: impl Fn(&Update) -> bool) -> Option<Update> {
        let ids: Vec<UpdateId> = self.journal.by_id.keys().cloned().collect();
        let passing: Vec<Update> = ids.iter().filter_map(|id| self.journal.update(id)).filter(|update| passes(update)).cloned().collect();
        self.any(&passing).cloned()
    }

    fn behaviour(&mut self) -> Behaviour {
        let wait = self.between(Duration::from_secs(3), Duration::from_secs(45));
        match self.random.u32(0..10) {
            0 => Behaviour::Hangs,
            1 => Behaviour::Crashes(wait),
            _ => Behaviour::ComesUp(wait),
        }
    }

    /// Brings a vote to skeg; Slack brings one again that was not acknowledged, and sometimes one that was.
    pub fn bring_vote(&mut self, update: &UpdateId, ballot: &Ballot) {
        let number = self.number();
        self.tell(Fact::Voted { number, update: update.clone(), ballot: ballot.clone() });
        let copies = if self.chance(150) { 2 } else { 1 };
        if copies > 1 {
            self.tell(Fact::Twice { what: format!("vote #{number} is brought") });
        }
        for _ in 0..copies {
            let (update, ballot) = (update.clone(), ballot.clone());
            let wait = self.between(Duration::from_millis(20), Duration::from_secs(3));
            self.after(wait, move |world| world.wanted.push_back(Wanted::Vote { number, update, ballot, tries: 0 }));
        }
    }

    fn give_order(&mut self, order: Order) {
        let number = self.number();
        self.tell(Fact::Ordered { number, order: order.clone() });
        self.wanted.push_back(Wanted::Order { number, order });
    }

    /// A registry tells of a push, once or more often.
    fn hint(&mut self, repository: &Repository, tag: Option<&Tag>) {
        let times = self.random.u32(1..4);
        if times > 1 {
            self.tell(Fact::Twice { what: format!("a push to {} is told of", crate::history::short(repository.as_str())) });
        }
        for _ in 0..times {
            let whole = || Hint::whole(repository.clone(), Trigger::Webhook);
            let hint = tag.map_or_else(whole, |tag| Hint::pushed(repository.clone(), tag.clone()));
            let wait = self.between(Duration::from_millis(10), Duration::from_secs(5));
            self.after(wait, move |world| world.wanted.push_back(Wanted::Hint(hint)));
        }
    }

    /// Lifts what would keep decisions waiting for ever.
    pub fn clear_the_way(&mut self) {
        let spoilt: Vec<UpdateId> = self.journal.by_id.keys().filter(|id| self.journal.update(id).is_none()).cloned().collect();
        for id in spoilt {
            self.remove_record(&id, By::Person("kubectl delete"));
        }
        self.git.closed.clear();
        let ids: Vec<WorkloadId> = self.cluster.by_id.keys().cloned().collect();
        for id in ids {
            self.touch(&id, |object| object.owner = None);
            let Some(object) = self.cluster.by_id.get(&id) else { continue };
            let is_broken = object.annotations.get("skeg.dev/policy").is_none_or(|policy| policy.contains('('));
            if is_broken || object.annotations.contains_key("skeg.dev/pause") {
                self.annotate(&id, |annotations| {
                    annotations.remove("skeg.dev/pause");
                    if is_broken {
                        annotations.insert("skeg.dev/policy".to_owned(), "patch".to_owned());
                    }
                });
            }
        }
        let endless: Vec<Scope> = self.pauses.0.iter().filter(|pause| pause.until.is_none()).map(|pause| pause.scope.clone()).collect();
        for scope in endless {
            self.give_order(Order::Resume { scope });
        }
    }
}

// === Images ===

fn push_newer(world: &mut World) {
    let repository = world.any_repository();
    let behaviour = world.behaviour();
    let version = if world.chance(150) { tag("latest") } else { next_version(world, &repository) };
    world.push_image(&repository, &version, behaviour);
    if world.chance(600) {
        world.hint(&repository, Some(&version));
    }
}

/// One patch or minor version more than there is.
fn next_version(world: &mut World, repository: &Repository) -> Tag {
    let versions = world.registry.tags(repository).into_iter().filter_map(|tag| semver::Version::parse(tag.as_str()).ok());
    let newest = versions.max().unwrap_or(semver::Version::new(1, 0, 0));
    if world.chance(120) {
        return tag(&format!("1.{}.0", newest.minor + 1));
    }
    tag(&format!("1.{}.{}", newest.minor, newest.patch + 1))
}

fn any_tag(world: &mut World) -> (Repository, Option<Tag>) {
    let repository = world.any_repository();
    let tags = world.registry.tags(&repository);
    // Mostly the newest, which matters most.
    let newest = tags.iter().filter(|tag| tag.as_str() != "latest").max_by_key(|tag| semver::Version::parse(tag.as_str()).ok()).cloned();
    let tag = if world.chance(600) { newest } else { world.any(&tags).cloned() };
    (repository, tag)
}

fn move_tag(world: &mut World) {
    if let (repository, Some(tag)) = any_tag(world) {
        let behaviour = world.behaviour();
        world.push_image(&repository, &tag, behaviour);
    }
}

fn delete_a_tag(world: &mut World) {
    if let (repository, Some(tag)) = any_tag(world)
        && tag.as_str() != "latest"
    {
        world.delete_tag(&repository, &tag);
    }
}

fn hint_at_random(world: &mut World) {
    let (repository, tag) = any_tag(world);
    world.hint(&repository, tag.as_ref());
}

// === Votes and orders ===

fn verdict(world: &mut World) -> Verdict {
    if world.chance(850) { Verdict::Approve } else { Verdict::Reject }
}

/// Somebody looks at a message, and clicks a while later on what was shown then.
fn click(world: &mut World) {
    let messages: Vec<u64> = world.chat.0.keys().copied().collect();
    let asking: Vec<u64> = messages.iter().copied().filter(|number| world.chat.0[number].asks).collect();
    let number = if world.chance(900) { world.any(&asking).copied() } else { world.any(&messages).copied() };
    let Some(message) = number.and_then(|number| world.chat.0.get(&number)).cloned() else { return };
    let user = ["U1", "U2", "U1", "U2", "U9"][world.random.usize(0..5)];
    let home = Home { team: "T1".into(), channel: CHANNEL.into() };
    let clicker = Clicker { user: user.into(), team: Some("T1".into()), channel: Some(CHANNEL.into()), standing: Standing::Member, home };
    let verdict = verdict(world);
    let ballot = Ballot { voter: Voter::Slack(clicker), verdict, content: Some(message.content.clone()), reason: None };
    let wait = world.between(Duration::from_millis(100), Duration::from_secs(20));
    world.after(wait, move |world| world.bring_vote(&message.update, &ballot));
}

fn vote_by_the_api(world: &mut World) {
    let held = world.any_record(|update| matches!(update.phase, Phase::Held(_)));
    let update = if world.chance(900) { held } else { world.any_record(|_| true) };
    let Some(update) = update else { return };
    let voter = Voter::Caller(["user:ann", "user:bob", "user:ann", "user:bob", "user:eve"][world.random.usize(0..5)].into());
    let verdict = verdict(world);
    world.bring_vote(&update.id, &Ballot { voter, verdict, content: None, reason: None });
}

fn any_scope(world: &mut World) -> Option<Scope> {
    Some(match world.random.u32(0..4) {
        0 => Scope::All,
        1 => Scope::Namespace("shop".into()),
        _ => Scope::Workload(world.any_workload()?),
    })
}

fn pause_something(world: &mut World) {
    let Some(scope) = any_scope(world) else { return };
    let lasting = world.between(Duration::from_mins(1), Duration::from_mins(8));
    let until: Option<Timestamp> = world.chance(800).then(|| after(world.now, lasting));
    world.give_order(Order::Pause { scope, until });
}

fn resume_something(world: &mut World) {
    if let Some(scope) = any_scope(world) {
        world.give_order(Order::Resume { scope });
    }
}

fn retry_something(world: &mut World) {
    if let Some(update) = world.any_record(|update| !update.is_open()) {
        world.give_order(Order::Retry { workload: update.spec.workload.clone(), update: update.id });
    }
}

// === Workloads ===

/// `kubectl set image`, to any tag that is there or was there.
fn set_an_image(world: &mut World) {
    let Some(id) = world.any_workload() else { return };
    let containers = world.cluster.by_id.get(&id).map(|object| object.containers.clone()).unwrap_or_default();
    let Some(container) = world.any(&containers).cloned() else { return };
    let Ok(image) = container.image.parse::<ImageRef>() else { return };
    let tags = world.registry.tags(image.repository());
    let Some(tag) = world.any(&tags).cloned() else { return };
    let image = format!("{}:{tag}", image.repository()).into();
    world.set_images(&id, &[(container.name, image)], "kubectl set image");
}

fn undo_a_rollout(world: &mut World) {
    if let Some(id) = world.any_workload() {
        world.undo(&id, "kubectl rollout undo");
    }
}

fn touch_something(world: &mut World) {
    let Some(id) = world.any_workload() else { return };
    let replicas = i32::from(world.random.u8(0..5));
    world.touch(&id, |object| object.replicas = replicas);
    world.tell(Fact::Touched { id, what: "scaled by an autoscaler" });
}

fn annotate_something(world: &mut World) {
    let Some(id) = world.any_workload() else { return };
    let (key, values): (&str, &[Option<&str>]) = match world.random.u32(0..4) {
        0 => ("skeg.dev/approvals", &[Some("0"), Some("1"), Some("2")]),
        1 => ("skeg.dev/pause", &[Some("true"), None]),
        2 => ("skeg.dev/policy", &[Some("patch"), Some("all"), Some("never("), None]),
        _ => ("skeg.dev/rollback", &[Some("off"), None]),
    };
    let value = values[world.random.usize(0..values.len())].map(str::to_owned);
    world.annotate(&id, |annotations| match value {
        Some(value) => drop(annotations.insert(key.to_owned(), value)),
        None => drop(annotations.remove(key)),
    });
}

/// Deletes a workload; mostly it is made anew soon.
fn delete_a_workload(world: &mut World) {
    let Some(id) = world.any_workload() else { return };
    world.delete(&id);
    if world.chance(800) {
        let wait = world.between(Duration::from_millis(100), Duration::from_mins(2));
        world.after(wait, move |world| {
            if !world.weather.is_calm && !world.cluster.by_id.contains_key(&id) {
                world.draw_workload(&id.name);
            }
        });
    }
}

/// Flux takes a workload over, and lets it go later.
fn hand_over(world: &mut World) {
    let Some(id) = world.any_workload() else { return };
    world.touch(&id, |object| object.owner = Some(skeg::core::workload::GitOpsOwner::Flux));
    world.tell(Fact::Touched { id: id.clone(), what: "taken over by Flux" });
    let wait = world.between(Duration::from_secs(20), Duration::from_mins(4));
    world.after(wait, move |world| {
        world.touch(&id, |object| object.owner = None);
        world.tell(Fact::Touched { id, what: "let go by Flux" });
    });
}

// === Git ===

fn any_remote(world: &mut World) -> &'static str {
    REMOTES[world.random.usize(0..REMOTES.len())]
}

/// Several commits in a row that have nothing to do with images: the tip moves.
fn push_to_git(world: &mut World) {
    let remote = any_remote(world);
    for _ in 0..world.random.u32(1..6) {
        let wait = world.between(Duration::from_millis(10), Duration::from_secs(4));
        world.after(wait, move |world| {
            let files = world.git.files(remote).cloned().unwrap_or_default();
            world.push_commit(remote, "Change something else\n".to_owned(), files, By::Person("git push"));
        });
    }
}

fn declare_an_image(world: &mut World) {
    let remote = any_remote(world);
    let mut files = world.git.files(remote).cloned().unwrap_or_default();
    let places: Vec<_> = files.keys().cloned().collect();
    let Some(place) = world.any(&places).cloned() else { return };
    let Some(Ok(image)) = files.get(&place).map(|image| image.parse::<ImageRef>()) else { return };
    let tags = world.registry.tags(image.repository());
    let Some(tag) = world.any(&tags).cloned() else { return };
    files.insert(place, format!("{}:{tag}", image.repository()).into());
    world.push_commit(remote, "Set an image by hand\n".to_owned(), files, By::Person("git push"));
}

/// Takes back what the newest commit of skeg's changed.
fn revert_a_commit(world: &mut World) {
    let remote = any_remote(world);
    let Some(branch) = world.git.branches.get(remote) else { return };
    let own = branch.iter().rposition(|commit| skeg::core::commit_message::trailers(&commit.message).next().is_some());
    let Some((before, reverted)) = own.and_then(|place| Some((branch.get(place.checked_sub(1)?)?, branch.get(place)?))) else { return };
    let (before, reverted) = (before.files.clone(), reverted.files.clone());
    let mut files = world.git.files(remote).cloned().unwrap_or_default();
    for (place, image) in before {
        if reverted.get(&place) != Some(&image) {
            files.insert(place, image);
        }
    }
    world.push_commit(remote, "Revert an update\n".to_owned(), files, By::Person("git revert"));
}

// === Records and messages ===

fn delete_a_record(world: &mut World) {
    if let Some(update) = world.any_record(|_| true) {
        world.remove_record(&update.id, By::Person("kubectl delete"));
    }
}

fn edit_a_record(world: &mut World) {
    if let Some(update) = world.any_record(|_| true) {
        world.tamper(&update.id, true);
    }
}

fn spoil_a_record(world: &mut World) {
    if let Some(update) = world.any_record(|_| true) {
        world.tamper(&update.id, false);
    }
}

fn delete_a_message(world: &mut World) {
    let messages: Vec<u64> = world.chat.0.keys().copied().collect();
    if let Some(number) = world.any(&messages).copied()
        && let Some(message) = world.chat.0.remove(&number)
    {
        world.tell(Fact::MessageDeleted { update: message.update, message: number });
    }
}
