//! Many seeds, side by side: each run is one thread's own.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::checker::check;
use crate::run::run;
use crate::tally::Tally;

/// One seed in so many is run twice, and must come out alike.
const TWICE: u64 = 20;
/// Seeds that are told of; a fault that breaks every seed needs no more.
const TOLD_MAX: usize = 20;

/// What to search.
pub struct Search {
    /// The first seed.
    pub from: u64,
    /// When to stop.
    pub limit: Limit,
    /// Whether the first seed that breaks a promise ends it.
    pub is_hunt: bool,
}

/// When to stop.
#[derive(Clone, Copy)]
pub enum Limit {
    /// After so many seeds.
    Seeds(u64),
    /// After so much time.
    Time(Duration),
}

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Seeds that were run.
    pub seeds: u64,
    /// How long it took.
    pub took: Duration,
    /// Seeds that break a promise, and how.
    pub broken: Vec<(u64, String)>,
    /// What happened in all of them.
    pub tally: Tally,
}

impl Search {
    /// Runs the seeds.
    pub fn run(&self) -> Found {
        let (begun, next, is_over) = (Instant::now(), AtomicU64::new(self.from), AtomicBool::new(false));
        let found = Mutex::new(Found::default());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let is_last = match self.limit {
                            Limit::Seeds(count) => seed >= self.from.saturating_add(count),
                            Limit::Time(time) => begun.elapsed() >= time,
                        };
                        if is_last {
                            return;
                        }
                        let (tally, broken) = judge(seed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.seeds += 1;
                        found.tally.add(&tally);
                        if let Some(broken) = broken {
                            found.broken.push((seed, broken));
                        }
                        if found.broken.len() >= if self.is_hunt { 1 } else { TOLD_MAX } {
                            is_over.store(true, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.broken.sort();
        Found { took: begun.elapsed(), ..found }
    }
}

/// Runs a seed and gives what it contained, and how it breaks a promise.
fn judge(seed: u64) -> (Tally, Option<String>) {
    let mut tally = Tally::default();
    let Ok(story) = catch_unwind(|| run(seed)) else {
        return (tally, Some("the run panicked".to_owned()));
    };
    tally.count(&story.history);
    let mut broken: Vec<String> = check(&story.history).iter().map(ToString::to_string).collect();
    if story.is_endless {
        broken.push("the run did not end: something goes round in circles".to_owned());
    }
    if seed.is_multiple_of(TWICE) && run(seed).trace != story.trace {
        broken.push("two runs are not alike: something decides that is not the seed".to_owned());
    }
    (tally, (!broken.is_empty()).then(|| broken.join("; ")))
}
