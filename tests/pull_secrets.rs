//! A workload is looked after with the login that its pods pull with, and no namespace gets to use or to see another's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use skeg::embedded::registry::{Access, Login};

use crate::support::agent::{Agent, NAMESPACE, Setup, Workload, text};

const RIGHT: &str = "right-canary";
const WRONG: &str = "wrong-canary";

/// The registry wants a login, and the configuration has a wrong one: what is read was read with a Secret.
fn setup(opened: &'static [&'static str]) -> Setup {
    let access = Access::Basic(Login::new("robot", RIGHT));
    Setup { access, registry_password: Some(WRONG), pull_secrets: opened, workloads: Vec::new(), ..Setup::of([]) }
}

fn secret(namespace: &str, name: &str, host: &str, password: &str) -> Value {
    let auth = STANDARD.encode(format!("robot:{password}"));
    let content = STANDARD.encode(json!({"auths": {host: {"auth": auth}}}).to_string());
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": namespace}, "data": {".dockerconfigjson": content},
    })
}

/// A Deployment whose pods pull with these Secrets, by this service account.
async fn deployment(agent: &Agent, name: &str, secrets: &[&str], account: Option<&str>) {
    let host = agent.stage.registry.address().to_string();
    let mut object = Workload::new(name, &format!("shop/{name}"), "1.0.0").object(&host);
    let pod = &mut object["spec"]["template"]["spec"];
    pod["imagePullSecrets"] = secrets.iter().map(|name| json!({"name": name})).collect();
    if let Some(account) = account {
        pod["serviceAccountName"] = account.into();
    }
    agent.push(&format!("shop/{name}"), "1.0.0");
    agent.stage.kube.apply(object).unwrap();
    let is_tracked = async || {
        let images = agent.get("/v1/images").await;
        images["images"].as_array().unwrap().iter().any(|image| image["workload"]["name"] == name)
    };
    agent.until("the workload is tracked", is_tracked).await;
}

/// Reads of Secrets and service accounts, as `namespace/plural/name`.
fn reads(agent: &Agent) -> Vec<String> {
    let paths = agent.stage.kube.requests().into_iter().map(|request| request.path);
    let of_secrets = paths.filter(|path| path.contains("/secrets") || path.contains("/serviceaccounts"));
    of_secrets.map(|path| path.replace("/api/v1/namespaces/", "")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secrets_of_a_workload_and_of_its_service_account_come_before_the_configuration() {
    let agent = Agent::start(setup(&["shop"])).await;
    let host = agent.stage.registry.address().to_string();
    agent.stage.kube.apply(secret(NAMESPACE, "hub", "https://index.docker.io/v1/", WRONG)).unwrap();
    agent.stage.kube.apply(secret(NAMESPACE, "own", &host, RIGHT)).unwrap();
    agent.stage.kube.apply(secret(NAMESPACE, "accounts", &host, RIGHT)).unwrap();
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller", "namespace": NAMESPACE},
        "imagePullSecrets": [{"name": "accounts"}],
    });
    agent.stage.kube.apply(account).unwrap();
    deployment(&agent, "own", &["absent", "hub", "own"], None).await;
    deployment(&agent, "accounts", &[], Some("puller")).await;
    for name in ["own", "accounts"] {
        agent.wait_for_image(name, "current").await;
        agent.push(&format!("shop/{name}"), "1.0.1");
        // No file in Git declares it.
        agent.wait_for_workload(name, "Unrecorded").await;
    }
    // Each once, however often the repositories were polled.
    let mut reads = reads(&agent);
    reads.sort();
    let expected = ["secrets/absent", "secrets/accounts", "secrets/hub", "secrets/own", "serviceaccounts/puller"];
    assert_eq!(reads, expected.map(|read| format!("{NAMESPACE}/{read}")));
}

/// SE-02: the namespace is not opened, so its Secret is not read; and what is told of it shows nothing of any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_not_opened_gets_nothing_of_its_secrets_or_of_others() {
    let agent = Agent::start(setup(&["vault"])).await;
    let host = agent.stage.registry.address().to_string();
    agent.stage.kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault"}})).unwrap();
    for namespace in [NAMESPACE, "vault"] {
        agent.stage.kube.apply(secret(namespace, "own", &host, RIGHT)).unwrap();
    }
    deployment(&agent, "web", &["own", "vault/own", "../../vault/secrets/own"], None).await;
    let view = agent.wait_for_image("web", "degraded").await;
    assert!(text(&view, "/errors/0").contains("not authorised"), "{view:#}");
    let told = format!("{view} {}", agent.get("/v1/status").await);
    let encoded = STANDARD.encode(format!("robot:{RIGHT}"));
    for canary in [RIGHT, WRONG, &encoded] {
        assert!(!told.contains(canary), "{told}");
    }
    assert_eq!(reads(&agent), [""; 0]);
}

/// A login that was rotated is read again when the old one is refused, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_secret_takes_effect() {
    let agent = Agent::start(setup(&["shop"])).await;
    let host = agent.stage.registry.address().to_string();
    agent.stage.kube.apply(secret(NAMESPACE, "own", &host, WRONG)).unwrap();
    deployment(&agent, "web", &["own"], None).await;
    let view = agent.wait_for_image("web", "degraded").await;
    assert!(!view.to_string().contains("canary"), "{view:#}");
    agent.stage.kube.apply(secret(NAMESPACE, "own", &host, RIGHT)).unwrap();
    agent.clock.move_on(jiff::SignedDuration::from_secs(20));
    agent.wait_for_image("web", "current").await;
}
