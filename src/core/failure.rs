//! A port's failure as decisions see it.

use std::time::Duration;

/// How something outside failed, and whether trying again can help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Whether to try again.
    pub kind: FailureKind,
    /// What happened, in one line without secrets.
    pub summary: Box<str>,
    /// How long the other side asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// Whether to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// It may pass by itself: unreachable, busy, a conflict.
    Transient,
    /// It will not pass without a person.
    Refused,
    /// It is not allowed: a server that has just started may not know its roles yet, or a person mends one.
    Forbidden,
    /// skeg itself failed while trying.
    Panicked,
}

impl Failure {
    /// A failure that may pass.
    pub fn transient(summary: impl Into<Box<str>>) -> Self {
        Self { kind: FailureKind::Transient, summary: summary.into(), retry_after: None }
    }

    /// What is not allowed as things are.
    pub fn forbidden(summary: impl Into<Box<str>>) -> Self {
        Self { kind: FailureKind::Forbidden, summary: summary.into(), retry_after: None }
    }

    /// A failure that needs a person.
    pub fn refused(summary: impl Into<Box<str>>) -> Self {
        Self { kind: FailureKind::Refused, summary: summary.into(), retry_after: None }
    }
}
