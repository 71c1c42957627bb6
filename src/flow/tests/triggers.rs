//! Workloads that only webhooks ask for, and others that use the same repository.

use super::*;

const REPOSITORY: &str = "ghcr.io/acme/web";
const BY_WEBHOOK: &[(&str, &str)] = &[("skeg.dev/policy", "patch"), ("skeg.dev/approvals", "1"), ("skeg.dev/trigger", "webhook")];
const DAY: i64 = 24 * 60 * 60;

impl World {
    /// The repository was read for this reason.
    fn read(&mut self, trigger: Trigger, tags: &[&str]) {
        let tags: Vec<(&str, &str)> = tags.iter().map(|tag| (*tag, *tag)).collect();
        let observation = self.observation(REPOSITORY, trigger, &tags);
        self.observed(observation);
    }

    fn observed(&mut self, observation: Observation) {
        self.send(Message::Observed(vec![observation]));
        self.run();
    }

    /// The tags of the updates of a workload that are held.
    fn held(&self, name: &str) -> Vec<String> {
        let is_of = |update: &&Update| &*update.spec.workload.name == name && matches!(update.phase, Phase::Held(_));
        self.engine.updates().filter(is_of).map(|update| update.spec.changes[0].tag.to_string()).collect()
    }
}

/// `a` is asked for by webhooks alone, `b` by anything; both were looked at once, and nothing was due.
fn world() -> World {
    let mut world = World::new(settings());
    world.show("a", OLD, BY_WEBHOOK, None);
    world.show("b", OLD, ASKED, None);
    world.read(Trigger::Poll, &["1.0.0"]);
    world
}

#[test]
fn a_poll_or_a_resync_for_another_workload_decides_nothing_for_it() {
    let mut world = world();
    for trigger in [Trigger::Poll, Trigger::Resync] {
        world.read(trigger, &["1.0.0", "1.0.1"]);
        assert_eq!((world.held("a").len(), world.held("b").len()), (0, 1), "{trigger:?}");
    }
    world.read(Trigger::Webhook, &["1.0.0", "1.0.1"]);
    assert_eq!(world.held("a"), ["1.0.1"]);
}

#[test]
fn once_a_day_a_poll_decides_for_it() {
    let mut world = world();
    world.later(DAY / 2);
    world.read(Trigger::Poll, &["1.0.0", "1.0.1"]);
    assert_eq!(world.held("a"), [""; 0]);
    // Polls may be early.
    world.later(DAY / 2 - DAY / 20);
    world.read(Trigger::Poll, &["1.0.0", "1.0.1"]);
    assert_eq!(world.held("a"), ["1.0.1"]);
}

#[test]
fn an_order_decides_for_it() {
    let mut world = world();
    world.read(Trigger::Command, &["1.0.0", "1.0.1"]);
    assert_eq!(world.held("a"), ["1.0.1"]);
}

#[test]
fn a_delivery_that_met_a_poll_in_the_queue_decides_for_it() {
    let mut world = world();
    let joined = world.observation(REPOSITORY, Trigger::Poll, &[("1.0.1", "1.0.1")]);
    world.observed(Observation { is_told: true, ..joined });
    assert_eq!(world.held("a"), ["1.0.1"]);
}

#[test]
fn a_delivery_that_led_to_nothing_yet_is_followed_by_a_look_of_any_kind() {
    let mut unread = world();
    let away = Err(RegistryError::Unreachable { host: "ghcr.io".into(), detail: "away".into() });
    let observation = Observation { read: away, ..unread.observation(REPOSITORY, Trigger::Webhook, &[]) };
    unread.observed(observation);
    unread.read(Trigger::Poll, &["1.0.0", "1.0.1"]);
    assert_eq!(unread.held("a"), ["1.0.1"], "the registry could not be read for the delivery");

    let mut early = world();
    let observation = early.observation(REPOSITORY, Trigger::Webhook, &[("1.0.0", "1.0.0")]);
    early.observed(Observation { named: BTreeSet::from(["1.0.1".parse().unwrap()]), ..observation });
    early.read(Trigger::Resync, &["1.0.0", "1.0.1"]);
    assert_eq!(early.held("a"), ["1.0.1"], "the tag could not be read yet");
}

#[test]
fn other_directives_are_followed_by_a_look() {
    let mut world = world();
    let other: Vec<(&str, &str)> = [("skeg.dev/policy", "minor")].into_iter().chain(BY_WEBHOOK[1..].iter().copied()).collect();
    world.show("a", OLD, &other, None);
    world.read(Trigger::Resync, &["1.0.0", "1.1.0"]);
    assert_eq!(world.held("a"), ["1.1.0"]);
}
