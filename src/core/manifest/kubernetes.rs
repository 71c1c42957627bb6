//! Kubernetes objects as kubectl takes them: the images of the containers of every kind that has a pod template.

use std::path::Path;

use granit_parser::ScalarStyle;

use super::target::group;
use super::yaml::{Cursor, Visits, documents};
use super::{DECLARATIONS_MAX, Declared, Image, ImageEditor, ManifestError, Place, Style, Uneditable, scalar};
use crate::core::image::ImageRef;

/// Where the pod is, by API group and kind.
pub(super) const POD_PATHS: [(&str, &str, &[&str]); 11] = [
    ("", "Pod", &["spec"]),
    ("", "PodTemplate", &["template", "spec"]),
    ("", "ReplicationController", &["spec", "template", "spec"]),
    ("apps", "Deployment", &["spec", "template", "spec"]),
    ("apps", "StatefulSet", &["spec", "template", "spec"]),
    ("apps", "DaemonSet", &["spec", "template", "spec"]),
    ("apps", "ReplicaSet", &["spec", "template", "spec"]),
    ("batch", "Job", &["spec", "template", "spec"]),
    ("batch", "CronJob", &["spec", "jobTemplate", "spec", "template", "spec"]),
    ("argoproj.io", "Rollout", &["spec", "template", "spec"]),
    // Removed in Kubernetes 1.16, still found in files of clusters that convert it.
    ("extensions", "Deployment", &["spec", "template", "spec"]),
];
/// The lists of containers in a pod, and whether they are init containers.
pub(super) const CONTAINER_LISTS: [(&str, bool); 2] = [("initContainers", true), ("containers", false)];
/// Lists inside lists: kubectl writes one around objects, and nobody writes three. Aliases could make a list contain itself.
pub(super) const LIST_DEPTH_MAX: usize = 3;

/// The editor of plain manifests.
pub(super) struct KubernetesObjects;

impl ImageEditor for KubernetesObjects {
    fn name(&self) -> &'static str {
        "Kubernetes objects"
    }

    fn reads(&self, file_name: &str) -> bool {
        Path::new(file_name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    }

    fn declarations(&self, text: &str) -> Result<Vec<Declared>, ManifestError> {
        let (mut declared, visits) = (Vec::new(), Visits::new());
        for document in documents(text)? {
            if let Some(root) = document.root(&visits) {
                add_object(root, LIST_DEPTH_MAX, text, &mut declared)?;
            }
        }
        visits.check()?;
        Ok(declared)
    }

    fn splice(&self, text: &str, changes: &[(&Declared, &ImageRef)]) -> Result<String, ManifestError> {
        let mut edits = Vec::with_capacity(changes.len());
        for (declared, image) in changes {
            let Image::Text { span, style, .. } = &declared.image else {
                return Err(ManifestError::Inexact);
            };
            let written = scalar::encode(&image.to_string(), *style).ok_or(ManifestError::Inexact)?;
            edits.push((span.clone(), written));
        }
        edits.sort_by_key(|(span, _)| span.start);
        let mut edited = String::with_capacity(text.len() + edits.len());
        let mut copied = 0;
        for (span, written) in edits {
            edited.push_str(text.get(copied..span.start).ok_or(ManifestError::Inexact)?);
            edited.push_str(&written);
            copied = span.end;
        }
        edited.push_str(text.get(copied..).ok_or(ManifestError::Inexact)?);
        Ok(edited)
    }
}

/// Adds the images of `object`, or of the objects in it when it is a list.
fn add_object(object: Cursor<'_, '_>, depth: usize, text: &str, declared: &mut Vec<Declared>) -> Result<(), ManifestError> {
    let Some(identity) = Identity::read(object) else {
        return Ok(());
    };
    if identity.kind == "List" && identity.api_version == "v1" && depth > 0 {
        return object.get("items").into_iter().flat_map(Cursor::elements).try_for_each(|item| add_object(item, depth - 1, text, declared));
    }
    let is_kind = |(api_group, kind, _): &&(&str, &str, _)| *kind == identity.kind && *api_group == group(identity.api_version);
    let Some(pod) = POD_PATHS.iter().find(is_kind).and_then(|(_, _, path)| object.walk(path)) else {
        return Ok(());
    };
    for (list, init) in CONTAINER_LISTS {
        for container in pod.get(list).into_iter().flat_map(Cursor::elements) {
            let Some(image) = identity.image_of(container, init, text) else {
                continue;
            };
            if declared.len() >= DECLARATIONS_MAX {
                return Err(ManifestError::TooMany);
            }
            declared.push(image);
        }
    }
    Ok(())
}

/// What names an object.
pub(super) struct Identity<'doc> {
    pub api_version: &'doc str,
    pub kind: &'doc str,
    pub namespace: Option<&'doc str>,
    pub name: Option<&'doc str>,
    /// A key written twice in what names the object: which object this is, is then a matter of the reader.
    doubt: Option<Uneditable>,
}

impl<'doc> Identity<'doc> {
    pub fn read(object: Cursor<'doc, '_>) -> Option<Self> {
        let mut doubt = None;
        let mut read = |keys: &[&str]| {
            let value = object.walk(keys)?;
            doubt = doubt.or(duplicate(value));
            value.text()
        };
        let (api_version, kind) = (read(&["apiVersion"])?, read(&["kind"])?);
        let (namespace, name) = (read(&["metadata", "namespace"]), read(&["metadata", "name"]));
        Some(Self { api_version, kind, namespace, name, doubt })
    }

    /// What `container` of this object declares. A container without an image declares none: a patch that changes something
    /// else. An object without a name (`generateName`) or a container without one cannot be found again.
    fn image_of(&self, container: Cursor<'_, '_>, init: bool, text: &str) -> Option<Declared> {
        let container_name = container.get("name")?;
        let image = container.get("image").filter(|image| !image.is_null())?;
        let place = Place {
            api_version: self.api_version.into(),
            kind: self.kind.into(),
            namespace: self.namespace.map(Into::into),
            name: self.name?.into(),
            container: container_name.text()?.into(),
            init,
        };
        let doubt = self.doubt.or(duplicate(container_name));
        Some(Declared { place, image: read_image(image, doubt, text) })
    }
}

fn duplicate(cursor: Cursor<'_, '_>) -> Option<Uneditable> {
    cursor.obstacle().filter(|obstacle| matches!(obstacle, Uneditable::DuplicateKey { .. }))
}

/// The image at a cursor. `doubt` is a reason not to change it that lies elsewhere in the object.
fn read_image(image: Cursor<'_, '_>, doubt: Option<Uneditable>, text: &str) -> Image {
    let line = image.line();
    let Some(scalar) = image.scalar() else {
        let is_template = text.get(image.span().start..).is_some_and(|rest| rest.starts_with("{{"));
        let why = if is_template { Uneditable::Template { line } } else { Uneditable::NotText { line } };
        return Image::Fixed { why, text: None };
    };
    if scalar.value.contains("{{") {
        return Image::Fixed { why: Uneditable::Template { line }, text: None };
    }
    let style = match scalar.style {
        ScalarStyle::Plain => Ok(Style::Plain),
        ScalarStyle::SingleQuoted => Ok(Style::SingleQuoted),
        ScalarStyle::DoubleQuoted => Ok(Style::DoubleQuoted),
        ScalarStyle::Literal | ScalarStyle::Folded => Err(Uneditable::BlockScalar { line }),
    };
    match (doubt.or(image.obstacle()), style) {
        (None, Ok(style)) => Image::Text { text: scalar.value.into(), span: scalar.span, style },
        (Some(why), _) | (None, Err(why)) => Image::Fixed { why, text: Some(scalar.value.into()) },
    }
}
