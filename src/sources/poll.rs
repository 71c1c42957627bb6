//! The poll schedule: which repository is due when. It makes no request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::core::cron::Cron;
use crate::core::directives::{PollTimes, TriggerKind, Watch};
use crate::core::image::{ImageRef, Repository};
use crate::core::schedule::{after, backoff};
use crate::core::workload::Workload;

/// So many looks are made soon again after one that failed: some forty minutes.
const FAILURES_IN_A_ROW: u32 = 12;
/// The longest rest after that, unless the configured interval is longer.
const LASTING: Duration = Duration::from_hours(1);
/// Workloads that want webhooks only are still looked at once a day, so that a lost delivery costs a day at most.
const WEBHOOK_ONLY: Duration = Duration::from_hours(24);
/// Repositories that are new to the schedule are first looked at within so much time for each of them, so that one is looked at
/// at once and 2,000 at the start are spread over less than two minutes: some twenty a second, which four requests at once carry.
const FIRST_WITHIN_EACH: Duration = Duration::from_millis(50);
/// Each interval is up to half this share shorter or longer, so that repositories drift apart and the requests are still as many as were
/// asked for.
const JITTER: f64 = 0.1;
/// How long after a time at which something is to be seen a repository is looked at: clocks are not that exact.
const BY: Duration = Duration::from_secs(1);
/// How long after one look the next is at the earliest where only something that is to be seen asks for it: whatever asks, and however often.
const BY_LEAST: Duration = Duration::from_secs(5);
/// After a time of a cron expression, each repository is looked at within this share of the time until the next one, and within five minutes:
/// 2,000 repositories at three o'clock are seven a second.
const AFTER_CRON: f64 = 0.1;
const AFTER_CRON_MAX: Duration = Duration::from_mins(5);

/// When each repository is to be listed next. One listing serves every workload that uses the repository.
#[derive(Debug)]
pub struct PollSchedule {
    interval: Duration,
    plans: HashMap<Repository, Plan>,
    rounds: u32,
}

#[derive(Debug, Clone)]
struct Plan {
    times: Times,
    next: Timestamp,
    /// When it was due last.
    last: Timestamp,
    /// Looks in a row that brought nothing.
    failures: u32,
}

/// When a repository is to be looked at: whenever one of its workloads asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Times {
    /// The shortest interval.
    interval: Option<Duration>,
    crons: Vec<Cron>,
}

impl PollSchedule {
    /// A schedule that knows no repository; `interval` holds where no directive says otherwise.
    pub fn new(interval: Duration) -> Self {
        Self { interval, plans: HashMap::new(), rounds: 0 }
    }

    /// Takes up how these repositories are used now: each is looked at whenever one of the workloads in `using` asks for it, with the shortest of
    /// their intervals; one that nobody uses any more is dropped, and a known one keeps its next time unless a new one is sooner.
    pub fn follow(
        &mut self,
        repositories: impl IntoIterator<Item = Repository>,
        using: impl Fn(&Repository) -> Vec<Arc<Workload>>,
        now: Timestamp,
    ) {
        let mut arrived = Vec::new();
        for repository in repositories {
            match (self.times_of(&repository, &using(&repository)), self.plans.get_mut(&repository)) {
                (None, _) => drop(self.plans.remove(&repository)),
                (Some(times), None) => arrived.push((repository, times)),
                (Some(times), Some(plan)) => plan.follow(times, share(&repository, 0), now),
            }
        }
        let first_within = FIRST_WITHIN_EACH.saturating_mul(u32::try_from(arrived.len()).unwrap_or(u32::MAX));
        for (repository, times) in arrived {
            let place = share(&repository, 0);
            let first = after(now, times.interval.map_or(first_within, |interval| first_within.min(interval)).mul_f64(place));
            let next = first.min(times.next(now, 1.0, place));
            self.plans.insert(repository, Plan { times, next, last: Timestamp::MIN, failures: 0 });
        }
    }

    /// The repositories that are due; each gets its next time.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Repository> {
        self.rounds = self.rounds.wrapping_add(1);
        let rounds = self.rounds;
        let mut due = Vec::new();
        for (repository, plan) in self.plans.iter_mut().filter(|(_, plan)| plan.next <= now) {
            plan.next = plan.times.next(now, 1.0 + JITTER * (share(repository, rounds) - 0.5), share(repository, 0));
            plan.last = now;
            due.push(repository.clone());
        }
        due.sort();
        due
    }

    /// Whether the repository is due by `until`; then it is looked at now and gets its next time.
    pub fn take_early(&mut self, repository: &Repository, now: Timestamp, until: Timestamp) -> bool {
        let Some(plan) = self.plans.get_mut(repository).filter(|plan| plan.next <= until && plan.failures == 0) else { return false };
        plan.next = plan.times.next(now, 1.0, share(repository, 0));
        plan.last = now;
        true
    }

    /// The look at `repository` brought nothing: it is looked at again soon, later each time, and not before `retry_after`. At the latest
    /// after one interval, or the configured one where the repository's own is longer: a lost webhook does not cost a day then. What lasts is
    /// mostly a mistake that waits for a person; after a dozen of them the repository's own times count, but it rests for an hour at most.
    pub fn failed(&mut self, repository: &Repository, now: Timestamp, retry_after: Option<Duration>) {
        let Some(plan) = self.plans.get_mut(repository) else { return };
        plan.failures = plan.failures.saturating_add(1);
        let usual = if plan.failures <= FAILURES_IN_A_ROW { self.interval } else { self.interval.max(LASTING) };
        let cap = plan.times.interval.map_or(usual, |interval| interval.min(usual));
        // The first look again is not at once: what failed for a webhook has been tried in vain seconds ago.
        let again = backoff(now, plan.failures.saturating_add(2), cap, repository.as_str(), retry_after);
        let by_its_times = plan.times.next(now, 1.0, share(repository, 0)).max(after(now, retry_after.unwrap_or_default()));
        plan.next = again.min(by_its_times);
    }

    /// The look at `repository` brought a complete answer.
    pub fn succeeded(&mut self, repository: &Repository) {
        if let Some(plan) = self.plans.get_mut(repository) {
            plan.failures = 0;
        }
    }

    /// Something is to be seen in the repository at `at`: it is looked at then, if it is not before. What is past is never seen by looks without
    /// a pause. One that is looked at by calendar alone keeps to it, and one that is in trouble to its rest.
    pub fn by(&mut self, repository: &Repository, at: Timestamp) {
        if let Some(plan) = self.plans.get_mut(repository).filter(|plan| plan.times.interval.is_some() && plan.failures == 0) {
            plan.next = plan.next.min(after(at, BY).max(after(plan.last, BY_LEAST)));
        }
    }

    /// When the next repository is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.plans.values().map(|plan| plan.next).min()
    }

    /// When these workloads ask for the repository; `None` when none of them does.
    fn times_of(&self, repository: &Repository, workloads: &[Arc<Workload>]) -> Option<Times> {
        let mut wanted: Option<Times> = None;
        for workload in workloads {
            let Ok(directives) = &workload.directives else { continue };
            for container in workload.containers.iter().filter(|container| directives.selection_of(container).is_some()) {
                if container.image.parse::<ImageRef>().is_ok_and(|image| image.repository() == repository) {
                    wanted.get_or_insert_default().add(self.asked(directives.watch_of(&container.name)));
                }
            }
        }
        wanted
    }

    fn asked(&self, watch: Watch) -> PollTimes {
        match watch.trigger {
            TriggerKind::Webhook => PollTimes::Every(WEBHOOK_ONLY),
            TriggerKind::Any | TriggerKind::Poll => watch.poll.unwrap_or(PollTimes::Every(self.interval)),
        }
    }
}

impl Plan {
    /// Takes up other times, or the same.
    fn follow(&mut self, times: Times, place: f64, now: Timestamp) {
        // After a failure the registry may have asked to be left alone for longer.
        if self.failures == 0 {
            let next =
                if self.times == times { times.interval.map(|interval| after(now, interval)) } else { Some(times.next(now, 1.0, place)) };
            self.next = next.map_or(self.next, |next| self.next.min(next));
        }
        self.times = times;
    }
}

impl Times {
    fn add(&mut self, times: PollTimes) {
        match times {
            PollTimes::Every(interval) => self.interval = Some(self.interval.map_or(interval, |shortest| shortest.min(interval))),
            PollTimes::Cron(cron) if self.crons.contains(&cron) => {}
            PollTimes::Cron(cron) => self.crons.push(cron),
        }
    }

    /// The first time after `now`: the interval times `stretch`, or a time of a cron expression and `place`, from nought to one, of the wait
    /// that spreads the repositories.
    fn next(&self, now: Timestamp, stretch: f64, place: f64) -> Timestamp {
        let by_interval = self.interval.map(|interval| after(now, interval.mul_f64(stretch)));
        let by_calendar = self.crons.iter().filter_map(|cron| next_of(cron, now, place));
        by_interval.into_iter().chain(by_calendar).min().unwrap_or(Timestamp::MAX)
    }
}

fn next_of(cron: &Cron, now: Timestamp, place: f64) -> Option<Timestamp> {
    let next = cron.next(now)?;
    let until_following = cron.next(next).and_then(|following| following.duration_since(next).try_into().ok());
    let within = until_following.map_or(AFTER_CRON_MAX, |gap: Duration| gap.mul_f64(AFTER_CRON).min(AFTER_CRON_MAX));
    Some(after(next, within.mul_f64(place)))
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
    use std::collections::BTreeMap;

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
        Arc::new(Workload::plain(id, name.into(), containers, directives))
    }

    fn schedule(workloads: &[Arc<Workload>]) -> PollSchedule {
        let mut schedule = PollSchedule::new(INTERVAL);
        follow(&mut schedule, workloads, at(0));
        schedule
    }

    /// These workloads have changed, and no others use their repositories.
    fn follow(schedule: &mut PollSchedule, workloads: &[Arc<Workload>], now: Timestamp) {
        let mut users: BTreeMap<Repository, Vec<Arc<Workload>>> = BTreeMap::new();
        for workload in workloads {
            let image: ImageRef = workload.containers[0].image.parse().unwrap();
            users.entry(image.repository().clone()).or_default().push(Arc::clone(workload));
        }
        schedule.follow(users.keys().cloned(), |repository| users[repository].clone(), now);
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
    fn a_cron_expression_is_kept_to_within_minutes() {
        let nightly = workload("a", "acme/web:1", &[("skeg.dev/poll", "0 3 * * *")]);
        let mut schedule = schedule(&[nightly]);
        assert_eq!(schedule.take_due(at(1)).len(), 1, "what is new is looked at");
        for day in 0..3 {
            let three = day * 86_400 + 3 * 3_600;
            let next = schedule.next_due().unwrap();
            assert!(next >= at(three) && next <= at(three + 300), "{next}");
            assert_eq!(schedule.take_due(at(three + 300)).len(), 1);
        }
    }

    #[test]
    fn the_workloads_of_a_repository_are_all_served() {
        let nightly = workload("a", "acme/web:1", &[("skeg.dev/poll", "0 3 * * *")]);
        let hourly = workload("b", "acme/web:1", &[("skeg.dev/poll", "1h")]);
        let often = workload("c", "acme/web:1", &[("skeg.dev/poll", "*/10 * * * *")]);
        assert_eq!(looks(&mut schedule(&[nightly.clone(), often]), 2..3600), 6);
        assert!((24..=26).contains(&looks(&mut schedule(&[nightly, hourly]), 2..86_400)));
    }

    #[test]
    fn two_thousand_repositories_at_the_same_time_of_day_do_not_fire_at_once() {
        let nightly = |number| workload("a", &format!("acme/app{number}:1"), &[("skeg.dev/poll", "0 3 * * * UTC")]);
        let workloads: Vec<_> = (0..2000).map(nightly).collect();
        let mut schedule = schedule(&workloads);
        schedule.take_due(at(120));
        let three = 3 * 3_600;
        let each_second: Vec<usize> = (three..=three + 300).map(|second| schedule.take_due(at(second)).len()).collect();
        assert_eq!(each_second.iter().sum::<usize>(), 2000);
        assert!(each_second.iter().all(|due| *due <= 25), "{each_second:?}");
    }

    #[test]
    fn another_cron_expression_takes_effect_at_once() {
        let mut schedule = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/poll", "0 3 * * *")])]);
        schedule.take_due(at(1));
        follow(&mut schedule, &[workload("a", "acme/web:1", &[("skeg.dev/poll", "0 1 * * *")])], at(10));
        assert!(schedule.next_due().unwrap() <= at(3_600 + 300));
        follow(&mut schedule, &[workload("a", "acme/web:1", &[("skeg.dev/poll", "0 1 * * *")])], at(3_590));
        assert!(schedule.next_due().unwrap() <= at(3_600 + 300));
    }

    #[test]
    fn workloads_that_change_change_the_schedule() {
        let mut schedule = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/poll", "1h")])]);
        assert_eq!(schedule.take_due(at(1)).len(), 1);
        let faster = workload("a", "acme/web:1", &[("skeg.dev/poll", "1m")]);
        follow(&mut schedule, &[faster], at(10));
        assert!(schedule.next_due().unwrap() <= at(70));
        follow(&mut schedule, &[workload("a", "acme/web:1", &[("skeg.dev/poll", "nonsense")])], at(20));
        assert_eq!(schedule.next_due(), None, "a workload with a mistake is held");
    }

    #[test]
    fn a_repository_that_nobody_uses_any_more_is_dropped_and_the_others_keep_their_times() {
        let mut schedule = schedule(&[workload("a", "acme/web:1", &[]), workload("b", "acme/api:1", &[])]);
        schedule.follow(["acme/web".parse().unwrap()], |_| Vec::new(), at(0));
        assert_eq!(names(&schedule.take_due(at(1))), ["acme/api"]);
    }

    #[test]
    fn a_repository_is_looked_at_when_something_is_to_be_seen_there() {
        let web: Repository = "acme/web".parse().unwrap();
        let mut by_webhook = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/trigger", "webhook")])]);
        by_webhook.take_due(at(1));
        by_webhook.by(&web, at(7_200));
        assert_eq!(looks(&mut by_webhook, 2..7_201), 0);
        assert_eq!(looks(&mut by_webhook, 7_201..7_300), 1);
        assert_eq!(looks(&mut by_webhook, 7_300..80_000), 0, "once");
        let mut soon = schedule(&[workload("a", "acme/web:1", &[])]);
        soon.take_due(at(1));
        soon.by(&web, at(100_000));
        assert_eq!(looks(&mut soon, 2..400), 1, "a poll that comes before stays");
        let mut nightly = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/poll", "0 3 * * *")])]);
        nightly.take_due(at(1));
        nightly.by(&web, at(7_200));
        assert!(nightly.next_due().unwrap() >= at(3 * 3_600));
    }

    #[test]
    fn what_is_past_at_each_look_is_not_looked_at_without_a_pause() {
        let web: Repository = "acme/web".parse().unwrap();
        let mut schedule = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/poll", "1h")])]);
        let mut looks = 0;
        for second in 1_000..1_060 {
            looks += schedule.take_due(at(second)).len();
            schedule.by(&web, at(900));
        }
        assert_eq!(looks, 12);
        schedule.failed(&web, at(1_060), Some(Duration::from_mins(30)));
        schedule.by(&web, at(1_070));
        assert_eq!(schedule.next_due(), Some(at(1_060 + 1_800)), "a registry that asked to be left alone is");
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
    fn what_fails_for_long_is_not_looked_at_more_often_than_it_wants_to_be() {
        let web: Repository = "acme/web".parse().unwrap();
        let looks = |poll: &str| {
            let mut schedule = schedule(&[workload("a", "acme/web:1", &[("skeg.dev/poll", poll)])]);
            let due = (0..86_400).filter(|second| {
                let is_due = !schedule.take_due(at(*second)).is_empty();
                if is_due {
                    schedule.failed(&web, at(*second), None);
                }
                is_due
            });
            due.count()
        };
        assert!((280..=400).contains(&looks("5m")), "{}", looks("5m"));
        assert!((140..=220).contains(&looks("*/10 * * * *")), "{}", looks("*/10 * * * *"));
        for seldom in ["24h", "0 3 * * *"] {
            assert!((20..=50).contains(&looks(seldom)), "{seldom}: {}", looks(seldom));
        }
    }

    #[test]
    fn a_change_of_a_workload_does_not_cut_short_the_rest_that_a_registry_asked_for() {
        let web = workload("a", "acme/web:1", &[]);
        let mut schedule = schedule(std::slice::from_ref(&web));
        schedule.take_due(at(1));
        schedule.failed(&"acme/web".parse().unwrap(), at(1), Some(Duration::from_hours(1)));
        follow(&mut schedule, &[web], at(2));
        assert_eq!(schedule.next_due(), Some(at(3_601)));
    }
}
