//! What is deployed is the digest that was voted for, or nothing.

use http::StatusCode;
use serde_json::json;
use skeg::embedded::registry::Image;

use crate::support::agent::{Agent, Setup, text};

/// Holds back what is granted, so that something can happen between the vote and the patch.
async fn pause(agent: &Agent) {
    assert_eq!(agent.order("/v1/pause", json!({"all": true})).await.0, StatusCode::OK);
}

async fn resume(agent: &Agent) {
    assert_eq!(agent.order("/v1/resume", json!({"all": true})).await.0, StatusCode::OK);
}

/// An update that has its vote and waits for the end of a pause. Nothing polls meanwhile, so only the last check can see what changes.
async fn granted_but_paused(agent: &Agent) {
    agent.wait_for_image("web", "current").await;
    agent.push("shop/web", "1.0.1");
    assert!(agent.deliver_webhook("shop/web", "1.0.1").await.is_success());
    agent.wait_for_phase("1.0.1", "Held").await;
    pause(agent).await;
    let (status, update) = agent.vote("1.0.1", "approve").await;
    assert_eq!(status, StatusCode::OK, "{update:#}");
    assert!(update["approvals"]["granted"].is_string(), "{update:#}");
}

#[tokio::test]
async fn nothing_is_patched_before_the_vote_and_everything_after_it() {
    let agent = Agent::start(Setup::with_approval()).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.polls("shop/web", 2).await;
    assert_eq!(agent.patches_done(), 0);
    assert_eq!(agent.records().len(), 1, "asked once");
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.patches_done(), 1);
    let commits = agent.commits();
    assert_eq!(commits.len(), 1);
    assert!(commits[0].body.contains("user:ops"), "{}", commits[0].body);
}

#[tokio::test]
async fn a_pin_that_is_changed_while_people_vote_is_how_the_image_is_written() {
    let agent = Agent::start(Setup::with_approval()).await;
    let digest = agent.push("shop/web", "1.0.1");
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(text(&held, "/changes/0/to"), format!("{}@{digest}", agent.stage.image("shop/web", "1.0.1")));
    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/pin.web": "tag"}}}));
    agent
        .until("it is asked for anew", async || {
            let newest = agent.update_to("1.0.1").await.unwrap();
            newest["phase"] == "Held" && newest["name"] != held["name"]
        })
        .await;
    let (_, replaced) = agent.order(&format!("/v1/updates/shop/{}/approve", text(&held, "/name")), json!({})).await;
    assert!(replaced.to_string().contains("Superseded"), "{replaced}");
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.deployment_image("web"), agent.stage.image("shop/web", "1.0.1"));
}

/// SL-05, by the API.
#[tokio::test]
async fn a_vote_for_an_update_that_a_newer_one_replaced_is_refused() {
    let agent = Agent::start(Setup::with_approval()).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.push("shop/web", "1.0.2");
    agent.wait_for_phase("1.0.1", "Superseded").await;
    agent.wait_for_phase("1.0.2", "Held").await;

    let (status, answer) = agent.vote("1.0.1", "approve").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer.to_string().contains("Superseded"), "{answer}");
    assert_eq!(agent.update_to("1.0.2").await.unwrap()["approvals"]["given"], 0);
    agent.polls("shop/web", 2).await;
    assert_eq!(agent.patches_done(), 0);

    assert_eq!(agent.vote("1.0.2", "approve").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.2", "Done").await;
    assert_eq!(agent.patches_done(), 1, "only 1.0.2 was ever deployed");
}

/// RE-14.
#[tokio::test]
async fn a_tag_that_was_deleted_after_the_vote_is_not_deployed() {
    let agent = Agent::start(Setup::with_approval().without_polls()).await;
    granted_but_paused(&agent).await;
    agent.stage.registry.delete_tag("shop/web", "1.0.1").unwrap();
    resume(&agent).await;
    let closed = agent.wait_for_phase("1.0.1", "Superseded").await;
    assert_eq!(text(&closed, "/reason/code"), "TagGone", "{closed:#}");
    agent.wait_for_image("web", "current").await;
    assert_eq!(agent.patches_done(), 0);
    assert_eq!(agent.commits().len(), 0);
}

/// RE-15.
#[tokio::test]
async fn a_tag_that_was_moved_after_the_vote_needs_votes_for_what_it_points_at_now() {
    let agent = Agent::start(Setup::with_approval().without_polls()).await;
    granted_but_paused(&agent).await;
    let other = agent.stage.registry.push_image("shop/web", "1.0.1", &Image::new("not what was voted for")).unwrap();
    resume(&agent).await;
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(text(&held, "/changes/0/digest"), other);
    assert_eq!(held["approvals"]["given"], 0);
    assert_eq!(agent.patches_done(), 0);
    let updates = agent.updates().await;
    assert_eq!(updates.len(), 2);
    assert_eq!((text(&updates[1], "/phase"), text(&updates[1], "/reason/code")), ("Superseded", "TagMoved"));

    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Done").await;
    assert!(agent.deployment_image("web").ends_with(&other));
}

#[tokio::test]
async fn a_rejected_image_is_not_asked_for_again_after_a_restart() {
    let mut agent = Agent::start(Setup::with_approval()).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(agent.vote("1.0.1", "reject").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Rejected").await;
    agent.kill_and_begin().await;
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.records().len(), 1);
    assert_eq!(agent.patches_done(), 0);
}

#[tokio::test]
async fn a_vote_that_was_acknowledged_survives_a_kill() {
    let mut agent = Agent::start(Setup::with_approval()).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.kill_and_begin().await;
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(done["votes"].as_array().unwrap().len(), 1);
    assert_eq!((agent.patches_done(), agent.commits().len()), (1, 1));
}
