#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Mutex;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api as Client, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::{EmbeddedKube, Options};
use super::*;

/// The text behind the colon of the image says what becomes of it.
async fn resolve(image: String) -> Resolution {
    let (_, tag) = image.rsplit_once(':').unwrap();
    let digest = format!("sha256:{}", hex::encode(tag));
    match tag {
        "broken" => Resolution::NeverReady { digest },
        "crash" => Resolution::Crashes { digest },
        "missing" => Resolution::PullError("not found".into()),
        _ => Resolution::Runs { digest },
    }
}

fn start() -> EmbeddedKube {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rollouts = Rollouts { ready_after: Duration::from_millis(5), ..Rollouts::new(resolve) };
    EmbeddedKube::start(Options { rollouts: Some(rollouts), ..Options::default() }).unwrap()
}

fn deployment(image: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    })
}

async fn set_image(kube: &EmbeddedKube, image: &str) {
    let patch = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
    let api: Client<Deployment> = Client::namespaced(kube.client(), "shop");
    api.patch("web", &PatchParams::default(), &patch).await.unwrap();
}

fn web(kube: &EmbeddedKube) -> Value {
    kube.get("apps/v1", "Deployment", "shop", "web").unwrap()
}

/// Reason of a condition, once the controller has seen the newest generation.
fn reason(kube: &EmbeddedKube, kind: &str) -> String {
    let web = web(kube);
    if object::number(&web, "/status/observedGeneration") != object::number(&web, "/metadata/generation") {
        return String::new();
    }
    let mut conditions = object::elements(&web, "/status/conditions").iter();
    let condition = conditions.find(|condition| object::text(condition, "/type") == Some(kind));
    condition.and_then(|condition| object::text(condition, "/reason")).unwrap_or_default().to_owned()
}

/// Image, image id, readiness and waiting reason of every pod, oldest first.
fn pods(kube: &EmbeddedKube) -> Vec<(String, String, bool, String)> {
    let mut pods = kube.all("v1", "Pod");
    pods.sort_by_key(|pod| object::resource_version(pod).parse::<u64>().unwrap());
    let line = |pod: &Value| {
        let status = pod.pointer("/status/containerStatuses/0").cloned().unwrap_or_default();
        let text = |pointer| object::text(&status, pointer).unwrap_or_default().to_owned();
        (text("/image"), text("/imageID"), status["ready"] == true, text("/state/waiting/reason"))
    };
    pods.iter().map(line).collect()
}

fn images(kube: &EmbeddedKube) -> Vec<String> {
    let mut images: Vec<String> = pods(kube).into_iter().map(|(image, ..)| image).collect();
    images.sort();
    images
}

async fn until(kube: &EmbeddedKube, holds: impl FnMut(&EmbeddedKube) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), kube.until(holds)).await;
    waited.unwrap_or_else(|_| panic!("{:#}\n{:#?}", web(kube), kube.all("v1", "Pod")));
}

async fn rolled_out(kube: &EmbeddedKube) {
    until(kube, |kube| reason(kube, "Progressing") == "NewReplicaSetAvailable").await;
}

#[tokio::test]
async fn a_deployment_gets_its_pods_and_tells_when_they_are_ready() {
    let kube = start();
    kube.apply(deployment("nginx:1", 3)).unwrap();
    rolled_out(&kube).await;
    let status = web(&kube)["status"].clone();
    for (field, count) in [("replicas", 3), ("updatedReplicas", 3), ("readyReplicas", 3), ("availableReplicas", 3)] {
        assert_eq!(status[field], count, "{field}");
    }
    assert_eq!(status.get("unavailableReplicas"), None);
    let id = format!("docker.io/library/nginx@sha256:{}", hex::encode("1"));
    assert_eq!(pods(&kube), vec![("nginx:1".to_owned(), id, true, String::new()); 3]);
}

#[tokio::test]
async fn a_new_image_replaces_the_pods_and_the_old_set_stays_for_history() {
    let kube = start();
    kube.apply(deployment("nginx:1", 2)).unwrap();
    rolled_out(&kube).await;
    set_image(&kube, "nginx:2").await;
    until(&kube, |kube| images(kube) == ["nginx:2", "nginx:2"] && reason(kube, "Progressing") == "NewReplicaSetAvailable").await;
    let sets = kube.all("apps/v1", "ReplicaSet");
    let mut revisions: Vec<u64> = sets.iter().map(objects::revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2]);
    assert_eq!(web(&kube)["metadata"]["annotations"][objects::REVISION], "2");
}

#[tokio::test]
async fn a_broken_image_leaves_the_old_pod_and_misses_its_deadline() {
    let kube = start();
    kube.apply(deployment("nginx:1", 1)).unwrap();
    rolled_out(&kube).await;
    set_image(&kube, "nginx:broken").await;
    until(&kube, |kube| reason(kube, "Progressing") == "ProgressDeadlineExceeded").await;
    assert_eq!(reason(&kube, "Available"), "MinimumReplicasAvailable");
    assert_eq!(images(&kube), ["nginx:1", "nginx:broken"]);
    let status = web(&kube)["status"].clone();
    assert_eq!((&status["updatedReplicas"], &status["readyReplicas"], &status["unavailableReplicas"]), (&json!(1), &json!(1), &json!(1)));
    set_image(&kube, "nginx:1").await;
    rolled_out(&kube).await;
    assert_eq!(images(&kube), ["nginx:1"]);
    assert_eq!(kube.all("apps/v1", "ReplicaSet").len(), 2, "the old set is used again");
}

#[tokio::test]
async fn pods_say_why_they_wait() {
    let kube = start();
    kube.apply(deployment("nginx:missing", 1)).unwrap();
    until(&kube, |kube| pods(kube).iter().any(|(.., reason)| reason == "ImagePullBackOff")).await;
    assert_eq!(pods(&kube)[0].1, "", "nothing was pulled");
    set_image(&kube, "nginx:crash").await;
    until(&kube, |kube| pods(kube).iter().any(|(.., reason)| reason == "CrashLoopBackOff")).await;
}

#[tokio::test]
async fn a_pull_is_tried_again() {
    let kube = {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tries = Arc::new(Mutex::new(0));
        let resolver = move |_image: String| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            let first = *tries == 1;
            async move { if first { Resolution::PullError("not yet".into()) } else { Resolution::Runs { digest: "sha256:1".into() } } }
        };
        let rollouts = Rollouts { ready_after: Duration::ZERO, ..Rollouts::new(resolver) };
        EmbeddedKube::start(Options { rollouts: Some(rollouts), ..Options::default() }).unwrap()
    };
    kube.apply(deployment("nginx:1", 1)).unwrap();
    until(&kube, |kube| pods(kube).iter().any(|(.., reason)| reason == "ImagePullBackOff")).await;
    until(&kube, |kube| pods(kube).iter().any(|(_, _, ready, _)| *ready)).await;
}

#[tokio::test]
async fn a_deleted_pod_comes_back_and_a_deleted_deployment_takes_its_pods_along() {
    let kube = start();
    kube.apply(deployment("nginx:1", 1)).unwrap();
    rolled_out(&kube).await;
    let api: Client<Pod> = Client::namespaced(kube.client(), "shop");
    let first = api.list(&ListParams::default().labels("app=web")).await.unwrap().items[0].name_any();
    api.delete(&first, &DeleteParams::default()).await.unwrap();
    until(&kube, |kube| pods(kube).iter().any(|(_, _, ready, _)| *ready)).await;
    let deployments: Client<Deployment> = Client::namespaced(kube.client(), "shop");
    deployments.delete("web", &DeleteParams::default()).await.unwrap();
    until(&kube, |kube| kube.all("v1", "Pod").is_empty() && kube.all("apps/v1", "ReplicaSet").is_empty()).await;
}

#[tokio::test]
async fn scaling_changes_the_number_of_pods() {
    let kube = start();
    kube.apply(deployment("nginx:1", 1)).unwrap();
    rolled_out(&kube).await;
    kube.apply(deployment("nginx:1", 3)).unwrap();
    until(&kube, |kube| web(kube)["status"]["availableReplicas"] == 3).await;
    kube.apply(deployment("nginx:1", 0)).unwrap();
    until(&kube, |kube| kube.all("v1", "Pod").is_empty()).await;
}

#[tokio::test]
async fn a_cluster_at_rest_is_left_alone() {
    let api = Api::new(None, Duration::from_mins(1));
    let mut kubelet = Kubelet::new(Arc::new(resolve), Duration::ZERO);
    let resource = api.catalog.built_in("Deployment");
    let mut object = deployment("nginx:1", 2);
    object::set(&mut object, &["metadata", "namespace"], "default");
    api.write(&resource, &super::super::query::Query::default(), |writer, state| writer.create(state, Some("default"), object)).unwrap();
    let mut second = 1_000;
    let mut settled = 0;
    while settled < 3 {
        let before = api.store.revision();
        look(&api, &mut kubelet, Now { time: Timestamp::from_second(second).unwrap(), instant: Instant::now() });
        second += 1;
        assert!(second < 1_100, "it comes to rest");
        settled = if api.store.revision() == before { settled + 1 } else { 0 };
        if let Ok(pulled) = tokio::time::timeout(Duration::from_millis(1), kubelet.pulled()).await {
            kubelet.note(pulled);
            settled = 0;
        }
    }
    let sets = api.store.all_of(&api.catalog.built_in("ReplicaSet").storage());
    assert_eq!(object::number(&sets[0], "/status/readyReplicas"), Some(2));
}
