//! kill -9 of the `skeg` program at random moments of a busy run, on the real control plane, registry and Git server: every update ends
//! exactly once in cluster and Git.
//!
//! Meanwhile images are pushed, people vote, an autoscaler scales and somebody else commits. Nothing of skeg is asked how it went: what
//! is looked at is the API server's audit log, the history of Git, and what is in the cluster in the end. The promises are those that the
//! simulator watches, by the same checker.
//!
//! ```text
//! SKEG_TEST_KILLS=200 SKEG_TEST_SEED=7 cargo test --test random_kills -- --nocapture
//! ```
//!
//! Without the variables it is a few kills with a seed of their own. `tests/kills.rs` kills at each boundary on purpose.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod asked;
#[path = "../simulation/checker/mod.rs"]
#[allow(dead_code, reason = "the simulator uses the rest")]
mod checker;
#[path = "../real_loop/cluster.rs"]
mod cluster;
mod crowd;
#[path = "../simulation/history.rs"]
#[allow(dead_code, reason = "the simulator uses the rest")]
mod history;
mod outcome;
mod people;
mod stage;
mod story;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use asked::Asked;
use crowd::{Orders, keep_busy};
use outcome::Outcome;
use stage::{Deed, Stage, Workload};
use support::daemon::Daemon;
use support::report::report;

/// How often skeg is killed.
const KILLS: &str = "SKEG_TEST_KILLS";
/// What the moments, the votes and the pushes are drawn from.
const SEED: &str = "SKEG_TEST_SEED";
/// Where it is not said how often: as many as an ordinary run of the tests can wait for.
const KILLS_USUAL: u32 = 12;
/// The longest life. An update takes longer than most of them, so that nearly every one meets a kill.
const LIFE_MAX: Duration = Duration::from_millis(2_400);
/// The longest life of those that are killed while they start.
const START_MAX: Duration = Duration::from_millis(250);
/// Of a hundred lives, so many are killed while they start.
const KILLED_AT_START: u32 = 15;
/// From the last kill until everything is at its end: some updates one after the other, and a machine that is busy.
const CONVERGED_WITHIN: Duration = Duration::from_mins(2);
/// Between two looks at what nothing tells of.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Half of them ask people.
const WORKLOADS: [Workload; 6] = [
    Workload { name: "web", approvals: 0 },
    Workload { name: "api", approvals: 0 },
    Workload { name: "jobs", approvals: 0 },
    Workload { name: "shop", approvals: 1 },
    Workload { name: "cart", approvals: 1 },
    Workload { name: "mail", approvals: 1 },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_random_moments_every_update_ends_once_in_cluster_and_git() {
    let kills: u32 = variable(KILLS).unwrap_or(KILLS_USUAL);
    let seed: u64 = variable(SEED).unwrap_or_else(|| fastrand::u64(..));
    report(&format!("{SEED}={seed} {KILLS}={kills}"));
    let Some(stage) = Stage::raise(&WORKLOADS).await else { return };
    let orders = Orders::default();
    let began = Instant::now();
    let (tags, (found, unfinished)) = tokio::join!(keep_busy(&stage, &orders, seed), async {
        let found = kill_often(&stage, kills, seed).await;
        report(&format!("{kills} kills took {:.0} s", began.elapsed().as_secs_f32()));
        orders.calm.store(true, Ordering::Relaxed);
        let calm = Instant::now();
        stage.note(Deed::Began { life: kills + 1 });
        let mut skeg = stage.start().await;
        let unfinished = converge(&stage, &orders).await;
        report(&format!("everything was at its end {:.0} s after the last kill", calm.elapsed().as_secs_f32()));
        stage.note(Deed::Calm);
        orders.end.store(true, Ordering::Relaxed);
        skeg.terminate();
        assert_eq!(skeg.ended().await.0.code(), Some(0), "{:#?}", skeg.log());
        (found, unfinished)
    });
    for (phase, times) in &found {
        report(&format!("a kill met an update that was {phase}: {times} times"));
    }
    let asked = Asked::of(&stage).await;
    let outcome = Outcome::of(&stage, &asked).await;
    report(&outcome.to_string());
    let mut wrong = unfinished;
    wrong.extend(outcome.wrong(&tags));
    let story = story::tell(&stage, &asked);
    wrong.extend(checker::check(&story).iter().map(ToString::to_string));
    if !wrong.is_empty() {
        for told in &story {
            println!("{told}");
        }
    }
    assert!(wrong.is_empty(), "{SEED}={seed}: {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// One short life after the other. Gives how many updates were met in which phase.
async fn kill_often(stage: &Stage, kills: u32, seed: u64) -> BTreeMap<String, u32> {
    let mut random = Rng::with_seed(seed);
    let mut found = BTreeMap::new();
    for life in 1..=kills {
        let at_start = random.u32(..100) < KILLED_AT_START;
        let lasts = if at_start { START_MAX } else { LIFE_MAX }.mul_f32(random.f32());
        let ends = Instant::now() + lasts;
        stage.note(Deed::Began { life });
        if let Some(skeg) = Daemon::start_within(&stage.config(), lasts).await {
            tokio::time::sleep_until(ends.into()).await;
            skeg.kill().await;
        }
        stage.note(Deed::Killed { life });
        for record in stage.records().await {
            if record["metadata"]["labels"]["skeg.dev/open"] == "true" {
                *found.entry(record["status"]["phase"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    found
}

/// Waits until nothing is under way any more; says what still is when that takes too long.
async fn converge(stage: &Stage, orders: &Orders) -> Vec<String> {
    let deadline = Instant::now() + CONVERGED_WITHIN;
    loop {
        let records = stage.records().await;
        let open: Vec<&Value> = records.iter().filter(|record| record["metadata"]["labels"]["skeg.dev/open"] == "true").collect();
        let behind = stage.behind().await;
        if orders.pushed.load(Ordering::Relaxed) && open.is_empty() && behind.is_empty() {
            return Vec::new();
        }
        if Instant::now() >= deadline {
            let open = open.iter().map(|record| format!("not at its end: {}", record["metadata"]["name"]));
            return open.chain(behind).collect();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
