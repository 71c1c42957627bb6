//! From a delivery to the cluster: a delivery is only ever a reason to look.

use futures::StreamExt as _;
use http::StatusCode;

use crate::support::agent::{Agent, Setup, Workload};

/// WH-02.
#[tokio::test]
async fn the_same_delivery_a_thousand_times_is_one_update() {
    let agent = Agent::start(Setup { settle: "1s", ..Setup::at_once().without_polls() }).await;
    agent.wait_for_image("web", "current").await;
    let before = agent.listings("shop/web");
    agent.push("shop/web", "1.0.1");
    let deliveries = futures::stream::iter(0..1_000).map(|_| agent.deliver_webhook("shop/web", "1.0.1")).buffer_unordered(50);
    let answers: Vec<StatusCode> = deliveries.collect().await;
    assert!(answers.iter().all(StatusCode::is_success), "{answers:?}");
    agent.wait_for_phase("1.0.1", "Done").await;
    agent.wait_for_image("web", "current").await;
    assert_eq!(agent.records().len(), 1);
    assert_eq!((agent.patches_done(), agent.commits().len()), (1, 1));
    let listings = agent.listings("shop/web") - before;
    assert!(listings < 20, "{listings} listings for one delivery");
}

/// WH-03.
#[tokio::test]
async fn a_delivery_for_a_tag_that_is_not_there_makes_skeg_look_and_nothing_more() {
    let agent = Agent::start(Setup::at_once().without_polls()).await;
    agent.wait_for_image("web", "current").await;
    let before = agent.listings("shop/web");
    assert!(agent.deliver_webhook("shop/web", "1.0.9").await.is_success());
    agent.until("the registry was asked", async || agent.listings("shop/web") > before).await;
    // A second look begins after the first is decided.
    assert!(agent.deliver_webhook("shop/web", "1.0.9").await.is_success());
    agent.until("the registry was asked again", async || agent.listings("shop/web") > before + 1).await;
    assert_eq!(agent.updates().await.len(), 0);
    assert_eq!((agent.patches_done(), agent.records().len()), (0, 0));
}

#[tokio::test]
async fn two_repositories_of_a_pod_whose_polls_are_due_within_one_settle_window_make_one_update() {
    let pod = Workload::new("web", "shop/web", "1.0.0").container("proxy", "shop/proxy", "2.0.0");
    let agent = Agent::start(Setup { poll: "3s", settle: "4s", ..Setup::of([pod]) }).await;
    agent.wait_for_image("web", "current").await;
    agent.push("shop/web", "1.0.1");
    agent.push("shop/proxy", "2.0.1");
    let done = agent.wait_for_phase("2.0.1", "Done").await;
    assert_eq!(done["changes"].as_array().unwrap().len(), 2, "{done:#}");
    assert_eq!((agent.records().len(), agent.patches_done(), agent.commits().len()), (1, 1, 1));
}

#[tokio::test]
async fn two_containers_pushed_within_one_settle_window_are_one_update() {
    let pod = Workload::new("web", "shop/web", "1.0.0").container("proxy", "shop/proxy", "2.0.0");
    let agent = Agent::start(Setup { settle: "2s", ..Setup::of([pod]).without_polls() }).await;
    agent.wait_for_image("web", "current").await;
    for (repository, tag) in [("shop/web", "1.0.1"), ("shop/proxy", "2.0.1")] {
        agent.push(repository, tag);
        assert!(agent.deliver_webhook(repository, tag).await.is_success());
    }
    let done = agent.wait_for_phase("2.0.1", "Done").await;
    assert_eq!(done["changes"].as_array().unwrap().len(), 2, "{done:#}");
    assert_eq!(agent.records().len(), 1);
    assert_eq!((agent.patches_done(), agent.commits().len()), (1, 1));
    assert!(agent.image_of("web", 0).ends_with(":1.0.1"));
    assert!(agent.image_of("web", 1).ends_with(":2.0.1"));
}
