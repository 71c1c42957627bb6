//! How an object looks in an answer: whole, or its metadata only, as the `Accept` header asks.
//!
//! Source: Kubernetes documentation, "API concepts", "Metadata-only fetches". Tables are not made; kubectl then prints its own.

use serde_json::{Value, json};

use super::catalog::ResourceType;
use super::form;
use super::object;

/// What the client wants to see of each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Representation {
    /// The object as the type shows it.
    Whole,
    /// `PartialObjectMetadata` of meta.k8s.io/v1
    Metadata,
}

impl Representation {
    /// The first form of the `Accept` header that is spoken here.
    pub fn of(accept: &str) -> Self {
        let mut forms = accept.split(',').filter(|form| !form.contains("as=Table"));
        match forms.next() {
            Some(form) if form.contains("as=PartialObjectMetadata") => Self::Metadata,
            _ => Self::Whole,
        }
    }

    /// One object.
    pub fn object(self, resource: &ResourceType, stored: &Value) -> Value {
        match self {
            Self::Whole => form::shown(resource, stored),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": stored.get("metadata"),
            }),
        }
    }

    /// One object of a list. Items of built-in types carry no kind; those of custom types do.
    pub fn item(self, resource: &ResourceType, stored: &Value) -> Value {
        let mut item = self.object(resource, stored);
        if self == Self::Whole && !resource.is_custom() {
            object::remove(&mut item, &["kind"]);
            object::remove(&mut item, &["apiVersion"]);
        }
        item
    }

    /// Kind and API version of a list.
    pub fn list_type(self, resource: &ResourceType) -> (String, String) {
        match self {
            Self::Whole => (format!("{}List", resource.kind), resource.api_version()),
            Self::Metadata => ("PartialObjectMetadataList".into(), "meta.k8s.io/v1".into()),
        }
    }
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
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Representation::Whole);
    }
}
