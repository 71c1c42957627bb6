#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::Value;

use super::*;

fn at(pointer: &str) -> Value {
    crd().pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")).clone()
}

#[track_caller]
fn check(pointer: &str, expected: &Value) {
    assert_eq!(&at(pointer), expected, "{pointer}");
}

#[test]
fn names_are_the_ones_operators_type() {
    check("/metadata/name", &json!("imageupdates.skeg.dev"));
    check("/spec/names/shortNames", &json!(["iu"]));
    check("/spec/names/kind", &json!("ImageUpdate"));
    check("/spec/scope", &json!("Namespaced"));
    check("/spec/versions/0/name", &json!("v1alpha1"));
}

#[test]
fn status_is_not_a_subresource_so_that_one_write_moves_everything() {
    assert_eq!(crd().pointer("/spec/versions/0/subresources"), None);
}

#[test]
fn columns_are_workload_to_phase_reason_votes_age_and_read_fields_that_exist() {
    let columns = at("/spec/versions/0/additionalPrinterColumns");
    let columns = columns.as_array().unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Workload", "To", "Phase", "Reason", "Votes", "Age"]);
    for path in columns.iter().map(|column| column["jsonPath"].as_str().unwrap()).filter(|path| !path.starts_with(".metadata")) {
        let in_schema = path.replace("[0]", "/items").replace('.', "/properties/");
        at(&format!("/spec/versions/0/schema/openAPIV3Schema{in_schema}"));
    }
}

#[test]
fn rules_guard_the_spec_the_closed_phase_and_the_epoch() {
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties";
    let rule = |field: &str| at(&format!("{schema}/{field}/x-kubernetes-validations/0/rule"));
    assert_eq!(rule("spec"), "self == oldSelf");
    assert_eq!(rule("status/properties/epoch"), "self >= oldSelf");
    assert_eq!(
        rule("status/properties/phase"),
        "self == oldSelf || !(oldSelf in ['Done', 'Unrecorded', 'RolledBack', 'Rejected', 'Expired', 'Superseded', 'Failed'])"
    );
}

#[test]
fn fields_that_rules_read_are_required_since_a_rule_is_not_run_where_the_field_is_missing() {
    check("/spec/versions/0/schema/openAPIV3Schema/required", &json!(["spec", "status"]));
    let status = at("/spec/versions/0/schema/openAPIV3Schema/properties/status/required");
    for field in ["phase", "epoch"] {
        assert!(status.as_array().unwrap().contains(&json!(field)), "{field}");
    }
}

/// The longest JSON an object of this schema can be, in characters. Fails where the schema sets no bound.
fn longest(path: &str, schema: &Value) -> u64 {
    match schema["type"].as_str().unwrap() {
        "object" => {
            let fields = schema["properties"].as_object().unwrap_or_else(|| panic!("{path} takes any field"));
            fields.iter().map(|(name, field)| name.len() as u64 + 4 + longest(&format!("{path}.{name}"), field)).sum::<u64>() + 2
        }
        "array" => {
            let items_max = schema["maxItems"].as_u64().unwrap_or_else(|| panic!("{path} has no maxItems"));
            items_max * (longest(path, &schema["items"]) + 1) + 2
        }
        "string" => schema["maxLength"].as_u64().unwrap_or_else(|| panic!("{path} has no maxLength")) + 2,
        "integer" => 20,
        "boolean" => 5,
        other => panic!("{path} has type {other}"),
    }
}

#[test]
fn largest_object_fits_into_one_etcd_request_even_in_four_byte_characters() {
    const ETCD_REQUEST_BYTES_MAX: u64 = 3 * 512 * 1024;
    // Name, labels and managed fields; skeg writes a handful of labels and no annotations.
    const METADATA_BYTES: u64 = 16 * 1024;
    let part = |name: &str| longest(name, &at(&format!("/spec/versions/0/schema/openAPIV3Schema/properties/{name}")));
    let characters = part("spec") + part("status");
    assert!(4 * characters + METADATA_BYTES < ETCD_REQUEST_BYTES_MAX, "{characters} characters");
}
