//! What Namespaces say to their workloads, as plain state: what was read of them goes in, whether that is another thing than before comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::directives::OfNamespace;

/// What the Namespaces that say anything say. The others are not kept.
#[derive(Debug, Default)]
pub(super) struct Said {
    known: BTreeMap<Box<str>, (Arc<OfNamespace>, u32)>,
    /// The present round; each listing begins a new one.
    round: u32,
}

impl Said {
    /// A listing begins: what it does not name again is gone when it ends.
    pub(super) fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// The listing is complete. Gives the Namespaces that say nothing any more.
    pub(super) fn end(&mut self) -> Vec<Box<str>> {
        let round = self.round;
        let gone: Vec<Box<str>> = self.known.iter().filter(|(_, (_, seen))| *seen != round).map(|(name, _)| name.clone()).collect();
        self.known.retain(|_, (_, seen)| *seen == round);
        gone
    }

    /// A Namespace says this, or nothing. Gives whether that is new.
    pub(super) fn apply(&mut self, name: &str, said: Option<OfNamespace>) -> bool {
        let round = self.round;
        match (self.known.get_mut(name), said) {
            (Some((known, seen)), Some(said)) if **known == said => {
                *seen = round;
                false
            }
            (_, Some(said)) => {
                self.known.insert(name.into(), (Arc::new(said), round));
                true
            }
            (Some(_), None) => self.known.remove(name).is_some(),
            (None, None) => false,
        }
    }

    /// What the Namespace says.
    pub(super) fn of(&self, name: &str) -> Option<Arc<OfNamespace>> {
        self.known.get(name).map(|(said, _)| Arc::clone(said))
    }

    /// What all of them say.
    pub(super) fn all(&self) -> impl Iterator<Item = &OfNamespace> {
        self.known.values().map(|(said, _)| &**said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::directives::Defaults;

    fn says(name: &str, policy: &str) -> Option<OfNamespace> {
        OfNamespace::read(name, [("skeg.dev/policy", policy)], &Defaults::default())
    }

    #[test]
    fn what_is_said_anew_is_told_and_the_same_again_is_not() {
        let mut said = Said::default();
        assert!(said.apply("shop", says("shop", "minor")) && !said.apply("shop", says("shop", "minor")));
        assert!(said.apply("shop", says("shop", "patch")) && said.of("shop").is_some());
        assert!(said.apply("shop", None) && !said.apply("shop", None));
        assert!(said.of("shop").is_none() && said.all().count() == 0);
    }

    #[test]
    fn a_listing_that_does_not_name_a_namespace_again_removes_it() {
        let mut said = Said::default();
        said.apply("shop", says("shop", "minor"));
        said.apply("billing", says("billing", "minor"));
        said.begin();
        said.apply("shop", says("shop", "minor"));
        assert_eq!(said.end(), [Box::from("billing")]);
        assert!(said.of("shop").is_some() && said.of("billing").is_none());
    }
}
