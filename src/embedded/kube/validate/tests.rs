#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::super::catalog::{Catalog, Schema};
use super::super::{defaults, object};
use super::*;

fn deployment() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]},
            },
        },
    })
}

#[track_caller]
fn check_problems(problems: &[Problem], expected: &[&str]) {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.contains(expected), "{problem:?} should contain {expected:?}");
    }
}

/// Changes one field of a good Deployment and says which problems that makes.
#[track_caller]
fn check_deployment(path: &[&str], value: Value, expected: &[&str]) {
    let mut object = deployment();
    object::set(&mut object, path, value);
    defaults::apply(&Schema::Deployment, &mut object);
    check_problems(&state(&Catalog::new().built_in("Deployment"), &object), expected);
}

const CONTAINERS: [&str; 4] = ["spec", "template", "spec", "containers"];

#[test]
fn a_good_deployment_has_no_problems() {
    check_deployment(&["metadata", "name"], json!("web"), &[]);
}

#[test]
fn every_problem_of_a_deployment_is_named() {
    check_deployment(&["metadata", "name"], json!("Web"), &["metadata.name: Invalid value: \"Web\": a lowercase RFC 1123"]);
    check_deployment(&["metadata", "name"], json!(""), &["metadata.name: Required value: name or generateName is required"]);
    check_deployment(&["metadata", "labels", "a b"], json!("c!"), &["metadata.labels: Invalid value: \"a b\"", "\"c!\""]);
    check_deployment(&["metadata", "annotations", "x"], json!("y".repeat(262_144)), &["metadata.annotations: Too long"]);
    check_deployment(&["spec", "selector"], Value::Null, &["spec.selector: Required value"]);
    check_deployment(&["spec", "selector", "matchLabels"], json!({"app": "api"}), &["`selector` does not match template `labels`"]);
    check_deployment(&["spec", "replicas"], json!(-1), &["spec.replicas: Invalid value: -1"]);
    check_deployment(&CONTAINERS, json!([]), &["spec.template.spec.containers: Required value"]);
    check_deployment(&CONTAINERS, json!([{"name": "web"}]), &["spec.template.spec.containers[0].image: Required value"]);
    check_deployment(&CONTAINERS, json!([{"image": "a"}]), &["spec.template.spec.containers[0].name: Required value"]);
    check_deployment(
        &CONTAINERS,
        json!([{"name": "a", "image": "x"}, {"name": "a", "image": "y "}]),
        &["containers[1].name: Duplicate value: \"a\"", "containers[1].image: Invalid value: \"y \""],
    );
    check_deployment(
        &["spec", "template", "spec", "restartPolicy"],
        json!("Never"),
        &["Unsupported value: \"Never\": supported values: \"Always\""],
    );
}

#[test]
fn the_selector_of_a_deployment_cannot_be_changed() {
    let (old, mut new) = (deployment(), deployment());
    object::set(&mut new, &["spec", "selector", "matchLabels", "tier"], "front");
    let problems = transition(&Catalog::new().built_in("Deployment"), &old, &new);
    check_problems(&problems, &["spec.selector: Invalid value"]);
}

#[test]
fn of_a_pod_only_the_image_can_be_changed() {
    let pod = |image: &str, port: u16| json!({"spec": {"containers": [{"name": "a", "image": image, "port": port}]}});
    let resource = Catalog::new().built_in("Pod");
    check_problems(&transition(&resource, &pod("a", 1), &pod("b", 1)), &[]);
    check_problems(&transition(&resource, &pod("a", 1), &pod("a", 2)), &["spec: Forbidden: pod updates may not change"]);
}

#[test]
fn an_event_needs_what_the_events_api_asks_for() {
    let good = json!({
        "metadata": {"name": "e", "namespace": "shop"},
        "involvedObject": {"kind": "Deployment", "namespace": "shop", "name": "web"},
        "reportingComponent": "skeg", "reportingInstance": "skeg-0", "action": "Hold", "reason": "Held",
        "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z", "message": "waits",
    });
    check_problems(&event::event(&good), &[]);
    let mut bad = good;
    for field in ["reportingInstance", "action", "eventTime"] {
        object::remove(&mut bad, &[field]);
    }
    object::set(&mut bad, &["metadata", "namespace"], "other");
    object::set(&mut bad, &["type"], "Error");
    check_problems(
        &event::event(&bad),
        &["does not match event.namespace", "reportingInstance: Required", "action: Required", "eventTime: Required", "type"],
    );
}

#[test]
fn a_definition_must_be_servable() {
    let definition = json!({
        "metadata": {"name": "wrong"},
        "spec": {
            "group": "skeg.dev", "scope": "Somewhere",
            "names": {"plural": "imageupdates", "kind": "ImageUpdate"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": false}],
        },
    });
    check_problems(&definition::state(&definition), &["metadata.name", "spec.scope", "exactly one version", "schemas are required"]);
}
