//! The policy `newest`: what is built last runs, and what finding that out costs at the registry.

use http::StatusCode;
use skeg::embedded::registry::{Fault, Image, Matcher, Operation};

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

/// A workload that runs `f00`, polled every second, and the older `0a0` beside it.
async fn polled() -> Agent {
    let web = Workload::new("web", "shop/web", "f00").directive("policy", "newest");
    let agent = Agent::start(Setup::of([web])).await;
    push(&agent, "0a0", "2025-06-01");
    agent.polls("shop/web", 2).await;
    agent
}

/// A tag that every list names from now on.
fn list_for_ever(agent: &Agent, tag: &str) {
    agent.stage.registry.fail_next(Matcher::of(Operation::Tags).always(), Fault::ExtraTags(vec![tag.to_owned()]));
}

async fn stays(agent: &Agent) {
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.patches_done(), 0, "{:?}", agent.updates().await);
}

#[tokio::test]
async fn what_runs_and_is_not_there_is_no_ground_to_go_back() {
    let agent = polled().await;
    list_for_ever(&agent, "f00");
    agent.stage.registry.delete_tag("shop/web", "f00").unwrap();
    stays(&agent).await;
}

#[tokio::test]
async fn what_runs_and_cannot_be_read_is_no_ground_to_go_back() {
    let agent = polled().await;
    agent.stage.registry.fail_next(Matcher::of(Operation::Blob).always(), Fault::Html);
    push(&agent, "f00", "2026-03-01");
    stays(&agent).await;
}

#[tokio::test]
async fn a_tag_that_is_not_there_yet_is_chosen_once_it_is() {
    let agent = polled().await;
    list_for_ever(&agent, "0a1");
    stays(&agent).await;
    push(&agent, "0a1", "2026-03-01");
    agent.until("0a1 runs", async || agent.deployment_image("web").contains(":0a1")).await;
}

#[tokio::test]
async fn times_that_cannot_be_read_disturb_no_other_policy() {
    let web = Workload::new("web", "shop/web", "f00").directive("policy", "newest");
    let api = Workload::new("api", "shop/web", "1.0.0").directive("policy", "minor");
    let agent = Agent::start(Setup::of([web, api])).await;
    agent.polls("shop/web", 1).await;
    agent.stage.registry.fail_next(Matcher::of(Operation::Blob).always(), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    push(&agent, "1.1.0", "2026-03-01");
    agent.until("1.1.0 runs", async || agent.deployment_image("api").contains(":1.1.0")).await;
    assert!(agent.deployment_image("web").contains(":f00"));
}

#[tokio::test]
async fn what_was_set_back_holds_what_was_built_before_it() {
    let agent = polled().await;
    let before = agent.deployment_image("web");
    push(&agent, "0a2", "2026-03-01");
    agent.wait_for_workload("web", "Done").await;
    agent.person_sets_image("web", &before);
    agent.wait_for_image("web", "heldBack").await;
    push(&agent, "0a1", "2026-02-01");
    agent.stage.registry.delete_tag("shop/web", "0a2").unwrap();
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.deployment_image("web"), before);
    push(&agent, "0a3", "2099-01-01");
    agent.until("0a3 runs", async || agent.deployment_image("web").contains(":0a3")).await;
}
