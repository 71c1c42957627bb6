//! A stop in the middle of the work: it is finished or recorded within ten seconds, and nothing is doubled after the next start.

use std::sync::mpsc;
use std::time::Duration;

use skeg::embedded::git::GitRequest;
use skeg::embedded::kube::{Fault, Matcher};

use crate::support::agent::{Agent, NAMESPACE, PATIENCE, Setup, Workload, text};

/// What is promised for a stop.
const STOP_MAX: Duration = Duration::from_secs(10);

/// SD-01, where what is in flight ends in time. A rollout takes its own time: nobody waits for it, and the next start follows it on.
#[tokio::test]
async fn a_push_that_is_in_flight_at_a_stop_is_waited_for_and_a_rollout_is_followed_on_after_it() {
    let workloads = [Workload::new("web", "shop/web", "1.0.0"), Workload::new("api", "shop/api", "1.0.0")];
    let mut agent = Agent::start(Setup::of(workloads)).await;
    let rollout_of_api = Matcher::any().method("GET").path("app%3Dapi");
    agent.stage.kube.fail_next(rollout_of_api.clone(), Fault::Hang, u32::MAX);
    agent.push("shop/api", "1.0.1");
    let is_followed = || agent.stage.kube.requests().iter().any(|seen| rollout_of_api.matches(&seen.method, &seen.path));
    agent.until("the rollout of api is followed", async || is_followed()).await;
    let (release, released) = mpsc::channel::<()>();
    let (tell, mut arrived) = tokio::sync::oneshot::channel();
    agent.stage.remote.before_next(GitRequest::Push, move |_| {
        let _ = tell.send(());
        let _ = released.recv_timeout(PATIENCE);
    });
    agent.push("shop/web", "1.0.1");
    agent.wait_for_workload("web", "Recording").await;
    tokio::time::timeout(PATIENCE, &mut arrived).await.unwrap().unwrap();
    agent.ask_to_stop();
    release.send(()).unwrap();
    assert!(agent.stop().await < STOP_MAX);
    assert_eq!(agent.commits().len(), 1);
    let phase_of = |agent: &Agent, name: &str| {
        let records = agent.records();
        let record = records.iter().find(|record| text(record, "/spec/workload/name") == name).expect("it has a record");
        text(record, "/status/phase").to_owned()
    };
    assert_eq!((&*phase_of(&agent, "web"), &*phase_of(&agent, "api")), ("Done", "Verifying"), "it is known what came of it");

    agent.stage.kube.clear_faults();
    agent.begin_and_wait().await;
    agent.wait_for_workload("api", "Done").await;
    agent.polls("shop/web", 2).await;
    assert_eq!((agent.patches_done(), agent.commits().len(), agent.records().len()), (2, 2, 2));
}

/// SD-01, where it does not.
#[tokio::test]
async fn a_patch_and_a_push_that_never_end_do_not_hold_up_a_stop_and_are_made_once_after_it() {
    let workloads = [Workload::new("web", "shop/web", "1.0.0"), Workload::new("api", "shop/api", "1.0.0")];
    let mut agent = Agent::start(Setup::of(workloads)).await;
    agent.stage.kube.fail_next(Matcher::any().method("PATCH").path("/deployments/web"), Fault::Hang, u32::MAX);
    let (release, released) = mpsc::channel::<()>();
    agent.stage.remote.before_next(GitRequest::Push, move |_| {
        let _ = released.recv_timeout(PATIENCE);
    });
    agent.push("shop/web", "1.0.1");
    agent.push("shop/api", "1.0.1");
    agent.wait_for_workload("api", "Recording").await;
    agent.wait_for_workload("web", "Applying").await;
    let push = |path: &str| path.ends_with("/git-receive-pack");
    agent.until("the push is on its way", async || agent.stage.remote.requests().iter().any(|seen| push(&seen.path))).await;
    assert!(agent.stop().await < STOP_MAX);

    release.send(()).unwrap();
    agent.stage.kube.clear_faults();
    agent.begin_and_wait().await;
    agent.wait_for_workload("web", "Done").await;
    agent.wait_for_workload("api", "Done").await;
    assert_eq!(agent.patches_done(), 2, "one each");
    let commits = agent.commits();
    assert_eq!(commits.len(), 2, "{commits:#?}");
    assert_eq!(agent.records().len(), 2);
}

fn records() -> Matcher {
    Matcher::any().path("/imageupdates")
}

#[tokio::test]
async fn what_could_not_be_recorded_before_a_stop_is_written_while_it_stops() {
    let mut agent = Agent::start(Setup::with_approval()).await;
    agent.stage.kube.fail_next(records(), Fault::Status(503, None), u32::MAX);
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.until("the record was tried", async || agent.get("/v1/status").await["degraded"].to_string().contains("cannot be written")).await;
    agent.ask_to_stop();
    agent.stage.kube.clear_faults();
    assert!(agent.stop().await < STOP_MAX);
    assert_eq!(agent.records().len(), 1);
}

#[tokio::test]
async fn a_stop_with_something_unrecorded_is_no_good_end_and_loses_nothing() {
    let mut agent = Agent::start(Setup::with_approval()).await;
    agent.stage.kube.fail_next(records(), Fault::Status(503, None), u32::MAX);
    agent.push("shop/web", "1.0.1");
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    let (took, ended) = agent.stop_in_any_way().await;
    assert!(took < STOP_MAX, "{took:?}");
    let error = ended.expect_err("the record is not written");
    assert!(error.contains(&format!("{NAMESPACE}/{}", text(&held, "/name"))), "{error}");

    agent.stage.kube.clear_faults();
    agent.begin_and_wait().await;
    assert_eq!(text(&agent.wait_for_phase("1.0.1", "Held").await, "/name"), text(&held, "/name"));
}
