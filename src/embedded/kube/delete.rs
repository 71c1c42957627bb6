//! Deletion: preconditions, finalizers, and what goes with an object.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::catalog::{ResourceType, Schema};
use super::object;
use super::query::{self, Query};
use super::status::ApiError;
use super::store::{ObjectKey, State};

/// The body of a delete request (`DeleteOptions` of meta/v1), as far as it changes anything here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    preconditions: Preconditions,
    propagation_policy: Option<String>,
    dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// What came of a deletion.
#[derive(Debug)]
pub enum Deleted {
    /// The object is gone; its last state.
    Gone(Arc<Value>),
    /// The object waits for its finalizers.
    Terminating(Arc<Value>),
}

impl DeleteOptions {
    /// Reads the body, which may be empty, and the query parameters that say the same.
    pub fn parse(body: &[u8], query: &Query) -> Result<Self, ApiError> {
        let mut options = if body.is_empty() {
            Self::default()
        } else {
            let options: Option<Self> =
                serde_json::from_slice(body).map_err(|error| ApiError::bad_request(format!("the body is no DeleteOptions: {error}")))?;
            options.unwrap_or_default()
        };
        for value in &options.dry_run {
            query::dry_run(value)?;
        }
        if query.dry_run {
            options.dry_run.push("All".to_owned());
        }
        options.propagation_policy = options.propagation_policy.or_else(|| query.propagation.clone());
        Ok(options)
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run.iter().any(|value| !value.is_empty())
    }
}

/// Deletes one object. Without finalizers it is gone at once, also a Pod: nothing here needs a grace period.
pub fn delete(
    state: &mut State,
    resource: &ResourceType,
    key: &ObjectKey,
    options: &DeleteOptions,
    now: &str,
) -> Result<Deleted, ApiError> {
    let object = state.get(key).ok_or_else(|| ApiError::not_found(resource, &key.name))?;
    check_preconditions(resource, &object, &options.preconditions)?;
    if options.is_dry_run() {
        return Ok(Deleted::Gone(object));
    }
    if !object::elements(&object, "/metadata/finalizers").is_empty() {
        return Ok(Deleted::Terminating(mark(state, key, &object, now)));
    }
    if options.propagation_policy.as_deref() == Some("Orphan") {
        orphan(state, key, object::uid(&object));
    }
    remove_contents(state, resource, &object);
    let last = state.remove(key).unwrap_or(object);
    Ok(Deleted::Gone(last))
}

/// Whether an object that is being deleted has no finalizer left, so that it goes with this write.
pub fn is_finished(object: &Value) -> bool {
    object::text(object, "/metadata/deletionTimestamp").is_some() && object::elements(object, "/metadata/finalizers").is_empty()
}

/// The `Status` a client gets for an object that is gone.
pub fn success(resource: &ResourceType, object: &Value) -> Value {
    let mut details = json!({"name": object::name(object), "kind": resource.plural, "uid": object::uid(object)});
    if !resource.group.is_empty() {
        object::set(&mut details, &["group"], resource.group.clone());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn check_preconditions(resource: &ResourceType, object: &Value, preconditions: &Preconditions) -> Result<(), ApiError> {
    let pairs = [
        ("UID", &preconditions.uid, object::uid(object)),
        ("ResourceVersion", &preconditions.resource_version, object::resource_version(object)),
    ];
    for (what, asked, present) in pairs {
        if let Some(asked) = asked.as_deref().filter(|asked| *asked != present) {
            let why = format!("Precondition failed: {what} in precondition: {asked}, {what} in object meta: {present}");
            return Err(ApiError::conflict(resource, object::name(object), &why));
        }
    }
    Ok(())
}

fn mark(state: &mut State, key: &ObjectKey, object: &Arc<Value>, now: &str) -> Arc<Value> {
    if object::text(object, "/metadata/deletionTimestamp").is_some() {
        return object.clone();
    }
    let mut marked = object.as_ref().clone();
    object::set(&mut marked, &["metadata", "deletionTimestamp"], now);
    object::set(&mut marked, &["metadata", "deletionGracePeriodSeconds"], 0);
    state.put(key.clone(), marked)
}

/// Takes the owner out of its dependents, so that they outlive it.
fn orphan(state: &mut State, key: &ObjectKey, owner: &str) {
    for dependent in state.keys_in(&key.namespace) {
        let Some(object) = state.get(&dependent) else { continue };
        let owners = object::elements(&object, "/metadata/ownerReferences");
        let kept: Vec<Value> = owners.iter().filter(|reference| object::text(reference, "/uid") != Some(owner)).cloned().collect();
        if kept.len() < owners.len() {
            let mut free = object.as_ref().clone();
            object::set(&mut free, &["metadata", "ownerReferences"], kept);
            state.put(dependent, free);
        }
    }
}

/// A namespace takes everything in it along; a definition every object of its type.
fn remove_contents(state: &mut State, resource: &ResourceType, object: &Value) {
    let contents = match resource.schema {
        Schema::Namespace => state.keys_in(object::name(object)),
        Schema::CustomResourceDefinition => {
            let declared = |pointer| object::text(object, pointer).unwrap_or_default();
            let storage = format!("{}/{}", declared("/spec/group"), declared("/spec/names/plural")).into();
            state.keys_of(&storage)
        }
        _ => Vec::new(),
    };
    for key in contents {
        state.remove(&key);
    }
}
