//! What the registry is asked for while nothing is pushed.

use std::time::Instant;

use crate::support::agent::{Agent, Setup, Workload};

const WORKLOADS: usize = 20;
const CYCLES: usize = 5;

/// Policies that ask different questions of the same tags; `digest` asks for the digest of the tag that runs.
const POLICIES: [&str; 5] = ["minor", "patch", "semver:>=1", "glob:1.*", "digest"];

#[tokio::test]
async fn a_cycle_costs_one_listing_and_one_head_for_a_watched_digest_whatever_the_number_of_workloads() {
    let workload = |at: usize| {
        let workload = Workload::new(&format!("web-{at}"), "shop/web", "1.0.0").directive("policy", POLICIES[at % POLICIES.len()]);
        workload.directive("pin", if POLICIES[at % POLICIES.len()] == "digest" { "digest" } else { "tag" })
    };
    let agent = Agent::start(Setup::of((0..WORKLOADS).map(workload))).await;
    let written = |at: usize| format!("web-{}", at * POLICIES.len() + POLICIES.len() - 1);
    for at in 0..WORKLOADS / POLICIES.len() {
        agent.wait_for_workload(&written(at), "Done").await;
    }
    agent.polls("shop/web", 1).await;
    let (before, began) = (agent.stage.registry.requests().len(), Instant::now());
    agent.polls("shop/web", CYCLES).await;
    let seen: Vec<_> = agent.stage.registry.requests().into_iter().skip(before).collect();
    let cycles = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let listings = seen.iter().filter(|request| request.path.ends_with("/tags/list")).count();
    let heads = seen.iter().filter(|request| request.method == "HEAD").count();
    // The HEAD of the cycle before the first may come after its listing was counted.
    assert!(listings <= cycles && heads <= listings + 1, "{listings} listings and {heads} HEADs in {cycles} cycles");
    assert_eq!(listings + heads, seen.len(), "{seen:#?}");
}
