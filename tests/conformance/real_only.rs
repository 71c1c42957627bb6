//! What only the real server can show: access, the table of `kubectl get`, the definition itself.

use serde_json::{Value, json};

use super::{Scope, image_update, with};
use crate::support::controlplane::{self, User};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/imageupdates.skeg.dev";

#[tokio::test]
async fn callers_without_a_token_a_known_one_or_a_role_are_refused() {
    let Some(scope) = Scope::real().await else { return };
    let plane = controlplane::shared().await.unwrap();
    scope.server.with_token(None).get(&scope.updates()).await.refused(403, "Forbidden");
    scope.server.with_token(Some("unknown")).get(&scope.updates()).await.refused(401, "Unauthorized");
    let status = plane.server(User::Nobody).get(&scope.updates()).await.refused(403, "Forbidden");
    assert!(status["message"].as_str().unwrap().contains("User \"nobody\" cannot list resource \"imageupdates\""), "{status:#}");
}

#[tokio::test]
async fn a_role_grants_what_it_names_and_nothing_more() {
    let Some(scope) = Scope::real().await else { return };
    let skeg = controlplane::shared().await.unwrap().server(User::Skeg);
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", scope.namespace);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": "skeg" },
        "rules": [{ "apiGroups": ["skeg.dev"], "resources": ["imageupdates"], "verbs": ["create", "get"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "skeg" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "skeg" },
        "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "skeg" }],
    });
    skeg.post(&scope.updates(), &image_update("a")).await.refused(403, "Forbidden");
    scope.server.post(&format!("{rbac}/roles"), &role).await.is(201);
    scope.server.post(&format!("{rbac}/rolebindings"), &binding).await.is(201);
    // The authoriser learns of new roles by its own watch; 10 s would be a fault.
    for _ in 0..200 {
        if skeg.answers(&format!("{}?dryRun=All", scope.update("absent"))).await || skeg.get(&scope.update("absent")).await.code == 404 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    skeg.post(&scope.updates(), &image_update("a")).await.is(201);
    skeg.get(&scope.update("a")).await.is(200);
    skeg.delete(&scope.update("a")).await.refused(403, "Forbidden");
    skeg.get(&scope.deployments()).await.refused(403, "Forbidden");
}

#[tokio::test]
async fn kubectl_get_shows_workload_tag_phase_reason_votes_and_age() {
    let Some(scope) = Scope::real().await else { return };
    let update = with(&image_update("a"), "/status/tally", "0/1");
    scope.server.post(&scope.updates(), &update).await.is(201);
    let table = scope.server.table(&scope.updates()).await;
    let titles: Vec<&Value> = table["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(titles, ["Name", "Workload", "To", "Phase", "Reason", "Votes", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..6], ["a", "web", "1.0.1", "Held", "waits for 1 approval", "0/1"].map(Value::from));
}

#[tokio::test]
async fn pruned_fields_are_warned_of_in_a_header() {
    let Some(scope) = Scope::real().await else { return };
    let sent = with(&with(&image_update("a"), "/spec/nope", 1), "/zap", true);
    let warned = scope.server.post(&scope.updates(), &sent).await.warnings.concat();
    for field in ["spec.nope", "zap"] {
        assert!(warned.contains(&format!("unknown field \\\"{field}\\\"")), "{field}: {warned}");
    }
}

#[tokio::test]
async fn another_kind_in_the_body_is_invalid() {
    let Some(scope) = Scope::real().await else { return };
    scope.server.post(&scope.updates(), &with(&image_update("a"), "/kind", "Other")).await.invalid(&["kind"]);
}

#[tokio::test]
async fn the_definition_is_accepted_whole() {
    let Some(scope) = Scope::real().await else { return };
    let stored = scope.server.get(DEFINITION).await.is(200);
    let conditions = stored["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().all(|condition| condition["type"] != "NonStructuralSchema"), "{conditions:#?}");
    let sent = skeg::adapters::journal::crd::crd();
    // The server adds defaults at the top and must change nothing of what was sent.
    assert_eq!(stored["spec"]["versions"][0]["schema"], sent["spec"]["versions"][0]["schema"]);
    assert_eq!(stored["spec"]["versions"][0].get("subresources"), None);
}

/// The largest value the schema allows: every text at its bound, every list full.
fn fullest(schema: &Value) -> Value {
    let text = |length: u64| "x".repeat(usize::try_from(length).unwrap());
    match schema["type"].as_str().unwrap() {
        "object" => schema["properties"].as_object().unwrap().iter().map(|(name, field)| (name.clone(), fullest(field))).collect(),
        "array" => (0..schema["maxItems"].as_u64().unwrap()).map(|_| fullest(&schema["items"])).collect(),
        "string" if schema["format"] == "date-time" => json!("2026-01-01T00:00:00.123456789+00:00"),
        "string" => schema["enum"].get(0).cloned().unwrap_or_else(|| text(schema["maxLength"].as_u64().unwrap()).into()),
        "integer" => schema.get("maximum").cloned().unwrap_or(json!(i64::MAX)),
        "boolean" => json!(true),
        other => panic!("type {other}"),
    }
}

#[tokio::test]
async fn an_object_at_every_bound_is_stored_and_its_rules_are_run() {
    let Some(scope) = Scope::real().await else { return };
    let crd = skeg::adapters::journal::crd::crd();
    let properties = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut update = image_update("full");
    update["spec"] = fullest(&properties["spec"]);
    update["status"] = fullest(&properties["status"]);
    let stored = scope.server.post(&scope.updates(), &update).await.is(201);
    let replaced = scope.server.put(&scope.update("full"), &with(&stored, "/status/phase", "Done")).await.is(200);
    scope.server.put(&scope.update("full"), &with(&replaced, "/spec/changes/63/tag", "y")).await.invalid(&["spec"]);
}

#[tokio::test]
async fn the_kubeconfig_leads_the_clusters_own_client_to_the_server() {
    let Some(plane) = controlplane::shared().await else { return };
    let kubeconfig = kube::config::Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await.unwrap();
    let version = kube::Client::try_from(config).unwrap().apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
}
