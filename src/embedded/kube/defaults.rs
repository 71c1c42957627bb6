//! The values the API server fills in when a client leaves them out.
//!
//! Source: `pkg/apis/{core,apps}/v1/defaults.go` of Kubernetes; only fields of the types served here. Clients compare what they
//! wrote with what came back, and `kubectl` computes patches from it, so the defaults are part of the protocol.

use serde_json::{Value, json};

use super::catalog::Schema;
use super::object::{self, set_default};

/// Fills in what the type's defaults say.
pub fn apply(schema: &Schema, object: &mut Value) {
    match schema {
        Schema::Deployment => deployment(object),
        Schema::ReplicaSet => {
            set_default(object, &["spec", "replicas"], 1);
            pod_template(object);
        }
        Schema::Pod => {
            set_default(object, &["status", "phase"], "Pending");
            pod_spec(object::map_at(object, &[]).entry("spec").or_insert_with(|| json!({})));
        }
        Schema::Secret => secret(object),
        Schema::Namespace => {
            set_default(object, &["spec", "finalizers"], json!(["kubernetes"]));
            set_default(object, &["status", "phase"], "Active");
            let name = object::name(object).to_owned();
            object::set(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
        }
        Schema::CustomResourceDefinition => definition(object),
        Schema::Node
        | Schema::ConfigMap
        | Schema::ServiceAccount
        | Schema::CoreEvent
        | Schema::Event
        | Schema::Lease
        | Schema::Custom(_) => {}
    }
}

fn deployment(object: &mut Value) {
    set_default(object, &["spec", "replicas"], 1);
    set_default(object, &["spec", "revisionHistoryLimit"], 10);
    set_default(object, &["spec", "progressDeadlineSeconds"], 600);
    set_default(object, &["spec", "strategy", "type"], "RollingUpdate");
    if object::text(object, "/spec/strategy/type") == Some("RollingUpdate") {
        set_default(object, &["spec", "strategy", "rollingUpdate", "maxUnavailable"], "25%");
        set_default(object, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
    }
    pod_template(object);
}

fn pod_template(object: &mut Value) {
    let template = object::map_at(object, &["spec", "template"]);
    pod_spec(template.entry("spec").or_insert_with(|| json!({})));
}

fn pod_spec(spec: &mut Value) {
    set_default(spec, &["restartPolicy"], "Always");
    set_default(spec, &["terminationGracePeriodSeconds"], 30);
    set_default(spec, &["dnsPolicy"], "ClusterFirst");
    set_default(spec, &["securityContext"], json!({}));
    set_default(spec, &["schedulerName"], "default-scheduler");
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(container);
    }
}

fn container(container: &mut Value) {
    let image = object::text(container, "/image").unwrap_or_default();
    let pull_policy = if is_latest(image) { "Always" } else { "IfNotPresent" };
    set_default(container, &["imagePullPolicy"], pull_policy);
    set_default(container, &["resources"], json!({}));
    set_default(container, &["terminationMessagePath"], "/dev/termination-log");
    set_default(container, &["terminationMessagePolicy"], "File");
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    ports.into_iter().flatten().for_each(|port| set_default(port, &["protocol"], "TCP"));
}

/// `parsers.ParseImageName`: no tag and no digest is read as `latest`.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    set_default(object, &["type"], "Opaque");
    let Some(Value::Object(plain)) = object::remove(object, &["stringData"]) else {
        return;
    };
    for (key, value) in plain {
        let value = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        object::set(object, &["data", &key], value);
    }
}

/// Names are accepted and the type is established at once; the real server takes a moment.
fn definition(object: &mut Value) {
    let kind = object::text(object, "/spec/names/kind").unwrap_or_default().to_owned();
    set_default(object, &["spec", "names", "singular"], kind.to_lowercase());
    set_default(object, &["spec", "names", "listKind"], format!("{kind}List"));
    set_default(object, &["spec", "conversion", "strategy"], "None");
    let accepted = object.pointer("/spec/names").cloned().unwrap_or_default();
    object::set(object, &["status", "acceptedNames"], accepted);
    let stored: Vec<Value> = object::elements(object, "/spec/versions")
        .iter()
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    object::set(object, &["status", "storedVersions"], stored);
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": ""});
    let conditions = json!([condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")]);
    object::set(object, &["status", "conditions"], conditions);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[track_caller]
    fn check(image: &str, policy: &str) {
        let mut pod = json!({"spec": {"containers": [{"name": "a", "image": image}]}});
        apply(&Schema::Pod, &mut pod);
        assert_eq!(object::text(&pod, "/spec/containers/0/imagePullPolicy"), Some(policy), "{image}");
    }

    #[test]
    fn images_without_a_fixed_tag_are_always_pulled() {
        check("nginx", "Always");
        check("nginx:latest", "Always");
        check("localhost:5000/nginx", "Always");
        check("localhost:5000/nginx:1.27", "IfNotPresent");
        check("nginx@sha256:0123", "IfNotPresent");
    }

    #[test]
    fn defaults_leave_what_the_client_set() {
        let mut deployment = json!({"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}});
        apply(&Schema::Deployment, &mut deployment);
        assert_eq!(object::number(&deployment, "/spec/replicas"), Some(0));
        assert_eq!(deployment.pointer("/spec/strategy"), Some(&json!({"type": "Recreate"})));
        assert_eq!(object::number(&deployment, "/spec/progressDeadlineSeconds"), Some(600));
    }

    #[test]
    fn string_data_of_a_secret_becomes_data() {
        let mut secret = json!({"stringData": {"password": "hunter2"}});
        apply(&Schema::Secret, &mut secret);
        assert_eq!(secret, json!({"type": "Opaque", "data": {"password": "aHVudGVyMg=="}}));
    }
}
