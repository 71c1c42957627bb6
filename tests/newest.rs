//! The policy `newest`: what is built last runs, and what finding that out costs at the registry.

use skeg::embedded::registry::Image;

use crate::support::agent::{Agent, Setup, Workload};

fn push(agent: &Agent, tag: &str, created: &str) {
    agent.stage.registry.push_image("shop/web", tag, &Image::new(tag).created(format!("{created}T00:00:00Z"))).unwrap();
}

/// Requests about `shop/web` from the one at this place on, by method and kind: `GET manifests`, `GET tags`.
fn requests(agent: &Agent, from: usize) -> Vec<String> {
    let requests = agent.stage.registry.requests();
    let kind = |path: &str| path.rsplit('/').nth(1).unwrap_or_default().to_owned();
    requests.iter().skip(from).map(|request| format!("{} {}", request.method, kind(&request.path))).collect()
}

async fn told(agent: &Agent, tag: &str) -> usize {
    let before = agent.stage.registry.requests().len();
    assert!(agent.deliver_webhook("shop/web", tag).await.is_success());
    before
}

async fn held(agent: &Agent, tag: &str) {
    let is_it = |update: &serde_json::Value| update["changes"][0]["tag"] == tag && update["phase"] == "Held";
    let found = async || agent.updates().await.into_iter().find(is_it);
    agent.wait_for(&format!("{tag} is asked for"), found).await;
}

/// A workload that runs `f00`, which the stage builds at the start of 2026.
async fn started() -> Agent {
    let web = Workload::new("web", "shop/web", "f00").directive("policy", "newest").directive("approvals", "1");
    Agent::start(Setup::of([web]).without_polls()).await
}

#[tokio::test]
async fn the_last_build_is_chosen_whatever_its_name() {
    let agent = started().await;
    push(&agent, "0a1", "2026-02-01");
    told(&agent, "0a1").await;
    held(&agent, "0a1").await;
    // Pushed later and of a greater name, but built before; and one of no time that is meant.
    push(&agent, "zzz", "2025-06-01");
    push(&agent, "zz0", "1970-01-01");
    let before = told(&agent, "zzz").await;
    agent.until("all are read", async || requests(&agent, before).iter().filter(|request| *request == "GET blobs").count() == 2).await;
    push(&agent, "0a2", "2026-03-01");
    told(&agent, "0a2").await;
    held(&agent, "0a2").await;
    assert!(agent.updates().await.iter().all(|update| !["zzz", "zz0"].contains(&update["changes"][0]["tag"].as_str().unwrap())));
}

#[tokio::test]
async fn a_tag_that_is_moved_to_an_older_image_is_not_chosen() {
    let agent = started().await;
    push(&agent, "0a1", "2026-02-01");
    told(&agent, "0a1").await;
    held(&agent, "0a1").await;
    push(&agent, "0a0", "2026-01-15");
    push(&agent, "0a1", "2025-01-01");
    told(&agent, "0a1").await;
    held(&agent, "0a0").await;
}

#[tokio::test]
async fn what_is_known_is_not_read_again() {
    let agent = started().await;
    push(&agent, "0a1", "2026-02-01");
    told(&agent, "0a1").await;
    held(&agent, "0a1").await;
    let before = told(&agent, "0a1").await;
    agent.until("the tags are listed", async || requests(&agent, before).iter().any(|request| request == "GET tags")).await;
    push(&agent, "0a2", "2026-03-01");
    told(&agent, "0a2").await;
    held(&agent, "0a2").await;
    let read = requests(&agent, before);
    let count = |what: &str| read.iter().filter(|request| *request == what).count();
    assert_eq!((count("GET manifests"), count("GET blobs")), (1, 1), "only of the new one: {read:?}");
}
