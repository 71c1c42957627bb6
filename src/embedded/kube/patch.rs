//! JSON patch (RFC 6902) and JSON merge patch (RFC 7396), with the answers of the real server.

use json_patch::jsonptr::Pointer;
use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::{Map, Value};

use super::catalog::ResourceType;
use super::status::ApiError;
use super::strategic;

/// Operations in one JSON patch (`maxJSONPatchOperations` of the API server).
const OPERATIONS_MAX: usize = 10_000;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A patch as it was sent.
#[derive(Debug)]
pub enum Patch {
    /// RFC 6902; absent when an element is no operation, which the real server finds out only when it applies it.
    Json(Option<Vec<PatchOperation>>),
    /// RFC 7396
    Merge(Value),
    /// Kubernetes' own, for built-in types only
    Strategic(Value),
}

impl Patch {
    /// Reads a patch for objects of `resource`.
    pub fn parse(resource: &ResourceType, content_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        match media_type {
            JSON => {
                let operations: Vec<Map<String, Value>> = from_json(body)?;
                if operations.len() > OPERATIONS_MAX {
                    return Err(ApiError::too_large(OPERATIONS_MAX));
                }
                let operations = operations.into_iter().map(|operation| serde_json::from_value(Value::Object(operation)).ok());
                Ok(Self::Json(operations.collect()))
            }
            MERGE => map_from_json(body).map(Self::Merge),
            STRATEGIC if !resource.is_custom() => map_from_json(body).map(Self::Strategic),
            _ if resource.is_custom() => Err(ApiError::unsupported_media_type(&[JSON, MERGE])),
            _ => Err(ApiError::unsupported_media_type(&[JSON, MERGE, STRATEGIC])),
        }
    }

    /// The object after the patch. The original stays as it is, also when a later operation fails.
    pub fn apply(&self, original: &Value) -> Result<Value, ApiError> {
        let mut object = original.clone();
        match self {
            Self::Json(operations) => {
                let operations = operations.as_ref().ok_or_else(ApiError::unprocessable_patch)?;
                operations.iter().try_for_each(|operation| apply_operation(&mut object, operation))?;
            }
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            Self::Strategic(patch) => strategic::merge(&mut object, patch)?,
        }
        Ok(object)
    }
}

fn from_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))
}

fn map_from_json(body: &[u8]) -> Result<Value, ApiError> {
    let patch: Value = from_json(body)?;
    if patch.is_object() { Ok(patch) } else { Err(ApiError::bad_request("error decoding patch: not a map")) }
}

fn apply_operation(object: &mut Value, operation: &PatchOperation) -> Result<(), ApiError> {
    let Err(error) = json_patch::patch(object, std::slice::from_ref(operation)) else {
        return Ok(());
    };
    match (operation, error.kind) {
        (PatchOperation::Test(test), PatchErrorKind::InvalidPointer) if test.value.is_null() && parent(object, &test.path).is_some() => {
            Ok(())
        }
        (PatchOperation::Replace(replace), PatchErrorKind::InvalidPointer) => {
            let added = parent(object, &replace.path).ok_or_else(ApiError::unprocessable_patch)?;
            let key = replace.path.last().map(|token| token.decoded().into_owned()).unwrap_or_default();
            added.insert(key, replace.value.clone());
            Ok(())
        }
        _ => Err(ApiError::unprocessable_patch()),
    }
}

/// The map that holds, or would hold, what the pointer names.
///
/// Where that map is there and the key is not, the library of the real server (evanphx/json-patch) does not keep to RFC 6902: a
/// `test` for `null` passes, and a `replace` adds. Nobody should build on it; a fake that is stricter would hide who does.
fn parent<'a>(object: &'a mut Value, path: &Pointer) -> Option<&'a mut Map<String, Value>> {
    object.pointer_mut(path.parent()?.as_str())?.as_object_mut()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::super::catalog::Catalog;
    use super::*;

    fn object() -> Value {
        json!({"metadata": {"annotations": {"a": "1"}}, "spec": {"containers": [{"image": "x:1"}, {"image": "y:1"}]}})
    }

    fn patched(content_type: &str, patch: &Value) -> Result<Value, ApiError> {
        let resource = Catalog::new().built_in("Deployment");
        Patch::parse(&resource, content_type, patch.to_string().as_bytes())?.apply(&object())
    }

    #[track_caller]
    fn check(patch: &Value, accepted: bool) {
        let outcome = patched(JSON, patch);
        assert_eq!(outcome.is_ok(), accepted, "{patch}");
        if let Err(error) = outcome {
            assert_eq!((error.code, error.reason), (422, "Invalid"), "{patch}");
        }
    }

    #[test]
    fn operations_that_do_not_apply_are_unprocessable() {
        let image = "/spec/containers/0/image";
        check(&json!([{"op": "test", "path": image, "value": "x:1"}]), true);
        check(&json!([{"op": "test", "path": image, "value": "x:2"}]), false);
        check(&json!([{"op": "replace", "path": "/spec/missing/deeper", "value": 1}]), false);
        check(&json!([{"op": "replace", "path": "/spec/containers/7", "value": {}}]), false);
        check(&json!([{"op": "replace", "path": "/spec/containers/7/image", "value": "x"}]), false);
        check(&json!([{"op": "add", "path": "/spec/missing/deeper", "value": 1}]), false);
        check(&json!([{"op": "remove", "path": "/spec/missing"}]), false);
        check(&json!([{"op": "swap", "path": "/spec"}]), false);
        check(&json!([{"op": "add", "path": "/metadata/annotations/skeg.dev~1last-update", "value": "u"}]), true);
    }

    #[test]
    fn where_only_the_key_is_absent_a_test_for_null_passes_and_a_replace_adds() {
        check(&json!([{"op": "replace", "path": "/spec/missing", "value": 1}]), true);
        check(&json!([{"op": "test", "path": "/metadata/annotations/b", "value": null}]), true);
        check(&json!([{"op": "test", "path": "/metadata/annotations/a", "value": null}]), false);
        check(&json!([{"op": "test", "path": "/metadata/labels/b", "value": null}]), false);
        check(&json!([{"op": "test", "path": "/metadata/annotations/b", "value": ""}]), false);
    }

    #[test]
    fn a_patch_is_applied_in_the_order_of_its_operations() {
        let patch = json!([
            {"op": "replace", "path": "/spec/containers/1/image", "value": "y:2"},
            {"op": "test", "path": "/spec/containers/1/image", "value": "y:2"},
        ]);
        let object = patched(JSON, &patch).unwrap();
        assert_eq!(object.pointer("/spec/containers/1/image"), Some(&json!("y:2")));
    }

    #[test]
    fn a_merge_patch_replaces_lists_and_removes_nulls() {
        let patch = json!({"metadata": {"annotations": {"a": null}}, "spec": {"containers": []}});
        let object = patched(MERGE, &patch).unwrap();
        assert_eq!(object, json!({"metadata": {"annotations": {}}, "spec": {"containers": []}}));
    }

    #[track_caller]
    fn check_refused(content_type: &str, body: &str, code: u16) {
        let resource = Catalog::new().built_in("Deployment");
        let error = Patch::parse(&resource, content_type, body.as_bytes()).unwrap_err();
        assert_eq!(error.code, code, "{content_type} {body}");
    }

    #[test]
    fn bodies_that_are_no_patch_are_bad_requests() {
        check_refused(JSON, "{}", 400);
        check_refused(JSON, "[7]", 400);
        check_refused(MERGE, "[]", 400);
        check_refused(MERGE, "{", 400);
        check_refused("application/json", "{}", 415);
        check_refused("application/apply-patch+yaml", "{}", 415);
    }
}
