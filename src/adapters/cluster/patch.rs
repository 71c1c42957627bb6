//! The patch that sets images: RFC 6902 operations that change nothing but the images and skeg's mark, and only where everything the
//! decision was made on is still so.
//!
//! | test | against |
//! | --- | --- |
//! | uid | a workload deleted and made again under the same name |
//! | name and image of each container | a person's `kubectl set image`, containers in another order |
//! | the mark and the generation, or without a mark the resource version | another writer of skeg; any change at all |
//!
//! The mark alone would not do: `kubectl rollout undo` brings back image and mark of before, and a patch that was sent before and arrives
//! late would fit again. A generation never comes back. Where there is a mark, changes of the status, of which a rollout makes many, do not
//! disturb the patch; after any other one (replicas by an autoscaler, an environment variable) it is decided anew. Where there is none, the
//! resource version is *replaced by the one read*: the server answers 409 when it is not the current one, which says more than the 422 of a
//! failed `test` (`docs/api-server.md`).

use serde_json::{Value, json};

use crate::core::patch::Reading;
use crate::core::update::Mark;
use crate::core::workload::WorkloadKind;
use crate::ports::cluster::ImagePatch;

/// The operations of the patch; `None` when it names a container that was not read.
pub(super) fn operations(patch: &ImagePatch) -> Option<Value> {
    let mut operations = vec![json!({"op": "test", "path": "/metadata/uid", "value": patch.on.uid})];
    operations.extend(fence(&patch.on));
    for (name, image) in &patch.images {
        operations.extend(set_image(&patch.on, name, image)?);
    }
    operations.push(leave_mark(&patch.on, &patch.mark));
    Some(Value::Array(operations))
}

fn fence(on: &Reading) -> Vec<Value> {
    match &on.mark {
        Some(mark) => vec![
            json!({"op": "test", "path": "/metadata/generation", "value": on.generation}),
            json!({"op": "test", "path": mark_path(), "value": mark}),
        ],
        None => vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": on.resource_version})],
    }
}

fn set_image(on: &Reading, name: &str, image: &str) -> Option<[Value; 3]> {
    let found = on.containers.iter().find(|container| &*container.name == name)?;
    let group = on.containers.iter().filter(|container| container.init == found.init);
    let place = group.clone().position(|container| container.name == found.name)?;
    let list = if found.init { "initContainers" } else { "containers" };
    let path = format!("{}/{list}/{place}", pod_spec(on.id.kind));
    Some([
        json!({"op": "test", "path": format!("{path}/name"), "value": name}),
        json!({"op": "test", "path": format!("{path}/image"), "value": found.image}),
        json!({"op": "replace", "path": format!("{path}/image"), "value": image}),
    ])
}

fn leave_mark(on: &Reading, mark: &Mark) -> Value {
    // Adding the whole map would empty one that is there; without one there is nothing to add to, and then the version is tested above.
    if on.has_annotations {
        json!({"op": "add", "path": mark_path(), "value": mark.to_string()})
    } else {
        json!({"op": "add", "path": "/metadata/annotations", "value": {Mark::KEY: mark.to_string()}})
    }
}

/// The annotation's key as a part of a JSON pointer (RFC 6901).
fn mark_path() -> String {
    format!("/metadata/annotations/{}", Mark::KEY.replace('~', "~0").replace('/', "~1"))
}

/// Where the kind has the specification of its pods.
fn pod_spec(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "/spec/template/spec",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::workload::{Container, WorkloadId};

    fn reading(mark: Option<&str>, has_annotations: bool) -> Reading {
        let container = |name: &str, init| Container { name: name.into(), image: format!("{name}:1").into(), init };
        Reading {
            id: WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() },
            uid: "u1".into(),
            resource_version: "7".into(),
            generation: 4,
            containers: vec![container("sidecar", false), container("web", false), container("first", true), container("init", true)],
            mark: mark.map(Into::into),
            has_annotations,
        }
    }

    #[track_caller]
    fn check(on: Reading, containers: &[&str], expected: &[(&str, &str, &str)]) {
        let images = containers.iter().map(|name| ((*name).into(), format!("{name}:2").into())).collect();
        let mark = Mark { update: "web-0123456789".into(), epoch: 3, restored: Vec::new() };
        let operations = operations(&ImagePatch { on, images, mark }).unwrap();
        let told: Vec<_> = operations
            .as_array()
            .unwrap()
            .iter()
            .map(|operation| {
                let value = &operation["value"];
                let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                (operation["op"].as_str().unwrap().to_owned(), operation["path"].as_str().unwrap().to_owned(), value)
            })
            .collect();
        let told: Vec<_> = told.iter().map(|(op, path, value)| (op.as_str(), path.as_str(), value.as_str())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_workload_with_a_mark_is_fenced_by_it_and_by_its_generation_so_that_its_status_does_not_disturb() {
        check(
            reading(Some("web-9876543210 2"), true),
            &["web"],
            &[
                ("test", "/metadata/uid", "u1"),
                ("test", "/metadata/generation", "4"),
                ("test", "/metadata/annotations/skeg.dev~1last-update", "web-9876543210 2"),
                ("test", "/spec/template/spec/containers/1/name", "web"),
                ("test", "/spec/template/spec/containers/1/image", "web:1"),
                ("replace", "/spec/template/spec/containers/1/image", "web:2"),
                ("add", "/metadata/annotations/skeg.dev~1last-update", "web-0123456789 3"),
            ],
        );
    }

    #[test]
    fn a_workload_without_a_mark_is_fenced_by_its_version() {
        check(
            reading(None, true),
            &["init"],
            &[
                ("test", "/metadata/uid", "u1"),
                ("replace", "/metadata/resourceVersion", "7"),
                ("test", "/spec/template/spec/initContainers/1/name", "init"),
                ("test", "/spec/template/spec/initContainers/1/image", "init:1"),
                ("replace", "/spec/template/spec/initContainers/1/image", "init:2"),
                ("add", "/metadata/annotations/skeg.dev~1last-update", "web-0123456789 3"),
            ],
        );
    }

    #[test]
    fn a_workload_without_annotations_gets_the_map_with_the_mark() {
        check(
            reading(None, false),
            &[],
            &[
                ("test", "/metadata/uid", "u1"),
                ("replace", "/metadata/resourceVersion", "7"),
                ("add", "/metadata/annotations", r#"{"skeg.dev/last-update":"web-0123456789 3"}"#),
            ],
        );
    }

    #[test]
    fn a_container_that_was_not_read_makes_no_patch() {
        let mark = Mark { update: "web-0123456789".into(), epoch: 0, restored: Vec::new() };
        let patch = ImagePatch { on: reading(None, true), images: vec![("api".into(), "api:2".into())], mark };
        assert_eq!(operations(&patch), None);
    }
}
