use serde_json::{Value, json};

use super::{Scope, image_update, names, version, with};

conformance!(
    label_selectors_select,
    a_selector_that_does_not_parse_is_a_bad_request,
    a_field_selector_finds_a_name,
    pages_show_the_state_of_the_first,
    a_broken_continue_token_is_a_bad_request,
    items_of_built_in_kinds_carry_no_kind,
    a_list_of_all_namespaces_holds_this_one,
    an_empty_list_has_a_version,
);

/// Creates `open-0`, `open-1` and `closed` with labels `skeg.dev/open` and `number`.
async fn three(scope: &Scope) {
    let labels = [
        ("closed", json!({ "skeg.dev/binding": "true" })),
        ("open-0", json!({ "skeg.dev/open": "true", "number": "0" })),
        ("open-1", json!({ "skeg.dev/open": "true", "number": "1" })),
    ];
    for (name, labels) in labels {
        scope.server.post(&scope.updates(), &with(&image_update(name), "/metadata/labels", labels)).await.is(201);
    }
}

async fn list(scope: &Scope, query: &str) -> Value {
    scope.server.get(&format!("{}?{query}", scope.updates())).await.is(200)
}

async fn label_selectors_select(scope: &Scope) {
    three(scope).await;
    let cases: [(&str, &[&str]); 9] = [
        ("skeg.dev/open=true", &["open-0", "open-1"]),
        ("skeg.dev/open==true", &["open-0", "open-1"]),
        ("skeg.dev/open", &["open-0", "open-1"]),
        ("!skeg.dev/open", &["closed"]),
        ("skeg.dev/open!=true", &["closed"]),
        ("number in (1,2)", &["open-1"]),
        ("number notin (1)", &["closed", "open-0"]),
        ("skeg.dev/open=true,number!=0", &["open-1"]),
        ("skeg.dev/open=false", &[]),
    ];
    for (selector, expected) in cases {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("labelSelector", selector).finish();
        assert_eq!(names(&list(scope, &query).await), expected, "{selector}");
    }
}

async fn a_selector_that_does_not_parse_is_a_bad_request(scope: &Scope) {
    for query in ["labelSelector=a%20b%3D", "labelSelector=a%20in%20(", "fieldSelector=status.phase%3DHeld"] {
        scope.server.get(&format!("{}?{query}", scope.updates())).await.refused(400, "BadRequest");
    }
}

async fn a_field_selector_finds_a_name(scope: &Scope) {
    three(scope).await;
    assert_eq!(names(&list(scope, "fieldSelector=metadata.name%3Dclosed").await), ["closed"]);
}

async fn pages_show_the_state_of_the_first(scope: &Scope) {
    let _alone = super::COMPACTION.lock().await;
    three(scope).await;
    let first = list(scope, "limit=2").await;
    assert_eq!(names(&first), ["closed", "open-0"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    scope.create_update("open-9").await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = list(scope, &format!("limit=2&continue={token}")).await;
    assert_eq!(names(&second), ["open-1"]);
    assert_eq!(version(&second), version(&first));
    assert_eq!(second["metadata"]["continue"].as_str().unwrap_or_default(), "");
}

async fn a_broken_continue_token_is_a_bad_request(scope: &Scope) {
    scope.server.get(&format!("{}?limit=1&continue=broken", scope.updates())).await.refused(400, "BadRequest");
}

async fn items_of_built_in_kinds_carry_no_kind(scope: &Scope) {
    scope.create_deployment("web").await;
    scope.create_update("a").await;
    let deployments = scope.server.get(&scope.deployments()).await.is(200);
    assert_eq!((&deployments["kind"], &deployments["apiVersion"]), (&json!("DeploymentList"), &json!("apps/v1")));
    assert_eq!((deployments["items"][0].get("kind"), deployments["items"][0].get("apiVersion")), (None, None));
    let updates = scope.server.get(&scope.updates()).await.is(200);
    assert_eq!((&updates["kind"], &updates["apiVersion"]), (&json!("ImageUpdateList"), &json!("skeg.dev/v1alpha1")));
    assert_eq!(updates["items"][0]["kind"], "ImageUpdate");
}

async fn a_list_of_all_namespaces_holds_this_one(scope: &Scope) {
    scope.create_update("a").await;
    let all = scope.server.get("/apis/skeg.dev/v1alpha1/imageupdates").await.is(200);
    let here = |object: &&Value| object["metadata"]["namespace"] == scope.namespace.as_str();
    assert_eq!(all["items"].as_array().unwrap().iter().filter(here).count(), 1);
}

async fn an_empty_list_has_a_version(scope: &Scope) {
    let empty = scope.server.get(&scope.updates()).await.is(200);
    assert_eq!(empty["items"], json!([]));
    assert!(version(&empty).parse::<u64>().is_ok_and(|number| number > 0), "{empty:#}");
}
