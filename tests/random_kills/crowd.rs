//! Who keeps skeg busy: a machine that pushes images, people who vote, an autoscaler, somebody who commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;

use super::stage::{ANSWER_WITHIN, Stage};

/// Between two pushes. An update takes some seconds, so that often one is under way when the next image comes.
const PUSH_EVERY: Duration = Duration::from_millis(1_100);
/// Between two looks of the people at what waits for them.
const LOOK_EVERY: Duration = Duration::from_millis(80);
/// Between two changes of an autoscaler.
const SCALE_EVERY: Duration = Duration::from_millis(700);
/// Between two commits of somebody else.
const COMMIT_EVERY: Duration = Duration::from_secs(4);
/// Of a hundred requests, so many are approved, and so many of the rest rejected; the others are never answered.
const APPROVED: u32 = 80;
const REJECTED: u32 = 12;

/// What the crowd is told.
#[derive(Default)]
pub struct Orders {
    /// Push, scale and commit no more.
    pub calm: AtomicBool,
    /// Approve everything from now on.
    pub agree: AtomicBool,
    /// Every image is there.
    pub pushed: AtomicBool,
    /// Go home.
    pub end: AtomicBool,
}

impl Orders {
    fn is(order: &AtomicBool) -> bool {
        order.load(Ordering::Relaxed)
    }
}

/// All of them, until they are told to end. Gives the last tag of each workload's repository, by its number.
pub async fn keep_busy(stage: &Stage, orders: &Orders, seed: u64) -> BTreeMap<&'static str, u32> {
    let (tags, (), (), ()) = tokio::join!(
        push(stage, orders, Rng::with_seed(seed ^ 1)),
        vote(stage, orders, Rng::with_seed(seed ^ 2)),
        scale(stage, orders, Rng::with_seed(seed ^ 3)),
        commit(stage, orders),
    );
    tags
}

async fn push(stage: &Stage, orders: &Orders, mut random: Rng) -> BTreeMap<&'static str, u32> {
    let mut tags: BTreeMap<&str, u32> = stage.workloads.iter().map(|workload| (workload.name, 0)).collect();
    let mut next = async |place: usize| {
        let workload = &stage.workloads[place];
        let tag = tags.get_mut(workload.name).unwrap();
        *tag += 1;
        stage.push(workload, &format!("1.0.{tag}")).await;
    };
    while !Orders::is(&orders.calm) {
        next(random.usize(..stage.workloads.len())).await;
        tokio::time::sleep(PUSH_EVERY.mul_f32(random.f32() * 2.0)).await;
    }
    // One more of each, which everybody approves: where everything has to end. Whoever was about to vote on what is there has done so.
    orders.agree.store(true, Ordering::Relaxed);
    tokio::time::sleep(ANSWER_WITHIN + LOOK_EVERY).await;
    for place in 0..stage.workloads.len() {
        next(place).await;
    }
    orders.pushed.store(true, Ordering::Relaxed);
    tags
}

async fn vote(stage: &Stage, orders: &Orders, mut random: Rng) {
    let mut opinions: BTreeMap<String, Option<bool>> = BTreeMap::new();
    let mut settled: BTreeSet<String> = BTreeSet::new();
    while !Orders::is(&orders.end) {
        let agree = Orders::is(&orders.agree);
        for update in stage.updates().await.unwrap_or_default().into_iter().filter(waits_for_votes) {
            let name = update["name"].as_str().unwrap().to_owned();
            let opinion = *opinions.entry(name.clone()).or_insert_with(|| match random.u32(..100) {
                dice if dice < APPROVED => Some(true),
                dice if dice < APPROVED + REJECTED => Some(false),
                _ => None,
            });
            let opinion = if agree { Some(true) } else { opinion };
            // A vote that was not answered is given again where it is seen that it does not count.
            if let Some(approves) = opinion.filter(|_| !settled.contains(&name))
                && stage.vote(&name, approves).await == Some(200)
            {
                settled.insert(name);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn waits_for_votes(update: &Value) -> bool {
    update["phase"] == "Held" && update["reason"]["code"] == "Approval" && update["votes"].as_array().is_some_and(Vec::is_empty)
}

async fn scale(stage: &Stage, orders: &Orders, mut random: Rng) {
    while !Orders::is(&orders.calm) {
        let workload = &stage.workloads[random.usize(..stage.workloads.len())];
        stage.scale(workload, random.u32(1..=3)).await;
        tokio::time::sleep(SCALE_EVERY).await;
    }
    for workload in &stage.workloads {
        stage.scale(workload, 2).await;
    }
}

async fn commit(stage: &Stage, orders: &Orders) {
    for number in 1.. {
        if Orders::is(&orders.calm) {
            return;
        }
        let text = format!("note {number}\n");
        let committed =
            tokio::task::block_in_place(|| stage.git.repository().commit("notes.txt", text.as_bytes(), "Pat <pat@example.com>", "Note"));
        committed.unwrap();
        tokio::time::sleep(COMMIT_EVERY).await;
    }
}
