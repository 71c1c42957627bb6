//! Two replicas: one leads, by a lease; the other stands by and takes over. Whatever the first had under way then, there is one result.

/// What a replica explains that does not lead.
mod explained;
/// HA-02: what a leader that was stopped sends late.
mod late;
/// The two, and what they stand on.
mod pair;
/// Two replicas use the rights of two.
mod rights;
/// Clicks in Slack, whichever replica they come to.
mod slack;
/// HA-01: both start at once.
mod together;

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use pair::{Pair, Plane, told};

use crate::support::agent::{API_TOKEN, Agent, HOOK_TOKEN, NAMESPACE, Setup};

/// How often a hand-over is measured.
const RUNS: usize = 50;
/// Says how often it is on a real API server, one after another.
const REAL_RUNS: &str = "SKEG_TEST_HANDOVERS";

fn real_runs() -> usize {
    std::env::var(REAL_RUNS).ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// The one that leads is told to end, and the other one leads; `Instant`s are of the signal and of the first answer that says so.
async fn planned(plane: Plane, runs: usize) -> Option<Vec<Duration>> {
    let mut pair = Pair::raise(plane, "15s").await?;
    pair.deploy().await;
    pair.start(0).await;
    pair.leads(0).await;
    let mut took = Vec::new();
    for run in 0..runs {
        let (old, new) = (run % 2, (run + 1) % 2);
        pair.start(new).await;
        pair.stands_by(new).await;
        let begun = Instant::now();
        pair.replicas[old].as_ref().unwrap().terminate();
        pair.leads(new).await;
        took.push(begun.elapsed());
        let (status, _) = pair.replicas[old].as_mut().unwrap().ended().await;
        assert!(status.success(), "{status:?}");
    }
    Some(took)
}

/// With a lease of fifteen seconds: nobody waits for it to run out.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_ends_hands_over_at_once() {
    let embedded = join_all((0..5).map(|_| planned(Plane::Embedded, RUNS / 5))).await;
    let most = told("a planned hand-over", embedded.into_iter().flatten().flatten().collect());
    assert!(most < Duration::from_secs(7), "half of the lease: {most:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_on_a_real_api_server_hands_over_at_once() {
    let Some(took) = planned(Plane::Real, real_runs()).await else { return };
    let most = told("a planned hand-over on a real API server", took);
    assert!(most < Duration::from_secs(7), "half of the lease: {most:?}");
}

async fn killed(plane: Plane, runs: usize) -> Option<Vec<Duration>> {
    let mut pair = Pair::raise(plane, "1s").await?;
    pair.deploy().await;
    pair.start(0).await;
    pair.leads(0).await;
    let mut took = Vec::new();
    for run in 0..runs {
        let (old, new) = (run % 2, (run + 1) % 2);
        pair.start(new).await;
        pair.stands_by(new).await;
        let begun = Instant::now();
        pair.replicas[old].take().unwrap().kill().await;
        pair.leads(new).await;
        took.push(begun.elapsed());
    }
    Some(took)
}

/// kill -9, with a lease of one second: the other one leads after that second, and a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_killed_is_followed_when_its_lease_has_run_out() {
    let embedded = join_all((0..5).map(|_| killed(Plane::Embedded, RUNS / 5))).await;
    let most = told("after a kill, with a lease of 1 s", embedded.into_iter().flatten().flatten().collect());
    assert!(most < Duration::from_secs(10), "{most:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_on_a_real_api_server_is_followed() {
    let Some(took) = killed(Plane::Real, real_runs()).await else { return };
    let most = told("after a kill on a real API server, with a lease of 1 s", took);
    assert!(most < Duration::from_secs(10), "{most:?}");
}

/// A whole agent that leads, and beside it a second replica of the program that stands by.
struct Standby {
    agent: Agent,
    daemon: crate::support::daemon::Daemon,
}

impl Standby {
    async fn raise(setup: Setup) -> Self {
        let agent = Agent::start(setup).await;
        let file = agent.stage.config_file();
        let text = std::fs::read_to_string(&file).unwrap();
        let text =
            text.replace("[cluster]", "[telemetry]\nlog = \"json\"\n\n[cluster]\nreplica = \"skeg-b\"").replace("\"cache\"", "\"cache-b\"");
        let other = file.with_file_name("skeg-b.toml");
        std::fs::write(&other, text).unwrap();
        let daemon = crate::support::daemon::Daemon::start(&other).await;
        let standby = Self { agent, daemon };
        let led = async || standby.get("/v1/status").await["lead"].is_object();
        standby.agent.until("the second replica knows who leads", led).await;
        standby
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.daemon.private);
        reqwest::Client::builder().no_proxy().build().unwrap().get(url).bearer_auth(API_TOKEN).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, url: String, token: &str, body: Value) -> (u16, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(url).bearer_auth(token).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn order(&self, path: &str, body: Value) -> (u16, Value) {
        self.post(format!("http://{}{path}", self.daemon.private), API_TOKEN, body).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_given_to_the_standby_is_counted_by_the_leader_and_shown_by_both() {
    let both = Standby::raise(Setup::with_approval()).await;
    both.agent.push("shop/web", "1.0.1");
    let held = both.agent.wait_for_phase("1.0.1", "Held").await;
    let path = format!("/v1/updates/{NAMESPACE}/{}", held["name"].as_str().unwrap());
    let shown = async || (both.get(&path).await["phase"] == "Held").then_some(());
    both.agent.wait_for("the standby shows the record", shown).await;
    let (code, view) = both.order(&format!("{path}/approve"), json!({"reason": "by way of the other"})).await;
    assert_eq!((code, &view["votes"][0]["voter"]), (200, &json!("user:ops")), "{view}");
    both.agent.wait_for_phase("1.0.1", "Done").await;
    let done = async || (both.get(&path).await["phase"] == "Done").then_some(());
    both.agent.wait_for("the standby shows how it ended", done).await;
    assert_eq!((both.agent.patches_done(), both.agent.commits().len()), (1, 1));
    assert_eq!(both.get("/v1/images").await["images"][0]["reason"]["code"], "Standby");
    let (code, view) = both.order(&format!("{path}/reject"), json!({})).await;
    assert_eq!(code, 409, "decided already, whoever is asked: {view}");
}

/// SL-04, by the API: a yes to one replica and a no to the other in one moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_to_one_replica_and_a_no_to_the_other_have_one_outcome() {
    let both = Standby::raise(Setup::with_approval()).await;
    both.agent.push("shop/web", "1.0.1");
    let held = both.agent.wait_for_phase("1.0.1", "Held").await;
    let path = format!("/v1/updates/{NAMESPACE}/{}", held["name"].as_str().unwrap());
    let (yes, no) = (format!("{path}/approve"), format!("{path}/reject"));
    let (yes, no) = tokio::join!(both.agent.order(&yes, json!({})), both.order(&no, json!({})));
    let taken = [yes.0.as_u16(), no.0].iter().filter(|code| **code == 200).count();
    assert_eq!(taken, 1, "{yes:?} {no:?}");
    let phase = if no.0 == 200 { "Rejected" } else { "Done" };
    let ended = both.agent.wait_for_phase("1.0.1", phase).await;
    assert_eq!(ended["votes"].as_array().unwrap().len(), 1, "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_a_webhook_given_to_the_standby_reach_the_leader() {
    let both = Standby::raise(Setup::at_once().without_polls()).await;
    both.agent.wait_for_image("web", "current").await;
    let (code, view) = both.order("/v1/pause", json!({"all": true, "reason": "freeze"})).await;
    assert_eq!((code, &view["reason"]), (200, &json!("freeze")), "{view}");
    assert_eq!(both.agent.get("/v1/status").await["pauses"][0]["reason"], "freeze");
    both.agent.push("shop/web", "1.0.1");
    let name = format!("{}/shop/web", both.agent.stage.registry.address());
    let url = format!("http://{}/v1/webhooks/native", both.daemon.public);
    let (code, taken) = both.post(url.clone(), HOOK_TOKEN, json!({"name": name, "tag": "1.0.1"})).await;
    assert_eq!((code, &taken["hints"]), (200, &json!(1)), "{taken}");
    both.agent.wait_for_phase("1.0.1", "Held").await;
    let (code, _) = both.post(url, "another token", json!({"name": name, "tag": "1.0.1"})).await;
    assert_eq!(code, 401, "who may not post may not post to a standby either");
    let (code, _) = both.order("/v1/resume", json!({"all": true})).await;
    assert_eq!(code, 200);
    both.agent.wait_for_phase("1.0.1", "Done").await;
}

/// The leader is killed, and a delivery comes before the lease has run out: it waits, and is a hint for whoever leads next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_comes_while_nobody_leads_waits() {
    let setup = Setup { more: "", ..Setup::at_once().without_polls() };
    let mut both = Standby::raise(setup).await;
    both.agent.wait_for_image("web", "current").await;
    both.agent.push("shop/web", "1.0.1");
    both.agent.kill().await;
    let name = format!("{}/shop/web", both.agent.stage.registry.address());
    let url = format!("http://{}/v1/webhooks/native", both.daemon.public);
    let (code, _) = both.post(url, HOOK_TOKEN, json!({"name": name, "tag": "1.0.1"})).await;
    assert_eq!(code, 200);
    let (code, answer) = both.order("/v1/pause", json!({"all": true})).await;
    assert_eq!((code, &answer["error"]), (503, &json!("unavailable")), "an order is not kept: {answer}");
    let done = async || {
        let updates = both.get("/v1/updates").await["updates"].as_array().unwrap().clone();
        updates.iter().any(|update| update["phase"] == "Done").then_some(())
    };
    both.agent.wait_for("the update is done", done).await;
    assert_eq!(both.agent.patches_done(), 1);
}

/// Renewals fail: the leader steps down in its process, and leads again when they are taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_renew_its_lease_steps_down_and_comes_back() {
    use skeg::embedded::kube::{Fault, Matcher};
    let agent = Agent::start_with_lease(Setup::with_approval(), Duration::from_secs(1)).await;
    let started = agent.get("/v1/status").await["started"].clone();
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.stage.kube.fail_next(Matcher::any().path("/leases"), Fault::Status(500, None), u32::MAX);
    let status = agent
        .wait_for("it has stepped down", async || Some(agent.get("/v1/status").await).filter(|status| status["leader"] == false))
        .await;
    assert_eq!(status["lead"], Value::Null);
    assert_eq!(agent.metrics("skeg_leader").await, ["skeg_leader 0"]);
    let (code, _) = agent.vote("1.0.1", "approve").await;
    assert_eq!(code, 503, "nobody leads");
    agent.stage.kube.clear_faults();
    let status =
        agent.wait_for("it leads again", async || Some(agent.get("/v1/status").await).filter(|status| status["leader"] == true)).await;
    assert_eq!(status["started"], started, "the same process");
    assert!(status["lead"]["epoch"].as_u64() > Some(1), "in a new term: {status}");
    let (code, _) = agent.vote("1.0.1", "approve").await;
    assert_eq!(code, 200);
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.patches_done(), 1);
    assert!(agent.records()[0]["status"]["epoch"].as_u64() > Some(1));
    agent.push("shop/web", "1.0.2");
    agent.wait_for_phase("1.0.2", "Held").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_observes_takes_no_lease() {
    let agent = Agent::start(Setup { mode: "observe", ..Setup::at_once() }).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_image("web", "heldBack").await;
    assert_eq!(agent.stage.kube.all("coordination.k8s.io/v1", "Lease"), Vec::<Value>::new());
    assert!(!agent.stage.kube.requests().iter().any(|request| request.path.contains("/leases")));
}
