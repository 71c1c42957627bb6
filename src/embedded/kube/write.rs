//! Create, update, patch: one path from what a client sent to what is stored.
//!
//! ```text
//! sent ─► stored form ─► what the server owns is put in ─► defaults ─► admission ─► rules ─► generation ─► store
//! ```
//!
//! Every write happens under the store's lock from the first look at the old object on, so two writers with the same resource
//! version cannot both succeed. Deletion is in `delete`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::catalog::{Catalog, ResourceType, Schema};
use super::form::{self, Decoded, FormError};
use super::object::{self, carry_over, remove, set};
use super::patch::Patch;
use super::query::{self, Query, UnknownFields};
use super::status::{ApiError, Problem};
use super::store::{ObjectKey, State};
use super::{defaults, delete, validate};

/// Largest stored object in bytes: etcd's default request limit (`--max-request-bytes`, 1.5 MiB).
const OBJECT_BYTES_MAX: usize = 1_572_864;

/// Changes an object on its way into the store, as a mutating admission webhook does.
pub type Admission = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// A write to one type, with everything it needs but the store.
pub struct Writer<'a> {
    /// The served types.
    pub catalog: &'a Catalog,
    /// The type written to.
    pub resource: &'a ResourceType,
    /// Dry run, strict fields.
    pub query: &'a Query,
    /// Mutating admission, if there is any.
    pub admission: Option<&'a Admission>,
    /// For creation timestamps.
    pub now: Timestamp,
}

/// Which part of an object an update is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything; where status is a subresource, everything but that.
    Main,
    /// The status subresource.
    Status,
}

/// What came of a write.
#[derive(Debug)]
pub struct Written {
    /// The object as it is stored now, or would be but for a dry run.
    pub object: Arc<Value>,
    /// Paths of fields that were sent and dropped, for the client to be warned of.
    pub unknown_fields: Vec<String>,
}

impl Writer<'_> {
    /// Stores a new object. `namespace` is the URL's.
    pub fn create(&self, state: &mut State, namespace: Option<&str>, sent: Value) -> Result<Written, ApiError> {
        let Decoded { mut object, unknown_fields } = self.decode(sent)?;
        self.place(&mut object, namespace)?;
        generate_name(&mut object);
        if !matches!(object::resource_version(&object), "" | "0") {
            return Err(ApiError::storage("resourceVersion should not be set on objects to be created"));
        }
        for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink"] {
            remove(&mut object, &["metadata", field]);
        }
        set(&mut object, &["metadata", "uid"], new_uid());
        set(&mut object, &["metadata", "creationTimestamp"], seconds(self.now));
        if self.has_generation() {
            set(&mut object, &["metadata", "generation"], 1);
        } else {
            remove(&mut object, &["metadata", "generation"]);
        }
        if self.resource.status_subresource {
            remove(&mut object, &["status"]);
        }
        self.finish(&mut object);
        self.check(&object, None)?;
        self.namespace_exists(state, &object)?;
        let key = self.key_of(&object);
        if state.get(&key).is_some() {
            return Err(ApiError::already_exists(self.resource, &key.name));
        }
        Ok(Written { object: self.put(state, key, object), unknown_fields })
    }

    /// Replaces an object, or its status, by what a client sent.
    pub fn replace(&self, state: &mut State, key: ObjectKey, part: Part, sent: Value) -> Result<Written, ApiError> {
        let Decoded { mut object, unknown_fields } = self.decode(sent)?;
        let name = object::name(&object);
        if name != key.name {
            let message = if name.is_empty() {
                "name must be provided".to_owned()
            } else {
                format!("the name of the object ({name}) does not match the name on the URL ({})", key.name)
            };
            return Err(ApiError::bad_request(message));
        }
        self.place(&mut object, Some(&key.namespace).filter(|namespace| !namespace.is_empty()).map(String::as_str))?;
        let old = self.present(state, &key)?;
        if object::resource_version(&object).is_empty() && !self.resource.unconditional_update {
            let problem = Problem::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
            return Err(ApiError::invalid(self.resource, &key.name, &[problem]));
        }
        let object = self.update(state, key, part, &old, object)?;
        Ok(Written { object, unknown_fields })
    }

    /// Patches an object, or its status.
    pub fn patch(&self, state: &mut State, key: ObjectKey, part: Part, patch: &Patch) -> Result<Written, ApiError> {
        let old = self.present(state, &key)?;
        let patched = patch.apply(&form::shown(self.resource, &old))?;
        let decoded = form::decode(self.resource, patched).map_err(|error| ApiError::invalid_patch_result(&error.to_string()))?;
        let Decoded { object, unknown_fields } = self.check_unknown_fields(decoded)?;
        if object::name(&object) != key.name || object::namespace(&object) != key.namespace {
            let message = format!("the name of the object ({}) does not match the name on the URL ({})", object::name(&object), key.name);
            return Err(ApiError::bad_request(message));
        }
        let object = self.update(state, key, part, &old, object)?;
        Ok(Written { object, unknown_fields })
    }

    fn update(&self, state: &mut State, key: ObjectKey, part: Part, old: &Arc<Value>, mut object: Value) -> Result<Arc<Value>, ApiError> {
        self.check_preconditions(&key, old, &object)?;
        self.keep_what_the_server_owns(part, old, &mut object);
        self.finish(&mut object);
        self.check(&object, Some(old))?;
        self.count_generation(part, old, &mut object);
        if without_version(&object) == without_version(old) {
            return Ok(old.clone());
        }
        if delete::is_finished(&object) {
            return Ok(self.remove(state, &key, object));
        }
        Ok(self.put(state, key, object))
    }

    fn decode(&self, sent: Value) -> Result<Decoded, ApiError> {
        let name = object::name(&sent).to_owned();
        let decoded = form::decode(self.resource, sent).map_err(|error| match error {
            // Custom resources are decoded whatever their kind; that it is another one is found by validation.
            FormError::OtherKind { found, expected, .. } if self.resource.is_custom() => {
                let problem = Problem::invalid("kind", &found.into(), &format!("must be {expected}"));
                ApiError::invalid(self.resource, &name, &[problem])
            }
            error => ApiError::bad_request(error.to_string()),
        })?;
        self.check_unknown_fields(decoded)
    }

    /// Does with unknown fields what the request asks for.
    fn check_unknown_fields(&self, decoded: Decoded) -> Result<Decoded, ApiError> {
        match self.query.unknown_fields {
            UnknownFields::Ignore => Ok(Decoded { unknown_fields: Vec::new(), ..decoded }),
            UnknownFields::Warn => Ok(decoded),
            UnknownFields::Refuse if decoded.unknown_fields.is_empty() => Ok(decoded),
            UnknownFields::Refuse => {
                let fields: Vec<String> = decoded.unknown_fields.iter().map(|path| format!("unknown field {path:?}")).collect();
                Err(ApiError::bad_request(format!("strict decoding error: {}", fields.join(", "))))
            }
        }
    }

    fn check_preconditions(&self, key: &ObjectKey, old: &Value, object: &Value) -> Result<(), ApiError> {
        let (sent, present) = (object::uid(object), object::uid(old));
        if !sent.is_empty() && sent != present {
            let why = format!("Precondition failed: UID in precondition: {sent}, UID in object meta: {present}");
            return Err(ApiError::conflict(self.resource, &key.name, &why));
        }
        let sent = query::resource_version(object::resource_version(object))?;
        if sent.is_some_and(|sent| sent != 0 && sent.to_string() != object::resource_version(old)) {
            return Err(ApiError::stale(self.resource, &key.name));
        }
        Ok(())
    }

    fn keep_what_the_server_owns(&self, part: Part, old: &Value, object: &mut Value) {
        for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            carry_over(old, object, &["metadata", field]);
        }
        match part {
            Part::Main if self.resource.status_subresource => carry_over(old, object, &["status"]),
            Part::Main => {}
            Part::Status => self.keep_all_but_status(old, object),
        }
    }

    /// What a write to the status subresource may touch besides the status differs by type (`*StatusStrategy.PrepareForUpdate`).
    fn keep_all_but_status(&self, old: &Value, object: &mut Value) {
        carry_over(old, object, &["spec"]);
        match self.resource.schema {
            // The Deployment controller writes its revision annotation together with the status.
            Schema::Deployment => carry_over(old, object, &["metadata", "labels"]),
            Schema::Custom(_) => {
                let (status, fields) = (object.get("status").cloned(), object::map_at(object, &[]));
                fields.clone_from(old.as_object().unwrap_or(&serde_json::Map::new()));
                fields.remove("status");
                fields.extend(status.map(|status| ("status".to_owned(), status)));
            }
            Schema::Namespace
            | Schema::Node
            | Schema::ConfigMap
            | Schema::Secret
            | Schema::ServiceAccount
            | Schema::Pod
            | Schema::CoreEvent
            | Schema::Event
            | Schema::ReplicaSet
            | Schema::Lease
            | Schema::CustomResourceDefinition => {}
        }
    }

    /// Defaults and admission, the last changes before the rules are checked.
    fn finish(&self, object: &mut Value) {
        defaults::apply(&self.resource.schema, object);
        if let Some(admission) = self.admission {
            admission(object);
        }
    }

    fn check(&self, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
        let mut problems = validate::state(self.resource, object);
        if let Some(old) = old {
            problems.extend(validate::transition(self.resource, old, object));
        }
        if !problems.is_empty() {
            return Err(ApiError::invalid(self.resource, object::name(object), &problems));
        }
        let bytes = serde_json::to_vec(object).map_or(usize::MAX, |text| text.len());
        if bytes > OBJECT_BYTES_MAX {
            return Err(ApiError::storage("etcdserver: request is too large"));
        }
        Ok(())
    }

    fn count_generation(&self, part: Part, old: &Value, object: &mut Value) {
        if !self.has_generation() || part == Part::Status {
            return;
        }
        let changed = match self.resource.schema {
            // deploymentStrategy.PrepareForUpdate: annotations count too, because they are copied to ReplicaSets.
            Schema::Deployment => {
                let annotations = "/metadata/annotations";
                old.get("spec") != object.get("spec") || old.pointer(annotations) != object.pointer(annotations)
            }
            // customResourceStrategy.PrepareForUpdate: everything but metadata, and status too where it is no subresource.
            Schema::Custom(_) => without_metadata(old) != without_metadata(object),
            _ => old.get("spec") != object.get("spec"),
        };
        if changed {
            let generation = object::number(old, "/metadata/generation").unwrap_or_default();
            set(object, &["metadata", "generation"], generation + 1);
        }
    }

    fn has_generation(&self) -> bool {
        match self.resource.schema {
            Schema::Deployment | Schema::ReplicaSet | Schema::Pod | Schema::CustomResourceDefinition | Schema::Custom(_) => true,
            Schema::Namespace
            | Schema::Node
            | Schema::ConfigMap
            | Schema::Secret
            | Schema::ServiceAccount
            | Schema::CoreEvent
            | Schema::Event
            | Schema::Lease => false,
        }
    }

    fn place(&self, object: &mut Value, namespace: Option<&str>) -> Result<(), ApiError> {
        let sent = object::namespace(object);
        match namespace {
            Some(namespace) if sent.is_empty() => set(object, &["metadata", "namespace"], namespace),
            Some(namespace) if sent != namespace => {
                let message = "the namespace of the provided object does not match the namespace sent on the request";
                return Err(ApiError::bad_request(message));
            }
            Some(_) => {}
            None if self.resource.namespaced => {
                return Err(ApiError::bad_request("an empty namespace may not be set during creation"));
            }
            None => drop(remove(object, &["metadata", "namespace"])),
        }
        Ok(())
    }

    fn namespace_exists(&self, state: &State, object: &Value) -> Result<(), ApiError> {
        let name = object::namespace(object);
        if name.is_empty() {
            return Ok(());
        }
        let namespaces = self.catalog.built_in("Namespace");
        match state.get(&namespaces.key("", name)) {
            Some(_) => Ok(()),
            None => Err(ApiError::not_found(&namespaces, name)),
        }
    }

    fn present(&self, state: &State, key: &ObjectKey) -> Result<Arc<Value>, ApiError> {
        state.get(key).ok_or_else(|| ApiError::not_found(self.resource, &key.name))
    }

    fn key_of(&self, object: &Value) -> ObjectKey {
        self.resource.key(object::namespace(object), object::name(object))
    }

    fn put(&self, state: &mut State, key: ObjectKey, object: Value) -> Arc<Value> {
        if self.query.dry_run { Arc::new(object) } else { state.put(key, object) }
    }

    fn remove(&self, state: &mut State, key: &ObjectKey, object: Value) -> Arc<Value> {
        if self.query.dry_run {
            return Arc::new(object);
        }
        state.remove(key).unwrap_or_else(|| Arc::new(object))
    }
}

/// `metadata.generateName` and five random letters make the name, if there is none.
fn generate_name(object: &mut Value) {
    /// No vowels, so no words; the alphabet of `k8s.io/apimachinery/pkg/util/rand`.
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let Some(prefix) = object::text(object, "/metadata/generateName").filter(|prefix| !prefix.is_empty()) else {
        return;
    };
    if object::name(object).is_empty() {
        let suffix = (0..5).filter_map(|_| fastrand::choice(ALPHABET)).map(|letter| char::from(*letter));
        let name: String = prefix.chars().chain(suffix).collect();
        set(object, &["metadata", "name"], name);
    }
}

/// A random UUID, version 4 (RFC 9562).
fn new_uid() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let mut uid = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            uid.push('-');
        }
        uid.push(digit);
    }
    uid
}

/// A time as Kubernetes writes it: RFC 3339, whole seconds, UTC.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn without_version(object: &Value) -> Value {
    let mut object = object.clone();
    remove(&mut object, &["metadata", "resourceVersion"]);
    object
}

fn without_metadata(object: &Value) -> Value {
    let mut object = object.clone();
    remove(&mut object, &["metadata"]);
    object
}
