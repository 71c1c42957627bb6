//! How objects look in an answer: whole, their metadata only, or as rows of a table, as the `Accept` header asks.
//!
//! Source: Kubernetes documentation, "API concepts", "Metadata-only fetches" and "Receiving resources as Tables".

use jiff::Timestamp;
use serde_json::{Value, json};

use super::catalog::ResourceType;
use super::form;
use super::object;
use super::table;

/// What the client wants to see of each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Representation {
    /// The object as the type shows it.
    Whole,
    /// `PartialObjectMetadata` of meta.k8s.io/v1
    Metadata,
    /// `Table` of meta.k8s.io/v1
    Table,
}

impl Representation {
    /// The first form of the `Accept` header. `v1beta1` forms are older names of the same.
    pub fn of(accept: &str) -> Self {
        let first = accept.split(',').next().unwrap_or_default();
        if first.contains("as=Table") {
            Self::Table
        } else if first.contains("as=PartialObjectMetadata") {
            Self::Metadata
        } else {
            Self::Whole
        }
    }

    /// One object.
    pub fn object(self, resource: &ResourceType, stored: &Value) -> Value {
        match self {
            Self::Whole => form::shown(resource, stored),
            Self::Metadata => metadata_of(stored),
            Self::Table => {
                let metadata = json!({"resourceVersion": object::resource_version(stored)});
                table::table(resource, [stored], &metadata, Timestamp::now())
            }
        }
    }

    /// A list with this `metadata`. Items of built-in types carry no kind; those of custom types do.
    pub fn list<'a>(self, resource: &ResourceType, objects: impl IntoIterator<Item = &'a Value>, metadata: &Value) -> Value {
        let (kind, api_version, items): (_, _, Vec<Value>) = match self {
            Self::Table => return table::table(resource, objects, metadata, Timestamp::now()),
            Self::Whole => {
                let items = objects.into_iter().map(|object| item(resource, object));
                (format!("{}List", resource.kind), resource.api_version(), items.collect())
            }
            Self::Metadata => {
                let items = objects.into_iter().map(metadata_of);
                ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into(), items.collect())
            }
        };
        json!({"kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items})
    }

    /// Kind and API version of what [`Representation::object`] gives.
    pub fn object_type(self, resource: &ResourceType) -> (String, String) {
        match self {
            Self::Whole => (resource.kind.clone(), resource.api_version()),
            Self::Metadata => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
            Self::Table => ("Table".into(), "meta.k8s.io/v1".into()),
        }
    }
}

fn item(resource: &ResourceType, stored: &Value) -> Value {
    let mut item = form::shown(resource, stored);
    if !resource.is_custom() {
        object::remove(&mut item, &["kind"]);
        object::remove(&mut item, &["apiVersion"]);
    }
    item
}

fn metadata_of(stored: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": stored.get("metadata")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Representation) {
        assert_eq!(Representation::of(accept), expected, "{accept}");
    }

    #[test]
    fn the_accept_header_chooses_the_representation() {
        check("", Representation::Whole);
        check("application/json", Representation::Whole);
        check("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Representation::Metadata);
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Representation::Table);
    }
}
