//! The real API server is away, refuses, is edited at the same time, forgets; skeg makes one rollout and one commit of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::embedded::kube::{Fault, Matcher};

use super::stage::{Needs, Stage};
use super::{check_commit, web};
use crate::support::controlplane::{self, Order, Power, User};
use crate::support::kube_api::{MERGE_PATCH, Server};
use crate::support::registry::Auth;
use crate::support::report::report;

/// KU-02: what the API server asks for, in seconds.
const RETRY_AFTER: u32 = 7;
/// KU-03: how long the API server fails.
const AWAY: Duration = Duration::from_mins(1);
/// KU-03: the most tries at one object while it fails.
const TRIES_MAX: usize = 12;
/// KU-03: the time until all is well afterwards.
const WELL_WITHIN: Duration = Duration::from_secs(30);
/// More than any test asks for.
const ALWAYS: u32 = u32::MAX;

/// One workload on a way to the API server that can fail.
async fn raise() -> Option<Stage> {
    let stage = Stage::raise(Needs { proxied: true, ..web(Auth::Anonymous, json!({ "skeg.dev/policy": "patch" })) }).await?;
    stage.listed("web").await;
    Some(stage)
}

/// The update to `tag` is done by one patch that was carried out, one revision and one commit.
async fn check_done_once(stage: &Stage, tag: &str) {
    let done = stage.in_phase("web", tag, "Done").await;
    check_commit(stage, &done, &["Begin"]);
    assert_eq!(stage.running("web").await, stage.image("web", tag));
    if stage.plane.gives(Power::Audit) {
        let patched = stage.asked().into_iter();
        let patched = patched.filter(|asked| asked.verb == "patch" && asked.resource == "deployments" && asked.code == 200);
        assert_eq!(patched.count(), 1, "one patch was carried out");
    }
    let revision = &stage.deployment("web").await["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    assert_eq!(revision, "2", "one rollout");
}

/// KU-01: an autoscaler writes the replicas all the time, at first more often than anybody can read and patch in between, then less; and
/// surely between skeg's first reading and its patch, which is held until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_autoscaler_that_writes_meanwhile_keeps_its_replicas() {
    let Some(stage) = raise().await else { return };
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", stage.namespace);
    let (admin, scaled) = (stage.admin.clone(), path.clone());
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let autoscaler = tokio::spawn(async move {
        for (replicas, pause) in (2..=4).cycle().zip(5..) {
            let scale = json!({ "spec": { "replicas": replicas } });
            admin.patch(&format!("{scaled}/scale"), MERGE_PATCH, &scale).await.is(200);
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    });
    let held = stage.proxy().hold_next(Matcher::any().method("PATCH").path("/deployments/web"));
    stage.push("web", "1.0.1").await;
    let release = held.await.unwrap();
    // The one that is under way now may have been written before skeg has read; the next one was not.
    let before = written.load(Ordering::SeqCst);
    let is_written = async || (written.load(Ordering::SeqCst) >= before + 2).then_some(());
    stage.until("the autoscaler writes between skeg's reading and its patch", is_written).await;
    release.send(()).unwrap();
    let patched = async || (stage.running("web").await == stage.image("web", "1.0.1")).then_some(());
    stage.until("the image is set", patched).await;
    autoscaler.abort();
    let _ = autoscaler.await;
    stage.admin.patch(&format!("{path}/scale"), MERGE_PATCH, &json!({ "spec": { "replicas": 3 } })).await.is(200);
    check_done_once(&stage, "1.0.1").await;
    assert_eq!(stage.deployment("web").await["spec"]["replicas"], 3);
    let sent = stage.proxy().passed("PATCH", "/deployments/web");
    let met = sent.iter().filter(|patch| patch.status == 409).count();
    report(&format!("KU-01: {} patches, of which {met} met a change and were told so (409)", sent.len()));
    assert!(met > 0, "it met no change: {sent:#?}");
    assert!(sent.iter().rev().skip(1).all(|patch| patch.status == 409), "{sent:#?}");
    if stage.plane.gives(Power::Audit) {
        let refused =
            stage.asked().into_iter().filter(|asked| asked.verb == "patch" && asked.resource == "deployments" && asked.code == 409);
        assert_eq!(refused.count(), met, "the server's own log");
    }
    stage.end().await;
}

/// KU-02.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_that_is_to_come_later_comes_then_and_once() {
    let Some(stage) = raise().await else { return };
    let patch = Matcher::any().method("PATCH").path("/deployments/web");
    stage.proxy().fail_next(patch, Fault::Status(429, Some(RETRY_AFTER)), 1);
    stage.push("web", "1.0.1").await;
    check_done_once(&stage, "1.0.1").await;
    let patches = stage.proxy().passed("PATCH", "/deployments/web");
    let [refused, taken] = &patches[..] else { panic!("not two patches: {patches:#?}") };
    assert_eq!((refused.status, taken.status), (429, 200));
    // Reads for the next try belong to the flow as well.
    let between = stage.proxy().passed("GET", "/deployments/web");
    let waited = Duration::from_secs(RETRY_AFTER.into());
    let early = between.iter().filter(|read| read.at > refused.at && read.at < refused.at + waited).count();
    assert_eq!(early, 0, "{between:#?}");
    assert!(taken.at >= refused.at + waited, "{:?}", taken.at - refused.at);
    stage.end().await;
}

/// KU-03: 500, 503, closed connections and no answer at all in turn, on everything; and the answer to the patch itself is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_away_is_asked_seldom_and_then_all_is_made_good() {
    let Some(stage) = raise().await else { return };
    let proxy = stage.proxy();
    proxy.fail_next(Matcher::any().method("PATCH").path("/deployments/web"), Fault::LoseAnswer, 1);
    stage.push("web", "1.0.1").await;
    let is_lost = async || (!proxy.passed("PATCH", "/deployments/web").is_empty()).then_some(());
    stage.until("the patch is sent", is_lost).await;
    let began = Instant::now();
    for fault in [Fault::Status(500, None), Fault::Status(503, None), Fault::Close, Fault::Hang] {
        proxy.fail_next(Matcher::any(), fault, ALWAYS);
    }
    proxy.cut();
    tokio::time::sleep(AWAY).await;
    let trouble = stage.api.get("/v1/status").await.is(200);
    assert_ne!(trouble["watches"][0]["state"], "ok", "{trouble:#}");
    proxy.clear_faults();
    let back = Instant::now();
    stage.in_phase("web", "1.0.1", "Done").await;
    let well = back.elapsed();
    report(&format!("KU-03: done {:.1} s after the API server was back", well.as_secs_f32()));
    assert!(well <= WELL_WITHIN, "{well:?}");

    let within =
        |method: &str, part: &str| proxy.passed(method, part).iter().filter(|passed| passed.at >= began && passed.at < back).count();
    for (what, tries) in [
        ("reads of the workload", within("GET", "/deployments/web")),
        ("patches of the workload", within("PATCH", "/deployments/web")),
        ("writes of the record", within("PUT", "/imageupdates/")),
        ("watches", within("GET", "/deployments?")),
    ] {
        report(&format!("KU-03: {what} within {} s: {tries}", AWAY.as_secs()));
        assert!(tries <= TRIES_MAX, "{tries} {what}");
    }
    check_done_once(&stage, "1.0.1").await;
    stage.end().await;
}

/// KU-03, where it is a watch that breaks off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_breaks_off_misses_nothing() {
    let Some(stage) = raise().await else { return };
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", stage.namespace);
    for (policy, state) in [("never", "never"), ("patch", "patch"), ("minor", "minor")] {
        stage.proxy().cut();
        let change = json!({ "metadata": { "annotations": { "skeg.dev/policy": policy } } });
        stage.admin.patch(&path, MERGE_PATCH, &change).await.is(200);
        let is_seen = async || (stage.image_view("web").await?["policy"] == state).then_some(());
        stage.until(&format!("the policy {policy} is seen"), is_seen).await;
    }
    stage.push("web", "1.0.1").await;
    check_done_once(&stage, "1.0.1").await;
    stage.end().await;
}

/// A person takes skeg's role away while it runs, and gives it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_taken_away_are_missed_aloud_and_used_again_when_they_are_back() {
    let Some(stage) = raise().await else { return };
    let bindings = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", stage.namespace);
    let mut binding = stage.admin.get(&format!("{bindings}/skeg")).await.is(200);
    stage.admin.delete(&format!("{bindings}/skeg")).await.is(200);
    let denied = async || (!stage.release.may(&stage.admin, &stage.namespace, ("patch", "apps", "deployments")).await).then_some(());
    stage.until("the role is gone", denied).await;
    stage.proxy().cut();
    stage.push("web", "1.0.1").await;
    let told = async || {
        let status = stage.api.get("/v1/status").await.is(200);
        (status["watches"][0]["state"] != "ok").then_some(status)
    };
    let told = stage.until("the watch is told to be refused", told).await;
    assert!(told["watches"][0]["detail"].as_str().unwrap().contains("deployments.apps is forbidden"), "{told:#}");
    assert_eq!(stage.running("web").await, stage.image("web", "1.0.0"));

    binding["metadata"] = json!({ "name": "skeg" });
    stage.admin.post(&bindings, &binding).await.is(201);
    check_done_once(&stage, "1.0.1").await;
    assert_eq!(stage.api.get("/v1/status").await.is(200)["watches"][0]["state"], "ok");
    // It was forbidden for a while, so what `end` looks for is not so.
    stage.stop().await;
}

/// KU-05, and a restart of the server: what skeg's watch would go on from is forgotten, in the middle of a rollout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_without_its_past_is_listed_anew() {
    let Some((plane, _turn)) = controlplane::own().await else { return };
    let needs = Needs { proxied: true, plane: Some(plane), ..web(Auth::Anonymous, json!({ "skeg.dev/policy": "patch" })) };
    let Some(stage) = Stage::raise(needs).await else { return };
    stage.listed("web").await;
    let proxy = stage.proxy();
    stage.nodes.decide(&stage.image("web", "1.0.1"), crate::support::nodes::Fate::Waits).await;
    stage.push("web", "1.0.1").await;
    stage.in_phase("web", "1.0.1", "Verifying").await;

    // While skeg cannot follow, a workload comes and the server goes.
    proxy.fail_next(Matcher::any().path("/deployments?"), Fault::Status(503, None), ALWAYS);
    proxy.cut();
    let other = super::cluster::deployment("other", &stage.image("web", "1.0.0"), &json!({ "skeg.dev/policy": "never" }));
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", stage.namespace);
    let stored = stage.admin.post(&path, &other).await.is(201);
    plane.order(Order::StopApi);
    let is_away = async || (!stage.admin.answers("/readyz").await).then_some(());
    stage.until("the server is gone", is_away).await;
    plane.compact(stored["metadata"]["resourceVersion"].as_str().unwrap()).await;
    plane.order(Order::StartApi);
    // The connections of before are gone.
    let admin = plane.server(User::Admin);
    let is_back = async || admin.answers("/readyz").await.then_some(());
    stage.until("the server is back", is_back).await;
    plane.order(Order::Controllers);
    proxy.clear_faults();

    let is_seen = async || {
        let images = stage.api.get("/v1/images").await.is(200);
        images["images"].as_array().unwrap().iter().any(|image| image["workload"]["name"] == "other").then_some(())
    };
    stage.until("the workload that came meanwhile is seen", is_seen).await;
    let expired = proxy.passed("GET", "/deployments?").into_iter().filter(|passed| passed.expired).count();
    println!("{expired} watches were told that their version is gone");
    assert!(expired > 0);
    stage.nodes.decide(&stage.image("web", "1.0.1"), crate::support::nodes::Fate::Runs).await;
    check_done_once(&stage, "1.0.1").await;
    // A server that has just begun knows no roles and forbids everything for a moment, so what `end` looks for may not be so.
    stage.stop().await;
}

/// The definition of `ImageUpdate` is not there at the start: that is told with what to do, and skeg begins by itself once it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_definition_skeg_says_what_to_do_and_begins_when_it_is_there() {
    let Some((plane, _turn)) = controlplane::own().await else { return };
    let admin = plane.server(User::Admin);
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/imageupdates.skeg.dev";
    let _ = admin.delete(definition).await;
    let needs = Needs { plane: Some(plane), defined: false, ..web(Auth::Anonymous, json!({ "skeg.dev/policy": "patch" })) };
    let Some(stage) = Stage::raise(needs).await else { return };
    let ready = Server::new(&format!("http://{}", stage.public), None, None);
    let told = async || {
        let answer = ready.get("/readyz").await;
        (answer.code == 503 && answer.body.to_string().contains("skeg crd | kubectl apply -f -")).then_some(())
    };
    stage.until("what is missing is told", told).await;
    stage.push("web", "1.0.1").await;
    super::cluster::serve_image_updates(&admin, &stage.namespace).await;
    check_done_once(&stage, "1.0.1").await;
    ready.get("/readyz").await.is(200);
    stage.end().await;
}

/// A definition of an older skeg, which does not know a field yet: the server drops the field without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_definition_loses_a_field_and_no_update() {
    let Some((plane, _turn)) = controlplane::own().await else { return };
    let admin = plane.server(User::Admin);
    let namespace = super::cluster::namespace(plane, &admin, false).await;
    super::cluster::serve_image_updates(&admin, &namespace).await;
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/imageupdates.skeg.dev";
    let mut older = admin.get(definition).await.is(200);
    let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
    let dropped = older.pointer_mut(status).and_then(Value::as_object_mut).and_then(|fields| fields.remove("commit"));
    assert!(dropped.is_some(), "the field that a later version is said to have brought");
    older["metadata"] = json!({ "name": "imageupdates.skeg.dev", "resourceVersion": older["metadata"]["resourceVersion"] });
    admin.put(definition, &older).await.is(200);
    let needs = Needs { plane: Some(plane), ..web(Auth::Anonymous, json!({ "skeg.dev/policy": "patch" })) };
    let Some(stage) = Stage::raise(needs).await else { return };
    stage.push("web", "1.0.1").await;
    check_done_once(&stage, "1.0.1").await;
    let name = stage.update("web", "1.0.1").await.unwrap()["name"].as_str().unwrap().to_owned();
    let path = format!("/apis/skeg.dev/v1alpha1/namespaces/{}/imageupdates/{name}", stage.namespace);
    let is_done = async || Some(admin.get(&path).await.is(200)).filter(|record| record["status"]["phase"] == "Done");
    let record = stage.until("it is recorded", is_done).await;
    assert_eq!(record["status"].get("commit"), None, "the server dropped it");
    stage.end().await;
    admin.delete(definition).await.is(200);
}
