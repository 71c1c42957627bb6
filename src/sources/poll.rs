//! The poll schedule: which repository is due when. It makes no request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::core::directives::{TriggerKind, Watch};
use crate::core::image::{ImageRef, Repository};
use crate::core::schedule::after;
use crate::core::workload::Workload;

/// Workloads that want webhooks only are still looked at once a day, so that a lost delivery costs a day at most.
const WEBHOOK_ONLY: Duration = Duration::from_hours(24);
/// Repositories that are new to the schedule, all of them at the start, are first looked at within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// Each interval is stretched or shortened by up to this share, so that repositories drift apart.
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
        for (repository, interval) in wanted {
            let first = after(now, FIRST_WITHIN.min(interval).mul_f64(share(&repository, 0)));
            let plan = self.plans.entry(repository).or_insert(Plan { interval, next: first });
            plan.interval = interval;
            plan.next = plan.next.min(after(now, interval));
        }
    }

    /// The repositories that are due; each gets its next time.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Repository> {
        self.rounds = self.rounds.wrapping_add(1);
        let rounds = self.rounds;
        let mut due = Vec::new();
        for (repository, plan) in self.plans.iter_mut().filter(|(_, plan)| plan.next <= now) {
            plan.next = after(now, plan.interval.mul_f64(1.0 + JITTER * (2.0 * share(repository, rounds) - 1.0)));
            due.push(repository.clone());
        }
        due.sort();
        due
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
