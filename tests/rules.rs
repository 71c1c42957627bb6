//! Rules of the configuration and annotations of Namespaces: what they say to workloads, and that people are told who says it.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::agent::{Agent, NAMESPACE, Setup, Workload, text};

const WEB: &str = "/v1/explain/shop/Deployment/web";

/// The workload runs no policy of its own.
fn bare(name: &str) -> Workload {
    Workload::bare(name, &format!("shop/{name}"), "1.0.0")
}

fn namespace(annotations: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "annotations": annotations}})
}

/// The workloads that are managed.
async fn managed(agent: &Agent) -> Vec<String> {
    let images = agent.get("/v1/images").await;
    let mut names: Vec<String> =
        images["images"].as_array().unwrap().iter().map(|image| text(image, "/workload/name").to_owned()).collect();
    names.dedup();
    names
}

/// What is told of a directive: its value, and the kind and key of its origin.
fn directive(told: &Value, name: &str) -> (String, String, String) {
    let of_container = &told["containers"][0];
    let all = told["directives"].as_array().unwrap().iter().chain(of_container["directives"].as_array().unwrap());
    let found = all.chain([&of_container["policy"]]).find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {told:#}"));
    (text(found, "/value").to_owned(), text(found, "/origin/kind").to_owned(), text(found, "/origin/key").to_owned())
}

#[track_caller]
fn check(told: &Value, name: &str, (value, kind, key): (&str, &str, &str)) {
    assert_eq!(directive(told, name), (value.to_owned(), kind.to_owned(), key.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_opts_in_what_it_selects_and_a_workload_opts_out() {
    let more = "[[rule]]\nname = \"production\"\nlabels = { tier = \"production\" }\ndirectives = { policy = \"patch\", rollout-timeout = \"20s\" }\n\
                [[rule]]\ndirectives = { rollback = \"off\" }";
    let of_tier = |workload: Workload| workload.label("tier", "production");
    let workloads = [of_tier(bare("web")), of_tier(bare("api").directive("policy", "never")), bare("other")];
    let agent = Agent::start(Setup { more, ..Setup::of(workloads) }).await;
    assert_eq!(managed(&agent).await, ["api", "web"]);
    for name in ["web", "api", "other"] {
        agent.push(&format!("shop/{name}"), "1.0.1");
    }
    agent.wait_for_workload("web", "Done").await;
    assert_eq!(agent.deployment_image("web"), agent.stage.image("shop/web", "1.0.1"));
    for untouched in ["api", "other"] {
        assert_eq!(agent.deployment_image(untouched), agent.stage.image(&format!("shop/{untouched}"), "1.0.0"));
    }
    let told = agent.get(WEB).await;
    check(&told, "policy", ("patch", "rule", "production"));
    check(&told, "rollout-timeout", ("20s", "rule", "production"));
    check(&told, "rollback", ("off", "rule", "2"));
    let api = agent.get("/v1/explain/shop/Deployment/api").await;
    check(&api, "policy", ("never", "annotation", "skeg.dev/policy"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_namespace_says_is_taken_up_and_a_mistake_on_it_holds_its_workloads_and_no_others() {
    let agent = Agent::start(Setup::of([bare("web")])).await;
    assert_eq!(managed(&agent).await, [""; 0]);
    agent.stage.kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}})).unwrap();
    let mut other = Workload::new("api", "shop/api", "1.0.0").object(&agent.stage.registry.address().to_string());
    other["metadata"]["namespace"] = "elsewhere".into();
    agent.push("shop/api", "1.0.0");
    agent.stage.kube.apply(other).unwrap();

    agent.stage.kube.apply(namespace(&json!({"skeg.dev/policy": "patch"}))).unwrap();
    agent.until("the workload is managed", async || managed(&agent).await == ["api", "web"]).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_workload("web", "Done").await;
    check(&agent.get(WEB).await, "policy", ("patch", "namespace", "skeg.dev/policy"));

    agent.stage.kube.apply(namespace(&json!({"skeg.dev/policy": "patch", "skeg.dev/aprovals": "1"}))).unwrap();
    let view = agent.wait_for_image("web", "degraded").await;
    let mistake = "Namespace shop: skeg.dev/aprovals: there is no such directive, did you mean skeg.dev/approvals?";
    assert!(text(&view, "/errors/0").contains(mistake), "{view:#}");
    agent.push("shop/web", "1.0.2");
    agent.push("shop/api", "1.0.1");
    let is_updated = async || agent.update_to("1.0.1").await.is_some_and(|update| update["workload"]["name"] == "api");
    agent.until("the other namespace is not disturbed", is_updated).await;
    assert_eq!(agent.deployment_image("web"), agent.stage.image("shop/web", "1.0.1"), "it is held");
    let status = agent.get("/v1/status").await;
    assert!(status["degraded"].as_array().unwrap().iter().any(|part| part["name"] == "Namespace shop"), "{status:#}");
    let shown = agent.get(WEB).await;
    assert!(text(&shown, "/errors/0").contains(mistake), "{shown:#}");

    agent.stage.kube.apply(namespace(&json!({"skeg.dev/policy": "patch", "skeg.dev/approvals": "1"}))).unwrap();
    agent.wait_for_phase("1.0.2", "Held").await;
    check(&agent.get(WEB).await, "approvals", ("1", "namespace", "skeg.dev/approvals"));

    agent.stage.kube.apply(namespace(&json!({}))).unwrap();
    agent.until("nobody asks for it any more", async || managed(&agent).await == ["api"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enforced_rule_asks_for_the_votes_that_a_workload_would_do_without() {
    let more = "[[rule]]\nname = \"four-eyes\"\nnamespaces = [\"shop\"]\nenforce = true\n\
                directives = { approvals = 1, approvers = [\"user:ops\", \"user:ann\"] }";
    let hasty = Workload::new("web", "shop/web", "1.0.0").directive("approvals", "0");
    let foreign = Workload::new("api", "shop/api", "1.0.0").directive("approvers", "user:eve");
    let agent = Agent::start(Setup { more, ..Setup::of([hasty, foreign]) }).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Held").await;
    let told = agent.get(WEB).await;
    check(&told, "approvals", ("1", "bound", "four-eyes"));
    check(&told, "approvers", ("user:ann; user:ops", "rule", "four-eyes"));
    assert_eq!(agent.vote("1.0.1", "approve").await.0, StatusCode::OK);
    agent.wait_for_workload("web", "Done").await;

    agent.push("shop/api", "1.0.2");
    agent.wait_for_phase("1.0.2", "Held").await;
    let told = agent.get("/v1/explain/shop/Deployment/api").await;
    check(&told, "approvers", ("nobody: none of those who are named may vote by this rule", "bound", "four-eyes"));
    assert_eq!(agent.vote("1.0.2", "approve").await.0, StatusCode::FORBIDDEN);
}
