//! Which resource types are served, and what is particular to each.
//!
//! The built-in types are one table. A custom type is served exactly while a `CustomResourceDefinition` object for it is
//! stored: it is derived from that object at every request, so the two cannot disagree.

use std::sync::Arc;

use serde_json::Value;

use super::object;
use super::store::{ObjectKey, Store};

/// One served resource type.
#[derive(Debug)]
pub struct ResourceType {
    /// API group; empty for the core group.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// Kind of the objects, `Deployment` for one.
    pub kind: String,
    /// Name in the URL.
    pub plural: String,
    /// Name for one object, as kubectl takes it.
    pub singular: String,
    /// Further names kubectl takes.
    pub short_names: Vec<String>,
    /// Whether the objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` is written through its own subresource only.
    pub status_subresource: bool,
    /// Whether an update may come without a resource version.
    pub unconditional_update: bool,
    /// What the objects look like.
    pub schema: Schema,
    /// `additionalPrinterColumns` of a custom type.
    pub printer_columns: Vec<Value>,
}

/// What is known of the objects of a resource type.
#[derive(Debug, Clone)]
pub enum Schema {
    /// core/v1 Namespace
    Namespace,
    /// core/v1 Node
    Node,
    /// core/v1 `ConfigMap`
    ConfigMap,
    /// core/v1 Secret
    Secret,
    /// v1 `ServiceAccount`
    ServiceAccount,
    /// core/v1 Pod
    Pod,
    /// Events as core/v1 shows them; this is the stored form
    CoreEvent,
    /// The same events as events.k8s.io/v1 shows them
    Event,
    /// apps/v1 Deployment
    Deployment,
    /// apps/v1 `ReplicaSet`
    ReplicaSet,
    /// coordination.k8s.io/v1 Lease
    Lease,
    /// apiextensions.k8s.io/v1 `CustomResourceDefinition`
    CustomResourceDefinition,
    /// A custom resource with the `openAPIV3Schema` of its version
    Custom(Arc<Value>),
}

impl ResourceType {
    /// `plural.group` as messages name the type; only `plural` in the core group.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `group/version`; only `version` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Where an object of this type is stored. Both event APIs show the same objects.
    pub fn key(&self, namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { resource: self.storage(), namespace: namespace.into(), name: name.into() }
    }

    /// The part of the storage that holds this type: `group/plural`.
    pub fn storage(&self) -> Arc<str> {
        match self.schema {
            Schema::CoreEvent | Schema::Event => "/events".into(),
            _ => format!("{}/{}", self.group, self.plural).into(),
        }
    }

    /// Whether this is a custom resource.
    pub fn is_custom(&self) -> bool {
        matches!(self.schema, Schema::Custom(_))
    }

    /// The field labels a field selector may name, beyond name and namespace, with the JSON pointer of each.
    pub fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        match self.schema {
            Schema::CoreEvent | Schema::Event => &[
                ("involvedObject.kind", "/involvedObject/kind"),
                ("involvedObject.namespace", "/involvedObject/namespace"),
                ("involvedObject.name", "/involvedObject/name"),
                ("involvedObject.uid", "/involvedObject/uid"),
                ("regarding.kind", "/involvedObject/kind"),
                ("regarding.namespace", "/involvedObject/namespace"),
                ("regarding.name", "/involvedObject/name"),
                ("reason", "/reason"),
                ("type", "/type"),
                ("reportingController", "/reportingComponent"),
            ],
            Schema::Pod => &[
                ("spec.nodeName", "/spec/nodeName"),
                ("spec.restartPolicy", "/spec/restartPolicy"),
                ("spec.serviceAccountName", "/spec/serviceAccountName"),
                ("status.phase", "/status/phase"),
                ("status.podIP", "/status/podIP"),
            ],
            Schema::Secret => &[("type", "/type")],
            Schema::Namespace => &[("status.phase", "/status/phase")],
            Schema::ReplicaSet => &[("status.replicas", "/status/replicas")],
            Schema::ConfigMap
            | Schema::Node
            | Schema::ServiceAccount
            | Schema::Deployment
            | Schema::Lease
            | Schema::CustomResourceDefinition
            | Schema::Custom(_) => &[],
        }
    }
}

/// The served types.
#[derive(Debug)]
pub struct Catalog {
    built_in: Vec<Arc<ResourceType>>,
}

impl Catalog {
    /// The built-in types.
    pub fn new() -> Self {
        let built_in = BUILT_IN.iter().map(|row| Arc::new(row.resource_type()));
        Self { built_in: built_in.collect() }
    }

    /// The type with this group, version and plural, if it is served now.
    pub fn find(&self, store: &Store, group: &str, version: &str, plural: &str) -> Option<Arc<ResourceType>> {
        let named = |resource: &&Arc<ResourceType>| resource.group == group && resource.version == version && resource.plural == plural;
        if let Some(resource) = self.built_in.iter().find(named) {
            return Some(resource.clone());
        }
        let key = self.definitions().key("", &format!("{plural}.{group}"));
        custom(&*store.get(&key)?, version).map(Arc::new)
    }

    /// Every type served now, built-in ones first.
    pub fn all(&self, store: &Store) -> Vec<Arc<ResourceType>> {
        let definitions = store.all_of(&self.definitions().storage());
        let versions = definitions.iter().flat_map(|definition| {
            object::elements(definition, "/spec/versions").iter().filter_map(|version| custom(definition, object::text(version, "/name")?))
        });
        self.built_in.iter().cloned().chain(versions.map(Arc::new)).collect()
    }

    /// The built-in type of this kind.
    ///
    /// # Panics
    /// If there is none: the caller names a kind of the table below.
    pub fn built_in(&self, kind: &str) -> Arc<ResourceType> {
        let found = self.built_in.iter().find(|resource| resource.kind == kind);
        found.expect("the kind is one of the table").clone()
    }

    fn definitions(&self) -> Arc<ResourceType> {
        self.built_in("CustomResourceDefinition")
    }
}

/// The type a `CustomResourceDefinition` declares for one version, if that version is served.
fn custom(definition: &Value, version: &str) -> Option<ResourceType> {
    let declared = object::elements(definition, "/spec/versions")
        .iter()
        .find(|declared| object::text(declared, "/name") == Some(version) && declared.get("served") == Some(&Value::Bool(true)))?;
    let text = |pointer| object::text(definition, pointer).map(str::to_owned);
    let kind = text("/spec/names/kind")?;
    let short_names = object::elements(definition, "/spec/names/shortNames").iter();
    let schema = declared.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
    Some(ResourceType {
        group: text("/spec/group")?,
        version: version.to_owned(),
        plural: text("/spec/names/plural")?,
        singular: text("/spec/names/singular").unwrap_or_else(|| kind.to_lowercase()),
        short_names: short_names.filter_map(Value::as_str).map(str::to_owned).collect(),
        namespaced: object::text(definition, "/spec/scope") == Some("Namespaced"),
        status_subresource: declared.pointer("/subresources/status").is_some(),
        // CustomResourceStrategy.AllowUnconditionalUpdate
        unconditional_update: false,
        schema: Schema::Custom(Arc::new(schema)),
        printer_columns: object::elements(declared, "/additionalPrinterColumns").to_vec(),
        kind,
    })
}

/// A row of the table of built-in types.
struct BuiltIn {
    api: (&'static str, &'static str),
    names: (&'static str, &'static str, &'static [&'static str]),
    namespaced: bool,
    status_subresource: bool,
    unconditional_update: bool,
    schema: Schema,
}

impl BuiltIn {
    fn resource_type(&self) -> ResourceType {
        let (group, version) = self.api;
        let (kind, plural, short_names) = self.names;
        ResourceType {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            short_names: short_names.iter().map(|&name| name.to_owned()).collect(),
            namespaced: self.namespaced,
            status_subresource: self.status_subresource,
            unconditional_update: self.unconditional_update,
            schema: self.schema.clone(),
            printer_columns: Vec::new(),
        }
    }
}

/// `pkg/registry/**/strategy.go` of Kubernetes says which types are namespaced, have a status subresource and take updates
/// without a resource version.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        api: ("", "v1"),
        names: ("Namespace", "namespaces", &["ns"]),
        namespaced: false,
        status_subresource: true,
        unconditional_update: true,
        schema: Schema::Namespace,
    },
    BuiltIn {
        api: ("", "v1"),
        names: ("Node", "nodes", &["no"]),
        namespaced: false,
        status_subresource: true,
        unconditional_update: true,
        schema: Schema::Node,
    },
    BuiltIn {
        api: ("", "v1"),
        names: ("ConfigMap", "configmaps", &["cm"]),
        namespaced: true,
        status_subresource: false,
        unconditional_update: true,
        schema: Schema::ConfigMap,
    },
    BuiltIn {
        api: ("", "v1"),
        names: ("Secret", "secrets", &[]),
        namespaced: true,
        status_subresource: false,
        unconditional_update: true,
        schema: Schema::Secret,
    },
    BuiltIn {
        api: ("", "v1"),
        names: ("ServiceAccount", "serviceaccounts", &["sa"]),
        namespaced: true,
        status_subresource: false,
        unconditional_update: true,
        schema: Schema::ServiceAccount,
    },
    BuiltIn {
        api: ("", "v1"),
        names: ("Pod", "pods", &["po"]),
        namespaced: true,
        status_subresource: true,
        unconditional_update: true,
        schema: Schema::Pod,
    },
    BuiltIn {
        api: ("", "v1"),
        names: ("Event", "events", &["ev"]),
        namespaced: true,
        status_subresource: false,
        unconditional_update: true,
        schema: Schema::CoreEvent,
    },
    BuiltIn {
        api: ("events.k8s.io", "v1"),
        names: ("Event", "events", &["ev"]),
        namespaced: true,
        status_subresource: false,
        unconditional_update: true,
        schema: Schema::Event,
    },
    BuiltIn {
        api: ("apps", "v1"),
        names: ("Deployment", "deployments", &["deploy"]),
        namespaced: true,
        status_subresource: true,
        unconditional_update: true,
        schema: Schema::Deployment,
    },
    BuiltIn {
        api: ("apps", "v1"),
        names: ("ReplicaSet", "replicasets", &["rs"]),
        namespaced: true,
        status_subresource: true,
        unconditional_update: true,
        schema: Schema::ReplicaSet,
    },
    BuiltIn {
        api: ("coordination.k8s.io", "v1"),
        names: ("Lease", "leases", &[]),
        namespaced: true,
        status_subresource: false,
        unconditional_update: false,
        schema: Schema::Lease,
    },
    BuiltIn {
        api: ("apiextensions.k8s.io", "v1"),
        names: ("CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"]),
        namespaced: false,
        status_subresource: true,
        unconditional_update: false,
        schema: Schema::CustomResourceDefinition,
    },
];
