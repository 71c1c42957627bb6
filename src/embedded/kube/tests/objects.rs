use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ObjectMeta;
use serde_json::json;

use super::*;

fn json_patch(operations: Value) -> Patch<()> {
    Patch::Json(serde_json::from_value(operations).unwrap())
}

fn params() -> PatchParams {
    PatchParams::default()
}

#[tokio::test]
async fn a_created_object_comes_back_with_what_the_server_owns_and_defaults() {
    let kube = start();
    kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})).unwrap();
    let created = deployments(&kube).create(&PostParams::default(), &typed(deployment("web", "nginx:1.27"))).await.unwrap();
    assert_eq!(created.uid().unwrap().len(), 36);
    assert!(created.creation_timestamp().is_some());
    assert_eq!(created.metadata.generation, Some(1));
    assert_eq!(created.spec.as_ref().unwrap().replicas, Some(1));
    let read = deployments(&kube).get("web").await.unwrap();
    assert_eq!(read, created);
}

#[tokio::test]
async fn creation_is_refused_for_a_name_taken_a_missing_namespace_and_a_broken_rule() {
    let kube = start();
    let create = async |object: Value| {
        let api: Api<Deployment> = Api::namespaced(kube.client(), object::namespace(&object));
        refusal(api.create(&PostParams::default(), &typed(object)).await)
    };
    assert_eq!(create(deployment("web", "nginx:1")).await, (404, "NotFound".into()));
    kube.apply(deployment("web", "nginx:1")).unwrap();
    assert_eq!(create(deployment("web", "nginx:1")).await, (409, "AlreadyExists".into()));
    assert_eq!(create(deployment("api", "")).await, (422, "Invalid".into()));
    assert_eq!(create(deployment("Api", "nginx:1")).await, (422, "Invalid".into()));
}

#[tokio::test]
async fn an_update_with_a_stale_resource_version_is_a_conflict() {
    let kube = start();
    let stale = typed(kube.apply(deployment("web", "nginx:1")).unwrap());
    let mut fresh = stale.clone();
    fresh.spec.as_mut().unwrap().replicas = Some(3);
    let written = deployments(&kube).replace("web", &PostParams::default(), &fresh).await.unwrap();
    assert_eq!(written.metadata.generation, Some(2));
    let outcome = deployments(&kube).replace("web", &PostParams::default(), &stale).await;
    assert_eq!(refusal(outcome), (409, "Conflict".into()));
}

#[tokio::test]
async fn a_json_patch_whose_test_fails_is_unprocessable_and_changes_nothing() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let image = "/spec/template/spec/containers/0/image";
    let set = |expected: &str| {
        json_patch(json!([
            {"op": "test", "path": image, "value": expected},
            {"op": "replace", "path": image, "value": "nginx:2"},
        ]))
    };
    let api = deployments(&kube);
    assert_eq!(refusal(api.patch("web", &params(), &set("nginx:0")).await), (422, "Invalid".into()));
    assert_eq!(image_of(&api.get("web").await.unwrap()), "nginx:1");
    let patched = api.patch("web", &params(), &set("nginx:1")).await.unwrap();
    assert_eq!(image_of(&patched), "nginx:2");
    assert_eq!(patched.metadata.generation, Some(2));
}

#[tokio::test]
async fn a_patch_fences_with_the_resource_version() {
    let kube = start();
    let version = object::resource_version(&kube.apply(deployment("web", "nginx:1")).unwrap()).to_owned();
    let api = deployments(&kube);
    let fence = |op: &str, version: &str| {
        json_patch(json!([
            {"op": op, "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/annotations", "value": {"skeg.dev/last-update": "u"}},
        ]))
    };
    assert_eq!(refusal(api.patch("web", &params(), &fence("test", "1")).await), (422, "Invalid".into()));
    assert_eq!(refusal(api.patch("web", &params(), &fence("replace", "1")).await), (409, "Conflict".into()));
    let merge = Patch::Merge(json!({"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}}));
    assert_eq!(refusal(api.patch("web", &params(), &merge).await), (409, "Conflict".into()));
    let patched = api.patch("web", &params(), &fence("test", &version)).await.unwrap();
    assert_eq!(patched.annotations()["skeg.dev/last-update"], "u");
    assert_eq!(patched.metadata.generation, Some(2), "annotations of a Deployment count");
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_no_write() {
    let kube = start();
    let before = kube.apply(deployment("web", "nginx:1")).unwrap();
    let patched = deployments(&kube).patch("web", &params(), &Patch::Merge(json!({"metadata": {"labels": {"app": "web"}}}))).await;
    assert_eq!(patched.unwrap().resource_version().unwrap(), object::resource_version(&before));
}

#[tokio::test]
async fn a_dry_run_is_checked_and_stores_nothing() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let api = deployments(&kube);
    let image = |image: &str| Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}}));
    let patched = api.patch("web", &PatchParams { dry_run: true, ..params() }, &image("nginx:2")).await.unwrap();
    assert_eq!(image_of(&patched), "nginx:2");
    let refused = api.patch("web", &PatchParams { dry_run: true, ..params() }, &image("")).await;
    assert_eq!(refusal(refused), (422, "Invalid".into()));
    let create = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&create, &typed(deployment("api", "nginx:1"))).await.unwrap();
    api.delete("web", &DeleteParams { dry_run: true, ..DeleteParams::default() }).await.unwrap();
    let left = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        left.items.iter().map(|left| (left.name_any(), image_of(left).to_owned())).collect::<Vec<_>>(),
        [("web".into(), "nginx:1".into())]
    );
}

#[tokio::test]
async fn status_is_written_through_its_subresource_only() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let api = deployments(&kube);
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}, "status": {"readyReplicas": 1, "observedGeneration": 1}}));
    let main = api.patch("web", &params(), &patch).await.unwrap();
    assert_eq!(main.status.unwrap_or_default().ready_replicas, None);
    let status =
        api.patch_status("web", &params(), &Patch::Merge(json!({"spec": {"replicas": 9}, "status": {"readyReplicas": 1}}))).await.unwrap();
    assert_eq!(status.status.unwrap().ready_replicas, Some(1));
    assert_eq!((status.spec.unwrap().replicas, status.metadata.generation), (Some(5), Some(2)));
}

#[tokio::test]
async fn lists_select_and_are_cut_into_pages_of_one_moment() {
    let kube = start();
    for name in ["a", "b", "c", "d", "e"] {
        kube.apply(deployment(name, "nginx:1")).unwrap();
    }
    let api = deployments(&kube);
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    api.delete("e", &DeleteParams::default()).await.unwrap();
    let mut names: Vec<String> = first.items.iter().map(ResourceExt::name_any).collect();
    let mut token = first.metadata.continue_.clone();
    while let Some(page) = token.filter(|token| !token.is_empty()) {
        let page = api.list(&ListParams::default().limit(2).continue_token(&page)).await.unwrap();
        assert_eq!(page.metadata.resource_version, first.metadata.resource_version);
        names.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_;
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let selected = api.list(&ListParams::default().labels("app in (a,e)").fields("metadata.name!=b")).await.unwrap();
    assert_eq!(selected.items.len(), 1);
    assert_eq!(refusal(api.list(&ListParams::default().fields("spec.replicas=1")).await), (400, "BadRequest".into()));
}

#[tokio::test]
async fn a_listing_that_was_compacted_cannot_be_continued() {
    let kube = start();
    kube.apply(deployment("a", "nginx:1")).unwrap();
    kube.apply(deployment("b", "nginx:1")).unwrap();
    let token = deployments(&kube).list(&ListParams::default().limit(1)).await.unwrap().metadata.continue_.unwrap();
    kube.compact();
    let outcome = deployments(&kube).list(&ListParams::default().continue_token(&token)).await;
    assert_eq!(refusal(outcome), (410, "Expired".into()));
    let outcome = deployments(&kube).list(&ListParams::default().continue_token("nonsense")).await;
    assert_eq!(refusal(outcome), (400, "BadRequest".into()));
}

#[tokio::test]
async fn image_updates_are_held_to_the_definition_that_skeg_installs() {
    let kube = start();
    kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})).unwrap();
    let api = image_updates(&kube);
    let refused = async |pointer: &str, value: Value| {
        let mut update = image_update("web-1", "Held");
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        update.data.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().insert(field.to_owned(), value);
        assert_eq!(refusal(api.create(&PostParams::default(), &update).await), (422, "Invalid".to_owned()), "{pointer}");
    };
    refused("/spec/policy", Value::Null).await;
    refused("/spec/changes", json!([])).await;
    refused("/spec/plan", json!("moon")).await;
    refused("/status/reason", json!("x".repeat(513))).await;
    refused("/status/since", json!("yesterday")).await;
    api.create(&PostParams::default(), &image_update("web-1", "Held")).await.unwrap();
}

#[tokio::test]
async fn a_custom_resource_keeps_its_status_and_counts_every_change_of_it() {
    let kube = start();
    kube.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})).unwrap();
    let api = image_updates(&kube);
    let mut update = api.create(&PostParams::default(), &image_update("web-1", "Held")).await.unwrap();
    assert_eq!(update.data["status"]["phase"], "Held");
    assert_eq!(update.metadata.generation, Some(1));
    update.data["status"]["phase"] = json!("Applying");
    let update = api.replace("web-1", &PostParams::default(), &update).await.unwrap();
    assert_eq!(update.metadata.generation, Some(2));
    let labelled = api.patch("web-1", &params(), &Patch::Merge(json!({"metadata": {"labels": {"skeg.dev/open": null}}}))).await.unwrap();
    assert_eq!(labelled.metadata.generation, Some(2));
    assert_eq!(refusal(api.patch_status("web-1", &params(), &Patch::Merge(json!({"status": {}}))).await).0, 404);
    assert_eq!(refusal(api.patch("web-1", &params(), &Patch::Strategic(json!({}))).await), (415, "UnsupportedMediaType".into()));
}

#[tokio::test]
async fn the_rules_of_an_image_update_fence_every_way_of_writing_it() {
    let kube = start();
    kube.apply(serde_json::to_value(image_update("web-1", "Done")).unwrap()).unwrap();
    let api = image_updates(&kube);
    let present = api.get("web-1").await.unwrap();
    for (field, value) in [
        ("spec", json!({"attempt": 2})),
        ("status", json!({"phase": "Held", "epoch": 1})),
        ("status", json!({"phase": "Done", "epoch": 0})),
    ] {
        let mut changed = present.clone();
        changed.data[field] = value.clone();
        assert_eq!(refusal(api.replace("web-1", &PostParams::default(), &changed).await), (422, "Invalid".into()), "{field} {value}");
        let merge = Patch::Merge(json!({ field: value }));
        assert_eq!(refusal(api.patch("web-1", &params(), &merge).await), (422, "Invalid".into()), "{field} {value}");
    }
    let mut without_version = present.clone();
    without_version.metadata.resource_version = None;
    assert_eq!(refusal(api.replace("web-1", &PostParams::default(), &without_version).await), (422, "Invalid".into()));
}

#[tokio::test]
async fn a_type_without_definition_is_not_served_at_all() {
    let kube = start_with(Options { definitions: Vec::new(), ..Options::default() });
    let (code, reason) = refusal(image_updates(&kube).list(&ListParams::default()).await);
    assert_eq!((code, reason.as_str()), (404, "Failed to parse error data"), "the real server answers in plain text");
    kube.apply(crd()).unwrap();
    assert!(image_updates(&kube).list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn deletion_honours_preconditions_and_finalizers() {
    let kube = start();
    let mut kept = deployment("web", "nginx:1");
    object::set(&mut kept, &["metadata", "finalizers"], json!(["skeg.dev/test"]));
    kube.apply(kept).unwrap();
    let api = deployments(&kube);
    let other = Preconditions { uid: Some("other".into()), resource_version: None };
    let params_with = DeleteParams { preconditions: Some(other), ..DeleteParams::default() };
    assert_eq!(refusal(api.delete("web", &params_with).await), (409, "Conflict".into()));
    let terminating = api.delete("web", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(terminating.metadata.deletion_timestamp.is_some());
    api.patch("web", &params(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await.unwrap();
    assert!(api.get_opt("web").await.unwrap().is_none());
    assert_eq!(refusal(api.delete("web", &DeleteParams::default()).await), (404, "NotFound".into()));
}

#[tokio::test]
async fn a_deleted_namespace_takes_its_objects_along() {
    let kube = start();
    kube.apply(deployment("web", "nginx:1")).unwrap();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(kube.client());
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    assert!(kube.all("apps/v1", "Deployment").is_empty());
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let kube = start();
    kube.apply(deployment("a", "nginx:1")).unwrap();
    kube.apply(deployment("b", "nginx:1")).unwrap();
    deployments(&kube).delete_collection(&DeleteParams::default(), &ListParams::default().labels("app=a")).await.unwrap();
    let left = deployments(&kube).list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn generated_names_differ() {
    let kube = start();
    let api: Api<ConfigMap> = Api::namespaced(kube.client(), "default");
    let map = ConfigMap { metadata: ObjectMeta { generate_name: Some("note-".into()), ..ObjectMeta::default() }, ..ConfigMap::default() };
    let (one, two) = (api.create(&PostParams::default(), &map).await.unwrap(), api.create(&PostParams::default(), &map).await.unwrap());
    assert!(one.name_any().starts_with("note-") && one.name_any() != two.name_any());
}

#[tokio::test]
async fn an_event_published_by_the_recorder_is_read_as_core_event() {
    use kube::runtime::events::{Event as Note, EventType, Recorder, Reporter};
    let kube = start();
    let web = typed(kube.apply(deployment("web", "nginx:1")).unwrap());
    let reporter = Reporter { controller: "skeg".into(), instance: Some("skeg-0".into()) };
    let recorder = Recorder::new(kube.client(), reporter);
    let note = Note {
        type_: EventType::Normal,
        reason: "Held".into(),
        note: Some("waits for a vote".into()),
        action: "Hold".into(),
        secondary: None,
    };
    let reference = kube::Resource::object_ref(&web, &());
    recorder.publish(&note, &reference).await.unwrap();
    recorder.publish(&note, &reference).await.unwrap();
    let events: Api<Event> = Api::namespaced(kube.client(), "shop");
    let found = events.list(&ListParams::default().fields("involvedObject.name=web")).await.unwrap();
    assert_eq!(found.items.len(), 1, "the second one is a series of the first");
    assert_eq!(found.items[0].message.as_deref(), Some("waits for a vote"));
    assert_eq!(found.items[0].series.as_ref().and_then(|series| series.count), Some(2));
}
