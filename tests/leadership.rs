//! Two replicas: one leads, by a lease; the other stands by and takes over. Whatever the first had under way then, there is one result.

/// The two, and what they stand on.
mod pair;

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use pair::{Pair, Plane, told};

use crate::support::agent::{API_TOKEN, Agent, HOOK_TOKEN, NAMESPACE, Setup};
use crate::support::gate::{Passing, Point};

/// How often a hand-over is measured.
const RUNS: usize = 50;
/// Says how often it is on a real API server, one after another.
const REAL_RUNS: &str = "SKEG_TEST_HANDOVERS";

fn real_runs() -> usize {
    std::env::var(REAL_RUNS).ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

fn is_patch(passing: &Passing) -> bool {
    passing.method == "PATCH" && passing.path.contains("/deployments/")
}

fn transitions(lease: &Value) -> i64 {
    lease["spec"]["leaseTransitions"].as_i64().unwrap()
}

/// HA-01: started together again and again, with nobody holding the lease.
async fn one_of_two_acts(plane: Plane, starts: usize) -> Option<()> {
    let mut pair = Pair::raise(plane, "15s").await?;
    pair.deploy().await;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/skeg", pair.own);
    for start in 1..=starts {
        pair.push(&format!("1.0.{start}"));
        // A person starts the workload anew, so that each start finds one of its own with everything to be done.
        if start > 1 {
            let web = format!("/apis/apps/v1/namespaces/{}/deployments/web", pair.namespace);
            let _ = pair.admin.delete(&web).await;
            pair.until("it is gone", async || (pair.admin.get(&web).await.code == 404).then_some(())).await;
            for record in pair.records().await {
                let record = record["metadata"]["name"].as_str().unwrap();
                let _ = pair.admin.delete(&format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates/{record}", pair.namespace)).await;
            }
            let _ = pair.admin.delete(&path).await;
            pair.deploy().await;
        }
        // Both in one moment.
        pair.start_both().await;
        let record = pair.in_phase(&["Verifying", "Recording", "Done"]).await;
        let (image, mark, generation) = pair.shown().await;
        assert_eq!((image, generation), (pair.image(&format!("1.0.{start}")), 2), "patched once");
        let epoch = transitions(&pair.lease().await);
        assert_eq!(mark, format!("{} {epoch}", record["metadata"]["name"].as_str().unwrap()));
        assert_eq!(record["status"]["epoch"], epoch);
        let mut leaders = 0;
        for replica in [0, 1] {
            leaders += usize::from(pair.status(replica).await.unwrap()["leader"] == true);
        }
        assert_eq!(leaders, 1);
        for replica in &mut pair.replicas {
            replica.take().unwrap().kill().await;
        }
    }
    Some(())
}

/// A hundred starts, in four clusters beside each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_replicas_that_start_together_one_acts() {
    join_all((0..4).map(|_| one_of_two_acts(Plane::Embedded, 25))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_on_a_real_api_server_one_acts() {
    one_of_two_acts(Plane::Real, 5).await;
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

/// What the second leader has done when the first one's patch arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Late {
    /// It has patched the workload itself.
    AfterPatch,
    /// It is about to.
    BeforePatch,
    /// It has found that the tag has moved, and closed the update.
    AfterClosing,
}

/// HA-02: the leader is stopped with its patch on the way, and goes on when another one has taken over.
async fn stopped(plane: Plane, late: Late) -> Option<()> {
    let mut pair = Pair::raise(plane, "4s").await?;
    pair.deploy().await;
    pair.start(0).await;
    pair.leads(0).await;
    pair.start(1).await;
    pair.stands_by(1).await;
    let mut first = pair.gates[0].hold(Point::Before, is_patch);
    let second = (late == Late::BeforePatch).then(|| pair.gates[1].hold(Point::Before, is_patch));
    pair.push("1.0.1");
    first.reached().await;
    pair.replicas[0].as_ref().unwrap().signal("STOP");
    let (image, phases): (String, &[&str]) = match late {
        Late::AfterPatch | Late::BeforePatch => (pair.image("1.0.1"), &["Verifying", "Recording", "Done"]),
        Late::AfterClosing => (pair.image("1.0.0"), &["Superseded"]),
    };
    let is_over = |record: &Value| phases.contains(&record["status"]["phase"].as_str().unwrap());
    let over = async || pair.records().await.into_iter().find(is_over);
    // Kept to the end: what the second leader decides next is not looked at here.
    let mut _next = None;
    match late {
        Late::BeforePatch => {
            let mut second = second.expect("it is held");
            second.reached().await;
            first.release().await.unwrap();
            second.release().await.unwrap();
        }
        Late::AfterPatch => {
            pair.until("the second leader has patched", &over).await;
            first.release().await.unwrap();
        }
        Late::AfterClosing => {
            // Another image under the same name: what was decided on is not what people would get.
            _next = Some(pair.gates[1].hold(Point::Before, |passing| is_patch(passing) && passing.body.contains(":1.0.1")));
            pair.push("1.0.1");
            pair.until("the second leader has closed the update", &over).await;
            first.release().await.unwrap();
        }
    }
    let record = pair.until("it is recorded", &over).await;
    let before = pair.shown().await;
    // One write of the workload moves the generation by one, be it of the mark alone.
    assert_eq!((&before.0, before.2), (&image, 2), "{late:?}: one result");
    // The first one goes on, finds that it has lost its lease, and changes nothing.
    pair.replicas[0].as_ref().unwrap().signal("CONT");
    pair.stands_by(0).await;
    assert_eq!(pair.shown().await, before, "{late:?}");
    let name = record["metadata"]["name"].as_str().unwrap();
    let (marked, epoch) = before.1.split_once(' ').unwrap();
    assert_eq!(marked, if late == Late::AfterClosing { "none" } else { name });
    assert_eq!(epoch == "1", late == Late::BeforePatch, "whose patch it was: {epoch}");
    assert!(record["status"]["epoch"].as_u64() > Some(1), "{record}");
    let log = pair.replicas[0].as_ref().unwrap().log();
    assert!(log.iter().any(|line| line.contains("does not lead any more")), "{log:#?}");
    Some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_stopped_leader_sends_late_is_fenced_off() {
    join_all([Late::AfterPatch, Late::BeforePatch, Late::AfterClosing].map(|late| stopped(Plane::Embedded, late))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_stopped_leader_sends_late_is_fenced_off_by_a_real_api_server() {
    join_all([Late::AfterPatch, Late::BeforePatch, Late::AfterClosing].map(|late| stopped(Plane::Real, late))).await;
}

/// The leader is stopped with the record of a vote on the way, and that arrives when another one has taken over: the vote is not lost, and
/// there is one patch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_leader_records_late_is_taken_up() {
    let mut pair = Pair::raise(Plane::Embedded, "4s").await.unwrap();
    let directives =
        json!({"skeg.dev/policy": "patch", "skeg.dev/pin": "tag", "skeg.dev/approvals": "1", "skeg.dev/approvers": "user:ops"});
    pair.deploy_as(&directives).await;
    pair.start(0).await;
    pair.leads(0).await;
    pair.start(1).await;
    pair.stands_by(1).await;
    pair.push("1.0.1");
    let held = pair.in_phase(&["Held"]).await;
    let name = held["metadata"]["name"].as_str().unwrap().to_owned();
    let is_vote =
        |passing: &Passing| passing.method == "PUT" && passing.path.contains("/imageupdates/") && passing.body.contains("\"verdict\"");
    let mut vote = pair.gates[0].hold(Point::Before, is_vote);
    let asked = async {
        tokio::join!(pair.approve(0, &name), async {
            vote.reached().await;
            pair.replicas[0].as_ref().unwrap().signal("STOP");
            pair.leads(1).await;
            vote.release().await.unwrap();
            // The second leader knows nothing of it until it writes the record itself.
            let code = pair.approve(1, &name).await;
            pair.replicas[0].as_ref().unwrap().signal("CONT");
            code
        })
    };
    let (first, second) = asked.await;
    assert_ne!(first, 200, "whoever does not lead any more tells nobody that a vote counts");
    assert_eq!(second, 409, "it was decided before: look at it and ask again");
    let record = pair.in_phase(&["Verifying", "Recording", "Done"]).await;
    assert_eq!(record["status"]["votes"].as_array().unwrap().len(), 1);
    assert!(record["status"]["epoch"].as_u64() > Some(1), "{record}");
    assert_eq!(pair.shown().await.2, 2, "patched once");
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
