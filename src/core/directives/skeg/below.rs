//! What is said below a workload's own annotations: by its Namespace, then by the rules of the configuration.

use std::sync::Arc;

use super::namespace::OfNamespace;
use super::rule::{Bounds, Covered, Rule, Said, Subject};
use super::{Layer, Written};
use crate::core::directives::{DirectiveError, Origin};

/// Mistakes of a Namespace that each of its workloads tells of; `skeg status` and the log tell of all.
const TOLD_MAX: usize = 3;

/// What is said to one workload from below. Nothing, where there is neither.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Below {
    namespace: Option<Arc<OfNamespace>>,
    /// The rules that speak for it, in their order.
    rules: Vec<Spoken>,
    /// Whether only what Keel's keys leave open counts.
    is_for_keel: bool,
}

/// A rule that speaks for the workload.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Spoken {
    rule: Arc<Rule>,
    /// The containers that it speaks for; `None` for all.
    containers: Option<Vec<Box<str>>>,
}

impl Below {
    /// What is said to `subject`.
    pub fn of(namespace: Option<Arc<OfNamespace>>, rules: &[Arc<Rule>], subject: Subject<'_>) -> Self {
        let spoken = |rule: &Arc<Rule>| {
            let containers = match rule.selector.covers(subject)? {
                Covered::All => None,
                Covered::These(names) => Some(names.into_iter().map(Into::into).collect()),
            };
            Some(Spoken { rule: Arc::clone(rule), containers })
        };
        Self { namespace, rules: rules.iter().filter_map(spoken).collect(), is_for_keel: false }
    }

    /// The same for a workload with Keel's keys, which say themselves how its tags are chosen and when to look.
    #[must_use]
    pub fn for_keel(self) -> Self {
        Self { is_for_keel: true, ..self }
    }

    /// What is wrong with the Namespace, which holds every workload of it: the first mistakes, since each of its workloads repeats them.
    pub(super) fn mistakes(&self) -> impl Iterator<Item = DirectiveError> {
        self.namespace.iter().flat_map(|namespace| namespace.mistakes().iter().take(TOLD_MAX)).cloned()
    }

    /// The single directives, the Namespace's first.
    pub(super) fn written(&self) -> impl Iterator<Item = Written<'_>> {
        let of_namespace = self.namespace.iter().flat_map(|namespace| {
            let layer = Layer::Namespace(namespace);
            namespace.said().iter().map(move |said| written(said, said.container.as_deref(), layer))
        });
        let of_rules = (0..).zip(&self.rules).flat_map(|(number, spoken)| {
            let layer = Layer::Rule(number, &spoken.rule);
            spoken.rule.said.iter().flat_map(move |said| {
                let places = spoken.containers.as_deref().filter(|_| said.key.is_of_container());
                let (all, single) = (places.is_none().then_some(None), places.into_iter().flatten().map(|name| Some(&**name)));
                all.into_iter().chain(single).map(move |container| written(said, container, layer))
            })
        });
        of_namespace.chain(of_rules).filter(|written| !self.is_for_keel || written.key.is_left_open_by_keel())
    }

    /// The bounds that hold for the workload, each with its rule.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (&Bounds, Origin)> {
        self.rules.iter().filter_map(Spoken::bounds)
    }

    /// Those that hold for the container.
    pub(super) fn bounds_of<'a>(&'a self, container: &'a str) -> impl Iterator<Item = (&'a Bounds, Origin)> {
        let speaks = |spoken: &&Spoken| spoken.containers.as_ref().is_none_or(|names| names.iter().any(|name| **name == *container));
        self.rules.iter().filter(speaks).filter_map(Spoken::bounds)
    }

    /// Those that hold for all containers.
    pub(super) fn bounds_of_all(&self) -> impl Iterator<Item = (&Bounds, Origin)> {
        self.rules.iter().filter(|spoken| spoken.containers.is_none()).filter_map(Spoken::bounds)
    }
}

impl Spoken {
    fn bounds(&self) -> Option<(&Bounds, Origin)> {
        self.rule.bounds.as_ref().map(|bounds| (bounds, Origin::Bound(self.rule.place.clone())))
    }
}

fn written<'a>(said: &'a Said, container: Option<&'a str>, layer: Layer<'a>) -> Written<'a> {
    Written { key: said.key, container, name: &said.name, value: &said.value, layer }
}
