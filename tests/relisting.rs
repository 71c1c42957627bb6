//! KU-05: when the versions that a watch would go on from are gone, everything is listed anew; and what that costs.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use skeg::embedded::kube::{EmbeddedKube, Fault, Matcher, Options};

use crate::real_loop::cluster;
use crate::support::controlplane::{self, ControlPlane, Order, User};
use crate::support::daemon::Daemon;
use crate::support::fault_proxy::FaultProxy;
use crate::support::kube_api::{MERGE_PATCH, Server};
use crate::support::report::report;

const WORKLOADS: usize = 2_000;
/// What people and their tools write into a Deployment beside what is looked at: the size of a large one.
const OBJECT_BYTES: usize = 12_000;
/// The most memory while everything is listed anew, in tenths of what is used before.
const PEAK_TENTHS_MAX: u64 = 15;
const LISTINGS: usize = 3;
/// Requests side by side while the workloads are created.
const CREATED_AT_ONCE: usize = 8;
const FACT_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn deployment(namespace: &str, number: usize, policy: &str) -> Value {
    let name = format!("web-{number}");
    let noted = "x".repeat(OBJECT_BYTES);
    let annotations = json!({ "skeg.dev/policy": policy, "kubectl.kubernetes.io/last-applied-configuration": noted });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
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

/// Whether a request is for a page of a listing of Deployments.
fn is_page(path: &str) -> bool {
    path.contains("/deployments?") && path.contains("limit=") && !path.contains("watch=")
}

/// A skeg that looks after the namespace `shop`, or this one, of the API server in this kubeconfig.
async fn start(folder: &Path, kubeconfig: &str, namespace: &str) -> (Daemon, Server) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("kubeconfig", kubeconfig);
    write("token", "token-of-ops");
    let config = format!(
        "[server]\nlisten = '127.0.0.1:0'\nprivate_listen = '127.0.0.1:0'\ntoken_file = 'token'\ncache_dir = 'cache'\n\
         [cluster]\nkubeconfig = 'kubeconfig'\nnamespace = '{namespace}'\nnamespaces = ['{namespace}']\n[telemetry]\nlog = 'json'\n"
    );
    write("skeg.toml", &config);
    let skeg = Daemon::start(&folder.join("skeg.toml")).await;
    let api = Server::new(&format!("http://{}", skeg.private), None, Some("token-of-ops"));
    until("skeg is ready", async || api.answers("/readyz").await).await;
    (skeg, api)
}

/// Has everything listed anew a few times, each time after a change that no event tells of, and compares the memory.
async fn check(server: &str, (skeg, api): (Daemon, Server), pages: impl Fn() -> usize, change_unseen: impl AsyncFn(usize)) {
    let pages_each = pages();
    assert_eq!(pages_each, WORKLOADS.div_ceil(100), "one listing, page by page");
    let steady = skeg.memory("VmRSS");
    skeg.forget_peak();
    for listing in 1..=LISTINGS {
        change_unseen(listing).await;
        until("everything is listed anew", async || pages() >= (listing + 1) * pages_each).await;
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
        "KU-05, {server}: {WORKLOADS} workloads: {} MiB before, {} MiB at most while they were listed anew {LISTINGS} times",
        mib(steady),
        mib(peak)
    ));
    assert!(peak * 10 <= steady * PEAK_TENTHS_MAX, "{} MiB became {} MiB", mib(steady), mib(peak));
    skeg.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_anew_misses_nothing_and_takes_half_of_the_memory_again_at_most() {
    let kube = EmbeddedKube::start(Options::default()).unwrap();
    for number in 0..WORKLOADS {
        kube.apply(deployment("shop", number, "never")).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let started = start(folder.path(), &kube.kubeconfig(), "shop").await;
    let pages = || kube.requests().iter().filter(|request| is_page(&request.path) && request.status == 200).count();
    let change_unseen = async |listing: usize| {
        kube.fail_next(Matcher::any().path("/deployments?"), Fault::Status(503, None), u32::MAX);
        kube.end_watches();
        kube.apply(deployment("shop", listing, "minor")).unwrap();
        kube.compact();
        kube.clear_faults();
    };
    check("the embedded API", started, pages, change_unseen).await;
}

/// The same on a server of its own, without controllers, which would have thousands of rollouts to bring about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listing_anew_from_a_real_api_server_takes_half_of_the_memory_again_at_most() {
    let Some((plane, _turn)) = controlplane::own().await else { return };
    let admin = plane.server(User::Admin);
    let namespace = cluster::namespace(plane, &admin, false).await;
    cluster::serve_image_updates(&admin, &namespace).await;
    // What it starts again is itself alone.
    let admin = restarted(plane, admin, None).await;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    let created = stream::iter(0..WORKLOADS).map(|number| {
        let object = deployment(&namespace, number, "never");
        let (admin, path) = (&admin, &path);
        async move { admin.post(path, &object).await.is(201) }
    });
    created.buffer_unordered(CREATED_AT_ONCE).for_each(|_| async {}).await;

    let proxy = FaultProxy::start(plane);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = plane.kubeconfig_at(&format!("http://{}", proxy.address()), plane.token(User::Admin));
    let started = start(folder.path(), &kubeconfig, &namespace).await;
    let pages = || proxy.passed("GET", "/deployments?").iter().filter(|passed| is_page(&passed.path) && passed.status == 200).count();
    let change_unseen = async |listing: usize| {
        proxy.fail_next(Matcher::any().path("/deployments?"), Fault::Status(503, None), u32::MAX);
        proxy.cut();
        let minor = json!({ "metadata": { "annotations": { "skeg.dev/policy": "minor" } } });
        let admin = plane.server(User::Admin);
        let stored = admin.patch(&format!("{path}/web-{listing}"), MERGE_PATCH, &minor).await.is(200);
        restarted(plane, admin, stored["metadata"]["resourceVersion"].as_str()).await;
        proxy.clear_faults();
    };
    check("a real API server", started, pages, change_unseen).await;
    // For the tests that have this server next.
    plane.server(User::Admin).delete(&path).await.is(200);
    plane.order(Order::Controllers);
}

/// Stops the server, has it forget what was before this version, and starts it again; its controllers stay away. A server that only forgets
/// what is stored goes on from what it has in memory.
async fn restarted(plane: &ControlPlane, admin: Server, version: Option<&str>) -> Server {
    plane.order(Order::StopApi);
    until("the server is gone", async || !admin.answers("/readyz").await).await;
    if let Some(version) = version {
        plane.compact(version).await;
    }
    plane.order(Order::StartApi);
    // The connections of before are gone.
    let admin = plane.server(User::Admin);
    until("the server is back", async || admin.answers("/readyz").await).await;
    admin
}
