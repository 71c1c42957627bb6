//! The two forms of an object: as a client sends and sees it, and as it is stored.
//!
//! Built-in types go through their k8s-openapi type on the way in, which drops unknown fields and refuses fields of the wrong
//! type as the real server's decoder does. The events.k8s.io/v1 form of an event is the stored core/v1 event under other names.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, Namespace, Node, Pod, Secret, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::catalog::{ResourceType, Schema};
use super::object;
use super::structural;

/// Why a body is no object of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The body is no JSON object.
    #[error("couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct")]
    NotAnObject,
    /// A custom resource without `apiVersion` or `kind`.
    #[error("Object '{0}' is missing")]
    Untyped(&'static str),
    /// `apiVersion` is another one than the URL's.
    #[error("the API version in the data ({found}) does not match the expected API version ({expected})")]
    OtherVersion {
        /// in the body
        found: String,
        /// of the URL
        expected: String,
    },
    /// `kind` is another one than the URL's.
    #[error("{expected} in version {version:?} cannot be handled as a {found}: kind does not match")]
    OtherKind {
        /// in the body
        found: String,
        /// of the URL
        expected: String,
        /// of the URL
        version: String,
    },
    /// A field has the wrong type.
    #[error("{kind} in version {version:?} cannot be handled as a {kind}: {why}")]
    Undecodable {
        /// of the URL
        kind: String,
        /// of the URL
        version: String,
        /// which field, and what is wrong with it
        why: String,
    },
}

/// What a client sent, understood.
#[derive(Debug)]
pub struct Decoded {
    /// In its stored form, without unknown fields.
    pub object: Value,
    /// Paths of the fields that were dropped because the type does not have them.
    pub unknown_fields: Vec<String>,
}

/// The stored form of what a client sent for `resource`.
pub fn decode(resource: &ResourceType, mut sent: Value) -> Result<Decoded, FormError> {
    check_type(resource, &mut sent)?;
    check_micro_times(resource, &sent)?;
    let built_in = |decoder: fn(Value) -> Result<Value, serde_json::Error>| {
        let object = decoder(sent.clone()).map_err(|error| FormError::Undecodable {
            kind: resource.kind.clone(),
            version: resource.version.clone(),
            why: error.to_string(),
        })?;
        let unknown_fields = unknown_fields(&sent, &object, "");
        Ok(Decoded { object, unknown_fields })
    };
    match resource.schema {
        Schema::Namespace => built_in(through::<Namespace>),
        Schema::Node => built_in(through::<Node>),
        Schema::ConfigMap => built_in(through::<ConfigMap>),
        Schema::Secret => built_in(through::<Secret>),
        Schema::ServiceAccount => built_in(through::<ServiceAccount>),
        Schema::Pod => built_in(through::<Pod>),
        Schema::CoreEvent => built_in(through::<CoreEvent>),
        Schema::Event => {
            let Decoded { object, unknown_fields } = built_in(through::<Event>)?;
            Ok(Decoded { object: renamed(object, "v1", &EVENT_NAMES), unknown_fields })
        }
        Schema::Deployment => built_in(through::<Deployment>),
        Schema::ReplicaSet => built_in(through::<ReplicaSet>),
        Schema::Lease => built_in(through::<Lease>),
        Schema::CustomResourceDefinition => built_in(through::<CustomResourceDefinition>),
        Schema::Custom(ref schema) => {
            let unknown_fields = structural::prune(schema, &mut sent);
            Ok(Decoded { object: sent, unknown_fields })
        }
    }
}

/// The form in which clients of `resource` see a stored object.
pub fn shown(resource: &ResourceType, stored: &Value) -> Value {
    match resource.schema {
        Schema::Event => {
            let back: Vec<(&str, &str)> = EVENT_NAMES.iter().map(|(new, old)| (*old, *new)).collect();
            renamed(stored.clone(), "events.k8s.io/v1", &back)
        }
        _ => stored.clone(),
    }
}

/// Field names of events.k8s.io/v1 and of core/v1 (`pkg/apis/events/v1/conversion.go` of Kubernetes).
const EVENT_NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn renamed(mut event: Value, api_version: &str, names: &[(&str, &str)]) -> Value {
    object::set(&mut event, &["apiVersion"], api_version);
    for (from, to) in names {
        if let Some(value) = object::remove(&mut event, &[from]) {
            object::set(&mut event, &[to], value);
        }
    }
    event
}

fn check_type(resource: &ResourceType, sent: &mut Value) -> Result<(), FormError> {
    if !sent.is_object() {
        return Err(FormError::NotAnObject);
    }
    let expected = resource.api_version();
    match object::text(sent, "/apiVersion").unwrap_or_default() {
        "" if resource.is_custom() => return Err(FormError::Untyped("apiVersion")),
        "" => object::set(sent, &["apiVersion"], expected),
        found if found == expected => {}
        found => return Err(FormError::OtherVersion { found: found.to_owned(), expected }),
    }
    match object::text(sent, "/kind").unwrap_or_default() {
        "" if resource.is_custom() => return Err(FormError::Untyped("Kind")),
        "" => object::set(sent, &["kind"], resource.kind.clone()),
        found if found == resource.kind => {}
        found => {
            let (expected, version) = (resource.kind.clone(), resource.version.clone());
            return Err(FormError::OtherKind { found: found.to_owned(), expected, version });
        }
    }
    Ok(())
}

/// Times that the API writes with microseconds (`metav1.MicroTime`) are read with exactly six digits of fraction, or not at all.
fn check_micro_times(resource: &ResourceType, sent: &Value) -> Result<(), FormError> {
    let pointers: &[&str] = match resource.schema {
        Schema::CoreEvent | Schema::Event => &["/eventTime", "/series/lastObservedTime"],
        Schema::Lease => &["/spec/acquireTime", "/spec/renewTime"],
        _ => &[],
    };
    let times = pointers.iter().filter_map(|pointer| object::text(sent, pointer));
    match times.into_iter().find(|time| !is_micro_time(time)) {
        None => Ok(()),
        Some(time) => Err(FormError::Undecodable {
            kind: resource.kind.clone(),
            version: resource.version.clone(),
            why: format!("parsing time {time:?} as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse"),
        }),
    }
}

fn is_micro_time(text: &str) -> bool {
    let fraction = text.split_once('.').map(|(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    fraction == Some(6) && text.parse::<jiff::Timestamp>().is_ok()
}

fn through<T: DeserializeOwned + Serialize>(sent: Value) -> Result<Value, serde_json::Error> {
    let mut object = serde_json::to_value(serde_json::from_value::<T>(sent)?)?;
    write_whole_numbers_plainly(&mut object);
    Ok(object)
}

/// Go writes a floating-point number without a fraction as `1`, Rust as `1.0`.
fn write_whole_numbers_plainly(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(write_whole_numbers_plainly),
        Value::Array(items) => items.iter_mut().for_each(write_whole_numbers_plainly),
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = number.as_f64().and_then(structural::whole_number) {
                *value = whole.into();
            }
        }
        Value::Number(_) | Value::String(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Paths of the fields that have a value in `sent` and are gone in `decoded`.
fn unknown_fields(sent: &Value, decoded: &Value, path: &str) -> Vec<String> {
    match (sent, decoded) {
        (Value::Object(sent), Value::Object(decoded)) => {
            let fields = sent.iter().filter(|(_, value)| !value.is_null()).flat_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match decoded.get(key) {
                    Some(decoded) => unknown_fields(value, decoded, &path),
                    None => vec![path],
                }
            });
            fields.collect()
        }
        (Value::Array(sent), Value::Array(decoded)) => {
            let pairs = sent.iter().zip(decoded).enumerate();
            pairs.flat_map(|(index, (sent, decoded))| unknown_fields(sent, decoded, &format!("{path}[{index}]"))).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::super::catalog::Catalog;
    use super::*;

    #[track_caller]
    fn check_refused(kind: &str, sent: Value, message: &str) {
        let error = decode(&Catalog::new().built_in(kind), sent).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn bodies_that_are_no_object_of_the_type_are_refused() {
        check_refused("Deployment", json!([]), "json parse error");
        check_refused("Deployment", json!({"apiVersion": "apps/v1beta1"}), "does not match the expected API version (apps/v1)");
        check_refused("Deployment", json!({"kind": "Pod"}), "cannot be handled as a Pod");
        check_refused("Deployment", json!({"spec": {"replicas": "three"}}), "cannot be handled as a Deployment");
    }

    #[test]
    fn unknown_fields_are_dropped_and_named() {
        let sent = json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "extra": 1, "absent": null});
        let decoded = decode(&Catalog::new().built_in("ConfigMap"), sent).unwrap();
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
        assert_eq!(decoded.object, expected);
        assert_eq!(decoded.unknown_fields, ["extra"]);
        let sent = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "imgae": "b"}]}}}});
        let decoded = decode(&Catalog::new().built_in("Deployment"), sent).unwrap();
        assert_eq!(decoded.unknown_fields, ["spec.template.spec.containers[0].imgae"]);
    }

    #[test]
    fn an_event_is_the_same_object_in_both_apis() {
        let catalog = Catalog::new();
        let events_api = catalog.all(&super::super::store::Store::new());
        let new_api = events_api.iter().find(|resource| resource.group == "events.k8s.io").unwrap();
        let sent = json!({
            "metadata": {"name": "e", "namespace": "shop"},
            "regarding": {"kind": "Deployment", "name": "web"},
            "note": "updated",
            "reportingController": "skeg",
        });
        let event = decode(new_api, sent).unwrap().object;
        assert_eq!(event.pointer("/involvedObject/name"), Some(&json!("web")));
        assert_eq!(event.pointer("/message"), Some(&json!("updated")));
        assert_eq!(event.pointer("/apiVersion"), Some(&json!("v1")));
        let seen = shown(new_api, &event);
        assert_eq!(seen.pointer("/regarding/name"), Some(&json!("web")));
        assert_eq!(seen.pointer("/reportingController"), Some(&json!("skeg")));
        assert_eq!(seen.pointer("/apiVersion"), Some(&json!("events.k8s.io/v1")));
    }
}
