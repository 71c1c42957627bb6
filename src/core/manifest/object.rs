//! Workloads as manifests declare them: the parts that decisions are made from.

use std::collections::BTreeMap;

use super::kubernetes::{CONTAINER_LISTS, Identity, LIST_DEPTH_MAX, POD_PATHS};
use super::target::group;
use super::yaml::{Cursor, Visits, documents};
use super::{DECLARATIONS_MAX, ManifestError};
use crate::core::directives::keel;
use crate::core::nearest::shown;
use crate::core::workload::{Container, WorkloadKind};

/// A workload that a file declares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace, when the file says one.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// Its annotations, those that are text.
    pub annotations: BTreeMap<String, String>,
    /// Its labels, those that are text.
    pub labels: BTreeMap<String, String>,
    /// Containers, then init containers, of the pod template.
    pub containers: Vec<Container>,
    /// How long its controller gives a rollout, in seconds.
    pub progress_deadline_seconds: Option<u32>,
}

/// A Namespace that a file declares: its name, and its annotations, those that are text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclaredNamespace {
    /// Its name.
    pub name: Box<str>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a file declares.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Objects {
    /// The workloads of the kinds that skeg updates.
    pub workloads: Vec<Object>,
    /// The Namespaces.
    pub namespaces: Vec<DeclaredNamespace>,
}

/// The workloads and Namespaces in a text of one or more documents, YAML or JSON, lists included.
pub fn objects(text: &str) -> Result<Objects, ManifestError> {
    let (mut found, visits) = (Objects::default(), Visits::new());
    for document in documents(text)? {
        if let Some(root) = document.root(&visits) {
            add(root, LIST_DEPTH_MAX, &mut found)?;
        }
    }
    visits.check()?;
    Ok(found)
}

fn add(object: Cursor<'_, '_>, depth: usize, found: &mut Objects) -> Result<(), ManifestError> {
    let Some(identity) = Identity::read(object) else { return Ok(()) };
    if identity.kind == "List" && identity.api_version == "v1" && depth > 0 {
        return object.get("items").into_iter().flat_map(Cursor::elements).try_for_each(|item| add(item, depth - 1, found));
    }
    if found.workloads.len() + found.namespaces.len() >= DECLARATIONS_MAX {
        return Err(ManifestError::TooMany);
    }
    if let ("Namespace", "v1", Some(name)) = (identity.kind, identity.api_version, identity.name) {
        found.namespaces.push(DeclaredNamespace { name: name.into(), annotations: texts(object, "annotations")? });
        return Ok(());
    }
    let is_kind = |kind: &&WorkloadKind| kind.as_str() == identity.kind && group(kind.api_version()) == group(identity.api_version);
    let kind = WorkloadKind::ALL.iter().find(is_kind);
    if let (Some(kind), Some(name)) = (kind, identity.name) {
        found.workloads.push(read(object, *kind, name, identity.namespace)?);
    }
    Ok(())
}

fn read(object: Cursor<'_, '_>, kind: WorkloadKind, name: &str, namespace: Option<&str>) -> Result<Object, ManifestError> {
    let pod = POD_PATHS.iter().find(|(_, known, _)| *known == kind.as_str()).and_then(|(_, _, path)| object.walk(path));
    let listed = |(list, init): (&str, bool)| {
        let containers = pod.and_then(|pod| pod.get(list)).into_iter().flat_map(Cursor::elements);
        containers.filter_map(|one| container(one, init)).collect::<Vec<_>>()
    };
    let deadline = object.walk(&["spec", "progressDeadlineSeconds"]);
    Ok(Object {
        kind,
        namespace: namespace.map(Into::into),
        name: name.into(),
        annotations: texts(object, "annotations")?,
        labels: texts(object, "labels")?,
        // Init containers come last, as in the index.
        containers: CONTAINER_LISTS.into_iter().rev().flat_map(listed).collect(),
        progress_deadline_seconds: deadline.and_then(|seconds| seconds.text()?.parse().ok()),
    })
}

/// The entries of a table in the metadata that are text. Nothing written is an empty text to Kubernetes, and a key written twice a mistake where
/// skeg goes by it; of others the last counts.
fn texts(object: Cursor<'_, '_>, table: &str) -> Result<BTreeMap<String, String>, ManifestError> {
    let mut texts = BTreeMap::new();
    for (key, value) in object.walk(&["metadata", table]).into_iter().flat_map(Cursor::pairs) {
        let text = if value.says_null() { Some("") } else { value.text() };
        if let Some(text) = text
            && texts.insert(key.to_owned(), text.to_owned()).is_some()
            && ["skeg.dev/"].iter().chain(&keel::PREFIXES).any(|prefix| key.starts_with(prefix))
        {
            return Err(ManifestError::Twice { line: value.line(), key: shown(key).into() });
        }
    }
    Ok(texts)
}

/// A container without a name cannot be spoken of; one without an image is as the cluster would show it.
fn container(cursor: Cursor<'_, '_>, init: bool) -> Option<Container> {
    let text = |key: &str| cursor.get(key).and_then(|value| value.text().map(Box::<str>::from));
    Some(Container { name: text("name")?, image: text("image").unwrap_or_default(), init })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {skeg.dev/policy: patch}}\n---\napiVersion: apps/v1\nkind: \
                       Deployment\nmetadata:\n  name: web\n  labels: {tier: prod}\n  annotations:\n    skeg.dev/policy: minor\n    skeg.dev/approvals: \"1\"\nspec:\n  \
                       progressDeadlineSeconds: 90\n  template:\n    spec:\n      initContainers:\n        - {name: init, image: init:1}\n      \
                       containers:\n        - name: web\n          image: web:1.0.0\n        - {name: bare}\n";

    fn container(name: &str, image: &str, init: bool) -> Container {
        Container { name: name.into(), image: image.into(), init }
    }

    #[test]
    fn workloads_are_read_from_several_documents() {
        let Objects { workloads, namespaces } = objects(TWO).unwrap();
        let expected = Object {
            kind: WorkloadKind::Deployment,
            namespace: None,
            name: "web".into(),
            annotations: BTreeMap::from([("skeg.dev/policy".into(), "minor".into()), ("skeg.dev/approvals".into(), "1".into())]),
            labels: BTreeMap::from([("tier".to_owned(), "prod".to_owned())]),
            containers: vec![container("web", "web:1.0.0", false), container("bare", "", false), container("init", "init:1", true)],
            progress_deadline_seconds: Some(90),
        };
        assert_eq!(workloads, [expected]);
        assert_eq!(
            namespaces,
            [DeclaredNamespace { name: "shop".into(), annotations: BTreeMap::from([("skeg.dev/policy".into(), "patch".into())]) }]
        );
    }

    #[test]
    fn json_and_lists_are_read_too_and_what_is_no_workload_is_passed_over() {
        let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "annotations": null}},
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}},
            {"apiVersion": "example.com/v1", "kind": "Deployment", "metadata": {"name": "other"}}
        ]}"#;
        let names: Vec<_> = objects(text).unwrap().workloads.into_iter().map(|object| (object.namespace, object.name)).collect();
        assert_eq!(names, [(Some("shop".into()), "web".into())]);
        for empty in ["", "---\n", "[]", "text", "kind: Deployment"] {
            assert_eq!(objects(empty).unwrap(), Objects::default(), "{empty}");
        }
        assert!(objects("a: [").is_err());
    }

    #[test]
    fn what_is_written_as_nothing_is_an_empty_text_and_no_key_may_stand_twice() {
        let read = |annotations: &str| {
            objects(&format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  annotations:\n{annotations}"))
                .map(|found| found.workloads.into_iter().next().unwrap().annotations)
        };
        for nothing in ["", " ~", " null", " ''"] {
            let annotations = read(&format!("    skeg.dev/policy:{nothing}\n")).unwrap();
            assert_eq!(annotations.get("skeg.dev/policy").map(String::as_str), Some(""), "{nothing}");
        }
        let twice = read("    skeg.dev/policy: never\n    skeg.dev/policy: minor\n").unwrap_err();
        assert_eq!(twice.to_string(), "line 7: skeg.dev/policy is written twice: leave one of them");
    }
}
