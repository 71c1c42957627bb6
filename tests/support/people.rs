//! What engineers may do beside skeg: look after the workloads of their namespaces, and look at the records of updates.

use serde_json::json;

use super::controlplane::{ControlPlane, User};
use super::kube_api::Server;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// What Kubernetes' own roles `view` and `edit` are made of. They themselves are empty until a controller has put them together, which not
/// every control plane runs.
const PARTS_OF_EDIT: [&str; 2] = ["system:aggregate-to-view", "system:aggregate-to-edit"];

/// Lets [`User::Person`] edit in this namespace, as Kubernetes' own role `edit` has it, and see the records.
pub async fn let_in(plane: &ControlPlane, admin: &Server, namespace: &str) {
    let records = json!({ "apiGroups": ["skeg.dev"], "resources": ["imageupdates"], "verbs": ["get", "list", "watch"] });
    let role = json!({ "metadata": { "name": "sees-updates" }, "rules": [records] });
    admin.post(&format!("{RBAC}/namespaces/{namespace}/roles"), &role).await.is(201);
    for (kind, name) in PARTS_OF_EDIT.map(|part| ("ClusterRole", part)).into_iter().chain([("Role", "sees-updates")]) {
        let binding = json!({
            "metadata": { "name": format!("people:{name}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
            "subjects": [plane.subject(User::Person)],
        });
        admin.post(&format!("{RBAC}/namespaces/{namespace}/rolebindings"), &binding).await.is(201);
    }
}
