use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use super::super::{Fault, Matcher};
use super::*;

fn scale(replicas: u32) -> Patch<Value> {
    Patch::Merge(json!({"spec": {"replicas": replicas}}))
}

#[tokio::test]
async fn a_planned_status_is_answered_and_nothing_is_carried_out() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    kube.fail_next(Matcher::any().method("PATCH").path("/deployments/web"), Fault::Status(409, None), 1);
    let api = deployments(&kube);
    assert_eq!(refusal(api.patch("web", &PatchParams::default(), &scale(2)).await), (409, "Conflict".into()));
    assert_eq!(api.get("web").await.unwrap().spec.unwrap().replicas, Some(1));
    api.patch("web", &PatchParams::default(), &scale(2)).await.unwrap();
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_back() {
    let kube = start();
    kube.fail_next(Matcher::any(), Fault::Status(429, Some(7)), 1);
    match deployments(&kube).get("web").await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
            assert_eq!(status.details.and_then(|details| details.retry_after_seconds.into()), Some(7));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_closed_connection_leaves_the_client_without_an_answer() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    kube.fail_next(Matcher::any(), Fault::Close, 1);
    let error = deployments(&kube).list(&ListParams::default()).await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error:?}");
    deployments(&kube).list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_a_write_the_client_does_not_know_of() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    kube.fail_next(Matcher::any().method("PATCH"), Fault::LoseAnswer, 1);
    let api = deployments(&kube);
    assert!(api.patch("web", &PatchParams::default(), &scale(2)).await.is_err());
    assert_eq!(api.get("web").await.unwrap().spec.unwrap().replicas, Some(2));
}

#[tokio::test]
async fn requests_are_recorded_with_their_answers() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    kube.fail_next(Matcher::any().method("PATCH"), Fault::Close, 1);
    let params = PatchParams::apply("tester");
    let api = deployments(&kube);
    assert!(api.patch("web", &PatchParams { field_manager: params.field_manager, ..PatchParams::default() }, &scale(2)).await.is_err());
    assert!(api.get("nothing").await.is_err());
    let requests = kube.requests();
    let lines: Vec<String> = requests.iter().map(|request| format!("{} {} {}", request.method, request.path, request.status)).collect();
    let path = "/apis/apps/v1/namespaces/shop/deployments";
    assert_eq!(lines, [format!("PATCH {path}/web?&fieldManager=tester 0"), format!("GET {path}/nothing 404")]);
    assert_eq!(requests[0].content_type, "application/merge-patch+json");
    assert!(requests[0].is_write() && !requests[1].is_write());
}
