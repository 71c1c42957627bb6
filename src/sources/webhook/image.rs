//! What a sender's words for an image come to. The rules are the same for every registry's notifications.

use serde_json::Value;

use super::Ignored;
use crate::core::image::{Repository, Tag};

/// The repository at `path` of the registry `host`.
pub(super) fn repository(host: &str, path: &str) -> Result<Repository, Ignored> {
    Repository::new(host, path).map_err(|_| Ignored { reason: "the image's name is not one" })
}

/// The tag. A field with a digest in it, or with anything else that is no tag, means that there is none: the manifests of the
/// platforms of an image arrive that way.
pub(super) fn tag(field: Option<&Value>) -> Result<Tag, Ignored> {
    let tag: Option<Tag> = text(field).and_then(|tag| tag.parse().ok());
    match tag {
        None => Err(Ignored { reason: "no tag" }),
        Some(tag) if tag.is_signature_storage() => Err(SIGNATURE),
        Some(tag) => Ok(tag),
    }
}

/// The tag is where a signature tool keeps its data.
pub(super) const SIGNATURE: Ignored = Ignored { reason: "storage of a signature or attestation" };

/// A field that parses; one that is missing or does not is the same as none.
pub(super) fn valid<T: std::str::FromStr>(field: Option<&Value>) -> Option<T> {
    text(field)?.parse().ok()
}

/// A text that is not empty.
pub(super) fn text(field: Option<&Value>) -> Option<&str> {
    field?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, path: &str, expected: Option<&str>) {
        assert_eq!(repository(host, path).ok().as_ref().map(Repository::as_str), expected, "{host} {path}");
    }

    #[test]
    fn host_and_path_make_a_repository_in_normal_form() {
        check("registry.example.com", "foo/bar", Some("registry.example.com/foo/bar"));
        check("Registry.Example.com:5000", "foo", Some("registry.example.com:5000/foo"));
        check("index.docker.io", "nginx", Some("docker.io/library/nginx"));
        check("localhost", "foo", Some("localhost/foo"));
        check("[::1]:5000", "foo", Some("[::1]:5000/foo"));
    }

    #[test]
    fn what_would_name_another_place_is_no_repository() {
        check("registry", "foo/bar", None);
        check("a.test/b", "foo", None);
        check("user@a.test", "foo", None);
        check("https://a.test", "foo", None);
        check("a.test", "foo:1.0", None);
        check("a.test", "foo@sha256:0", None);
        check("a.test", "../foo", None);
        check("a.test", "", None);
        check("a.test", "Foo", None);
    }

    #[test]
    fn a_field_with_no_tag_in_it_means_no_tag() {
        let none = Err(Ignored { reason: "no tag" });
        assert_eq!(tag(Some(&Value::from("1.0"))), Ok("1.0".parse().unwrap()));
        assert_eq!(tag(None), none);
        for wrong in [Value::Null, Value::from(1), Value::from(""), Value::from("$(id)"), Value::from("sha256:00")] {
            assert_eq!(tag(Some(&wrong)), none, "{wrong}");
        }
        let hex = "0".repeat(64);
        for storage in ["", ".sig", ".att", ".sbom"] {
            assert_eq!(tag(Some(&Value::from(format!("sha256-{hex}{storage}")))), Err(SIGNATURE));
        }
    }
}
