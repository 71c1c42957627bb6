//! What skeg does not do, and how it goes on when a part of the world is away.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use skeg::core::update::FORBIDDEN_MAX;
use skeg::embedded::git::{GitFault, GitRequest};
use skeg::embedded::kube;
use skeg::embedded::registry::{Fault, Matcher, Operation};
use skeg::http::desk::{Desk as _, Readiness};

use crate::support::agent::{Agent, Setup, Stage, Workload, text};
use crate::support::outside::{Outside, Place, Running};

/// More than any test asks for.
const ALWAYS: u32 = u32::MAX;

#[tokio::test]
async fn in_observe_mode_the_candidate_is_told_and_nothing_is_written() {
    let agent = Agent::start(Setup { mode: "observe", ..Setup::at_once() }).await;
    agent.push("shop/web", "1.0.1");
    let digest = agent.push("shop/web", "1.0.2");
    let candidate = json!({"tag": "1.0.2", "digest": digest});
    agent.until("the newest tag is the candidate", async || agent.image_view("web").await["candidate"] == candidate).await;
    agent.wait_for_image("web", "heldBack").await;
    let behind = [r#"skeg_tags_behind{namespace="shop"} 2"#];
    agent.until("it is counted", async || agent.metrics("skeg_tags_behind").await == behind).await;
    agent.polls("shop/web", 2).await;
    let writes: Vec<_> = agent.stage.kube.requests().into_iter().filter(|request| request.method != "GET").collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(agent.commits().len(), 0);
    let (status, _) = agent.order("/v1/pause", json!({"all": true})).await;
    assert_ne!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_workload_of_a_gitops_controller_is_held_and_not_patched() {
    let web = Workload::new("web", "shop/web", "1.0.0").annotation("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/web");
    let agent = Agent::start(Setup::of([web])).await;
    agent.push("shop/web", "1.0.1");
    let held = agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(text(&held, "/reason/code"), "NoGitRemote", "{held:#}");
    agent.polls("shop/web", 2).await;
    assert_eq!((agent.patches().len(), agent.commits().len()), (0, 0));
}

#[tokio::test]
async fn a_wrong_directive_is_told_on_the_workload_though_the_first_tries_fail() {
    let agent = Agent::start(Setup::at_once()).await;
    let events = || kube::Matcher::any().method("POST").path("/events");
    agent.stage.kube.fail_next(events(), kube::Fault::Status(503, None), 2);
    agent.stage.kube.fail_next(events(), kube::Fault::Close, 1);
    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/polcy": "all"}}}));
    let note = agent
        .wait_for("the Event is written", async || {
            let events = agent.stage.kube.all("v1", "Event");
            events.iter().find(|event| event["reason"] == "DirectiveError").map(|event| text(event, "/message").to_owned())
        })
        .await;
    assert!(note.contains("skeg.dev/polcy") && note.contains("policy"), "{note}");
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_told_disturbs_no_other_and_comes_back() {
    let workloads = [Workload::new("web", "shop/web", "1.0.0"), Workload::new("api", "shop/api", "1.0.0")];
    let agent = Agent::start(Setup::of(workloads)).await;
    let broken = Matcher::of(Operation::Tags).in_repository("shop/web").always();
    agent.stage.registry.fail_next(broken, Fault::Html);
    agent.push("shop/web", "1.0.1");
    agent.push("shop/api", "1.0.1");
    let view = agent.wait_for_image("web", "degraded").await;
    assert!(view["errors"].to_string().contains("shop/web"), "{view:#}");
    agent.wait_for_workload("api", "Done").await;
    let registry = agent.get("/v1/status").await["registries"][0].clone();
    assert_eq!(registry["state"], "ok", "the other repository can be read: {registry:#}");
    assert!(text(&registry, "/detail").starts_with("1 of 2 repositories cannot be read, the first since "), "{registry:#}");
    assert!(agent.deployment_image("web").ends_with(":1.0.0"));

    agent.stage.registry.clear_faults();
    agent.wait_for_workload("web", "Done").await;
    assert!(agent.deployment_image("web").ends_with(":1.0.1"));
}

#[tokio::test]
async fn a_hundred_thousand_tags_are_one_list_like_any_other() {
    let agent = Agent::start(Setup::at_once().without_polls()).await;
    agent.wait_for_image("web", "current").await;
    let digest = agent.stage.registry.digest_of("shop/web", "1.0.0").unwrap();
    for build in 0..100_000 {
        agent.stage.registry.retag("shop/web", &format!("0.9.{build}"), &digest).unwrap();
    }
    agent.push("shop/web", "1.0.1");
    assert!(agent.deliver_webhook("shop/web", "1.0.1").await.is_success());
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.patches_done(), 1);
}

#[tokio::test]
async fn a_git_remote_that_is_away_is_told_and_written_to_when_it_is_back() {
    let agent = Agent::start(Setup::at_once()).await;
    for _ in 0..100 {
        agent.stage.remote.fail_next(GitRequest::FetchRefs, GitFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    }
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Recording").await;
    agent.until("the remote is told to be degraded", async || agent.get("/v1/status").await["remotes"][0]["state"] == "degraded").await;
    assert!(agent.is_ready().await, "a remote that is away does not stop skeg");

    agent.stage.remote.clear_plans();
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!((agent.patches_done(), agent.commits().len()), (1, 1));
}

#[tokio::test]
async fn a_git_remote_that_is_away_from_the_start_is_told_before_anything_is_to_be_written() {
    let stage = Stage::build(&Setup::at_once());
    for _ in 0..100 {
        stage.remote.fail_next(GitRequest::FetchRefs, GitFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    }
    let agent = Agent::start_unready(stage).await;
    let shown = async || agent.get("/v1/status").await["remotes"][0]["state"].clone();
    agent.until("skeg is ready", async || agent.is_ready().await).await;
    agent.clock.move_on(SignedDuration::from_secs(31));
    agent.until("the remote is told to be degraded", async || shown().await == "degraded").await;
    agent.stage.remote.clear_plans();
    agent.clock.move_on(SignedDuration::from_secs(31));
    agent.until("the remote is told to be well again", async || shown().await == "ok").await;
    assert_eq!(agent.commits().len(), 0);
}

#[tokio::test]
async fn a_receiver_whose_secret_is_lost_is_told_to_be_closed() {
    let agent = Agent::start(Setup::at_once()).await;
    let receiver = async || agent.get("/v1/status").await["receivers"][0].clone();
    assert_eq!(receiver().await["state"], "ok");
    agent.stage.write("hook", "");
    let closed = receiver().await;
    assert_eq!(closed["state"], "closed", "{closed:#}");
    assert!(text(&closed, "/detail").contains("hook"), "{closed:#}");
}

/// KU-12: held by name, handled never, the others as ever, and a restart changes nothing.
#[tokio::test]
async fn a_workload_with_a_wrong_directive_is_held_and_the_others_go_on() {
    let wrong = |name: &str, key: &str, value: &str| Workload::new(name, "shop/web", "1.0.0").directive(key, value);
    let nonsense = [("nonsense", "policy", "newest-ish"), ("unbalanced", "allow-tags", "regexp:(1.0"), ("misspelt", "aprovals", "1")];
    let workloads = nonsense.iter().map(|(name, key, value)| wrong(name, key, value)).chain([Workload::new("web", "shop/web", "1.0.0")]);
    let mut agent = Agent::start(Setup::of(workloads)).await;
    for tag in ["1.0.1", "1.0.2"] {
        agent.push("shop/web", tag);
        agent.until("the good one is updated", async || agent.deployment_image("web").ends_with(tag)).await;
        agent.polls("shop/web", 2).await;
        for (name, key, _) in nonsense {
            assert!(agent.deployment_image(name).ends_with(":1.0.0"), "{name}");
            let view = agent.wait_for_image(name, "degraded").await;
            assert!(view["errors"].to_string().contains(&format!("skeg.dev/{key}")), "{view:#}");
        }
        let errors = [r#"skeg_directive_errors{namespace="shop"} 3"#];
        agent.until("they are counted", async || agent.metrics("skeg_directive_errors").await == errors).await;
        agent.kill_and_begin().await;
    }
    agent.wait_for_phase("1.0.2", "Done").await;
    assert_eq!(agent.patches_done(), 2);
}

#[tokio::test]
async fn an_api_server_that_goes_away_in_the_middle_of_an_update_doubles_nothing_and_is_followed_again() {
    let [web, api] = ["web", "api"].map(|name| Workload::new(name, &format!("shop/{name}"), "1.0.0"));
    let agent = Agent::start(Setup::of([web, api.directive("policy", "never")])).await;
    agent.push("shop/web", "1.0.1");
    agent.until("the patch is made", async || agent.patches_done() == 1).await;
    agent.stage.kube.fail_next(kube::Matcher::any(), kube::Fault::Close, ALWAYS);
    agent.stage.kube.end_watches();
    let is_told = async || agent.get("/v1/status").await["watches"].to_string().contains("degraded");
    agent.until("the watches are told to be degraded", is_told).await;
    agent.person_merges("api", json!({"metadata": {"annotations": {"skeg.dev/policy": "patch"}}}));
    assert!(agent.is_ready().await, "not for a moment's sake");

    agent.stage.kube.clear_faults();
    agent.wait_for_phase("1.0.1", "Done").await;
    agent.push("shop/api", "1.0.1");
    agent.wait_for_workload("api", "Done").await;
    assert_eq!((agent.patches_done(), agent.commits().len(), agent.records().len()), (2, 2, 2));
    agent.until("the watches are well again", async || !is_told().await).await;
}

/// When the update of a record was rolling out, from and until.
fn rolled_out(record: &Value) -> (Timestamp, Timestamp) {
    let history = record["status"]["history"].as_array().unwrap();
    let at = |event: &str| history.iter().find(|entry| entry["event"] == event).map(|entry| text(entry, "/at").parse().unwrap());
    (at("applying").unwrap(), at("healthy").unwrap())
}

#[tokio::test]
async fn no_more_updates_roll_out_at_once_than_the_limit_says() {
    let names = ["web", "api", "job", "bot"];
    let workloads = names.map(|name| Workload::new(name, "shop/web", "1.0.0"));
    let agent = Agent::start(Setup { more: "[limits]\nin_flight = 1", ..Setup::of(workloads) }).await;
    agent.push("shop/web", "1.0.1");
    for name in names {
        agent.wait_for_workload(name, "Done").await;
    }
    let mut spans: Vec<_> = agent.records().iter().map(rolled_out).collect();
    spans.sort();
    assert_eq!(spans.len(), names.len());
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:#?}");
    assert_eq!(agent.patches_done(), names.len());
}

#[tokio::test]
async fn a_first_look_that_failed_is_made_again_long_before_the_next_poll() {
    let stage = Stage::build(&Setup::at_once().without_polls());
    stage.registry.fail_next(Matcher::of(Operation::Tags).in_repository("shop/web").always(), Fault::Html);
    let agent = Agent::start_unready(stage).await;
    agent.until("skeg is ready", async || agent.is_ready().await).await;
    agent.wait_for_image("web", "degraded").await;
    agent.stage.registry.clear_faults();
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
}

#[tokio::test]
async fn a_mended_mistake_is_looked_at_now_and_not_at_the_next_poll() {
    let web = Workload::new("web", "shop/web", "1.0.0").directive("policy", "ptach");
    let agent = Agent::start(Setup::of([web, Workload::new("api", "shop/web", "1.0.0")]).without_polls()).await;
    agent.wait_for_image("api", "current").await;
    agent.push("shop/web", "1.0.1");
    agent.person_merges("web", json!({"metadata": {"annotations": {"skeg.dev/policy": "patch"}}}));
    agent.wait_for_workload("web", "Done").await;
}

#[tokio::test]
async fn a_pause_stops_a_patch_that_the_cluster_would_not_take_yet() {
    let agent = Agent::start(Setup::at_once()).await;
    let patch = kube::Matcher::any().method("PATCH").path("/deployments/web");
    agent.stage.kube.fail_next(patch, kube::Fault::Status(503, None), ALWAYS);
    agent.push("shop/web", "1.0.1");
    agent.until("the patch is tried", async || !agent.patches().is_empty()).await;
    let (status, _) = agent.order("/v1/pause", json!({"all": true})).await;
    assert_eq!(status, StatusCode::OK);
    agent.stage.kube.clear_faults();
    let is_paused = |update: &Value| text(update, "/reason/message").contains("pause");
    agent.wait_for("the update tells the pause", async || agent.update_to("1.0.1").await.filter(is_paused)).await;
    assert_eq!(agent.patches_done(), 0);

    let (status, _) = agent.order("/v1/resume", json!({"all": true})).await;
    assert_eq!(status, StatusCode::OK);
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.patches_done(), 1);
}

/// What the API server forbids may be its start, or a role that a person mends.
#[tokio::test]
async fn a_patch_that_is_forbidden_is_told_and_made_when_it_is_allowed() {
    let agent = Agent::start(Setup::at_once()).await;
    let patch = || kube::Matcher::any().method("PATCH").path("/deployments/web");
    agent.stage.kube.fail_next(patch(), kube::Fault::Status(403, None), ALWAYS);
    agent.push_broken("shop/web", "1.0.1");
    let is_told = |update: &Value| text(update, "/reason/message").contains("forbidden");
    let told = async || agent.update_to("1.0.1").await.filter(is_told);
    let update = agent.wait_for("the update tells it", told).await;
    assert_eq!(update["phase"], "Applying", "{update:#}");
    assert!(agent.get("/v1/status").await["degraded"].to_string().contains("forbidden"), "{:#}", agent.get("/v1/status").await);
    let events = async || agent.stage.kube.all("v1", "Event").iter().filter(|event| event["reason"] == "Forbidden").count();
    agent.until("an Event tells it", async || events().await == 1).await;

    agent.stage.kube.clear_faults();
    agent.wait_for_phase("1.0.1", "Verifying").await;
    assert!(!agent.get("/v1/status").await["degraded"].to_string().contains("forbidden"));
    // The rollout fails, and is not put back until that is allowed.
    agent.stage.kube.fail_next(patch(), kube::Fault::Status(403, None), ALWAYS);
    let update = agent.wait_for("the update tells it", told).await;
    assert_eq!(update["phase"], "Restoring", "{update:#}");
    agent.stage.kube.clear_faults();
    agent.wait_for_phase("1.0.1", "RolledBack").await;
    assert!(agent.deployment_image("web").ends_with(":1.0.0"));
    assert_eq!(agent.patches_done(), 2);
}

#[tokio::test]
async fn a_patch_that_stays_forbidden_ends_after_the_time_that_was_told() {
    let agent = Agent::start(Setup::at_once().without_polls()).await;
    agent.wait_for_image("web", "current").await;
    let patch = kube::Matcher::any().method("PATCH").path("/deployments/web");
    agent.stage.kube.fail_next(patch, kube::Fault::Status(403, None), ALWAYS);
    agent.push("shop/web", "1.0.1");
    assert!(agent.deliver_webhook("shop/web", "1.0.1").await.is_success());
    agent.until("it is tried again", async || agent.patches().len() > 1).await;
    assert_eq!(agent.update_to("1.0.1").await.unwrap()["phase"], "Applying");
    agent.clock.move_on(SignedDuration::try_from(FORBIDDEN_MAX).unwrap());
    let end = agent.wait_for_phase("1.0.1", "Failed").await;
    assert!(text(&end, "/reason/message").contains("forbidden"), "{end:#}");
    assert_eq!((agent.patches_done(), agent.commits().len()), (0, 0));
}

impl Running {
    /// Waits until skeg is not ready for a reason that names this.
    async fn not_ready_because(&self, part: &str) {
        let names = |readiness: Readiness| matches!(readiness, Readiness::NotReady { why } if why.contains(part)).then_some(());
        self.wait_for(|_| names(self.desk.readiness())).await;
    }

    async fn ready(&self) {
        self.wait_for(|_| (self.desk.readiness() == Readiness::Ready).then_some(())).await;
    }
}

/// RS-01.
#[tokio::test]
async fn skeg_is_not_ready_while_records_cannot_be_written_for_long_and_goes_on_by_itself() {
    let outside = Outside::new(&[]).with_approval();
    outside.set_full(true);
    let running = Running::start(&outside);
    running.not_ready_because("space exceeded").await;
    assert_eq!(outside.met(Place::Show), 0, "nobody is asked for what is not durable");
    outside.set_full(false);
    running.ready().await;
    running.wait_for(|_| (outside.met(Place::Show) > 0).then_some(())).await;
}

#[tokio::test]
async fn skeg_is_not_ready_while_the_cluster_cannot_be_followed_for_long() {
    let outside = Outside::new(&[]);
    let running = Running::start(&outside);
    running.ready().await;
    outside.set_watched(false);
    running.not_ready_because("Deployments are not followed").await;
    outside.set_watched(true);
    running.ready().await;
}
