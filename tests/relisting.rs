//! KU-05: when the versions that a watch would go on from are gone, everything is listed anew; and what that costs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::embedded::kube::{EmbeddedKube, Fault, Matcher, Options};

use crate::support::daemon::Daemon;
use crate::support::kube_api::Server;
use crate::support::report::report;

const WORKLOADS: usize = 2_000;
/// What people and their tools write into a Deployment beside what is looked at: the size of a large one.
const OBJECT_BYTES: usize = 12_000;
/// The most memory while everything is listed anew, in tenths of what is used before.
const PEAK_TENTHS_MAX: u64 = 15;
const LISTINGS: usize = 3;
const FACT_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn deployment(number: usize, policy: &str) -> Value {
    let name = format!("web-{number}");
    let noted = "x".repeat(OBJECT_BYTES);
    let annotations = json!({ "skeg.dev/policy": policy, "kubectl.kubernetes.io/last-applied-configuration": noted });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": "shop", "annotations": annotations },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "web", "image": format!("registry.example/shop/{name}:1.0.0") }] },
            },
        },
    })
}

async fn until(fact: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + FACT_WITHIN;
    while !look().await {
        assert!(Instant::now() < deadline, "not so within {} s: {fact}", FACT_WITHIN.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many pages of Deployments were answered.
fn pages(kube: &EmbeddedKube) -> usize {
    let is_page = |path: &str| path.contains("/deployments?") && path.contains("limit=") && !path.contains("watch=");
    kube.requests().iter().filter(|request| is_page(&request.path) && request.status == 200).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_anew_misses_nothing_and_takes_half_of_the_memory_again_at_most() {
    let kube = EmbeddedKube::start(Options::default()).unwrap();
    for number in 0..WORKLOADS {
        kube.apply(deployment(number, "never")).unwrap();
    }
    kube.apply(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "skeg" } })).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("kubeconfig", &kube.kubeconfig());
    write("token", "token-of-ops");
    write(
        "skeg.toml",
        "[server]\nlisten = '127.0.0.1:0'\nprivate_listen = '127.0.0.1:0'\ntoken_file = 'token'\ncache_dir = 'cache'\n\
         [cluster]\nkubeconfig = 'kubeconfig'\n[telemetry]\nlog = 'json'\n",
    );
    let skeg = Daemon::start(&folder.path().join("skeg.toml")).await;
    let api = Server::new(&format!("http://{}", skeg.private), None, Some("token-of-ops"));
    until("skeg is ready", async || api.answers("/readyz").await).await;
    let pages_each = pages(&kube);
    assert_eq!(pages_each, WORKLOADS.div_ceil(100), "one listing, page by page");

    let steady = skeg.memory("VmRSS");
    skeg.forget_peak();
    for listing in 1..=LISTINGS {
        // A change while nothing can be watched, of which no event will tell.
        kube.fail_next(Matcher::any().path("/deployments?"), Fault::Status(503, None), u32::MAX);
        kube.end_watches();
        kube.apply(deployment(listing, "minor")).unwrap();
        kube.compact();
        kube.clear_faults();
        until("everything is listed anew", async || pages(&kube) >= (listing + 1) * pages_each).await;
        until("what has changed is known", async || {
            let images = api.get("/v1/images").await.is(200);
            let is_it = |image: &Value| image["workload"]["name"] == format!("web-{listing}") && image["policy"] == "minor";
            images["images"].as_array().unwrap().iter().any(is_it)
        })
        .await;
    }
    let peak = skeg.memory("VmHWM");
    let mib = |bytes: u64| bytes / (1 << 20);
    report(&format!(
        "KU-05: {WORKLOADS} workloads: {} MiB before, {} MiB at most while they were listed anew {LISTINGS} times",
        mib(steady),
        mib(peak)
    ));
    assert!(peak * 10 <= steady * PEAK_TENTHS_MAX, "{} MiB became {} MiB", mib(steady), mib(peak));
    skeg.kill().await;
}
