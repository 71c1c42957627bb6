//! People win: what somebody changes in the cluster or in Git while skeg works is never overwritten.

use http::StatusCode;
use serde_json::{Value, json};
use skeg::embedded::git::{GitFault, GitRequest};
use skeg::embedded::kube::{Fault, Matcher};

use crate::support::agent::{Agent, NAMESPACE, PERSON, Setup, Workload, text};

fn patch_of_web() -> Matcher {
    Matcher::any().method("PATCH").path("/deployments/web")
}

/// Lets skeg decide for 1.0.1 and fail to patch until the faults are cleared.
async fn decided_but_not_patched(agent: &Agent) {
    agent.stage.kube.fail_next(patch_of_web(), Fault::Status(503, None), u32::MAX);
    agent.push("shop/web", "1.0.1");
    agent.until("a patch was tried", async || !agent.patches().is_empty()).await;
}

/// Deletes a Deployment, as a person with `kubectl delete` does.
async fn person_deletes(agent: &Agent, name: &str) {
    let url = format!("{}/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}", agent.stage.kube.url());
    let client = reqwest::Client::builder().no_proxy().user_agent("kubectl").build().unwrap();
    assert_eq!(client.delete(url).send().await.unwrap().status(), StatusCode::OK);
}

/// KU-01.
#[tokio::test]
async fn a_change_of_replicas_between_decision_and_patch_is_kept_through_conflicts() {
    let agent = Agent::start(Setup::at_once()).await;
    decided_but_not_patched(&agent).await;
    let container = json!({"name": "web", "image": agent.deployment_image("web"), "env": [{"name": "COLOUR", "value": "blue"}]});
    agent.person_merges("web", json!({"spec": {"replicas": 5, "template": {"spec": {"containers": [container]}}}}));
    let before = agent.deployment("web");
    agent.stage.kube.clear_faults();
    agent.stage.kube.fail_next(patch_of_web(), Fault::Status(409, None), 1);
    agent.wait_for_phase("1.0.1", "Done").await;

    let mut after = agent.deployment("web");
    assert!(agent.deployment_image("web").ends_with(":1.0.1"), "{}", agent.deployment_image("web"));
    after["spec"]["template"]["spec"]["containers"][0]["image"] = before["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(after["spec"], before["spec"], "only the image differs");
    let statuses: Vec<u16> = agent.patches().iter().map(|patch| patch.status).filter(|status| *status != 503).collect();
    // The first of them may have gone by what the watch had not shown yet.
    let (last, before) = statuses.split_last().unwrap();
    assert!(*last == 200 && matches!(before, [409] | [409, 409]), "{statuses:?}");
}

#[tokio::test]
async fn an_image_that_was_set_between_decision_and_patch_is_kept() {
    let agent = Agent::start(Setup::at_once()).await;
    decided_but_not_patched(&agent).await;
    let theirs = agent.stage.image("shop/web", "0.9.0");
    agent.push("shop/web", "0.9.0");
    agent.person_sets_image("web", &theirs);
    agent.stage.kube.clear_faults();
    let closed = agent.wait_for_phase("1.0.1", "Superseded").await;
    assert_eq!(text(&closed, "/reason/code"), "ImageMoved", "{closed:#}");
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.deployment_image("web"), theirs);
    assert_eq!((agent.patches_done(), agent.commits().len()), (0, 0));
}

/// KU-07.
#[tokio::test]
async fn a_workload_that_was_deleted_between_decision_and_patch_is_neither_made_again_nor_committed() {
    let agent = Agent::start(Setup::at_once()).await;
    decided_but_not_patched(&agent).await;
    person_deletes(&agent, "web").await;
    agent.stage.kube.clear_faults();
    let closed = agent.wait_for_phase("1.0.1", "Superseded").await;
    assert_eq!(text(&closed, "/reason/code"), "WorkloadGone", "{closed:#}");
    assert_eq!(agent.stage.kube.get("apps/v1", "Deployment", NAMESPACE, "web"), None);
    assert_eq!((agent.patches_done(), agent.commits().len()), (0, 0));
}

/// KU-10.
#[tokio::test]
async fn an_image_that_a_person_sets_while_an_approval_is_pending_supersedes_it() {
    let agent = Agent::start(Setup::with_approval()).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.push("shop/other", "7");
    let theirs = agent.stage.image("shop/other", "7");
    agent.person_sets_image("web", &theirs);
    let closed = agent.wait_for_phase("1.0.1", "Superseded").await;
    assert_eq!(text(&closed, "/reason/code"), "ImageMoved", "{closed:#}");
    let (status, _) = agent.vote("1.0.1", "approve").await;
    assert_eq!(status, StatusCode::CONFLICT);
    agent.polls("shop/other", 3).await;
    assert_eq!(agent.deployment_image("web"), theirs);
    assert_eq!(agent.patches_done(), 0);
}

#[tokio::test]
async fn the_old_image_that_a_person_sets_back_stays_also_after_a_restart() {
    let mut agent = Agent::start(Setup::at_once()).await;
    let old = agent.deployment_image("web");
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
    agent.person_sets_image("web", &old);
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.deployment_image("web"), old);
    agent.kill_and_begin().await;
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.deployment_image("web"), old);
    assert_eq!((agent.patches_done(), agent.commits().len()), (1, 1));

    // What is newer than the image that was taken back is no longer the person's matter.
    agent.push("shop/web", "1.0.2");
    // Git still declares 1.0.1, which nobody but skeg wrote there.
    agent.wait_for_phase("1.0.2", "Done").await;
    assert_eq!(agent.commits().len(), 2);
    assert!(agent.stage.declared("shop/web.yaml").contains(&format!("image: {} # set by skeg", agent.deployment_image("web"))));
}

#[tokio::test]
async fn an_image_that_a_person_sets_while_the_new_one_is_being_committed_stays() {
    let mut agent = Agent::start(Setup::of([Workload::new("web", "shop/web", "1.0.0").directive("policy", "all")])).await;
    for _ in 0..3 {
        agent.stage.remote.fail_next(GitRequest::FetchRefs, GitFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    }
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Recording").await;
    // Older than everything that skeg replaced.
    agent.push("shop/web", "0.9.0");
    let theirs = agent.stage.image("shop/web", "0.9.0");
    agent.person_sets_image("web", &theirs);
    let end = agent
        .wait_for("the update has closed", async || agent.update_to("1.0.1").await.filter(|update| update["binding"].is_object()))
        .await;
    assert!(["Done", "Unrecorded"].contains(&text(&end, "/phase")), "{end:#}");
    for _ in 0..2 {
        agent.polls("shop/web", 3).await;
        assert_eq!(agent.deployment_image("web"), theirs);
        agent.kill_and_begin().await;
    }
    assert_eq!(agent.patches_done(), 1);
}

#[tokio::test]
async fn an_undo_over_two_revisions_stays_also_after_a_restart() {
    let mut agent = Agent::start(Setup::at_once()).await;
    let old = agent.deployment_image("web");
    for tag in ["1.0.1", "1.0.2"] {
        agent.push("shop/web", tag);
        agent.wait_for_phase(tag, "Done").await;
    }
    // `kubectl rollout undo --to-revision=1` brings back the annotations of that revision as well: there was no mark yet.
    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/last-update": null}}}));
    agent.person_sets_image("web", &old);
    for _ in 0..2 {
        agent.polls("shop/web", 3).await;
        assert_eq!(agent.deployment_image("web"), old);
        agent.kill_and_begin().await;
    }
    assert_eq!(agent.patches_done(), 2);
}

#[tokio::test]
async fn the_old_image_that_a_person_set_back_while_skeg_was_down_stays() {
    let mut agent = Agent::start(Setup::at_once()).await;
    let old = agent.deployment_image("web");
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
    agent.kill().await;
    agent.person_sets_image("web", &old);
    agent.begin_and_wait().await;
    agent.polls("shop/web", 3).await;
    assert_eq!(agent.deployment_image("web"), old);
    assert_eq!(agent.patches_done(), 1);
}

/// GI-01, from the registry to the branch.
#[tokio::test]
async fn a_push_that_a_person_overtakes_is_made_again_on_top_of_theirs() {
    let agent = Agent::start(Setup::at_once()).await;
    agent.stage.remote.before_next(GitRequest::Push, |repository| {
        repository.commit("README", b"hello\n", PERSON, "Say hello").unwrap();
    });
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
    let log = agent.stage.remote.repository().log().unwrap();
    assert_eq!(log.len(), 3, "{log:#?}");
    assert_eq!(log[1].subject, "Say hello");
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(agent.stage.declared("README"), "hello\n");
    assert!(agent.stage.declared("shop/web.yaml").contains(&format!("image: {} # set by skeg", agent.deployment_image("web"))));
}

/// GI-08, from the registry to the branch.
#[tokio::test]
async fn a_line_that_a_person_changes_between_read_and_push_is_theirs() {
    let agent = Agent::start(Setup::at_once()).await;
    let theirs = agent.stage.declared("shop/web.yaml").replace(":1.0.0", ":0.9.0");
    let text_of_theirs = theirs.clone();
    agent.stage.remote.before_next(GitRequest::Push, move |repository| {
        repository.commit("shop/web.yaml", theirs.as_bytes(), PERSON, "Go back to 0.9.0").unwrap();
    });
    agent.push("shop/web", "1.0.1");
    let closed = agent.wait_for_phase("1.0.1", "Unrecorded").await;
    assert_eq!(text(&closed, "/reason/code"), "GitMoved", "{closed:#}");
    assert_eq!(agent.stage.declared("shop/web.yaml"), text_of_theirs);
    assert_eq!(agent.commits().len(), 0);
}

#[tokio::test]
async fn an_unrecorded_update_is_recorded_by_a_retry_once_a_person_has_mended_the_file() {
    let agent = Agent::start(Setup::at_once()).await;
    let declared = agent.stage.declared("shop/web.yaml");
    let repository = agent.stage.remote.repository();
    repository.commit("shop/web.yaml", declared.replace(":1.0.0", ":0.9.0").as_bytes(), PERSON, "Go back").unwrap();
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Unrecorded").await;
    let generation = agent.deployment("web")["metadata"]["generation"].clone();
    repository.commit("shop/web.yaml", declared.as_bytes(), PERSON, "Go forward").unwrap();
    assert_eq!(agent.vote("1.0.1", "retry").await.0, StatusCode::OK);
    let done = agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(done["attempt"], 2);
    assert_eq!(agent.commits().len(), 1);
    assert_eq!(agent.deployment("web")["metadata"]["generation"], generation, "nothing is rolled out again");
    assert_eq!(agent.patches_done(), 1);
    let (status, answer): (StatusCode, Value) = agent.vote("1.0.1", "retry").await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
}
