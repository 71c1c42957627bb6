use serde_json::{Value, json};

use super::{Scope, deployment, names, version, with};
use crate::support::controlplane::Power;
use crate::support::kube_api::{JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};

conformance!(
    a_deployment_is_stored_with_its_defaults,
    a_dry_run_is_checked_and_stores_nothing,
    an_unknown_dry_run_is_invalid,
    a_finalizer_keeps_a_deleted_object_until_it_is_taken_off,
    a_collection_is_deleted_by_selector,
    a_strategic_patch_carries_out_its_directives,
    a_replace_of_a_missing_key_adds_it,
    string_data_of_a_secret_becomes_data,
    the_type_of_a_secret_and_what_is_immutable_stay,
    a_lease_is_replaced_only_by_its_version,
    of_a_pod_only_images_change,
    initial_events_end_with_a_bookmark,
    metadata_alone_is_listed_and_watched,
    a_list_of_any_version_knows_no_pages,
    a_table_of_deployments_shows_how_far_they_are,
);

async fn a_deployment_is_stored_with_its_defaults(scope: &Scope) {
    let image = |container: usize| format!("/spec/template/spec/containers/{container}/image");
    let sent =
        with(&with(&deployment("web"), &image(1), "team/side"), "/spec/template/spec/containers/1/ports", json!([{ "containerPort": 80 }]));
    let mut spec = scope.server.post(&scope.deployments(), &sent).await.is(201)["spec"].clone();
    // Servers up to 1.34 write a null here, later ones nothing.
    spec["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    let container = |name: &str, image: &str, pull: &str| {
        json!({
            "name": name,
            "image": image,
            "imagePullPolicy": pull,
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        })
    };
    let side = with(&container("side", "team/side", "Always"), "/ports", json!([{ "containerPort": 80, "protocol": "TCP" }]));
    let expected = json!({
        "replicas": 1,
        "selector": { "matchLabels": { "app": "web" } },
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "template": {
            "metadata": { "labels": { "app": "web" } },
            "spec": {
                "containers": [container("web", "team/web:1.0.0", "IfNotPresent"), side],
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "securityContext": {},
                "schedulerName": "default-scheduler",
            },
        },
    });
    assert_eq!(spec, expected);
}

async fn a_dry_run_is_checked_and_stores_nothing(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    let dry = |path: String| format!("{path}?dryRun=All");
    scope.server.post(&dry(scope.deployments()), &deployment("web")).await.is(201);
    scope.server.get(&scope.deployment("web")).await.refused(404, "NotFound");
    let before = scope.create_deployment("web").await;
    let scale = json!({ "spec": { "replicas": 4 } });
    let patched = scope.server.patch(&dry(scope.deployment("web")), MERGE_PATCH, &scale).await.is(200);
    assert_eq!(patched["spec"]["replicas"], 4);
    let shrink = json!({ "spec": { "replicas": -1 } });
    scope.server.patch(&dry(scope.deployment("web")), MERGE_PATCH, &shrink).await.invalid(&["spec.replicas"]);
    scope.server.delete(&dry(scope.deployment("web"))).await.is(200);
    assert_eq!(scope.server.get(&scope.deployment("web")).await.is(200), before);
}

async fn an_unknown_dry_run_is_invalid(scope: &Scope) {
    scope.server.post(&format!("{}?dryRun=Some", scope.deployments()), &deployment("web")).await.refused(422, "Invalid");
}

async fn a_finalizer_keeps_a_deleted_object_until_it_is_taken_off(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    let sent = with(&deployment("web"), "/metadata/finalizers", json!(["skeg.dev/test"]));
    let created = scope.server.post(&scope.deployments(), &sent).await.is(201);
    let terminating = scope.server.delete(&scope.deployment("web")).await.is(200);
    let still = scope.server.get(&scope.deployment("web")).await.is(200);
    assert!(still["metadata"]["deletionTimestamp"].is_string(), "{terminating:#}");
    assert_ne!(version(&still), version(&created));
    let free = json!({ "metadata": { "finalizers": null } });
    scope.server.patch(&scope.deployment("web"), MERGE_PATCH, &free).await.is(200);
    scope.server.get(&scope.deployment("web")).await.refused(404, "NotFound");
}

async fn a_collection_is_deleted_by_selector(scope: &Scope) {
    for name in ["a", "b"] {
        let sent = with(&deployment(name), "/metadata/labels", json!({ "which": name }));
        scope.server.post(&scope.deployments(), &sent).await.is(201);
    }
    scope.server.delete(&format!("{}?labelSelector=which%3Da", scope.deployments())).await.is(200);
    assert_eq!(names(&scope.server.get(&scope.deployments()).await.is(200)), ["b"]);
}

async fn a_strategic_patch_carries_out_its_directives(scope: &Scope) {
    scope.create_deployment("web").await;
    let patch = json!({
        "metadata": { "labels": { "a": "1" } },
        "spec": {
            "strategy": { "$retainKeys": ["type"], "type": "Recreate" },
            "template": { "spec": {
                "$setElementOrder/containers": [{ "name": "new" }, { "name": "web" }],
                "containers": [
                    { "name": "new", "image": "team/new:1", "env": [{ "name": "A", "value": "1" }] },
                    { "name": "side", "$patch": "delete" },
                ],
            } },
        },
    });
    let patched = scope.server.patch(&scope.deployment("web"), STRATEGIC_PATCH, &patch).await.is(200);
    assert_eq!(patched["spec"]["strategy"], json!({ "type": "Recreate" }));
    let containers = patched["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.iter().map(|container| container["name"].as_str().unwrap()).collect::<Vec<_>>(), ["new", "web"]);
    let more = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "new", "env": [{ "name": "B", "value": "2" }] }] } } } });
    let patched = scope.server.patch(&scope.deployment("web"), STRATEGIC_PATCH, &more).await.is(200);
    let containers = patched["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let new = containers.iter().find(|container| container["name"] == "new").unwrap();
    assert_eq!(new["env"], json!([{ "name": "B", "value": "2" }, { "name": "A", "value": "1" }]));
}

async fn a_replace_of_a_missing_key_adds_it(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    scope.create_deployment("web").await;
    let patch = json!([{ "op": "replace", "path": "/spec/minReadySeconds", "value": 3 }]);
    let patched = scope.server.patch(&scope.deployment("web"), JSON_PATCH, &patch).await.is(200);
    assert_eq!(patched["spec"]["minReadySeconds"], 3);
    let absent = json!([{ "op": "test", "path": "/metadata/annotations", "value": null }]);
    scope.server.patch(&scope.deployment("web"), JSON_PATCH, &absent).await.is(200);
}

fn secrets(scope: &Scope) -> String {
    format!("/api/v1/namespaces/{}/secrets", scope.namespace)
}

fn secret() -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "pull" }, "stringData": { "password": "hunter2" } })
}

async fn string_data_of_a_secret_becomes_data(scope: &Scope) {
    let stored = scope.server.post(&secrets(scope), &secret()).await.is(201);
    assert_eq!(stored["data"], json!({ "password": "aHVudGVyMg==" }));
    assert_eq!((stored.get("stringData"), &stored["type"]), (None, &json!("Opaque")));
}

async fn the_type_of_a_secret_and_what_is_immutable_stay(scope: &Scope) {
    let stored = scope.server.post(&secrets(scope), &secret()).await.is(201);
    let path = format!("{}/pull", secrets(scope));
    scope.server.put(&path, &with(&stored, "/type", "Other")).await.invalid(&["type"]);
    let sealed = scope.server.put(&path, &with(&stored, "/immutable", true)).await.is(200);
    scope.server.put(&path, &with(&sealed, "/data", json!({}))).await.invalid(&["data"]);
}

async fn a_lease_is_replaced_only_by_its_version(scope: &Scope) {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", scope.namespace);
    let sent = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": "skeg" },
        "spec": { "holderIdentity": "a", "leaseDurationSeconds": 15, "leaseTransitions": 0, "renewTime": "2026-01-01T00:00:00.000000Z" },
    });
    let stored = scope.server.post(&leases, &sent).await.is(201);
    assert_eq!(stored["spec"], sent["spec"]);
    let path = format!("{leases}/skeg");
    let taken = scope.server.put(&path, &with(&stored, "/spec/holderIdentity", "b")).await.is(200);
    assert_eq!(taken["spec"]["holderIdentity"], "b");
    scope.server.put(&path, &with(&stored, "/spec/holderIdentity", "c")).await.refused(409, "Conflict");
    scope.server.put(&path, &with(&taken, "/spec/leaseDurationSeconds", 0)).await.invalid(&["spec.leaseDurationSeconds"]);
}

async fn of_a_pod_only_images_change(scope: &Scope) {
    let stored = scope.create_pod("one").await;
    assert_eq!(stored["status"]["phase"], "Pending");
    let path = format!("{}/one", scope.pods());
    let changed = scope.server.put(&path, &with(&stored, "/spec/containers/0/image", "team/web:2")).await.is(200);
    scope.server.put(&path, &with(&changed, "/spec/containers/0/command", json!(["sh"]))).await.invalid(&["spec"]);
}

async fn initial_events_end_with_a_bookmark(scope: &Scope) {
    scope.create_update("a").await;
    let asked = "watch=true&timeoutSeconds=60&sendInitialEvents=true&allowWatchBookmarks=true";
    scope.server.get(&format!("{}?{asked}", scope.updates())).await.refused(422, "Invalid");
    let mut watch = scope.server.watch(&format!("{}?{asked}&resourceVersionMatch=NotOlderThan", scope.updates())).await;
    let added = watch.next().await.unwrap();
    assert_eq!((&added["type"], &added["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("a")));
    let bookmark = watch.next().await.unwrap();
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!("ImageUpdate")));
    assert_eq!(bookmark["object"]["metadata"]["annotations"], json!({ "k8s.io/initial-events-end": "true" }));
    scope.create_update("b").await;
    let mut next = watch.next().await.unwrap();
    // A server tells the version from time to time.
    while next["type"] == "BOOKMARK" {
        next = watch.next().await.unwrap();
    }
    assert_eq!(next["object"]["metadata"]["name"], "b");
}

async fn metadata_alone_is_listed_and_watched(scope: &Scope) {
    scope.create_deployment("web").await;
    let list = scope.server.get_as(&scope.deployments(), "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await;
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PartialObjectMetadataList"), &json!("meta.k8s.io/v1")));
    assert_eq!((list["items"][0]["metadata"]["name"].as_str(), list["items"][0].get("spec")), (Some("web"), None));
    let one = scope.server.get_as(&scope.deployment("web"), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").await;
    assert_eq!((&one["kind"], one.get("spec")), (&json!("PartialObjectMetadata"), None));
}

async fn a_list_of_any_version_knows_no_pages(scope: &Scope) {
    scope.create_deployment("a").await;
    scope.create_deployment("b").await;
    let all = scope.server.get(&format!("{}?limit=1&resourceVersion=0", scope.deployments())).await.is(200);
    assert_eq!(names(&all), ["a", "b"]);
}

async fn a_table_of_deployments_shows_how_far_they_are(scope: &Scope) {
    if !scope.gives(Power::Quiet).await {
        return;
    }
    scope.create_deployment("web").await;
    let table = scope.server.table(&scope.deployments()).await;
    let shown = table["columnDefinitions"].as_array().unwrap().iter().filter(|column| column["priority"] == 0);
    assert_eq!(
        shown.map(|column| column["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["Name", "Ready", "Up-to-date", "Available", "Age"]
    );
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..4], [json!("web"), json!("0/1"), json!(0), json!(0)]);
}
