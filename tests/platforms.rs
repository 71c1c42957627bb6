//! A candidate offers the platforms that its pods can land on: what is refused, what is chosen instead, and what finding out costs.

use http::StatusCode;
use serde_json::{Value, json};
use skeg::embedded::kube;
use skeg::embedded::registry::{Fault, Image, Matcher, Operation};

use crate::support::agent::{Agent, Setup, Stage, Workload, text};

const WEB: &str = "/v1/explain/shop/Deployment/web";
const AMD64: &[&str] = &["amd64"];
const BOTH: &[&str] = &["amd64", "arm64"];

fn node(name: &str, architecture: &str) -> Value {
    let labels =
        json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": architecture, "kubernetes.io/hostname": name, "pool": architecture});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

/// Pushes an image for these architectures: an index, or for one an image that stands alone.
fn push(agent: &Agent, tag: &str, architectures: &[&str]) {
    let image = |architecture: &str| Image::new(format!("{tag} {architecture}")).architecture(architecture);
    let registry = &agent.stage.registry;
    match architectures {
        [one] => registry.push_image("shop/web", tag, &image(one)).unwrap(),
        several => {
            let images: Vec<(&str, Image)> = several.iter().map(|one| (*one, image(one))).collect();
            registry.push_index("shop/web", tag, &images).unwrap()
        }
    };
}

/// `web` runs an image for both architectures in a cluster with these nodes, and needs an approval; nothing is polled.
async fn started(nodes: &[(&str, &str)], selector: Option<Value>) -> Agent {
    let web = Workload::new("web", "shop/web", "1.0.0").directive("approvals", "1");
    let agent = Agent::start(Setup::of([web]).without_polls()).await;
    push(&agent, "1.0.0", BOTH);
    for (name, architecture) in nodes {
        agent.stage.kube.apply(node(name, architecture)).unwrap();
    }
    if let Some(selector) = selector {
        agent.person_merges("web", json!({"spec": {"template": {"spec": {"nodeSelector": selector}}}}));
    }
    let count = format!("{} nodes", nodes.len());
    agent.until("the nodes are seen", async || state_of_nodes(&agent).await.1.starts_with(&count)).await;
    agent
}

/// What `skeg status` says of the nodes.
async fn state_of_nodes(agent: &Agent) -> (String, String) {
    let status = agent.get("/v1/status").await;
    let part = status["watches"].as_array().unwrap().iter().find(|part| part["name"] == "nodes").expect("nodes are told of").clone();
    (text(&part, "/state").to_owned(), part["detail"].as_str().unwrap_or_default().to_owned())
}

async fn told(agent: &Agent, tag: &str) -> usize {
    let before = agent.stage.registry.requests().len();
    assert!(agent.deliver_webhook("shop/web", tag).await.is_success());
    before
}

/// The reason of the last look that led to no update.
async fn refused(agent: &Agent, part: &str) -> String {
    let reason = async || {
        let told = agent.get(WEB).await;
        told["containers"][0]["last"]["reason"]["message"].as_str().filter(|reason| reason.contains(part)).map(str::to_owned)
    };
    agent.wait_for(part, reason).await
}

/// How many manifests were read whole from the request at this place on.
fn manifests_read(agent: &Agent, from: usize) -> usize {
    let requests = agent.stage.registry.requests();
    requests.iter().skip(from).filter(|request| request.method == "GET" && request.path.contains("/manifests/")).count()
}

#[tokio::test]
async fn what_lacks_a_platform_is_refused_with_the_reason_and_the_next_best_is_chosen() {
    let agent = started(&[("a1", "amd64"), ("b1", "arm64")], None).await;
    push(&agent, "1.0.3", AMD64);
    told(&agent, "1.0.3").await;
    let reason = refused(&agent, "1.0.3").await;
    assert!(reason.contains("1.0.3 offers linux/amd64, and its pods can land on linux/arm64"), "{reason}");
    push(&agent, "1.0.1", BOTH);
    push(&agent, "1.0.2", &["amd64", "arm64", "s390x"]);
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
    told(&agent, "1.0.2").await;
    agent.wait_for_phase("1.0.2", "Held").await;
    let explained = async || {
        let told = agent.get(WEB).await;
        let verdicts = told["containers"][0]["verdicts"].as_array().cloned().unwrap_or_default();
        let of = |tag: &str| {
            verdicts.iter().find(|one| one["tag"] == tag).map(|one| (text(one, "/verdict").to_owned(), text(one, "/reason").to_owned()))
        };
        Some((of("1.0.3")?, of("1.0.2")?)).filter(|(_, chosen)| chosen.0 == "chosen")
    };
    let (refused, chosen) = agent.wait_for("it is explained", explained).await;
    assert_eq!(refused, ("refused".to_owned(), "offers linux/amd64, and its pods can land on linux/arm64".to_owned()));
    assert_eq!(chosen.1, "the highest of 2 tags that qualify");
}

#[tokio::test]
async fn pods_that_land_on_one_platform_need_no_other() {
    let agent = started(&[("a1", "amd64"), ("b1", "arm64")], Some(json!({"pool": "amd64"}))).await;
    push(&agent, "1.0.1", AMD64);
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
}

#[tokio::test]
async fn what_runs_without_a_platform_is_no_ground_to_ask_for_it() {
    let agent = started(&[("a1", "amd64"), ("b1", "arm64")], None).await;
    push(&agent, "1.0.0", AMD64);
    push(&agent, "1.0.1", AMD64);
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
}

#[tokio::test]
async fn a_held_update_ends_when_pods_can_land_elsewhere() {
    let agent = started(&[("a1", "amd64")], None).await;
    push(&agent, "1.0.1", AMD64);
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.stage.kube.apply(node("b1", "arm64")).unwrap();
    agent.until("the node is seen", async || state_of_nodes(&agent).await.1 == "2 nodes: linux/amd64 and linux/arm64").await;
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Superseded").await;
}

#[tokio::test]
async fn an_image_is_read_once_however_often_is_looked() {
    let agent = started(&[("a1", "amd64"), ("b1", "arm64")], None).await;
    push(&agent, "1.0.1", BOTH);
    let before = told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
    assert_eq!(manifests_read(&agent, before), 1);
    push(&agent, "1.0.2", AMD64);
    told(&agent, "1.0.2").await;
    agent.until("the candidates and what runs are read", async || manifests_read(&agent, before) == 3).await;
    // One that is there, and one that is not, which causes a listing.
    for tag in ["1.0.2", "1.0.9"] {
        let before = told(&agent, tag).await;
        let asked = async |end: &str| agent.stage.registry.requests().iter().skip(before).any(|request| request.path.ends_with(end));
        agent.until("the best is asked about again, and the next", async || asked("/1.0.2").await && asked("/1.0.1").await).await;
        agent.until("it is decided", async || agent.update_to("1.0.1").await.is_some()).await;
        assert_eq!(manifests_read(&agent, before), 0, "{tag}");
    }
}

#[tokio::test]
async fn without_the_right_to_read_nodes_nothing_is_refused_and_status_says_so() {
    let web = Workload::new("web", "shop/web", "1.0.0").directive("approvals", "1");
    let stage = Stage::build(&Setup::of([web]).without_polls());
    stage.kube.apply(node("b1", "arm64")).unwrap();
    let forbidden = kube::Fault::Status(403, None);
    stage.kube.fail_next(kube::Matcher::any().method("GET").path("/nodes"), forbidden, u32::MAX);
    let agent = Agent::start_unready(stage).await;
    agent.until("skeg is ready", async || agent.is_ready().await).await;
    let (condition, detail) = state_of_nodes(&agent).await;
    assert!(condition == "unknown" && detail.starts_with("nodes may not be listed"), "{condition}: {detail}");
    push(&agent, "1.0.1", AMD64);
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
    agent.person_merges("web", json!({"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}}}}));
    push(&agent, "1.0.0", BOTH);
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Superseded").await;
    refused(&agent, "offers linux/amd64, and its pods can land on linux/arm64").await;
}

#[tokio::test]
async fn a_registry_that_does_not_tell_is_waited_for() {
    let web = Workload::new("web", "shop/web", "1.0.0").directive("approvals", "1");
    let agent = Agent::start(Setup::of([web])).await;
    agent.stage.kube.apply(node("a1", "amd64")).unwrap();
    agent.until("the node is seen", async || state_of_nodes(&agent).await.1.starts_with("1 nodes")).await;
    let blobs = Matcher::of(Operation::Blob);
    agent.stage.registry.fail_next(blobs.always(), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let before = agent.stage.registry.requests().len();
    push(&agent, "1.0.1", AMD64);
    let tries = || agent.stage.registry.requests().iter().skip(before).filter(|request| request.path.contains("/blobs/")).count();
    agent.until("it is asked several times", async || tries() >= 4).await;
    assert!(agent.updates().await.is_empty(), "three looks within seconds are no reason to go on without");
    agent.stage.registry.clear_faults();
    agent.wait_for_phase("1.0.1", "Held").await;
}

#[tokio::test]
async fn where_it_is_turned_off_nodes_are_not_asked_for() {
    let web = Workload::new("web", "shop/web", "1.0.0").directive("approvals", "1");
    let setup = Setup { platforms: "off", ..Setup::of([web]).without_polls() };
    let agent = Agent::start(setup).await;
    agent.stage.kube.apply(node("b1", "arm64")).unwrap();
    push(&agent, "1.0.1", AMD64);
    told(&agent, "1.0.1").await;
    agent.wait_for_phase("1.0.1", "Held").await;
    assert!(agent.stage.kube.requests().iter().all(|request| !request.path.contains("/nodes")));
    assert!(agent.get("/v1/status").await["watches"].as_array().unwrap().iter().all(|part| part["name"] != "nodes"));
}
