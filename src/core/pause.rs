//! An operator's stop: nothing is applied where one is on.

use std::fmt;

use jiff::Timestamp;

use crate::core::workload::WorkloadId;

/// What a pause covers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// Everything.
    All,
    /// Every workload of a namespace.
    Namespace(Box<str>),
    /// One workload.
    Workload(WorkloadId),
}

/// A pause that somebody set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    /// What it covers.
    pub scope: Scope,
    /// When it ends by itself; `None` lasts until it is lifted.
    pub until: Option<Timestamp>,
    /// Who set it.
    pub by: Box<str>,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<Box<str>>,
}

/// What is to become different in the pauses that are kept. A change and not a list, so that what somebody else has kept meanwhile stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// Pauses that are lifted: exactly these, not a later one of the same scope.
    pub lifted: Vec<Pause>,
    /// Pauses that are set; an earlier one of the same scope is replaced.
    pub set: Vec<Pause>,
}

impl Change {
    /// What makes `to` of `from`.
    pub fn between(from: &[Pause], to: &[Pause]) -> Self {
        let without = |these: &[Pause], those: &[Pause]| these.iter().filter(|pause| !those.contains(pause)).cloned().collect();
        Self { lifted: without(from, to), set: without(to, from) }
    }

    /// Whether nothing becomes different.
    pub fn is_empty(&self) -> bool {
        self.lifted.is_empty() && self.set.is_empty()
    }

    /// The pauses with the change made. Making it twice equals once.
    #[must_use]
    pub fn made(&self, mut pauses: Vec<Pause>) -> Vec<Pause> {
        pauses.retain(|pause| !self.lifted.contains(pause) && !self.set.iter().any(|set| set.scope == pause.scope));
        pauses.extend(self.set.iter().cloned());
        pauses
    }
}

impl Scope {
    /// Whether it covers the workload.
    pub fn covers(&self, id: &WorkloadId) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(namespace) => *namespace == id.namespace,
            Self::Workload(workload) => workload == id,
        }
    }
}

impl Pause {
    /// Whether it is still on.
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
            Self::Workload(id) => write!(f, "{id}"),
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.scope, self.by)?;
        if let Some(until) = self.until {
            write!(f, " until {until:.0}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}
