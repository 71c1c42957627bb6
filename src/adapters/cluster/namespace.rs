//! A Namespace as it comes from the API server: its name and the annotations that mean something here.

use std::borrow::Cow;

use kube::api::{ObjectMeta, Resource};
use kube::core::ClusterResourceScope;
use serde::Deserialize;

use super::object::Keys;
use crate::core::directives::skeg::PREFIX;

/// A Namespace, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Sent")]
pub(crate) struct NamespaceObject {
    /// Name and resource version; nothing else is filled in.
    metadata: ObjectMeta,
    /// skeg's among the annotations.
    annotations: Vec<(Box<str>, Box<str>)>,
}

impl NamespaceObject {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// What it says.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.annotations.iter().map(|(key, value)| (&**key, &**value))
    }
}

impl Resource for NamespaceObject {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Namespace".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "namespaces".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The shape of the JSON.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Sent {
    metadata: SentMetadata,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct SentMetadata {
    name: Option<String>,
    resource_version: Option<String>,
    annotations: Option<Keys>,
}

impl From<Sent> for NamespaceObject {
    fn from(Sent { metadata: SentMetadata { name, resource_version, annotations } }: Sent) -> Self {
        let kept = annotations.unwrap_or_default().into_kept().into_iter().filter(|(key, _)| key.starts_with(PREFIX));
        Self {
            metadata: ObjectMeta { name, resource_version, ..ObjectMeta::default() },
            annotations: kept.map(|(key, value)| (key.into(), value.into())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_to_skeg_is_kept() {
        let object: NamespaceObject = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            "metadata": {"name": "shop", "uid": "u1", "resourceVersion": "7", "labels": {"team": "shop"},
                "annotations": {"skeg.dev/policy": "minor", "keel.sh/policy": "all", "argocd.argoproj.io/tracking-id": "x", "team": "shop"}},
        }))
        .unwrap();
        assert_eq!((object.name(), object.annotations().collect::<Vec<_>>()), ("shop", vec![("skeg.dev/policy", "minor")]));
        let bare: NamespaceObject = serde_json::from_value(serde_json::json!({"metadata": {"annotations": null}})).unwrap();
        assert_eq!((bare.name(), bare.annotations().count()), ("", 0));
    }
}
