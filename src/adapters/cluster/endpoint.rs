//! The paths under which the API server keeps objects.
//!
//! Names reach this file from people (a command line, an HTTP path) and from objects, so each is held against what Kubernetes accepts
//! as a name before it becomes part of a path. A name that cannot exist has no path, and is answered like one that does not.

use crate::core::workload::WorkloadKind;

/// The longest name of any object (RFC 1123 subdomain, `k8s.io/apimachinery/pkg/util/validation`).
const NAME_BYTES_MAX: usize = 253;

/// A namespaced resource: where its objects are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    /// `group/version`, or `v1` of the core group.
    api_version: &'static str,
    /// The resource's name in paths.
    plural: &'static str,
}

impl Endpoint {
    /// apps/v1 `ReplicaSet`
    pub(crate) const REPLICA_SETS: Self = Self::new("apps/v1", "replicasets");
    /// core/v1 Pod
    pub(crate) const PODS: Self = Self::new("v1", "pods");
    /// core/v1 `ConfigMap`
    pub(crate) const CONFIG_MAPS: Self = Self::new("v1", "configmaps");
    /// core/v1 Secret
    pub(crate) const SECRETS: Self = Self::new("v1", "secrets");
    /// core/v1 `ServiceAccount`
    pub(crate) const SERVICE_ACCOUNTS: Self = Self::new("v1", "serviceaccounts");
    /// events.k8s.io/v1 Event
    pub(crate) const EVENTS: Self = Self::new("events.k8s.io/v1", "events");
    /// coordination.k8s.io/v1 Lease
    pub(crate) const LEASES: Self = Self::new("coordination.k8s.io/v1", "leases");

    /// The resource called `plural` of `api_version`, which is `group/version`.
    pub(crate) const fn new(api_version: &'static str, plural: &'static str) -> Self {
        Self { api_version, plural }
    }

    /// Where workloads of the kind are.
    pub(crate) const fn of(kind: WorkloadKind) -> Self {
        match kind {
            WorkloadKind::Deployment => Self::new("apps/v1", "deployments"),
        }
    }

    /// The resource's name in paths.
    pub(crate) const fn plural(self) -> &'static str {
        self.plural
    }

    /// The path of all objects: of one namespace, or of all.
    pub(crate) fn collection(self, namespace: Option<&str>) -> Option<String> {
        let root = if self.api_version.contains('/') { "/apis/" } else { "/api/" };
        let Self { api_version, plural } = self;
        match namespace {
            None => Some(format!("{root}{api_version}/{plural}")),
            Some(namespace) if is_name(namespace) => Some(format!("{root}{api_version}/namespaces/{namespace}/{plural}")),
            Some(_) => None,
        }
    }

    /// The path of one object.
    pub(crate) fn object(self, namespace: &str, name: &str) -> Option<String> {
        let collection = self.collection(Some(namespace))?;
        is_name(name).then(|| format!("{collection}/{name}"))
    }
}

/// Lower-case letters, digits, hyphens and dots, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    text.len() <= NAME_BYTES_MAX && is_end(text.bytes().next()) && is_end(text.bytes().next_back()) && text.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(namespace: &str, name: &str, path: Option<&str>) {
        assert_eq!(Endpoint::of(WorkloadKind::Deployment).object(namespace, name).as_deref(), path);
    }

    #[test]
    fn objects_are_found_under_the_path_of_their_group() {
        check("shop", "web", Some("/apis/apps/v1/namespaces/shop/deployments/web"));
        assert_eq!(Endpoint::PODS.collection(Some("shop")).as_deref(), Some("/api/v1/namespaces/shop/pods"));
        assert_eq!(Endpoint::PODS.collection(None).as_deref(), Some("/api/v1/pods"));
    }

    #[test]
    fn a_name_that_no_object_can_have_never_becomes_part_of_a_path() {
        for bad in ["", ".", "..", "../secrets", "a/b", "Web", "web?x=1", "web#", "%2e%2e", "-a", "a-", "ä", "a b", "a\n"] {
            check("shop", bad, None);
            check(bad, "web", None);
        }
        check("shop", &"a".repeat(254), None);
    }
}
