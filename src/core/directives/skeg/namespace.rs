//! The `skeg.dev/` annotations of one Namespace: what holds for its workloads where they say nothing themselves.

use super::rule::Said;
use super::{PREFIX, bounded, key, mistake, value};
use crate::core::directives::{Defaults, DirectiveError};
use crate::core::nearest::shown;

/// What a Namespace says to its workloads. A mistake in it holds all of them that are managed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfNamespace {
    name: Box<str>,
    said: Vec<Said>,
    mistakes: Vec<DirectiveError>,
}

impl OfNamespace {
    /// Reads what the Namespace called `name` says; `None` when it says nothing. `defaults` are those of the configuration for it.
    pub fn read<'a>(name: &str, annotations: impl IntoIterator<Item = (&'a str, &'a str)>, defaults: &Defaults) -> Option<Self> {
        let mut read = Self { name: name.into(), said: Vec::new(), mistakes: Vec::new() };
        for (key, value) in annotations {
            let Some(directive) = key.strip_prefix(PREFIX) else { continue };
            let problem = match key::read_on_namespace(directive) {
                Ok((known, container)) => {
                    // A wrong value is a mistake, and its directive is said all the same: a policy opts in.
                    read.said.push(Said { key: known, container: container.map(Into::into), name: key.into(), value: value.into() });
                    value::check(known, value, &defaults.git_remotes, value::NOT_GRANTED).err()
                }
                Err(problem) => Some(problem),
            };
            read.mistakes.extend(problem.map(|problem| mistake(read.place(key), problem)));
        }
        read.mistakes = bounded(read.mistakes);
        (!read.said.is_empty() || !read.mistakes.is_empty()).then_some(read)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong with it.
    pub fn mistakes(&self) -> &[DirectiveError] {
        &self.mistakes
    }

    pub(super) fn said(&self) -> &[Said] {
        &self.said
    }

    /// One of its keys, for people.
    pub(super) fn place(&self, key: &str) -> String {
        format!("Namespace {}: {}", self.name, shown(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &[(&str, &str)]) -> Option<OfNamespace> {
        OfNamespace::read("shop", annotations.iter().copied(), &Defaults::default())
    }

    #[track_caller]
    fn check(key: &str, value: &str, expected: &str) {
        let read = read(&[(key, value), ("skeg.dev/policy", "minor")]).unwrap();
        let mistakes: Vec<String> = read.mistakes().iter().map(ToString::to_string).collect();
        assert_eq!(mistakes, [format!("Namespace shop: {key}: {expected}")]);
    }

    #[test]
    fn a_namespace_without_directives_says_nothing() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("team", "shop"), ("keel.sh/policy", "all"), ("skeg.development/x", "")]), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_namespace() {
        check("skeg.dev/polcy", "minor", "there is no such directive, did you mean skeg.dev/policy?");
        check("skeg.dev/approvals", "two", "`two` is not a whole number from 0 to 100");
        check("skeg.dev/approvals.api", "1", "speaks for the whole workload: write skeg.dev/approvals");
        check("skeg.dev/policy.Api", "minor", "`Api` cannot be the name of a container");
        check("skeg.dev/promote-to", "billing", "this version of skeg does not have this directive yet");
        check("skeg.dev/git", "infra", "no Git remote `infra` is granted to this namespace");
    }

    #[test]
    fn a_container_may_be_in_some_of_its_workloads() {
        let read = read(&[("skeg.dev/policy.istio-proxy", "never")]).unwrap();
        assert_eq!((read.mistakes(), read.said()[0].container.as_deref()), (&[][..], Some("istio-proxy")));
    }
}
