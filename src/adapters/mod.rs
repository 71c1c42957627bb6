//! The ports' implementations: one directory per port.

pub mod clock;
pub mod cluster;
pub mod fetch;
pub mod git;
pub mod journal;
pub mod log_approver;
pub mod registry;
pub mod slack;
pub mod tasks;
