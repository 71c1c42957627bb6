//! What a hint costs at the registry, and what it leads to: the same as a new listing would.

use skeg::embedded::registry::Image;

use crate::support::agent::{Agent, Setup, Workload, text};

/// An agent that has listed everything once and does not list again by itself.
async fn settled(workloads: impl IntoIterator<Item = Workload>) -> Agent {
    let workloads: Vec<Workload> = workloads.into_iter().map(|workload| workload.directive("approvals", "1")).collect();
    let names: Vec<String> = workloads.iter().map(|workload| workload.name.clone()).collect();
    let agent = Agent::start(Setup::of(workloads).without_polls()).await;
    for name in names {
        agent.wait_for_image(&name, "current").await;
    }
    agent
}

/// Requests about `shop/web` from the one at this place on, as `HEAD 1.0.1` or `GET list`.
fn requests(agent: &Agent, from: usize) -> Vec<String> {
    let requests = agent.stage.registry.requests();
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    requests.iter().skip(from).map(|request| format!("{} {}", request.method, last(&request.path))).collect()
}

async fn deliver(agent: &Agent, tag: &str) -> usize {
    let before = agent.stage.registry.requests().len();
    assert!(agent.deliver_webhook("shop/web", tag).await.is_success());
    before
}

/// The tag that an update of the workload waits for votes with.
async fn held(agent: &Agent, name: &str, tag: &str) {
    let is_it = |update: &serde_json::Value| update["workload"]["name"] == name && update["changes"][0]["tag"] == tag;
    let found = async || agent.updates().await.into_iter().find(|update| is_it(update) && update["phase"] == "Held");
    agent.wait_for(&format!("{name} may move to {tag}"), found).await;
}

#[tokio::test]
async fn a_hint_with_a_tag_costs_one_question_about_that_tag() {
    let agent = settled([Workload::new("web", "shop/web", "1.0.0")]).await;
    agent.push("shop/web", "1.0.1");
    let before = deliver(&agent, "1.0.1").await;
    held(&agent, "web", "1.0.1").await;
    assert_eq!(requests(&agent, before), ["HEAD 1.0.1"]);
    agent.push("shop/web", "1.0.2");
    let before = deliver(&agent, "1.0.2").await;
    held(&agent, "web", "1.0.2").await;
    // The end of the update that was superseded is a reason to list the tags, after that.
    assert_eq!(requests(&agent, before)[0], "HEAD 1.0.2");
}

#[tokio::test]
async fn a_tag_that_is_followed_is_read_again_when_it_is_told_of() {
    let web = Workload::new("web", "shop/web", "main").directive("policy", "digest").directive("approvals", "1");
    let agent = Agent::start(Setup::of([web]).without_polls()).await;
    held(&agent, "web", "main").await;
    let digest = agent.stage.registry.push_image("shop/web", "main", &Image::new("another content")).unwrap();
    let before = deliver(&agent, "main").await;
    let is_read = async || agent.update_to("main").await.is_some_and(|update| text(&update, "/changes/0/digest") == digest);
    agent.until("the new content is asked for", is_read).await;
    assert_eq!(requests(&agent, before)[0], "HEAD main");
}

/// Deliveries may overtake each other: what was told of first counts still, although no listing shows it.
#[tokio::test]
async fn an_older_tag_that_is_told_of_later_leads_nobody_back() {
    let careful = Workload::new("careful", "shop/web", "1.0.0").directive("ignore-tags", "glob:1.0.3");
    let agent = settled([Workload::new("web", "shop/web", "1.0.0"), careful]).await;
    agent.push("shop/web", "1.0.3");
    deliver(&agent, "1.0.3").await;
    held(&agent, "web", "1.0.3").await;
    agent.push("shop/web", "1.0.2");
    let before = deliver(&agent, "1.0.2").await;
    held(&agent, "careful", "1.0.2").await;
    assert_eq!(requests(&agent, before), ["HEAD 1.0.2", "HEAD 1.0.3"]);
    held(&agent, "web", "1.0.3").await;
    // The records, which are behind what the API shows for a moment.
    agent.until("both are recorded", async || agent.records().len() >= 2).await;
    assert_eq!(agent.records().len(), 2, "nothing was superseded: {:#?}", agent.records());
}

#[tokio::test]
async fn tags_that_are_gone_by_now_are_found_out_by_a_listing() {
    let agent = settled([Workload::new("web", "shop/web", "1.0.0")]).await;
    agent.push("shop/web", "1.0.3");
    deliver(&agent, "1.0.3").await;
    held(&agent, "web", "1.0.3").await;
    agent.stage.registry.delete_tag("shop/web", "1.0.3").unwrap();
    agent.push("shop/web", "1.0.2");
    let before = deliver(&agent, "1.0.2").await;
    held(&agent, "web", "1.0.2").await;
    assert_eq!(requests(&agent, before)[..3], ["HEAD 1.0.3", "GET list", "HEAD 1.0.2"]);
}

#[tokio::test]
async fn a_hint_about_a_tag_that_nobody_wants_asks_nothing() {
    let agent = settled([Workload::new("web", "shop/web", "1.0.0").directive("ignore-tags", "glob:*-debug")]).await;
    let before = deliver(&agent, "1.0.1-debug").await;
    deliver(&agent, "edge").await;
    agent.push("shop/web", "1.0.1");
    deliver(&agent, "1.0.1").await;
    held(&agent, "web", "1.0.1").await;
    assert_eq!(requests(&agent, before), ["HEAD 1.0.1"]);
}

#[tokio::test]
async fn a_poll_of_a_list_that_the_registry_marks_costs_no_list_while_it_is_unchanged() {
    let agent = Agent::start(Setup::at_once()).await;
    let answered = async |status: &str| agent.metrics("skeg_registry_requests_total").await.iter().any(|line| line.contains(status));
    agent.polls("shop/web", 2).await;
    assert!(!answered("status=\"304\"").await, "as long as it gives no marks");
    agent.stage.registry.mark_lists();
    agent.until("nothing is sent again", async || answered("status=\"304\"").await).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_workload("web", "Done").await;
}

#[tokio::test]
async fn a_policy_that_changed_since_the_listing_is_asked_of_a_new_one() {
    let agent = settled([Workload::new("web", "shop/web", "1.0.0").directive("policy", "patch")]).await;
    agent.push("shop/web", "1.2.0");
    agent.person_merges("web", serde_json::json!({"metadata": {"annotations": {"skeg.dev/policy": "minor"}}}));
    held(&agent, "web", "1.2.0").await;
    agent.push("shop/web", "1.1.0");
    let before = deliver(&agent, "1.1.0").await;
    agent.until("the hint is looked into", async || requests(&agent, before) == ["HEAD 1.2.0"]).await;
    held(&agent, "web", "1.2.0").await;
    assert_eq!(agent.records().len(), 1);
}
