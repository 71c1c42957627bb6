//! What the configuration says of workloads that say nothing themselves.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::cluster::Mode;
use super::{Config, Namespaces};
use crate::core::directives::{Defaults, Rule};

impl Config {
    /// The defaults of the directives in each namespace, the rules among them.
    pub fn defaults(&self) -> Arc<dyn Fn(&str) -> Defaults + Send + Sync> {
        let approvals = self.approvals.clone();
        let rules: Arc<[Arc<Rule>]> = self.rules.iter().cloned().map(Arc::new).collect();
        let (acts_on_keel, zone) = (self.keel.mode == Mode::Act, TimeZone::system());
        let remotes: Vec<(Box<str>, Namespaces)> =
            self.remotes.iter().map(|remote| (remote.name.clone(), remote.namespaces.clone())).collect();
        Arc::new(move |namespace| Defaults {
            approvers: approvals.approvers.clone(),
            approval_deadline: approvals.deadline,
            approval_valid: approvals.valid,
            git_remotes: remotes.iter().filter(|(_, namespaces)| namespaces.covers(namespace)).map(|(name, _)| name.clone()).collect(),
            acts_on_keel,
            zone: zone.clone(),
            rules: Arc::clone(&rules),
            ..Defaults::default()
        })
    }
}
