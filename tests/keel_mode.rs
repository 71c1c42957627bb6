//! Workloads with Keel's keys, before a running skeg: observed by default, acted on where that is configured and no Keel runs.

use http::StatusCode;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use skeg::embedded::registry::Image;

use crate::support::agent::{Agent, NAMESPACE, Setup, Workload, text};

const ACT: &str = "[keel]\nmode = \"act\"";

/// Runs `shop/web:1.0.0` with these annotations of Keel's, after `keel.sh/`.
fn keels_web(annotations: &[(&str, &str)]) -> Workload {
    let web = Workload::bare("web", "shop/web", "1.0.0");
    annotations.iter().fold(web, |web, (key, value)| web.annotation(&format!("keel.sh/{key}"), value))
}

async fn acting_on(workloads: impl IntoIterator<Item = Workload>) -> Agent {
    Agent::start(Setup { more: ACT, ..Setup::of(workloads) }).await
}

/// A tag is pushed, and the registry's webhook says so.
async fn pushed(agent: &Agent, repository: &str, tag: &str) {
    agent.push(repository, tag);
    assert!(agent.deliver_webhook(repository, tag).await.is_success());
}

/// Waits until the line of `/v1/images` about `web` has this reason and candidate.
async fn wait_for_reason(agent: &Agent, code: &str, candidate: &str) -> Value {
    let is_it = |view: &Value| text(view, "/reason/code") == code && text(view, "/candidate/tag") == candidate;
    agent.wait_for(&format!("web shows {code} {candidate}"), async || Some(agent.image_view("web").await).filter(is_it)).await
}

fn scale_keel(agent: &Agent, replicas: u32) {
    agent.person_merges("keel", json!({"spec": {"replicas": replicas}}));
}

#[tokio::test]
async fn by_default_what_skeg_would_do_is_told_and_nothing_is_done() {
    let agent = Agent::start(Setup::of([keels_web(&[("policy", "minor"), ("approvals", "1"), ("polcy", "minor")])])).await;
    let current = wait_for_reason(&agent, "KeelObserved", "").await;
    assert_eq!((text(&current, "/state"), text(&current, "/policy")), ("current", "keel:minor"), "{current:#}");
    pushed(&agent, "shop/web", "1.1.0").await;
    pushed(&agent, "shop/web", "2.0.0").await;
    let view = wait_for_reason(&agent, "KeelObserved", "1.1.0").await;
    assert_eq!(text(&view, "/state"), "heldBack", "{view:#}");
    assert!(text(&view, "/reason/message").contains("[keel] mode = \"act\""), "{view:#}");
    let warning = agent
        .wait_for("what Keel passes over is told", async || {
            let events = agent.stage.kube.all("v1", "Event");
            events.iter().find(|event| event["reason"] == "KeelWarning").map(|event| text(event, "/message").to_owned())
        })
        .await;
    assert!(warning.starts_with("keel.sh/polcy: Keel has no such key"), "{warning}");
    assert_eq!((agent.records().len(), agent.patches().len(), agent.commits().len()), (0, 0, 0));
    let degraded = agent.get("/v1/status").await["degraded"].clone();
    assert_eq!(degraded, json!([]), "a warning holds nothing");
}

#[tokio::test]
async fn labels_and_annotations_of_keel_are_acted_on_where_that_is_configured() {
    let api = Workload::bare("api", "shop/api", "1.0.0").label("keel.sh/policy", "patch");
    let agent = acting_on([keels_web(&[("policy", "minor")]), api]).await;
    agent.wait_for_image("web", "current").await;
    agent.wait_for_image("api", "current").await;
    for (repository, tag) in [("shop/web", "2.0.0"), ("shop/web", "1.1.0"), ("shop/api", "1.1.0"), ("shop/api", "1.0.1")] {
        pushed(&agent, repository, tag).await;
    }
    let web = agent.wait_for_workload("web", "Done").await;
    assert_eq!(text(&web, "/policy"), "keel:minor", "{web:#}");
    agent.wait_for_workload("api", "Done").await;
    assert_eq!(agent.deployment_image("web"), agent.stage.image("shop/web", "1.1.0"));
    assert_eq!(agent.deployment_image("api"), agent.stage.image("shop/api", "1.0.1"));
    let declared =
        |name: &str, tag: &str| agent.stage.declared(&format!("{NAMESPACE}/{name}.yaml")).contains(&format!("shop/{name}:{tag} "));
    assert!(declared("web", "1.1.0") && declared("api", "1.0.1"), "and Git follows");
}

#[tokio::test]
async fn keels_approvals_are_given_by_those_whom_skeg_knows() {
    let agent = acting_on([keels_web(&[("policy", "patch"), ("approvals", "1"), ("approvalDeadline", "2")])]).await;
    agent.wait_for_image("web", "current").await;
    pushed(&agent, "shop/web", "1.0.1").await;
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!((text(&held, "/reason/code"), agent.patches().len()), ("Approval", 0), "{held:#}");
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Done").await;
    let digest = agent.stage.registry.digest_of("shop/web", "1.0.1").unwrap();
    assert_eq!(agent.deployment_image("web"), format!("{}@{digest}", agent.stage.image("shop/web", "1.0.1")));
}

#[tokio::test]
async fn force_with_match_tag_follows_the_digest_of_the_tag() {
    let polled = [("policy", "force"), ("matchTag", "true"), ("trigger", "poll"), ("pollSchedule", "@every 1s")];
    let agent = acting_on([keels_web(&polled)]).await;
    for content in ["first", "second"] {
        let digest = agent.stage.registry.push_image("shop/web", "1.0.0", &Image::new(content)).unwrap();
        agent.until(content, async || agent.deployment_image("web").ends_with(&format!(":1.0.0@{digest}"))).await;
    }
}

#[tokio::test]
async fn force_on_a_tag_that_is_no_version_follows_that_tag_when_a_webhook_names_it_again() {
    let web = Workload::bare("web", "shop/web", "latest").annotation("keel.sh/policy", "force");
    let agent = acting_on([web]).await;
    pushed(&agent, "shop/web", "9.9.9").await;
    let digest = agent.stage.registry.push_image("shop/web", "latest", &Image::new("the next one")).unwrap();
    assert!(agent.deliver_webhook("shop/web", "latest").await.is_success());
    agent.until("it is deployed again", async || agent.deployment_image("web").ends_with(&format!(":latest@{digest}"))).await;
}

#[tokio::test]
async fn skegs_other_keys_count_beside_keels() {
    let paused = keels_web(&[("policy", "minor")]).directive("pause", "true");
    let agent = acting_on([paused]).await;
    pushed(&agent, "shop/web", "1.1.0").await;
    let waits = async || agent.update_to("1.1.0").await.is_some_and(|update| update["reason"]["code"] == "Paused");
    agent.until("it waits for the pause to end", waits).await;
    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/pause": null}}}));
    assert_eq!(text(&agent.wait_for_workload("web", "Done").await, "/policy"), "keel:minor");
}

#[tokio::test]
async fn what_keel_would_take_though_it_is_lower_is_refused_and_the_reason_says_so() {
    let polled = [("keel.sh/policy", "glob:build-*"), ("keel.sh/trigger", "poll"), ("keel.sh/pollSchedule", "@every 1s")];
    let web = polled.iter().fold(Workload::bare("web", "shop/web", "build-10"), |web, (key, value)| web.annotation(key, value));
    let agent = acting_on([web]).await;
    agent.wait_for_image("web", "current").await;
    pushed(&agent, "shop/web", "build-9").await;
    let refused = async || {
        let view = agent.image_view("web").await;
        let message = text(&view, "/reason/message");
        message.starts_with("none of 2 tags qualifies") && message.contains("1 × never backwards: not higher than the current tag")
    };
    agent.until("build-9 is refused", refused).await;
    agent.polls("shop/web", 1).await;
    assert_eq!((agent.records().len(), agent.patches().len()), (0, 0));
    agent.push("shop/web", "build-11");
    agent.wait_for_phase("build-11", "Done").await;
}

#[tokio::test]
async fn while_a_keel_runs_nothing_is_done_and_when_it_goes_skeg_goes_on() {
    let keel = Workload::bare("keel", "keelhq/keel", "0.22.1");
    let agent = acting_on([keel, keels_web(&[("policy", "minor")])]).await;
    pushed(&agent, "shop/web", "1.1.0").await;
    let view = wait_for_reason(&agent, "KeelRuns", "1.1.0").await;
    assert!(text(&view, "/reason/message").starts_with("Keel runs as shop/Deployment/keel"), "{view:#}");
    assert_eq!((agent.records().len(), agent.patches().len()), (0, 0));
    scale_keel(&agent, 0);
    agent.wait_for_phase("1.1.0", "Done").await;

    scale_keel(&agent, 1);
    wait_for_reason(&agent, "KeelRuns", "").await;
    pushed(&agent, "shop/web", "1.2.0").await;
    wait_for_reason(&agent, "KeelRuns", "1.2.0").await;
    assert_eq!(agent.patches_done(), 1);
    let deployments: kube::Api<Deployment> = kube::Api::namespaced(agent.stage.kube.client(), NAMESPACE);
    deployments.delete("keel", &kube::api::DeleteParams::default()).await.unwrap();
    agent.wait_for_phase("1.2.0", "Done").await;
}

#[tokio::test]
async fn an_update_that_waits_for_votes_when_a_keel_comes_is_not_applied_beside_it() {
    let keel = Workload::bare("keel", "keelhq/keel", "0.22.1");
    let agent = acting_on([keel, keels_web(&[("policy", "minor"), ("approvals", "1")])]).await;
    scale_keel(&agent, 0);
    agent.wait_for_image("web", "current").await;
    pushed(&agent, "shop/web", "1.1.0").await;
    agent.wait_for_phase("1.1.0", "Held").await;
    scale_keel(&agent, 1);
    let waits = async || text(&agent.update_to("1.1.0").await.unwrap(), "/reason/code") == "KeelRuns";
    agent.until("the update waits for Keel to go", waits).await;
    assert_eq!(agent.vote("1.1.0", "approve").await.0, StatusCode::OK);
    agent.until("it still waits", waits).await;
    assert_eq!(agent.patches().len(), 0);
    scale_keel(&agent, 0);
    agent.wait_for_phase("1.1.0", "Done").await;
}

#[tokio::test]
async fn with_both_kinds_of_keys_skegs_are_followed_even_beside_a_keel() {
    let keel = Workload::bare("keel", "keelhq/keel", "0.22.1");
    let agent = Agent::start(Setup::of([keel, keels_web(&[("policy", "major")]).directive("policy", "patch")])).await;
    agent.push("shop/web", "2.0.0");
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.records().len(), 1);
}
