//! From a webhook to the patch, on an idle cluster.

#[path = "../tests/support/agent/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "it is the tests', who use all of it"
)]
mod agent;

use std::time::{Duration, Instant};

use agent::{Agent, NAMESPACE, Setup, Workload};
use serde_json::{Value, json};
use skeg::embedded::kube::EmbeddedKube;
use skeg::embedded::registry::OCI_MANIFEST;

use crate::report::{Goal, Report, median};

/// Rounds, each of which measures both in turns; a machine that is busy for a while spoils a few of them.
const ROUNDS: usize = 5;
/// Updates of each in a round.
const UPDATES: usize = 6;
/// Between two updates, so that one does not disturb the next.
const PAUSE: Duration = Duration::from_millis(200);

pub fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rounds = runtime.block_on(rounds());
    for (skeg, floor) in &rounds {
        let (skeg, floor) = (median(skeg.clone()), median(floor.clone()));
        eprintln!("  a round: {skeg:.2?}, {floor:.2?}, {:.2} times", skeg.as_secs_f64() / floor.as_secs_f64());
    }
    let (skeg, floor): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    let goal = Some(Goal::TimesFloor(1.3));
    report.add_time("webhook to patch, settle = 0", median(skeg.concat()), (median(floor.concat()), "HEAD, create, PATCH"), goal);
}

/// For each round skeg's times, and those of the three requests it cannot do without.
async fn rounds() -> Vec<(Vec<Duration>, Vec<Duration>)> {
    let names: Vec<String> = (0..=ROUNDS * UPDATES).map(|at| format!("web-{at}")).collect();
    let workload = |name: &String| Workload::new(name, &format!("shop/{name}"), "1.0.0").directive("write-back", "off");
    let other = |name: &String| Workload::new(&format!("by-hand-{name}"), "shop/by-hand", "1.0.0").directive("policy", "never");
    let workloads = names.iter().map(workload).chain(names.iter().map(other));
    // Controllers and pods would keep the machine busy with what is not measured.
    let setup = Setup { more: "[limits]\nin_flight = 1000\n", rolls_out: false, ..Setup::of(workloads) };
    let agent = Agent::start(setup.without_polls()).await;
    for name in &names {
        // As in a skeg that has run for a while: every repository was polled.
        agent.wait_for_image(name, "current").await;
        agent.push(&format!("shop/{name}"), "1.0.1");
    }
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (first, measured) = names.split_first().expect("there is one");
    // Connections are made, and there is a record to copy.
    by_skeg(&agent, first).await;
    by_hand(&client, &agent, first).await;
    let mut rounds = Vec::new();
    for (number, names) in measured.chunks(UPDATES).enumerate() {
        let (mut skeg, mut floor) = (Vec::new(), Vec::new());
        for name in names {
            // Each comes first in every other round.
            for turn in 0..2 {
                tokio::time::sleep(PAUSE).await;
                if (number + turn) % 2 == 0 {
                    skeg.push(by_skeg(&agent, name).await);
                } else {
                    floor.push(by_hand(&client, &agent, name).await);
                }
            }
        }
        rounds.push((skeg, floor));
    }
    rounds
}

async fn by_skeg(agent: &Agent, name: &str) -> Duration {
    let repository = format!("shop/{name}");
    let begun = Instant::now();
    assert!(agent.deliver_webhook(&repository, "1.0.1").await.is_success());
    let is_patched = |kube: &EmbeddedKube| image(kube.get("apps/v1", "Deployment", NAMESPACE, name)).contains("1.0.1");
    let patched = agent.stage.kube.until(is_patched);
    tokio::time::timeout(agent::PATIENCE, patched).await.expect("the image is patched");
    begun.elapsed()
}

/// The three requests for another workload of the same kind, one after another.
async fn by_hand(client: &reqwest::Client, agent: &Agent, name: &str) -> Duration {
    let (kube, registry) = (agent.stage.kube.url(), agent.stage.registry.address());
    let record = record(agent.records(), name);
    let deployment = format!("by-hand-{name}");
    let path = "/spec/template/spec/containers/0/image";
    let operations = json!([
        {"op": "test", "path": path, "value": image(agent.stage.kube.get("apps/v1", "Deployment", NAMESPACE, &deployment))},
        {"op": "replace", "path": path, "value": agent.stage.image("shop/by-hand", "1.0.1")},
    ]);
    let requests = [
        client.head(format!("http://{registry}/v2/shop/{name}/manifests/1.0.1")).header("Accept", OCI_MANIFEST),
        client.post(format!("{kube}/apis/skeg.dev/v1alpha1/namespaces/{NAMESPACE}/imageupdates")).json(&record),
        client
            .patch(format!("{kube}/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}"))
            .header("Content-Type", "application/json-patch+json")
            .body(operations.to_string()),
    ];
    let begun = Instant::now();
    for request in requests {
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        answer.expect("an answer").bytes().await.expect("a body");
    }
    begun.elapsed()
}

/// A record like the one that skeg made, for another update.
fn record(records: Vec<Value>, name: &str) -> Value {
    let mut record = records.into_iter().next().expect("skeg has made one");
    record["metadata"] = json!({"name": format!("by-hand-{name}"), "namespace": NAMESPACE, "labels": record["metadata"]["labels"]});
    record
}

fn image(deployment: Option<Value>) -> String {
    let image = deployment.and_then(|object| Some(object.pointer("/spec/template/spec/containers/0/image")?.as_str()?.to_owned()));
    image.unwrap_or_default()
}
