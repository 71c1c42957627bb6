//! What becomes of updates when skeg dies at the worst moment: everything happens once, nothing is forgotten.

use http::StatusCode;
use skeg::embedded::git::{GitFault, GitRequest};
use skeg::embedded::kube::{Fault, Matcher};

use crate::support::agent::{Agent, Setup, text};

/// More than any test asks for.
const ALWAYS: u32 = u32::MAX;

fn patch_of_web() -> Matcher {
    Matcher::any().method("PATCH").path("/deployments/web")
}

/// The pod templates that the Deployment has had, each once.
fn rollouts(agent: &Agent) -> usize {
    let sets = agent.stage.kube.all("apps/v1", "ReplicaSet");
    sets.iter().filter(|set| text(set, "/metadata/ownerReferences/0/name") == "web").count()
}

/// CR-01: the record is durable, and skeg dies while it reads the workload that it is about to patch.
#[tokio::test]
async fn a_kill_before_the_patch_is_sent_leads_to_one_patch_one_commit_and_no_second_vote() {
    let mut agent = Agent::start(Setup::with_approval()).await;
    let reading = Matcher::any().method("GET").path("/deployments/web");
    agent.stage.kube.fail_next(reading, Fault::Hang, ALWAYS);
    let digest = agent.push("shop/web", "1.0.1");
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    let is_read = |path: &str| path.ends_with("/deployments/web");
    agent.until("the workload is read", async || agent.stage.kube.requests().iter().any(|seen| is_read(&seen.path))).await;
    agent.kill().await;
    assert_eq!((agent.patches().len(), agent.commits().len()), (0, 0));
    assert_eq!(agent.records()[0]["status"]["phase"], "Applying", "the decision is durable");

    agent.stage.kube.clear_faults();
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
    assert_eq!(agent.patches().len(), 1);
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(rollouts(&agent), 2);
}

/// CR-02.
#[tokio::test]
async fn a_kill_between_patch_and_commit_leads_to_one_commit_and_no_second_rollout() {
    let mut agent = Agent::start(Setup::at_once()).await;
    for _ in 0..100 {
        agent.stage.remote.fail_next(GitRequest::FetchRefs, GitFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    }
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Recording").await;
    agent.until("the remote was asked", async || !agent.stage.remote.requests().is_empty()).await;
    agent.kill().await;
    assert_eq!(agent.commits().len(), 0);
    let generation = agent.deployment("web")["metadata"]["generation"].clone();

    agent.stage.remote.clear_plans();
    agent.begin_and_wait().await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(agent.patches_done(), 1);
    assert_eq!(agent.deployment("web")["metadata"]["generation"], generation);
    assert_eq!(rollouts(&agent), 2);
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
