//! From a URL path to what it names.
//!
//! ```text
//! /api/v1/namespaces/{ns}/{plural}/{name}/{subresource}
//! /apis/{group}/{version}/namespaces/{ns}/{plural}/{name}/{subresource}
//! /apis/{group}/{version}/{plural}          every namespace, or a cluster-scoped type
//! ```
//!
//! Whether such a type is served, and has such a subresource, is not decided here.

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `/version`
    Version,
    /// `/healthz`, `/livez`, `/readyz`
    Health,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(&'a str),
    /// `/api/v1`, `/apis/{group}/{version}`: group (empty for core) and version
    Resources(&'a str, &'a str),
    /// Objects
    Objects(Place<'a>),
    /// Nothing the API has
    Unknown,
}

/// A type and, as far as the path says, namespace, name and subresource.
#[derive(Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// API group; empty for core.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Plural name of the type.
    pub plural: &'a str,
    /// The namespace, unless the path is about all of them or the type has none.
    pub namespace: Option<&'a str>,
    /// The object; without it the path is the collection.
    pub name: Option<&'a str>,
    /// `status`, for one.
    pub subresource: Option<&'a str>,
}

/// Reads a path. Object names need no percent-encoding, so none is undone: an encoded name is one that does not exist.
pub fn parse(path: &str) -> Target<'_> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Target::Unknown;
    }
    match segments.as_slice() {
        ["version"] => Target::Version,
        ["healthz" | "livez" | "readyz"] => Target::Health,
        ["api"] => Target::CoreVersions,
        ["apis"] => Target::Groups,
        ["apis", group] => Target::Group(group),
        ["api", version] => Target::Resources("", version),
        ["apis", group, version] => Target::Resources(group, version),
        ["api", version, rest @ ..] => place("", version, rest),
        ["apis", group, version, rest @ ..] => place(group, version, rest),
        _ => Target::Unknown,
    }
}

fn place<'a>(group: &'a str, version: &'a str, rest: &[&'a str]) -> Target<'a> {
    let (namespace, rest) = match rest {
        // `/namespaces/{name}` and its subresources are the Namespace object itself; `/namespaces/{ns}/{plural}` is in it.
        ["namespaces", _, "status" | "finalize"] => (None, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (plural, None, None),
        [plural, name] => (plural, Some(*name), None),
        [plural, name, subresource] => (plural, Some(*name), Some(*subresource)),
        _ => return Target::Unknown,
    };
    Target::Objects(Place { group, version, plural, namespace, name, subresource })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, target: &Target<'_>) {
        assert_eq!(parse(path), *target, "{path}");
    }

    fn objects<'a>(
        api: (&'a str, &'a str),
        namespace: Option<&'a str>,
        plural: &'a str,
        name: Option<&'a str>,
        subresource: Option<&'a str>,
    ) -> Target<'a> {
        let (group, version) = api;
        Target::Objects(Place { group, version, plural, namespace, name, subresource })
    }

    #[test]
    fn every_form_of_path_is_understood() {
        check("/version", &Target::Version);
        check("/readyz", &Target::Health);
        check("/api", &Target::CoreVersions);
        check("/api/", &Target::CoreVersions);
        check("/apis", &Target::Groups);
        check("/apis/apps", &Target::Group("apps"));
        check("/api/v1", &Target::Resources("", "v1"));
        check("/apis/apps/v1", &Target::Resources("apps", "v1"));
        check("/api/v1/pods", &objects(("", "v1"), None, "pods", None, None));
        check("/api/v1/namespaces", &objects(("", "v1"), None, "namespaces", None, None));
        check("/api/v1/namespaces/shop", &objects(("", "v1"), None, "namespaces", Some("shop"), None));
        check("/api/v1/namespaces/shop/status", &objects(("", "v1"), None, "namespaces", Some("shop"), Some("status")));
        check("/api/v1/namespaces/shop/pods", &objects(("", "v1"), Some("shop"), "pods", None, None));
        let apps = ("apps", "v1");
        check("/apis/apps/v1/namespaces/shop/deployments/web", &objects(apps, Some("shop"), "deployments", Some("web"), None));
        check(
            "/apis/apps/v1/namespaces/shop/deployments/web/status",
            &objects(apps, Some("shop"), "deployments", Some("web"), Some("status")),
        );
    }

    #[test]
    fn paths_the_api_does_not_have_are_unknown() {
        check("/", &Target::Unknown);
        check("/metrics", &Target::Unknown);
        check("/api//v1", &Target::Unknown);
        check("/apis/apps/v1/namespaces/shop/deployments/web/status/more", &Target::Unknown);
    }
}
