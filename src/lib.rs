//! skeg updates the images of Kubernetes workloads: registry, policy, approval, patch, rollout, Git.

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
