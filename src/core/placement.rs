//! On which nodes the pods of a workload can land, and so for which platforms its images have to be.
//!
//! Source: Kubernetes, "Assigning Pods to Nodes": `nodeSelector` and the terms of `requiredDuringSchedulingIgnoredDuringExecution` are looked at;
//! one term is enough, all that a term says must hold. Taints, topology and what runtime classes add are not: a node that they keep pods from
//! counts as one that they can land on.
//!
//! ```text
//! nodes that match             their platforms
//! none (an autoscaler may      what the selector itself names by kubernetes.io/arch and kubernetes.io/os;
//! make some), or unknown       where it names none: unknown
//! ```

use std::collections::BTreeSet;

use super::platform::{Platform, Platforms};

/// The label with a node's operating system.
pub const OS: &str = "kubernetes.io/os";
/// The label with a node's architecture.
pub const ARCHITECTURE: &str = "kubernetes.io/arch";
/// The operating system of pods that do not say which. Those of others have to, since nearly every cluster has nodes with this one.
const OS_UNSAID: &str = "linux";
/// The only field of a node that a term can speak of.
const NAME_FIELD: &str = "metadata.name";

/// What a pod template says of the nodes that its pods may land on. The default says nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Placement {
    /// `nodeSelector`: labels that a node must have.
    pub selector: Box<[(Box<str>, Box<str>)]>,
    /// The terms of the required node affinity; `None` where there is none.
    pub terms: Option<Box<[Term]>>,
}

/// One term: all of it must hold. One that says nothing holds for no node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Term {
    /// What is asked of labels.
    pub labels: Box<[Demand]>,
    /// What is asked of fields.
    pub fields: Box<[Demand]>,
}

/// What is asked of one label or field.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Demand {
    /// Its key.
    pub key: Box<str>,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: Box<[Box<str>]>,
}

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operator {
    /// It is one of the values.
    In,
    /// It is none of the values, or not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
    /// It is a greater number than the only value.
    Gt,
    /// It is a smaller number than the only value.
    Lt,
    /// One that this version does not know.
    Other,
}

/// A node, as far as placement looks at it.
pub trait Node {
    /// Its name.
    fn name(&self) -> &str;

    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;

    /// Its platform, when its labels tell.
    fn platform(&self) -> Option<Platform> {
        Platform::new(self.label(OS)?, self.label(ARCHITECTURE)?)
    }
}

impl Placement {
    /// The platforms that the pods can land on, as far as the nodes and the template tell; never none of them.
    pub fn platforms<'a, N: Node + 'a>(&self, nodes: impl Iterator<Item = &'a N>) -> Option<Platforms> {
        if self.is_unclear() {
            return None;
        }
        let seen: BTreeSet<Platform> = nodes.filter(|node| self.admits(*node)).filter_map(Node::platform).collect();
        let seen: Platforms = seen.into_iter().collect();
        if seen.is_empty() { self.named() } else { Some(seen) }
    }

    /// Whether a pod may land on the node.
    fn admits(&self, node: &impl Node) -> bool {
        self.selector.iter().all(|(key, value)| node.label(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.admits(node)))
    }

    fn is_unclear(&self) -> bool {
        let demands = self.terms.iter().flatten().flat_map(|term| term.labels.iter().chain(&term.fields));
        demands.into_iter().any(|demand| demand.operator == Operator::Other)
    }

    /// The platforms that the template names, where it leaves no others.
    pub fn named(&self) -> Option<Platforms> {
        let nothing = [Term::default()];
        let mut named = BTreeSet::new();
        for term in self.terms.as_deref().unwrap_or(&nothing) {
            let architectures = self.values(term, ARCHITECTURE)?;
            let systems = self.values(term, OS).unwrap_or_else(|| vec![OS_UNSAID]);
            named.extend(systems.iter().flat_map(|os| architectures.iter().filter_map(|architecture| Platform::new(os, architecture))));
        }
        let named: Platforms = named.into_iter().collect();
        (!named.is_empty()).then_some(named)
    }

    /// The values that the selector and the term leave to a label; `None` where they leave all.
    fn values<'a>(&'a self, term: &'a Term, label: &str) -> Option<Vec<&'a str>> {
        if let Some((_, value)) = self.selector.iter().find(|(key, _)| **key == *label) {
            return Some(vec![value]);
        }
        let demand = term.labels.iter().find(|demand| *demand.key == *label && demand.operator == Operator::In)?;
        Some(demand.values.iter().map(|value| &**value).collect())
    }
}

impl Term {
    fn admits(&self, node: &impl Node) -> bool {
        let is_said = !self.labels.is_empty() || !self.fields.is_empty();
        let field = |key: &str| (key == NAME_FIELD).then(|| node.name());
        is_said
            && self.labels.iter().all(|demand| demand.holds(node.label(&demand.key)))
            && self.fields.iter().all(|demand| demand.holds(field(&demand.key)))
    }
}

impl Demand {
    fn holds(&self, value: Option<&str>) -> bool {
        let is_listed = || value.is_some_and(|value| self.values.iter().any(|listed| **listed == *value));
        match self.operator {
            Operator::In => is_listed(),
            Operator::NotIn => !is_listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => self.compared(value).is_some_and(|(value, bound)| value > bound),
            Operator::Lt => self.compared(value).is_some_and(|(value, bound)| value < bound),
            Operator::Other => false,
        }
    }

    fn compared(&self, value: Option<&str>) -> Option<(i64, i64)> {
        let [bound] = &*self.values else { return None };
        Some((value?.parse().ok()?, bound.parse().ok()?))
    }
}

impl Operator {
    /// The operator by its name in a pod template.
    pub fn of(name: &str) -> Self {
        match name {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::platform::platforms;

    struct Labelled {
        name: &'static str,
        labels: Vec<(&'static str, &'static str)>,
    }

    impl Node for Labelled {
        fn name(&self) -> &str {
            self.name
        }
        fn label(&self, key: &str) -> Option<&str> {
            self.labels.iter().find(|(label, _)| *label == key).map(|(_, value)| *value)
        }
    }

    fn node(name: &'static str, os: &'static str, architecture: &'static str, more: &[(&'static str, &'static str)]) -> Labelled {
        Labelled { name, labels: [&[(OS, os), (ARCHITECTURE, architecture)], more].concat() }
    }

    /// Three pools, and a node whose labels do not tell its platform.
    fn nodes() -> Vec<Labelled> {
        vec![
            node("a1", "linux", "amd64", &[("pool", "a"), ("cores", "8")]),
            node("a2", "linux", "amd64", &[("pool", "a"), ("cores", "16")]),
            node("b1", "linux", "arm64", &[("pool", "b"), ("cores", "64"), ("spot", "")]),
            node("w1", "windows", "amd64", &[("pool", "w")]),
            Labelled { name: "odd", labels: vec![("pool", "odd")] },
        ]
    }

    /// `key Operator value value`.
    fn demand(text: &str) -> Demand {
        let mut words = text.split_whitespace();
        let key = words.next().unwrap().into();
        Demand { key, operator: Operator::of(words.next().unwrap()), values: words.map(Into::into).collect() }
    }

    /// Selector as `key=value`; each term as demands with `;` between, those of fields with `@` before them.
    fn placement(selector: &[&str], terms: Option<&[&str]>) -> Placement {
        let pair = |text: &&str| text.split_once('=').map(|(key, value)| (key.into(), value.into())).unwrap();
        let term = |text: &&str| {
            let (fields, labels): (Vec<_>, Vec<_>) =
                text.split(';').map(str::trim).filter(|text| !text.is_empty()).partition(|text| text.starts_with('@'));
            Term { labels: labels.into_iter().map(demand).collect(), fields: fields.iter().map(|text| demand(&text[1..])).collect() }
        };
        Placement { selector: selector.iter().map(pair).collect(), terms: terms.map(|terms| terms.iter().map(term).collect()) }
    }

    #[track_caller]
    fn check(selector: &[&str], terms: Option<&[&str]>, expected: Option<&str>) {
        let found = placement(selector, terms).platforms(nodes().iter());
        assert_eq!(found, expected.map(platforms), "{selector:?} {terms:?}");
    }

    #[test]
    fn pods_land_where_the_selector_lets_them() {
        check(&[], None, Some("linux/amd64 linux/arm64 windows/amd64"));
        check(&["pool=a"], None, Some("linux/amd64"));
        check(&["pool=b", "spot="], None, Some("linux/arm64"));
        check(&["pool=b", "spot=yes"], None, None);
        check(&["kubernetes.io/os=linux"], None, Some("linux/amd64 linux/arm64"));
        check(&["pool=odd"], None, None);
    }

    #[test]
    fn one_term_is_enough_and_all_of_it_must_hold() {
        check(&[], Some(&["pool In a b"]), Some("linux/amd64 linux/arm64"));
        check(&[], Some(&["pool In a", "pool In w"]), Some("linux/amd64 windows/amd64"));
        check(&[], Some(&["pool In a b; spot Exists"]), Some("linux/arm64"));
        check(&["pool=a"], Some(&["spot Exists"]), None);
        check(&[], Some(&["spot DoesNotExist; kubernetes.io/os NotIn windows"]), Some("linux/amd64"));
        check(&[], Some(&["nothing NotIn x"]), Some("linux/amd64 linux/arm64 windows/amd64"));
        check(&[], Some(&["cores Gt 8"]), Some("linux/amd64 linux/arm64"));
        check(&[], Some(&["cores Gt 16"]), Some("linux/arm64"));
        check(&[], Some(&["cores Lt 9"]), Some("linux/amd64"));
        check(&[], Some(&["cores Lt many"]), None);
        check(&[], Some(&["@metadata.name In b1"]), Some("linux/arm64"));
        check(&[], Some(&["@metadata.name NotIn a1 a2 w1"]), Some("linux/arm64"));
        check(&[], Some(&["@spec.else In b1"]), None);
        check(&[], Some(&[""]), None);
        check(&[], Some(&[]), None);
        check(&[], Some(&["pool Like a", "pool In a"]), None);
    }

    /// The same where no node is known.
    #[track_caller]
    fn check_named(selector: &[&str], terms: Option<&[&str]>, expected: Option<&str>) {
        let found = placement(selector, terms).platforms(std::iter::empty::<&Labelled>());
        assert_eq!(found, expected.map(platforms), "{selector:?} {terms:?}");
    }

    #[test]
    fn without_nodes_a_selector_that_names_the_platform_tells() {
        check_named(&[], None, None);
        check_named(&["pool=b"], None, None);
        check_named(&["kubernetes.io/arch=arm64"], None, Some("linux/arm64"));
        check_named(&["kubernetes.io/arch=amd64", "kubernetes.io/os=windows"], None, Some("windows/amd64"));
        check_named(&["kubernetes.io/os=linux"], None, None);
        check_named(&[], Some(&["kubernetes.io/arch In arm64 amd64"]), Some("linux/amd64 linux/arm64"));
        check_named(&[], Some(&["kubernetes.io/arch In arm64", "pool In b"]), None);
        check_named(
            &[],
            Some(&["kubernetes.io/arch In arm64", "kubernetes.io/arch In amd64; kubernetes.io/os In windows"]),
            Some("linux/arm64 windows/amd64"),
        );
        check_named(&["kubernetes.io/arch=arm64"], Some(&["kubernetes.io/arch In amd64"]), Some("linux/arm64"));
        check_named(&[], Some(&["kubernetes.io/arch NotIn arm64"]), None);
        check_named(&[], Some(&[]), None);
    }
}
