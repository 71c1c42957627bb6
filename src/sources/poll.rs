//! The poll schedule: which repository is due when. It makes no request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::core::directives::{TriggerKind, Watch};
use crate::core::image::{ImageRef, Repository};
use crate::core::schedule::{after, backoff};
use crate::core::workload::Workload;

/// Workloads that want webhooks only are still looked at once a day, so that a lost delivery costs a day at most.
const WEBHOOK_ONLY: Duration = Duration::from_hours(24);
/// Repositories that are new to the schedule are first looked at within so much time for each of them, so that one is looked at
/// at once and 2,000 at the start are spread over less than two minutes: some twenty a second, which four requests at once carry.
const FIRST_WITHIN_EACH: Duration = Duration::from_millis(50);
/// Each interval is up to half this share shorter or longer, so that repositories drift apart and the requests are still as many as were
/// asked for.
const JITTER: f64 = 0.1;

/// When each repository is to be listed next. One listing serves every workload that uses the repository.
#[derive(Debug)]
pub struct PollSchedule {
    interval: Duration,
    plans: HashMap<Repository, Plan>,
    rounds: u32,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    interval: Duration,
    next: Timestamp,
    /// Looks in a row that brought nothing.
    failures: u32,
}

impl PollSchedule {
    /// A schedule that knows no repository; `interval` holds where no directive says otherwise.
    pub fn new(interval: Duration) -> Self {
        Self { interval, plans: HashMap::new(), rounds: 0 }
    }

    /// Takes up the workloads as they are now: each repository gets the shortest interval that any of its workloads asks for, the ones
    /// nobody uses any more are dropped, and a known one keeps its next time unless the new interval is sooner.
    pub fn reconcile(&mut self, workloads: &[Arc<Workload>], now: Timestamp) {
        let mut wanted: HashMap<Repository, Duration> = HashMap::new();
        for workload in workloads {
            let Ok(directives) = &workload.directives else { continue };
            for container in workload.containers.iter().filter(|container| directives.selection_of(container).is_some()) {
                let interval = self.interval_of(directives.watch_of(&container.name));
                if let Ok(image) = container.image.parse::<ImageRef>() {
                    let shortest = wanted.entry(image.repository().clone()).or_insert(interval);
                    *shortest = interval.min(*shortest);
                }
            }
        }
        self.plans.retain(|repository, _| wanted.contains_key(repository));
        let arrived = wanted.keys().filter(|repository| !self.plans.contains_key(repository)).count();
        let first_within = FIRST_WITHIN_EACH.saturating_mul(u32::try_from(arrived).unwrap_or(u32::MAX));
        for (repository, interval) in wanted {
            let plan = self.plans.entry(repository).or_insert_with_key(|repository| {
                let next = after(now, first_within.min(interval).mul_f64(share(repository, 0)));
                Plan { interval, next, failures: 0 }
            });
            plan.interval = interval;
            // After a failure the registry may have asked to be left alone for longer.
            if plan.failures == 0 {
                plan.next = plan.next.min(after(now, interval));
            }
        }
    }

    /// The repositories that are due; each gets its next time.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Repository> {
        self.rounds = self.rounds.wrapping_add(1);
        let rounds = self.rounds;
        let mut due = Vec::new();
        for (repository, plan) in self.plans.iter_mut().filter(|(_, plan)| plan.next <= now) {
            plan.next = after(now, plan.interval.mul_f64(1.0 + JITTER * (share(repository, rounds) - 0.5)));
            due.push(repository.clone());
        }
        due.sort();
        due
    }

    /// Whether the repository is due by `until`; then it is looked at now and gets its next time.
    pub fn take_early(&mut self, repository: &Repository, now: Timestamp, until: Timestamp) -> bool {
        let Some(plan) = self.plans.get_mut(repository).filter(|plan| plan.next <= until && plan.failures == 0) else { return false };
        plan.next = after(now, plan.interval);
        true
    }

    /// The look at `repository` brought nothing: it is looked at again soon, later each time, and not before `retry_after`. At the latest
    /// after one interval, or the configured one where the repository's own is longer: a lost webhook does not cost a day then.
    pub fn failed(&mut self, repository: &Repository, now: Timestamp, retry_after: Option<Duration>) {
        let Some(plan) = self.plans.get_mut(repository) else { return };
        plan.failures = plan.failures.saturating_add(1);
        let cap = plan.interval.min(self.interval);
        // The first look again is not at once: what failed for a webhook has been tried in vain seconds ago.
        plan.next = backoff(now, plan.failures.saturating_add(2), cap, repository.as_str(), retry_after);
    }

    /// The look at `repository` brought a complete answer.
    pub fn succeeded(&mut self, repository: &Repository) {
        if let Some(plan) = self.plans.get_mut(repository) {
            plan.failures = 0;
        }
    }

    /// When the next repository is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.plans.values().map(|plan| plan.next).min()
    }

    fn interval_of(&self, watch: Watch) -> Duration {
        match watch.trigger {
            TriggerKind::Webhook => WEBHOOK_ONLY,
            TriggerKind::Any | TriggerKind::Poll => watch.poll.unwrap_or(self.interval),
        }
    }
}

/// A number from nought to one that the repository and the round decide, so that 2,000 repositories do not fire at once.
fn share(repository: &Repository, round: u32) -> f64 {
    let mut hash = Sha256::new();
    hash.update(repository.as_str());
    hash.update(round.to_be_bytes());
    let bytes: [u8; 2] = hash.finalize().first_chunk().copied().unwrap_or_default();
    f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::core::directives::{Defaults, skeg};
    use crate::core::workload::{Container, WorkloadId, WorkloadKind};

    const INTERVAL: Duration = Duration::from_mins(5);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn workload(name: &str, image: &str, annotations: &[(&str, &str)]) -> Arc<Workload> {
        let containers = vec![Container { name: "app".into(), image: image.into(), init: false }];
        let annotations = [("skeg.dev/policy", "all")].iter().chain(annotations).copied();
        let directives = skeg::parse(annotations, &containers, &Defaults::default()).transpose().unwrap();
        let id = WorkloadId { namespace: "team".into(), kind: WorkloadKind::Deployment, name: name.into() };
        Arc::new(Workload {
            id,
            uid: name.into(),
            containers,
            directives,
            mark: None,
            owner: None,
            pulls: crate::core::workload::Pulls::default(),
        })
    }

    fn schedule(workloads: &[Arc<Workload>]) -> PollSchedule {
        let mut schedule = PollSchedule::new(INTERVAL);
        schedule.reconcile(workloads, at(0));
        schedule
    }

    fn names(due: &[Repository]) -> Vec<&str> {
        due.iter().map(Repository::path).collect()
    }

    /// How often the one repository is due within the seconds, asked each second.
    fn looks(schedule: &mut PollSchedule, seconds: std::ops::Range<i64>) -> usize {
        seconds.map(|second| schedule.take_due(at(second)).len()).sum()
    }

    #[test]
    fn a_repository_is_listed_once_however_many_workloads_use_it() {
        let mut schedule =
            schedule(&[workload("a", "acme/web:1", &[]), workload("b", "acme/web:2", &[]), workload("c", "acme/api:1", &[])]);
        assert_eq!(names(&schedule.take_due(at(1))), ["acme/api", "acme/web"]);
        assert_eq!(schedule.take_due(at(2)), []);
    }

    #[test]
    fn the_shortest_interval_that_a_workload_asks_for_counts() {
        let slow = workload("a", "acme/web:1", &[("skeg.dev/poll", "1h")]);
        let fast = workload("b", "acme/web:1", &[("skeg.dev/poll", "1m")]);
        assert!((57..=63).contains(&looks(&mut schedule(&[slow.clone(), fast]), 0..3600)));
        assert!((1..=2).contains(&looks(&mut schedule(&[slow]), 0..3600)));
        assert!((12..=13).contains(&looks(&mut schedule(&[workload("c", "acme/web:1", &[])]), 0..3600)));
    }

    #[test]
    fn a_workload_that_waits_for_webhooks_is_still_looked_at_once_a_day() {
        let only = workload("a", "acme/web:1", &[("skeg.dev/trigger", "webhook"), ("skeg.dev/poll", "1m")]);
        assert!((3..=4).contains(&looks(&mut schedule(&[only]), 0..3 * 86_400)));
    }

    #[test]
    fn two_thousand_repositories_do_not_fire_at_once() {
        let workloads: Vec<_> = (0..2000).map(|number| workload("a", &format!("acme/app{number}:1"), &[])).collect();
        let mut schedule = schedule(&workloads);
        let each_second: Vec<usize> = (0..=400).map(|second| schedule.take_due(at(second)).len()).collect();
        assert_eq!(each_second.iter().take(102).sum::<usize>(), 2000, "each is looked at soon after the start");
        assert!(each_second.iter().all(|due| *due <= 60), "{each_second:?}");
    }

    #[test]
    fn workloads_that_change_change_the_schedule() {
        let mut schedule = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/poll", "1h")])]);
        assert_eq!(schedule.take_due(at(1)).len(), 1);
        let faster = workload("a", "acme/web:1", &[("skeg.dev/poll", "1m")]);
        schedule.reconcile(&[faster], at(10));
        assert!(schedule.next_due().unwrap() <= at(70));
        schedule.reconcile(&[workload("a", "acme/web:1", &[("skeg.dev/poll", "nonsense")])], at(20));
        assert_eq!(schedule.next_due(), None, "a workload with a mistake is held");
    }

    #[test]
    fn a_look_that_failed_is_made_again_soon_then_later_each_time_and_within_an_interval() {
        let web: Repository = "acme/web".parse().unwrap();
        let mut schedule = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/trigger", "webhook")])]);
        let mut looks = Vec::new();
        for second in 0..600 {
            if !schedule.take_due(at(second)).is_empty() {
                looks.push(second);
                schedule.failed(&web, at(second), None);
            }
        }
        assert!((7..=20).contains(&looks.len()), "{looks:?}");
        assert!(schedule.next_due().unwrap() <= at(600) + SignedDuration::from_mins(5));
        schedule.succeeded(&web);
        schedule.failed(&web, at(600), None);
        assert!(schedule.next_due().unwrap() <= at(604), "a new failure is a first one");
        schedule.failed(&web, at(600), Some(Duration::from_secs(70)));
        assert_eq!(schedule.next_due(), Some(at(670)));
    }

    #[test]
    fn a_change_of_a_workload_does_not_cut_short_the_rest_that_a_registry_asked_for() {
        let web = workload("a", "acme/web:1", &[]);
        let mut schedule = schedule(std::slice::from_ref(&web));
        schedule.take_due(at(1));
        schedule.failed(&"acme/web".parse().unwrap(), at(1), Some(Duration::from_hours(1)));
        schedule.reconcile(&[web], at(2));
        assert_eq!(schedule.next_due(), Some(at(3_601)));
    }
}
