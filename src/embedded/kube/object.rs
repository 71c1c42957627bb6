//! Reading and writing fields of untyped objects.
//!
//! The API stores JSON values, not typed objects: custom resources have no type here, and a patch may produce anything. A
//! field of the wrong type reads as absent; validation tells the client about it.

use serde_json::{Map, Value};

/// The text at a JSON pointer (RFC 6901).
pub fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

/// The integer at a JSON pointer.
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer)?.as_i64()
}

/// The elements of the array at a JSON pointer; none if there is no array.
pub fn elements<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The entries of the map at a JSON pointer; none if there is no map.
pub fn entries<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    object.pointer(pointer).and_then(Value::as_object).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The map at `path`, made if it is absent. What is on the way and is no map is replaced by one.
pub fn map_at<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut at = object;
    for key in path {
        at = as_map(at).entry(*key).or_insert(Value::Null);
    }
    as_map(at)
}

/// Sets the field at `path`, making the maps on the way.
pub fn set(object: &mut Value, path: &[&str], value: impl Into<Value>) {
    if let Some((field, parents)) = path.split_last() {
        map_at(object, parents).insert((*field).to_owned(), value.into());
    }
}

/// Sets the field at `path` unless it has a value.
pub fn set_default(object: &mut Value, path: &[&str], value: impl Into<Value>) {
    if let Some((field, parents)) = path.split_last() {
        let slot = map_at(object, parents).entry(*field).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.into();
        }
    }
}

/// Removes the field at `path`; absent parents stay absent.
pub fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (field, parents) = path.split_last()?;
    let mut at = object;
    for key in parents {
        at = at.as_object_mut()?.get_mut(*key)?;
    }
    at.as_object_mut()?.remove(*field)
}

/// Makes the field at `path` in `to` equal to the one in `from`, absence included.
pub fn carry_over(from: &Value, to: &mut Value, path: &[&str]) {
    let pointer = path.iter().fold(String::new(), |pointer, key| pointer + "/" + key);
    match from.pointer(&pointer) {
        Some(value) => set(to, path, value.clone()),
        None => drop(remove(to, path)),
    }
}

/// `metadata.name`; empty if absent.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}

/// `metadata.namespace`; empty if absent, as for cluster-scoped objects.
pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace").unwrap_or_default()
}

/// `metadata.uid`; empty if absent.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid").unwrap_or_default()
}

/// `metadata.resourceVersion`; empty if absent.
pub fn resource_version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion").unwrap_or_default()
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made a map just above")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn setting_a_field_makes_the_maps_on_the_way() {
        let mut object = json!({"metadata": null});
        set(&mut object, &["metadata", "labels", "app"], "web");
        assert_eq!(object, json!({"metadata": {"labels": {"app": "web"}}}));
    }

    #[test]
    fn a_default_leaves_what_is_set_and_fills_null() {
        let mut object = json!({"replicas": 0, "paused": null});
        set_default(&mut object, &["replicas"], 1);
        set_default(&mut object, &["paused"], false);
        assert_eq!(object, json!({"replicas": 0, "paused": false}));
    }

    #[test]
    fn carrying_a_field_over_also_carries_its_absence() {
        let mut to = json!({"status": {"old": true}, "spec": 1});
        carry_over(&json!({"spec": 2}), &mut to, &["status"]);
        carry_over(&json!({"spec": 2}), &mut to, &["spec"]);
        assert_eq!(to, json!({"spec": 2}));
    }

    #[test]
    fn fields_of_the_wrong_type_read_as_absent() {
        let object = json!({"metadata": {"name": 3}});
        assert_eq!(name(&object), "");
        assert_eq!(remove(&mut object.clone(), &["metadata", "name", "x"]), None);
    }
}
