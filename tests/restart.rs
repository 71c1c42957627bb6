//! What becomes of updates when skeg dies at the worst moment: everything happens once, nothing is forgotten.

use std::sync::mpsc;

use http::StatusCode;
use serde_json::Value;
use skeg::embedded::git::{GitFault, GitRequest};
use skeg::embedded::kube::{Fault, Matcher};
use skeg::embedded::registry;

use crate::support::agent::{Agent, PATIENCE, Setup, text};

fn patch_of_web() -> Matcher {
    Matcher::any().method("PATCH").path("/deployments/web")
}

/// The pod templates that the Deployment has had, each once.
fn rollouts(agent: &Agent) -> usize {
    let sets = agent.stage.kube.all("apps/v1", "ReplicaSet");
    sets.iter().filter(|set| text(set, "/metadata/ownerReferences/0/name") == "web").count()
}

/// CR-01: the record is durable, and skeg dies while it reads the digest that it is about to set.
#[tokio::test]
async fn a_kill_before_the_patch_is_sent_leads_to_one_patch_one_commit_and_no_second_vote() {
    let mut agent = Agent::start(Setup::with_approval().without_polls()).await;
    agent.wait_for_image("web", "current").await;
    let digest = agent.push("shop/web", "1.0.1");
    assert!(agent.deliver_webhook("shop/web", "1.0.1").await.is_success());
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    let manifests = registry::Matcher::of(registry::Operation::Manifest).always();
    agent.stage.registry.fail_next(manifests, registry::Fault::Hang);
    let reads = || agent.stage.registry.requests().iter().filter(|seen| seen.path.ends_with("/manifests/1.0.1")).count();
    let before = reads();
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.until("the digest is read again", async || reads() > before).await;
    agent.kill().await;
    assert_eq!((agent.patches().len(), agent.commits().len()), (0, 0));
    assert_eq!(agent.records()[0]["status"]["phase"], "Applying", "the decision is durable");

    agent.stage.registry.clear_faults();
    agent.begin_and_wait().await;
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(text(&done, "/name"), text(&held, "/name"), "the decision is the same");
    assert_eq!(done["votes"].as_array().unwrap().len(), 1);
    assert_eq!(agent.patches().len(), 1);
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(agent.records().len(), 1);
    let events =
        |word: &str| agent.records()[0]["status"]["history"].as_array().unwrap().iter().filter(|event| event["event"] == word).count();
    assert_eq!((events("admitted"), events("asked")), (1, 1), "decided and asked once: {:#}", agent.records()[0]);
    assert_eq!(rollouts(&agent), 2, "the old and the new one");
    assert_eq!(agent.deployment_image("web"), format!("{}@{digest}", agent.stage.image("shop/web", "1.0.1")));
}

/// CR-02, where the answer to the PATCH is lost too.
#[tokio::test]
async fn a_patch_whose_answer_was_lost_with_the_process_is_not_made_again() {
    let mut agent = Agent::start(Setup::at_once()).await;
    agent.stage.kube.fail_next(patch_of_web(), Fault::LoseAnswer, 1);
    agent.push("shop/web", "1.0.1");
    agent.until("the patch is made", async || !agent.patches().is_empty()).await;
    agent.kill().await;

    agent.begin_and_wait().await;
    agent.wait_for_phase("1.0.1", "Done").await;
    // A try that knew no better may have been made and refused before skeg was killed.
    assert_eq!(agent.patches_done(), 0, "the one that was lost is the only one: {:#?}", agent.patches());
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(rollouts(&agent), 2);
}

/// Runs until the remote is asked for what is to be committed, which it does not answer, and kills skeg there. The record tells of no try
/// that is to be made later. The remote answers again when what this gives is dropped.
async fn kill_while_the_commit_is_made(agent: &mut Agent) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    agent.stage.remote.before_next(GitRequest::FetchRefs, move |_| {
        let _ = released.recv_timeout(PATIENCE);
    });
    agent.push("shop/web", "1.0.1");
    agent.until("the remote was asked", async || !agent.stage.remote.requests().is_empty()).await;
    agent.kill().await;
    let status = agent.records()[0]["status"].clone();
    assert_eq!((text(&status, "/phase"), &status["retryAt"]), ("Recording", &Value::Null));
    assert_eq!(agent.commits().len(), 0);
    release
}

/// CR-02.
#[tokio::test]
async fn a_kill_between_patch_and_commit_leads_to_one_commit_and_no_second_rollout() {
    let mut agent = Agent::start(Setup::at_once()).await;
    drop(kill_while_the_commit_is_made(&mut agent).await);
    let generation = agent.deployment("web")["metadata"]["generation"].clone();

    agent.begin_and_wait().await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(agent.patches_done(), 1);
    assert_eq!(agent.deployment("web")["metadata"]["generation"], generation);
    assert_eq!(rollouts(&agent), 2);
}

/// CR-02, where a try had failed before.
#[tokio::test]
async fn a_kill_before_the_next_try_to_commit_leads_to_one_commit() {
    let mut agent = Agent::start(Setup::at_once()).await;
    for _ in 0..100 {
        agent.stage.remote.fail_next(GitRequest::FetchRefs, GitFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    }
    agent.push("shop/web", "1.0.1");
    agent
        .wait_for("the try is recorded", async || agent.records().iter().find(|record| record["status"]["retryAt"].is_string()).map(drop))
        .await;
    agent.kill().await;
    assert_eq!((text(&agent.records()[0], "/status/phase"), agent.commits().len()), ("Recording", 0));

    agent.stage.remote.clear_plans();
    agent.begin_and_wait().await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!((agent.patches_done(), agent.commits().len(), rollouts(&agent)), (1, 1, 2));
}

#[tokio::test]
async fn an_image_that_was_taken_back_while_skeg_was_away_is_not_committed_after_all() {
    for is_made in [false, true] {
        let mut agent = Agent::start(Setup::at_once()).await;
        if is_made {
            agent.stage.remote.fail_next(GitRequest::Push, GitFault::LoseAnswer);
            agent.push("shop/web", "1.0.1");
            agent.until("the push is made", async || agent.commits().len() == 1).await;
            agent.kill().await;
        } else {
            drop(kill_while_the_commit_is_made(&mut agent).await);
        }
        let theirs = agent.stage.image("shop/web", "1.0.0");
        agent.person_sets_image("web", &theirs);

        agent.begin_and_wait().await;
        agent.wait_for_phase("1.0.1", if is_made { "Done" } else { "Unrecorded" }).await;
        agent.polls("shop/web", 2).await;
        assert_eq!((agent.patches_done(), agent.commits().len()), (1, usize::from(is_made)));
        assert_eq!(agent.deployment_image("web"), theirs);
        assert_eq!(agent.records()[0]["metadata"]["labels"]["skeg.dev/binding"], "true");
    }
}

#[tokio::test]
async fn a_push_whose_answer_was_lost_with_the_process_is_not_made_again() {
    let mut agent = Agent::start(Setup::at_once()).await;
    agent.stage.remote.fail_next(GitRequest::Push, GitFault::LoseAnswer);
    agent.push("shop/web", "1.0.1");
    agent.until("the push is made", async || agent.commits().len() == 1).await;
    agent.kill().await;

    agent.begin_and_wait().await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(agent.patches_done(), 1);
}

#[tokio::test]
async fn a_rollout_that_failed_is_put_back_once_and_is_not_tried_again_after_a_restart() {
    let mut agent = Agent::start(Setup::at_once()).await;
    let before = agent.deployment_image("web");
    agent.push_broken("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "RolledBack").await;
    assert_eq!(agent.deployment_image("web"), before);

    for restart in 0..2 {
        if restart == 0 {
            agent.restart().await;
        } else {
            agent.kill_and_begin().await;
        }
        agent.polls("shop/web", 3).await;
        let view = agent.wait_for_image("web", "heldBack").await;
        assert_eq!(text(&view, "/reason/code"), "Bound", "{view:#}");
        assert_eq!(agent.deployment_image("web"), before);
        assert_eq!(agent.patches_done(), 2, "one to apply, one to put back");
        assert_eq!(agent.commits().len(), 0);
        assert_eq!(agent.records().len(), 1);
    }

    // What is newer than the image that failed is not held back by it.
    agent.push("shop/web", "1.0.2");
    agent.wait_for_phase("1.0.2", "Done").await;
    assert_eq!(agent.commits().len(), 1);
}

#[tokio::test]
async fn a_patch_that_was_made_before_a_crash_is_followed_though_its_tag_has_moved_since() {
    let mut agent = Agent::start(Setup::with_approval()).await;
    agent.stage.kube.fail_next(patch_of_web(), Fault::LoseAnswer, 1);
    let digest = agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.until("the patch is made", async || !agent.patches().is_empty()).await;
    agent.kill().await;

    let other = agent.stage.registry.digest_of("shop/web", "1.0.0").unwrap();
    agent.stage.registry.retag("shop/web", "1.0.1", &other).unwrap();
    agent.begin_and_wait().await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!((agent.patches_done(), agent.commits().len(), agent.records().len()), (0, 1, 1), "{:#?}", agent.patches());
    assert!(agent.deployment_image("web").ends_with(&digest), "what was approved is what runs");
}

#[tokio::test]
async fn a_try_that_was_waiting_when_it_was_killed_is_made_once() {
    let mut agent = Agent::start(Setup::at_once()).await;
    agent.stage.kube.fail_next(patch_of_web(), Fault::Status(503, Some(5)), 1);
    agent.push("shop/web", "1.0.1");
    agent
        .wait_for("the try is recorded", async || agent.records().iter().find(|record| record["status"]["retryAt"].is_string()).map(drop))
        .await;
    agent.kill_and_begin().await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.patches().len(), 2, "the one that failed and the one that was made");
    assert_eq!(agent.commits().len(), 1);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_by_name_with_what_to_do() {
    let mut agent = Agent::start(Setup::with_approval()).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.stop().await;
    let mut foreign = agent.records().remove(0);
    foreign["metadata"]["name"] = "by-hand".into();
    foreign["spec"]["changes"][0]["digest"] = "sha256:mine".into();
    agent.stage.kube.apply(foreign).unwrap();

    agent.begin_and_wait().await;
    agent.wait_for_phase("1.0.1", "Held").await;
    let degraded = agent.get("/v1/status").await["degraded"].clone();
    let told = degraded.as_array().unwrap().iter().find(|part| part["name"] == "shop/by-hand").expect("it is told");
    let detail = text(told, "/detail");
    assert!(detail.contains("digest") && detail.contains("kubectl -n shop delete imageupdate by-hand"), "{detail}");
}

#[tokio::test]
async fn what_git_has_refused_is_committed_once_when_somebody_asks_for_it_again() {
    let mut agent = Agent::start(Setup::at_once()).await;
    for _ in 0..5 {
        agent.stage.remote.fail_next(GitRequest::Push, GitFault::HookRefusal("frozen".to_owned()));
    }
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Unrecorded").await;
    assert_eq!((agent.patches_done(), agent.commits().len()), (1, 0));
    agent.stage.remote.clear_plans();

    assert_eq!(agent.vote("1.0.1", "retry").await.0, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!((agent.patches_done(), agent.commits().len()), (1, 1));
    agent.kill_and_begin().await;
    agent.polls("shop/web", 2).await;
    assert_eq!(agent.vote("1.0.1", "retry").await.0, StatusCode::CONFLICT, "it is done");
    assert_eq!((agent.patches_done(), agent.commits().len(), rollouts(&agent)), (1, 1, 2));
}
