use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use serde_json::json;

use super::*;

type Seen = Result<watcher::Event<Deployment>, watcher::Error>;

/// The watcher's events from now on, in short: `list web`, `apply web nginx:2`, `delete web`, `error 410`.
async fn next(watcher: &mut (impl Stream<Item = Seen> + Unpin)) -> String {
    let event = soon(watcher.next()).await.unwrap();
    match event {
        Ok(watcher::Event::Init) => "init".into(),
        Ok(watcher::Event::InitApply(object)) => format!("list {}", object.name_any()),
        Ok(watcher::Event::InitDone) => "listed".into(),
        Ok(watcher::Event::Apply(object)) => format!("apply {} {}", object.name_any(), image_of(&object)),
        Ok(watcher::Event::Delete(object)) => format!("delete {}", object.name_any()),
        Err(watcher::Error::WatchError(status)) => format!("error {}", status.code),
        Err(error) => format!("error {error:?}"),
    }
}

#[tokio::test]
async fn a_watcher_sees_every_change() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let mut seen = std::pin::pin!(watcher(deployments(&kube), watcher::Config::default()));
    assert_eq!(next(&mut seen).await, "init");
    assert_eq!(next(&mut seen).await, "list web");
    assert_eq!(next(&mut seen).await, "listed");
    kube.apply(deployment("api", "go:1")).unwrap();
    assert_eq!(next(&mut seen).await, "apply api go:1");
    kube.apply(deployment("web", "nginx:2")).unwrap();
    assert_eq!(next(&mut seen).await, "apply web nginx:2");
    deployments(&kube).delete("api", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut seen).await, "delete api");
}

#[tokio::test]
async fn a_streaming_watcher_gets_the_initial_list_by_watch() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let mut seen = std::pin::pin!(watcher(deployments(&kube), watcher::Config::default().streaming_lists()));
    assert_eq!(next(&mut seen).await, "init");
    assert_eq!(next(&mut seen).await, "list web");
    assert_eq!(next(&mut seen).await, "listed");
    assert!(kube.requests().iter().all(|request| request.path.contains("watch=true")));
}

#[tokio::test]
async fn a_watcher_that_stayed_away_too_long_is_told_410_and_lists_again() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let mut seen = std::pin::pin!(watcher(deployments(&kube), watcher::Config::default()));
    for _ in 0..3 {
        next(&mut seen).await;
    }
    kube.apply(deployment("web", "nginx:2")).unwrap();
    assert_eq!(next(&mut seen).await, "apply web nginx:2");
    kube.compact();
    kube.end_watches();
    assert_eq!(next(&mut seen).await, "error 410");
    assert_eq!(next(&mut seen).await, "init");
    assert_eq!(next(&mut seen).await, "list web");
}

#[tokio::test]
async fn an_open_watch_outlives_compaction() {
    let kube = start();
    let mut seen = std::pin::pin!(watcher(deployments(&kube), watcher::Config::default()));
    assert_eq!(next(&mut seen).await, "init");
    assert_eq!(next(&mut seen).await, "listed");
    kube.apply(deployment("web", "nginx:1")).unwrap();
    assert_eq!(next(&mut seen).await, "apply web nginx:1");
    kube.compact();
    kube.apply(deployment("web", "nginx:2")).unwrap();
    assert_eq!(next(&mut seen).await, "apply web nginx:2");
}

/// Raw events of a watch, in short.
async fn raw(kube: &EmbeddedKube, params: WatchParams, version: &str) -> impl Stream<Item = String> + use<> {
    let events = deployments(kube).watch(&params, version).await.unwrap();
    let short = |event: WatchEvent<Deployment>| match event {
        WatchEvent::Added(object) => format!("added {}", object.name_any()),
        WatchEvent::Modified(object) => format!("modified {}", object.name_any()),
        WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
        WatchEvent::Bookmark(_) => "bookmark".into(),
        WatchEvent::Error(status) => format!("error {} {}", status.code, status.reason),
    };
    events.map_ok(short).map(Result::unwrap).boxed()
}

#[tokio::test]
async fn an_object_that_leaves_or_enters_the_selection_is_deleted_or_added() {
    let kube = start();
    let mut events = raw(&kube, WatchParams::default().labels("tier=front"), "0").await.boxed();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let label = async |tier: Option<&str>| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"tier": tier}}}));
        deployments(&kube).patch("web", &PatchParams::default(), &patch).await.unwrap();
    };
    label(Some("front")).await;
    assert_eq!(soon(events.next()).await.unwrap(), "added web");
    label(Some("back")).await;
    assert_eq!(soon(events.next()).await.unwrap(), "deleted web");
}

#[tokio::test]
async fn an_idle_watch_is_told_how_far_it_has_come() {
    let kube = start_with(Options { bookmark_every: Duration::from_millis(20), ..Options::default() });
    let mut events = raw(&kube, WatchParams::default(), "0").await.boxed();
    kube.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}})).unwrap();
    assert_eq!(soon(events.next()).await.unwrap(), "bookmark");
}

#[tokio::test]
async fn a_watch_ends_in_good_order_after_its_time() {
    let kube = start();
    let params = WatchParams { bookmarks: false, ..WatchParams::default().timeout(1) };
    let events = raw(&kube, params, "0").await;
    assert_eq!(soon(events.collect::<Vec<_>>()).await, [""; 0]);
}

#[tokio::test]
async fn a_version_from_before_compaction_is_one_error_event_and_the_end() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    kube.compact();
    let events = raw(&kube, WatchParams::default(), "1").await;
    assert_eq!(soon(events.collect::<Vec<_>>()).await, ["error 410 Expired"]);
}

#[tokio::test]
async fn a_metadata_watch_carries_no_spec() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let listed = deployments(&kube).list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items[0].name_any(), "web");
    let mut events = deployments(&kube).watch_metadata(&WatchParams::default(), "0").await.unwrap().boxed();
    match soon(events.next()).await.unwrap().unwrap() {
        WatchEvent::Added(object) => assert_eq!(object.types.unwrap().kind, "PartialObjectMetadata"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_writers_with_the_same_version_cannot_both_succeed() {
    let kube = start();
    let read = typed(kube.apply(deployment("web", "nginx:1")).unwrap());
    let write = |replicas: i32| {
        let mut object = read.clone();
        object.spec.as_mut().unwrap().replicas = Some(replicas);
        let api = deployments(&kube);
        async move { api.replace("web", &kube::api::PostParams::default(), &object).await.is_ok() }
    };
    let outcomes = futures::future::join_all((2..12).map(write)).await;
    assert_eq!(outcomes.iter().filter(|written| **written).count(), 1);
}
