//! What only the real server can show: who may do what, and the way there from a kubeconfig.

use serde_json::json;

use super::{Scope, image_update};
use crate::support::controlplane::{self, User};

#[tokio::test]
async fn callers_without_a_token_a_known_one_or_a_role_are_refused() {
    let Some(scope) = Scope::real().await else { return };
    let plane = controlplane::shared().await.unwrap();
    scope.server.with_token(None).get(&scope.updates()).await.refused(403, "Forbidden");
    scope.server.with_token(Some("unknown")).get(&scope.updates()).await.refused(401, "Unauthorized");
    let status = plane.server(User::Nobody).get(&scope.updates()).await.refused(403, "Forbidden");
    assert!(status["message"].as_str().unwrap().contains("nobody\" cannot list resource \"imageupdates\""), "{status:#}");
}

#[tokio::test]
async fn a_role_grants_what_it_names_and_nothing_more() {
    let Some(scope) = Scope::real().await else { return };
    let plane = controlplane::shared().await.unwrap();
    let skeg = plane.server(User::Skeg);
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
        "subjects": [plane.subject(User::Skeg)],
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
async fn the_kubeconfig_leads_the_clusters_own_client_to_the_server() {
    let Some(plane) = controlplane::shared().await else { return };
    let kubeconfig = kube::config::Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await.unwrap();
    let version = kube::Client::try_from(config).unwrap().apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
}
