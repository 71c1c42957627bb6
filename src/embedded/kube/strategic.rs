//! Strategic merge patch: a merge patch that knows which lists are keyed.
//!
//! Source: "Update API Objects in Place Using kubectl patch" and `k8s.io/apimachinery/pkg/util/strategicpatch`. `kubectl set image`
//! and `kubectl edit` send it. Directives: `$patch` (`delete`, `replace`, `merge`), `$retainKeys`, `$deleteFromPrimitiveList` and
//! `$setElementOrder`. `kubectl patch --local` gives the same answers offline.

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
        merge_field(object, key, value, patch)?;
    }
    Ok(())
}

fn merge_field(object: &mut Map<String, Value>, key: &str, value: &Value, patch: &Map<String, Value>) -> Result<(), ApiError> {
    if let Some(field) = key.strip_prefix(DELETE_FROM) {
        if let (Some(Value::Array(list)), Value::Array(gone)) = (object.get_mut(field), value) {
            list.retain(|element| !gone.contains(element));
        }
        return Ok(());
    }
    if let Some(field) = key.strip_prefix(SET_ORDER).filter(|field| !patch.contains_key(*field)) {
        if let (Some(Value::Array(list)), Value::Array(order)) = (object.get_mut(field), value) {
            *list = ordered(list.clone(), order, list, merge_key(field));
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
        Value::Array(elements) => {
            let order = patch.get(&format!("{SET_ORDER}{key}")).and_then(Value::as_array);
            let list = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            merge_list(key, list, elements, order.unwrap_or(elements))
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

fn merge_list(field: &str, list: &mut Value, patch: &[Value], order: &[Value]) -> Result<(), ApiError> {
    let replace = patch.iter().any(|element| element.get(PATCH).and_then(Value::as_str) == Some("replace"));
    match (list, merge_key(field)) {
        (Value::Array(list), Some(merge_key)) if !replace => {
            let before = list.clone();
            patch.iter().try_for_each(|element| merge_element(list, merge_key, element))?;
            *list = ordered(std::mem::take(list), order, &before, Some(merge_key));
            Ok(())
        }
        (Value::Array(list), None) if MERGED_SETS.contains(&field) => {
            let before = list.clone();
            let new: Vec<Value> = patch.iter().filter(|element| !list.contains(element)).cloned().collect();
            list.extend(new);
            *list = ordered(std::mem::take(list), order, &before, None);
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

/// `normalizeElementOrder` of the real server: the elements that `order` names come in that order; the others keep theirs and
/// come before a named one only where they were before it already. So an element that is new comes before those it does not know.
fn ordered(merged: Vec<Value>, order: &[Value], before: &[Value], merge_key: Option<&str>) -> Vec<Value> {
    let place = |list: &[Value], element: &Value| {
        list.iter().position(|other| match merge_key {
            Some(key) => other.get(key) == element.get(key),
            None => other == element,
        })
    };
    let (mut named, others): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|element| place(order, element).is_some());
    named.sort_by_key(|element| place(order, element));
    let mut all = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(name), Some(other)) = (named.peek(), others.peek()) {
        let was_before = place(before, name).zip(place(before, other)).is_some_and(|(name, other)| other < name);
        all.extend(if was_before { others.next() } else { named.next() });
    }
    all.extend(named);
    all.extend(others);
    all
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

    /// The order of containers `web` and `side` after a patch of `spec`.
    #[track_caller]
    fn check_order(patch: &Value, expected: &[&str]) {
        let mut object = pod();
        merge(&mut object, &json!({ "spec": patch })).unwrap();
        let containers = object.pointer("/spec/containers").and_then(Value::as_array).unwrap();
        let names: Vec<&str> = containers.iter().filter_map(|container| container.get("name")?.as_str()).collect();
        assert_eq!(names, expected, "{patch}");
    }

    #[test]
    fn what_the_patch_does_not_order_keeps_its_place() {
        check_order(&json!({"containers": [{"name": "new"}]}), &["new", "web", "side"]);
        check_order(&json!({"containers": [{"name": "side", "image": "x"}]}), &["web", "side"]);
        check_order(&json!({"$setElementOrder/containers": [{"name": "side"}, {"name": "web"}]}), &["side", "web"]);
        let order = json!([{"name": "web"}, {"name": "new"}]);
        check_order(&json!({"$setElementOrder/containers": order, "containers": [{"name": "new"}]}), &["web", "new", "side"]);
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
            &json!({"finalizers": ["c", "b"], "m": {"y": 2}}),
        );
    }

    #[test]
    fn an_element_without_its_key_is_refused() {
        let error = merge(&mut pod(), &json!({"spec": {"containers": [{"image": "x"}]}})).unwrap_err();
        assert!(error.message.contains("does not contain declared merge key: name"), "{error}");
    }
}
