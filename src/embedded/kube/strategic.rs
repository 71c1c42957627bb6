//! Strategic merge patch: a merge patch that knows which lists are keyed.
//!
//! Source: "Update API Objects in Place Using kubectl patch" and `k8s.io/apimachinery/pkg/util/strategicpatch`. `kubectl set image`
//! and `kubectl edit` send it. Directives: `$patch` (`delete`, `replace`, `merge`), `$retainKeys`, `$deleteFromPrimitiveList`;
//! `$setElementOrder` only orders and is honoured for keyed lists.

use serde_json::{Map, Value};

use super::status::ApiError;

/// The merge keys of keyed lists by field name (`patchMergeKey` in the types of `k8s.io/api`). A list that is not here is replaced
/// as a whole. `ports` is keyed by `containerPort` in a container, which is the only place of it in the types served here.
const MERGE_KEYS: [(&str, &str); 12] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("env", "name"),
    ("ports", "containerPort"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("conditions", "type"),
    ("ownerReferences", "uid"),
];

/// Lists of plain values that are merged as sets (`patchStrategy=merge` without a key).
const MERGED_SETS: [&str; 1] = ["finalizers"];

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Merges `patch` into `object`.
pub fn merge(object: &mut Value, patch: &Value) -> Result<(), ApiError> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => merge_maps(object, patch),
        (object, patch) => {
            *object = without_directives(patch);
            Ok(())
        }
    }
}

fn merge_maps(object: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), ApiError> {
    match patch.get(PATCH).and_then(Value::as_str) {
        Some("replace") => {
            object.clear();
            for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
                object.insert(key.clone(), without_directives(value));
            }
            return Ok(());
        }
        Some("delete") => {
            object.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => return Err(unknown_directive(other)),
    }
    if let Some(kept) = patch.get(RETAIN_KEYS).and_then(Value::as_array) {
        object.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        merge_field(object, key, value)?;
    }
    for (key, order) in patch {
        if let (Some(field), Some(order)) = (key.strip_prefix(SET_ORDER), order.as_array()) {
            set_order(object, field, order);
        }
    }
    Ok(())
}

fn merge_field(object: &mut Map<String, Value>, key: &str, value: &Value) -> Result<(), ApiError> {
    if let Some(field) = key.strip_prefix(DELETE_FROM) {
        if let (Some(Value::Array(list)), Value::Array(gone)) = (object.get_mut(field), value) {
            list.retain(|element| !gone.contains(element));
        }
        return Ok(());
    }
    if key.starts_with('$') {
        return Ok(());
    }
    match value {
        Value::Null => {
            object.remove(key);
            Ok(())
        }
        Value::Array(patch) => {
            let list = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(key, list, patch)
        }
        value => {
            if let Some(old) = object.get_mut(key) {
                return merge(old, value);
            }
            object.insert(key.to_owned(), without_directives(value));
            Ok(())
        }
    }
}

fn merge_list(field: &str, list: &mut Value, patch: &[Value]) -> Result<(), ApiError> {
    let replace = patch.iter().any(|element| element.get(PATCH).and_then(Value::as_str) == Some("replace"));
    match (list, merge_key(field)) {
        (Value::Array(list), Some(merge_key)) if !replace => patch.iter().try_for_each(|element| merge_element(list, merge_key, element)),
        (Value::Array(list), None) if MERGED_SETS.contains(&field) => {
            let new: Vec<Value> = patch.iter().filter(|element| !list.contains(element)).cloned().collect();
            list.extend(new);
            Ok(())
        }
        (list, _) => {
            let elements = patch.iter().filter(|element| element.get(PATCH).is_none());
            *list = Value::Array(elements.map(without_directives).collect());
            Ok(())
        }
    }
}

fn merge_element(list: &mut Vec<Value>, merge_key: &str, element: &Value) -> Result<(), ApiError> {
    let Some(key) = element.get(merge_key) else {
        let message = format!("map: {element} does not contain declared merge key: {merge_key}");
        return Err(ApiError::storage(message));
    };
    let position = list.iter().position(|old| old.get(merge_key) == Some(key));
    let deletes = element.get(PATCH).and_then(Value::as_str) == Some("delete");
    match position.and_then(|position| list.get_mut(position)) {
        Some(_) if deletes => list.retain(|old| old.get(merge_key) != Some(key)),
        Some(old) => merge(old, element)?,
        None if deletes => {}
        None => list.push(without_directives(element)),
    }
    Ok(())
}

/// Orders a keyed list: the named elements in the order given, others behind them in their old order.
fn set_order(object: &mut Map<String, Value>, field: &str, order: &[Value]) {
    let (Some(Value::Array(list)), Some(merge_key)) = (object.get_mut(field), merge_key(field)) else {
        return;
    };
    let place = |element: &Value| {
        let key = element.get(merge_key);
        order.iter().position(|ordered| ordered.get(merge_key) == key).unwrap_or(order.len())
    };
    list.sort_by_key(place);
}

fn merge_key(field: &str) -> Option<&'static str> {
    MERGE_KEYS.iter().find(|(name, _)| *name == field).map(|(_, key)| *key)
}

/// What a patch adds where nothing was: itself without directives and nulls.
fn without_directives(patch: &Value) -> Value {
    match patch {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_directives(value))).collect())
        }
        Value::Array(elements) => {
            let deleted = |element: &&Value| element.get(PATCH).is_some_and(|directive| directive == "delete");
            Value::Array(elements.iter().filter(|element| !deleted(element)).map(without_directives).collect())
        }
        plain => plain.clone(),
    }
}

fn unknown_directive(directive: &str) -> ApiError {
    ApiError::storage(format!("Unknown patch type: {directive}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(mut object: Value, patch: &Value, expected: &Value) {
        merge(&mut object, patch).unwrap();
        assert_eq!(object, *expected, "{patch}");
    }

    fn pod() -> Value {
        json!({"spec": {"containers": [{"name": "web", "image": "nginx:1"}, {"name": "side", "image": "proxy:1"}]}})
    }

    #[test]
    fn an_element_of_a_keyed_list_is_merged_and_the_others_stay() {
        check(
            pod(),
            &json!({"spec": {"$setElementOrder/containers": [{"name": "web"}, {"name": "side"}],
                             "containers": [{"name": "web", "image": "nginx:2"}]}}),
            &json!({"spec": {"containers": [{"name": "web", "image": "nginx:2"}, {"name": "side", "image": "proxy:1"}]}}),
        );
    }

    #[test]
    fn elements_are_added_deleted_and_ordered() {
        check(
            pod(),
            &json!({"spec": {"$setElementOrder/containers": [{"name": "new"}, {"name": "side"}],
                             "containers": [{"name": "new", "image": "n"}, {"name": "web", "$patch": "delete"}]}}),
            &json!({"spec": {"containers": [{"name": "new", "image": "n"}, {"name": "side", "image": "proxy:1"}]}}),
        );
    }

    #[test]
    fn lists_without_a_key_are_replaced_and_nulls_remove() {
        check(
            json!({"args": ["a", "b"], "labels": {"x": "1", "y": "2"}}),
            &json!({"args": ["c"], "labels": {"x": null}}),
            &json!({"args": ["c"], "labels": {"y": "2"}}),
        );
    }

    #[test]
    fn directives_are_carried_out_and_never_stored() {
        check(
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
            &json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            &json!({"strategy": {"type": "Recreate"}}),
        );
        check(
            json!({"finalizers": ["a", "b"], "m": {"x": 1}}),
            &json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"], "m": {"$patch": "replace", "y": 2}}),
            &json!({"finalizers": ["b", "c"], "m": {"y": 2}}),
        );
    }

    #[test]
    fn an_element_without_its_key_is_refused() {
        let error = merge(&mut pod(), &json!({"spec": {"containers": [{"image": "x"}]}})).unwrap_err();
        assert!(error.message.contains("does not contain declared merge key: name"), "{error}");
    }
}
