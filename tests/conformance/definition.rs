use serde_json::{Value, json};

use super::{Scope, image_update, with};

conformance!(
    kubectl_get_shows_workload_tag_phase_reason_votes_and_age,
    pruned_fields_are_warned_of_in_a_header,
    another_kind_in_the_body_is_invalid,
    the_definition_is_accepted_whole,
    an_object_at_every_bound_is_stored_and_its_rules_are_run,
);

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/imageupdates.skeg.dev";

async fn kubectl_get_shows_workload_tag_phase_reason_votes_and_age(scope: &Scope) {
    let update = with(&image_update("a"), "/status/tally", "0/1");
    scope.server.post(&scope.updates(), &update).await.is(201);
    let table = scope.server.table(&scope.updates()).await;
    let titles: Vec<&Value> = table["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(titles, ["Name", "Workload", "To", "Phase", "Reason", "Votes", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..6], ["a", "web", "1.0.1", "Held", "waits for 1 approval", "0/1"].map(Value::from));
}

async fn pruned_fields_are_warned_of_in_a_header(scope: &Scope) {
    let sent = with(&with(&image_update("a"), "/spec/nope", 1), "/zap", true);
    let warned = scope.server.post(&scope.updates(), &sent).await.warnings.concat();
    for field in ["spec.nope", "zap"] {
        assert!(warned.contains(&format!("unknown field \\\"{field}\\\"")), "{field}: {warned}");
    }
}

async fn another_kind_in_the_body_is_invalid(scope: &Scope) {
    scope.server.post(&scope.updates(), &with(&image_update("a"), "/kind", "Other")).await.invalid(&["kind"]);
}

async fn the_definition_is_accepted_whole(scope: &Scope) {
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

async fn an_object_at_every_bound_is_stored_and_its_rules_are_run(scope: &Scope) {
    let crd = skeg::adapters::journal::crd::crd();
    let properties = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut update = image_update("full");
    update["spec"] = fullest(&properties["spec"]);
    update["status"] = fullest(&properties["status"]);
    let stored = scope.server.post(&scope.updates(), &update).await.is(201);
    let replaced = scope.server.put(&scope.update("full"), &with(&stored, "/status/phase", "Done")).await.is(200);
    scope.server.put(&scope.update("full"), &with(&replaced, "/spec/changes/63/tag", "y")).await.invalid(&["spec"]);
}
