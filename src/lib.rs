//! skeg updates the images of Kubernetes workloads: registry, policy, approval, patch, rollout, Git.
//!
//! ```text
//! sources   a poll is due, or a webhook came: a hint to look at a repository
//!    │
//! flow      looks: tags, digests ──► core chooses ──► core admits an update: a record, before anything is done for it
//!    │      steps: an input (a vote, a time, an outcome) ──► core says what holds next ──► record ──► effects
//!    ▼
//! adapters  do what is said: ask people, patch the workload, follow the rollout, put back, commit
//! ```
//!
//! `core` decides and knows neither network nor clock; `ports` are what it wants of the world, `adapters` the world; `wiring` puts them together.
//! The map of all files is `docs/ARCHITECTURE.md`.

pub mod adapters;
pub mod cli;
pub mod config;
pub mod core;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod flow;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod metrics;
pub mod ports;
pub mod shutdown;
pub mod sources;
pub mod telemetry;
pub mod wiring;
