//! What a workload asks for, whoever's keys say it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Defaults, DirectiveError, Directives, keel, skeg};
use crate::core::workload::{Container, OfKeel};

/// What a workload asks for.
#[derive(Debug)]
pub struct Asked {
    /// The directives, or every mistake in them.
    pub directives: Result<Arc<Directives>, Vec<DirectiveError>>,
    /// What there is to know beside them where Keel's keys say how tags are chosen.
    pub keel: Option<OfKeel>,
}

impl Asked {
    /// Reads what the workload's labels and annotations ask for, and what [`Defaults::below`] says beneath them. `None` when nothing asks for
    /// anything, or Keel would ignore the workload on purpose.
    ///
    /// Keel's keys count where no `skeg.dev/policy` stands beside them, for all containers or for one. What they leave open skeg's other keys say
    /// then, on the workload and beneath.
    pub fn read(
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        containers: &[Container],
        mut defaults: Defaults,
    ) -> Option<Self> {
        let pairs = || annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let keels = keel::parse(labels, annotations, &defaults.zone).filter(|_| !skeg::says_policy(annotations.keys().map(String::as_str)));
        if let Some(keels) = keels {
            defaults.below = defaults.below.for_keel();
            if let Some(directives) = keels.directives(pairs(), containers, &defaults).transpose() {
                let (warnings, said, is_observed) = (keels.told(), keels.said(), !defaults.acts_on_keel);
                return Some(Self { directives, keel: Some(OfKeel { warnings, said, is_observed, running: None }) });
            }
        }
        skeg::parse(pairs(), containers, &defaults).transpose().map(|directives| Self { directives, keel: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy, the votes and the origin of these, or the mistakes.
    fn read(annotations: &[(&str, &str)]) -> Option<Result<(String, u32, String), Vec<String>>> {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let containers = [Container { name: "web".into(), image: "nginx:1.25.0".into(), init: false }];
        let asked = Asked::read(&BTreeMap::new(), &annotations, &containers, Defaults::default())?;
        let told = |directives: Arc<Directives>| {
            let policy = directives.selection_of(&containers[0]).unwrap().policy.to_string();
            let votes = directives.told().into_iter().find(|told| told.name == "approvals").unwrap();
            (policy, directives.rules.approvals, votes.origin.to_string())
        };
        Some(asked.directives.map(told).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect()))
    }

    #[track_caller]
    fn check(annotations: &[(&str, &str)], policy: &str, votes: u32, origin: &str) {
        assert_eq!(read(annotations), Some(Ok((policy.to_owned(), votes, origin.to_owned()))), "{annotations:?}");
    }

    #[test]
    fn keels_keys_count_where_skeg_has_no_policy_and_skegs_other_keys_beside_them() {
        let (keel, approvals, own) = (("keel.sh/policy", "minor"), ("keel.sh/approvals", "2"), ("skeg.dev/approvals", "3"));
        check(&[keel, approvals], "keel:minor", 2, "annotation keel.sh/approvals");
        check(&[keel, approvals, own], "keel:minor", 3, "annotation skeg.dev/approvals");
        check(&[keel, ("skeg.dev/write-back", "off")], "keel:minor", 0, "default");
        check(&[keel, approvals, ("skeg.dev/policy", "patch")], "patch", 0, "default");
        check(&[keel, approvals, ("skeg.dev/policy.web", "patch")], "patch", 0, "default");
    }

    #[test]
    fn what_keels_keys_say_already_is_not_said_beside_them() {
        let mistakes = |annotations: &[(&str, &str)]| read(annotations).unwrap().unwrap_err();
        let taken = mistakes(&[("keel.sh/policy", "minor"), ("skeg.dev/trigger", "poll"), ("skeg.dev/pause", "yes")]);
        assert!(
            taken[0].starts_with("skeg.dev/pause: `yes`") && taken[1].starts_with("skeg.dev/trigger: counts beside skeg.dev/policy only")
        );
        assert_eq!(read(&[("keel.sh/policy", "never")]), None);
        let useless = mistakes(&[("keel.sh/policy", "never"), ("skeg.dev/approvals", "1")]);
        assert!(useless[0].starts_with("skeg.dev/approvals: does nothing without skeg.dev/policy"), "{useless:?}");
        let misspelt = mistakes(&[("keel.sh/policy", "minor"), ("skeg.dev/polcy", "patch")]);
        assert!(misspelt[0].contains("did you mean skeg.dev/policy?"), "{misspelt:?}");
    }
}
