//! What skeg needs from outside: one trait and its error per file, no implementation.

pub mod approver;
pub mod clock;
pub mod cluster;
pub mod events;
pub mod first_seen;
pub mod git;
pub mod journal;
pub mod lease;
pub mod pauses;
pub mod pull_secrets;
pub mod registry;
pub mod spawn;
