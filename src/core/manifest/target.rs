//! Which declaration is meant by a workload's container.

use std::fmt;

/// One container of one object, as a file declares it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// The object's `apiVersion`.
    pub api_version: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// Its namespace, when the file says one. Often something else sets it: a kustomization, `kubectl -n`, a GitOps application.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// The container.
    pub container: Box<str>,
    /// Whether it is an init container.
    pub init: bool,
}

/// One container of one workload in the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// Group and version of the workload's kind. The group is compared: files keep older versions than the cluster uses.
    pub api_version: &'a str,
    /// The kind as Kubernetes spells it.
    pub kind: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
    /// The container.
    pub container: &'a str,
    /// Whether it is an init container.
    pub init: bool,
}

/// What was found for a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolved<T> {
    /// Nothing declares it.
    None,
    /// This one place declares it.
    One(T),
    /// Several do, and nothing says which one counts. In the order they were given.
    Several(Vec<T>),
}

/// The one of `places` that declares `target`.
///
/// Places that say the target's namespace go before places that say none. A place without a namespace is taken only when it
/// is the only one: it may be rendered into any namespace, but two of them cannot both be this workload. A place that says
/// another namespace is never taken.
pub fn resolve<'p, T>(places: impl IntoIterator<Item = (&'p Place, T)>, target: &Target<'_>) -> Resolved<T> {
    let (mut named, mut unnamed) = (Vec::new(), Vec::new());
    for (place, found) in places.into_iter().filter(|(place, _)| place.names(target)) {
        match place.namespace.as_deref() {
            Some(namespace) if namespace == target.namespace => named.push(found),
            None => unnamed.push(found),
            Some(_) => {}
        }
    }
    let mut found = if named.is_empty() { unnamed } else { named };
    match found.len() {
        0 => Resolved::None,
        1 => found.pop().map_or(Resolved::None, Resolved::One),
        _ => Resolved::Several(found),
    }
}

impl Place {
    /// Whether it is the target in all but the namespace.
    fn names(&self, target: &Target<'_>) -> bool {
        *self.name == *target.name
            && *self.container == *target.container
            && self.init == target.init
            && *self.kind == *target.kind
            && group(&self.api_version) == group(target.api_version)
    }
}

/// The API group of an `apiVersion`; the core group is the empty one.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl fmt::Display for Place {
    /// `Deployment/web web`, with the namespace in front when one is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}/{} {}", self.kind, self.name, self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> =
        Target { api_version: "apps/v1", kind: "Deployment", namespace: "shop", name: "web", container: "app", init: false };

    fn place(namespace: Option<&str>) -> Place {
        Place {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: namespace.map(Into::into),
            name: "web".into(),
            container: "app".into(),
            init: false,
        }
    }

    #[track_caller]
    fn check(namespaces: &[Option<&str>], resolved: &Resolved<usize>) {
        let places: Vec<Place> = namespaces.iter().map(|namespace| place(*namespace)).collect();
        assert_eq!(&resolve(places.iter().zip(0..), &TARGET), resolved);
    }

    #[test]
    fn a_place_of_the_same_namespace_goes_before_one_that_says_none() {
        check(&[None, Some("shop")], &Resolved::One(1));
        check(&[Some("shop"), None, None], &Resolved::One(0));
    }

    #[test]
    fn a_place_without_a_namespace_is_taken_only_when_it_is_the_only_one() {
        check(&[None], &Resolved::One(0));
        check(&[None, Some("other")], &Resolved::One(0));
        check(&[None, None], &Resolved::Several(vec![0, 1]));
    }

    #[test]
    fn another_namespace_is_never_taken_and_two_of_the_same_are_told() {
        check(&[], &Resolved::None);
        check(&[Some("other")], &Resolved::None);
        check(&[Some("shop"), Some("shop"), None], &Resolved::Several(vec![0, 1]));
    }

    #[test]
    fn group_kind_name_container_and_whether_it_is_an_init_container_must_agree() {
        let matches = |change: fn(&mut Place)| {
            let mut place = place(Some("shop"));
            change(&mut place);
            resolve([(&place, ())], &TARGET) == Resolved::One(())
        };
        assert!(matches(|_| {}));
        assert!(matches(|place| place.api_version = "apps/v1beta2".into()));
        assert!(!matches(|place| place.api_version = "example.com/v1".into()));
        assert!(!matches(|place| place.kind = "StatefulSet".into()));
        assert!(!matches(|place| place.name = "api".into()));
        assert!(!matches(|place| place.container = "sidecar".into()));
        assert!(!matches(|place| place.init = true));
    }
}
