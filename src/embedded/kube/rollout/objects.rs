//! How the controllers read and write: through the same write path as clients, without HTTP.
//!
//! A write that is refused is dropped. Whoever wanted it looks again after the next change, and what refused it (an object
//! that is gone, a namespace that was deleted) is such a change.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::api::Api;
use super::super::catalog::ResourceType;
use super::super::delete::{self, DeleteOptions};
use super::super::object;
use super::super::patch::Patch;
use super::super::query::Query;
use super::super::write::Part;

/// The objects of one type.
pub struct Objects<'a> {
    api: &'a Api,
    resource: Arc<ResourceType>,
}

impl<'a> Objects<'a> {
    /// Objects of a built-in kind.
    pub fn of(api: &'a Api, kind: &str) -> Self {
        Self { api, resource: api.catalog.built_in(kind) }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Value>> {
        self.api.store.all_of(&self.resource.storage())
    }

    /// Makes a new one, owned by `owner`. Returns it as it is stored.
    pub fn create(&self, mut object: Value, owner: &Value) -> Option<Arc<Value>> {
        let reference = json!({
            "apiVersion": owner.get("apiVersion"),
            "kind": owner.get("kind"),
            "name": object::name(owner),
            "uid": object::uid(owner),
            "controller": true,
            "blockOwnerDeletion": true,
        });
        object::set(&mut object, &["metadata", "ownerReferences"], json!([reference]));
        let namespace = object::namespace(owner).to_owned();
        self.api
            .write(&self.resource, &Query::default(), |writer, state| writer.create(state, Some(&namespace), object))
            .ok()
            .map(|created| created.object)
    }

    /// Merges into everything but the status.
    pub fn patch(&self, object: &Value, patch: Value) {
        self.merge(object, Part::Main, patch);
    }

    /// Merges into the status subresource.
    pub fn patch_status(&self, object: &Value, patch: Value) {
        self.merge(object, Part::Status, patch);
    }

    /// Deletes it.
    pub fn delete(&self, object: &Value, now: &str) {
        let key = self.resource.key(object::namespace(object), object::name(object));
        let options = DeleteOptions::default();
        drop(self.api.store.transact(|state| delete::delete(state, &self.resource, &key, &options, now)));
    }

    fn merge(&self, object: &Value, part: Part, patch: Value) {
        let mut merged = object.clone();
        json_patch::merge(&mut merged, &patch);
        if merged == *object {
            return;
        }
        let key = self.resource.key(object::namespace(object), object::name(object));
        let patch = Patch::Merge(patch);
        drop(self.api.write(&self.resource, &Query::default(), |writer, state| writer.patch(state, key, part, &patch)));
    }
}

/// The uid of the object's controlling owner.
pub fn controller_uid(object: &Value) -> Option<&str> {
    let owners = object::elements(object, "/metadata/ownerReferences").iter();
    owners.filter(|owner| owner.get("controller") == Some(&Value::Bool(true))).find_map(|owner| object::text(owner, "/uid"))
}

/// Those of `objects` that `owner` controls, oldest first.
pub fn controlled_by<'o>(objects: &'o [Arc<Value>], owner: &Value) -> Vec<&'o Arc<Value>> {
    let uid = object::uid(owner);
    let mut controlled: Vec<&Arc<Value>> = objects.iter().filter(|object| controller_uid(object) == Some(uid)).collect();
    controlled.sort_by_key(|object| (object::text(object, "/metadata/creationTimestamp"), revision(object)));
    controlled
}

/// The rollout revision of a Deployment or ReplicaSet; 0 without one.
pub fn revision(object: &Value) -> u64 {
    let annotation = object.pointer("/metadata/annotations").and_then(|annotations| annotations.get(REVISION));
    annotation.and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Annotation with the number of the rollout that a ReplicaSet belongs to, and that a Deployment is at.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
