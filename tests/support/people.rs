//! What engineers may do beside skeg: look after the workloads of their namespaces, and look at the records of updates.

use serde_json::json;

use super::controlplane::{ControlPlane, User};
use super::kube_api::Server;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Lets [`User::Person`] edit in this namespace, as Kubernetes' own role `edit` has it, and see the records.
pub async fn let_in(plane: &ControlPlane, admin: &Server, namespace: &str) {
    let records = json!({ "apiGroups": ["skeg.dev"], "resources": ["imageupdates"], "verbs": ["get", "list", "watch"] });
    let role = json!({ "metadata": { "name": "sees-updates" }, "rules": [records] });
    admin.post(&format!("{RBAC}/namespaces/{namespace}/roles"), &role).await.is(201);
    for (kind, name) in [("ClusterRole", "edit"), ("Role", "sees-updates")] {
        let binding = json!({
            "metadata": { "name": format!("people:{name}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
            "subjects": [plane.subject(User::Person)],
        });
        admin.post(&format!("{RBAC}/namespaces/{namespace}/rolebindings"), &binding).await.is(201);
    }
}
